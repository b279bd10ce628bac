# SPDX-License-Identifier: GPL-3.0-or-later
"""Which volumes are encrypted, by the kernel's device mapper and udev's database; and what the firmware tells.

Nothing is run, and no disk is read: a volume is what /sys/class/block has it stand on.
"""

from __future__ import annotations

import glob
import os
import re
from typing import Any

from ..verdict import Unreadable
from .host import Host, lines
from .mounts import unescaped

BLOCK = "/sys/class/block"
UDEV = "/run/udev/data"
STARTING = ("/boot", "/boot/efi", "/efi")
"""Where what starts a machine lies: read before anybody could say a passphrase."""
CARRIED = re.compile(r"/(media|run/media|mnt)(/|$)")
EFI_PARTITION = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
IN_MEMORY = re.compile(r"(zram|ram|fd|sr)[0-9]")

SECURE_BOOT = "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
HARDWARE_SECURITY = "/sys/firmware/dmi/entries/24-0/raw"
PASSWORD = {0: "not set", 1: "set", 2: "unknown", 3: "unknown"}
"""Of SMBIOS, table 24: disabled, enabled, not implemented, unknown."""


def _property(host: Host, device: str, name: str) -> str:
    """What udev found out about a device, udevadm(8); empty where it found nothing."""
    number = host.read_if_there("%s/%s/dev" % (BLOCK, device)).strip()
    text = host.read_if_there("%s/b%s" % (UDEV, number)) if number else ""
    found = re.search(r"(?m)^E:%s=(.*)$" % name, text)
    return found.group(1) if found else ""


def _encrypted(host: Host, device: str) -> bool:
    """Whether a device is an encrypted volume's open side, or stands on nothing but such ones."""
    if host.read_if_there("%s/%s/dm/uuid" % (BLOCK, device)).startswith("CRYPT-"):
        return True
    under = _below(host, device)
    return bool(under) and all(_encrypted(host, name) for name in under)


def _below(host: Host, device: str) -> list[str]:
    """What a device is made of: the parts of a mapping or an array, the file behind a loop."""
    folder = host.path("%s/%s/slaves" % (BLOCK, device))
    parts = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    file = host.read_if_there("%s/%s/loop/backing_file" % (BLOCK, device)).strip()
    behind = _device_under(host, file) if file else None
    return parts + ([behind] if behind else [])


def _device_under(host: Host, path: str) -> str | None:
    """The device that holds a file; None where it is no block device's."""
    points = _mounts(host)
    best = max((point for point in points if path.startswith(point.rstrip("/") + "/")), key=len, default=None)
    return points[best] if best else None


def _mounts(host: Host) -> dict[str, str]:
    """Mount point -> name of the block device there."""
    found = {}
    for line in lines(host.read("/proc/self/mountinfo")):
        before, _, after = line.partition(" - ")
        source = unescaped(after.split(" ")[1])
        if source.startswith("/dev/"):
            name = os.path.basename(os.path.realpath(host.path(source)))
            if os.path.exists(host.path("%s/%s" % (BLOCK, name))):
                found[unescaped(before.split(" ")[4])] = name
    return found


def is_carried(host: Host, device: str) -> bool:
    """Whether a device is a medium that is plugged in and out, not one of the machine's disks.

    Args:
        host: where its files are.
        device: its name, such as sda1.
    """
    way = os.path.realpath(host.path("%s/%s" % (BLOCK, device)))
    disk = way if os.path.exists(os.path.join(way, "removable")) else os.path.dirname(way)
    try:
        with open(os.path.join(disk, "removable"), encoding="ascii") as file:
            return file.read().strip() == "1" or "/usb" in way
    except OSError:
        return "/usb" in way


def disks(host: Host, keys: set[str]) -> dict[str, Any]:
    """Sort all volumes that hold data, mounted or not, and swap."""
    if not os.path.isdir(host.path(UDEV)) or not os.path.isdir(host.path(BLOCK)):
        why = Unreadable("%s and %s tell of disks, and are not there" % (UDEV, BLOCK))
        return {"encrypted": why, "unencrypted": why, "carried": why}
    where: dict[str, list[str]] = {}
    for point, device in _mounts(host).items():
        where.setdefault(device, []).append(point)
    for line in lines(host.read_if_there("/proc/swaps"))[1:]:
        name = unescaped(line.split()[0])
        device = os.path.basename(os.path.realpath(host.path(name)))
        if name.startswith("/dev/"):
            where.setdefault(device, []).append("swap")
    tree: dict[str, list[str]] = {"encrypted": [], "unencrypted": [], "carried": []}
    for device in sorted(os.listdir(host.path(BLOCK))):
        points = sorted(where.get(device, []))
        usage, kind = _property(host, device, "ID_FS_USAGE"), _property(host, device, "ID_FS_TYPE")
        holds = bool(points) or usage == "filesystem" or kind == "swap"
        if not holds or IN_MEMORY.match(device) or (kind == "squashfs" and device.startswith("loop")):
            continue
        said = " ".join([device, kind or "?", *points])
        if is_carried(host, device) and all(CARRIED.match(point) for point in points):
            tree["carried"].append(said)
        elif _encrypted(host, device):
            tree["encrypted"].append(said)
        elif not (points and set(points) <= set(STARTING)) and (
            _property(host, device, "ID_PART_ENTRY_TYPE") != EFI_PARTITION
        ):
            tree["unencrypted"].append(said)
    return tree


def _secure_boot(host: Host) -> bool | None:
    """The variable's value behind its four bytes of attributes; None where the firmware is no UEFI."""
    try:
        with open(host.path(SECURE_BOOT), "rb") as file:
            return file.read()[4:5] == b"\x01"
    except FileNotFoundError:
        return None


def _start_password(host: Host) -> str:
    """Whether the firmware asks for a password before a start: set, not set, or unknown.

    By the vendor's driver (Dell, HP, Lenovo: the kernel's ABI/testing/sysfs-class-firmware-attributes), else by SMBIOS.
    """
    said = []
    for folder in glob.glob(host.path("/sys/class/firmware-attributes/*/authentication/*")):
        try:
            with open(os.path.join(folder, "role"), encoding="ascii") as file:
                role = file.read().strip()
            with open(os.path.join(folder, "is_enabled"), encoding="ascii") as file:
                enabled = file.read().strip()
        except OSError:
            continue
        if role in ("power-on", "bios-admin", "system-mgmt"):
            said.append((role, enabled))
    if said:
        return "set" if ("power-on", "1") in said else "not set"
    try:
        with open(host.path(HARDWARE_SECURITY), "rb") as file:
            return PASSWORD[file.read()[4] >> 6]
    except (OSError, IndexError):
        return "unknown"


def firmware(host: Host, keys: set[str]) -> dict[str, Any]:
    """What can be seen of the firmware from here."""
    chips = sorted(glob.glob(host.path("/sys/class/tpm/tpm[0-9]*")))
    version = ""
    for chip in chips[:1]:
        try:
            with open(os.path.join(chip, "tpm_version_major"), encoding="ascii") as file:
                version = file.read().strip()
        except OSError:
            version = "?"
    return {
        "secure_boot": _secure_boot(host),
        "security_chip": "TPM " + version if chips else None,
        "start_password": _start_password(host),
    }
