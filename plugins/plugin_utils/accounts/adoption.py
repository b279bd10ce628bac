# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows of the account ledger for accounts that hosts have already, for people to review before an import."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ...module_utils.host_accounts.sudo import normalised
from .reconcile import DAY, ORDINARY_PRIMARY, USABLE, day, grants_all, moment

State = Mapping[str, Any]

NO_SHELL = ("/usr/sbin/nologin", "/sbin/nologin", "/bin/false", "/usr/bin/false")


def adoption(
    states: Iterable[tuple[str, State]],
    rules: Mapping[str, str],
    known: Iterable[str] = (),
    ignored: Iterable[str] = (),
) -> list[dict[str, Any]]:
    """Propose one ledger row for each account that people use, from what hosts are.

    Rights that only some of an account's hosts give are left out of the row and named in ``differs``: a proposal must
    not widen what anybody may do. What only people know (department, justification, requester, approver, ticket) is
    empty, so that an import refuses the row until somebody has filled it in.

    Args:
        states: (host, its state).
        rules: sudo rules of the organisation: name -> text, such as ``ALL=(root) /usr/bin/systemctl restart nginx``.
        known: logins that are in the ledger.
        ignored: logins to leave out. The account that a run logs in with is left out by itself.

    Returns:
        Rows in the order of logins, in the fields of the account record, and with these for the reviewer:
        ``ssh_key_count``; ``unknown_sudo``, rules that the organisation has no name for; ``differs``, what is not the
        same on all hosts; ``last_login``, a date or empty.
    """
    names = {normalised(text): name for name, text in rules.items()}
    left_out = {*known, *ignored}
    found: dict[str, dict[str, Mapping[str, Any]]] = {}
    for host, state in states:
        groups = {group["gid"]: name for name, group in state.get("groups", {}).items()}
        for account in state["accounts"]:
            login = account["name"]
            if account.get("system") or login in left_out or login == state.get("login_account"):
                continue
            found.setdefault(login, {})[host] = {**account, "groups": _groups(account, groups)}
    return [_row(login, hosts, names) for login, hosts in sorted(found.items())]


def _row(login: str, hosts: Mapping[str, Mapping[str, Any]], names: Mapping[str, str]) -> dict[str, Any]:
    """The row of one account."""
    accounts = list(hosts.values())
    sudo = {host: {normalised(rule) for rule in account["sudo"]} for host, account in hosts.items()}
    common_sudo = set.intersection(*sudo.values())
    groups = {host: set(account["groups"]) for host, account in hosts.items()}
    common_groups = set.intersection(*groups.values())
    keys = {key["fingerprint"] for account in accounts for key in account["keys"]}
    last = max((account["last_login"] or 0 for account in accounts), default=0)
    return {
        "login": login,
        "person": _common(account.get("gecos", "").split(",")[0].strip() for account in accounts) or "",
        "department": "",
        "kind": _kind(accounts),
        "hosts": sorted(hosts),
        "groups": sorted(common_groups),
        "sudo": sorted(names[rule] for rule in common_sudo if rule in names),
        "shell": _common(account["shell"] for account in accounts) or "",
        "uid": _common(account["uid"] for account in accounts),
        "justification": "",
        "requester": "",
        "approver": "",
        "ticket": "",
        "valid_from": "",
        "valid_until": _end(accounts),
        "ssh_keys": _lines(accounts),
        "password": any(account["password"] == USABLE for account in accounts),
        "issued": _issued(hosts),
        "ssh_key_count": len(keys),
        "unknown_sudo": sorted(rule for rule in common_sudo if rule not in names),
        "differs": _differs("groups", groups, common_groups) + _differs("sudo", sudo, common_sudo) + _fields(hosts),
        "last_login": day(last // DAY) if last else "",
    }


def _groups(account: Mapping[str, Any], names: Mapping[int, str]) -> list[str]:
    """The groups of an account, its primary one as well where it is more than its own."""
    groups = set(account["groups"])
    primary = names.get(account["gid"])
    if primary is not None and primary not in ORDINARY_PRIMARY:
        groups.add(primary)
    return sorted(groups - {account["name"]})


def _kind(accounts: list[Mapping[str, Any]]) -> str:
    """A guess at the kind; the reviewer decides."""
    if any(account.get("admin") or any(map(grants_all, account["sudo"])) for account in accounts):
        return "administrator"
    used = any(account["last_login"] is not None for account in accounts)
    if not used and any(account.get("cron") for account in accounts):
        return "batch"
    closed = all(account["password"] != USABLE and not account["keys"] for account in accounts)
    if not used and (closed or all(account["shell"] in NO_SHELL for account in accounts)):
        return "service"
    return "person"


def _end(accounts: list[Mapping[str, Any]]) -> str | None:
    """The last day of validity, where every host has the same; the ledger names the day before the expiry."""
    expires = _common(account["expires"] for account in accounts)
    return None if expires is None else day(expires - 1)


def _issued(hosts: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """When each host's password was last set: who is adopted keeps it, and gets no other."""
    return {
        host: moment((account["password_changed"] or 0) * DAY)
        for host, account in sorted(hosts.items())
        if account["password"] == USABLE
    }


def _lines(accounts: list[Mapping[str, Any]]) -> list[str]:
    """The keys themselves, of hosts whose state holds them, that every host has."""
    lines = [{key["line"] for key in account["keys"] if key.get("line")} for account in accounts]
    return sorted(set.intersection(*lines))


def _common(values: Iterable[Any]) -> Any:
    """The value that all share; None where they differ."""
    first, *others = values
    return first if all(value == first for value in others) else None


def _differs(what: str, has: Mapping[str, set[str]], common: set[str]) -> list[str]:
    """What single hosts give beyond all of them."""
    return [f"{host}: {what} {', '.join(sorted(own - common))}" for host, own in sorted(has.items()) if own - common]


def _fields(hosts: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Single values that are not the same everywhere."""
    accounts = list(hosts.values())
    return [
        "%s: %s" % (name, ", ".join(f"{host} {account[name]}" for host, account in sorted(hosts.items())))
        for name in ("gecos", "uid", "shell", "expires")
        if any(account[name] != accounts[0][name] for account in accounts)
    ]
