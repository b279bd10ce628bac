# SPDX-License-Identifier: GPL-3.0-or-later
"""Virtual machines of the lab as tests use them: like its other hosts, at another port and in another inventory."""

from __future__ import annotations

import shlex
import subprocess

import pytest
import testinfra
from kijun_hosts import ROOT, SSH_OPTIONS, Machine
from kijun_lab import cli, description, identity, vm_description

INVENTORY = "inventories/vm"
PATIENCE = ("-o", "ServerAliveInterval=60")
"""An emulated host is silent for longer than others. Of two settings ssh takes the first."""


class VirtualMachine(Machine):
    """A virtual machine of the lab.

    Args:
        name: its name in the lab.
    """

    def __init__(self, name: str) -> None:
        machines = vm_description.read(description.instance_number())
        self.name = name
        self.address = machines.machines[name].address
        self.port = machines.port
        options = [*PATIENCE, *SSH_OPTIONS, "-o", "ConnectTimeout=60"]
        self.testinfra = testinfra.get_host(
            f"ssh://admin@{self.address}:{self.port}?sudo=true",
            ssh_identity_file=str(identity.USER_KEY),
            ssh_extra_args=shlex.join(options),
        )

    def ssh(self, user: str, *options: str) -> list[str]:
        """The command line of an SSH login."""
        program, *words = super().ssh(user, "-p", str(self.port), *options)
        return [program, *PATIENCE, *words]

    inventory = ("-i", INVENTORY)

    def playbook(self, name: str, *arguments: str, timeout: int = 1800) -> subprocess.CompletedProcess[str]:
        """Run a playbook on this host, which is emulated and takes its time; arguments as of `Machine.playbook`."""
        return super().playbook(name, *arguments, timeout=timeout)


def lab(*words: str) -> str:
    """Run a command of the lab; where this machine cannot run virtual machines, skip the test, and say why."""
    done = subprocess.run(
        ["lab/lab", *words], cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode == cli.UNAVAILABLE:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


STICK = "/sys/kernel/config/usb_gadget/stick"


def plug_stick(machine: Machine, image: str, serial: str, name: str = "Stick", controller: str = "dummy_udc.0") -> None:
    """Have a USB stick at a machine that has the module dummy_hcd. Debian 12 has no g_mass_storage: it is put together.

    Args:
        machine: the machine.
        image: the file that is on it.
        serial, name: what it says of itself, whatever characters these are.
        controller: where it is plugged in.
    """
    machine.ok(
        f"modprobe libcomposite && mkdir {STICK} && cd {STICK} && echo 0x0951 >idVendor && echo 0x1666 >idProduct"
        f" && mkdir strings/0x409 && printf %s {shlex.quote(serial)} >strings/0x409/serialnumber"
        f" && printf %s {shlex.quote(name)} >strings/0x409/product && mkdir functions/mass_storage.s"
        f" && echo 1 >functions/mass_storage.s/lun.0/removable && echo {image} >functions/mass_storage.s/lun.0/file"
        f" && mkdir configs/c.1 && ln -s functions/mass_storage.s configs/c.1/ && echo {controller} >UDC"
    )


def unplug_stick(machine: Machine) -> None:
    """Pull it out; there may be none."""
    machine.run(
        f"cd {STICK} && echo >UDC; rm configs/c.1/mass_storage.s; rmdir configs/c.1 functions/* strings/0x409"
        f" && cd / && rmdir {STICK}"
    )
