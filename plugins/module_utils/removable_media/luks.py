# SPDX-License-Identifier: GPL-3.0-or-later
"""A medium's LUKS volume: opened with the passphrase that its holder types, and closed whatever still uses it.

Runs on hosts: Python 3.9 and its standard library.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import subprocess
from types import TracebackType
from typing import NamedTuple

from . import LONGEST_PASSPHRASE, MAPPINGS, UNLOCK

KIND = "crypto_LUKS"
"""What blkid(8) calls it."""

SECONDS = 120
"""How long an opening may take: the medium itself says how much work its key is."""

MOUNTS = "/proc/self/mounts"
SESSIONS = "/run/systemd/sessions"
WRONG_PASSPHRASE = 2
"""cryptsetup(8), RETURN CODES."""


class WrongPassphrase(Exception):
    """No key of the volume is of this passphrase."""


class NotOpened(Exception):
    """A volume cannot be opened, or does not encrypt; the text says why."""


class Asked(NamedTuple):
    """What somebody sent.

    Attributes:
        connection: where the answer goes.
        uid: whose it is; the kernel says so.
        passphrase: what was sent.
    """

    connection: socket.socket
    uid: int
    passphrase: bytes


def mapping(kernel_name: str) -> str:
    """What the open side of a device is called: ``kijun-media-sda1``."""
    return MAPPINGS + kernel_name


def opened(device: str, name: str, passphrase: bytes) -> str:
    """Open a volume. The passphrase goes by a pipe: it is neither in a file nor among the words of a command.

    Args:
        device: the volume.
        name: what its open side is to be called.
        passphrase: that of one of its keys.

    Returns:
        The path of its open side.

    Raises:
        WrongPassphrase: it is none.
        NotOpened: it cannot be opened, or says that it is encrypted and is not.
    """
    words = ["cryptsetup", "open", "--type", "luks", "--key-file", "-", device, name]
    try:
        done = subprocess.run(words, input=passphrase, capture_output=True, check=False, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        raise NotOpened("it was not open after %d seconds" % SECONDS) from None
    except OSError as error:
        raise NotOpened("cryptsetup: %s" % error.strerror) from None
    if done.returncode == WRONG_PASSPHRASE:
        raise WrongPassphrase
    if done.returncode:
        said = " ".join(done.stderr.decode("ascii", "replace").split())[:300]
        raise NotOpened("it cannot be opened: %s" % said)
    cipher = _cipher(name)
    if not cipher or cipher.startswith("cipher_null"):
        close(name)
        raise NotOpened("it says that it is encrypted, and is not (cipher %s)" % (cipher or "unknown"))
    return "/dev/mapper/%s" % name


def _cipher(name: str) -> str:
    """By which cipher an open volume is encrypted."""
    said = subprocess.run(["cryptsetup", "status", name], capture_output=True, text=True, check=False, timeout=SECONDS)
    for line in said.stdout.splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "cipher":
            return value.strip()
    return ""


def close(name: str) -> None:
    """Close an open volume, whoever has a file of it open: the kernel forgets the key, and they read nothing more.

    Args:
        name: that of its open side; there may be none.
    """
    device = "/dev/mapper/%s" % name
    if not os.path.lexists(device):
        return
    for place in _places(device):
        _quietly("umount", "--lazy", place)
    if _quietly("cryptsetup", "close", name) == 0:
        return
    # Somebody has a file open. It goes when they close it; until then there is nothing behind it.
    _quietly("cryptsetup", "close", "--deferred", name)
    _quietly("dmsetup", "wipe_table", "--noflush", "--nolockfs", name)


def _places(device: str) -> list[str]:
    """Where a device is mounted; those that are within others first."""
    with open(MOUNTS, encoding="utf-8", errors="surrogateescape") as file:
        found = [line.split(" ")[1] for line in file if line.startswith(device + " ")]
    return [place.replace("\\040", " ") for place in sorted(found, reverse=True)]


def _quietly(*words: str) -> int:
    """Run a command; its exit status, or 1 where it does not end."""
    try:
        return subprocess.run(list(words), capture_output=True, check=False, timeout=60).returncode
    except subprocess.TimeoutExpired:
        return 1


def has_session(uid: int, folder: str = SESSIONS) -> bool:
    """Whether somebody is logged in, systemd-logind(8). What runs for them after they went is no session.

    Args:
        uid: who.
        folder: where logind says it.
    """
    for name in os.listdir(folder) if os.path.isdir(folder) else []:
        path = os.path.join(folder, name)
        # Beside each file stands a pipe, whose name ends in .ref.
        if not name.isalnum() or not os.path.isfile(path):
            continue
        with contextlib.suppress(OSError), open(path, encoding="utf-8", errors="replace") as file:
            said = dict(line.rstrip("\n").partition("=")[::2] for line in file)
            is_theirs = said.get("UID") == str(uid) and said.get("CLASS", "").startswith("user")
            if is_theirs and said.get("STATE") != "closing":
                return True
    return False


class Window:
    """Where the passphrase of one medium is taken: a socket that its holder, and root, alone can write to.

    Args:
        name: the medium's, as a file may be called.
        uid: the holder's.
        folder: where the sockets are.
    """

    def __init__(self, name: str, uid: int, folder: str = UNLOCK) -> None:
        os.makedirs(folder, mode=0o755, exist_ok=True)
        self.path = os.path.join(folder, name)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        before = os.umask(0o177)
        try:
            self._socket.bind(self.path)
        finally:
            os.umask(before)
        os.chown(self.path, uid, -1)
        self._socket.listen(1)
        self._socket.settimeout(1)

    def asked(self) -> Asked | None:
        """What somebody sends within a second; None for nobody."""
        try:
            connection, _ = self._socket.accept()
        except OSError:
            return None
        try:
            connection.settimeout(10)
            size = struct.calcsize("3i")
            _, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
            passphrase = b""
            while len(passphrase) <= LONGEST_PASSPHRASE:
                more = connection.recv(LONGEST_PASSPHRASE + 1)
                if not more:
                    return Asked(connection, uid, passphrase)
                passphrase += more
        except OSError:
            pass
        connection.close()
        return None

    def __enter__(self) -> Window:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._socket.close()
        with contextlib.suppress(OSError):
            os.unlink(self.path)
