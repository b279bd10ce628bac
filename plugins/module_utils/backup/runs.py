# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups of this host: runs, checks, restores that prove them, and what is known of all that."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import random
import shutil
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

from .folders import folders
from .history import STATE, History, moment, read_json, summary, write
from .restic import (
    SETTINGS,
    BackupError,
    RepositoryDamaged,
    RepositoryLocked,
    Restic,
    ServerBusy,
    SnapshotIncomplete,
)

LOCK = "/run/kijun-backup.lock"
STATE_OF_SYSTEM = "/var/lib/kijun/system-state/state.json"
TAGS = ("full", "incremental", "differential", "before-change", "after-change")
BLOCK = 1 << 20
SAMPLES = 24
"""Files that `Backups.verify` reads back."""

SAMPLED_BYTES = 64 << 20
LONGEST_PAUSE = 30.0
"""Seconds between two tries, at most."""

DUMPS: dict[str, tuple[list[str], bytes]] = {
    "postgresql": (
        ["runuser", "-u", "postgres", "--", "pg_dumpall", "--quote-all-identifiers"],
        b"PostgreSQL database cluster dump complete",
    ),
    "mariadb": (
        [
            "mariadb-dump",
            "--all-databases",
            "--single-transaction",
            "--quick",
            "--routines",
            "--events",
            "--flush-privileges",
        ],
        b"-- Dump completed",
    ),
}
"""Method -> the command whose output is a consistent dump, run by root over the server's own socket; and the words that
the output of a whole one ends with."""

FILES = {"postgresql": "/postgresql.sql", "mariadb": "/mariadb.sql"}
"""Method -> what the dump is called in a snapshot; restic 0.18 takes no folder there."""


