# SPDX-License-Identifier: GPL-3.0-or-later
"""Encrypted media: who may say a passphrase, what becomes of it, and what the audit reads about them."""

from __future__ import annotations

import io
import json
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.kijun.baseline.plugins.module_utils.facts import usb
from ansible_collections.kijun.baseline.plugins.module_utils.facts.host import Host
from ansible_collections.kijun.baseline.plugins.module_utils.removable_media import luks, unlock, use
from ansible_collections.kijun.baseline.plugins.module_utils.verdict import Unreadable

HostWith = Callable[[dict[str, str]], Host]

CRYPTSETUP = """#!/bin/sh
echo "$@" >>{log}
case $1 in
open) [ "$(cat)" = right ] || exit 2 ;;
status) echo "  cipher:  {cipher}" ;;
esac
"""
STICK = {"vendor_id": "0951", "product_id": "1666", "person": "operator1", "until": "2026-12-01"}


def program(folder: Path, monkeypatch: pytest.MonkeyPatch, cipher: str = "aes-xts-plain64") -> Path:
    """A cryptsetup that knows one passphrase; the file that has what it was called with."""
    log = folder / "called"
    said = folder / "cryptsetup"
    said.write_text(CRYPTSETUP.format(log=log, cipher=cipher), encoding="utf-8")
    said.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return log


def test_a_passphrase_is_among_no_words_of_a_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = program(tmp_path, monkeypatch)
    with pytest.raises(luks.WrongPassphrase):
        luks.opened("/dev/sda1", "kijun-media-sda1", b"wrong")
    assert luks.opened("/dev/sda1", "kijun-media-sda1", b"right") == "/dev/mapper/kijun-media-sda1"
    said = log.read_text(encoding="utf-8")
    assert "open --type luks --key-file - /dev/sda1 kijun-media-sda1" in said
    assert "right" not in said


@pytest.mark.parametrize("cipher", ["cipher_null-ecb", ""])
def test_a_volume_without_a_cipher_is_not_encrypted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cipher: str
) -> None:
    program(tmp_path, monkeypatch, cipher)
    with pytest.raises(luks.NotOpened, match="says that it is encrypted, and is not"):
        luks.opened("/dev/sda1", "kijun-media-sda1", b"right")


def test_a_passphrase_is_handed_over_and_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(tmp_path / "unlock")
    typed = [b"wrong\n", b"r\xc3\xa9ght\n"]
    got = list[tuple[int, bytes]]()
    with luks.Window("USB-1", os.getuid(), folder) as window:
        assert stat.S_IMODE(os.stat(window.path).st_mode) == 0o600  # noqa: PTH116
        assert window.asked() is None

        def serve() -> None:
            for answer in ({"refused": "wrong passphrase"}, {"place": "/media/kijun/USB-1"}):
                asked = None
                while asked is None:
                    asked = window.asked()
                got.append((asked.uid, asked.passphrase))
                use._answer(asked.connection, **answer)

        thread = threading.Thread(target=serve)
        thread.start()
        codes = []
        for text in typed:
            given = SimpleNamespace(isatty=lambda: False, buffer=io.BytesIO(text))
            monkeypatch.setattr("sys.stdin", given)
            codes.append(unlock.main(["USB-1"] if not codes else [], folder))
        thread.join(30)
        assert codes == [1, 0]
    assert got == [(os.getuid(), b"wrong"), (os.getuid(), b"r\xc3\xa9ght")]
    said = capsys.readouterr()
    assert "USB-1 can be used: /media/kijun/USB-1" in said.out
    assert "USB-1 is refused: wrong passphrase" in said.err
    assert unlock.waiting(folder) == []


def test_what_is_no_question_is_answered_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(tmp_path)
    assert unlock.main([], folder) == 2
    assert "no medium waits for a passphrase of yours" in capsys.readouterr().err
    with luks.Window("USB-1", os.getuid(), folder), luks.Window("USB-2", os.getuid(), folder):
        assert unlock.main([], folder) == 2
        assert "one of these, please: USB-1, USB-2" in capsys.readouterr().err
        assert unlock.main(["../USB-1"], folder) == 2
        assert unlock.main(["--help"], folder) == 2
        monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: False, buffer=io.BytesIO(b"\n")))
        assert unlock.main(["USB-1"], folder) == 2


