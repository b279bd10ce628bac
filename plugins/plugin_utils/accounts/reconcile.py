# SPDX-License-Identifier: GPL-3.0-or-later
"""Holds hosts against the account ledger. Pure functions: JSON values in, findings out.

One host at a time: :func:`reconcile_host` keeps of a host only what later hosts are compared with, so that a fleet
is judged in little memory. :func:`reconcile_all` then finds what no single host can show.
"""

from __future__ import annotations

import functools
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

from ...module_utils.host_accounts.keys import parse_line
from ...module_utils.host_accounts.sudo import normalised
from .findings import KINDS, SEVERITIES, Finding, Note, finding

DAY = 86400
"""Seconds."""

USABLE = "usable"
"""What the state says of a password that can be logged in with."""

EMPTY = "empty"
"""What the state says of a password that is none, and opens the account."""

UNATTENDED = ("service", "batch")
"""Kinds of account that nobody logs in with."""

STATUSES = ("suspended:", "disabled:")
"""How the reason begins of an account that its status closes, and not its dates."""

SHARED = "shared-exception"
"""The kind of account that the ledger allows several persons to use."""

ORDINARY_PRIMARY = ("users",)
"""Groups besides an account's own that are no right when they are its primary group."""

DEBIAN_SUDO = ("root", "%sudo")
"""Whom Debian's own sudoers names."""

NAMED = 20
"""Hosts or accounts that one finding names at most."""

_SUDO_NAMES = re.compile(r"(?:[^\s,\\]|\\.)+")
_NO_GRANT = re.compile(r"^(?:Defaults|[A-Z][a-z]+_Alias\b|@|#include)")


class Options(NamedTuple):
    """What an operator decides about reconciliation.

    Attributes:
        unused_days: days without a login after which an account is unused; 1 or more.
        never_changed_days: days that an initial password may stay; 0 or more.
        max_keys: SSH keys that an account may have; None for as many as the ledger gives it, at least one.
        ignored: login -> why it is left out.
        excepted: logins that an exception in the ledger allows beside another account of the same person.
        sudo_known: further names that sudo rules may bear (``name`` or ``%group``).
        admin_groups: groups that the ledger gives to administrators.
        now: Unix time; None for each host's own clock.
    """

    unused_days: int = 90
    never_changed_days: int = 7
    max_keys: int | None = None
    ignored: Mapping[str, str] = {}
    excepted: frozenset[str] = frozenset()
    sudo_known: frozenset[str] = frozenset()
    admin_groups: frozenset[str] = frozenset({"sudo"})
    now: int | None = None

    @classmethod
    def of(cls, given: Mapping[str, Any] | Options | None) -> Options:
        """Take options as an operator writes them.

        Args:
            given: the attributes by name; ``ignored`` as a list of ``{name: ..., reason: ...}`` or as a mapping.

        Raises:
            ValueError: an option is unknown, or of a value that it cannot have.
        """
        if isinstance(given, Options):
            return given
        values = dict(given or {})
        if unknown := sorted(values.keys() - set(cls._fields)):
            raise ValueError(f"options: {unknown[0]} is unknown; known are {', '.join(cls._fields)}")
        for name, least, clause in (("unused_days", 1, "SM-4.1.3-3"), ("never_changed_days", 0, "ST-8-2")):
            _whole(values.get(name, least), name, least, clause)
        if values.get("max_keys") is not None:
            _whole(values["max_keys"], "max_keys", 0, "GL-2.1-1")
        for name in ("excepted", "sudo_known", "admin_groups"):
            if name in values:
                values[name] = frozenset(values[name])
        if "ignored" in values:
            values["ignored"] = _ignored(values["ignored"])
        return cls(**values)


def _whole(value: Any, name: str, least: int, clause: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"options: {name} is {value!r}; it must be a whole number from {least} (clause {clause})")


