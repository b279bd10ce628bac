# SPDX-License-Identifier: GPL-3.0-or-later
"""What the account ledger wants of each host, as the role accounts applies it and the reconciliation compares it."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ..ledger.book import State
from ..ledger.books.accounts import AccountContext

EPOCH = datetime.date(1970, 1, 1)

ON_HOSTS = frozenset({"approved", "active", "suspended", "disabled", "removed"})
"""Statuses of accounts that hosts have, or had."""

Issue = Callable[[Mapping[str, Any], list[str]], Any]
"""Makes an initial password for an account on some hosts; returns what `handover.issue_password` does."""


def gecos(person: str) -> str:
    """A person's name as passwd(5) takes it: without the signs that separate its fields.

    Args:
        person: the name.
    """
    return re.sub(r"[:,\s]+", " ", person).strip()


def state_on(fields: Mapping[str, Any], today: datetime.date) -> tuple[str, str]:
    """What a host must have of an account.

    Args:
        fields: the account.
        today: the date.

    Returns:
        present, locked or absent, and why.
    """
    status, day = fields["status"], today.isoformat()
    if status == "removed":
        return "absent", "removed: %s" % fields["status_reason"]
    if status in ("suspended", "disabled"):
        return "locked", "%s: %s" % (status, fields["status_reason"])
    if fields["valid_until"] is not None and fields["valid_until"] < day:
        return "locked", "it ended on %s" % fields["valid_until"]
    if fields["valid_from"] > day:
        return "locked", "it begins on %s" % fields["valid_from"]
    return "present", ""


def expected(fields: Mapping[str, Any], rules: Mapping[str, str], today: datetime.date) -> dict[str, Any]:
    """An account as hosts take it.

    Args:
        fields: the account.
        rules: sudo rules by name, as sudoers(5) writes them behind the user's name.
        today: the date.
    """
    state, reason = state_on(fields, today)
    until = fields["valid_until"]
    return {
        "login": fields["login"],
        "person": gecos(fields["person"]),
        "kind": fields["kind"],
        "state": state,
        "reason": reason,
        "uid": fields["uid"],
        "home": "/home/%s" % fields["login"],
        "shell": fields["shell"],
        "groups": list(fields["groups"]),
        "sudo": [rules[name] for name in fields["sudo"] if name in rules],
        "keys": list(fields["ssh_keys"]),
        # shadow(5): the first day on which the account is closed.
        "expires": None if until is None else (datetime.date.fromisoformat(until) - EPOCH).days + 1,
        "password": fields["password"],
        "password_hash": None,
    }


def make_plan(
    accounts: Iterable[State],
    hosts: Sequence[str],
    context: AccountContext,
    rules: Mapping[str, str],
    today: datetime.date,
    issue: Issue | None = None,
) -> dict[str, Any]:
    """What hosts must look like.

    Args:
        accounts: all entries of the account book.
        hosts: the hosts of the run.
        context: the inventory's groups.
        rules: sudo rules by name.
        today: the date.
        issue: makes initial passwords for accounts that have none on a host yet; None to make none.

    Returns:
        accounts (login -> what a host must have), hosts (host -> login -> what is different there), since (login ->
        its department, and when it was activated and its passwords were issued), excepted (logins that an exception
        allows beside another of the same person), issued (login -> the sealed message and whom it is for) and
        unknown_rules (names of sudo rules that an account has and that are not defined).
    """
    wanted = set(hosts)
    plan: dict[str, Any] = {
        "accounts": {},
        "hosts": {host: {} for host in hosts},
        "since": {},
        "excepted": [],
        "issued": {},
        "unknown_rules": {},
    }
    for state in accounts:
        fields = state.fields
        if fields["status"] not in ON_HOSTS or _not_begun(fields, today):
            continue
        here = sorted(context.reach(fields["hosts"]) & wanted)
        former = sorted((context.reach(fields["former_hosts"]) & wanted) - set(here))
        if not here and not former:
            continue
        account = expected(fields, rules, today)
        plan["accounts"][state.key] = account
        plan["since"][state.key] = {name: fields[name] for name in ("department", "issued", "active_since")}
        if fields["exception"]:
            plan["excepted"].append(state.key)
        for host in here:
            plan["hosts"][host][state.key] = {}
        for host in former:
            plan["hosts"][host][state.key] = {"state": "absent", "reason": "it is not for this host any more"}
        unknown = [name for name in fields["sudo"] if name not in rules]
        if unknown:
            plan["unknown_rules"][state.key] = unknown
        due = [host for host in here if host not in fields["issued"]]
        if issue is not None and account["state"] == "present" and account["password"] and due:
            _issue(plan, fields, due, issue)
    return plan


def _not_begun(fields: Mapping[str, Any], today: datetime.date) -> bool:
    """An approved account whose first day has not come is on no host yet."""
    return bool(fields["status"] == "approved" and fields["valid_from"] > today.isoformat())


def _issue(plan: dict[str, Any], fields: Mapping[str, Any], due: list[str], issue: Issue) -> None:
    made = issue(fields, due)
    for host in due:
        plan["hosts"][host][fields["login"]] = {"password_hash": made.password_hash}
    plan["issued"][fields["login"]] = {
        "hosts": due,
        "how": made.sealed.how,
        "recipient": made.sealed.recipient,
        "text": made.sealed.text,
    }


def on_host(plan: Mapping[str, Any], host: str) -> dict[str, dict[str, Any]]:
    """What a plan wants of one host, as the reconciliation takes it.

    Args:
        plan: what `make_plan` returned.
        host: its name in the inventory.

    Returns:
        Login -> account, with `department`, `active_since` and, where an initial password was set there, `issued`.
    """
    wanted = {}
    for login, overrides in plan["hosts"].get(host, {}).items():
        since = plan["since"][login]
        wanted[login] = {**plan["accounts"][login], **overrides, **since, "issued": since["issued"].get(host)}
    return wanted
