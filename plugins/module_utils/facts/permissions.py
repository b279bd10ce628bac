# SPDX-License-Identifier: GPL-3.0-or-later
"""What is closed to whom: the most that sensitive files may be open, and those that are more.

One table for the audit and for the module ``permissions``, which takes the excess away. A mode is the *most* allowed:
stricter is right. Sources: the modes that Debian's packages give, made stricter where the CIS Debian Benchmark asks for
it (chapters 6.2.4, 7.1 and 7.2).

Directories of users and services are gone through by file descriptors, and no link is followed, so that nobody can turn
what root does there to another file.
"""

from __future__ import annotations

import fnmatch
import glob
import grp
import os
import re
import stat
from collections.abc import Iterator
from typing import Any, NamedTuple

from .accounts import login_defs
from .files import group_name, owner_name
from .host import Host, lines


class Entry(NamedTuple):
    """What files may be at most.

    Attributes:
        paths: absolute paths, ``*`` stands for anything but a slash.
        mode: permission bits that they may have.
        groups: groups that they may belong to, the first of them the right one; empty: not looked at.
        directory_mode: the same bits for what lies there as a directory; None: the paths are looked at as they are, and
            nothing below them.
    """

    paths: tuple[str, ...]
    mode: int
    groups: tuple[str, ...] = ()
    directory_mode: int | None = None


ACCOUNT_FILES = (
    Entry(("/etc/passwd", "/etc/passwd-", "/etc/group", "/etc/group-"), 0o644, ("root",)),
    Entry(("/etc/shadow", "/etc/shadow-", "/etc/gshadow", "/etc/gshadow-"), 0o640, ("shadow", "root")),
    Entry(("/etc/security/opasswd", "/etc/security/opasswd.old"), 0o600, ("root",)),
    Entry(("/etc/subuid", "/etc/subuid-", "/etc/subgid", "/etc/subgid-"), 0o644, ("root",)),
    Entry(("/etc/shells", "/etc/login.defs", "/etc/nsswitch.conf"), 0o644, ("root",)),
)

SYSTEM_FILES = (
    Entry(("/etc/issue", "/etc/issue.net", "/etc/motd", "/etc/fstab", "/etc/hosts", "/etc/hosts.*"), 0o644, ("root",)),
    Entry(("/etc/profile", "/etc/profile.d/*", "/etc/bash.bashrc", "/etc/environment"), 0o755, ("root",)),
    Entry(("/etc/ssh", "/etc/ssh/sshd_config.d"), 0o755, ("root",)),
    Entry(("/etc/ssh/sshd_config", "/etc/ssh/sshd_config.d/*"), 0o600, ("root",)),
    Entry(("/etc/ssh/ssh_host_*_key",), 0o600, ("root",)),
    Entry(("/etc/ssh/ssh_host_*_key.pub",), 0o644, ("root",)),
    Entry(("/boot/grub/grub.cfg",), 0o600, ("root",)),
    Entry(("/etc/pam.d", "/etc/security", "/etc/apt"), 0o755, (), 0o755),
    Entry(("/etc/systemd", "/usr/lib/systemd", "/usr/local/lib/systemd"), 0o755, (), 0o755),
    Entry(("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/usr/local/lib/kijun"), 0o755),
)

LOGS = "/var/log"
LOG_MODE = 0o640
OPEN_LOGS = (
    # Who is and was logged in: login(1) and its like write them for the group utmp, and users may ask.
    (("lastlog", "lastlog.*", "wtmp", "wtmp.*", "wtmp-*", "btmp", "btmp.*", "btmp-*", "faillog"), 0o664),
    # Display manager's and SSSD's own, which their groups write.
    (("gdm*", "sssd*", "SSSD*"), 0o660),
    # Which packages were installed is no secret; apt opens the first again at every run.
    (("history.log", "history.log.*", "eipp.log.xz", "README"), 0o644),
)
"""Patterns of names -> bits, for logs that are more than `LOG_MODE`; CIS Debian Benchmark 6.2.4.1."""

STICKY = ("/tmp", "/var/tmp", "/dev/shm", "/var/crash")  # noqa: S108 - it looks whether they are safe
"""Directories in which everybody writes: nobody may remove another's files there."""

HOME_MODE = 0o750
DOTFILE_MODE = 0o644
CLOSED_DOTFILES = (".netrc", ".rhosts", ".shosts", ".forward", ".pgpass", ".my.cnf", ".*_history")
NO_SHELLS = ("/usr/sbin/nologin", "/sbin/nologin", "/bin/false", "/usr/bin/false", "")

SPECIAL = stat.S_ISUID | stat.S_ISGID
UMASK = re.compile(r"^\s*umask\s+0*([0-7]{1,3})\b", re.MULTILINE)