def _ignored(given: Any) -> dict[str, str]:
    """The ignored names with their reasons; a name without a reason is refused."""
    entries = given if isinstance(given, Mapping) else {}
    if not isinstance(given, Mapping):
        for item in given:
            if not isinstance(item, Mapping) or "name" not in item:
                raise ValueError(f"options: ignored holds {item!r}; each must be {{name: ..., reason: ...}}")
        entries = {item["name"]: item.get("reason") for item in given}
    for name, reason in entries.items():
        if not isinstance(reason, str) or not reason.strip():
            raise ValueError(f"options: ignored {name!r} has no reason (clause GL-2.1-6)")
    return dict(entries)


class AccountUse(NamedTuple):
    """What of one account on one host matters to other hosts.

    Attributes:
        login: its name.
        identity: whose it is: the person, or the login where no person is known.
        person: whether ``identity`` is a person.
        kind: the ledger's kind, or an empty text for an account that is not in it.
        keys: fingerprints of the SSH keys that open it.
        limit: keys that it may have; None where nothing says so.
        active: whether the host lets it in, with the ledger's consent or none.
        use: ``used``, ``unused``, ``unknown``, or empty where it is not judged.
        since: Unix time of the last login, or from when none is counted.
    """

    login: str
    identity: str
    person: bool
    kind: str
    keys: tuple[str, ...]
    limit: int | None
    active: bool
    use: str
    since: int | None


@dataclass(slots=True)
class HostResult:
    """What came out for one host.

    Attributes:
        host: its name in the inventory.
        findings: what differs.
        accounts: how many accounts the host has, its system accounts left out.
        uses: what reconcile_all compares.
        ignored: (login, reason) of what was left out.
        problems: what could not be read or judged.
        unreached: why there is no state of the host; empty where there is one.
        time: when the state was read, Unix time.
    """

    host: str
    findings: list[Finding] = field(default_factory=list)
    accounts: int = 0
    uses: list[AccountUse] = field(default_factory=list)
    ignored: list[tuple[str, str]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    unreached: str = ""
    time: int | None = None

    @property
    def counts(self) -> dict[str, int]:
        """Findings by kind."""
        return dict(Counter(found.kind for found in self.findings))

    @property
    def keys(self) -> dict[str, tuple[str, ...]]:
        """Fingerprints of SSH keys by login."""
        return {use.login: use.keys for use in self.uses}


@dataclass(slots=True)
class HostSummary:
    """A host in the whole: how many accounts it has, and its findings by severity."""

    host: str
    accounts: int
    severities: dict[str, int]
    time: int | None


@dataclass(slots=True)
class Idle:
    """A login that some host calls unused: since when at the latest, on which hosts, and whether that is all."""

    since: int
    hosts: list[str]
    everywhere: bool = True


@dataclass(slots=True)
class Reconciliation:
    """What came out for all hosts.

    Attributes:
        findings: worst first, then by kind, host and login.
        kinds: kind -> number of findings, every kind named.
        severities: severity -> number of findings, every severity named.
        hosts: the hosts that were read.
        unreached: (host, why) of those that were not.
        ignored: (login, reason) -> on how many hosts it was left out.
        problems: (host, what could not be read or judged).
        accounts: accounts on all hosts.
        idle: login -> where it is unused.
    """

    findings: list[Finding] = field(default_factory=list)
    kinds: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    severities: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SEVERITIES, 0))
    hosts: list[HostSummary] = field(default_factory=list)
    unreached: list[tuple[str, str]] = field(default_factory=list)
    ignored: dict[tuple[str, str], int] = field(default_factory=dict)
    problems: list[tuple[str, str]] = field(default_factory=list)
    accounts: int = 0
    idle: dict[str, Idle] = field(default_factory=dict)


# ---- one host -------------------------------------------------------------------------------------------------------


def reconcile_host(
    host: str,
    expected: Mapping[str, Mapping[str, Any]],
    state: Mapping[str, Any],
    options: Mapping[str, Any] | Options | None = None,
) -> HostResult:
    """Hold one host against the ledger.

    Args:
        host: its name in the inventory.
        expected: login -> what the ledger wants there. ``issued`` and ``active_since`` (ISO 8601), where given, say
            when the initial password was handed over and since when the account is active.
        state: what the host is, as module_utils/host_accounts reads it.
        options: see :class:`Options`.

    Raises:
        ValueError: the state lacks a part, or an option is wrong.
    """
    chosen = Options.of(options)
    try:
        return _Judge(host, expected, state, chosen).result
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{host}: the state of its accounts cannot be used: {type(error).__name__}: {error}"
        ) from error


