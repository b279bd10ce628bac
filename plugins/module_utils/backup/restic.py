# SPDX-License-Identifier: GPL-3.0-or-later
"""restic(1) as Kijun uses it: one call a method, and errors by what they are.

restic 0.14 (Debian 12) and 0.18 (Debian 13) say the same things in different words, and only the later one by its exit
status; so words are read. Standard library, Python 3.9.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import re
import signal
import subprocess
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import IO, Any, NamedTuple

SETTINGS = "/etc/kijun/backup.json"
CACHE = "/var/cache/kijun/backup"
ARGUMENTS = 100_000
"""Bytes of patterns that one call is given."""

DAY = 86400
HEX = re.compile(r"[0-9a-f]{64}")
HOLDER = re.compile(r"already locked(?P<exclusive> exclusively)? by PID (?P<pid>[0-9]+) on (?P<host>\S+) by")
PACK = re.compile(
    r"^(?:pack |Pack ID does not match, want )(?P<id>[0-9a-f]{64})|\bfrom (?P<short>[0-9a-f]{8}) failed", re.MULTILINE
)
SAID_BY_SERVER = re.compile(r"kijun-backup-server: (?P<what>full|busy|refused): (?P<text>.*)")
DAMAGED = (
    "ciphertext verification failed",
    "repository contains errors",
    "does not match, want",
    "invalid data returned",
    "not found in repository",
    "The repository is damaged",
    "unexpected file size",
    "load index",
)
AWAY = (
    "error talking HTTP to rclone",
    "unable to open repository",
    "unable to open config file",
    "unexpected EOF",
    "broken pipe",
    "closed pipe",
    "connection is shutting down",
    "http2: client conn",
    "context canceled",
    "context deadline exceeded",
)


class BackupError(Exception):
    """A backup, or what has to do with one, failed."""


class RepositoryUnreachable(BackupError):
    """Nobody answers where the repository is, or does not let this host in."""


class RepositoryAbsent(RepositoryUnreachable):
    """The server answers, and has no repository of this host."""


class ServerBusy(RepositoryUnreachable):
    """The server has as many sessions as it takes.

    Attributes:
        seconds: after which it asks to be tried again.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        found = re.search(r"try again in ([0-9]+) s", text)
        self.seconds = int(found[1]) if found else 60


class RepositoryLocked(BackupError):
    """Somebody else has the repository for himself.

    Attributes:
        host: whose lock it is.
        pid: of that process.
    """

    def __init__(self, text: str, host: str = "", pid: int = 0) -> None:
        super().__init__(text)
        self.host, self.pid = host, pid


class WrongKey(BackupError):
    """The password opens no key of the repository."""


class RepositoryFull(BackupError):
    """The server takes no more of this host: its quota is used up, or the server's disk is."""


class RepositoryRefuses(BackupError):
    """The server does not do that: what was stored is neither deleted nor changed from here."""


class RepositoryDamaged(BackupError):
    """What is in the repository is not what was put there.

    Attributes:
        packs: ids of damaged pack files; eight digits where restic says no more.
    """

    def __init__(self, text: str, packs: Sequence[str] = ()) -> None:
        super().__init__(text)
        self.packs = list(packs)


class SnapshotIncomplete(BackupError):
    """Some of what was to be backed up could not be read; the rest was.

    Attributes:
        summary: what restic says of the snapshot.
        unread: what could not be read, and why.
    """

    def __init__(self, text: str, summary: dict[str, Any], unread: list[str]) -> None:
        super().__init__(text)
        self.summary, self.unread = summary, unread


class Done(NamedTuple):
    """A call that ended.

    Attributes:
        status: its exit status.
        output: standard output.
        said: standard error.
    """

    status: int
    output: bytes
    said: str


def error_of(done: Done) -> BackupError:
    """What a failed call failed of."""
    said = done.said + "\n" + done.output[-20000:].decode("utf-8", "replace")
    text = _shown(said)
    server = SAID_BY_SERVER.search(said)
    if server and server["what"] == "busy":
        return ServerBusy("the backup server is busy: " + server["text"].strip())
    if server and server["what"] == "full":
        return RepositoryFull("the backup server takes no more: " + server["text"].strip())
    if server:
        return RepositoryUnreachable("the backup server refuses: " + server["text"].strip())
    if done.status == 12 or "wrong password or no key found" in said:
        return WrongKey("the repository's password is wrong")
    if done.status == 11 or "repository is already locked" in said:
        holder = HOLDER.search(said)
        return RepositoryLocked(text, holder["host"], int(holder["pid"])) if holder else RepositoryLocked(text)
    if "403 Forbidden" in said:
        return RepositoryRefuses("the backup server refuses that: " + text)
    if any(words in said for words in DAMAGED):
        packs = list(dict.fromkeys(found["id"] or found["short"] for found in PACK.finditer(said)))
        whole = [pack for pack in packs if len(pack) == 64]
        packs = whole + [pack for pack in packs if len(pack) < 64 and not any(one.startswith(pack) for one in whole)]
        named = "damaged pack files: %s; " % ", ".join(packs) if packs else ""
        return RepositoryDamaged("the repository is damaged: %s%s" % (named, text), packs)
    if done.status == 10 or "Is there a repository at the following location" in said:
        return RepositoryAbsent("there is no repository: " + text)
    if any(words in said for words in AWAY):
        return RepositoryUnreachable("the repository cannot be reached: " + text)
    return BackupError(text or "restic ended with exit status %d" % done.status)


