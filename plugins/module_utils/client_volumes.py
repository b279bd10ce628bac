# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds data on a PC's disks: its LUKS volumes, and what else there is; and how their keys are destroyed."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

from .facts.disks import EFI_PARTITION, STARTING
from .media_erase import EraseError, LuksHeader, Node, block_devices, forget_keys, shown

NO_DISK = re.compile(r"/dev/(?:zram|ram|fd|sr|loop|nbd)\d+|/dev/mmcblk\d+(?:boot\d|rpmb)")
"""Disks that are memory, files or others' by the network, and the areas of a memory card that its firmware is in."""

STARTERS = frozenset(
    {
        EFI_PARTITION,
        "21686148-6449-6e6f-744e-656564454649",  # BIOS boot
        "9e1a2d38-c612-4316-aa26-8b49521e5a8b",  # PReP
        "0xef",
        "0x41",
        "0x5",  # extended: nothing but the table of what is in it
        "0xf",
        "0x85",
    }
)
"""Types of partitions that start a machine."""

Volume = dict[str, Any]


def sort_out(devices: list[Node], is_carried: Callable[[str], bool]) -> dict[str, Any]:
    """Sort out what a PC's disks hold. What cannot be told from data is data.

    Args:
        devices: as `media_erase.block_devices` gives them.
        is_carried: whether a disk, by its name such as sda, is a medium that is plugged in and out.

    Returns:
        ``encrypted`` (LUKS volumes: ``device``, ``uuid``, ``disk``, ``model``, ``serial``, ``bytes``, ``in_use``),
        ``starting`` (what starts the machine, and holds no data), ``others`` (data that no key protects) and ``media``:
        these three as texts.
    """
    found: dict[str, Any] = {"encrypted": [], "starting": [], "others": [], "media": []}
    seen: set[str] = set()
    for disk in devices:
        if disk["type"] != "disk" or NO_DISK.fullmatch(disk["name"]) or not int(disk["size"] or 0):
            continue
        if is_carried(os.path.basename(disk["name"])):
            found["media"].append("%s (%s)" % (disk["name"], shown(disk["serial"] or "no serial")))
            continue
        for area in _areas(disk):
            if area["name"] not in seen:
                seen.add(area["name"])
                _sort_in(found, area, disk)
    return found


def _areas(node: Node) -> Iterator[Node]:
    """What of a disk holds something: its partitions, arrays instead of what they are made of, or the disk itself."""
    children = node.get("children") or []
    inner = [one for one in children if one["type"] == "part" or one["type"].startswith("raid")]
    if not inner or node["fstype"] == "crypto_LUKS":
        yield node
        return
    for one in inner:
        yield from _areas(one)


def _sort_in(found: dict[str, Any], area: Node, disk: Node) -> None:
    points = [point for point in area["mountpoints"] or [] if point]
    if area["fstype"] == "crypto_LUKS":
        found["encrypted"].append(
            {
                "device": area["name"],
                "uuid": area["uuid"] or "",
                "disk": disk["name"],
                "model": shown(" ".join(filter(None, (disk["vendor"], disk["model"]))).strip()),
                "serial": shown(disk["serial"] or ""),
                "bytes": int(area["size"]),
                "in_use": bool(area.get("children")),
            }
        )
        return
    said = " ".join([area["name"], area["fstype"] or "with unknown content", *(shown(point) for point in points)])
    starts = set(points) <= set(STARTING) and (bool(points) or area.get("parttype") in STARTERS)
    found["starting" if starts else "others"].append(said)


def destroy(volumes: list[dict[str, str]], *, pretend: bool = False) -> list[Volume]:
    """Destroy the keys of LUKS volumes and their headers. All of them are known before the first one is touched.

    Args:
        volumes: ``device`` and ``uuid`` of each.
        pretend: find them, and write nothing.

    Returns:
        Each with ``device``, ``uuid``, ``bytes``, ``keys`` (that it had), ``read_back`` (bytes), ``discarded``.

    Raises:
        EraseError: one is not there, or is another; or a key could not be destroyed. The text says what was.
    """
    nodes = {node["name"]: node for node in _all(block_devices())}
    work = []
    for volume in volumes:
        node = nodes.get(volume["device"])
        if node is None or node["fstype"] != "crypto_LUKS" or node["uuid"] != volume["uuid"] or not volume["uuid"]:
            raise EraseError(
                "%s: is no LUKS volume with the UUID %r; nothing was erased" % (volume["device"], volume["uuid"])
            )
        if node["ro"]:
            raise EraseError("%s: is read-only; nothing was erased" % volume["device"])
        header = LuksHeader.read(volume["device"])
        if not header.data_offset:
            raise EraseError("%s: where its data begin is not told; nothing was erased" % volume["device"])
        work.append((node, header))
    done, failures = [], []
    for node, header in work:
        about: Volume = {"device": node["name"], "uuid": node["uuid"], "bytes": int(node["size"]), "keys": header.keys}
        if not pretend:
            try:
                # Whoever has it open goes on reading its data until the machine is off: not one byte beyond the header.
                about["read_back"] = forget_keys(node, header.data_offset)
            except (EraseError, OSError) as error:
                failures.append(str(error))
                continue
            about["discarded"] = not node.get("children") and _discarded(node["name"])
        done.append(about)
    if failures:
        gone = ", ".join(one["device"] for one in done) or "none"
        raise EraseError("%s; keys destroyed of: %s (clause SM-4.3.3-1)" % ("; ".join(failures), gone))
    return done


def _all(nodes: list[Node]) -> Iterator[Node]:
    for node in nodes:
        yield node
        yield from _all(node.get("children") or [])


def _discarded(device: str) -> bool:
    """Have the device forget the rest as well, where it can; what nobody has a key to is gone already."""
    return subprocess.run(["blkdiscard", "--force", device], capture_output=True, check=False).returncode == 0