class Backups:
    """The backups of this host.

    Args:
        settings: the file that the role wrote.
        state: where the history is.
        patience: seconds for which a busy server, a lock, or another run on this host is waited for.
    """

    def __init__(self, settings: str = SETTINGS, state: str = STATE, patience: float | None = None) -> None:
        try:
            self.settings = read_json(settings)
        except (OSError, ValueError) as error:
            raise BackupError("this host has no backups: %s: %s" % (settings, error)) from None
        self.restic = Restic.of_host(settings)
        self.history, self.state = History(state), state
        self.patience = self.settings["patience_seconds"] if patience is None else patience
        self.host = str(self.settings["host"])

    # What is backed up.

    def one(self, name: str) -> dict[str, Any]:
        """A class.

        Raises:
            BackupError: there is none of that name.
        """
        for about in self.settings["classes"]:
            if about["name"] == name:
                return dict(about)
        names = ", ".join(about["name"] for about in self.settings["classes"])
        raise BackupError("there is no class %s; there are %s" % (name, names))

    def is_there(self, about: dict[str, Any]) -> bool:
        """Whether the host has what a class is about."""
        return not about.get("if_present") or os.path.exists(about["if_present"])

    def run(self, name: str, tags: list[str] | None = None) -> dict[str, Any]:
        """Back a class up, now.

        Args:
            name: the class.
            tags: the snapshot's; ``incremental`` without any.

        Raises:
            BackupError: there is no whole backup; the history says so too.
        """
        about, tags = self.one(name), tags or ["incremental"]
        if not self.is_there(about):
            raise BackupError("%s: this host has no %s" % (name, about["if_present"]))
        with self._recorded("backup", name, tags) as entry:
            began = time.monotonic()
            try:
                found = self._retried(lambda: self._store(about, tags))
            except SnapshotIncomplete as error:
                self._note(entry, error.summary, time.monotonic() - began)
                entry["errors"] = error.unread
                raise
            self._note(entry, found, time.monotonic() - began)
        keys = ("class", "tags", "snapshot", "parent", "started", "seconds", "files_new", "files_changed")
        return {
            **{key: entry.get(key) for key in (*keys, "bytes_added", "bytes_total")},
            "errors": entry.get("errors", []),
        }

    @staticmethod
    def _note(entry: dict[str, Any], found: dict[str, Any], seconds: float) -> None:
        entry.update(
            snapshot=found["snapshot_id"],
            parent=found.get("parent"),
            files_new=found.get("files_new", 0),
            files_changed=found.get("files_changed", 0),
            bytes_added=found.get("data_added_packed", found.get("data_added", 0)),
            bytes_total=found.get("total_bytes_processed", 0),
            seconds=round(seconds, 1),
        )

    def _store(self, about: dict[str, Any], tags: list[str]) -> dict[str, Any]:
        marks = ["class=" + about["name"], *tags]
        if about["method"] != "files":
            return self.restic.backup(
                [], marks, host=self.host, feed=dumped(about["method"]), name=FILES[about["method"]]
            )
        if about["name"] == "system":
            note_state(STATE_OF_SYSTEM)
        paths = [path for path in about["paths"] if os.path.lexists(path)]
        if not paths:
            raise BackupError("%s: none of %s is there" % (about["name"], ", ".join(about["paths"])))
        parent = self._last_full(about["name"]) if "differential" in tags else ""
        exclude = [*about.get("exclude", []), "/etc/kijun/backup", self.state, self.restic.cache]
        return self.restic.backup(
            paths,
            marks,
            exclude,
            force="full" in tags,
            host=self.host,
            parent=parent,
            one_file_system=bool(about.get("one_file_system")),
        )

    def _last_full(self, name: str) -> str:
        found = self.snapshots(name, "full")
        return str(found[-1]["snapshot"]) if found else ""

    def snapshots(self, name: str = "", tag: str = "", host: str = "") -> list[dict[str, Any]]:
        """Snapshots of a class, with a tag, of a host; oldest first."""
        wanted = (["class=" + name] if name else []) + ([tag] if tag else [])
        return [
            {
                "snapshot": found["id"],
                "time": found["time"],
                "class": next((mark[6:] for mark in found.get("tags") or [] if mark.startswith("class=")), ""),
                "tags": [mark for mark in found.get("tags") or [] if not mark.startswith("class=")],
                "paths": found["paths"],
                "host": found["hostname"],
            }
            for found in self._retried(lambda: self.restic.snapshots(wanted, host))
        ]

    # Proofs.

    def verify(self, snapshot: str) -> dict[str, Any]:
        """Prove that a snapshot can be read back: its whole tree, and some of its files to the last byte.

        Raises:
            BackupError: it cannot.
        """
        began = time.monotonic()
        nodes = [node for node in self._retried(lambda: list(self.restic.ls(snapshot))) if node["type"] == "file"]
        chosen = sample(nodes)
        scratch = self._scratch()
        try:
            if chosen:
                paths = [node["path"] for node in chosen]
                self._retried(lambda: self.restic.restore(snapshot, scratch, paths))
            for node in chosen:
                place = scratch + node["path"]
                if not os.path.isfile(place) or os.path.getsize(place) != node.get("size", 0):
                    raise RepositoryDamaged("%s of snapshot %s does not come back whole" % (node["path"], snapshot[:8]))
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        return {
            "snapshot": snapshot,
            "files": len(nodes),
            "bytes": sum(node.get("size", 0) for node in nodes),
            "sampled": len(chosen),
            "seconds": round(time.monotonic() - began, 1),
            "ok": True,
        }

    def check(self) -> dict[str, Any]:
        """Look whether the repository is whole, and read a part of its data, another one each day.

        Raises:
            RepositoryDamaged: it is not; damaged pack files are named.
            BackupError: it could not be looked at.
        """
        with self._recorded("check", "", []) as entry:
            began = time.monotonic()
            self._retried(lambda: self.restic.check(self.settings["check_subset"]))
            entry["seconds"] = round(time.monotonic() - began, 1)
            entry["subset"] = self.settings["check_subset"]
        return entry

    def restore_test(self, name: str = "") -> list[dict[str, Any]]:
        """Restore the newest full snapshot of each class somewhere, compare every file by its hash, and take the time.

        restic holds each file that it wrote against the SHA-256 of its parts as they were backed up; what the host has
        unchanged since is hashed here as well, on both sides. Owners, modes and sizes are compared with the snapshot's.

        Args:
            name: only this class.

        Raises:
            BackupError: a class failed, after all were tried.
        """
        done, failed = [], []
        for about in self.settings["classes"]:
            if (name and about["name"] != name) or not self.is_there(about):
                continue
            try:
                done.append(self._restore_one(about))
            except BackupError as error:
                failed.append("%s: %s" % (about["name"], error))
        if failed:
            raise BackupError("; ".join(failed))
        return done

    def _restore_one(self, about: dict[str, Any]) -> dict[str, Any]:
        limit = self.settings["rto_seconds"]["system" if about["name"] == "system" else "data"]
        with self._recorded("restore_test", about["name"], []) as entry:
            entry.update(rto_limit=limit, equal=False)
            found = self.snapshots(about["name"])
            if not found:
                raise BackupError("there is no snapshot")
            full = [one for one in found if "full" in one["tags"]] or found
            snapshot = full[-1]["snapshot"]
            entry["snapshot"] = snapshot
            scratch = self._scratch()
            try:
                began = time.monotonic()
                self._retried(lambda: self.restic.restore(snapshot, scratch, verify=True))
                entry["rto_seconds"] = round(time.monotonic() - began, 1)
                compare(scratch, list(self.restic.ls(snapshot)), entry, self._marks(about))
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
            entry["equal"] = True
            entry["seconds"] = round(time.monotonic() - began, 1)
            if entry["rto_seconds"] > limit:
                raise BackupError("restoring took %d s, and may take %d" % (entry["rto_seconds"], limit))
        return entry

    @staticmethod
    def _marks(about: dict[str, Any]) -> dict[str, bytes]:
        """Files of a snapshot -> words that a whole one ends with."""
        return {FILES[about["method"]]: DUMPS[about["method"]][1]} if about["method"] in DUMPS else {}

    def _scratch(self) -> str:
        place = os.path.join(self.state, "scratch-%d" % os.getpid())
        shutil.rmtree(place, ignore_errors=True)
        os.makedirs(place, mode=0o700)
        return place

    def status(self) -> dict[str, Any]:
        """What is known of the backups, without asking the server."""
        self.history.recover()
        return {
            **summary(self.history.lines()),
            "present": [c["name"] for c in self.settings["classes"] if self.is_there(c)],
        }

    # How.

    @contextlib.contextmanager
    def _recorded(self, kind: str, name: str, tags: list[str]) -> Iterator[dict[str, Any]]:
        """Alone on this host, and in the history whatever comes of it."""
        with self._alone():
            entry = self.history.begin(kind, name, tags)
            entry.update(snapshot=None, bytes_added=0, bytes_total=0, error=None, outcome="failed", seconds=0.0)
            began = time.monotonic()
            try:
                yield entry
                entry["outcome"] = "ok"
            except BaseException as error:
                entry["error"] = str(error) or type(error).__name__
                entry["reason"] = type(error).__name__
                entry["packs"] = getattr(error, "packs", [])
                entry["seconds"] = entry["seconds"] or round(time.monotonic() - began, 1)
                raise
            finally:
                self.history.end(entry)
                self.history.shorten(time.time())
                about = {"time": time.time(), **summary(self.history.lines())}
                write(os.path.join(self.state, "status.json"), json.dumps(about, sort_keys=True) + "\n")

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        file = os.open(LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        end = time.monotonic() + self.patience
        try:
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() >= end:
                        raise BackupError("another backup, check or restore of this host still runs") from None
                    time.sleep(0.5)
            yield
        finally:
            os.close(file)

    def _retried(self, what: Callable[[], Any]) -> Any:
        """Try again while the server is busy or somebody holds a lock; take away locks of the dead."""
        end, unlocked = time.monotonic() + self.patience, False
        while True:
            try:
                return what()
            except ServerBusy as error:
                pause, last = min(error.seconds, LONGEST_PAUSE), error  # type: tuple[float, BackupError]
            except RepositoryLocked as error:
                pause, last = 5.0, error
                if not unlocked:
                    with contextlib.suppress(RepositoryLocked):
                        self.restic.unlock_stale()
                        unlocked = True
                        continue
            # Not all at the same moment.
            pause *= random.uniform(0.5, 1.5)  # noqa: S311 (no secret)
            if time.monotonic() + pause >= end:
                raise last
            time.sleep(pause)


def dumped(method: str) -> Iterator[bytes]:
    """The dump of a database server.

    Raises:
        BackupError: it breaks off.
    """
    command, mark = DUMPS[method]
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LC_ALL": "C.UTF-8"}
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, cwd="/"
    )
    assert process.stdout is not None and process.stderr is not None
    end = b""
    try:
        for block in iter(lambda: process.stdout.read1(BLOCK) if process.stdout else b"", b""):  # type: ignore[attr-defined]
            end = (end + block)[-400:]
            yield block
        said = process.stderr.read().decode("utf-8", "replace").strip()
        if process.wait(timeout=60) or mark not in end:
            raise BackupError("%s: the dump is not whole: %s" % (method, said[-300:] or "it ends too early"))
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def note_state(path: str) -> None:
    """Write down which packages, units and folders of state the host has, for whoever has to bring them back.

    Nothing is written where nothing changed.
    """
    asked = {
        "packages": ["dpkg-query", "-W", "-f", "${db:Status-Abbrev} ${binary:Package} ${Version}\n"],
        "held": ["apt-mark", "showhold"],
        "manual": ["apt-mark", "showmanual"],
        "units": ["systemctl", "list-unit-files", "--no-legend", "--no-pager", "--plain"],
    }
    state: dict[str, Any] = {"folders": folders()}
    for name, command in asked.items():
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL
            )
            state[name] = sorted(" ".join(line.split()) for line in done.stdout.splitlines())
    text = json.dumps(state, indent=1) + "\n"
    with contextlib.suppress(OSError), open(path, encoding="utf-8") as file:
        if file.read() == text:
            return
    os.makedirs(os.path.dirname(path), exist_ok=True)
    write(path, text)


