# SPDX-License-Identifier: GPL-3.0-or-later
"""From what a kernel records on a virtual machine to a finding on a log server. Run by hand: it is emulated.

``KIJUN_LAB=31 pytest tests/behaviour/test_log_review_vm.py --lab-hosts=vm13``
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import kijun_logs
import pytest
from kijun_hosts import make_person
from kijun_logs import wait_for
from kijun_vm import VirtualMachine, lab

SERVER, AUTHORITY = "server13", "time1"
INVENTORY = (*kijun_logs.INVENTORY, "-i", "inventories/vm", "-i", "molecule/logging/inventory_vm")

BY_A_PERSON = "for n in 1 2 3 4 5 6; do cat /etc/shadow; done; chmod 0600 ~/own; true"
BY_AN_ADMINISTRATOR = """
touch /etc/sudoers.d/extra && rm /etc/sudoers.d/extra
date -s "$(date)"
modprobe dummy && rmmod dummy
truncate -s 8M /root/medium && mkfs.ext4 -q /root/medium
mount -o loop /root/medium /mnt && umount /mnt
echo '# more' >>/etc/audit/rules.d/kijun.rules
auditctl -e 0 && auditctl -e 1
"""
FINDINGS = {
    "beyond-rights",
    "permissions-changed",
    "rights-changed",
    "clock-or-kernel-changed",
    "medium-used",
    "audit-changed",
}


@pytest.fixture(scope="session")
def machine(request: pytest.FixtureRequest) -> Iterator[VirtualMachine]:
    """A virtual machine that records what is done, and sends it to a log server, as playbooks/logging.yml has both."""
    lab("up", SERVER, AUTHORITY)
    lab("reset", request.param)
    found = VirtualMachine(request.param)
    found.inventory = INVENTORY
    limit = f"{SERVER},{AUTHORITY},{found.name},localhost"
    servers = json.dumps({"log_forwarding_servers": [SERVER]})
    done = found.playbook("logging", "--limit", limit, "-e", servers, timeout=2400)
    assert done.returncode == 0, done.stdout + done.stderr
    yield found
    lab("down")


@pytest.fixture(scope="session")
def done(machine: VirtualMachine) -> VirtualMachine:
    """After a person and an administrator did what is recorded."""
    make_person(machine, "worker")
    machine.ok("install -o worker -m 644 /dev/null ~worker/own")
    assert machine.logs_in_by_key("worker", f"({BY_A_PERSON}) >/dev/null 2>&1; echo welcome")
    machine.ok(BY_AN_ADMINISTRATOR)
    return machine


def findings(sender: str) -> dict[str, list[dict[str, Any]]]:
    """Rule -> its findings about a sender, one for each group and hour."""
    printed = json.loads(kijun_logs.machine(SERVER).ok("kijun-logs findings"))
    found: dict[str, list[dict[str, Any]]] = {}
    for finding in printed["findings"]:
        if finding["group"].get("sender") == sender:
            found.setdefault(finding["rule"], []).append(finding)
    return found


@pytest.mark.control("LOGR-04", "LOGR-05", "AUD-10")
def test_what_the_kernel_saw_is_found_on_the_log_server(done: VirtualMachine) -> None:
    wait_for(lambda: findings(done.name).keys() >= FINDINGS, 120)
    found = findings(done.name)
    assert sorted(FINDINGS - found.keys()) == []
    uid = done.ok("id -u worker").strip()
    of_worker = [finding for finding in found["beyond-rights"] if finding["group"]["auid"] == uid]
    assert sum(finding["count"] for finding in of_worker) >= 5
    lines = [json.loads(line.split(" ", 2)[2])["msg"] for finding in of_worker for line in finding["lines"]]
    assert any('comm="cat"' in line for line in lines)


@pytest.mark.control("AUD-10")
def test_a_person_is_found_by_the_search(done: VirtualMachine) -> None:
    server = kijun_logs.machine(SERVER)
    lines = server.ok("kijun-logs search --raw --user worker --kind audit").splitlines()
    assert any('key="kijun-denied"' in line.replace('\\"', '"') for line in lines)
