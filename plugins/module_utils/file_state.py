# SPDX-License-Identifier: GPL-3.0-or-later
"""What a path on a host is, read and written without following anybody else's links.

Every function reaches a directory component by component (``openat`` with ``O_NOFOLLOW``) and refuses one that
somebody other than root could swap while we work. That is what makes the steps above it safe against symlink races.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

# ioctl_iflags(2): FS_IOC_GETFLAGS on a 64-bit kernel, and the two flags of chattr(1) that forbid a replacement.
_FS_IOC_GETFLAGS = 0x80086601
_IMMUTABLE_OR_APPEND = 0x10 | 0x20
_MAX_LINKS = 40  # path_resolution(7): the kernel's own limit
_DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class FileTransactionError(Exception):
    """A step that cannot be carried out. Whoever sees it may rely on the host's files being as they were before."""


@dataclass(frozen=True)
class FileState:
    """A file, directory or symbolic link as far as a configuration step is concerned with it.

    :ivar kind: ``file``, ``directory`` or ``link``.
    :ivar content: a file's bytes, a link's target, nothing for a directory.
    :ivar uid: numeric owner.
    :ivar gid: numeric group.
    :ivar mode: permission bits (0 to 0o7777); always 0o777 for a link.
    """

    kind: str
    content: bytes
    uid: int
    gid: int
    mode: int

    @property
    def digest(self) -> str:
        """SHA-256 of the content, as lower-case hexadecimal."""
        return hashlib.sha256(self.content).hexdigest()

    def describe(self) -> dict[str, Any]:
        """Everything but the content, as a JSON object that :func:`matches` understands."""
        return {"kind": self.kind, "uid": self.uid, "gid": self.gid, "mode": self.mode, "sha256": self.digest}


def matches(state: FileState | None, description: dict[str, Any] | None) -> bool:
    """Tell whether a state is the one that :meth:`FileState.describe` once described (None: no such path)."""
    if state is None or description is None:
        return state is None and description is None
    return all(description[key] == value for key, value in state.describe().items())


def split_path(path: str) -> tuple[str, str]:
    """Split an absolute path into its parent directory and its last name."""
    parent, name = os.path.split(path)
    return parent, name


def is_below(path: str, directory: str) -> bool:
    """Tell whether a path is the directory itself or lies below it (both absolute and normalised)."""
    return path == directory or path.startswith(directory.rstrip("/") + "/")


def _check_trusted(info: os.stat_result, path: str) -> None:
    """Refuse a path component that somebody else owns, and a directory that somebody else may write to.

    A sticky directory such as /tmp is passed through (nobody can replace root's entries there), but never written to.
    """
    if info.st_uid not in (0, os.geteuid()):
        raise FileTransactionError(
            f"{path}: owned by user id {info.st_uid}, who could redirect the write; "
            "every directory above a configuration file must belong to root"
        )
    if stat.S_ISDIR(info.st_mode) and _foreign_write(info) and not info.st_mode & stat.S_ISVTX:
        raise _writable_by_others(info, path)


def _foreign_write(info: os.stat_result) -> bool:
    return bool(info.st_mode & stat.S_IWOTH or (info.st_mode & stat.S_IWGRP and info.st_gid != 0))


def _writable_by_others(info: os.stat_result, path: str) -> FileTransactionError:
    return FileTransactionError(
        f"{path}: mode {stat.S_IMODE(info.st_mode):04o} lets others than root write there; "
        "a directory that holds configuration must not be writable by group or others"
    )