def _shown(said: str) -> str:
    """The end of what a program said, on one line, without repeated tries."""
    kept = []
    for line in said.splitlines():
        line = line.strip()
        if line.startswith("{"):
            with contextlib.suppress(ValueError):
                parsed = json.loads(line)
                message = parsed.get("message") or parsed.get("error", {})
                line = str(message.get("message", "")) if isinstance(message, dict) else str(message)
        if line and "returned error, retrying after" not in line and line not in kept:
            kept.append(line)
    return "; ".join(kept[-4:])[-600:]


def lossy(raw: bytes) -> str:
    """A path as restic writes it in JSON: each byte that is not part of UTF-8 becomes U+FFFD."""
    return re.sub("[\udc80-\udcff]", "\ufffd", raw.decode("utf-8", "surrogateescape"))


def pattern(path: str) -> str:
    """A pattern of restic's that stands for one path alone."""
    return re.sub(r"([\\*?\[\]])", r"\\\1", path)


class Restic:
    """A repository.

    Args:
        repository: as ``restic -r`` takes it.
        password_file: a file that only root can read.
        options: extended options, ``-o``: name -> value.
        cache: where restic keeps what it knows of repositories; nowhere when empty.
        limit_upload: KiB/s; 0: none.
        limit_download: the same of restoring.
        seconds: how long one call may take.
        account: the Unix account that restic runs as; the caller's.
    """

    def __init__(
        self,
        repository: str,
        password_file: str,
        options: dict[str, str] | None = None,
        cache: str = CACHE,
        limit_upload: int = 0,
        limit_download: int = 0,
        seconds: float = DAY,
        account: str = "",
    ) -> None:
        self.repository, self.password_file, self.options = repository, password_file, options or {}
        self.cache, self.seconds, self.account = cache, seconds, account
        self.limits = {"--limit-upload": limit_upload, "--limit-download": limit_download}

    @classmethod
    def of_host(cls, settings: str = SETTINGS, **changes: Any) -> Restic:
        """This host's repository, as the role ``backup`` set it up.

        Args:
            settings: the file that tells of it.
            changes: arguments of `Restic` that are to be others.

        Raises:
            BackupError: the host has no repository.
        """
        try:
            with open(settings, encoding="utf-8") as file:
                about = json.load(file)["repository"]
        except (OSError, ValueError, KeyError) as error:
            raise BackupError("this host has no backups: %s: %s" % (settings, error)) from None
        return cls(**{**about, **changes})

    def command(self, arguments: Sequence[str], storing: bool = False) -> list[str]:
        """The command line of a call.

        Args:
            arguments: those behind the repository's.
            storing: whether the server is told that something is to be stored.
        """
        words = ["restic", "-r", self.repository, "-p", self.password_file]
        words += ["--cache-dir", self.cache] if self.cache else ["--no-cache"]
        for name, value in self.options.items():
            words += ["-o", "%s=%s" % (name, value)]
        if self.repository.startswith("rclone:"):
            words += ["-o", "rclone.args=" + ("store" if storing else "fetch")]
        for name, limit in self.limits.items():
            words += [name, str(limit)] if limit else []
        return [*words, *arguments]

    def call(
        self,
        arguments: Sequence[str],
        feed: Iterable[bytes] | None = None,
        stdout: IO[bytes] | int = subprocess.PIPE,
        seconds: float | None = None,
        storing: bool = False,
    ) -> Done:
        """Run restic, and wait for it.

        Args:
            arguments: those behind the repository's.
            feed: what it reads. When this raises, restic is killed, and whoever fed it hears of the exception.
            stdout: where its output goes; by default into the answer.
            seconds: how long it may take.
            storing: whether the server is told that something is to be stored.

        Raises:
            RepositoryUnreachable: it takes too long; it was killed.
        """
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LC_ALL": "C.UTF-8"}
        environment.update({name: os.environ[name] for name in ("TMPDIR", "GOMAXPROCS") if name in os.environ})
        process = subprocess.Popen(
            self.command(arguments, storing),
            stdin=subprocess.DEVNULL if feed is None else subprocess.PIPE,
            stdout=stdout,
            stderr=subprocess.PIPE,
            env=environment,
            cwd="/",
            # restic and the ssh that it starts end together.
            start_new_session=True,
            **self._identity(),
        )
        broken: list[BaseException] = []
        feeder = threading.Thread(target=_feed, args=(process, feed, broken), daemon=True)
        if feed is not None:
            feeder.start()
        try:
            output, said = _collect(process, self.seconds if seconds is None else seconds)
        except BaseException as error:
            _end(process)
            if isinstance(error, subprocess.TimeoutExpired):
                raise RepositoryUnreachable("no answer within %d s" % error.timeout) from None
            raise
        if feed is not None:
            feeder.join(timeout=60)
        if broken:
            raise broken[0]
        return Done(process.returncode, output, said.decode("utf-8", "surrogateescape"))

    def _identity(self) -> dict[str, Any]:
        """Whose rights restic has."""
        if not self.account:
            # The password's descriptor, where the file is one, is inherited.
            return {"pass_fds": self._descriptors()}
        about = pwd.getpwnam(self.account)
        return {"user": about.pw_uid, "group": about.pw_gid, "extra_groups": [], "pass_fds": self._descriptors()}

    def _descriptors(self) -> tuple[int, ...]:
        found = re.fullmatch(r"/proc/self/fd/([0-9]+)", self.password_file)
        return (int(found[1]),) if found else ()

    def run(self, *arguments: str, seconds: float | None = None) -> bytes:
        """Run a command of restic's that must succeed.

        Returns:
            Its standard output.

        Raises:
            BackupError: it failed, by what it failed of.
        """
        done = self.call(arguments, seconds=seconds)
        if done.status:
            raise error_of(done)
        return done.output

    def init(self) -> None:
        """Make the repository.

        Raises:
            BackupError: it cannot be made, or is there.
        """
        done = self.call(["init"], storing=True)
        if done.status:
            raise error_of(done)

    def backup(
        self,
        paths: Sequence[str],
        tags: Sequence[str] = (),
        exclude: Sequence[str] = (),
        force: bool = False,
        host: str = "",
        parent: str = "",
        feed: Iterable[bytes] | None = None,
        name: str = "",
        one_file_system: bool = False,
    ) -> dict[str, Any]:
        """Make a snapshot.

        Args:
            paths: absolute paths.
            tags: its tags.
            exclude: patterns of what is left out.
            force: read every file anew.
            host: whose backup it is; this host's.
            parent: the snapshot that decides which files are read anew; restic's choice when empty.
            feed: what is backed up instead of paths. When this raises there is no snapshot.
            name: the file's name then.
            one_file_system: do not go into other file systems.

        Returns:
            What restic says of it (``snapshot_id``, ``files_new``, ``data_added``, ...), the id being whole, and
            ``parent``.

        Raises:
            SnapshotIncomplete: something could not be read; there is a snapshot of the rest.
            BackupError: there is none.
        """
        words = ["backup", "--json"]
        for tag in tags:
            words += ["--tag", tag]
        for one in exclude:
            words += ["--exclude", one]
        words += ["--host", host] if host else []
        words += ["--force"] if force else []
        words += ["--parent", parent] if parent else []
        words += ["--one-file-system"] if one_file_system else []
        words += ["--", *paths] if feed is None else ["--stdin", "--stdin-filename", name]
        done = self.call(words, feed=feed, storing=True)
        summary, unread = _summary(done)
        if done.status not in (0, 3) or not summary.get("snapshot_id"):
            raise error_of(done)
        # 0.14 says the beginning of the id.
        made = self.snapshot(summary["snapshot_id"])
        summary.update({"snapshot_id": made["id"], "parent": made.get("parent")})
        if done.status == 3:
            raise SnapshotIncomplete("not everything could be read: %s" % "; ".join(unread[:5]), summary, unread)
        return summary

    def snapshots(self, tags: Sequence[str] = (), host: str = "") -> list[dict[str, Any]]:
        """The snapshots that have all of some tags, oldest first, as ``restic snapshots --json`` tells of them."""
        words = ["snapshots", "--json", "--no-lock"]
        words += ["--tag", ",".join(tags)] if tags else []
        words += ["--host", host] if host else []
        found = json.loads(self.run(*words) or b"[]") or []
        return sorted(found, key=lambda snapshot: str(snapshot["time"]))

    def snapshot(self, name: str) -> dict[str, Any]:
        """One snapshot.

        Args:
            name: its id or the beginning of it.

        Raises:
            BackupError: there is none.
        """
        found = json.loads(self.run("snapshots", "--json", "--no-lock", name) or b"[]") or []
        if len(found) != 1:
            raise BackupError("there is no snapshot %s" % name)
        return dict(found[0])

    def diff(self, before: str, after: str, metadata: bool = True) -> list[tuple[str, str]]:
        """What differs between two snapshots.

        Args:
            before: a snapshot.
            after: another one.
            metadata: tell of owners, modes, times and the like as well.

        Returns:
            Changes and paths: ``+`` added, ``-`` removed, ``M`` other content, ``T`` another type, ``U`` other
            metadata; ``TU`` and the like are both. Directories end in ``/``. Paths are as `os.fsdecode` makes them,
            whatever bytes are in them.
        """
        words = ["diff", "--no-lock", *(["--metadata"] if metadata else []), before, after]
        found = [
            (entry["modifier"], entry["path"])
            for entry in _lines(self.run(*words, "--json"))
            if entry.get("message_type") == "change"
        ]
        if not any("\ufffd" in path for _, path in found):
            return found
        # JSON tells where each name ends, but not its bytes; the text tells bytes, but not where they end.
        text = self.run(*words)
        return [(change, path) for change, path in _exact(text, found, "%-5s")]

    def ls(self, snapshot: str, *folders: str) -> Iterator[dict[str, Any]]:
        """What is in a snapshot: ``path``, ``type``, ``size``, ``mode``, ``uid``, ``gid``, ``mtime`` and so on.

        Args:
            snapshot: its id.
            folders: directories to tell of, with all that is below them; without any, all.

        Raises:
            BackupError: there is no such snapshot.
        """
        words = ["ls", "--no-lock", *(["--recursive"] if folders else []), snapshot, *folders]
        lines = list(_lines(self.run(*words, "--json")))
        # restic 0.14 passes by a snapshot that is not there, and ends as if all were well.
        if not any(line.get("struct_type") == "snapshot" for line in lines):
            raise BackupError("there is no snapshot %s" % snapshot)
        nodes = [line for line in lines if line.get("struct_type") == "node"]
        if any("\ufffd" in node["path"] for node in nodes):
            exact = _exact(self.run(*words), [("", node["path"]) for node in nodes], "%s")
            for node, (_, path) in zip(nodes, exact):
                node["path"] = path
        yield from nodes

    def restore(self, snapshot: str, target: str, include: Sequence[str] = (), verify: bool = False) -> None:
        """Restore files below a directory, with owners, modes, times, ACLs and extended attributes.

        Args:
            snapshot: its id.
            target: the directory; ``/`` restores in place.
            include: paths to restore, with all that is below them; without any, all.
            verify: read what was written once more, and compare.

        Raises:
            BackupError: not all could be restored.
        """
        fixed = ["restore", "--no-lock", "--target", target, *(["--verify"] if verify else []), snapshot]
        batch: list[str] = []
        for path in [*include, None]:
            if batch and (path is None or sum(map(len, batch)) + len(path) > ARGUMENTS):
                self.run(*fixed, *batch)
                batch = []
            if path is not None:
                batch += ["--include", pattern(path)]
        if not include:
            self.run(*fixed)

    def dump(self, snapshot: str, path: str, target: IO[bytes]) -> None:
        """Write a file of a snapshot somewhere.

        Args:
            snapshot: its id.
            path: the file's.
            target: a file that is open for writing.
        """
        done = self.call(["dump", "--no-lock", snapshot, path], stdout=target)
        if done.status:
            raise error_of(done)

    def check(self, subset: str = "") -> None:
        """Look whether the repository is whole.

        Args:
            subset: how much of its data is read, as ``--read-data-subset`` takes it: ``5%``.

        Raises:
            RepositoryDamaged: it is not.
        """
        self.run("check", *(["--read-data-subset", subset] if subset else []))

    def locks(self) -> list[dict[str, Any]]:
        """The locks: ``id``, ``time``, ``exclusive``, ``hostname``, ``pid``."""
        found = []
        for name in self.run("list", "locks", "--no-lock").decode().split():
            # One that is gone meanwhile.
            with contextlib.suppress(BackupError, ValueError):
                found.append({"id": name, **json.loads(self.run("cat", "lock", name, "--no-lock"))})
        return found

    def unlock_stale(self) -> bool:
        """Take away locks that dead processes left.

        restic's own ``unlock`` goes by age, half an hour, and by the number of a process, which another process has
        after a restart of the host. Whoever calls this is the only one who uses the repository on this host.

        Returns:
            Whether locks were taken away.

        Raises:
            RepositoryLocked: there is a lock that somebody holds.
        """
        before = self.locks()
        if not before:
            return False
        self.run("unlock")
        left = self.locks()
        held = [lock for lock in left if lock.get("hostname") != os.uname().nodename or _is_restic(int(lock["pid"]))]
        if left and not held:
            self.run("unlock", "--remove-all")
        elif held:
            about = held[0]
            raise RepositoryLocked(
                "the repository is locked%s since %s by process %s on %s"
                % (
                    " exclusively" if about.get("exclusive") else "",
                    str(about.get("time"))[:19],
                    about.get("pid"),
                    about.get("hostname"),
                ),
                str(about.get("hostname")),
                int(about.get("pid", 0)),
            )
        return True


