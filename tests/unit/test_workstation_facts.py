# SPDX-License-Identifier: GPL-3.0-or-later
"""Disks, firmware, desktops and rules of programs as the audit reads them, on trees of files."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.kijun.baseline.plugins.module_utils.facts.disks import disks, firmware
from ansible_collections.kijun.baseline.plugins.module_utils.facts.host import Host
from ansible_collections.kijun.baseline.plugins.module_utils.facts.workstation import desktop, programs, screens
from ansible_collections.kijun.baseline.plugins.module_utils.verdict import Unreadable

HostWith = Callable[[dict[str, str]], Host]
SECURE_BOOT = "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
TABLE = "/sys/firmware/dmi/entries/24-0/raw"


def mount(device: str, point: str, kind: str = "ext4") -> str:
    return f"36 25 254:0 / {point} rw,relatime shared:1 - {kind} {device} rw\n"


def block(name: str, number: str, **found: str) -> dict[str, str]:
    """A block device with what udev found out about it."""
    files = {f"/sys/class/block/{name}/dev": number + "\n", f"/dev/{name}": ""}
    files[f"/run/udev/data/b{number}"] = "".join(f"E:{key}={value}\n" for key, value in found.items())
    return files


def laptop(**more: str) -> dict[str, str]:
    """A disk with an EFI partition, /boot, and LUKS with LVM above it: root and swap."""
    efi = {"ID_FS_USAGE": "filesystem", "ID_FS_TYPE": "vfat"}
    return {
        **block("sda1", "8:1", ID_PART_ENTRY_TYPE="c12a7328-f81f-11d2-ba4b-00a0c93ec93b", **efi),
        **block("sda2", "8:2", ID_FS_USAGE="filesystem", ID_FS_TYPE="ext4"),
        **block("sda3", "8:3", ID_FS_USAGE="crypto", ID_FS_TYPE="crypto_LUKS"),
        **block("dm-0", "254:0", ID_FS_USAGE="raid", ID_FS_TYPE="LVM2_member"),
        **block("dm-1", "254:1", ID_FS_USAGE="filesystem", ID_FS_TYPE="ext4"),
        **block("dm-2", "254:2", ID_FS_USAGE="other", ID_FS_TYPE="swap"),
        "/sys/class/block/dm-0/dm/uuid": "CRYPT-LUKS2-0123-luks\n",
        "/sys/class/block/dm-0/slaves/sda3": "",
        "/sys/class/block/dm-1/dm/uuid": "LVM-abc\n",
        "/sys/class/block/dm-1/slaves/dm-0": "",
        "/sys/class/block/dm-2/dm/uuid": "LVM-def\n",
        "/sys/class/block/dm-2/slaves/dm-0": "",
        "/proc/self/mountinfo": mount("/dev/dm-1", "/") + mount("/dev/sda2", "/boot") + mount("tmpfs", "/run", "tmpfs"),
        "/proc/swaps": "Filename Type Size Used Priority\n/dev/dm-2 partition 1 0 -2\n",
        **more,
    }


def test_what_stands_on_encryption_alone_is_encrypted(host_with: HostWith) -> None:
    seen = disks(host_with(laptop()), set())
    assert seen["encrypted"] == ["dm-1 ext4 /", "dm-2 swap swap"]
    assert seen["unencrypted"] == []


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"/sys/class/block/dm-0/dm/uuid": "LVM-none\n"}, ["dm-1 ext4 /", "dm-2 swap swap"]),
        # One half of a volume group is not encrypted.
        ({"/sys/class/block/dm-1/slaves/sdb1": ""}, ["dm-1 ext4 /"]),
        # Nobody mounts it; it holds data all the same.
        (block("sdb1", "8:17", ID_FS_USAGE="filesystem", ID_FS_TYPE="ntfs"), ["sdb1 ntfs"]),
        (block("sdb2", "8:18", ID_FS_USAGE="other", ID_FS_TYPE="swap"), ["sdb2 swap"]),
        # What lies on /boot's partition is more than what starts the machine.
        (
            {
                "/proc/self/mountinfo": mount("/dev/dm-1", "/")
                + mount("/dev/sda2", "/boot")
                + mount("/dev/sda2", "/srv")
            },
            ["sda2 ext4 /boot /srv"],
        ),
    ],
)
def test_every_other_volume_is_named(host_with: HostWith, change: dict[str, str], named: list[str]) -> None:
    assert disks(host_with(laptop(**change)), set())["unencrypted"] == named


def test_what_is_in_memory_and_what_is_closed_is_no_finding(host_with: HostWith) -> None:
    more = {
        **block("zram0", "252:0", ID_FS_USAGE="other", ID_FS_TYPE="swap"),
        **block("sdb1", "8:17", ID_FS_USAGE="crypto", ID_FS_TYPE="BitLocker"),
        **block("loop0", "7:0", ID_FS_USAGE="filesystem", ID_FS_TYPE="squashfs"),
    }
    assert disks(host_with(laptop(**more)), set())["unencrypted"] == []


def test_a_medium_counts_apart_unless_the_system_lies_on_it(host_with: HostWith) -> None:
    stick = {
        **block("sdb", "8:16", ID_FS_USAGE="filesystem", ID_FS_TYPE="vfat"),
        "/sys/class/block/sdb/removable": "1\n",
    }
    seen = disks(host_with(laptop(**stick)), set())
    assert (seen["carried"], seen["unencrypted"]) == (["sdb vfat"], [])
    held = laptop(**stick)
    held["/proc/self/mountinfo"] += mount("/dev/sdb", "/home", "vfat")
    assert disks(host_with(held), set())["unencrypted"] == ["sdb vfat /home"]


def test_a_loop_is_what_its_file_lies_on(host_with: HostWith) -> None:
    loop = {
        **block("loop1", "7:1", ID_FS_USAGE="filesystem", ID_FS_TYPE="ext4"),
        "/sys/class/block/loop1/loop/backing_file": "/var/disk\n",
    }
    assert "loop1 ext4" in disks(host_with(laptop(**loop)), set())["encrypted"]
    loop["/sys/class/block/loop1/loop/backing_file"] = "/boot/disk\n"
    assert disks(host_with(laptop(**loop)), set())["unencrypted"] == ["loop1 ext4"]


def test_without_udev_nothing_is_known_and_nothing_passes(host_with: HostWith) -> None:
    seen = disks(host_with({"/proc/self/mountinfo": mount("/dev/sda1", "/")}), set())
    assert all(isinstance(value, Unreadable) for value in seen.values())


@pytest.mark.parametrize(("byte", "said"), [(0x00, "not set"), (0x40, "set"), (0x80, "unknown"), (0xC0, "unknown")])
def test_the_firmwares_password_by_smbios(host_with: HostWith, byte: int, said: str) -> None:
    host = host_with({TABLE: ""})
    Path(host.path(TABLE)).write_bytes(bytes([24, 5, 0, 0, byte]))
    assert firmware(host, set())["start_password"] == said


@pytest.mark.parametrize(
    ("role", "enabled", "said"),
    [("power-on", "1", "set"), ("power-on", "0", "not set"), ("bios-admin", "1", "not set")],
)
def test_the_vendors_driver_knows_better(host_with: HostWith, role: str, enabled: str, said: str) -> None:
    folder = "/sys/class/firmware-attributes/thinklmi/authentication/Password"
    host = host_with({TABLE: "", f"{folder}/role": role + "\n", f"{folder}/is_enabled": enabled + "\n"})
    Path(host.path(TABLE)).write_bytes(bytes([24, 5, 0, 0, 0x40]))
    assert firmware(host, set())["start_password"] == said


def test_secure_boot_and_the_chip(host_with: HostWith) -> None:
    assert firmware(host_with({}), set()) == {"secure_boot": None, "security_chip": None, "start_password": "unknown"}
    host = host_with({SECURE_BOOT: "", "/sys/class/tpm/tpm0/tpm_version_major": "2\n"})
    for byte, said in ((1, True), (0, False)):
        Path(host.path(SECURE_BOOT)).write_bytes(bytes([6, 0, 0, 0, byte]))
        assert firmware(host, set()) == {"secure_boot": said, "security_chip": "TPM 2", "start_password": "unknown"}


@pytest.mark.parametrize(
    ("path", "text", "count"),
    [
        ("/etc/gdm3/daemon.conf", "[daemon]\n#AutomaticLoginEnable = true\nAutomaticLoginEnable=false\n", 0),
        ("/etc/gdm3/daemon.conf", "[daemon]\nAutomaticLoginEnable = True\n", 1),
        ("/etc/lightdm/lightdm.conf.d/a.conf", "[Seat:*]\nautologin-user=ann\nallow-guest=true\n", 2),
        ("/etc/sddm.conf.d/a.conf", "[Autologin]\nUser=ann\n[General]\nUser=bob\n", 1),
        (
            "/etc/systemd/system/getty@tty1.service.d/a.conf",
            "[Service]\nExecStart=\nExecStart=-/sbin/agetty --autologin ann %I\n",
            1,
        ),
    ],
)
def test_logins_of_nobody_are_found(host_with: HostWith, path: str, text: str, count: int) -> None:
    assert len(desktop(host_with({path: text}), set())["automatic_logins"]) == count


def test_who_reads_other_settings_is_named(host_with: HostWith) -> None:
    host = host_with({"/run/user/4001/x": "", "/run/user/4002/x": "", "/run/user/0/x": "", "/run/dconf/user/x": ""})
    Path(host.path("/run/dconf/user/4001")).symlink_to("/etc/dconf/profile/user")
    Path(host.path("/run/dconf/user/4002")).symlink_to("/home/ann/own")
    assert desktop(host, set())["astray"] == ["4002"]


def test_what_was_seen_of_screens_has_an_age(host_with: HostWith) -> None:
    never: dict[str, Any] = screens(host_with({}), set())
    assert (never["age_seconds"], never["lock_seconds"]) == (None, None)
    seen = {"at": time.time() - 70, "sessions": [], "unlocked": ["ann (4): held open by film"], "not_seen": []}
    told = screens(host_with({"/run/kijun/screens.json": json.dumps(seen)}), set())
    assert 69 <= told["age_seconds"] <= 75
    assert told["unlocked"] == seen["unlocked"]


def test_rules_of_programs_places_and_what_is_not_watched(host_with: HostWith) -> None:
    host = host_with(
        {
            "/etc/fapolicyd/compiled.rules": "# made\n\nallow perm=any all : dir=/usr/,/opt/x/\n",
            "/etc/fapolicyd/fapolicyd.conf": "# made\npermissive = 0\nwatch_fs = ext4,tmpfs\n",
            "/proc/self/mountinfo": mount("/dev/sda1", "/usr") + mount("/dev/sdb1", "/opt", "vfat"),
            "/usr/x": "",
            "/opt/x/y": "",
        }
    )
    Path(host.path("/usr")).chmod(0o755)
    Path(host.path("/opt/x")).chmod(0o777)
    seen = programs(host, set())
    assert seen["rules"] == ["allow perm=any all : dir=/usr/,/opt/x/"]
    assert seen["permissive"] == "0"
    assert seen["unwatched"] == ["/opt: vfat"]
    assert seen["stale"] == ["fapolicyd does not run"]
    assert [line.split(": ")[0] for line in seen["changeable"]] == ["/opt/x/"]
    own = os.getpid()
    Path(host.path("/proc")).joinpath(str(own)).mkdir()
    Path(host.path("/run")).mkdir(exist_ok=True)
    Path(host.path("/run/fapolicyd.pid")).write_text(f"{own}\n", encoding="ascii")
    assert programs(host, set())["stale"] == []
    decided = "/etc/kijun/workstation/programs.rules"
    Path(host.path(decided)).parent.mkdir(parents=True)
    Path(host.path(decided)).write_text("", encoding="ascii")
    os.utime(host.path(decided), (time.time() + 60, time.time() + 60))
    assert programs(host, set())["stale"] == [decided]
