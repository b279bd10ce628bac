# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds one recording medium by its serial, overwrites all of it, and reads back what is then on it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import random
import re
import subprocess
import syslog
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from .removable_media.descriptor import Descriptor, usb_descriptor

BLKRRPART, BLKFLSBUF = 0x125F, 0x1261
"""Read the partition table again; forget what is cached of the device (linux/fs.h)."""

MIB = 1 << 20
ENDS = 16 * MIB
"""Read back at the beginning and at the end in any case: partition tables, headers and their copies are there."""

HEADERS = 32 * MIB
"""What of an encrypted volume is overwritten when its keys are gone: LUKS2 takes 16 MiB, less one that was made so."""

COLUMNS = "NAME,TYPE,TRAN,SERIAL,VENDOR,MODEL,SIZE,RO,ROTA,FSTYPE,UUID,PARTTYPE,MOUNTPOINTS"

Node = dict[str, Any]
"""A block device as lsblk(8) tells it."""


class EraseError(Exception):
    """A medium is not erased; the text says why, and whether anything was written."""


def block_devices() -> list[Node]:
    """What block devices there are, those that are made of others below them.

    Raises:
        EraseError: lsblk(8) failed.
    """
    done = subprocess.run(
        ["lsblk", "--json", "--bytes", "--paths", "--output", COLUMNS], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise EraseError("lsblk: %s" % done.stderr.strip())
    devices: list[Node] = json.loads(done.stdout)["blockdevices"]
    return devices


def find(wanted: Descriptor, devices: list[Node], descriptors: dict[str, Descriptor]) -> Node:
    """The one disk that is the medium, and that nothing uses.

    Args:
        wanted: what it says of itself; no vendor_id and product_id where it is no USB device.
        devices: as `block_devices` gives them.
        descriptors: disk's path -> its USB descriptor.

    Raises:
        EraseError: none has that serial, or more than one; it is another product; it is read-only, or in use.
    """
    disks = [one for one in devices if one["type"] == "disk"]
    nothing = Descriptor()
    found = [
        one for one in disks if wanted.serial in (one["serial"] or "", descriptors.get(one["name"], nothing).serial)
    ]
    if len(found) != 1:
        there = ["%s (%s)" % (one["name"], shown(one["serial"] or "no serial")) for one in disks]
        count = "no disk" if not found else "%d disks: %s" % (len(found), ", ".join(one["name"] for one in found))
        raise EraseError(
            "serial %r: %s of this host has it; there are: %s; nothing was erased (clause SM-4.6.2-3)"
            % (wanted.serial, count, ", ".join(there) or "none")
        )
    disk = found[0]
    said = descriptors.get(disk["name"], nothing)
    for name in ("vendor_id", "product_id"):
        if getattr(wanted, name) and getattr(wanted, name) != getattr(said, name):
            raise EraseError(
                "%s: %s is %r, and that of the medium %r: another device has its serial; nothing was erased "
                "(clause GL-2.4-1a)" % (disk["name"], name, shown(getattr(said, name)), getattr(wanted, name))
            )
    if disk["ro"]:
        raise EraseError("%s: is read-only; nothing was erased" % disk["name"])
    for node in _below(disk):
        where = [point for point in node["mountpoints"] or [] if point]
        if where:
            raise EraseError("%s: is in use: mounted on %s; nothing was erased" % (node["name"], ", ".join(where)))
        if node["type"] not in ("disk", "part"):
            raise EraseError("%s: is in use: it is part of %s; nothing was erased" % (disk["name"], node["name"]))
    return disk


def _below(node: Node) -> Iterator[Node]:
    yield node
    for child in node.get("children") or []:
        yield from _below(child)


def shown(text: str) -> str:
    """What a device says of itself, fit to be shown: nothing but visible characters.

    Args:
        text: what it says.
    """
    return "".join(c if c.isprintable() else "?" for c in text)[:200]


def encrypted_areas(disk: Node) -> list[Node]:
    """The volumes of a disk whose keys can be destroyed.

    Args:
        disk: as `find` gives it.

    Raises:
        EraseError: something of the disk is not encrypted by LUKS, so that its data would stay.
    """
    children = disk.get("children") or []
    areas = [node for node in children or [disk] if node["fstype"] == "crypto_LUKS"]
    if not areas or len(areas) < len(children):
        others = [node["name"] for node in children or [disk] if node["fstype"] != "crypto_LUKS"]
        raise EraseError(
            "%s: is not encrypted by LUKS, so that method crypto_erase would leave its data; allowed: overwrite; "
            "nothing was erased" % ", ".join(others)
        )
    return areas


def regions(size: int, most: int) -> list[tuple[int, int]]:
    """What is read back: all of a medium, or its ends and pieces by chance between them.

    Args:
        size: the medium's, in bytes.
        most: bytes that are read back at most, beside the two ends.

    Returns:
        Offset and length of each, in order.
    """
    if size <= max(most, 2 * ENDS):
        return [(0, size)]
    pieces = range(ENDS // MIB, (size - ENDS) // MIB)
    chosen = sorted(random.SystemRandom().sample(pieces, min(len(pieces), most // MIB)))
    return [(0, ENDS), *((piece * MIB, MIB) for piece in chosen), (size - ENDS, ENDS)]


def read_back(file: int, size: int, most: int) -> int:
    """Read what is on a medium; all of it must be zero.

    Args:
        file: the open device.
        size: its size, in bytes.
        most: as `regions` takes it.

    Returns:
        How many bytes were read.

    Raises:
        EraseError: something else is on it, or it cannot be read.
    """
    done = 0
    for offset, length in regions(size, most):
        while length:
            try:
                data = os.pread(file, min(length, 4 * MIB), offset)
            except OSError as error:
                raise EraseError("byte %d cannot be read back: %s" % (offset, error.strerror)) from None
            if not data or data.count(0) != len(data):
                raise EraseError(
                    "what was read back at byte %d is not what was written: the medium is broken, or smaller than it "
                    "says; destroy it (clause SM-4.6.2-3)" % offset
                )
            offset, length, done = offset + len(data), length - len(data), done + len(data)
    return done


def erase(wanted: Descriptor, method: str, most: int, *, pretend: bool = False) -> dict[str, Any]:
    """Erase a medium, and prove it.

    Args:
        wanted: which, as `find` takes it.
        method: ``overwrite`` (all of it, by random data and then by zeros) or ``crypto_erase`` (the keys of its LUKS
            volumes and their headers).
        most: bytes that are read back at most, beside both ends (overwrite); headers are read back whole.
        pretend: find it, and write nothing.

    Returns:
        ``device``, ``model``, ``serial``, ``bytes``, ``rotates``, ``method``, ``passes``, ``read_back`` (bytes),
        ``started``, ``ended`` (UTC, ISO 8601), ``seconds``.

    Raises:
        EraseError: it was refused, or what was written is not there.
    """
    devices = block_devices()
    descriptors = {one["name"]: usb_descriptor(one["name"]) for one in devices if one["type"] == "disk"}
    disk = find(wanted, devices, descriptors)
    areas = encrypted_areas(disk) if method == "crypto_erase" else []
    about: dict[str, Any] = {
        "device": disk["name"],
        "model": shown(" ".join(filter(None, (disk["vendor"], disk["model"]))).strip()),
        "serial": wanted.serial,
        "bytes": int(disk["size"]),
        "rotates": bool(disk["rota"]),
        "method": method,
    }
    if pretend:
        return about
    started = time.time()
    with _held(disk["name"]) as file:
        if method == "overwrite":
            about["passes"] = ["random", "zero"]
            _run(["shred", "--verbose", "--iterations=1", "--zero", "/proc/self/fd/%d" % file], file)
            about["read_back"] = _proven(file, int(disk["size"]), most)
        else:
            about["passes"] = ["keys destroyed", "headers zero"]
            about["read_back"] = sum(forget_keys(area) for area in areas)
        with contextlib.suppress(OSError):
            fcntl.ioctl(file, BLKRRPART)
    ended = time.time()
    about.update(started=utc(started), ended=utc(ended), seconds=round(ended - started, 1))
    return about


@contextlib.contextmanager
def _held(device: str) -> Iterator[int]:
    """A device that nobody else mounts or takes meanwhile: O_EXCL of a block device, open(2)."""
    try:
        file = os.open(device, os.O_RDWR | os.O_EXCL | os.O_CLOEXEC)
    except OSError as error:
        raise EraseError("%s: is in use: %s; nothing was erased" % (device, error.strerror)) from None
    try:
        yield file
    finally:
        os.close(file)


def _proven(file: int, size: int, most: int) -> int:
    os.fsync(file)
    fcntl.ioctl(file, BLKFLSBUF)
    return read_back(file, size, most)


def forget_keys(area: Node, most: int = HEADERS) -> int:
    """Destroy a LUKS volume's keys, and its headers; none is left afterwards.

    Args:
        area: the volume; ``name`` and ``size``.
        most: bytes from its beginning that become zero: no more than the headers where somebody still reads the rest.

    Returns:
        How many bytes were read back.

    Raises:
        EraseError: a key is still there, or what was written is not.
    """
    _run(["cryptsetup", "erase", "--batch-mode", area["name"]])
    left = LuksHeader.read(area["name"]).keys
    if left:
        raise EraseError("%s: %d keys are still there; it is not erased" % (area["name"], left))
    length = min(most, int(area["size"]))
    # Not exclusive: a partition's disk is held already.
    file = os.open(area["name"], os.O_RDWR | os.O_CLOEXEC)
    try:
        zeros = bytes(MIB)
        for offset in range(0, length, MIB):
            os.pwrite(file, zeros[: length - offset], offset)
        return _proven(file, length, length)
    finally:
        os.close(file)


class LuksHeader(NamedTuple):
    """What a LUKS header says.

    Attributes:
        keys: key slots that hold a key.
        data_offset: where the encrypted data begin, in bytes.
    """

    keys: int
    data_offset: int

    @classmethod
    def read(cls, device: str) -> LuksHeader:
        """Read it.

        Args:
            device: the volume.

        Raises:
            EraseError: there is none that cryptsetup(8) reads.
        """
        words = ["cryptsetup", "luksDump", device]
        done = subprocess.run(words, capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C"})
        if done.returncode:
            raise EraseError("%s: no LUKS header can be read: %s" % (device, done.stderr.strip()))
        return cls.parsed(done.stdout)

    @classmethod
    def parsed(cls, text: str) -> LuksHeader:
        """Take in what ``cryptsetup luksDump`` says, of LUKS1 or LUKS2.

        Args:
            text: it.
        """
        sectors = re.search(r"(?m)^Payload offset:\s*(\d+)$", text)
        if sectors:
            return cls(len(re.findall(r"(?m)^Key Slot \d+: ENABLED$", text)), int(sectors.group(1)) * 512)
        slots = text.partition("\nKeyslots:")[2].partition("\nTokens:")[0]
        offset = re.search(r"(?m)^\s+offset: (\d+) \[bytes\]$", text.partition("\nData segments:")[2])
        return cls(len(re.findall(r"(?m)^  \d+: ", slots)), int(offset.group(1)) if offset else 0)


def _run(command: list[str], *inherited: int) -> None:
    """Run a program that may take hours; what it says goes to the journal as well, line by line."""
    syslog.openlog("kijun-media-erase")
    last = ""
    try:
        process = subprocess.Popen(command, stderr=subprocess.PIPE, pass_fds=inherited, text=True, errors="replace")
    except FileNotFoundError:
        raise EraseError("%s is not installed here; nothing was erased" % command[0]) from None
    with process:
        for line in process.stderr or ():
            last = line.strip()
            syslog.syslog(syslog.LOG_INFO, last)
    if process.returncode:
        raise EraseError(
            "%s ended with %d: %s; the medium is not erased, and must not be used"
            % (command[0], process.returncode, last)
        )


def utc(seconds: float) -> str:
    """A time as records have it, UTC, ISO 8601.

    Args:
        seconds: since 1970.
    """
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
