# SPDX-License-Identifier: GPL-3.0-or-later
"""Make a host's accounts what the ledger says, in one call.

The account files and the sudo rules are worked out whole and put in place together (docs/decisions/0002), under the
lock that passwd(1) and useradd(8) take. useradd and its kind are not used: each call rewrites four files one after the
other, so that a killed one leaves them at odds, and 200 calls take 200 times as long.

Homes, keys, jobs and sessions follow. Each of these steps can be repeated, and what is there decides whether it is
due: a run that finds the work of a killed one half done finishes it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import stat
import struct
import time
from collections.abc import Iterator
from typing import Any

from ..facts.host import Host
from ..file_state import FileState, FileTransactionError, read_state
from ..file_transaction import FileTransaction, Outcome
from ..guard import DIRECTORY, Guard, GuardError, Keys
from . import sudo
from .activity import CRONTABS, LINGER
from .activity_end import HELD, end_sessions, hold, restore
from .databases import PUBLIC_MODE
from .expected import parse_accounts
from .homes import HomeError, archive, aside, leftovers, make_home, put_aside, write_keys
from .plan import MAIL, Plan, Planner, Work
from .state import RECORD

STORE = "/var/lib/kijun/accounts"
LOCK = "/etc/.pwd.lock"
LOCK_PATIENCE = 15
"""Seconds that lckpwdf(3) waits too."""

GENERATIONS = 1
"""Earlier versions kept: one, as Debian's own shadow- is; they hold old hashes."""

Json = dict[str, Any]


