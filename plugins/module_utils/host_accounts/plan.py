# SPDX-License-Identifier: GPL-3.0-or-later
"""Work out how a host's accounts become what the ledger says, and what forbids it. Nothing is changed here."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ..facts.accounts import login_defs, password_state
from ..facts.host import Host
from . import activity, sudo
from .activity_end import to_hold, to_restore
from .databases import Databases, is_number, is_system, number
from .expected import NO_AGEING_KINDS, UNTOUCHABLE, Account
from .homes import HomeError, check_parent, mounts_below, read_key_file, room_in, size_of
from .keys import DEFAULT_FILES, key_files, read_keys
from .state import RECORD, login_account, read_record

Json = dict[str, Any]
Read = Callable[[str], "str | None"]

EXPIRED = "1"
"""Field 8 of shadow(5) of a locked account: a day long ago. 0 would mean that it never expires to some programs."""

AGEING = ("PASS_MIN_DAYS", "PASS_MAX_DAYS", "PASS_WARN_AGE")
"""Keys of login.defs(5), in the order of fields 4 to 6 of shadow(5)."""

LARGEST_ID_RANGE = 600100000
MAIL = "/var/mail"


@dataclass
class Work:
    """What is to be done for one account beside the account files."""

    account: Account
    uid: int
    gid: int
    home: str
    what: list[str] = field(default_factory=list)
    make_home: bool = False
    keys: str | None = None
    hold: list[str] = field(default_factory=list)
    restore: dict[str, str] = field(default_factory=dict)
    running: int = 0
    remove: bool = False


@dataclass
class Plan:
    """What a run does."""

    problems: list[str] = field(default_factory=list)
    created: list[str] = field(default_factory=list)
    changed: dict[str, list[str]] = field(default_factory=dict)
    locked: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    passwords: list[str] = field(default_factory=list)
    ended: dict[str, int] = field(default_factory=dict)
    works: list[Work] = field(default_factory=list)
    texts: dict[str, str | None] = field(default_factory=dict)
    gone: list[tuple[str, str]] = field(default_factory=list)
    before: dict[str, str] = field(default_factory=dict)
    after: dict[str, str] = field(default_factory=dict)


class Planner:
    """Compares a host with the accounts that it must have.

    Args:
        host: the host.
        read: gives a file's text as it is, or will be when an interrupted run is finished; None where there is none.
        options: login_account, archive_directory and may_remove_last_administrator, see `apply.main`.
    """

    def __init__(self, host: Host, read: Read, options: Json) -> None:
        self.host, self.options = host, options
        self.was, self.now = Databases(read), Databases(read)
        self.settings = login_defs(host, set())
        self.old_rules = sudo.our_rules(read(sudo.OURS) or "")
        self.rules: dict[str, list[str]] = {}
        self.sudo_before = read(sudo.OURS)
        self.record_before = read(RECORD)
        self.record = read_record(host)
        self.today = int(time.time() // 86400)
        self.processes = activity.processes(host)
        self.at_jobs = activity.at_jobs(host)
        self.lingering = activity.lingering(host)
        self.login_accounts = self._login_accounts()
        self.uids: dict[str, list[str]] = {}
        for row in self.was.passwd.records():
            self.uids.setdefault(row[2], []).append(row[0])
        self.last_uid = int(self.record.get("last_uid", 0))
        self.plan = Plan()

    def _login_accounts(self) -> set[str]:
        """Who must not be touched, as this very run came in by it."""
        names = {int(row[2]): row[0] for row in self.was.passwd.records() if is_number(row[2])}
        return {str(self.options.get("login_account") or "root"), login_account(names)}

    # --- the whole

    def make(self, accounts: list[Account]) -> Plan:
        """Plan for all accounts; with problems, nothing may be done."""
        plan = self.plan
        plan.problems += ["%s: is missing on this host" % path for path in self.was.missing()]
        if plan.problems:
            return plan
        allowed = []
        for account in accounts:
            wrong = self._refusals(account)
            plan.problems += ["%s: %s" % (account.login, one) for one in wrong]
            if not wrong:
                allowed.append(account)
        for account in allowed:
            self._one(account)
        plan.texts.update(self.now.changed())
        self._sudo_file()
        self._record_file(accounts)
        self._check_room()
        if not plan.problems and plan.texts and not self.options.get("may_remove_last_administrator"):
            self._check_administrators(accounts)
        return plan

    # --- what is refused

    def _refusals(self, account: Account) -> list[str]:
        login, row = account.login, self.was.passwd.get(account.login)
        if login in UNTOUCHABLE or (row and is_system(int(row[2]), self.settings)):
            return ["is an account of the system, which is never touched"]
        if login in self.login_accounts:
            return ["is the account that this run is logged in with, which is never touched"]
        if row and len(self.uids[row[2]]) > 1:
            shared = ", ".join(sorted(set(self.uids[row[2]]) - {login}))
            return ["shares its user id %s with %s; give each its own by hand first" % (row[2], shared)]
        if row and self.was.shadow.get(login) is None:
            return ["has no line in /etc/shadow; run pwconv"]
        if account.state != "present":
            return []
        return self._refusals_of_present(account, row)

    def _refusals_of_present(self, account: Account, row: list[str] | None) -> list[str]:
        wrong = [
            "groups: %r does not exist on this host" % group
            for group in account.groups
            if self.was.group.get(group) is None
        ]
        if not os.access(self.host.path(account.shell), os.X_OK):
            wrong.append("shell: %r is no program on this host" % account.shell)
        if row and account.uid is not None and int(row[2]) != account.uid:
            wrong.append("uid: %d; it is %s on this host, and is not changed" % (account.uid, row[2]))
        if not row:
            if self.was.group.get(account.login) is not None:
                wrong.append("a group of this name exists already; the account's own would bear it")
            if account.uid is not None and is_system(account.uid, self.settings):
                wrong.append("uid: %d is not between UID_MIN and UID_MAX of /etc/login.defs" % account.uid)
            if str(account.uid) in self.uids:
                wrong.append("uid: %d is that of %s" % (account.uid or 0, self.uids[str(account.uid)][0]))
        if account.sudo and not os.path.exists(self.host.path(sudo.SUDOERS)):
            wrong.append("sudo: %r; sudo is not installed on this host" % account.sudo[0])
        return wrong

    def _check_room(self) -> None:
        """See that every home that is archived finds room."""
        leaving = [work for work in self.plan.works if work.remove]
        if not leaving:
            return
        target = self.host.path(self.options["archive_directory"])
        needed = sum(
            size_of(self.host.path(path)) for work in leaving for path in (work.home, self._mail(work.account.login))
        )
        if needed > room_in(target):
            self.plan.problems.append(
                "%s: %d MiB are needed for the homes of %s, and %d MiB are free"
                % (
                    target,
                    needed // 2**20,
                    ", ".join(w.account.login for w in leaving),
                    max(0, room_in(target) // 2**20),
                )
            )

    @staticmethod
    def _mail(login: str) -> str:
        return os.path.join(MAIL, login)

    # --- one account

    def _one(self, account: Account) -> None:
        row = self.now.passwd.get(account.login)
        if account.state == "present":
            self._present(account, row)
        elif row is not None:
            self._locked(account, row)
        if account.state == "absent" and row is None:
            self.plan.gone.append((account.login, account.home))

    def _present(self, account: Account, row: list[str] | None) -> None:
        created = row is None
        self.plan.before[account.login] = self._described(self.was, account, self.old_rules)
        row = row or self._create(account)
        work = Work(account, int(row[2]), int(row[3]), row[5])
        what = work.what
        if row[4].split(",")[0] != account.person:
            row[4] = ",".join([account.person, *row[4].split(",")[1:]])
            what.append("person")
        if row[6] != account.shell:
            row[6] = account.shell
            what.append("shell")
        self.now.set_groups(account.login, account.groups)
        if self.now.groups_of(account.login) != self.was.groups_of(account.login):
            what.append("groups")
        self._set_shadow(account, what)
        if account.sudo:
            self.rules[account.login] = account.sudo
        if self.old_rules.get(account.login, []) != account.sudo:
            what.append("sudo")
        self._home(work, created)
        work.restore = to_restore(self.host, account.login, time.time())
        what += sorted(name.partition("-")[0] for name in work.restore)
        if created:
            self.plan.created.append(account.login)
            what = []
        self._note(work, what)
        self.plan.after[account.login] = self._described(self.now, account, self.rules)

    def _note(self, work: Work, what: list[str]) -> None:
        if what:
            self.plan.changed[work.account.login] = list(dict.fromkeys(what))
        if what or work.make_home or work.keys is not None or work.restore or work.hold or work.running or work.remove:
            self.plan.works.append(work)

    def _set_shadow(self, account: Account, what: list[str]) -> None:
        shadow = self.now.shadow.by_name[account.login]
        if account.password_hash and shadow[1] != account.password_hash:
            self._set_password(account, shadow)
            what.append("password")
        elif not account.password and shadow[1] != "*" and shadow[1].lstrip("!") not in ("", "*"):
            shadow[1] = "*"  # the ledger says that it has none; a locked one must not open again by it
            what.append("password withdrawn")
        elif shadow[1].startswith("!"):
            # Without its marks nothing may be left that is no hash: an empty field would let everybody in.
            shadow[1] = shadow[1].lstrip("!") or "*"
            what.append("unlocked")
        elif shadow[1] == "":
            shadow[1] = "*"
            what.append("empty password withdrawn")
        expires = "" if account.expires is None else str(account.expires)
        if shadow[7] != expires:
            shadow[7] = expires
            what.append("expires")

    def _set_password(self, account: Account, shadow: list[str]) -> None:
        """Give an account a password that it must change at its first login."""
        shadow[1], shadow[2] = account.password_hash or "*", "0"
        if account.kind not in NO_AGEING_KINDS and not any(shadow[3:6]):
            for place, key in enumerate(AGEING, 3):
                value = self.settings[key]
                shadow[place] = str(value) if isinstance(value, int) and value >= 0 else ""
        self.plan.passwords.append(account.login)

    def _home(self, work: Work, created: bool) -> None:
        """See what the home and its keys need, and that nobody has laid a trap there."""
        account, place = work.account, self.host.path(work.home)
        wanted = account.keys_text if account.state == "present" else ""
        try:
            if work.home == "/nonexistent":  # by Debian's convention, the home of who has none
                return
            if not os.path.lexists(place):
                if account.state == "present" and (created or account.keys or os.path.isdir(os.path.dirname(place))):
                    check_parent(place)
                    work.make_home, work.keys = True, wanted or None
                    work.what.append("home")
                return
            text, tidy = read_key_file(place, work.uid, work.gid)
        except HomeError as error:
            if account.kind in NO_AGEING_KINDS and account.state != "absent" and not account.keys and not created:
                return  # a service often lives in a directory that is not its own, and has no key
            self.plan.problems.append("%s: %s" % (account.login, error))
            return
        if text != wanted or (wanted and not tidy) or (not wanted and not tidy and self._has_second_file(place)):
            work.keys = wanted
            work.what.append("keys")

    @staticmethod
    def _has_second_file(place: str) -> bool:
        return os.path.lexists(os.path.join(place, ".ssh", "authorized_keys2"))

    # --- a new account

    def _create(self, account: Account) -> list[str]:
        uid = str(self._next_uid() if account.uid is None else account.uid)
        gid = self._next_gid(uid)
        self.uids.setdefault(uid, []).append(account.login)
        self.last_uid = max(self.last_uid, int(uid))
        row = [account.login, "x", uid, gid, account.person, account.home, account.shell]
        self.now.passwd.add(row)
        # No password matches "*". A leading "!" would be taken for a lock: sshd refuses keys then where UsePAM is off.
        self.now.shadow.remove(account.login)
        self.now.shadow.add([account.login, "*", str(self.today), "", "", "", "", "", ""])
        self.now.group.add([account.login, "x", gid, ""])
        if self.now.before["/etc/gshadow"] is not None:
            self.now.gshadow.remove(account.login)
            self.now.gshadow.add([account.login, "!", "", ""])
        for path, kind in (("/etc/subuid", "SUB_UID"), ("/etc/subgid", "SUB_GID")):
            self._add_range(path, kind, account.login)
        return row

    def _next_uid(self) -> int:
        """The next user id: above all that are or were given, so that no file of a former owner finds a new one."""
        low, high = number(self.settings, "UID_MIN", 1000), number(self.settings, "UID_MAX", 60000)
        used = {int(uid) for uid in self.uids if is_number(uid)}
        gids = {int(row[2]) for row in self.now.group.records() if is_number(row[2])}
        top = max([low - 1, self.last_uid, *(uid for uid in used if low <= uid <= high)])
        for uid in (*range(top + 1, high + 1), *range(low, top + 1)):
            if uid not in used and uid not in gids:
                return uid
        self.plan.problems.append("no user id between %d and %d is free" % (low, high))
        return high

    def _next_gid(self, uid: str) -> str:
        """The group id of the account's own group: its user id, or the next that is free."""
        gids = {row[2] for row in self.now.group.records()}
        if uid not in gids:
            return uid
        low, high = number(self.settings, "GID_MIN", 1000), number(self.settings, "GID_MAX", 60000)
        free = next((gid for gid in range(low, high + 1) if str(gid) not in gids), None)
        if free is None:
            self.plan.problems.append("no group id between %d and %d is free" % (low, high))
        return str(free)

    def _add_range(self, path: str, kind: str, login: str) -> None:
        """Give a new account a range of subordinate ids, as useradd(8) does where these files exist."""
        table, count = self.now.tables[path], number(self.settings, kind + "_COUNT", 65536)
        if self.now.before[path] is None or count <= 0 or table.get(login):
            return
        starts = [int(row[1]) + int(row[2]) for row in table.records() if is_number(row[1]) and is_number(row[2])]
        start = max([number(self.settings, kind + "_MIN", 100000), *starts])
        if start + count - 1 <= number(self.settings, kind + "_MAX", LARGEST_ID_RANGE):
            table.add([login, str(start), str(count)])

    # --- an account that is locked, or goes

    def _locked(self, account: Account, row: list[str]) -> None:
        login, shadow = account.login, self.now.shadow.by_name[account.login]
        self.plan.before[login] = self._described(self.was, account, self.old_rules)
        work = Work(account, int(row[2]), int(row[3]), row[5], remove=account.state == "absent")
        if not shadow[1].startswith("!"):
            shadow[1] = "!" + (shadow[1] or "*")
            work.what.append("password")
        if shadow[7] != EXPIRED:
            shadow[7] = EXPIRED
            work.what.append("expires")
        if login in self.old_rules:
            work.what.append("sudo")
        self._home(work, created=False)
        work.hold = to_hold(self.host, login, self.at_jobs.get(work.uid, []))
        work.what += sorted({self._kind_of(path) for path in work.hold})
        work.running = len(self.processes.get(work.uid, ())) if self.host.root == "/" else 0
        if work.running:
            self.plan.ended[login] = work.running
        what, work.what = work.what, []
        if work.remove:
            self.last_uid = max(self.last_uid, work.uid)
            self._check_removal(work)
            self.plan.removed.append(login)
        elif what:
            self.plan.locked.append(login)
        self._note(work, [] if work.remove else what)
        self.plan.after[login] = "" if work.remove else self._described(self.now, account, self.rules)

    @staticmethod
    def _kind_of(path: str) -> str:
        folders = {activity.CRONTABS: "crontab", activity.LINGER: "linger"}
        return folders.get(os.path.dirname(path), "at")

    def _check_removal(self, work: Work) -> None:
        """See that the home may be removed: it is nobody else's, and nothing is mounted in it."""
        place = self.host.path(work.home)
        if not os.path.isdir(place):
            return
        for other in self.was.passwd.records():
            if other[0] != work.account.login and (other[5] + "/").startswith(work.home.rstrip("/") + "/"):
                self.plan.problems.append(
                    "%s: its home %s holds that of %s too, and cannot be removed"
                    % (work.account.login, work.home, other[0])
                )
                break
        points = mounts_below(place)
        if points:
            self.plan.problems.append(
                "%s: %s is mounted in its home %s; unmount it first" % (work.account.login, points[0], work.home)
            )

    def without(self, logins: list[str]) -> dict[str, str]:
        """The account files without some accounts: their lines, own groups, memberships and subordinate ids.

        Args:
            logins: accounts that go.

        Returns:
            File -> new text.
        """
        for login in logins:
            row = self.now.passwd.get(login)
            if row is None:
                continue
            self.now.set_groups(login, [])
            for path in ("/etc/passwd", "/etc/shadow", "/etc/subuid", "/etc/subgid"):
                self.now.tables[path].remove(login)
            own = self.now.group.get(login)
            used = {other[3] for other in self.now.passwd.records()}
            if own is not None and own[2] == row[3] and own[2] not in used and own[3] in ("", login):
                self.now.group.remove(login)
                self.now.gshadow.remove(login)
        return self.now.changed()

    # --- files of ours

    def _sudo_file(self) -> None:
        text = sudo.our_text(self.rules) if self.rules else None
        if text != self.sudo_before:
            self.plan.texts[sudo.OURS] = text
        if not self.rules or text == self.sudo_before:
            return
        try:
            specs = sudo.parse(self.host, text)
        except (OSError, ValueError) as error:
            self.plan.problems.append("sudo: the rules are refused by sudo's own reader: %s" % error)
            return
        for spec in specs:
            users = sudo.users_of(spec)
            if len(users) != 1 or users[0] not in self.rules:
                self.plan.problems.append("sudo: a rule would be for %s; a rule names hosts and commands only" % users)

    def _record_file(self, accounts: list[Account]) -> None:
        """What the ledger says, for the audit, which can then tell drift without the ledger. It holds no hash."""
        known = self.record.get("accounts", {})
        entries = {}
        for account in accounts:
            old = known.get(account.login, {})
            issued = self.today if account.login in self.plan.passwords else old.get("issued")
            entries[account.login] = {
                "state": account.state,
                "kind": account.kind,
                "shell": account.shell,
                "groups": sorted(set(account.groups)),
                "sudo": [sudo.normalised(rule) for rule in account.sudo],
                "keys": account.fingerprints,
                "expires": account.expires,
                "since": old.get("since", self.today),
                "issued": issued,
            }
        text = json.dumps({"accounts": entries, "last_uid": self.last_uid}, indent=1, sort_keys=True) + "\n"
        if text != self.record_before:
            self.plan.texts[RECORD] = text

    # --- the last administrator

    def _check_administrators(self, accounts: list[Account]) -> None:
        """Refuse what leaves nobody who can log in and become root, where there was somebody before."""
        try:
            specs = sudo.parse(self.host)
            ours = sudo.parse(self.host, self.sudo_before) if self.sudo_before else []
            others = [spec for spec in specs if spec not in ours]
            after = others + (sudo.parse(self.host, sudo.our_text(self.rules)) if self.rules else [])
        except (OSError, ValueError) as error:
            self.plan.problems.append("who may become root cannot be told: %s" % error)
            return
        before = [name for name in self._administrators(self.was, specs, {}) if not self._only_by_drift(name, specs)]
        wanted = {account.login: account for account in accounts}
        if before and not self._administrators(self.now, after, wanted):
            self.plan.problems.append(
                "%s: no other account could log in and become root by sudo after this; keep one, or set "
                "may_remove_last_administrator" % ", ".join(before)
            )

    def _administrators(self, databases: Databases, specs: list[sudo.Spec], wanted: dict[str, Account]) -> list[str]:
        groups = databases.all_groups()
        found = []
        for row in databases.passwd.records():
            name, shadow = row[0], databases.shadow.get(row[0])
            if name in self.login_accounts or name in UNTOUCHABLE or shadow is None or not is_number(row[2]):
                continue
            account = wanted.get(name)
            if account and account.state != "present":
                continue
            gids = {databases.group.by_name[group][2] for group in groups[name]} | {row[3]}
            expired = is_number(shadow[7]) and int(shadow[7]) <= self.today
            if expired or not sudo.is_admin(specs, name, int(row[2]), groups[name], gids):
                continue
            if password_state(shadow[1]) == "usable" or self._has_key(row, account):
                found.append(name)
        return found

    def _only_by_drift(self, name: str, specs: list[sudo.Spec]) -> bool:
        """Whether the ledger never made this account an administrator: what somebody did by hand is to be undone."""
        known = self.record.get("accounts", {}).get(name)
        if known is None:
            return False
        row, table = self.was.passwd.by_name[name], self.was.group.by_name
        groups = {group for group in known["groups"] if group in table}
        gids = {table[group][2] for group in groups} | {row[3]}
        return not sudo.is_admin(specs, name, int(row[2]), groups, gids)

    def _has_key(self, row: list[str], account: Account | None) -> bool:
        if account:
            return bool(account.keys)
        paths = [self.host.path(path) for path in key_files(list(DEFAULT_FILES), row[0], int(row[2]), row[5])]
        return bool(read_keys(paths, int(row[2]), int(row[3]))[0])

    # --- what is shown

    def _described(self, databases: Databases, account: Account, rules: dict[str, list[str]]) -> str:
        """An account as a line of a diff; never a hash."""
        row, shadow = databases.passwd.get(account.login), databases.shadow.get(account.login)
        if row is None or shadow is None:
            return ""
        return "%s: uid %s, person %r, home %s, shell %s, groups %s, password %s, expires %s, sudo %s\n" % (
            account.login,
            row[2],
            row[4].split(",")[0],
            row[5],
            row[6],
            ",".join(databases.groups_of(account.login)) or "-",
            password_state(shadow[1]) + (" (to be changed)" if shadow[2] == "0" else ""),
            shadow[7] or "never",
            "; ".join(rules.get(account.login, [])) or "-",
        )
