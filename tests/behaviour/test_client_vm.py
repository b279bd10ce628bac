# SPDX-License-Identifier: GPL-3.0-or-later
"""A PC with a kernel and disks of its own: what is encrypted, what the firmware tells, other mount namespaces."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kijun_hosts import Machine
from kijun_vm import VirtualMachine, lab

from .test_client import install

Verdicts = Callable[..., dict[str, str]]

USER = "worker"
TAKE_OUT = {"workstation_take_out": True}
SEEN = [
    {
        "id": "SEEN-01",
        "title": {"en": "Disks beside the system's own", "ja": "システム以外のディスク"},
        "area": "client_baseline",
        "severity": "low",
        "scope": ["client"],
        "clauses": [],
        "status": "detected",
        "disruption": "none",
        "expect": [
            {"fact": "disks.unencrypted", "op": "matches", "value": " /$", "each": True},
            {"fact": "disks.encrypted", "op": "matches", "value": "^dm-[0-9]+ ext4 /srv$", "each": True},
            {"fact": "disks.encrypted", "op": "not empty"},
        ],
    }
]
"""The same facts, where the system's own disk, which this machine cannot encrypt under itself, is left out."""


@pytest.fixture(scope="session")
def machine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> VirtualMachine:
    """A fresh virtual machine, which is a PC."""
    lab("reset", request.param)
    machine = VirtualMachine(request.param)
    file: Path = tmp_path_factory.mktemp("inventory") / "clients.ini"
    file.write_text(f"[clients]\n{machine.name}\n", encoding="utf-8")
    machine.inventory = ("-i", "inventories/vm", "-i", "molecule/client/inventory", "-i", str(file))
    return machine


@pytest.fixture(scope="session")
def pc(machine: VirtualMachine) -> VirtualMachine:
    """With the role applied, and a user."""
    done = machine.playbook("molecule/client/converge.yml", "--skip-tags", "updates")
    assert done.returncode == 0, done.stdout + done.stderr
    machine.ok(f"useradd -m -s /bin/bash {USER}")
    return machine


def user(machine: Machine, command: str) -> Any:
    return machine.run(f"cd /; runuser -l {USER} -c {shlex.quote(command)}")


@pytest.mark.control("WS-04")
def test_a_user_runs_nothing_of_his_own_in_a_mount_namespace_of_his_own_either(pc: VirtualMachine) -> None:
    assert "uid=" in user(pc, "id").stdout
    assert "uid=" not in user(pc, "cp /usr/bin/id ~/prog; ~/prog").stdout
    for own in ("unshare --user --mount", "unshare --user --map-root-user --mount"):
        assert "uid=" not in user(pc, f"{own} ~/prog").stdout
        assert "uid=" not in user(pc, f"{own} sh -c 'mount -t tmpfs x /mnt; cp ~/prog /mnt/p; /mnt/p'").stdout
    # It comes back after a start, before anybody logs in.
    lab("reboot", pc.name)
    assert "uid=" not in user(pc, "~/prog").stdout
    assert pc.ok("systemctl is-active fapolicyd").strip() == "active"


@pytest.mark.control("WS-09", "WS-10", "WS-11")
def test_an_unencrypted_take_out_pc_fails_the_audit(machine: VirtualMachine, verdicts: Verdicts) -> None:
    def judged(**settings: Any) -> dict[str, str]:
        given = json.dumps({"seen_controls": SEEN, **settings})
        return verdicts("--tags", "WS-09,WS-10,WS-11,SEEN-01", "-e", given)

    install(machine, "cryptsetup-bin", "e2fsprogs")
    # A volume of LUKS, and its password nowhere.
    machine.ok(
        "truncate -s 64M /var/disk && loop=$(losetup --find --show /var/disk) && echo kijuntest >/run/key && "
        "cryptsetup luksFormat -q --pbkdf pbkdf2 --pbkdf-force-iterations 1000 $loop /run/key && "
        "cryptsetup open --key-file /run/key $loop kijuntest && mkfs.ext4 -q /dev/mapper/kijuntest && "
        "mount /dev/mapper/kijuntest /srv && udevadm settle"
    )
    seen = judged(**TAKE_OUT)
    assert seen == {"WS-09": "fail", "WS-10": "fail", "WS-11": "fail", "SEEN-01": "pass"}
    # An office's PC is not asked.
    assert set(judged(workstation_take_out=False).values()) == {"not_applicable", "pass"}
    # Whoever looked at the firmware says so, for a year.
    attested = {"workstation_firmware_attested_by": "manager1", **TAKE_OUT}
    day = machine.ok("date +%F").strip()
    assert judged(**attested, workstation_firmware_attested_on=day)["WS-10"] == "pass"
    assert judged(**attested, workstation_firmware_attested_on="2020-01-01")["WS-10"] == "fail"
    # A volume that is not encrypted is seen, mounted or not.
    machine.ok(
        "truncate -s 32M /var/plain && loop=$(losetup --find --show /var/plain) && mkfs.ext4 -q $loop && "
        "udevadm trigger --settle $loop"
    )
    assert judged(**TAKE_OUT)["SEEN-01"] == "fail"
