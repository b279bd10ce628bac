# SPDX-License-Identifier: GPL-3.0-or-later
"""The dead-man switch of a host: what could cut access is kept as it was, and comes back unless somebody says no.

1. *arm*: before anything changes, the earlier files are kept below /var/lib/kijun/guard/pending, and a transient timer
   of systemd is started that takes the change back. Steps of one run add to what is kept; the oldest state counts.
2. *confirm*: the controller, over a connection made after the change, lets go of it.
3. *take back*: the timer, the next start of the host, the next run or a failing step bring everything back, run the
   commands that make it count, and leave a report of what was done and why.

The program that takes back (:mod:`guard_program`) is left on the host whole, since no controller may be there then.
See docs/decisions/0009-guard.md.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import os
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from .file_commit import FileStore, write_json
from .file_state import (
    FileState,
    FileTransactionError,
    flush_directory,
    open_directory,
    read_state,
    split_path,
    write_entry,
)
from .host_accounts.homes import HomeError, read_key_file, write_keys

Json = dict[str, Any]

DIRECTORY = "/var/lib/kijun/guard"
RUN_DIRECTORY = "/run/kijun"
STORES = ("/var/lib/kijun/config_files", "/var/lib/kijun/accounts/files")
"""Where steps that a kill interrupted keep their journals; these come to an end first."""

BOOT_UNIT = "/etc/systemd/system/kijun-guard.service"
BOOT_LINK = "/etc/systemd/system/sysinit.target.wants/kijun-guard.service"
BOOT_TEXT = """\
# Takes back what was not confirmed before the host went down, before anybody can log in.
[Unit]
Description=Take back unconfirmed changes
DefaultDependencies=no
ConditionPathExists={directory}/pending/guard.json
After=local-fs.target
Before=sysinit.target network-pre.target nftables.service ssh.service systemd-user-sessions.service

[Service]
Type=oneshot
ExecStart=/usr/bin/python3 -I {directory}/guard.pyz boot

