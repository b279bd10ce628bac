# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel's audit where it is not the host's own; what it records elsewhere is in test_auditd_vm.py."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from kijun_hosts import Machine

Verdicts = Callable[..., dict[str, str]]

ALL = tuple(f"AUD-{number:02}" for number in range(1, 15))
PLAY = "molecule/auditd/converge.yml"


def test_a_containers_audit_is_the_machines(machine: Machine, verdicts: Verdicts) -> None:
    for arguments in (["--check"], []):
        done = machine.playbook(PLAY, *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "nothing changed" in done.stdout
    assert machine.run("ls /etc/audit").rc != 0
    assert verdicts("--tags", ",".join(ALL)) == dict.fromkeys(ALL, "not_applicable")


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        ('{"auditd_watched_trees": [{"path": "/srv", "kinds": ["gossip"]}]}', "(clause SM-4.8.1-1-2-4)"),
        ('{"auditd_watched_trees": [{"path": "/srv -k x", "kinds": ["read"]}]}', "a list of directories such as"),
        ('{"auditd_log_mb": 8}', "a whole number from 64 to 65536 (clause SM-4.2.4-4a)"),
        ('{"auditd_when_full": "email"}', "one of rotate, suspend, single, halt"),
        ('{"auditd_failure": 0}', "a whole number from 1 to 2"),
        ('{"auditd_lock": true}', "auditd_lock is not a variable of role auditd"),
    ],
)
def test_a_setting_outside_its_limits_stops_the_run(machine: Machine, setting: str, complaint: str) -> None:
    done = machine.playbook(PLAY, "-e", setting)
    assert done.returncode != 0
    assert complaint in " ".join((done.stdout + done.stderr).split())
    assert "changed=0" in done.stdout
