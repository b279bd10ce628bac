# SPDX-License-Identifier: GPL-3.0-or-later
"""A medium that is lent for this host: scanned before anybody can open a file of it, mounted, and its use told.

Runs on hosts: Python 3.9 and its standard library.
"""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import json
import os
import pwd
import re
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

from . import (
    HIDDEN,
    PLACE,
    PLAINTEXT,
    Medium,
    SettingsWrong,
    luks,
    must_be_encrypted,
    person_at_the_seat,
    read_settings,
    tell,
)
from .descriptor import Descriptor, usb_descriptor

NAMED = 100
"""Names of files that one record holds, and bytes of each below; how many there are is counted in any case."""
LONGEST = 255

LOOKED = 10.0
"""Seconds between two looks at what changed, and after which what was written is on the medium."""

FILE_SYSTEMS = {"vfat": "flush", "exfat": "", "ext4": "errors=remount-ro"}
"""What is mounted, with options of its own. Each further one is more of the kernel that a medium can attack."""

OWNED = ("vfat", "exfat")
"""File systems without owners: all files are those of the person that has the medium."""

CLAMD = "/etc/clamav/clamd.conf"
LARGEST = 100 << 20
"""Bytes of the largest file that clamd looks into, unless MaxFileSize in its settings says another number."""

SAFE = "nosuid,nodev,noexec"

TRIES = 5
"""Wrong passphrases after which a medium has to be plugged in anew."""


class Refused(Exception):
    """A medium is not mounted; the text says why."""


class Ended(Exception):
    """The medium went, or the service was stopped, while a passphrase was waited for."""


class Scanner(Protocol):
    """What is asked of the resident scanner; `malware.clamd.Clamd` is one."""

    def scan(self, file: int) -> str | None:
        """The signature of what is in an open file; None for nothing."""

    def answers(self) -> bool:
        """Whether there is one."""


class Usage(NamedTuple):
    """How a file stands: nothing is opened, and access times are not touched."""

    size: int
    changed: int


def descriptor(kernel_name: str, root: str = "/") -> Descriptor:
    """What the USB device of a block device says of itself.

    Args:
        kernel_name: of the block device, such as ``sda1``.
        root: below which /sys is.

    Raises:
        Refused: it is no USB device.
    """
    found = usb_descriptor(kernel_name, root)
    if not found.vendor_id:
        raise Refused("it is no USB device")
    return found


def folder_name(medium: Medium, kernel_name: str) -> str:
    """What a medium's directory is called: nothing but letters, digits and a few signs; with the partition's number.

    Args:
        medium: it.
        kernel_name: of the block device.
    """
    number = re.sub(r"^.*?(\d*)$", r"\1", kernel_name)
    name = re.sub(r"[^A-Za-z0-9._-]", "_", medium.name).lstrip(".-") or "medium"
    return name if number in ("", "1") else "%s-%s" % (name, number)


def files(folder: str) -> Iterator[tuple[str, os.stat_result]]:
    """All that is no directory below one, by its path from there; symbolic links are not followed.

    Raises:
        OSError: a directory cannot be read.
    """
    ways = [""]
    while ways:
        way = ways.pop()
        with os.scandir(os.path.join(folder, way)) as entries:
            for entry in entries:
                path = os.path.join(way, entry.name)
                if entry.is_dir(follow_symlinks=False):
                    ways.append(path)
                else:
                    yield path, entry.stat(follow_symlinks=False)


def listing(folder: str) -> dict[str, Usage]:
    """How each file stands.

    Raises:
        OSError: a directory cannot be read.
    """
    return {path: Usage(info.st_size, info.st_mtime_ns) for path, info in files(folder)}


def named(paths: list[str]) -> dict[str, Any]:
    """A count, and the first names, as a record holds them: what no log line may have is escaped."""
    shown = [ascii(path)[1:-1][:LONGEST] for path in sorted(paths)[:NAMED]]
    return {"count": len(paths), "names": shown}


def differing(before: dict[str, Usage], after: dict[str, Usage]) -> dict[str, Any]:
    """Which files came, changed and went between two listings; empty for none."""
    kinds = {
        "added": [path for path in after if path not in before],
        "changed": [path for path in after if path in before and after[path] != before[path]],
        "deleted": [path for path in before if path not in after],
    }
    return {kind: named(paths) for kind, paths in kinds.items() if paths}