[Install]
WantedBy=sysinit.target
"""
PROGRAM = (
    *("guard", "guard_program", "file_commit", "file_state"),
    *("host_accounts.homes", "host_accounts.keys"),
)
"""Modules that the program on the host is made of."""

COMMAND_SECONDS = 60
PATIENCE = 60
"""Seconds that taking back waits for a step that is at work; then it goes on without the lock."""

LOSERS = 20
"""Runs of which it is remembered that their changes were taken back without their knowing."""

NAME = "kijun"
"""Package of the modules in the program."""


class GuardError(Exception):
    """The guard could not be armed; nothing was changed."""


class Keys(NamedTuple):
    """The SSH keys of an account, which only its own user may write.

    Attributes:
        home: its home directory.
        uid: its user id.
        gid: its group id.
    """

    home: str
    uid: int
    gid: int


class Guard:
    """The guard of this host.

    Args:
        directory: what is kept, the program and the report; for root alone.
        run_directory: where locks are.
        stores: directories of :class:`FileStore` whose interrupted commits are ended before anything comes back.
    """

    def __init__(
        self, directory: str = DIRECTORY, run_directory: str = RUN_DIRECTORY, stores: Sequence[str] = STORES
    ) -> None:
        self.directory = directory
        self.run_directory = run_directory
        self.stores = stores
        self.kept = os.path.join(directory, "pending")
        self.state_path = os.path.join(self.kept, "guard.json")
        self.report_path = os.path.join(directory, "report.json")
        self.losers_path = os.path.join(directory, "losers.json")
        self.program = os.path.join(directory, "guard.pyz")

    # --- reading

    def pending(self) -> Json | None:
        """What is armed: run, deadline (boot clock, seconds), entries; None when nothing is.

        Raises:
            GuardError: the record is damaged.
        """
        return self._read(self.state_path)

    def report(self) -> Json | None:
        """What was taken back last: run, time, reason, restored, failures, told; None when nothing ever was."""
        return self._read(self.report_path)

    @staticmethod
    def _read(path: str) -> Json | None:
        try:
            with open(path, encoding="utf-8") as stream:
                value: Json = json.load(stream)
                return value
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise GuardError("%s: damaged: %s" % (path, error)) from None

    # --- arming

    def settle(self, run: str) -> Json | None:
        """Take back what another run left unconfirmed, before this one looks at the host.

        A run whose own change was taken back meanwhile may not go on: what it confirmed at its end would be half of
        what it did. So of two runs that change a host at once, the one that came first ends with an error.

        Args:
            run: this run.

        Returns:
            The report, when something was taken back.

        Raises:
            GuardError: what this run had changed was taken back, and it does not know.
        """
        lost = (self._read(self.losers_path) or {}).get(run)
        if lost:
            raise GuardError(
                "what this run had changed on this host was taken back at %s, because %s; start it again when no other "
                "run changes the host" % (lost["time"], lost["reason"])
            )
        pending = self.pending()
        if pending is None or pending["run"] == run:
            return None
        return self.take_back("another run began before the run that made the change confirmed it")

    def arm(
        self,
        request: Json,
        paths: Iterable[str] = (),
        keys: Iterable[Keys] = (),
    ) -> None:
        """Keep what is there now, and start the timer anew. Call it before anything changes.

        Args:
            request: run (its id), seconds (until what was changed comes back), and optionally undo (commands to run
                when files are back, lists of program and arguments) and state (list of save and load: the output of
                the command save is kept, and given to the command load when all comes back).
            paths: real paths that will change, be made or removed.
            keys: accounts whose keys will change.

        Raises:
            GuardError: it could not be armed.
        """
        try:
            with self._locked():
                self._keep(request, paths, keys)
                self._install()
                self._start_timer(int(request["seconds"]))
        except (OSError, FileTransactionError, HomeError) as error:
            raise GuardError("the guard cannot be armed: %s; nothing was changed" % error) from error

    def _keep(self, request: Json, paths: Iterable[str], keys: Iterable[Keys]) -> None:
        os.makedirs(self.directory, mode=0o700, exist_ok=True)
        os.makedirs(self.kept, mode=0o700, exist_ok=True)
        pending = self.pending() or {"run": request["run"], "time": int(time.time()), "entries": []}
        if pending["run"] != request["run"]:
            raise GuardError(
                "another run changes this host at this moment; nothing was changed. Start it again when that has ended"
            )
        entries: list[Json] = pending["entries"]
        known = {entry.get("path") for entry in entries} | {entry.get("home") for entry in entries}
        for path in _with_new_directories(paths):
            if path not in known:
                before = read_state(path)
                entry: Json = {"path": path, "before": before.describe() if before else None}
                if before and before.kind != "directory":
                    entry["saved"] = self._save(len(entries), before.content)
                entries.append(entry)
        for owner in keys:
            if owner.home not in known:
                text = read_key_file(*owner)[0]
                entries.append({**owner._asdict(), "saved": self._save(len(entries), text.encode())})
        commands = [entry.get("undo") for entry in entries]
        for state in request.get("state") or []:
            if not any(entry.get("load") == state["load"] for entry in entries):
                output = _run(state["save"])
                entries.append({"load": state["load"], "saved": self._save(len(entries), output)})
        entries += [{"undo": command} for command in request.get("undo") or [] if command not in commands]
        pending["deadline"] = _now() + int(request["seconds"])
        flush_directory(self.kept)
        write_json(self.state_path, pending)

    def _save(self, number: int, content: bytes) -> str:
        name = "%d" % number
        fd = os.open(
            os.path.join(self.kept, name), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
        )
        with os.fdopen(fd, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        return name

    def _install(self) -> None:
        """Leave the program, and the unit that runs it when the host starts."""
        _write_if_other(self.program, _program(), 0o700)
        _write_if_other(BOOT_UNIT, BOOT_TEXT.format(directory=self.directory).encode(), 0o644)
        os.makedirs(os.path.dirname(BOOT_LINK), mode=0o755, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            os.symlink(BOOT_UNIT, BOOT_LINK)

    def _start_timer(self, seconds: int) -> None:
        """Start a timer of its own for each step: one that fires before the deadline does nothing.

        There is so no moment without one.
        """
        _run(
            [
                *("systemd-run", "--quiet", "--collect", "--unit=kijun-guard-%d" % time.time_ns()),
                *("--on-active=%d" % seconds, "--timer-property=AccuracySec=100ms"),
                *("--property=Type=oneshot", "--description=Take back unconfirmed changes"),
                *("/usr/bin/python3", "-I", self.program, "timer"),
            ]
        )

    # --- the two ends

    def confirm(self, run: str) -> Json:
        """Let go of what is kept: the change stays.

        Args:
            run: the run that asks.

        Returns:
            state: ``confirmed``; ``taken back`` with the report of this run; ``none`` when nothing was armed;
            ``foreign`` when another run's change hangs.
        """
        with self._locked():
            pending = self.pending()
            if pending and pending["run"] != run:
                return {"state": "foreign", "report": None}
            if pending is None:
                return self._told(run)
            self._let_go()
        self._stop_timers()
        return {"state": "confirmed", "report": None}

    def take_back_own(self, run: str, reason: str) -> Json:
        """Take back what a run has changed, at its own wish; if the timer was faster, give that report."""
        pending = self.pending()
        if pending and pending["run"] == run:
            self.take_back(reason)
        return self._told(run)

    def _told(self, run: str) -> Json:
        losers = self._read(self.losers_path) or {}
        if losers.pop(run, None):
            write_json(self.losers_path, losers)
        report = self.report()
        if report is None or report["run"] != run:
            return {"state": "none", "report": None}
        self.mark_told(report)
        return {"state": "taken back", "report": report}

    def mark_told(self, report: Json) -> None:
        """Note that somebody has been given the report."""
        if not report["told"]:
            write_json(self.report_path, {**report, "told": True})

    def due(self) -> bool:
        """Whether something is armed and its time is over."""
        pending = self.pending()
        return pending is not None and pending["deadline"] <= _now() + 0.5

    def take_back(self, reason: str, starting: bool = False) -> Json | None:
        """Bring everything back that is kept. Repeatable at any point of itself.

        Args:
            reason: why, for the report.
            starting: the host is starting: no service runs yet, so no command is needed.

        Returns:
            The report; None when nothing was armed.
        """
        with self._locked(), self._no_step_at_work():
            pending = self.pending()
            if pending is None:
                return None
            report: Json = {
                "run": pending["run"],
                "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                "reason": reason,
                "restored": [],
                "failures": [],
                "told": False,
            }
            for store in self.stores:
                self._end_interrupted(FileStore(store), report)
            for entry in reversed(pending["entries"]):
                self._restore(entry, report)
            if any(path.startswith("/etc/systemd/") for path in report["restored"]):
                _try(["systemctl", "daemon-reload"], report)
            if not starting:
                self._run_commands(pending["entries"], report)
            write_json(self.report_path, report)
            self._remember_loser(report)
            self._let_go()
        return report

    def _remember_loser(self, report: Json) -> None:
        """Note that a run's change was taken back; it is forgotten as soon as the run is told."""
        losers = self._read(self.losers_path) or {}
        losers[report["run"]] = {"time": report["time"], "reason": report["reason"]}
        newest = sorted(losers, key=lambda run: str(losers[run]["time"]))[-LOSERS:]
        write_json(self.losers_path, {run: losers[run] for run in newest})

    def _restore(self, entry: Json, report: Json) -> None:
        try:
            if "path" in entry:
                if self._restore_file(entry["path"], entry["before"], entry.get("saved")):
                    report["restored"].append(entry["path"])
            elif "home" in entry:
                owner, text = (entry["home"], entry["uid"], entry["gid"]), self._saved(entry).decode("utf-8", "replace")
                if read_key_file(*owner)[0] != text:
                    write_keys(owner[0], text, *owner[1:])
                    report["restored"].append(os.path.join(owner[0], ".ssh/authorized_keys"))
        except (OSError, FileTransactionError, HomeError) as error:
            report["failures"].append("%s: %s" % (entry.get("path") or entry.get("home"), error))

    def _saved(self, entry: Json) -> bytes:
        with open(os.path.join(self.kept, entry["saved"]), "rb") as stream:
            return stream.read()

    def _restore_file(self, path: str, before: Json | None, saved: str | None) -> bool:
        """Make a path what it was; tell whether it was anything else."""
        now = read_state(path)
        parent, name = split_path(path)
        if before is None:
            if now is None:
                return False
            with open_directory(parent) as dir_fd:
                if now.kind != "directory":
                    os.unlink(name, dir_fd=dir_fd)
                    return True
                try:
                    os.rmdir(name, dir_fd=dir_fd)
                except OSError:  # somebody has put something there
                    return False
                return True
        content = self._saved({"saved": saved}) if saved is not None else b""
        wanted = FileState(before["kind"], content, before["uid"], before["gid"], before["mode"])
        if now == wanted:
            return False
        if wanted.kind == "directory":
            os.makedirs(path, mode=0o700, exist_ok=True)
            os.chown(path, wanted.uid, wanted.gid, follow_symlinks=False)
            os.chmod(path, wanted.mode)
            return True
        spare = ".kijun-guard~"
        os.makedirs(parent, mode=0o755, exist_ok=True)
        with open_directory(parent) as dir_fd:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(spare, dir_fd=dir_fd)
            write_entry(dir_fd, spare, wanted, like=path)
            os.rename(spare, name, src_dir_fd=dir_fd, dst_dir_fd=dir_fd)
            os.fsync(dir_fd)
        return True

    def _run_commands(self, entries: list[Json], report: Json) -> None:
        for entry in entries:
            if "load" in entry:
                _try(entry["load"], report, self._saved(entry))
        for entry in entries:
            if "undo" in entry:
                _try(entry["undo"], report)

    @staticmethod
    def _end_interrupted(store: FileStore, report: Json) -> None:
        if os.path.exists(store.journal_path):
            try:
                store.recover()
            except (FileTransactionError, OSError) as error:
                report["failures"].append(str(error))

    def _let_go(self) -> None:
        """Forget what is kept: first, and for good, that anything is."""
        os.unlink(self.state_path)
        flush_directory(self.kept)
        shutil.rmtree(self.kept)

    @staticmethod
    def _stop_timers() -> None:
        # One that is left over would find nothing to do.
        subprocess.run(
            ["systemctl", "stop", "kijun-guard-*.timer"], stdin=subprocess.DEVNULL, capture_output=True, check=False
        )

    # --- one at a time

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        os.makedirs(self.run_directory, mode=0o700, exist_ok=True)
        with _lock(os.path.join(self.run_directory, "guard.lock"), None):
            yield

    @contextlib.contextmanager
    def _no_step_at_work(self) -> Iterator[None]:
        """Let a step that puts files in place come to its end first; one that hangs does not stop what comes back."""
        with _lock(os.path.join(self.run_directory, "config_files.lock"), PATIENCE):
            yield