def unreached(host: str, why: str, expected: Iterable[str] = ()) -> HostResult:
    """The result of a host that could not be read.

    Args:
        host: its name in the inventory.
        why: the error, as an operator would read it.
        expected: logins that the ledger wants there. Nobody can say that they are unused.
    """
    uses = [AccountUse(login, login, False, "", (), None, False, "unknown", None) for login in expected]
    return HostResult(host, uses=uses, unreached=why)


class _Judge:
    """Judges the accounts of one host, one after the other."""

    def __init__(
        self, host: str, expected: Mapping[str, Mapping[str, Any]], state: Mapping[str, Any], options: Options
    ) -> None:
        self.host = host
        self.expected = expected
        self.state = state
        self.options = options
        self.now = int(state["time"] if options.now is None else options.now)
        self.today = self.now // DAY
        self.group_names = {group["gid"]: name for name, group in state.get("groups", {}).items()}
        self.left_out = dict(options.ignored)
        if state.get("login_account"):
            self.left_out.setdefault(state["login_account"], "the account that the run logs in with")
        self.unjudged = 0
        self.result = HostResult(host, time=state["time"])
        self._accounts()

    def _accounts(self) -> None:
        """Judge everything that the host has, then what it lacks."""
        judged = []
        present = set()
        for account in self.state["accounts"]:
            login = account["name"]
            present.add(login)
            if not account.get("system"):
                self.result.accounts += 1
            if login in self.left_out:
                self.result.ignored.append((login, self.left_out[login]))
                continue
            judged.append(account)
            self._secrets(account)
            entry = self.expected.get(login)
            if entry is None:
                self._unknown(account)
            else:
                self._known(account, entry)
        for login, entry in self.expected.items():
            if login not in present and entry["state"] == "present" and login not in self.left_out:
                self._add(login, "missing")
        self._user_ids(judged)
        self._same_keys()
        self._sudo_others()
        self._problems()

    def _add(self, login: str, kind: str, *notes: Note, since: str | None = None, severity: str | None = None) -> None:
        self.result.findings.append(finding(self.host, login, kind, *notes, since=since, severity=severity))

    # -- every account --

    def _secrets(self, account: Mapping[str, Any]) -> None:
        """Passwords that are none, whoever's they are."""
        if account["password"] == EMPTY:
            self._add(account["name"], "empty_password")
        if account.get("weak"):
            self._add(account["name"], "weak", ("guessed", account["weak"]))
        if account["uid"] == 0 and account["name"] != "root":
            self._add(account["name"], "uid_zero")

    def _open(self, account: Mapping[str, Any]) -> bool:
        """Whether a password or a key opens the account today.

        A shell such as nologin does not close it: sshd still authenticates, and forwards. Keys that cannot be read
        are taken to open it.
        """
        expires = account["expires"]
        if expires is not None and self.today >= expires:
            return False
        return account["password"] in (USABLE, EMPTY) or bool(account["keys"] or account.get("unreadable_keys"))

    # -- accounts that the ledger does not know --

    def _unknown(self, account: Mapping[str, Any]) -> None:
        opened = self._open(account)
        system = bool(account.get("system"))
        if opened or not system:
            self._remember(account, None, opened and not system)
        if account["uid"] == 0 and account["name"] != "root":
            return
        if account.get("admin") and account["uid"] != 0:
            self._add(account["name"], "unknown_administrator", *self._about(account, opened))
        elif not system:
            self._add(account["name"], "unregistered", *self._about(account, opened))
        elif opened:
            system_note = ("system", str(account["uid"]))
            self._add(account["name"], "unregistered", system_note, *self._about(account, opened))

    def _about(self, account: Mapping[str, Any], opened: bool) -> Iterator[Note]:
        """What a reader has to know about an account that nobody registered."""
        if person := _full_name(account):
            yield "person", person
        if groups := self._groups(account):
            yield "groups", ", ".join(sorted(groups))
        if account["sudo"]:
            yield "sudo", "; ".join(account["sudo"])
        yield ("ways", _ways(account)) if opened else ("no_way", account["password"])
        if account["last_login"] is not None:
            yield "last_login", moment(account["last_login"])

    # -- accounts that the ledger knows --

    def _known(self, account: Mapping[str, Any], entry: Mapping[str, Any]) -> None:
        opened = self._open(account)
        if entry["state"] != "present":
            self._ended(account, entry, opened)
            return
        login = account["name"]
        ended = entry["expires"] is not None and self.today >= entry["expires"]
        if ended and opened:
            end = day(entry["expires"])
            self._add(login, "expired", ("ended", end), ("ways", _ways(account)), since=end)
        more, less = self._differences(account, entry, ended and opened)
        if more or less:
            self._add(login, "rights", *more, *less, severity=None if more else "medium")
        granted = any(code in ("groups_more", "sudo_more", "uid") for code, _value in more)
        if account.get("admin") and not granted and not self._administrator(entry):
            self._add(login, "unknown_administrator", ("not_by_ledger", self._admin_rules(account)))
        limit = self._key_limit(entry)
        if limit is not None and len(account["keys"]) > limit:
            self._add(login, "shared", ("many_keys", f"{len(account['keys'])} > {limit}"))
        self._initial_password(account, entry, opened)
        use, since = ("", None) if ended or not opened else self._use(account, entry)
        self._remember(account, entry, opened, use, since)

    def _ended(self, account: Mapping[str, Any], entry: Mapping[str, Any], opened: bool) -> None:
        """An account that the ledger suspended or ended must open to nobody, and hold nobody and nothing at work."""
        notes: list[Note] = [("reason", entry["reason"])] if entry.get("reason") else []
        active: list[Note] = [("ways", _ways(account))] if opened else []
        active += [(code, str(account[code])) for code in ("sessions", "processes", "at") if account.get(code)]
        if account.get("cron"):
            active.append(("cron", account["name"]))
        if active and self._over(entry):
            self._add(account["name"], "expired", *notes, *active, since=day(entry["expires"]))
        elif active:
            self._add(account["name"], "leaver", *notes, *active)
        elif entry["state"] == "absent":
            self._add(account["name"], "remaining", *notes)
        self._remember(account, entry, False)

    def _over(self, entry: Mapping[str, Any]) -> bool:
        """Whether nothing but the end of its validity closed the account."""
        by_status = entry["state"] == "absent" or (entry.get("reason") or "").startswith(STATUSES)
        return not by_status and entry["expires"] is not None and bool(self.today >= entry["expires"])

    def _differences(
        self, account: Mapping[str, Any], entry: Mapping[str, Any], ended: bool
    ) -> tuple[list[Note], list[Note]]:
        """What the host gives more, and less, than the ledger."""
        more: list[Note] = []
        less: list[Note] = []
        has, wanted = self._groups(account), set(entry["groups"])
        if has != wanted:
            _both("groups", has, wanted, ", ", more, less)
        if account["sudo"] or entry["sudo"]:
            _both("sudo", set(map(_rule, account["sudo"])), set(map(_rule, entry["sudo"])), "; ", more, less)
        if account["keys"] or entry["keys"]:
            self._key_differences(account, entry, more, less)
        if account.get("unreadable_keys"):
            more.append(("keys_unread", account["unreadable_keys"]))
        if entry.get("shell") and account["shell"] != entry["shell"]:
            more.append(("shell", _instead(account["shell"], entry["shell"])))
        if entry.get("uid") is not None and account["uid"] != entry["uid"]:
            more.append(("uid", _instead(account["uid"], entry["uid"])))
        if account["expires"] != entry["expires"] and not ended:
            later = account["expires"] is None or (entry["expires"] or sys.maxsize) < account["expires"]
            dates = _instead(day(account["expires"]), day(entry["expires"]))
            (more if later else less).append(("expires", dates))
        if entry.get("password") and account["password"] in ("locked", "none"):
            less.append(("password_less", account["password"]))
        return more, less

    def _key_differences(
        self, account: Mapping[str, Any], entry: Mapping[str, Any], more: list[Note], less: list[Note]
    ) -> None:
        has = {key["fingerprint"] for key in account["keys"]}
        wanted = set()
        for line in entry["keys"]:
            print_ = fingerprint(line)
            if print_ is None:
                less.append(("ledger_key", line[:60]))
            else:
                wanted.add(print_)
        if has != wanted:
            _both("keys", has, wanted, ", ", more, less)

    def _groups(self, account: Mapping[str, Any]) -> set[str]:
        """The groups that an account is in, its own left out.

        A primary group counts as well: whoever has the group id of sudo is in sudo, and listed nowhere.
        """
        groups = set(account["groups"])
        primary = self.group_names.get(account["gid"])
        if primary is not None and primary not in ORDINARY_PRIMARY:
            groups.add(primary)
        groups.discard(account["name"])
        return groups

    def _key_limit(self, entry: Mapping[str, Any]) -> int | None:
        if entry["kind"] == SHARED:
            return None
        return max(1, len(entry["keys"])) if self.options.max_keys is None else self.options.max_keys

    def _administrator(self, entry: Mapping[str, Any]) -> bool:
        """Whether the ledger makes the account an administrator."""
        if entry["kind"] == "administrator" or any(map(grants_all, entry["sudo"])):
            return True
        return bool(self.options.admin_groups.intersection(entry["groups"]))

    def _admin_rules(self, account: Mapping[str, Any]) -> str:
        """The rules of others that make an account an administrator."""
        names = {f"%{group}" for group in self._groups(account)} | {f"%{account['name']}", "ALL"}
        rules = [rule for rule in self.state.get("sudo_others", []) if names.intersection(sudo_names(rule))]
        return "; ".join(rules) or "-"

    def _initial_password(self, account: Mapping[str, Any], entry: Mapping[str, Any], opened: bool) -> None:
        """An initial password that is still in place after its days."""
        if not opened or account["password"] != USABLE:
            return
        issued = epoch(entry.get("issued"))
        changed = account["password_changed"]
        older = issued is not None and changed is not None and changed < issued // DAY
        if not account["must_change"] and not older:
            return
        since = account.get("created") if issued is None else issued
        if since is None:
            self._add(account["name"], "never_changed")
        elif self.now - since > self.options.never_changed_days * DAY:
            self._add(account["name"], "never_changed", ("issued", moment(since)), since=moment(since))

    def _use(self, account: Mapping[str, Any], entry: Mapping[str, Any]) -> tuple[str, int | None]:
        """Whether somebody used the account lately, and since when not."""
        if entry["kind"] in UNATTENDED:
            return "", None
        if account.get("sessions"):
            return "used", None
        last = account["last_login"]
        granted = [epoch(entry.get("issued")), epoch(entry.get("active_since"))]
        if last is None and account.get("last_login_source") == "none":
            starts: list[int | None] = []
        elif last is None:
            changed = account["password_changed"]
            starts = [account.get("created"), None if not changed else changed * DAY, *granted]
        else:
            starts = [last, *granted]
        known = [start for start in starts if start is not None]
        if not known:
            self.unjudged += 1
            return "unknown", None
        since = max(known)
        if self.now - since <= self.options.unused_days * DAY:
            return "used", since
        when = moment(since)
        self._add(account["name"], "unused", ("never_since" if last is None else "last_login", when), since=when)
        return "unused", since

    def _remember(
        self,
        account: Mapping[str, Any],
        entry: Mapping[str, Any] | None,
        active: bool,
        use: str = "",
        since: int | None = None,
    ) -> None:
        """Keep what other hosts are compared with. Equal texts of many hosts are one text in memory."""
        login = sys.intern(account["name"])
        person = _identity(entry["person"] if entry and entry.get("person") else _full_name(account))
        keys = tuple([sys.intern(key["fingerprint"]) for key in account["keys"]])
        kind = sys.intern(entry["kind"]) if entry else ""
        limit = self._key_limit(entry) if entry else None
        self.result.uses.append(AccountUse(login, person or login, bool(person), kind, keys, limit, active, use, since))

    # -- the host as a whole --

    def _user_ids(self, accounts: Sequence[Mapping[str, Any]]) -> None:
        """User ids that several names have. Of root's own, uid_zero speaks."""
        if len({account["uid"] for account in accounts}) == len(accounts):
            return
        names: dict[int, list[str]] = {}
        for account in accounts:
            names.setdefault(account["uid"], []).append(account["name"])
        for uid, logins in sorted(names.items()):
            if uid == 0 or len(logins) < 2:
                continue
            # The finding belongs to the one that came last: registered ones first, then by name.
            *others, last = sorted(logins, key=lambda login: (login not in self.expected, login))
            self._add(last, "duplicate_uid", ("uid", str(uid)), ("same_uid", ", ".join(others)))

    def _same_keys(self) -> None:
        """Keys that open accounts of several persons on this host."""
        for key, uses in _by_key((use, "") for use in self.result.uses).items():
            if len(uses) > 1 and _several([use for use, _hosts in uses.values()]):
                logins = sorted(uses)
                self._add(logins[0], "shared", ("key", key), ("accounts", ", ".join(logins)))

    def _sudo_others(self) -> None:
        """Sudo rules for names that nobody gave any."""
        others = self.state.get("sudo_others", [])
        if not others:
            return
        known = {*DEBIAN_SUDO, *self.options.sudo_known, *self.left_out}
        for login, entry in self.expected.items():
            if entry["state"] == "present":
                known.add(login)
                known.update(f"%{group}" for group in entry["groups"])
        for rule in others:
            for name in sudo_names(rule):
                if name not in known:
                    self._add(name, "sudo_unknown", ("rule", _rule(rule)))

    def _problems(self) -> None:
        """What could not be judged is said, never passed over."""
        problems = self.result.problems
        problems += [str(problem) for problem in self.state.get("problems", [])]
        if self.state.get("untried"):
            problems.append(f"password hashes not tried for lack of time: {self.state['untried']}")
        if self.unjudged:
            problems.append(f"accounts whose last login is not known: {self.unjudged}")