class Refused(Exception):
    """Nothing was changed; the problems say why."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


@contextlib.contextmanager
def password_lock(path: str) -> Iterator[None]:
    """Hold the lock of lckpwdf(3), so that no other program changes accounts meanwhile.

    It is taken as an open file description's (fcntl(2), F_OFD_SETLK): the process that puts files in place inherits
    it, so that it outlives a killed parent exactly as long as it is needed.

    Args:
        path: the lock file.

    Raises:
        Refused: another program has held it for too long.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        deadline = time.monotonic() + LOCK_PATIENCE
        while True:
            try:
                fcntl.fcntl(fd, fcntl.F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise Refused(
                        [
                            "%s: another program (passwd, useradd, ...) has held it for %d seconds"
                            % (path, LOCK_PATIENCE)
                        ]
                    ) from None
                time.sleep(0.05)
        yield
    finally:
        os.close(fd)


class AccountFiles(FileTransaction):
    """The step that puts files in place, whose stages are called one by one here."""

    def alone(self) -> contextlib.AbstractContextManager[None]:
        """Hold the lock of all steps of this kind on this host."""
        return self._lock()


class Applier:
    """One run.

    Args:
        options: see `main`.
        root: the host's file tree; another one than ``/`` in tests.
    """

    def __init__(self, options: Json, root: str = "/") -> None:
        self.host = Host(root)
        self.options = {"archive_directory": STORE + "/archive", **{k: v for k, v in options.items() if v is not None}}
        self.check = bool(options.get("check"))
        self.files = AccountFiles(self.host.path(STORE + "/files"), self.host.path("/run/kijun"))
        self.left: dict[str, FileState | None] = {}
        self.seen: dict[str, FileState | None] = {}
        self.failures: list[str] = []
        self.finished: list[str] = []
        self.guard = Guard(self.host.path(DIRECTORY), self.host.path("/run/kijun"))
        self.armed = False

    def run(self) -> Json:
        """Carry it out, and give the result as the module documents it."""
        try:
            accounts, problems = parse_accounts(self.options.get("accounts"))
            if problems:
                raise Refused(problems)
            if self._guarded():
                self.guard.settle(self.options["guard"]["run"])
            with self._locked():
                self._recover()
                planner = Planner(self.host, self._read, self.options)
                plan = planner.make(accounts)
                if plan.problems:
                    raise Refused(plan.problems)
                self._arm(plan)
                changed_files = self._put(plan.texts)
            gone = self._leftovers(plan)
            if not self.check:
                self._work(plan)
                self._remove(plan)
                for place in gone:
                    shutil.rmtree(place)
        except Refused as error:
            return self._refusal(error.problems)
        except (FileTransactionError, GuardError) as error:
            return self._refusal([str(error)])
        return self._result(plan, changed_files, gone)

    def _refusal(self, problems: list[str]) -> Json:
        return {
            "changed": False,
            "failed": True,
            "problems": problems,
            "msg": "; ".join(problems),
            "guard_armed": self.armed,
        }

    # --- the guard

    def _guarded(self) -> bool:
        return bool(self.options.get("guard")) and not self.check and self.host.root == "/"

    def _arm(self, plan: Plan) -> None:
        """Keep the account files and keys as they are, before any of them changes."""
        if not self._guarded() or not (plan.texts or plan.works):
            return
        keys = [Keys(self.host.path(w.home), w.uid, w.gid) for w in plan.works if w.keys is not None]
        self.guard.arm(self.options["guard"], map(self.host.path, plan.texts), keys)
        self.armed = True

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        if self.check:  # what is only read needs no lock, and a check run leaves no trace
            yield
            return
        with password_lock(self.host.path(LOCK)):
            yield

    # --- the account files

    def _recover(self) -> None:
        """Finish what a killed run began, or know what finishing it would leave."""
        if not os.path.exists(self.files.store.journal_path):
            return
        if self.check:
            self.left, self.finished = self.files.store.preview_recovery()
        else:
            with self.files.alone():
                self.finished = self.files.store.recover()[1]

    def _read(self, path: str) -> str | None:
        real = self.host.path(path)
        if path not in self.seen:
            self.seen[path] = self.left[real] if real in self.left else read_state(real)
        state = self.seen[path]
        if state is None:
            return None
        if state.kind != "file":
            raise Refused(["%s: is a %s; a file belongs here" % (path, state.kind)])
        return state.content.decode("utf-8", "surrogateescape")

    def _put(self, texts: dict[str, str | None]) -> list[str]:
        """Put files in place together.

        Args:
            texts: path -> new text; None removes it.

        Returns:
            The paths that changed, or in check mode would.
        """
        if not texts:
            return []
        entries = [self._entry(path, text) for path, text in sorted(texts.items())]
        if RECORD in texts:
            entries.append({**self._entry(STORE, None), "state": "directory", "mode": "0700"})
        outcome = self.files.run(entries, [], self._validators(texts), [], GENERATIONS, check=True)
        self._see_that_nothing_changed_meanwhile(texts, outcome)
        if not self.check and outcome.changes:
            with self.files.alone():
                self.files.store.commit(outcome.changes, GENERATIONS)
        return [
            path for path in sorted(texts) if any(change.path == self.host.path(path) for change in outcome.changes)
        ]

    def _entry(self, path: str, text: str | None) -> Json:
        before = self.seen.get(path)
        mode = {sudo.OURS: 0o440, RECORD: 0o600}.get(path) or (before.mode if before else PUBLIC_MODE.get(path, 0o644))
        ours = path in (sudo.OURS, RECORD, STORE)
        return {
            "path": self.host.path(path),
            "state": "absent" if text is None else "file",
            "content": None if text is None else text.encode("utf-8", "surrogateescape"),
            "settings": None,
            "separator": " ",
            "owner": str(before.uid) if before and not ours else "0",
            "group": str(before.gid) if before and not ours else "0",
            "mode": "%04o" % mode,
            "secret": True,
            "validate": None,
        }

    def _validators(self, texts: dict[str, str | None]) -> list[list[str]]:
        """Commands that look at the candidates, each at its real place.

        pwck and grpck judge the whole files. Where they find fault with the present ones already, an old fault of
        somebody else's must not keep a leaver's account open: they are left out then.
        """
        if self.host.root != "/":
            return []
        commands = [["visudo", "-c", "-q"]] if sudo.OURS in texts else []
        for command in (["pwck", "-rq"], ["grpck", "-r"]):
            with contextlib.suppress(OSError):
                self.host.run(*command)
                commands.append(command)
        return commands

    def _see_that_nothing_changed_meanwhile(self, texts: dict[str, str | None], outcome: Outcome) -> None:
        """Refuse when a program that takes no lock has written between our reading and now."""
        before = {change.path: change.before for change in outcome.changes}
        for path in texts:
            real = self.host.path(path)
            if real in before and path in self.seen and before[real] != self.seen[path]:
                raise Refused(["%s: another program changed it meanwhile; run this again" % path])

    # --- homes, keys, jobs, sessions

    def _work(self, plan: Plan) -> None:
        for work in plan.works:
            with self._collecting(work):
                self._work_one(work)
        ending = {work.account.login: work.uid for work in plan.works if work.running}
        for login, count in (end_sessions(self.host, ending) if ending else {}).items():
            self.failures.append("%s: %d of its processes did not end" % (login, count))

    @contextlib.contextmanager
    def _collecting(self, work: Work) -> Iterator[None]:
        """Let one account's error not keep the others from their turn."""
        try:
            yield
        except (OSError, HomeError, FileTransactionError) as error:
            self.failures.append("%s: %s" % (work.account.login, error))

    def _work_one(self, work: Work) -> None:
        home = self.host.path(work.home)
        if work.make_home:
            make_home(home, self.host.path("/etc/skel"), work.uid, work.gid)
        if work.keys is not None:
            write_keys(home, work.keys, work.uid, work.gid)
        if work.hold:
            hold(self.host, work.account.login, work.hold)
            # cron(8) looks at its directory's time for changes.
            with contextlib.suppress(FileNotFoundError):
                os.utime(self.host.path(CRONTABS))
        if work.restore:
            restore(self.host, work.account.login, work.restore)
            if LINGER in map(os.path.dirname, work.restore.values()) and self.host.root == "/":
                with contextlib.suppress(OSError):
                    self.host.run("loginctl", "enable-linger", work.account.login)

    # --- removing

    def _remove(self, plan: Plan) -> None:
        """Archive what leaving accounts have, then let go of them; each step leaves the archive complete before it."""
        failed = {failure.partition(":")[0] for failure in self.failures}
        leaving = [work for work in plan.works if work.remove and work.account.login not in failed]
        done = []
        for work in leaving:
            with self._collecting(work):
                self._archive(work)
                put_aside(self.host.path(work.home), work.account.login)
                done.append(work)
        if not done:
            return
        with self._locked():
            self.seen = {}
            self._put(dict(Planner(self.host, self._read, self.options).without([work.account.login for work in done])))
        for work in done:
            with self._collecting(work):
                self._delete(work)

    def _belongings(self, work: Work) -> dict[str, str]:
        """Name in the archive -> path, of what an account leaves behind."""
        login = work.account.login
        parts = {"home": work.home, "mail": os.path.join(MAIL, login), "held": os.path.join(HELD, login)}
        return {name: self.host.path(path) for name, path in parts.items() if os.path.exists(self.host.path(path))}

    def _archive(self, work: Work) -> None:
        parts = self._belongings(work)
        if parts:
            stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
            name = "%s-%d-%s.tar.gz" % (work.account.login, work.uid, stamp)
            archive(os.path.join(self.host.path(self.options["archive_directory"]), name), parts)

    def _delete(self, work: Work) -> None:
        for name, path in self._belongings(work).items():
            if name == "mail" and stat.S_ISREG(os.lstat(path).st_mode):
                os.unlink(path)
            elif name == "held":
                shutil.rmtree(path)
        place = aside(self.host.path(work.home), work.account.login)
        if os.path.isdir(place):
            shutil.rmtree(place)

    def _leftovers(self, plan: Plan) -> list[str]:
        """Archived homes of accounts that a killed run removed."""
        return leftovers((login, self.host.path(home)) for login, home in plan.gone)

    # --- the result

    def _result(self, plan: Plan, changed_files: list[str], gone: list[str]) -> Json:
        result: Json = {
            "changed": bool(changed_files or plan.works or gone or self.finished),
            "created": sorted(plan.created),
            "changed_accounts": {login: plan.changed[login] for login in sorted(plan.changed)},
            "locked": sorted(plan.locked),
            "removed": sorted(plan.removed),
            "passwords_set": sorted(plan.passwords),
            "sessions_ended": plan.ended,
            "files": changed_files,
            "finished": self.finished,
            "diff": self._diff(plan) if self.options.get("diff") else [],
            "problems": self.failures,
            "guard_armed": self.armed,
        }
        if self.failures:
            result.update(failed=True, msg="; ".join(self.failures))
        return result

    @staticmethod
    def _diff(plan: Plan) -> list[dict[str, str]]:
        named = sorted({*plan.created, *plan.changed, *plan.locked, *plan.removed})
        before = "".join(plan.before.get(login, "") for login in named)
        after = "".join(plan.after.get(login, "") for login in named)
        if before == after:
            return []
        return [{"before_header": "accounts", "after_header": "accounts", "before": before, "after": after}]


def apply(options: Json, root: str = "/") -> Json:
    """Make a host's accounts what the ledger says.

    Args:
        options: see `main`.
        root: the host's file tree.

    Returns:
        The result that the module accounts documents.
    """
    return Applier(options, root).run()


def main(argument: str) -> None:
    """Apply the ledger to this host and print the result as one line of JSON.

    Args:
        argument: JSON: ``accounts`` (list), ``check`` and ``diff`` (true or false), ``login_account`` (name that
            Ansible logged in with), ``archive_directory`` (path), ``may_remove_last_administrator`` (true or false),
            ``guard`` (run and seconds).
    """
    os.umask(0o022)
    print(json.dumps(apply(json.loads(argument))))