def sample(nodes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Files to read back: chosen at random, no more than so many and so large."""
    chosen, total = [], 0
    for node in random.sample(nodes, len(nodes)):
        size = node.get("size", 0)
        if total + size <= SAMPLED_BYTES:
            chosen.append(node)
            total += size
        if len(chosen) == SAMPLES:
            break
    return chosen


def digest(path: str) -> str:
    """SHA-256 of a file."""
    found = hashlib.sha256()
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NOFOLLOW)) as file:
        for block in iter(lambda: file.read(BLOCK), b""):
            found.update(block)
    return found.hexdigest()


def compare(scratch: str, nodes: list[dict[str, Any]], entry: dict[str, Any], marks: dict[str, bytes]) -> None:
    """Hold what was restored against the snapshot, and against the host itself where that is as it was.

    Args:
        scratch: where it was restored.
        nodes: what the snapshot holds.
        entry: gets ``files``, ``bytes``, and ``compared``: files whose hash was compared with the host's own.
        marks: files -> words that they end with when they are whole.

    Raises:
        RepositoryDamaged: something is missing or another.
    """
    entry.update(files=0, bytes=0, compared=0)
    for node in nodes:
        path, place = node["path"], scratch + node["path"]
        try:
            info = os.lstat(place)
        except OSError:
            if node["type"] in ("file", "dir", "symlink"):
                raise RepositoryDamaged("%s was not restored" % path) from None
            continue
        wanted = node.get("mode", 0) & 0o777
        if node["type"] != "symlink" and (stat.S_IMODE(info.st_mode) & 0o777, info.st_uid, info.st_gid) != (
            wanted,
            node.get("uid", 0),
            node.get("gid", 0),
        ):
            raise RepositoryDamaged("%s was restored with another owner or mode" % path)
        if node["type"] != "file":
            continue
        if not stat.S_ISREG(info.st_mode) or info.st_size != node.get("size", 0):
            raise RepositoryDamaged("%s was restored with another size" % path)
        entry["files"] += 1
        entry["bytes"] += info.st_size
        if path in marks:
            with open(place, "rb") as file:
                file.seek(max(0, info.st_size - 400))
                if marks[path] not in file.read():
                    raise RepositoryDamaged("%s is no whole dump" % path)
        with contextlib.suppress(OSError):
            now = os.lstat(path)
            if stat.S_ISREG(now.st_mode) and (now.st_size, now.st_mtime_ns) == (info.st_size, info.st_mtime_ns):
                entry["compared"] += 1
                if digest(path) != digest(place):
                    raise RepositoryDamaged("%s was restored with other content than the host has" % path)
    return


__all__ = ["TAGS", "Backups", "moment"]
