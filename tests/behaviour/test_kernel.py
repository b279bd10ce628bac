# SPDX-License-Identifier: GPL-3.0-or-later
"""Attacks on a host's network settings from a neighbour; what the kernel itself is set to is in test_kernel_vm.py."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from kijun_hosts import ROOT, Machine

Verdicts = Callable[..., dict[str, str]]
Achieved = dict[str, bool]

NETWORK = ("KERN-06", "KERN-07", "KERN-08", "KERN-09", "KERN-10")
ATTACK_OF = {
    "forwards": "KERN-06",
    "follows_redirects": "KERN-07",
    "takes_forged_senders": "KERN-08",
    "is_stopped_by_a_flood": "KERN-09",
    "believes_routers": "KERN-10",
}
# Forwarding first: turning it on sets the others anew.
WEAK = [
    *(f"net.ipv4.conf.{which}.forwarding=1" for which in ("all", "default")),
    *(
        f"net.ipv4.conf.{which}.{setting}"
        for which in ("all", "default")
        for setting in ("accept_redirects=1", "secure_redirects=0", "rp_filter=0")
    ),
    *(f"net.ipv6.conf.{which}.accept_ra=1" for which in ("all", "default")),
    "net.ipv4.tcp_syncookies=0",
]


def role(machine: Machine, *arguments: str) -> str:
    """Apply the role; return what was printed."""
    done = machine.playbook("molecule/kernel/converge.yml", *arguments, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def judged(verdicts: Verdicts, *controls: str) -> dict[str, str]:
    return verdicts("--tags", ",".join(controls))


def attack(machine: Machine) -> Achieved:
    source = (Path(__file__).parent / "network_attacks.py").read_text(encoding="utf-8")
    machine.ok(f"cat >/root/network_attacks.py <<'SOURCE'\n{source}\nSOURCE\n")
    achieved: Achieved = json.loads(machine.ok("python3 /root/network_attacks.py"))
    assert achieved.pop("takes_true_senders"), "the neighbour does not reach the host at all"
    assert set(achieved) == set(ATTACK_OF)
    return achieved


@pytest.fixture(scope="module")
def hardened(machine: Machine) -> Achieved:
    """What attacks achieve when the role was applied."""
    role(machine)
    return attack(machine)


@pytest.fixture(scope="module")
def weakened(machine: Machine, hardened: Achieved) -> Achieved:
    """What the same attacks achieve when its settings are undone."""
    machine.ok(f"sysctl -q -w {' '.join(WEAK)}")
    return attack(machine)


@pytest.mark.parametrize("name", ATTACK_OF)
@pytest.mark.control("KERN-06", "KERN-07", "KERN-08", "KERN-09", "KERN-10")
def test_an_attack_from_the_network_fails(hardened: Achieved, name: str) -> None:
    assert not hardened[name]


@pytest.mark.control("KERN-06", "KERN-07", "KERN-08", "KERN-09", "KERN-10")
def test_the_audit_passes_what_holds(verdicts: Verdicts, hardened: Achieved) -> None:
    assert judged(verdicts, *NETWORK) == dict.fromkeys(NETWORK, "pass")


@pytest.mark.parametrize("name", ATTACK_OF)
def test_the_attack_itself_works(weakened: Achieved, name: str) -> None:
    assert weakened[name]


@pytest.mark.control("KERN-06", "KERN-07", "KERN-08", "KERN-09", "KERN-10")
def test_the_audit_notices_what_was_undone_and_the_role_mends_it(
    machine: Machine, verdicts: Verdicts, weakened: Achieved
) -> None:
    assert judged(verdicts, *NETWORK) == dict.fromkeys(NETWORK, "fail")
    assert "changed 1: Bring the running kernel to it" in role(machine)
    assert judged(verdicts, *NETWORK) == dict.fromkeys(NETWORK, "pass")


@pytest.mark.control("KERN-07", "KERN-09")
def test_a_file_that_undoes_a_setting_at_the_next_start_is_noticed(
    machine: Machine, verdicts: Verdicts, hardened: Achieved
) -> None:
    # Behind every other file, by a name and by a pattern.
    machine.ok(
        "printf 'net.ipv4.tcp_syncookies = 0\\nnet/ipv4/conf/*/accept_redirects = 1\\n' >/etc/sysctl.d/zzz-mine.conf"
    )
    try:
        assert judged(verdicts, "KERN-07", "KERN-09") == {"KERN-07": "fail", "KERN-09": "fail"}
    finally:
        machine.ok("rm /etc/sysctl.d/zzz-mine.conf")
    assert judged(verdicts, "KERN-07", "KERN-09") == {"KERN-07": "pass", "KERN-09": "pass"}


def test_settings_hold_after_a_reboot(machine: Machine, verdicts: Verdicts, hardened: Achieved) -> None:
    subprocess.run(["lab/lab", "reboot", machine.name], cwd=ROOT, check=True, capture_output=True, timeout=120)
    assert machine.ok("systemctl show -p Result --value systemd-sysctl").strip() == "success"
    assert judged(verdicts, *NETWORK) == dict.fromkeys(NETWORK, "pass")
    assert "nothing changed" in role(machine)


def test_a_containers_kernel_is_the_machines(machine: Machine, verdicts: Verdicts) -> None:
    before = Path("/proc/sys/kernel/kptr_restrict").read_text(encoding="ascii")
    role(machine)
    assert Path("/proc/sys/kernel/kptr_restrict").read_text(encoding="ascii") == before
    assert machine.run("grep -r kernel /etc/sysctl.d/zz-kijun.conf | grep -v '^#'").stdout == ""
    own = ("KERN-01", "KERN-02", "KERN-05", "KERN-11", "KERN-14", "KERN-15")
    assert judged(verdicts, *own) == dict.fromkeys(own, "not_applicable")


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        ('{"kernel_sysctl": {"vm.swappiness": "1\\nx = 2"}}', "a dictionary of kernel settings"),
        ('{"kernel_ptrace_scope": 0}', "a whole number from 1 to 3 (clause SM-4.2.3-2)"),
        ('{"kernel_reverse_path_filter": 0}', "a whole number from 1 to 2 (clause SO-5.1-hardening-scope)"),
        ('{"kernel_allowed_modules": ["udf"]}', "kernel_allowed_modules is ['udf']"),
        ('{"kernel_bootloader_password_hash": "secret"}', "a hash such as grub-mkpasswd-pbkdf2 makes"),
    ],
)
def test_a_setting_outside_its_limits_stops_the_run(machine: Machine, setting: str, complaint: str) -> None:
    done = machine.playbook("molecule/kernel/converge.yml", "-e", setting, timeout=300)
    assert done.returncode != 0
    assert complaint in " ".join((done.stdout + done.stderr).split())
    assert "changed=0" in done.stdout


def test_settings_of_the_hosts_own_are_set_and_stay_until_they_are_taken_away(machine: Machine) -> None:
    own = ("-e", '{"kernel_sysctl": {"net.ipv4.tcp_fin_timeout": 31}}')
    assert "changed 2" in role(machine, "--check", *own)
    assert "changed 2" in role(machine, *own)
    assert machine.ok("sysctl -n net.ipv4.tcp_fin_timeout").strip() == "31"
    assert "nothing changed" in role(machine, "--check", *own)
    assert "nothing changed" in role(machine, *own)
    assert "changed 1" in role(machine)