def scan(folder: str, scanner: Scanner, largest: int) -> tuple[int, int]:
    """Have every file scanned.

    Args:
        folder: where the file system is.
        scanner: the resident one.
        largest: bytes of the largest file that it looks at.

    Returns:
        How many files, and how many bytes.

    Raises:
        Refused: something was found, or not all could be scanned.
    """
    count = total = 0
    try:
        for path, info in files(folder):
            if not stat.S_ISREG(info.st_mode):
                continue
            shown = ascii(path)[1:-1][:LONGEST]
            if info.st_size > largest:
                raise Refused("%s has more bytes than the scanner looks at (%d)" % (shown, largest))
            file = os.open(os.path.join(folder, path), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                found = scanner.scan(file)
            finally:
                os.close(file)
            if found:
                raise Refused("%s is infected: %s" % (shown, found))
            count += 1
            total += info.st_size
    except Refused:
        raise
    except Exception as error:  # of the medium's files, or of a scanner that goes away, which has errors of its own
        raise Refused("not all of it could be scanned: %s" % error) from None
    return count, total


def largest_scanned(path: str = CLAMD) -> int:
    """The largest file that clamd looks into, in bytes: a larger one it calls clean without a look.

    Args:
        path: its settings.
    """
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            found = re.search(r"^MaxFileSize\s+(\d+)([KkMm]?)\s*$", file.read(), re.MULTILINE)
    except OSError:
        found = None
    return int(found.group(1)) << {"": 0, "k": 10, "m": 20}[found.group(2).lower()] if found else LARGEST


def note_plaintext(name: str, about: dict[str, Any] | None, folder: str = PLAINTEXT) -> None:
    """Keep a note that a medium is not encrypted and must be, for the audit; or take it away.

    Args:
        name: the medium's, as a file may be called.
        about: what is noted; None where the medium turned out to be encrypted.
        folder: where the notes are.
    """
    path = os.path.join(folder, name)
    if about is None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        return
    os.makedirs(folder, mode=0o755, exist_ok=True)
    with open(path + ".part", "w", encoding="utf-8") as file:
        json.dump(about, file, sort_keys=True)
    os.replace(path + ".part", path)


class Use:
    """The use of one block device, from its appearance to its end.

    Args:
        kernel_name: such as ``sda1``.
        scanner: the resident scanner.
    """

    def __init__(self, kernel_name: str, scanner: Scanner) -> None:
        self.kernel_name, self.scanner = kernel_name, scanner
        self.hidden = os.path.join(HIDDEN, kernel_name)
        self.place = ""
        self.claim = -1
        self.about: dict[str, Any] = {"device": kernel_name}
        self.ended = False
        self.person_waits: socket.socket | None = None
        self.opener: int | None = None

    def run(self) -> int:
        """Scan it, mount it, watch it until it goes, or until the service is stopped.

        Returns:
            0 where it was used; 1 where it was refused, which is told.
        """
        signal.signal(signal.SIGTERM, self._end)
        try:
            before = self._mounted()
        except Ended:
            return 0
        except (Refused, SettingsWrong) as refusal:
            self._unmount(self.hidden)
            luks.close(luks.mapping(self.kernel_name))
            tell({"event": "refused", "reason": str(refusal), "person": person_at_the_seat(), **self.about})
            _answer(self.person_waits, refused=str(refusal))
            return 1
        _answer(self.person_waits, place=self.place)
        after = before
        while not self.ended:
            # Longer where a look takes long: a tenth of the time at most.
            started = time.monotonic()
            after = self._looked(after)
            until = time.monotonic() + max(LOOKED, 10 * (time.monotonic() - started))
            while not self.ended and time.monotonic() < until:
                time.sleep(0.2)
            if self.opener is not None and not luks.has_session(self.opener):
                self.ended = True
        last = self._looked(after)
        self._unmount(self.place)
        luks.close(luks.mapping(self.kernel_name))
        with contextlib.suppress(OSError):
            os.rmdir(self.place)
        tell({"event": "unmounted", **self.about, "files": named(list(last)), "in_all": differing(before, last)})
        return 0

    def _end(self, *_: Any) -> None:
        self.ended = True

    def _looked(self, before: dict[str, Usage]) -> dict[str, Usage]:
        """Have what was written be on the medium, and tell what changed; what is gone already stays as it was known."""
        if not os.path.exists("/sys/class/block/%s" % self.kernel_name):
            return before
        try:
            subprocess.run(["sync", "-f", self.place], check=False, capture_output=True, timeout=600)
            now = listing(self.place)
        except (OSError, subprocess.TimeoutExpired):
            return before
        changes = differing(before, now)
        if changes:
            tell({"event": "used", **self.about, **changes})
        return now

    def _mounted(self) -> dict[str, Usage]:
        """Scan and mount it.

        Returns:
            Its files.

        Raises:
            Ended: it went before it was unlocked.
            Refused: it may not be used, or is not clean, or is no file system that is taken.
            SettingsWrong: the host has no settings.
        """
        vendor, product, serial = descriptor(self.kernel_name)
        self.about.update({"id": "%s:%s" % (vendor, product), "serial": ascii(serial)[1:-1]})
        settings = read_settings()
        today = datetime.date.today().isoformat()
        fitting = [one for one in settings.media if one[1:4] == (vendor, product, serial)]
        if not fitting:
            raise Refused("it is not lent for this host")
        medium = fitting[0]
        self.about.update({"medium": medium.name, "lent_to": medium.person})
        if medium.until < today:
            raise Refused("it was lent until %s" % medium.until)
        if not self.scanner.answers():
            raise Refused("no scanner answers")
        place = os.path.join(PLACE, folder_name(medium, self.kernel_name))
        os.makedirs(HIDDEN, mode=0o700, exist_ok=True)
        self._claim(os.path.join(HIDDEN, os.path.basename(place) + ".lock"))
        device = self._readable("/dev/%s" % self.kernel_name, medium, settings.encryption)
        kind = self._kind(device)
        if kind not in FILE_SYSTEMS:
            allowed = ", ".join(sorted(FILE_SYSTEMS))
            raise Refused("its file system is %s; it must be one of %s" % (ascii(kind)[1:-1] or "unknown", allowed))
        options = [SAFE, FILE_SYSTEMS[kind]]
        if kind in OWNED:
            options.append(_owner(medium.person))
        for folder, mode in ((self.hidden, 0o700), (PLACE, 0o755), (place, 0o755)):
            os.makedirs(folder, mode=mode, exist_ok=True)
        # From here to its use it is one file system in the kernel: what was scanned is what is cached.
        joined = ",".join(one for one in options if one)
        self._mount("-t", kind, "-o", "ro,%s" % joined, device, self.hidden)
        started = time.monotonic()
        count, total = scan(self.hidden, self.scanner, largest_scanned())
        seconds = round(time.monotonic() - started, 1)
        tell({"event": "scanned", "clean": True, "files": count, "bytes": total, "seconds": seconds, **self.about})
        self._mount("--bind", self.hidden, place)
        self._unmount(self.hidden)
        self.place = place
        try:
            self._mount("-o", "remount,rw,%s" % joined, place)
            found = listing(place)
        except (Refused, OSError) as error:
            self._unmount(place)
            raise Refused(str(error)) from None
        who = {"person": person_at_the_seat(), "place": place, "files": named(list(found))}
        tell({"event": "mounted", **self.about, **who})
        return found

    def _claim(self, path: str) -> None:
        """Have the name of a medium to itself, until this process ends.

        Args:
            path: a file that stands for the name.

        Raises:
            Refused: another device has it.
        """
        self.claim = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self.claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            reason = "a medium of that name is in use already: a second one says that it is the same"
            raise Refused(reason) from None

    def _readable(self, device: str, medium: Medium, demand: str) -> str:
        """The device that a file system is read from: the medium's own, or the open side of its LUKS volume.

        Args:
            device: the medium's.
            medium: it.
            demand: which media must be encrypted.

        Raises:
            Ended: it went before it was unlocked.
            Refused: it must be encrypted and is not, or it cannot be unlocked.
        """
        name = folder_name(medium, self.kernel_name)
        if self._kind(device) == luks.KIND:
            device = self._unlocked(device, name, medium.person)
            note_plaintext(name, None)
        else:
            why = must_be_encrypted(medium, demand)
            if why:
                day = datetime.date.today().isoformat()
                note_plaintext(name, {"day": day, "person": person_at_the_seat(), **self.about})
                raise Refused("it is not encrypted: %s (clause SM-4.6.2-1)" % why)
        return device

    def _unlocked(self, device: str, name: str, person: str) -> str:
        """Wait for a passphrase that opens the LUKS volume.

        Args:
            device: the volume.
            name: the medium's, as a file may be called.
            person: who has it.

        Raises:
            Ended: it went meanwhile.
            Refused: it cannot be opened.
        """
        tell({"event": "locked", **self.about})
        wrong = 0
        with luks.Window(name, _uid(person)) as window:
            while not self.ended:
                asked = window.asked()
                if asked is None:
                    continue
                self.person_waits = asked.connection
                try:
                    opened = luks.opened(device, luks.mapping(self.kernel_name), asked.passphrase)
                except luks.WrongPassphrase:
                    wrong += 1
                    if wrong == TRIES:
                        raise Refused("%d wrong passphrases: it has to be plugged in anew" % TRIES) from None
                    reason = "wrong passphrase"
                    tell({"event": "refused", "reason": reason, "tried_by": _login(asked.uid), **self.about})
                    _answer(asked.connection, refused=reason)
                    continue
                except luks.NotOpened as error:
                    raise Refused(str(error)) from None
                self.about["unlocked_by"] = _login(asked.uid)
                self.opener = asked.uid if luks.has_session(asked.uid) else None
                tell({"event": "unlocked", **self.about})
                return opened
        raise Ended

    @staticmethod
    def _kind(device: str) -> str:
        """What is on a device, as blkid(8) finds it; empty where it is not sure."""
        words = ["blkid", "-p", "-o", "value", "-s", "TYPE", device]
        return subprocess.run(words, check=False, capture_output=True, text=True, timeout=60).stdout.strip()

    def _mount(self, *words: str) -> None:
        done = subprocess.run(["mount", *words], check=False, capture_output=True, text=True, timeout=120)
        if done.returncode != 0:
            raise Refused("it cannot be mounted: %s" % " ".join(done.stderr.split())[:300])

    def _unmount(self, place: str) -> None:
        if os.path.ismount(place):
            subprocess.run(["umount", "--lazy", place], check=False, capture_output=True, timeout=120)


def _owner(person: str) -> str:
    """Options that give all files to one person; to root where there is no such account here."""
    try:
        account = pwd.getpwnam(person)
    except (KeyError, ValueError):
        return "uid=0,gid=0,umask=0077"
    return "uid=%d,gid=%d,umask=0077" % (account.pw_uid, account.pw_gid)


def _uid(person: str) -> int:
    """Whose passphrases are taken: a person's; root's alone where there is no such account here."""
    try:
        return pwd.getpwnam(person).pw_uid
    except (KeyError, ValueError):
        return 0


def _login(uid: int) -> str:
    """A login name."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return "uid %d" % uid


def _answer(connection: socket.socket | None, **about: str) -> None:
    """Tell whoever sent a passphrase what became of it; they may have gone."""
    if connection is not None:
        with contextlib.suppress(OSError):
            connection.sendall(json.dumps(about).encode())
        connection.close()


def main(arguments: list[str], scanner: Scanner) -> int:
    """What the unit of a block device calls.

    Args:
        arguments: the device's name in the kernel; before it ``--close``, to have nothing of it open any more.
        scanner: the resident scanner.
    """
    if len(arguments) == 2 and arguments[0] == "--close" and re.fullmatch(r"sd[a-z]+[0-9]*", arguments[1]):
        luks.close(luks.mapping(arguments[1]))
        return 0
    if len(arguments) != 1 or not re.fullmatch(r"sd[a-z]+[0-9]*", arguments[0]):
        return 2
    return Use(arguments[0], scanner).run()