class Finding(NamedTuple):
    """A file that is more open than it may be.

    Attributes:
        path: its path.
        folder: descriptor of the directory that it lies in, and its name there; the descriptor of a walk is open until
            the walk goes on. None: `name` is the path itself.
        name: see folder.
        info: what it was when it was looked at.
        mode: the mode that it should have.
        uid: the owner that it should have.
        gid: the group that it should have.
        wrong: what is wrong with it, one line.
    """

    path: str
    folder: int | None
    name: str
    info: os.stat_result
    mode: int
    uid: int
    gid: int
    wrong: str


class Home(NamedTuple):
    """A person's account, or root's, and its home directory."""

    account: str
    uid: int
    path: str


def _group_ids(names: tuple[str, ...]) -> list[int]:
    found = []
    for name in names:
        try:
            found.append(grp.getgrnam(name).gr_gid)
        except KeyError:
            continue
    return found


def _judged(
    path: str,
    place: tuple[int | None, str],
    info: os.stat_result,
    most: int,
    roots: bool = False,
    groups: tuple[str, ...] = (),
    sticky: bool = False,
) -> Finding | None:
    """Hold one file against what it may be at most.

    Args:
        path: its path.
        place: see `Finding`.
        info: what it is.
        most: permission bits that it may have.
        roots: whether it must belong to root.
        groups: groups that it may belong to; empty: any.
        sticky: whether it must have the sticky bit.
    """
    mode = stat.S_IMODE(info.st_mode)
    # A directory's set-group-id hands its group down, and the sticky bit closes: neither opens anything.
    excess = mode & ~most & (0o777 if stat.S_ISDIR(info.st_mode) else 0o777 | SPECIAL)
    wrong = []
    if excess:
        wrong.append("mode %04o, at most %04o" % (mode, most))
    if sticky and not mode & stat.S_ISVTX:
        wrong.append("mode %04o, without the sticky bit" % mode)
    uid, gid, ids = info.st_uid, info.st_gid, _group_ids(groups)
    if roots and uid:
        wrong.append("owned by %s" % owner_name(uid))
        uid = 0
    if ids and gid not in ids:
        wrong.append("of group %s" % group_name(gid))
        gid = ids[0]
    if not wrong:
        return None
    wanted = mode & ~excess | (stat.S_ISVTX if sticky else 0)
    return Finding(path, place[0], place[1], info, wanted, uid, gid, "; ".join(wrong))


def _listed(host: Host, entries: tuple[Entry, ...]) -> Iterator[Finding]:
    for entry in entries:
        for pattern in entry.paths:
            for place in sorted(glob.glob(host.path(pattern))) if "*" in pattern else [host.path(pattern)]:
                try:
                    info = os.lstat(place)
                except (FileNotFoundError, NotADirectoryError):
                    continue
                if stat.S_ISLNK(info.st_mode):
                    continue
                path = _below(host, place)
                if stat.S_ISDIR(info.st_mode) and entry.directory_mode is not None:
                    yield from _tree(host, path, entry)
                    continue
                found = _judged(path, (None, place), info, entry.mode, roots=True, groups=entry.groups)
                if found:
                    yield found


def _below(host: Host, place: str) -> str:
    return place if host.root == "/" else "/" + os.path.relpath(place, host.root)


def _tree(host: Host, top: str, entry: Entry) -> Iterator[Finding]:
    """All that lies below a directory that root alone may write to."""
    for folder, _, files, handle in os.fwalk(host.path(top), follow_symlinks=False):
        path = _below(host, folder)
        found = _judged(path, (None, folder), os.fstat(handle), entry.directory_mode or 0, roots=True)
        if found:
            yield found
        for name in sorted(files):
            info = _look(name, handle)
            if info and stat.S_ISREG(info.st_mode):
                found = _judged(os.path.join(path, name), (handle, name), info, entry.mode, roots=True)
                if found:
                    yield found


def _look(name: str, folder: int) -> os.stat_result | None:
    """A file of a directory; None when it went meanwhile."""
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _log_mode(name: str) -> int:
    """The bits that a log of that name may have."""
    for patterns, mode in OPEN_LOGS:
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns):
            return mode
    return LOG_MODE


def _logs(host: Host) -> Iterator[Finding]:
    for folder, _, files, handle in os.fwalk(host.path(LOGS), follow_symlinks=False):
        for name in sorted(files):
            info = _look(name, handle)
            if info and stat.S_ISREG(info.st_mode) and info.st_nlink == 1:
                found = _judged(os.path.join(_below(host, folder), name), (handle, name), info, _log_mode(name))
                if found:
                    yield found


def _temporary(host: Host) -> Iterator[Finding]:
    for path in STICKY:
        try:
            info = os.lstat(host.path(path))
        except FileNotFoundError:
            continue
        if stat.S_ISDIR(info.st_mode):
            found = _judged(path, (None, host.path(path)), info, 0o777, roots=True, sticky=True)
            if found:
                yield found