# ---- all hosts ------------------------------------------------------------------------------------------------------


def reconcile_all(results: Iterable[HostResult], options: Mapping[str, Any] | Options | None = None) -> Reconciliation:
    """Put the hosts together, and find what spans them.

    Args:
        results: of :func:`reconcile_host` and :func:`unreached`; a generator keeps memory small.
        options: as given to reconcile_host.

    Raises:
        ValueError: an option is wrong.
    """
    chosen = Options.of(options)
    whole = Reconciliation()
    fleet = _Fleet()
    for result in results:
        fleet.add(result)
        _idle(whole.idle, result)
        whole.findings += result.findings
        whole.accounts += result.accounts
        whole.problems += [(result.host, problem) for problem in result.problems]
        for left_out in result.ignored:
            whole.ignored[left_out] = whole.ignored.get(left_out, 0) + 1
        if result.unreached:
            whole.unreached.append((result.host, result.unreached))
        else:
            severities = dict(Counter(found.severity for found in result.findings))
            whole.hosts.append(HostSummary(result.host, result.accounts, severities, result.time))
    whole.findings += fleet.findings(chosen)
    ranks = {kind: (SEVERITIES.index(about.severity), number) for number, (kind, about) in enumerate(KINDS.items())}
    severity = {name: number for number, name in enumerate(SEVERITIES)}
    whole.findings.sort(key=lambda found: (severity[found.severity], ranks[found.kind], found.host, found.login))
    whole.kinds.update(Counter(found.kind for found in whole.findings))
    whole.severities.update(Counter(found.severity for found in whole.findings))
    whole.idle = {login: idle for login, idle in whole.idle.items() if idle.hosts}
    return whole


