# SPDX-License-Identifier: GPL-3.0-or-later
"""Brings files of a snapshot back: beside what is there, or in its place and then proven by one more snapshot."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from .put_back import EXTRA, METADATA, Outcome, put_back
from .restic import BackupError, Restic

Json = dict[str, Any]
Changes = list[tuple[str, str]]

COMMAND = "/usr/local/sbin/kijun-backup"
LEAVES = 200
"""Paths that restic is asked for at once; it matches each path of a snapshot against all of them."""

ROUNDS = 3
"""How often files are put back that running programs changed anew meanwhile."""

ROOM = 1.05
"""Room that copies take, in their sizes: blocks and folders come on top."""

SHOWN = ("type", "mode", "uid", "gid", "size", "linktarget")
"""What must be the same of a path in two snapshots, beside its content; a file's time as well."""


@dataclass
class Restored:
    """What came of putting back.

    Attributes:
        outcome: what was done to files.
        present: the snapshot that was taken before, with which all this can be undone.
        proof: the snapshot that was taken after.
    """

    outcome: Outcome = field(default_factory=Outcome)
    present: str = ""
    proof: str = ""


def backup_command(*arguments: str) -> Json | list[Json]:
    """What kijun-backup answers.

    Args:
        arguments: its command and what belongs to it.

    Raises:
        BackupError: it failed; says why.
    """
    try:
        done = subprocess.run([COMMAND, *arguments, "--json"], capture_output=True, check=False)
    except FileNotFoundError:
        raise BackupError("this host takes no backups: %s is missing; run playbooks/backup.yml" % COMMAND) from None
    try:
        answer: Json | list[Json] = json.loads(done.stdout.decode().strip().splitlines()[-1])
    except (IndexError, ValueError):
        answer = {"error": done.stderr.decode(errors="replace").strip()[-500:] or "it said nothing"}
    if done.returncode or (isinstance(answer, dict) and answer.get("error")):
        why = answer.get("error") if isinstance(answer, dict) else "exit status %d" % done.returncode
        raise BackupError("kijun-backup %s: %s" % (" ".join(arguments[:2]), why))
    return answer


def take(name: str, tags: Sequence[str]) -> Json:
    """Take a backup now.

    Args:
        name: the class.
        tags: its tags.

    Returns:
        What kijun-backup says of it; ``snapshot`` is its id.

    Raises:
        BackupError: there is none.
    """
    words = [word for tag in tags for word in ("--tag", tag)]
    answer = backup_command("run", name, *words)
    assert isinstance(answer, dict)
    return answer


def is_folder(path: str) -> bool:
    """Whether restic means a folder by a path."""
    return path.endswith("/")


def differences(repository: Restic, before: str, after: str, kept: Callable[[str], bool]) -> Changes:
    """What really differs between two snapshots: content, kind, presence, owner, mode, and the times of files.

    restic tells of every path whose inode or time of change differs, and so of each that was ever put back.

    Args:
        repository: the repository.
        before: a snapshot.
        after: a later one.
        kept: whether a path counts.

    Raises:
        BackupError: the repository does not answer.
    """
    found = [(letter, path) for letter, path in repository.diff(before, after) if kept(path.rstrip("/"))]
    doubtful = {path.rstrip("/") for letter, path in found if letter == METADATA}
    if not doubtful:
        return found
    then, now = ({n["path"]: n for n in repository.ls(one) if n["path"] in doubtful} for one in (before, after))
    return [
        (letter, path)
        for letter, path in found
        if letter != METADATA or not _alike(then.get(path.rstrip("/")), now.get(path.rstrip("/")))
    ]


def _alike(one: Json | None, other: Json | None) -> bool:
    if one is None or other is None:
        return one is other
    names = SHOWN if one["type"] == "dir" else (*SHOWN, "mtime")
    return all(one.get(name) == other.get(name) for name in names)