def walk_directory(path: str) -> tuple[int, str, list[str]]:
    """Go down to a directory as far as it exists.

    :param path: absolute path of a directory.
    :returns: an open descriptor of the deepest existing directory (the caller closes it), that directory's real
        path (links resolved), and the names below it that do not exist yet.
    :raises FileTransactionError: a component is not a directory, or somebody other than root could change it.
    """
    fd = os.open("/", _DIRECTORY_FLAGS)
    real: list[str] = []
    pending = [part for part in reversed(path.split("/")) if part]
    links = 0
    try:
        while pending:
            name = pending.pop()
            try:
                info = os.stat(name, dir_fd=fd, follow_symlinks=False)
            except FileNotFoundError:
                pending.append(name)
                break
            here = "/" + "/".join([*real, name])
            if stat.S_ISLNK(info.st_mode):
                links += 1
                if links > _MAX_LINKS:
                    raise FileTransactionError(f"{path}: more than {_MAX_LINKS} symbolic links on the way")
                _check_trusted(info, here)
                target = os.readlink(name, dir_fd=fd)
                if target.startswith("/"):
                    fd, real = _replace(fd, os.open("/", _DIRECTORY_FLAGS)), []
                pending.extend(part for part in reversed(target.split("/")) if part not in ("", "."))
                continue
            if not stat.S_ISDIR(info.st_mode):
                raise FileTransactionError(f"{path}: {here} is not a directory")
            fd = _replace(fd, os.open(name, _DIRECTORY_FLAGS, dir_fd=fd))
            real = real[:-1] if name == ".." else [*real, name]
            _check_trusted(os.fstat(fd), "/" + "/".join(real))
        info = os.fstat(fd)
        if _foreign_write(info):
            raise _writable_by_others(info, "/" + "/".join(real))
    except BaseException:
        os.close(fd)
        raise
    return fd, "/" + "/".join(real), pending[::-1]


def _replace(old: int, new: int) -> int:
    os.close(old)
    return new


def real_path(path: str) -> str:
    """Give a path with the links above its last name resolved; the last name itself is not followed."""
    parent, name = split_path(path)
    fd, real, missing = walk_directory(parent)
    os.close(fd)
    return os.path.join(real, *missing, name)


@contextlib.contextmanager
def open_directory(path: str) -> Iterator[int]:
    """Hold a directory open by a descriptor reached safely.

    :raises FileNotFoundError: it does not exist.
    :raises FileTransactionError: as :func:`walk_directory`.
    """
    fd, _real, missing = walk_directory(path)
    try:
        if missing:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        yield fd
    finally:
        os.close(fd)


def read_entry(dir_fd: int, name: str, path: str) -> FileState | None:
    """Read one name of an open directory.

    :param path: its full path, for messages.
    :returns: None when there is no such name.
    :raises FileTransactionError: it is a device, socket or pipe.
    """
    try:
        info = os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
    except FileNotFoundError:
        return None
    mode = stat.S_IMODE(info.st_mode)
    if stat.S_ISLNK(info.st_mode):
        target = os.fsencode(os.readlink(name, dir_fd=dir_fd))
        return FileState("link", target, info.st_uid, info.st_gid, mode)
    if stat.S_ISDIR(info.st_mode):
        return FileState("directory", b"", info.st_uid, info.st_gid, mode)
    if not stat.S_ISREG(info.st_mode):
        raise FileTransactionError(f"{path}: is a device, socket or pipe; a regular file or directory belongs here")
    fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=dir_fd)
    with os.fdopen(fd, "rb") as stream:
        return FileState("file", stream.read(), info.st_uid, info.st_gid, mode)


def read_state(path: str) -> FileState | None:
    """Read a path; None when it, or a directory above it, does not exist."""
    parent, name = split_path(path)
    try:
        with open_directory(parent) as dir_fd:
            return read_entry(dir_fd, name, path)
    except FileNotFoundError:
        return None


def read_tree(root: str) -> dict[str, FileState]:
    """Read a directory and everything below it, except devices, sockets and pipes.

    :returns: path to state; empty when the directory does not exist.
    """
    tree: dict[str, FileState] = {}
    try:
        with open_directory(root) as fd:
            info = os.fstat(fd)
            tree[root] = FileState("directory", b"", info.st_uid, info.st_gid, stat.S_IMODE(info.st_mode))
            _read_below(fd, root, tree)
    except FileNotFoundError:
        pass
    return tree


