# SPDX-License-Identifier: GPL-3.0-or-later
"""Put prepared changes in place together, keep what they replace, and finish what was interrupted.

What each stage leaves behind when it ends early:

1. *stage*: each new file is written next to its target, each old one is copied into a generation directory, and a
   journal says so. Ended here, the next step on the host clears the staged files away: the old state.
2. *commit*: the journal turns to "commit"; from now on renames only. Ended here, the next step finishes them from the
   staged files (the new state), or, if one of these is damaged, brings the copies back (the old state).

Both run in a child of their own session, which neither a lost connection nor the death of the module ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .file_state import (
    FileState,
    FileTransactionError,
    flush,
    flush_directory,
    matches,
    open_directory,
    read_state,
    read_tree,
    split_path,
    walk_directory,
    write_entry,
)

Json = dict[str, Any]


@dataclass
class Change:
    """A path whose state is to become another one (None: no such path)."""

    path: str
    real: str
    before: FileState | None
    after: FileState | None
    secret: bool = False

    @property
    def verb(self) -> str:
        """How the result names the change: created, absent, changed (content) or attributes (owner, group, mode)."""
        if self.before is None:
            return "created"
        if self.after is None:
            return "absent"
        same = (self.before.kind, self.before.content) == (self.after.kind, self.after.content)
        return "attributes" if same else "changed"


class FileStore:
    """The directory where one host keeps the journal of a commit and the generations of replaced files."""

    def __init__(self, directory: str) -> None:
        """Name the directory; it is created, for root alone, when it is needed."""
        self.directory = directory
        self.journal_path = os.path.join(directory, "journal.json")
        self.generations_dir = os.path.join(directory, "generations")

    def commit(self, changes: list[Change], keep: int) -> tuple[int, dict[str, str]]:
        """Stage and commit in a child that outlives this process, and wait for it.

        :returns: the generation's number, and path to backup path.
        :raises FileTransactionError: with everything as it was before.
        """
        generation = max(self._generations(), default=0) + 1
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            _detach()
            try:
                self._stage_and_commit(changes, generation, keep)
                answer: Json = {}
            except FileTransactionError as error:
                answer = {"error": str(error)}
            except OSError as error:
                answer = {"error": f"{error.filename or self.directory}: {error.strerror}; nothing was changed"}
            except BaseException as error:  # the parent has to hear of it: this process has nowhere to raise to
                answer = {"error": f"unexpected {type(error).__name__}: {error}"}
            os.write(writer, json.dumps(answer).encode())
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader, "rb") as stream:
            received = stream.read()
        os.waitpid(pid, 0)
        if not received:
            return self._after_killed_child(generation)
        answer = json.loads(received)
        if "error" in answer:
            raise FileTransactionError(answer["error"])
        return generation, self._backups(generation)

    def _after_killed_child(self, generation: int) -> tuple[int, dict[str, str]]:
        """Bring the commit of a killed child to one of its two ends."""
        self.recover()
        if generation in self._generations():  # it is removed with everything else when the old state comes back
            return generation, self._backups(generation)
        raise FileTransactionError("the process that puts the files in place was killed; the earlier state is restored")

    def _stage_and_commit(self, changes: list[Change], generation: int, keep: int) -> None:
        """Stage and commit; on an error everything is as it was before."""
        self.make()
        journal = self._new_journal(changes, generation)
        self._write_journal(journal)
        try:
            self._stage(journal, changes)
            self._write_journal({**journal, "phase": "commit"})
        except BaseException as error:
            self._undo_staging(journal)
            if isinstance(error, OSError):
                raise FileTransactionError(
                    f"{error.filename or self.directory}: {error.strerror} while preparing files; nothing was changed"
                ) from error
            raise
        try:
            self._roll_forward(journal)
        except OSError as error:
            self._roll_back(journal)
            raise FileTransactionError(
                f"{error.filename2 or error.filename}: {error.strerror}; the files already replaced were put back"
            ) from error
        self._prune(keep)

    @staticmethod
    def _new_journal(changes: list[Change], generation: int) -> Json:
        """Write down what is about to happen, before any of it does."""
        token = secrets.token_hex(4)
        entries = [
            {
                "path": change.real,
                "before": change.before.describe() if change.before else None,
                "after": change.after.describe() if change.after else None,
                # Beside the target. Drop-in directories do not read such names, and nobody can guess this one.
                "spare": f".kijun-{token}-{number}~",
            }
            for number, change in enumerate(sorted(changes, key=lambda one: one.real))
        ]
        return {
            "phase": "staging",
            "generation": generation,
            "time": int(time.time()),
            "entries": entries,
            "made": _directories_to_make(changes),
        }

    def _stage(self, journal: Json, changes: list[Change]) -> None:
        """Write all new files next to their targets and all old ones into the generation, and flush both to disk."""
        contents = {change.real: change for change in changes}
        for made in journal["made"]:
            _make_directory(made["path"], made["uid"], made["gid"], made["mode"])
        to_flush = []
        backups = self._backup_root(journal["generation"])
        os.makedirs(backups, mode=0o700)
        for entry in journal["entries"]:
            path, change = entry["path"], contents[entry["path"]]
            parent = split_path(path)[0]
            if change.after and change.after.kind != "directory":
                with _naming(path), open_directory(parent) as dir_fd:
                    write_entry(dir_fd, entry["spare"], change.after, like=path)
                to_flush.append(os.path.join(parent, entry["spare"]))
            if change.before and change.before.kind != "directory":
                copy = backups + path
                os.makedirs(os.path.dirname(copy), mode=0o700, exist_ok=True)
                with _naming(copy), open_directory(os.path.dirname(copy)) as dir_fd:
                    write_entry(dir_fd, os.path.basename(copy), change.before, like=path)
                to_flush.append(copy)
        manifest = os.path.join(os.path.dirname(backups), "manifest.json")
        write_json(manifest, {key: journal[key] for key in ("generation", "time", "entries")})
        # All writes first, then all flushes: the disk then has the data on its way when the first flush waits.
        for path in to_flush:
            with _naming(path):
                flush(path)
        folders = {os.path.dirname(path) for path in to_flush} | {
            split_path(made["path"])[0] for made in journal["made"]
        }
        for folder in sorted({*folders, os.path.dirname(manifest), self.generations_dir}):
            flush_directory(folder)

    def _roll_forward(self, journal: Json) -> None:
        """Put the staged files in place and remove what is to go; repeatable at any point of itself."""
        for entry in journal["entries"]:
            path, after = entry["path"], entry["after"]
            if after is None:
                continue
            if after["kind"] == "directory":
                _make_directory(path, after["uid"], after["gid"], after["mode"])
                continue
            parent, name = split_path(path)
            # No staged file: it was renamed before the interruption.
            with open_directory(parent) as dir_fd, contextlib.suppress(FileNotFoundError):
                os.rename(entry["spare"], name, src_dir_fd=dir_fd, dst_dir_fd=dir_fd)
        for entry in reversed(journal["entries"]):
            if entry["after"] is None:
                _remove(entry["path"], entry["before"]["kind"])
        self._finish(journal)

    def _roll_back(self, journal: Json) -> None:
        """Bring every path back to what it was; repeatable at any point of itself."""
        backups = self._backup_root(journal["generation"])
        self._discard_staged(journal)
        for entry in journal["entries"]:
            path, before = entry["path"], entry["before"]
            if before is None or matches(read_state(path), before):
                continue
            if before["kind"] == "directory":
                _make_directory(path, before["uid"], before["gid"], before["mode"])
                continue
            old = read_state(backups + path)
            if old is None or not matches(old, before):
                raise FileTransactionError(
                    f"{backups + path}: damaged, so {path} cannot be brought back; put it right by hand, then remove "
                    f"{self.journal_path}"
                )
            parent, name = split_path(path)
            with open_directory(parent) as dir_fd:
                write_entry(dir_fd, entry["spare"], old, like=backups + path)
                os.rename(entry["spare"], name, src_dir_fd=dir_fd, dst_dir_fd=dir_fd)
        for entry in reversed(journal["entries"]):
            if entry["before"] is None and entry["after"]["kind"] != "directory":
                _remove(entry["path"], entry["after"]["kind"])
        self._remove_made(journal)
        shutil.rmtree(os.path.dirname(backups), ignore_errors=True)
        self._finish(journal)

    def _undo_staging(self, journal: Json) -> None:
        self._discard_staged(journal)
        self._remove_made(journal)
        shutil.rmtree(os.path.dirname(self._backup_root(journal["generation"])), ignore_errors=True)
        self._finish(journal)

    @staticmethod
    def _discard_staged(journal: Json) -> None:
        for entry in journal["entries"]:
            _remove(_spare_path(entry), "file")

    @staticmethod
    def _remove_made(journal: Json) -> None:
        for made in reversed(journal["made"]):
            with contextlib.suppress(OSError):  # somebody else has put something into it meanwhile
                os.rmdir(made["path"])

    def _finish(self, journal: Json) -> None:
        """Make the renames last, then let go of the journal."""
        for folder in sorted({split_path(entry["path"])[0] for entry in journal["entries"]}):
            with contextlib.suppress(FileNotFoundError):
                flush_directory(folder)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.journal_path)
        flush_directory(self.directory)

    # --- after an interruption ------------------------------------------------------------------------

    def _read_journal(self) -> Json | None:
        try:
            with open(self.journal_path, encoding="utf-8") as stream:
                journal: Json = json.load(stream)
                return journal
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise FileTransactionError(
                f"{self.journal_path}: damaged ({error}); compare the files it names with their copies by hand"
            ) from error

    def _direction(self, journal: Json) -> str:
        """Decide how an interrupted run ends: ``clear`` its staging, go ``forward`` to the new state, or ``back``."""
        if journal["phase"] == "staging":
            return "clear"
        for entry in journal["entries"]:
            if entry["after"] is None or entry["after"]["kind"] == "directory":
                continue
            if not any(matches(read_state(path), entry["after"]) for path in (_spare_path(entry), entry["path"])):
                return "back"
        return "forward"

    def recover(self) -> tuple[str | None, list[str]]:
        """Bring what an interrupted run left to its old or its new state. The lock must be held.

        :returns: the direction (None: nothing was left), and the paths that now have their new state.
        """
        journal = self._read_journal()
        if journal is None:
            return None, []
        direction = self._direction(journal)
        if direction == "forward":
            self._roll_forward(journal)
            return direction, [entry["path"] for entry in journal["entries"]]
        if direction == "back":
            self._roll_back(journal)
        else:
            self._undo_staging(journal)
        return direction, []

    def preview_recovery(self) -> tuple[dict[str, FileState | None], list[str]]:
        """Know what :meth:`recover` would leave, without doing it (check mode).

        :returns: path to the state it would have, and the paths that would then have their new state.
        """
        journal = self._read_journal()
        if journal is None or journal["phase"] == "staging":
            return {}, []
        forward = self._direction(journal) == "forward"
        left: dict[str, FileState | None] = {}
        for entry in journal["entries"]:
            path, side = entry["path"], entry["after" if forward else "before"]
            if side is None or side["kind"] == "directory":
                left[path] = side and FileState("directory", b"", side["uid"], side["gid"], side["mode"])
                continue
            source = _spare_path(entry) if forward else self._backup_root(journal["generation"]) + path
            found = [state for state in (read_state(path), read_state(source)) if matches(state, side)]
            if not found:
                raise FileTransactionError(f"{source}: damaged since an interrupted run; put {path} right by hand")
            left[path] = found[0]
        return left, sorted(left) if forward else []

    # --- generations ----------------------------------------------------------------------------------

    def make(self) -> None:
        """Create the store, for root alone."""
        try:
            os.makedirs(self.directory, mode=0o755, exist_ok=True)
            os.chmod(self.directory, 0o700)
            os.makedirs(self.generations_dir, mode=0o700, exist_ok=True)
        except OSError as error:
            raise FileTransactionError(
                f"{self.directory}: {error.strerror}; earlier versions are kept there. Nothing was changed"
            ) from error

    def _write_journal(self, journal: Json) -> None:
        write_json(self.journal_path, journal)

    def _generations(self) -> list[int]:
        try:
            return sorted(int(name) for name in os.listdir(self.generations_dir) if name.isdigit())
        except FileNotFoundError:
            return []

    def _backup_root(self, generation: int) -> str:
        """The directory below which a generation mirrors the replaced files by their full paths."""
        return os.path.join(self.generations_dir, str(generation), "files")

    def _backups(self, generation: int) -> dict[str, str]:
        root = self._backup_root(generation)
        return {path[len(root) :]: path for path, state in read_tree(root).items() if state.kind != "directory"}

    def _prune(self, keep: int) -> None:
        for number in self._generations()[:-keep]:
            shutil.rmtree(os.path.join(self.generations_dir, str(number)), ignore_errors=True)


def _directories_to_make(changes: list[Change]) -> list[Json]:
    """List the directories that do not exist yet, parents first: wanted ones, and those above wanted files."""
    made: dict[str, Json] = {}
    for change in changes:
        if change.after is None:
            continue
        fd, real, missing = walk_directory(split_path(change.real)[0])
        os.close(fd)
        for name in missing:
            real = os.path.join(real, name)
            made.setdefault(real, {"path": real, "uid": 0, "gid": 0, "mode": 0o755})
    for change in changes:
        if change.after is not None and change.after.kind == "directory" and change.before is None:
            state = change.after
            made[change.real] = {"path": change.real, "uid": state.uid, "gid": state.gid, "mode": state.mode}
    return [made[path] for path in sorted(made)]


def _spare_path(entry: Json) -> str:
    """Where an entry's new file waits, and where a copy that is brought back is written first."""
    return os.path.join(split_path(entry["path"])[0], entry["spare"])