def people(host: Host) -> list[Home]:
    """The accounts that somebody logs in with, passwd(5): root, and those from UID_MIN on that have a shell."""
    least, most = (login_defs(host, set())[key] for key in ("UID_MIN", "UID_MAX"))
    found = []
    for fields in (line.split(":") for line in lines(host.read("/etc/passwd"))):
        if len(fields) != 7 or not fields[2].isdigit():
            continue
        uid = int(fields[2])
        if uid == 0 or ((least or 1000) <= uid <= (most or 60000) and fields[6] not in NO_SHELLS):
            found.append(Home(fields[0], uid, os.path.normpath(fields[5])))
    return found


def _open_home(host: Host, home: Home) -> int | None:
    """A descriptor of a home directory; None where there is none, or a link."""
    try:
        return os.open(host.path(home.path), os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None


def _homes(host: Host) -> Iterator[Finding]:
    for home in people(host):
        handle = _open_home(host, home)
        if handle is None or home.path == "/":
            continue
        try:
            most = HOME_MODE if home.uid else 0o700
            found = _judged(home.path, (None, host.path(home.path)), os.fstat(handle), most)
            if found:
                yield found
        finally:
            os.close(handle)


def _dotfiles(host: Host) -> Iterator[Finding]:
    for home in people(host):
        handle = _open_home(host, home)
        if handle is None:
            continue
        try:
            for name in sorted(n for n in os.listdir(handle) if n.startswith(".")):
                info = _look(name, handle)
                # Only a file that is the user's and has no other name: a hard link could be anybody's.
                if info and stat.S_ISREG(info.st_mode) and info.st_uid == home.uid and info.st_nlink == 1:
                    closed = any(fnmatch.fnmatchcase(name, pattern) for pattern in CLOSED_DOTFILES)
                    path = os.path.join(home.path, name)
                    found = _judged(path, (handle, name), info, 0o600 if closed else DOTFILE_MODE)
                    if found:
                        yield found
        finally:
            os.close(handle)


SECTIONS = {
    "accounts": lambda host: _listed(host, ACCOUNT_FILES),
    "system": lambda host: _listed(host, SYSTEM_FILES),
    "logs": _logs,
    "temporary": _temporary,
    "homes": _homes,
    "dotfiles": _dotfiles,
}
"""Section -> what of it is more open than it may be."""


def _homes_astray(host: Host) -> list[str]:
    """Home directories that are missing, or that belong to somebody else."""
    found = []
    for home in people(host):
        try:
            info = os.lstat(host.path(home.path))
        except OSError:
            found.append("%s: %s is not there" % (home.account, home.path))
            continue
        if not stat.S_ISDIR(info.st_mode):
            found.append("%s: %s is no directory" % (home.account, home.path))
        elif info.st_uid != home.uid:
            found.append("%s: %s belongs to %s" % (home.account, home.path, owner_name(info.st_uid)))
    return found


def _trusting(host: Host) -> list[str]:
    """Files by which a user lets others in without a password, hosts.equiv(5)."""
    paths = ["/etc/hosts.equiv", "/etc/shosts.equiv"]
    paths += [os.path.join(home.path, name) for home in people(host) for name in (".rhosts", ".shosts")]
    return [path for path in paths if os.path.lexists(host.path(path))]


def _open_umasks(host: Host) -> list[str]:
    """Lines of shells' common start files that leave new files more open than 027."""
    folder = host.path("/etc/profile.d")
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    found = []
    for path in ("/etc/profile", "/etc/bash.bashrc", *("/etc/profile.d/" + name for name in names)):
        for umask in UMASK.findall(host.read_if_there(path)):
            if int(umask, 8) & 0o027 != 0o027:
                found.append("%s: umask %s" % (path, umask))
    return found


def is_below(path: str, folders: list[str]) -> bool:
    """Whether a path is one of some directories, or lies below one."""
    return any(path == folder or path.startswith(folder.rstrip("/") + "/") for folder in folders)


def permissions(host: Host, keys: set[str]) -> dict[str, Any]:
    """Read what is more open than it may be, of the sections asked for: ``logs``, or ``logs without /var/log/a``."""
    others = {"homes_astray": _homes_astray, "trusting": _trusting, "open_umask": _open_umasks}
    tree: dict[str, Any] = {key: others[key](host) for key in keys & set(others)}
    for key in keys - set(others):
        section, _, excluded = key.partition(" without ")
        if section in SECTIONS:
            found = [f for f in SECTIONS[section](host) if not is_below(f.path, excluded.split())]
            tree[key] = {finding.path: finding.wrong for finding in found}
    return tree