def bring_back(
    repository: Restic,
    name: str,
    snapshot: str,
    kept: Callable[[str], bool],
    scratch: str,
    tags: Sequence[str],
    delete: bool = True,
    only: Changes | None = None,
) -> Restored:
    """Make a class of data on this host what it was in a snapshot, and prove it.

    Args:
        repository: the repository.
        name: the class.
        snapshot: the snapshot.
        kept: whether a path is among those to bring back.
        scratch: a folder of root's own for the copies; made, and removed again.
        tags: what the backups before and after it are marked with, beside ``before-restore`` and ``after-restore``.
        delete: also remove what the snapshot does not have.
        only: changes to undo; without them, all since the snapshot.

    Returns:
        What was done.

    Raises:
        BackupError: the repository does not do what is asked of it, or there is no room; what was done by then stays,
            and is gone on with when this is called again.
    """
    done = Restored(present=take(name, ["before-restore", *tags])["snapshot"])
    changes = only
    if changes is None:
        changes = [(letter, path) for letter, path in repository.diff(snapshot, done.present) if kept(path.rstrip("/"))]
    named = {path.rstrip("/") for _, path in changes}

    def asked(path: str) -> bool:
        return kept(path) if only is None else path in named

    done.proof = done.present
    for _ in range(ROUNDS):
        if not delete:
            changes = [(letter, path) for letter, path in changes if EXTRA not in letter]
        if not changes:
            break
        _merge(done.outcome, _put_back(repository, snapshot, changes, scratch))
        done.proof = take(name, ["after-restore", *tags])["snapshot"]
        changes = differences(repository, snapshot, done.proof, asked)
    for _, path in changes:
        done.outcome.failures.setdefault(path.rstrip("/"), "is not what it was in the snapshot")
    return done


def _merge(all_: Outcome, one: Outcome) -> None:
    for name in ("replaced", "removed", "attributes"):
        mine = getattr(all_, name)
        mine.extend(path for path in getattr(one, name) if path not in mine)
    all_.failures = one.failures  # what a later round could do is no failure


def _put_back(repository: Restic, snapshot: str, changes: Changes, scratch: str) -> Outcome:
    shutil.rmtree(scratch, ignore_errors=True)
    os.makedirs(scratch, 0o700)
    try:
        copies(repository, snapshot, changes, scratch)
        return put_back([(letter, path.rstrip("/") or "/") for letter, path in changes], scratch)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def copies(repository: Restic, snapshot: str, changes: Changes, scratch: str) -> None:
    """Get the snapshot's copies of all paths that are to be put back.

    Args:
        repository: the repository.
        snapshot: the snapshot.
        changes: as restic tells of them.
        scratch: the folder for them.

    Raises:
        BackupError: the repository does not give them, or there is no room for them.
    """
    wanted = [(letter, path) for letter, path in changes if EXTRA not in letter]
    if not wanted:
        return
    nodes = {node["path"]: node for node in repository.ls(snapshot)}
    include = covering(leaves(wanted, nodes))
    size = sum(
        int(node.get("size") or 0) for path, node in nodes.items() if any(below(path, above) for above in include)
    )
    free = shutil.disk_usage(scratch).free
    if size * ROOM > free:
        raise BackupError("%d MB are needed in %s for copies, and %d MB are free" % (size / 1e6, scratch, free / 1e6))
    repository.restore(snapshot, scratch, include)


def leaves(changes: Changes, nodes: dict[str, Json]) -> set[str]:
    """Paths to ask restic for. A folder of which only its own attributes differ comes with the least that is in it:
    asked for by its name, it comes with everything.

    Args:
        changes: what is to be put back.
        nodes: path -> what the snapshot has there.
    """
    inside: dict[str, list[str]] = {}
    for path in nodes:
        inside.setdefault(os.path.dirname(path), []).append(path)

    def least(folder: str) -> str:
        paths = inside.get(folder)
        if not paths:
            return folder
        plain = [path for path in paths if nodes[path]["type"] != "dir"]
        if plain:
            return min(plain, key=lambda path: int(nodes[path].get("size") or 0))
        return least(paths[0])

    return {
        least(path.rstrip("/")) if letter == METADATA and is_folder(path) else path.rstrip("/")
        for letter, path in changes
    }


def covering(paths: Iterable[str], most: int = LEAVES) -> list[str]:
    """Few paths below which all of some paths are.

    Args:
        paths: absolute paths.
        most: how many there may be; with more, folders stand for what is in them.
    """
    wanted = _outermost(paths)
    while len(wanted) > most:
        deepest = max(path.count("/") for path in wanted)
        if deepest <= 1:
            break
        wanted = _outermost(os.path.dirname(path) if path.count("/") == deepest else path for path in wanted)
    return wanted