@contextlib.contextmanager
def _lock(path: str, patience: float | None) -> Iterator[None]:
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        if patience is None:
            fcntl.flock(fd, fcntl.LOCK_EX)
        else:
            end = time.monotonic() + patience
            while time.monotonic() < end:
                try:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    time.sleep(0.1)
        yield
    finally:
        os.close(fd)


def _with_new_directories(paths: Iterable[str]) -> list[str]:
    """Paths, each behind the directories above it that are yet to be made."""
    found: dict[str, None] = {}
    for path in paths:
        missing = []
        parent = split_path(path)[0]
        while not os.path.lexists(parent):
            missing.append(parent)
            parent = split_path(parent)[0]
        found.update(dict.fromkeys([*reversed(missing), path]))
    return list(found)


def _now() -> float:
    """Seconds of a clock that nobody can set, and that goes on while the host sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _run(command: Sequence[str], given: bytes = b"") -> bytes:
    """Run a program to its end, and give its output.

    Raises:
        OSError: it is missing, failed or took too long.
    """
    try:
        done = subprocess.run(
            list(command),
            input=given,
            capture_output=True,
            timeout=COMMAND_SECONDS,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"},
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise OSError("%s: not done in %d s" % (" ".join(command), COMMAND_SECONDS)) from None
    if done.returncode:
        said = (done.stderr or done.stdout).decode("utf-8", "replace").strip().splitlines() or [""]
        raise OSError("%s: exit status %d: %s" % (" ".join(command), done.returncode, said[-1]))
    return done.stdout


def _try(command: Sequence[str], report: Json, given: bytes = b"") -> None:
    try:
        _run(command, given)
    except OSError as error:
        report["failures"].append(str(error))


def _program() -> bytes:
    """The program that takes back, as an archive that Python runs.

    It is made of these very modules, whether they came in Ansible's archive or in ours.
    """
    from .guard_program import main  # noqa: F401  (named here so that Ansible's archive has it)

    package = __name__.rpartition(".")[0]
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:

        def add(name: str, source: str) -> None:
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), source, zipfile.ZIP_DEFLATED)

        add("__main__.py", "from %s.guard_program import main\nmain()\n" % NAME)
        add("%s/__init__.py" % NAME, "")
        add("%s/host_accounts/__init__.py" % NAME, "")
        for module in PROGRAM:
            add("%s/%s.py" % (NAME, module.replace(".", "/")), _source("%s.%s" % (package, module)))
    return packed.getvalue()


def _source(module: str) -> str:
    __import__(module)
    loaded = sys.modules[module]
    source = loaded.__loader__.get_source(module) if loaded.__loader__ else None  # type: ignore[attr-defined]
    if source is None:
        raise OSError("the source of %s is not there" % module)
    return str(source)


def _write_if_other(path: str, content: bytes, mode: int) -> None:
    try:
        with open(path, "rb") as stream:
            if stream.read() == content:
                return
    except FileNotFoundError:
        pass
    temporary = path + ".new"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    with os.fdopen(fd, "wb") as stream:
        os.fchmod(fd, mode)
        stream.write(content)
        stream.flush()
        os.fsync(fd)
    os.rename(temporary, path)
    flush_directory(os.path.dirname(path))
