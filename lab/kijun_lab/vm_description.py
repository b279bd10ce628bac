# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's virtual machines: lab/vm/vm.yml read and checked, and the addresses that follow from it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml

from .description import LAB_FOLDER
from .errors import LabError

VM_FOLDER = LAB_FOLDER / "vm"
VM_FILE = VM_FOLDER / "vm.yml"


@dataclass(frozen=True)
class VirtualMachine:
    """A virtual machine of one instance of the lab.

    Attributes:
        name: its host name, for example ``vm13``.
        address: the loopback address on which its sshd answers.
        pattern: what its lines of known_hosts begin with: its address in every instance, and the port.
        suite: the code name of its Debian release.
        groups: the inventory groups it is in, beside ``lab`` and ``vms``.
    """

    name: str
    address: str
    pattern: str
    suite: str
    groups: tuple[str, ...]


@dataclass(frozen=True)
class Machines:
    """The virtual machines of one instance.

    Attributes:
        instance: 0 to 199.
        port: where their sshd answers.
        memory: MiB of each.
        disk: GiB of each.
        packages: installed in each, beside those of the lab's containers.
        machines: by name, in the order of vm.yml.
    """

    instance: int
    port: int
    memory: int
    disk: int
    packages: tuple[str, ...]
    machines: dict[str, VirtualMachine]


def read(instance: int, path: Path = VM_FILE) -> Machines:
    """Read the description for one instance.

    Args:
        instance: 0 to 199.
        path: the YAML file, of the form of lab/vm/vm.yml.

    Returns:
        The virtual machines.

    Raises:
        LabError: two machines share an address.
    """
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    prefix, port = data["network_prefix"], data["port"]
    machines: dict[str, VirtualMachine] = {}
    octets: set[int] = set()
    for name, machine in data["machines"].items():
        octet = machine["octet"]
        if not 1 <= octet <= 254 or octet in octets:
            raise LabError(f"{path}: machine {name}: octet {octet} is taken or not within 1 to 254")
        octets.add(octet)
        machines[name] = VirtualMachine(
            name=name,
            address=f"{prefix}.{instance}.{octet}",
            pattern=f"[{prefix}.*.{octet}]:{port}",
            suite=machine["suite"],
            groups=tuple(machine["groups"]),
        )
    return Machines(instance, port, data["memory"], data["disk"], tuple(data["packages"]), machines)