def test_who_is_logged_in_is_told_from_what_runs_for_them(tmp_path: Path) -> None:
    folder = str(tmp_path)
    assert not luks.has_session(1000, folder)
    (tmp_path / "1").write_text("UID=1000\nCLASS=manager\nSTATE=active\n", encoding="utf-8")
    (tmp_path / "2").write_text("UID=1000\nCLASS=user\nSTATE=closing\n", encoding="utf-8")
    (tmp_path / "3").write_text("UID=1001\nCLASS=user\nSTATE=active\n", encoding="utf-8")
    os.mkfifo(tmp_path / "3.ref")
    assert not luks.has_session(1000, folder)
    assert luks.has_session(1001, folder)


def settings(**about: Any) -> str:
    media = [{"name": "USB-1", "serial": "SN1", "confidential": True, "encryption": "luks", **STICK, **about}]
    return json.dumps({"media": media, "interfaces": [], "one_keyboard": True, "encryption": "confidential"})


def test_the_audit_reads_what_was_refused_and_what_is_mounted_in_the_clear(host_with: HostWith, tmp_path: Path) -> None:
    use.note_plaintext("USB-1", {"medium": "USB-1", "day": "2026-11-29"}, str(tmp_path / usb.PLAINTEXT[1:]))
    host = host_with({usb.SETTINGS: settings(), f"{usb.PLAINTEXT}/odd": "no note"})
    assert usb.usb(host, [])["plaintext"] == ["USB-1, refused on 2026-11-29"]
    use.note_plaintext("USB-1", None, str(tmp_path / usb.PLAINTEXT[1:]))
    assert usb.usb(host, [])["plaintext"] == []
    device = tmp_path / "sys/devices/usb1/1-1"
    (device / "host0/block/sda").mkdir(parents=True)
    for name, text in (("idVendor", "0951"), ("idProduct", "1666"), ("serial", "SN1")):
        (device / name).write_text(text + "\n", encoding="utf-8")
    (tmp_path / "sys/class/block").mkdir(parents=True)
    (tmp_path / "sys/class/block/sda").symlink_to(device / "host0/block/sda")
    host = host_with({"/proc/self/mounts": "/dev/sda /media/kijun/USB-1 vfat rw 0 0\n", "/dev/sda": ""})
    assert usb.usb(host, [])["plaintext"] == ["USB-1, mounted at /media/kijun/USB-1"]
    host = host_with({usb.SETTINGS: settings(encryption="device")})
    assert usb.usb(host, [])["plaintext"] == []
    host = host_with({usb.SETTINGS: ""})
    assert isinstance(usb.usb(host, [])["plaintext"], Unreadable)


def test_the_audit_reads_volumes_that_are_open_and_should_not_be(host_with: HostWith, tmp_path: Path) -> None:
    def opened(device: str, name: str, below: str, *, there: bool = True) -> None:
        base = tmp_path / "sys/class/block" / device
        (base / "dm").mkdir(parents=True)
        (base / "slaves").mkdir()
        (base / "dm/uuid").write_text("CRYPT-LUKS2-1-x\n", encoding="utf-8")
        (base / "dm/name").write_text(name + "\n", encoding="utf-8")
        disk = tmp_path / "sys/devices/usb1" / below
        if there:
            disk.mkdir(parents=True)
            (tmp_path / "sys/class/block" / below).symlink_to(disk)
        (base / "slaves" / below).symlink_to(disk)

    opened("dm-0", "kijun-media-sda", "sda")
    opened("dm-1", "kijun-media-sdb", "sdb", there=False)
    opened("dm-2", "by-hand", "sdc")
    host = host_with({usb.SETTINGS: settings()})
    assert usb.usb(host, [])["left_open"] == ["kijun-media-sdb", "by-hand"]
    (tmp_path / "dev/mapper").mkdir(parents=True)
    (tmp_path / "dev/dm-2").touch()
    (tmp_path / "dev/mapper/by-hand").symlink_to("../dm-2")
    host = host_with({"/proc/self/mounts": "/dev/mapper/by-hand /mnt vfat rw 0 0\n"})
    assert usb.usb(host, [])["unscanned"] == ["/mnt"]
