# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes paths of this host what they were in a snapshot, each replaced by one rename, and says what it did.

The snapshot's copies were restored beside the host's own tree before (`Restic.restore`); nothing here asks the
repository. It can be ended at any moment and begun anew: what is right already is left alone.
"""

from __future__ import annotations

import contextlib
import errno
import filecmp
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

SPARE = ".kijun-back-"
"""How the name of a copy begins that is about to take a file's place."""

EXTRA, MISSING, CONTENT, METADATA, KIND = "+", "-", "M", "U", "T"
"""What restic-diff(1) says of a path between a snapshot and a later one."""


@dataclass
class Outcome:
    """What was done.

    Attributes:
        replaced: paths that were missing, or had another content or kind.
        removed: paths that the snapshot does not have.
        attributes: paths whose owner, mode, times or extended attributes were put back.
        failures: path -> why it could not be put back.
    """

    replaced: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    attributes: list[str] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)

    def paths(self) -> list[str]:
        """All paths that were touched, in order."""
        return sorted({*self.replaced, *self.removed, *self.attributes})


def put_back(changes: Iterable[tuple[str, str]], scratch: str, root: str = "/") -> Outcome:
    """Undo changes.

    Args:
        changes: restic's letter (`EXTRA` and so on; several of them together where it says several) and absolute path.
        scratch: the folder below which the snapshot's copies are.
        root: the folder that the paths start at.

    Returns:
        What was done, and what could not be.
    """
    return _PutBack(scratch, root).all(list(changes))


class _PutBack:
    """One run of `put_back`."""

    def __init__(self, scratch: str, root: str) -> None:
        self.scratch, self.root = scratch, root
        self.outcome = Outcome()
        self._first: dict[tuple[int, int], str] = {}

    def all(self, changes: list[tuple[str, str]]) -> Outcome:
        """Remove what is too much, put back what is not, and at last the folders' own attributes."""
        extra = {path.rstrip("/") for letter, path in changes if EXTRA in letter}
        others = {path.rstrip("/") or "/" for letter, path in changes if EXTRA not in letter}
        kinds = {path.rstrip("/") for letter, path in changes if KIND in letter}
        for path in sorted(extra, reverse=True):  # what lies in a folder comes before the folder
            self._guarded(path, self._remove)
        folders = []
        for path in sorted(others):
            copy = self._copy(path)
            if not os.path.lexists(copy):
                self.outcome.failures[path] = "the repository gave back no copy of it"
            elif os.path.isdir(copy) and not os.path.islink(copy):
                folders.append(path)
                self._guarded(path, self._make_folder)
            else:
                self._guarded(path, self._replace if path in kinds else self._set_right)
        # Their times change with everything that is done in them; and so do those of folders that nobody named.
        for path in sorted({*folders, *self._folders_above({*extra, *others})}, reverse=True):
            self._guarded(path, self._attributes)
        return self.outcome

    def _guarded(self, path: str, step: Callable[[str], None]) -> None:
        """Do one step; what stands in its way is told, and hinders no other."""
        try:
            step(path)
        except OSError as error:
            self.outcome.failures[path] = error.strerror or str(error)

    def _copy(self, path: str) -> str:
        return os.path.join(self.scratch, path.lstrip("/"))

    def _real(self, path: str) -> str:
        return os.path.join(self.root, path.lstrip("/"))

    def _folders_above(self, paths: Iterable[str]) -> set[str]:
        """The folders in which something was done, as far as the snapshot's copies have them."""
        return {above for above in map(os.path.dirname, paths) if above != "/" and os.path.isdir(self._copy(above))}

    def _remove(self, path: str) -> None:
        real = self._real(path)
        try:
            if stat.S_ISDIR(os.lstat(real).st_mode):
                os.rmdir(real)
            else:
                os.unlink(real)
        except FileNotFoundError:
            return
        self.outcome.removed.append(path)

    def _make_folder(self, path: str) -> None:
        real = self._real(path)
        with contextlib.suppress(FileNotFoundError):
            if stat.S_ISDIR(os.lstat(real).st_mode):
                return
            os.unlink(real)
        os.mkdir(real, 0o700)
        self.outcome.replaced.append(path)

    def _set_right(self, path: str) -> None:
        """Put back a file, link or special file, where it is not the same already."""
        copy, real = self._copy(path), self._real(path)
        try:
            now, then = os.lstat(real), os.lstat(copy)
        except FileNotFoundError:
            self._replace(path)
            return
        if stat.S_IFMT(now.st_mode) != stat.S_IFMT(then.st_mode) or not _same_content(copy, real, then, now):
            self._replace(path)
        else:
            self._attributes(path)

    def _replace(self, path: str) -> None:
        copy, real = self._copy(path), self._real(path)
        with contextlib.suppress(FileNotFoundError):
            if stat.S_ISDIR(os.lstat(real).st_mode):
                os.rmdir(real)
        spare = os.path.join(os.path.dirname(real), SPARE + secrets.token_hex(4) + "~")
        try:
            self._copied(copy, spare)
            try:
                os.rename(spare, real)
            except OSError as error:
                # A file that something is mounted on cannot be replaced, only written anew.
                if error.errno != errno.EBUSY or not stat.S_ISREG(os.lstat(copy).st_mode):
                    raise
                with open(copy, "rb") as source, open(real, "r+b") as target:
                    shutil.copyfileobj(source, target, 1 << 20)
                    target.truncate()
                copy_attributes(copy, real)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(spare)
        self.outcome.replaced.append(path)

    def _copied(self, copy: str, spare: str) -> None:
        """A copy with everything that belongs to it; names of one file stay names of one file."""
        info = os.lstat(copy)
        if stat.S_ISLNK(info.st_mode):
            os.symlink(os.readlink(copy), spare)
        elif stat.S_ISREG(info.st_mode):
            known = self._first.get((info.st_dev, info.st_ino))
            if known is not None:
                os.link(known, spare)
                return
            with open(copy, "rb") as source, open(spare, "xb", opener=_for_root_alone) as target:
                shutil.copyfileobj(source, target, 1 << 20)
                target.flush()
                os.fsync(target.fileno())
        elif stat.S_ISFIFO(info.st_mode):
            os.mkfifo(spare, 0o600)
        else:
            os.mknod(spare, info.st_mode, info.st_rdev)
        copy_attributes(copy, spare)
        if info.st_nlink > 1 and stat.S_ISREG(info.st_mode):
            self._first[(info.st_dev, info.st_ino)] = self._real("/" + os.path.relpath(copy, self.scratch))

    def _attributes(self, path: str) -> None:
        if copy_attributes(self._copy(path), self._real(path)):
            self.outcome.attributes.append(path)


