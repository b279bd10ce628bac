# SPDX-License-Identifier: GPL-3.0-or-later
"""A recording medium erased: a USB device of a kernel of its own, whose backing file is looked at behind its back."""

from __future__ import annotations

import datetime
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger import migrate
from kijun_hosts import on_controller
from kijun_vm import VirtualMachine, lab, plug_stick

VALID = (datetime.datetime.now().astimezone().date() + datetime.timedelta(days=30)).isoformat()
SERIAL = "0375122100009134"
SIZE = 48 << 20
STICK = "/root/stick.img"
THERE = "for n in $(seq 100); do [ -b /dev/sda ] && break; sleep 0.2; done && udevadm settle"
FILL = f"rm -f {STICK} && truncate -s {SIZE} {STICK} && mkfs.ext4 -q {STICK} && sync {STICK}"
# To the last byte, past the file system's end.
MARK = f"printf 'what nobody else may read' | dd of={STICK} bs=1 seek={SIZE - 25} conv=notrunc status=none"
LEFT = f"""
import collections
data = open({STICK!r}, "rb").read()
print(len(data), len(data) - data.count(0))
"""


@pytest.fixture(scope="session")
def machine(request: pytest.FixtureRequest) -> Iterator[VirtualMachine]:
    """A virtual machine with a USB stick that has a file system with data on it."""
    lab("reset", request.param)
    found = VirtualMachine(request.param)
    found.ok(f"modprobe dummy_hcd && {FILL} && {MARK}")
    plug_stick(found, STICK, SERIAL)
    found.ok(THERE)
    yield found
    lab("down")


@pytest.fixture(autouse=True)
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A book with one stick."""
    url = f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    migrate.upgrade(url)
    monkeypatch.setenv("KIJUN_LEDGER_URL", url)
    stick = {
        "id": "USB-1",
        "action": "register",
        "kind": "usb_flash",
        "vendor_id": "0951",
        "product_id": "1666",
        "serial": SERIAL,
        "owner": "operations",
        "purpose": "logs",
        "place": "cabinet 2",
        "valid_until": VALID,
        "requester": "operator1",
        "approver": "manager1",
        "ticket": "MED-1",
    }
    done = on_controller("media_entries", media_entries=[stick])
    assert done.returncode == 0, done.stdout


def left(machine: VirtualMachine) -> tuple[int, int]:
    """How many bytes the stick has, and how many of them are not zero."""
    machine.ok("sync; blockdev --flushbufs /dev/sda")
    size, other = machine.python(LEFT).split()
    return int(size), int(other)


@pytest.fixture
def erase(machine: VirtualMachine, tmp_path: Path) -> Any:
    def run(*arguments: str, **settings: Any) -> subprocess.CompletedProcess[str]:
        given = {
            "media_erase_host": machine.name,
            "media_erase_id": "USB-1",
            "media_erase_serial": SERIAL,
            "media_directory": str(tmp_path / "media"),
            "kijun_ledger_syslog": False,
            "kijun_actor": "operator1",
        }
        return machine.playbook("media_erase", "-e", json.dumps({**given, **settings}), *arguments)

    return run


@pytest.mark.control("MED-04")
def test_a_medium_is_erased_to_the_last_byte(machine: VirtualMachine, erase: Any, tmp_path: Path) -> None:
    size, before = left(machine)
    assert size == SIZE
    assert before > 25
    for settings, words in (
        ({"media_erase_id": "USB-2"}, "the book of media has no such medium"),
        ({"media_erase_serial": "0375122100009135"}, "is not that of medium USB-1; nothing was erased"),
        ({"media_erase_method": "shoot"}, "media_erase_method"),
        ({"media_erase_method": "crypto_erase"}, "/dev/sda: is not encrypted by LUKS"),
    ):
        refused = erase(**settings)
        assert refused.returncode != 0, settings
        assert words in " ".join(refused.stdout.split()), refused.stdout
    machine.ok("mount /dev/sda /mnt")
    try:
        refused = erase()
    finally:
        machine.ok("umount /mnt")
    assert "/dev/sda: is in use: mounted on /mnt; nothing was erased" in " ".join(refused.stdout.split())
    would = erase("--check")
    assert would.returncode == 0, would.stdout
    assert left(machine)[1] >= before

    done = erase()
    assert done.returncode == 0, done.stdout
    assert left(machine) == (SIZE, 0)
    [record] = (tmp_path / "media" / "erasures").iterdir()
    about = json.loads(record.read_text(encoding="utf-8"))
    assert about["bytes"] == about["read_back"] == SIZE
    assert (about["host"], about["erased_by"], about["serial"]) == (machine.name, "operator1", SERIAL)
    assert record.stat().st_mode & 0o777 == 0o600
    shown = machine.ok("journalctl --no-pager -t kijun-media-erase")
    assert "pass 2/2" in shown
    report = on_controller("media_report", media_directory=str(tmp_path / "media"), media_language="en")
    assert report.returncode == 0, report.stdout
    assert about["record"] in (tmp_path / "media" / "media.csv").read_text(encoding="utf-8-sig")


@pytest.mark.control("MED-04")
def test_an_encrypted_medium_loses_its_keys(machine: VirtualMachine, erase: Any) -> None:
    secret = "echo -n secret"
    quick = "--pbkdf pbkdf2 --pbkdf-force-iterations 1000"
    machine.ok(f"{secret} | cryptsetup luksFormat -q --type luks2 {quick} /dev/sda -")
    machine.ok(f"{secret} | cryptsetup open --key-file - /dev/sda data && mkfs.ext4 -q /dev/mapper/data")
    refused = erase(media_erase_method="crypto_erase")
    assert "/dev/sda: is in use: it is part of /dev/mapper/data" in " ".join(refused.stdout.split())
    machine.ok("cryptsetup close data")
    done = erase(media_erase_method="crypto_erase")
    assert done.returncode == 0, done.stdout
    assert machine.run(f"{secret} | cryptsetup open --test-passphrase --key-file - /dev/sda").rc != 0
    assert machine.python(f"print(open({STICK!r}, 'rb').read(32 << 20).count(0))").strip() == str(32 << 20)
