# SPDX-License-Identifier: GPL-3.0-or-later
"""SSH keys that open an account: authorized_keys, sshd(8)."""

from __future__ import annotations

import base64
import binascii
import contextlib
import errno
import hashlib
import os
import re
import stat
from collections.abc import Iterator
from typing import NamedTuple

DEFAULT_FILES = (".ssh/authorized_keys", ".ssh/authorized_keys2")
"""What sshd reads where AuthorizedKeysFile is not set."""

TYPES = (
    "ssh-ed25519",
    "ssh-rsa",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
)
"""Key types that are put in place; DSA is none of them, as sshd takes it no more."""

LARGEST = 1024 * 1024
"""Bytes of the largest file that is read."""

_OPTIONS = re.compile(r'(?:[^\s"]|"(?:[^"\\]|\\.)*")+')


class Key(NamedTuple):
    """One public key; ``line`` is it as authorized_keys(5) has it, without options."""

    type: str
    fingerprint: str
    comment: str
    line: str


class Unreadable(Exception):
    """Keys that cannot be told; the text says why."""


def parse_line(line: str) -> Key | None:
    """Read one line of authorized_keys: options (optional), type, base64, comment.

    Returns:
        None where the line holds no key; its fingerprint is written as ssh-keygen(1) does.
    """
    line = line.strip()
    if not line or line.startswith("#"):
        return None
    for attempt in range(2):
        words = line.split(None, 2)
        if len(words) >= 2:
            with contextlib.suppress(ValueError, binascii.Error):
                blob = base64.b64decode(words[1], validate=True)
                size = int.from_bytes(blob[:4], "big")
                if blob[4 : 4 + size] == words[0].encode() and len(blob) > 4 + size:
                    digest = base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
                    comment = words[2] if len(words) > 2 else ""
                    return Key(words[0], "SHA256:" + digest, comment, " ".join(words))
        options = None if attempt else _OPTIONS.match(line)
        if options is None:
            return None
        line = line[options.end() :].strip()
    return None


def complaint(line: str) -> str:
    """What is wrong with a line that is to be put in place; empty when nothing is."""
    if any(ord(sign) < 32 or ord(sign) == 127 for sign in line):
        return "holds a control character"
    key = parse_line(line)
    if key is None:
        return "is no public key as ssh-keygen writes it"
    if key.type not in TYPES:
        return "is of type %s; allowed are %s" % (key.type, ", ".join(TYPES))
    return ""


@contextlib.contextmanager
def as_user(uid: int, gid: int) -> Iterator[None]:
    """Reach files with a user's own rights, so that a link in their directory leads nowhere that they cannot go.

    The effective ids are those of the whole process: nothing else may run meanwhile.
    """
    if os.geteuid() != 0 or uid == 0:
        yield
        return
    groups, own_gid = os.getgroups(), os.getegid()
    os.setgroups([])
    os.setegid(gid)
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(own_gid)
        os.setgroups(groups)


def key_files(patterns: list[str], name: str, uid: int, home: str) -> list[str]:
    """The files that sshd reads an account's keys from.

    Args:
        patterns: AuthorizedKeysFile of sshd_config(5), with its tokens.
        name: login name.
        uid: user id.
        home: home directory.
    """
    tokens = {"%%": "%", "%h": home, "%u": name, "%U": str(uid)}
    found = []
    for pattern in patterns:
        path = re.sub("%.", lambda match: tokens.get(match.group(), match.group()), pattern)
        if path != "none":
            found.append(path if path.startswith("/") else os.path.join(home, path))
    return found


def read_file(path: str) -> str:
    """The text of a file of keys, empty where there is none. Call it with the owner's rights.

    Raises:
        Unreadable: it is a link or no file, too large, or cannot be opened.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError as error:
        why = "is a symbolic link" if error.errno == errno.ELOOP else os.strerror(error.errno or 0)
        raise Unreadable("%s: %s" % (path, why)) from None
    with os.fdopen(fd, "rb") as file:
        info = os.fstat(file.fileno())
        if not stat.S_ISREG(info.st_mode):
            raise Unreadable("%s: is no regular file" % path)
        if info.st_size > LARGEST:
            raise Unreadable("%s: larger than %d bytes" % (path, LARGEST))
        return file.read().decode("utf-8", "replace")


def read_keys(paths: list[str], uid: int, gid: int) -> tuple[list[Key], str | None]:
    """The keys that open an account, read with its own rights.

    Returns:
        Keys, and why some could not be read (None: all were).
    """
    found: list[Key] = []
    with as_user(uid, gid):
        for path in paths:
            try:
                text = read_file(path)
            except Unreadable as error:
                return found, str(error)
            found += [key for key in map(parse_line, text.splitlines()) if key is not None and key not in found]
    return found, None