def to_suspend(reconciliation: Reconciliation) -> list[tuple[str, str]]:
    """The accounts that nobody uses anywhere, for an operator who lets them be suspended.

    An account that one host used, or of which one host that should have it could not say, is not among them.

    Returns:
        (login, reason) in the order of logins.
    """
    return [
        (login, f"unused since {moment(idle.since)} on {_some(sorted(idle.hosts))}")
        for login, idle in sorted(reconciliation.idle.items())
        if idle.everywhere
    ]


def _idle(idles: dict[str, Idle], result: HostResult) -> None:
    """Take in what a host says about the use of its accounts."""
    for use in result.uses:
        if not use.use:
            continue
        idle = idles.get(use.login)
        if idle is None:
            idle = idles[use.login] = Idle(0, [])
        if use.use == "unused":
            idle.hosts.append(result.host)
            idle.since = max(idle.since, use.since or 0)
        else:
            idle.everywhere = False


class _Fleet:
    """The keys and persons of all hosts."""

    def __init__(self) -> None:
        self.keys: dict[str, dict[str, tuple[AccountUse, list[str]]]] = {}
        self.persons: dict[str, dict[str, list[str]]] = {}
        self.logins: dict[str, tuple[int, set[str]]] = {}
        self.over: set[str] = set()

    def add(self, result: HostResult) -> None:
        host = result.host
        _by_key(((use, host) for use in result.uses if use.keys), self.keys)
        for use in result.uses:
            if use.active and use.person and use.kind != SHARED and use.kind not in UNATTENDED:
                self.persons.setdefault(use.identity, {}).setdefault(use.login, []).append(host)
            if use.limit is not None and use.keys:
                limit, keys = self.logins.get(use.login, (0, set()))
                keys.update(use.keys)
                self.logins[use.login] = (max(limit, use.limit), keys)
                if len(use.keys) > use.limit:
                    self.over.add(use.login)

    def findings(self, options: Options) -> Iterator[Finding]:
        """What only shows in several hosts."""
        for key, uses in self.keys.items():
            if len(uses) > 1 and _several([use for use, _hosts in uses.values()]) and not _together(uses):
                named = _placed({login: hosts for login, (_use, hosts) in uses.items()})
                yield finding("", min(uses), "shared", ("key", key), ("accounts", named))
        for login, (limit, keys) in self.logins.items():
            # What one host alone shows was said there.
            if len(keys) > limit and login not in self.over:
                yield finding("", login, "shared", ("many_keys", f"{len(keys)} > {limit}"))
        for person, logins in self.persons.items():
            counted = [login for login in sorted(logins) if login not in options.excepted]
            if len(logins) > 1 and counted:
                named = _placed(logins)
                yield finding("", counted[-1], "second_account", ("person", person), ("accounts", named))


