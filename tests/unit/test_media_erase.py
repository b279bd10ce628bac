# SPDX-License-Identifier: GPL-3.0-or-later
"""Which disk a medium is, what is refused, and what reading back finds."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.kijun.baseline.plugins.module_utils import media_erase
from ansible_collections.kijun.baseline.plugins.module_utils.media_erase import (
    ENDS,
    MIB,
    EraseError,
    encrypted_areas,
    find,
    read_back,
    regions,
)
from ansible_collections.kijun.baseline.plugins.module_utils.removable_media.descriptor import (
    Descriptor,
    usb_descriptor,
)

STICK = Descriptor("0951", "1666", "SN1")
SEEN = {"/dev/sdb": Descriptor("0951", "1666", "SN1")}


def disk(name: str = "/dev/sdb", serial: str | None = "SN1", **other: Any) -> dict[str, Any]:
    nothing = {"type": "disk", "ro": False, "fstype": None, "mountpoints": [None], "size": 64 << 20}
    return {"name": name, "serial": serial, **nothing, **other}


def part(name: str = "/dev/sdb1", **other: Any) -> dict[str, Any]:
    return disk(name, None, type="part", **other)


def test_the_one_disk_with_the_serial_is_found() -> None:
    system = disk("/dev/sda", "SN0", mountpoints=["/"])
    assert find(STICK, [system, disk()], SEEN)["name"] == "/dev/sdb"
    # udev replaces characters of a serial; the descriptor has it as it is.
    assert find(STICK, [disk(serial="SN_1")], SEEN)["name"] == "/dev/sdb"
    assert find(Descriptor(serial="SN1"), [disk(children=[part(mountpoints=[])])], {})["name"] == "/dev/sdb"


@pytest.mark.parametrize(
    ("devices", "words"),
    [
        ([], "no disk of this host has it; there are: none; nothing was erased"),
        ([disk("/dev/sda", "SN\x1b[0m")], r"no disk of this host has it; there are: /dev/sda \(SN\?\[0m\)"),
        ([disk(), disk("/dev/sdc")], "2 disks: /dev/sdb, /dev/sdc of this host has it"),
        ([disk(ro=True)], "/dev/sdb: is read-only"),
        ([disk(mountpoints=["/mnt", None])], "/dev/sdb: is in use: mounted on /mnt; nothing"),
        ([disk(children=[part(mountpoints=["[SWAP]"])])], r"/dev/sdb1: is in use: mounted on \[SWAP\]"),
        (
            [disk(children=[part(children=[disk("/dev/md0", None, type="raid1")])])],
            "/dev/sdb: is in use: it is part of /dev/md0",
        ),
        ([disk(type="rom")], "no disk of this host has it"),
    ],
)
def test_other_devices_are_refused(devices: list[dict[str, Any]], words: str) -> None:
    with pytest.raises(EraseError, match=words):
        find(STICK, devices, SEEN)


def test_a_device_with_a_serial_of_somebody_elses_is_refused() -> None:
    with pytest.raises(EraseError, match="vendor_id is '046d', and that of the medium '0951': another device has its"):
        find(STICK, [disk()], {"/dev/sdb": Descriptor("046d", "1666", "SN1")})
    with pytest.raises(EraseError, match="vendor_id is ''"):
        find(STICK, [disk()], {})


def test_keys_are_destroyed_only_where_all_is_encrypted() -> None:
    luks = part(fstype="crypto_LUKS")
    assert [one["name"] for one in encrypted_areas(disk(children=[luks]))] == ["/dev/sdb1"]
    assert [one["name"] for one in encrypted_areas(disk(fstype="crypto_LUKS"))] == ["/dev/sdb"]
    for other in (disk(), disk(fstype="ext4"), disk(children=[luks, part("/dev/sdb2", fstype="vfat")])):
        with pytest.raises(EraseError, match=r"is not encrypted by LUKS.*allowed: overwrite"):
            encrypted_areas(other)


def test_a_small_medium_is_read_back_whole_and_a_large_one_in_part() -> None:
    assert regions(2 * ENDS, MIB) == [(0, 2 * ENDS)]
    size = 1000 * MIB + 7
    chosen = regions(size, 10 * MIB)
    assert (chosen[0], chosen[-1]) == ((0, ENDS), (size - ENDS, ENDS))
    assert len(chosen) == 12
    assert all(ENDS <= offset <= size - ENDS - MIB for offset, _ in chosen[1:-1])
    assert len({offset for offset, _ in chosen}) == 12
    # More than there is between the ends: all of it, once.
    assert sum(length for _, length in regions(100 * MIB, 99 * MIB)) == 100 * MIB


@pytest.fixture
def medium(tmp_path: Path) -> Iterator[int]:
    path = tmp_path / "medium"
    path.write_bytes(bytes(3 * MIB))
    file = os.open(path, os.O_RDWR)
    yield file
    os.close(file)


def test_what_is_all_zero_is_erased(medium: int) -> None:
    assert read_back(medium, 3 * MIB, 3 * MIB) == 3 * MIB


@pytest.mark.parametrize("offset", [0, 2 * MIB, 3 * MIB - 1])
def test_a_byte_that_is_left_is_found(medium: int, offset: int) -> None:
    os.pwrite(medium, b"x", offset)
    with pytest.raises(EraseError, match="is not what was written: the medium is broken, or smaller than it says"):
        read_back(medium, 3 * MIB, 3 * MIB)


def test_a_medium_that_is_smaller_than_it_says_is_found(medium: int) -> None:
    with pytest.raises(EraseError, match="at byte %d is not what was written" % (3 * MIB)):
        read_back(medium, 4 * MIB, 4 * MIB)


def test_a_usb_device_is_known_by_its_descriptor(tmp_path: Path) -> None:
    device = tmp_path / "sys/devices/usb1/1-1"
    block = device / "1-1:1.0/host6/block/sdb"
    block.mkdir(parents=True)
    for name, text in (("idVendor", "0951\n"), ("idProduct", "1666\n"), ("serial", "SN 1\n")):
        (device / name).write_text(text, encoding="utf-8")
    (tmp_path / "sys/class/block").mkdir(parents=True)
    (tmp_path / "sys/class/block/sdb").symlink_to(block)
    assert usb_descriptor("/dev/sdb", str(tmp_path)) == ("0951", "1666", "SN 1")
    assert usb_descriptor("/dev/sdc", str(tmp_path)) == Descriptor()


def test_a_program_that_fails_leaves_a_medium_that_must_not_be_used() -> None:
    with pytest.raises(EraseError, match="false ended with 1: ; the medium is not erased, and must not be used"):
        media_erase._run(["false"])
    with pytest.raises(EraseError, match="not-there is not installed here; nothing was erased"):
        media_erase._run(["not-there"])