def _make_directory(path: str, uid: int, gid: int, mode: int) -> None:
    """Create a directory, or give an existing one its owner and mode."""
    parent, name = split_path(path)
    with open_directory(parent) as dir_fd:
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, 0o700, dir_fd=dir_fd)
        fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=dir_fd)
        try:
            os.fchown(fd, uid, gid)
            os.fchmod(fd, mode)
        finally:
            os.close(fd)


def _remove(path: str, kind: str) -> None:
    """Remove a file, link or empty directory that may be gone already."""
    parent, name = split_path(path)
    with contextlib.suppress(FileNotFoundError), open_directory(parent) as dir_fd:
        if kind == "directory":
            os.rmdir(name, dir_fd=dir_fd)
        else:
            os.unlink(name, dir_fd=dir_fd)


@contextlib.contextmanager
def _naming(path: str) -> Iterator[None]:
    """Have an error of a file descriptor, such as "no space left", name the file it is about."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from error


def write_json(path: str, value: Any) -> None:
    """Replace a file of ours, readable by root only, atomically and durably."""
    temporary = path + ".new"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with _naming(path), os.fdopen(fd, "w", encoding="utf-8") as stream:
        json.dump(value, stream, indent=1, sort_keys=True)
        stream.flush()
        os.fsync(stream.fileno())
    os.rename(temporary, path)
    flush_directory(os.path.dirname(path))


def _detach() -> None:
    """Free this process of its parent's session, signals and output, so that only its own end ends it."""
    os.setsid()
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