def _by_key(
    uses: Iterable[tuple[AccountUse, str]],
    index: dict[str, dict[str, tuple[AccountUse, list[str]]]] | None = None,
) -> dict[str, dict[str, tuple[AccountUse, list[str]]]]:
    """Fingerprint -> login -> a use of it, and the hosts where the key opens that login."""
    index = {} if index is None else index
    for use, host in uses:
        for key in use.keys:
            logins = index.get(key)
            if logins is None:
                logins = index[key] = {}
            if use.login in logins:
                logins[use.login][1].append(host)
            else:
                logins[use.login] = (use, [host])
    return index


def _several(uses: list[AccountUse]) -> bool:
    """Whether accounts are of several persons; those that the ledger lets be shared count for nobody."""
    return len({use.identity for use in uses if use.kind != SHARED}) > 1


def _together(uses: Mapping[str, tuple[AccountUse, list[str]]]) -> bool:
    """Whether one host has all these logins with the key, and so has said it."""
    return bool(set.intersection(*(set(hosts) for _use, hosts in uses.values())))


def _placed(logins: Mapping[str, list[str]]) -> str:
    """Logins, each with its hosts."""
    return _some([f"{login} ({_some(sorted(set(hosts)), 3)})" for login, hosts in sorted(logins.items())])