def _outermost(paths: Iterable[str]) -> list[str]:
    """Paths without those that are below another one of them."""
    kept: list[str] = []
    # By their parts: "a-b" comes before "a/b" otherwise.
    for path in sorted(set(paths), key=lambda path: path.split("/")):
        if not kept or not below(path, kept[-1]):
            kept.append(path)
    return kept


def below(path: str, above: str) -> bool:
    """Whether a path is another one, or in it."""
    return path == above or path.startswith(above.rstrip("/") + "/")


def moment(text: str) -> float:
    """Seconds since 1970 of a time as restic, this program and people write it (ISO 8601; UTC unless it says another).

    Args:
        text: the time.

    Raises:
        ValueError: it is none.
    """
    text = text.strip().replace(" ", "T")
    text = text[:-1] + "+00:00" if text.endswith(("Z", "z")) else text
    head, point, rest = text.partition(".")
    if point:
        zone = next((rest[place:] for place, letter in enumerate(rest) if letter in "+-"), "")
        text = head + zone
    when = datetime.datetime.fromisoformat(text)
    return (when if when.tzinfo else when.replace(tzinfo=datetime.timezone.utc)).timestamp()


def fitting(snapshots: Sequence[Json], paths: Sequence[str], name: str = "") -> list[Json]:
    """Snapshots of a class that have some paths in them.

    Args:
        snapshots: what there is, as ``kijun-backup snapshots`` says it.
        paths: the paths.
        name: the class; any when empty.
    """
    return [
        one
        for one in snapshots
        if (not name or one["class"] == name) and all(any(below(path, root) for root in one["paths"]) for path in paths)
    ]


def choose(snapshots: Sequence[Json], which: str, paths: Sequence[str], name: str = "") -> Json:
    """The snapshot that an operator means.

    Args:
        snapshots: what there is, as ``kijun-backup snapshots`` says it.
        which: the beginning of an id, ``latest``, or a time: the last one that was taken by then.
        paths: what is to be restored.
        name: the class; any when empty.

    Raises:
        BackupError: there is none, or more than one; says what there is.
    """
    found = fitting(snapshots, paths, name)
    about = "%s%s" % (" of class %s" % name if name else "", " with %s" % ", ".join(paths) if paths else "")
    if not found:
        there = sorted({one["class"] for one in snapshots})
        raise BackupError("there is no snapshot%s; there are snapshots of: %s" % (about, ", ".join(there) or "nothing"))
    if which == "latest":
        return max(found, key=lambda one: moment(one["time"]))
    named = [one for one in found if one["snapshot"].startswith(which.lower())] if len(which) >= 4 else []
    if len(named) == 1:
        return named[0]
    if named:
        raise BackupError("%d snapshots begin with %s; give more of the id" % (len(named), which))
    try:
        by = moment(which)
    except ValueError:
        raise BackupError(
            "%r is no snapshot%s, no time (such as 2026-01-31T12:00) and not latest" % (which, about)
        ) from None
    early = [one for one in found if moment(one["time"]) <= by]
    if not early:
        raise BackupError(
            "there is no snapshot%s from before %s; the first is of %s"
            % (about, which, min(one["time"] for one in found))
        )
    return max(early, key=lambda one: moment(one["time"]))


def beside(repository: Restic, snapshot: str, paths: Sequence[str], target: str) -> Json:
    """Restore into an empty folder, each file read once more and compared.

    Args:
        repository: the repository.
        snapshot: its id.
        paths: what; everything when empty.
        target: an absolute path, which is made for root alone.

    Returns:
        ``files`` and ``bytes`` that were restored.

    Raises:
        BackupError: the folder has something in it, or not all could be restored.
    """
    if not os.path.isabs(target):
        raise BackupError("%s is no absolute path" % target)
    if os.path.isdir(target) and os.listdir(target):
        raise BackupError("%s is not empty; name a folder that does not exist" % target)
    os.makedirs(target, 0o700, exist_ok=True)
    repository.restore(snapshot, target, list(paths), verify=True)
    files = size = 0
    for folder, _, names in os.walk(target):
        for file in names:
            info = os.lstat(os.path.join(folder, file))
            files += 1
            size += info.st_size if stat.S_ISREG(info.st_mode) else 0
    missing = [path for path in paths if not os.path.lexists(os.path.join(target, path.lstrip("/")))]
    if missing:
        with contextlib.suppress(OSError):
            os.rmdir(target)
        raise BackupError("the snapshot has no %s" % ", ".join(missing))
    return {"files": files, "bytes": size}
