# SPDX-License-Identifier: GPL-3.0-or-later
"""The description of the lab's virtual machines, and its agreement with their inventory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from kijun_lab import description, vm, vm_description
from kijun_lab.errors import LabError

CHECKOUT = Path(__file__).resolve().parents[2]


def test_addresses_follow_from_instance_and_octet() -> None:
    machines = vm_description.read(7)
    machine = machines.machines["vm13"]
    assert (machine.address, machine.pattern) == ("127.213.7.62", "[127.213.*.62]:2222")
    assert [found.name for found in vm.instances(machines, ["server12", "vm13"])] == ["kijun-lab7-vm13"]


def test_no_virtual_machine_has_the_name_of_a_container() -> None:
    assert not set(vm_description.read(0).machines) & set(description.read(0).hosts)


def test_two_machines_share_no_address(tmp_path: Path) -> None:
    path = tmp_path / "vm.yml"
    path.write_text(
        "{network_prefix: '127.213', port: 1, memory: 1, disk: 1, packages: [], machines: "
        "{a: {octet: 5, suite: trixie, groups: []}, b: {octet: 5, suite: trixie, groups: []}}}",
        encoding="utf-8",
    )
    with pytest.raises(LabError, match="machine b: octet 5 is taken"):
        vm_description.read(0, path)


def test_the_inventory_is_the_description() -> None:
    machines = vm_description.read(5)
    environment = {**os.environ, "KIJUN_LAB": "5", "ANSIBLE_NOCOLOR": "1"}
    shown = "msg={{ inventory_hostname }}={{ ansible_host }}:{{ ansible_port }}"
    debugged = subprocess.run(
        [Path(sys.executable).with_name("ansible"), "-i", "inventories/vm", "lab", "-m", "debug", "-a", shown],
        cwd=CHECKOUT,
        env=environment,
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    listed = subprocess.run(
        [Path(sys.executable).with_name("ansible-inventory"), "-i", "inventories/vm", "--list"],
        cwd=CHECKOUT,
        env=environment,
        capture_output=True,
        check=True,
    )
    inventory = json.loads(listed.stdout)
    for name, machine in machines.machines.items():
        assert f"{name}={machine.address}:{machines.port}" in debugged
    for group in {"vms", *(group for machine in machines.machines.values() for group in machine.groups)}:
        members = {name for name, machine in machines.machines.items() if group in ("vms", *machine.groups)}
        assert set(inventory[group]["hosts"]) == members