def _some(names: Sequence[str], most: int = NAMED) -> str:
    """Names in one line; of many, the first and how many more."""
    return ", ".join(names[:most]) + (f" +{len(names) - most}" if len(names) > most else "")


# ---- texts, keys, times ---------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=65536)
def fingerprint(line: str) -> str | None:
    """The fingerprint of a line of authorized_keys(5), as ``ssh-keygen -l`` prints it.

    Args:
        line: options, type, key in base64, comment.

    Returns:
        ``SHA256:`` and the digest of the key in base64 without padding; None when the line holds no key.
    """
    key = parse_line(line)
    return None if key is None else key.fingerprint


def sudo_names(rule: str) -> list[str]:
    """The users and groups that a rule of sudoers(5) names; those that it excludes (``!``) left out.

    Args:
        rule: ``User_List Host_List = ...``; other lines name nobody.
    """
    rule = rule.strip()
    if _NO_GRANT.match(rule) or "=" not in rule:
        return []
    names = []
    rest = rule.split("=", 1)[0]
    while match := _SUDO_NAMES.match(rest):
        names.append(match.group())
        rest = rest[match.end() :].lstrip()
        if not rest.startswith(","):
            break
        rest = rest[1:].lstrip()
    return [name for name in names if not name.startswith("!")]


