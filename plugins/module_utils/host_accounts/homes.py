# SPDX-License-Identifier: GPL-3.0-or-later
"""Home directories: made, given their keys, archived and removed.

What lies in a user's directory is read and written with the user's own rights, or not at all before every process of
that user has ended.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import tarfile
from collections.abc import Iterator

from ..file_state import FileTransactionError, open_directory
from .keys import LARGEST, as_user

KEY_FILES = ("authorized_keys", "authorized_keys2")
"""Files of keys below .ssh that sshd reads by default; the second is never ours, so it goes."""

ROOM_LEFT = 16 * 2**20
"""Bytes that must stay free beside an archive."""

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class HomeError(Exception):
    """A home that cannot be worked on; the text names it and says why."""


# --- keys


def read_key_file(home: str, uid: int, gid: int) -> tuple[str, bool]:
    """What opens an account now.

    Args:
        home: its home directory.
        uid: its user id.
        gid: its group id.

    Returns:
        The content of .ssh/authorized_keys, and whether all else is as it should be: modes, and no second file.

    Raises:
        HomeError: the home, .ssh or a file of keys is a link, of another kind or somebody else's.
    """
    with as_user(uid, gid):
        try:
            info = os.lstat(home)
        except FileNotFoundError:
            return "", True
        except OSError as error:
            raise HomeError("%s: %s" % (home, error.strerror)) from None
        _check_own_directory(home, info, uid)
        folder = os.path.join(home, ".ssh")
        try:
            info = os.lstat(folder)
        except FileNotFoundError:
            return "", True
        except OSError as error:
            raise HomeError("%s: %s" % (folder, error.strerror)) from None
        _check_own_directory(folder, info, uid)
        tidy = stat.S_IMODE(info.st_mode) == 0o700
        texts = [_read_one(os.path.join(folder, name)) for name in KEY_FILES]
    if texts[0] is not None:
        tidy = tidy and texts[0][1] == 0o600
    return (texts[0][0] if texts[0] else ""), tidy and texts[1] is None


def _check_own_directory(path: str, info: os.stat_result, uid: int) -> None:
    if not stat.S_ISDIR(info.st_mode):
        raise HomeError("%s: is a symbolic link or a file; a directory belongs here" % path)
    if info.st_uid != uid:
        raise HomeError("%s: belongs to user id %d; it must be the account's own (%d)" % (path, info.st_uid, uid))


def _read_one(path: str) -> tuple[str, int] | None:
    try:
        info = os.lstat(path)
        if not stat.S_ISREG(info.st_mode) or info.st_size > LARGEST:
            raise HomeError("%s: is a link, no file, or larger than %d bytes" % (path, LARGEST))
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            return file.read().decode("utf-8", "replace"), stat.S_IMODE(info.st_mode)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise HomeError("%s: %s" % (path, error.strerror)) from None


def write_keys(home: str, text: str, uid: int, gid: int) -> None:
    """Make the keys of an account exactly these, as its user, so that no link leads root anywhere.

    Args:
        home: its home directory; nothing happens where there is none.
        text: content of authorized_keys; empty removes the file.
        uid: its user id.
        gid: its group id.

    Raises:
        OSError: it could not be done; the earlier keys hold.
    """
    with as_user(uid, gid), contextlib.ExitStack() as stack:

        def folder(name: str, **place: int) -> int:
            fd = os.open(name, _DIRECTORY, **place)
            stack.callback(os.close, fd)
            if os.fstat(fd).st_uid != uid:
                raise PermissionError(1, "belongs to somebody else", name)
            return fd

        try:
            home_fd = folder(home)
        except FileNotFoundError:
            return
        if text:
            with contextlib.suppress(FileExistsError):
                os.mkdir(".ssh", 0o700, dir_fd=home_fd)
        try:
            fd = folder(".ssh", dir_fd=home_fd)
        except FileNotFoundError:
            return
        if text:
            os.fchmod(fd, 0o700)
            _replace(fd, KEY_FILES[0], text)
        for name in KEY_FILES[bool(text) :]:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name, dir_fd=fd)
        os.fsync(fd)


def _replace(dir_fd: int, name: str, text: str) -> None:
    spare = ".kijun-keys~"  # one name, so that what a killed run left goes with the next
    with contextlib.suppress(FileNotFoundError):
        os.unlink(spare, dir_fd=dir_fd)
    fd = os.open(spare, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=dir_fd)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(text.encode())
            os.fchmod(file.fileno(), 0o600)
            file.flush()
            os.fsync(file.fileno())
        os.rename(spare, name, src_dir_fd=dir_fd, dst_dir_fd=dir_fd)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(spare, dir_fd=dir_fd)
        raise


# --- making


def check_parent(home: str) -> None:
    """See that a home can be made.

    Raises:
        HomeError: the directory above is missing, or others than root could swap it.
    """
    try:
        with open_directory(os.path.dirname(home)):
            pass
    except FileNotFoundError:
        raise HomeError("%s: there is no directory %s" % (home, os.path.dirname(home))) from None
    except FileTransactionError as error:
        raise HomeError(str(error)) from None


def make_home(home: str, skeleton: str, uid: int, gid: int) -> None:
    """Make a home of mode 0700 from a skeleton; it appears whole.

    Args:
        home: where; nothing may be there.
        skeleton: directory that is copied, such as /etc/skel.
        uid: owner.
        gid: group.
    """
    parent, name = os.path.split(home)
    stage = os.path.join(parent, ".kijun-new-" + name)
    shutil.rmtree(stage, ignore_errors=True)  # of a killed run; root's alone, as its parent is
    with open_directory(parent) as fd:
        os.mkdir(stage, 0o700)
        if os.path.isdir(skeleton):
            _copy_below(skeleton, stage, uid, gid)
        os.chown(stage, uid, gid)
        if os.path.lexists(home):
            raise HomeError("%s: has appeared meanwhile" % home)
        os.rename(stage, home)
        os.fsync(fd)


def _copy_below(source: str, target: str, uid: int, gid: int) -> None:
    for entry in sorted(os.scandir(source), key=lambda one: one.name):
        place = os.path.join(target, entry.name)
        if entry.is_symlink():
            os.symlink(os.readlink(entry.path), place)
        elif entry.is_dir():
            os.mkdir(place)
            _copy_below(entry.path, place, uid, gid)
        elif entry.is_file():
            shutil.copyfile(entry.path, place)
        else:
            continue
        os.chown(place, uid, gid, follow_symlinks=False)
        if not entry.is_symlink():
            os.chmod(place, stat.S_IMODE(entry.stat().st_mode))


# --- removing


def size_of(path: str) -> int:
    """Bytes that a file or a directory with all below it takes; links are not followed."""
    try:
        total = os.lstat(path).st_blocks * 512
    except FileNotFoundError:
        return 0
    for folder, folders, files in os.walk(path):
        for name in (*folders, *files):
            with contextlib.suppress(FileNotFoundError):
                total += os.lstat(os.path.join(folder, name)).st_blocks * 512
    return total


def room_in(directory: str) -> int:
    """Bytes free for an archive in a directory that may not exist yet."""
    while not os.path.isdir(directory):
        directory = os.path.dirname(directory)
    state = os.statvfs(directory)
    return state.f_bavail * state.f_frsize - ROOM_LEFT


def mounts_below(path: str) -> list[str]:
    """Mount points at or below a path: what lies there is not the account's to remove."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        points = [line.split()[4].replace("\\040", " ") for line in file]
    return [point for point in points if point == path or point.startswith(path.rstrip("/") + "/")]


