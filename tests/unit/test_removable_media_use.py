# SPDX-License-Identifier: GPL-3.0-or-later
"""A medium's files: listed, compared, scanned; whatever it says its name is."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from ansible_collections.kijun.baseline.plugins.module_utils import removable_media
from ansible_collections.kijun.baseline.plugins.module_utils.removable_media import use

MEDIUM = removable_media.Medium("USB-1", "0951", "1666", "SN1", "operator1", "2026-12-01", False, "none")


class Scanner:
    """Finds what begins with `bad`."""

    def __init__(self) -> None:
        self.seen = 0

    def answers(self) -> bool:
        return True

    def scan(self, file: int) -> str | None:
        self.seen += 1
        return "Test" if os.read(file, 3) == b"bad" else None


def test_every_file_is_scanned_and_no_link_followed(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "one").write_text("good")
    (tmp_path / "two").write_text("good")
    (tmp_path / "link").symlink_to("/etc/passwd")
    os.mkfifo(tmp_path / "pipe")
    scanner = Scanner()
    assert use.scan(str(tmp_path), scanner, 100) == (2, 8)
    assert scanner.seen == 2
    (tmp_path / "a" / "x\n\x1b[31m").write_text("bad")
    with pytest.raises(use.Refused) as refused:
        use.scan(str(tmp_path), scanner, 100)
    assert str(refused.value) == "a/x\\n\\x1b[31m is infected: Test"


def test_a_scanner_that_goes_away_makes_nothing_clean(tmp_path: Path) -> None:
    class Away(Scanner):
        def scan(self, file: int) -> str | None:
            raise RuntimeError("clamd does not answer")

    (tmp_path / "one").write_text("good")
    with pytest.raises(use.Refused, match="not all of it could be scanned: clamd does not answer"):
        use.scan(str(tmp_path), Away(), 100)


def test_what_the_scanner_would_not_look_into_is_refused(tmp_path: Path) -> None:
    (tmp_path / "large").write_text("good, but long")
    with pytest.raises(use.Refused, match="more bytes than the scanner looks at"):
        use.scan(str(tmp_path), Scanner(), 5)
    settings = tmp_path / "clamd.conf"
    assert use.largest_scanned(str(settings)) == 100 << 20
    settings.write_text("StreamMaxLength 5M\nMaxFileSize 25M\n")
    assert use.largest_scanned(str(settings)) == 25 << 20


def test_what_came_changed_and_went(tmp_path: Path) -> None:
    for name in ("kept", "changed", "gone"):
        (tmp_path / name).write_text(name)
    before = use.listing(str(tmp_path))
    (tmp_path / "gone").unlink()
    (tmp_path / "changed").write_text("otherwise")
    (tmp_path / "new").write_text("")
    found = use.differing(before, use.listing(str(tmp_path)))
    assert {kind: one["names"] for kind, one in found.items()} == {
        "added": ["new"],
        "changed": ["changed"],
        "deleted": ["gone"],
    }
    assert use.differing(before, before) == {}
    many = use.named([f"f{number:04}" for number in range(500)])
    assert (many["count"], len(many["names"])) == (500, use.NAMED)


@pytest.mark.parametrize(
    ("name", "kernel_name", "folder"),
    [
        ("USB-1", "sda", "USB-1"),
        ("USB-1", "sda1", "USB-1"),
        ("USB-1", "sdb12", "USB-1-12"),
        ("../../etc", "sda", "_.._etc"),
        ("..", "sda", "medium"),
        ("鍵 1", "sda", "__1"),
    ],
)
def test_a_folder_has_a_plain_name(name: str, kernel_name: str, folder: str) -> None:
    assert use.folder_name(MEDIUM._replace(name=name), kernel_name) == folder


def test_a_descriptor_is_that_of_the_usb_device_above(tmp_path: Path) -> None:
    device = tmp_path / "sys/devices/usb1/1-1"
    disk = device / "1-1:1.0/host0/block/sda/sda1"
    disk.mkdir(parents=True)
    links = tmp_path / "sys/class/block"
    links.mkdir(parents=True)
    (links / "sda1").symlink_to(disk)
    with pytest.raises(use.Refused, match="no USB device"):
        use.descriptor("sda1", str(tmp_path))
    for name, content in (("idVendor", b"0951\n"), ("idProduct", b"1666\n"), ("serial", b"S\xff\x1b\n")):
        (device / name).write_bytes(content)
    assert use.descriptor("sda1", str(tmp_path)) == ("0951", "1666", "S\ufffd\x1b")


def test_the_program_takes_no_odd_device() -> None:
    for words in ([], ["sda", "sdb"], ["../sda"], ["vda1"], ["sda 1"]):
        assert use.main(words, Scanner()) == 2


@pytest.mark.parametrize("serial", ['S" } allow #', "S N", "", "S\\", "S\n"])
def test_no_serial_writes_a_rule(serial: str) -> None:
    media = [MEDIUM._replace(serial=serial)._asdict()]
    text = json.dumps({"media": media, "interfaces": [], "one_keyboard": True, "encryption": "none"})
    with pytest.raises(removable_media.SettingsWrong):
        removable_media.settings_of(text)


def test_a_second_device_with_the_same_serial_is_refused(tmp_path: Path) -> None:
    first, second = use.Use("sda", Scanner()), use.Use("sdb", Scanner())
    path = str(tmp_path / "USB-1.lock")
    first._claim(path)
    with pytest.raises(use.Refused, match="a second one says that it is the same"):
        second._claim(path)
    os.close(first.claim)
    os.close(second.claim)
    second._claim(path)
    os.close(second.claim)