def _read_below(dir_fd: int, directory: str, tree: dict[str, FileState]) -> None:
    for name in sorted(os.listdir(dir_fd)):
        path = os.path.join(directory, name)
        info = os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
        if not (stat.S_ISREG(info.st_mode) or stat.S_ISLNK(info.st_mode) or stat.S_ISDIR(info.st_mode)):
            continue
        state = read_entry(dir_fd, name, path)
        if state is None:
            continue
        tree[path] = state
        if state.kind == "directory":
            fd = os.open(name, _DIRECTORY_FLAGS, dir_fd=dir_fd)
            try:
                _read_below(fd, path, tree)
            finally:
                os.close(fd)


def write_entry(dir_fd: int, name: str, state: FileState, like: str | None = None) -> None:
    """Create a file or link under a name that must not exist yet. It is not flushed to disk (:func:`flush`).

    :param like: a file whose extended attributes (SELinux label, ACL, ...) the new one takes over, if it exists.
    """
    if state.kind == "link":
        os.symlink(os.fsdecode(state.content), name, dir_fd=dir_fd)
        os.chown(name, state.uid, state.gid, dir_fd=dir_fd, follow_symlinks=False)
        return
    fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=dir_fd)
    with os.fdopen(fd, "wb") as stream:
        stream.write(state.content)
        stream.flush()
        if like is not None:
            _copy_attributes(like, fd)
        os.fchown(fd, state.uid, state.gid)
        os.fchmod(fd, state.mode)  # after the owner: chown(2) clears set-user-id bits
        # Have the kernel start writing now: fifty files are then flushed with one disk transaction instead of fifty.
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)


def _copy_attributes(source: str, fd: int) -> None:
    """Copy extended attributes as far as file system and kernel allow it: a courtesy, not a promise."""
    with contextlib.suppress(OSError):
        for attribute in os.listxattr(source, follow_symlinks=False):
            with contextlib.suppress(OSError):
                os.setxattr(fd, attribute, os.getxattr(source, attribute, follow_symlinks=False))


def flush(path: str) -> None:
    """Make a file's content survive a power loss (fsync); a link has none of its own."""
    parent, name = split_path(path)
    with open_directory(parent) as dir_fd:
        if stat.S_ISLNK(os.stat(name, dir_fd=dir_fd, follow_symlinks=False).st_mode):
            return
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=dir_fd)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def flush_directory(path: str) -> None:
    """Make the names in a directory survive a power loss: what was created, renamed and removed there."""
    with open_directory(path) as fd:
        os.fsync(fd)


def check_replaceable(path: str) -> None:
    """Find out before anything changes whether a path can be created, replaced or removed.

    :raises FileTransactionError: read-only file system, or an immutable or append-only file or directory (chattr(1)).
    """
    parent, name = split_path(path)
    dir_fd, real, missing = walk_directory(parent)
    try:
        if os.fstatvfs(dir_fd).f_flag & os.ST_RDONLY:
            raise FileTransactionError(f"{path}: {real} is on a read-only file system; it must be mounted read-write")
        if _is_locked(dir_fd):
            raise FileTransactionError(
                f"{path}: {real} is immutable or append-only (lsattr -d); clear it with chattr -ia"
            )
        if missing:
            return
        try:
            fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=dir_fd)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ELOOP):  # nothing there, or a link: neither carries flags
                return
            raise
        try:
            if _is_locked(fd):
                raise FileTransactionError(f"{path}: is immutable or append-only (lsattr); clear it with chattr -ia")
        finally:
            os.close(fd)
    finally:
        os.close(dir_fd)


def _is_locked(fd: int) -> bool:
    try:
        flags = fcntl.ioctl(fd, _FS_IOC_GETFLAGS, struct.pack("l", 0))
    except OSError:  # a file system without such flags
        return False
    return bool(struct.unpack("l", flags)[0] & _IMMUTABLE_OR_APPEND)