def archive(target: str, parts: dict[str, str]) -> None:
    """Archive directories and files, completely on the disk when this returns.

    Args:
        target: path of the archive (.tar.gz); readable by root only.
        parts: name in the archive -> path. Links are stored as links; sockets and devices are left out.

    Raises:
        OSError: nothing is at the target then.
    """
    folder = os.path.dirname(target)
    os.makedirs(folder, mode=0o700, exist_ok=True)
    part = target + ".part"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(part)
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            with tarfile.open(fileobj=file, mode="w:gz", compresslevel=6, format=tarfile.PAX_FORMAT) as tar:
                for name, path in parts.items():
                    _add(tar, path, name)
            file.flush()
            os.fsync(file.fileno())
        os.rename(part, target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(part)
        raise
    with open_directory(folder) as fd:
        os.fsync(fd)


def _add(tar: tarfile.TarFile, path: str, name: str) -> None:
    """Add a path and all below it; each directory is entered by a descriptor that follows no link."""
    parent = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _add_entry(tar, parent, os.path.basename(path), name)
    finally:
        os.close(parent)


def _add_entry(tar: tarfile.TarFile, dir_fd: int, entry: str, name: str) -> None:
    info = os.stat(entry, dir_fd=dir_fd, follow_symlinks=False)
    if stat.S_ISLNK(info.st_mode):
        member = _member(name, info, tarfile.SYMTYPE)
        member.linkname = os.readlink(entry, dir_fd=dir_fd)
        tar.addfile(member)
    elif stat.S_ISDIR(info.st_mode):
        fd = os.open(entry, _DIRECTORY, dir_fd=dir_fd)
        try:
            tar.addfile(_member(name, info, tarfile.DIRTYPE))
            for below in sorted(os.listdir(fd)):
                _add_entry(tar, fd, below, "%s/%s" % (name, below))
        finally:
            os.close(fd)
    elif stat.S_ISREG(info.st_mode):
        fd = os.open(entry, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=dir_fd)
        with os.fdopen(fd, "rb") as file:
            info = os.fstat(fd)
            member = _member(name, info, tarfile.REGTYPE)
            member.size = info.st_size
            tar.addfile(member, file)


def _member(name: str, info: os.stat_result, kind: bytes) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.mode, member.mtime = kind, stat.S_IMODE(info.st_mode), int(info.st_mtime)
    member.uid, member.gid = info.st_uid, info.st_gid
    return member


def aside(home: str, login: str) -> str:
    """Where a home waits for its removal once it is archived."""
    return os.path.join(os.path.dirname(home), ".kijun-removed-" + login)


def put_aside(home: str, login: str) -> None:
    """Take an archived home out of sight, at one stroke."""
    if os.path.isdir(home) and not os.path.islink(home):
        os.rename(home, aside(home, login))


def leftovers(homes: Iterator[tuple[str, str]]) -> list[str]:
    """Homes that a killed run had archived and not yet removed.

    Args:
        homes: login names and home directories.
    """
    return [place for login, home in homes for place in [aside(home, login)] if os.path.isdir(place)]
