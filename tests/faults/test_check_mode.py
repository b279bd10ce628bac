# SPDX-License-Identifier: GPL-3.0-or-later
"""`site.yml --check` says exactly what a run changes, and changes nothing itself."""

from __future__ import annotations

import pytest
from kijun_hosts import Machine, make_person

from .conftest import on_each
from .runs import Run, differences, on_disk, playbook, states_of_units

PAM = "/etc/pam.d/common-auth"
TIMER = "kijun-faillock-keep.timer"

DRIFTS = {
    "PAM": f"sed -i 's/pam_unix.so/pam_unix.so nullok/' {PAM} && rm /usr/share/pam-configs/kijun-pwhistory",
    "chrony.conf": "echo 'server 198.51.100.7' >> /etc/chrony/chrony.conf && systemctl restart chrony",
    "login.defs": "sed -i 's/^PASS_MAX_DAYS.*/PASS_MAX_DAYS 99999/; /^ENCRYPT_METHOD/d' /etc/login.defs",
    "mode of a file": "chmod 666 /etc/security/faillock.conf && chown nobody /etc/security/opasswd",
    "package removed": "DEBIAN_FRONTEND=noninteractive apt-get -qq remove libpam-pwquality >/dev/null",
    "timer disabled and stopped": f"systemctl disable --now {TIMER}",
    "service stopped": "systemctl stop chrony",
    "account": "chage -M 99999 -m 5 worker",
    "service masked": "systemctl mask --now chrony",
    "time service purged": "DEBIAN_FRONTEND=noninteractive apt-get -qq purge chrony >/dev/null",
    "disabled time service removed": "systemctl disable chrony && apt-get -qq remove chrony >/dev/null",
    "another time service": "DEBIAN_FRONTEND=noninteractive apt-get -qq install systemd-timesyncd >/dev/null",
    "unit file edited": f"echo '# mine' >> /etc/systemd/system/{TIMER}; systemctl daemon-reload; systemctl restart {TIMER}",
    "unit files gone": f"rm /etc/systemd/system/{TIMER} /etc/systemd/system/run-faillock.mount",
    "unit files gone, noticed": f"rm /etc/systemd/system/{TIMER}; systemctl daemon-reload",
    "locks unmounted": "systemctl stop run-faillock.mount",
    "directory removed": "rm -r /usr/local/lib/kijun",
}
"""What somebody did by hand -> how. Each is on its own; two of them could hide behind one another."""


def predicted_and_done(machines: list[Machine]) -> tuple[Run, Run]:
    """Check, see that this changed nothing, and run."""
    before = {machine.name: (on_disk(machine), states_of_units(machine)) for machine in machines}
    predicted = playbook("site", machines, "--check")
    for machine in machines:
        disk, units = before[machine.name]
        assert differences(disk, on_disk(machine)) == {}, f"{machine.name}: --check changed it"
        assert units == states_of_units(machine)
    return predicted, playbook("site", machines)


def assert_exact(machines: list[Machine], why: str) -> None:
    """Check and run alike; what is done again changes nothing."""
    predicted, done = predicted_and_done(machines)
    again = playbook("site", machines)
    for machine in machines:
        assert predicted.finished(machine.name), predicted.text
        assert done.finished(machine.name), done.text
        changes = done.changes(machine.name)
        assert changes, f"{why}: {machine.name}: there was nothing to predict"
        assert predicted.changes(machine.name) == changes, f"{why}: {machine.name}"
        assert again.changes(machine.name) == {}, f"{why}: {machine.name}: a second run"


def test_check_predicts_a_fresh_host(fresh: list[Machine]) -> None:
    on_each(fresh, lambda machine: make_person(machine, "worker"))
    assert_exact(fresh, "fresh")


@pytest.mark.parametrize("drift", DRIFTS)
def test_check_predicts_a_drifted_host(hardened: list[Machine], drift: str) -> None:
    on_each(hardened, lambda machine: make_person(machine, "worker"))
    on_each(hardened, lambda machine: machine.ok(DRIFTS[drift]))
    assert_exact(hardened, drift)


def test_check_predicts_a_host_that_drifted_in_many_ways(hardened: list[Machine]) -> None:
    on_each(hardened, lambda machine: make_person(machine, "worker"))
    many = ("PAM", "chrony.conf", "login.defs", "mode of a file", "package removed", "timer disabled and stopped",
            "account", "service masked", "unit file edited", "directory removed")  # fmt: skip
    for drift in many:
        on_each(hardened, lambda machine, drift=drift: machine.ok(DRIFTS[drift]))
    assert_exact(hardened, "many")
