# SPDX-License-Identifier: GPL-3.0-or-later
"""What a kernel of the host's own is set to, attacked on a virtual machine. Few and fat: it is emulated."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from kijun_hosts import Machine
from kijun_vm import VirtualMachine, lab

Verdicts = Callable[..., dict[str, str]]
Achieved = dict[str, bool]

SALT = bytes(range(64))
HASH = f"grub.pbkdf2.sha512.10000.{SALT.hex().upper()}." + (
    hashlib.pbkdf2_hmac("sha512", b"a password for tests", SALT, 10000).hex().upper()
)
SETTINGS = ("-e", json.dumps({"kernel_bootloader_password_hash": HASH}))

NOTHING = "nothing changed"

CONTROL_OF = {
    "reads_addresses": "KERN-01",
    "foresees_addresses": "KERN-01",
    "reads_the_log": "KERN-01",
    "looks_into_a_neighbour": "KERN-02",
    "brings_a_program_into_the_kernel": "KERN-03",
    "misleads_root_by_a_link": "KERN-04",
    "misleads_root_by_a_file": "KERN-04",
    "keeps_a_foreign_file": "KERN-04",
    "leaves_its_memory_behind": "KERN-05",
    "loads_modules_by_name": "KERN-11 to KERN-13",
    "loads_a_module_by_a_socket": "KERN-12",
}
OWN = tuple(f"KERN-{number:02}" for number in (1, 2, 3, 4, 5, 11, 12, 13, 14, 15, 16))

WEAK = (
    *("kernel.randomize_va_space=0", "kernel.kptr_restrict=0", "kernel.dmesg_restrict=0"),
    *("kernel.yama.ptrace_scope=0", "fs.suid_dumpable=2", "kernel.core_pattern=core"),
    *(f"fs.protected_{kind}=0" for kind in ("symlinks", "hardlinks", "regular", "fifos")),
)
OPEN_TO_BPF = ("kernel.unprivileged_bpf_disabled=0",)  # for which there is no way back until the next start

UNDO = " && ".join(
    [
        f"sysctl -q -w {' '.join(WEAK)}",
        "sysctl -q -w kernel.sysrq=1",
        # A line of somebody else's that comes first wins.
        "echo 'install hfs /sbin/modprobe --ignore-install hfs' >/etc/modprobe.d/aaa.conf",
        "modprobe hfs",
        "sed -i '/dccp/d; /usb_storage/d' /etc/modprobe.d/kijun.conf",
        "systemctl disable -q apparmor.service",
        "chmod 0644 /boot/grub/grub.cfg",
        "sed -i '/superusers/d' /boot/grub/grub.cfg",
    ]
)


@pytest.fixture(scope="session")
def machine(request: pytest.FixtureRequest) -> VirtualMachine:
    """A fresh virtual machine."""
    lab("reset", request.param)
    return VirtualMachine(request.param)


def role(machine: Machine, *arguments: str) -> str:
    """Apply the role; return what was printed."""
    done = machine.playbook("molecule/kernel/converge.yml", *SETTINGS, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def attack(machine: Machine) -> Achieved:
    source = (Path(__file__).parent / "kernel_attacks.py").read_text(encoding="utf-8")
    machine.ok(f"cat >/var/tmp/attacks.py <<'SOURCE'\n{source}\nSOURCE\n")
    achieved: Achieved = json.loads(machine.ok("python3 /var/tmp/attacks.py"))
    assert set(achieved) == set(CONTROL_OF)
    return achieved


def judged(verdicts: Verdicts) -> dict[str, str]:
    return verdicts("--tags", ",".join(OWN), *SETTINGS)


@pytest.fixture(scope="module")
def weak(machine: Machine) -> Achieved:
    """What attacks achieve on a machine whose settings are weak."""
    machine.ok(f"sysctl -q -w {' '.join(WEAK + OPEN_TO_BPF)}")
    return attack(machine)


@pytest.fixture(scope="module")
def told(machine: Machine, weak: Achieved) -> list[str]:
    """What four runs of the role say: check, run, check, run."""
    return [role(machine, *arguments) for arguments in (["--check"], [], ["--check"], [])]


@pytest.fixture(scope="module")
def loaded_before(machine: Machine, told: list[str]) -> list[str]:
    """The modules in the kernel after the role ran, and before the machine restarts."""
    return [line.split()[0] for line in machine.ok("cat /proc/modules").splitlines()]


@pytest.fixture(scope="module")
def hardened(machine: Machine, loaded_before: list[str]) -> Achieved:
    """What attacks achieve after the role ran and the machine restarted."""
    lab("reboot", machine.name)
    return attack(machine)


@pytest.mark.parametrize("name", CONTROL_OF)
def test_the_attack_itself_works(weak: Achieved, name: str) -> None:
    assert weak[name]


def test_a_check_tells_the_truth(told: list[str]) -> None:
    said = [re.findall(r"^  vm\d+  (.*)", text, re.MULTILINE) for text in told]
    assert said[0] == said[1] != [NOTHING]
    assert said[2] == said[3] == [NOTHING]


def test_idle_modules_go_and_a_restart_is_asked_for_and_left_to_people(
    told: list[str], loaded_before: list[str]
) -> None:
    assert not {"hfs", "dccp", "usb_storage", "firewire_core"} & set(loaded_before)
    assert "sctp" in loaded_before  # which holds itself
    for text in told:
        assert "the module sctp is in use" in " ".join(text.split())


@pytest.mark.parametrize("name", CONTROL_OF)
@pytest.mark.control("KERN-01", "KERN-02", "KERN-03", "KERN-04", "KERN-05", "KERN-11", "KERN-12", "KERN-13")
def test_an_attack_on_the_kernel_fails_after_a_restart(hardened: Achieved, name: str) -> None:
    assert not hardened[name]


@pytest.mark.control("KERN-14")
def test_a_profile_confines(machine: Machine, hardened: Achieved) -> None:
    assert machine.run("cat /etc/shadow").rc == 0
    assert machine.run("aa-exec -p lsb_release -- cat /etc/shadow").rc != 0


@pytest.mark.control("KERN-15", "KERN-16")
@pytest.mark.control("KERN-01", "KERN-02", "KERN-03", "KERN-04", "KERN-05", "KERN-11", "KERN-12", "KERN-13", "KERN-14")
def test_the_audit_passes_what_holds_and_notices_what_was_undone(
    machine: Machine, verdicts: Verdicts, hardened: Achieved
) -> None:
    assert judged(verdicts) == dict.fromkeys(OWN, "pass")
    machine.ok(UNDO)
    assert judged(verdicts) == dict.fromkeys(OWN, "fail")
    machine.ok("rm /etc/modprobe.d/aaa.conf")
    # What somebody cut out of the menu comes back with the file that it is made of.
    machine.ok("touch /etc/grub.d/01_kijun_password")
    role(machine)
    assert judged(verdicts) == dict.fromkeys(OWN, "pass")