def _feed(process: subprocess.Popen[bytes], feed: Iterable[bytes], broken: list[BaseException]) -> None:
    """Write to a process what it reads; kill it when that breaks off, as it would take the rest for the whole."""
    assert process.stdin is not None
    try:
        for block in feed:
            process.stdin.write(block)
        process.stdin.close()
    except BrokenPipeError:
        # It ended, and says why.
        pass
    except BaseException as error:
        broken.append(error)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _collect(process: subprocess.Popen[bytes], seconds: float) -> tuple[bytes, bytes]:
    """What a process writes, when it has ended.

    Raises:
        subprocess.TimeoutExpired: it takes too long.
    """
    output, said = [b""], [b""]

    def read(pipe: IO[bytes], place: list[bytes]) -> None:
        place[0] = pipe.read()

    pipes = [(pipe, place) for pipe, place in ((process.stdout, output), (process.stderr, said)) if pipe]
    readers = [threading.Thread(target=read, args=pair, daemon=True) for pair in pipes]
    for reader in readers:
        reader.start()
    process.wait(timeout=seconds)
    for reader in readers:
        # An ssh that outlives restic for a moment may still hold the pipe.
        reader.join(timeout=10)
    return output[0], said[0]


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process and all that it started; gently at first, so that it takes its lock back."""
    for number, seconds in ((signal.SIGTERM, 10), (signal.SIGKILL, 60)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=seconds)
            return


def _is_restic(pid: int) -> bool:
    """Whether a process of this host is restic."""
    try:
        with open("/proc/%d/comm" % pid, encoding="utf-8") as file:
            return file.read().strip() == "restic"
    except OSError:
        return False


def _lines(output: bytes) -> Iterator[dict[str, Any]]:
    """JSON, an object a line."""
    for line in output.split(b"\n"):
        if line.startswith(b"{"):
            yield json.loads(line)


def _summary(done: Done) -> tuple[dict[str, Any], list[str]]:
    """What a backup says at its end, and what it could not read."""
    summary: dict[str, Any] = {}
    unread = []
    for line in done.output.split(b"\n") + done.said.encode("utf-8", "surrogateescape").split(b"\n"):
        if not line.startswith(b"{"):
            continue
        with contextlib.suppress(ValueError):
            message = json.loads(line)
            if message.get("message_type") == "summary":
                summary = message
            elif message.get("message_type") == "error":
                about = message.get("error") or {}
                why = about.get("message") or about.get("Err") or about.get("Op") or "unreadable"
                unread.append("%s: %s" % (message.get("item", ""), why))
    return summary, unread


def _exact(text: bytes, entries: Sequence[tuple[str, str]], form: str) -> list[tuple[str, str]]:
    """Paths with their own bytes, from restic's text for people.

    Args:
        text: that text.
        entries: a word and a path each, in the text's order, the path as JSON has it.
        form: how the text writes the word.

    Raises:
        BackupError: text and entries do not fit together.
    """
    found, place = [], 0
    for word, path in entries:
        # A name may hold line ends: as many lines belong to it.
        ends = path.count("\n")
        start = (form % word).encode()
        while True:
            stop = place
            for _ in range(ends + 1):
                stop = text.find(b"\n", stop) + 1
                if not stop:
                    raise BackupError("restic's answers about %r do not fit together" % path)
            line = text[place : stop - 1]
            if line.startswith(start) and lossy(line[len(start) :]) == path:
                found.append((word, os.fsdecode(line[len(start) :])))
                place = stop
                break
            # What stands before the first entry and behind the last one.
            place = text.find(b"\n", place) + 1
            if not place:
                raise BackupError("restic's answers about %r do not fit together" % path)
    return found