@functools.lru_cache(maxsize=4096)
def grants_all(rule: str) -> bool:
    """Whether a sudo rule gives every command as root.

    Args:
        rule: ``HOSTS=(RUNAS) TAGS: COMMANDS``, with or without the user before it; see sudoers(5).
    """
    commands = rule.partition("=")[2].strip()
    runas = "root"
    if commands.startswith("("):
        runas, _, commands = commands[1:].partition(")")
        runas = runas.split(":")[0]
    users = {name.strip() for name in runas.split(",")}
    words = {re.sub(r"^(?:[A-Z_]+:\s*)+", "", command.strip()) for command in commands.split(",")}
    return "ALL" in words and bool(users & {"ALL", "root", "#0"})


def moment(time: int) -> str:
    """Unix time as ISO 8601, UTC."""
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def day(days: int | None) -> str:
    """Days since 1970, as shadow(5) counts, as an ISO date; ``never`` for None."""
    return "never" if days is None else (date(1970, 1, 1) + timedelta(days=days)).isoformat()


@functools.lru_cache(maxsize=65536)
def epoch(text: str | None) -> int | None:
    """Unix time of an ISO 8601 date or time; UTC where it names no zone. None for no text.

    Raises:
        ValueError: the text is no such time.
    """
    if not text:
        return None
    time = datetime.fromisoformat(text)
    return int((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp())


def _both(what: str, has: set[str], wanted: set[str], between: str, more: list[Note], less: list[Note]) -> None:
    """Note what a host has more, and less, of something."""
    if extra := has - wanted:
        more.append((f"{what}_more", between.join(sorted(extra))))
    if lacking := wanted - has:
        less.append((f"{what}_less", between.join(sorted(lacking))))


def _instead(has: Any, wanted: Any) -> str:
    """A value and the one that the ledger wants."""
    return f"{has} ≠ {wanted}"


@functools.lru_cache(maxsize=4096)
def _rule(text: str) -> str:
    """A sudo rule in the form in which a host's state has it."""
    return normalised(text)


def _ways(account: Mapping[str, Any]) -> str:
    """What opens an account."""
    ways = [] if account["password"] not in (USABLE, EMPTY) else ["password"]
    if account["keys"]:
        ways.append(f"SSH key {', '.join(key['fingerprint'] for key in account['keys'])}")
    if account.get("unreadable_keys"):
        ways.append("SSH keys that could not be read")
    return "; ".join(ways)


def _full_name(account: Mapping[str, Any]) -> str:
    """The person that passwd(5) names: the first field of GECOS."""
    return (account.get("gecos") or "").split(",")[0].strip()


@functools.lru_cache(maxsize=65536)
def _identity(person: str) -> str:
    """A person's name in the form in which names are compared."""
    return sys.intern(" ".join(person.split()).casefold())