def _for_root_alone(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _same_content(copy: str, real: str, then: os.stat_result, now: os.stat_result) -> bool:
    """Whether two paths of one kind hold the same."""
    if stat.S_ISREG(then.st_mode):
        return then.st_size == now.st_size and filecmp.cmp(copy, real, shallow=False)
    if stat.S_ISLNK(then.st_mode):
        return os.readlink(copy) == os.readlink(real)
    return then.st_rdev == now.st_rdev


def copy_attributes(source: str, target: str) -> bool:
    """Give a path the owner, mode, extended attributes (access control lists among them) and time of another.

    Args:
        source: the path that has them.
        target: the path that gets them; neither is followed when it is a link.

    Returns:
        Whether it had others.

    Raises:
        OSError: one of them cannot be set.
    """
    want, has = os.lstat(source), os.lstat(target)
    link = stat.S_ISLNK(want.st_mode)
    changed = False
    if (want.st_uid, want.st_gid) != (has.st_uid, has.st_gid):
        os.lchown(target, want.st_uid, want.st_gid)
        changed = True
    # After the owner: a change of owner takes capabilities and set-id bits away.
    changed = _copy_extended(source, target) or changed
    if not link and stat.S_IMODE(os.lstat(target).st_mode) != stat.S_IMODE(want.st_mode):
        os.chmod(target, stat.S_IMODE(want.st_mode))
        changed = True
    if want.st_mtime_ns != has.st_mtime_ns:
        changed = True
    os.utime(target, ns=(has.st_atime_ns, want.st_mtime_ns), follow_symlinks=False)
    return changed


def _copy_extended(source: str, target: str) -> bool:
    want, has = extended(source), extended(target)
    for name in has.keys() - want.keys():
        os.removexattr(target, name, follow_symlinks=False)
    for name, value in want.items():
        if has.get(name) != value:
            os.setxattr(target, name, value, follow_symlinks=False)
    return want != has


def extended(path: str) -> dict[str, bytes]:
    """The extended attributes of a path (xattr(7)), without those that the kernel keeps to itself.

    Args:
        path: the path; a link is not followed.
    """
    names = os.listxattr(path, follow_symlinks=False)
    return {
        name: os.getxattr(path, name, follow_symlinks=False)
        for name in names
        if not name.startswith(("security.selinux", "security.ima", "security.evm", "trusted.overlay."))
    }
