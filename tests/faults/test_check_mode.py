# SPDX-License-Identifier: GPL-3.0-or-later
"""`site.yml --check` says exactly what a run changes, and changes nothing itself."""

from __future__ import annotations

import pytest
from kijun_hosts import Machine, make_person

from .conftest import on_each
from .runs import Run, differences, on_disk, playbook, states_of_units

PAM = "/etc/pam.d/common-auth"
UNITS = "/etc/systemd/system"
TIMER = "kijun-faillock-keep.timer"

QUIETLY = "DEBIAN_FRONTEND=noninteractive apt-get -qq"

DRIFTS = {
    "settings": {
        "PAM": f"sed -i 's/pam_unix.so/pam_unix.so nullok/' {PAM} && rm /usr/share/pam-configs/kijun-pwhistory",
        "login.defs": "sed -i 's/^PASS_MAX_DAYS.*/PASS_MAX_DAYS 99999/; /^ENCRYPT_METHOD/d' /etc/login.defs",
        "modes and owners": "chmod 666 /etc/security/faillock.conf && chown nobody /etc/security/opasswd",
        "chrony.conf": "echo 'server 198.51.100.7' >> /etc/chrony/chrony.conf && systemctl restart chrony",
        "timer": f"systemctl disable --now {TIMER}",
        "account": "chage -M 99999 -m 5 worker",
    },
    "packages and services": {
        "package": f"{QUIETLY} remove libpam-pwquality >/dev/null",
        "service": "systemctl mask --now chrony",
        "timer's file": f"echo '# mine' >> {UNITS}/{TIMER}; systemctl daemon-reload; systemctl restart {TIMER}",
        "mount": "systemctl stop run-faillock.mount",
        "directory": "rm -r /usr/local/lib/kijun",
    },
    "removed": {
        "time service": f"{QUIETLY} purge chrony >/dev/null",
        "dictionary": f"{QUIETLY} purge cracklib-runtime >/dev/null",
        "units' files": f"rm {UNITS}/{TIMER} {UNITS}/run-faillock.mount",
    },
    "switched off": {
        "time service": f"systemctl disable chrony && {QUIETLY} remove chrony >/dev/null",
        "timer's file, noticed": f"rm {UNITS}/{TIMER}; systemctl daemon-reload",
        "ages": "sed -i -E 's/^(worker:[^:]*:)[0-9]+:/\\1:/' /etc/shadow",
    },
    "replaced": {"time service": f"{QUIETLY} install systemd-timesyncd >/dev/null"},
}
"""What somebody did by hand -> how, in groups of what shows apart from one another in a run's results."""


def predicted_and_done(machines: list[Machine]) -> tuple[Run, Run]:
    """Check, see that this changed nothing, and run."""
    before = {machine.name: (on_disk(machine), states_of_units(machine)) for machine in machines}
    predicted = playbook("site", machines, "--check")
    for machine in machines:
        disk, units = before[machine.name]
        assert differences(disk, on_disk(machine)) == {}, f"{machine.name}: --check changed it"
        assert units == states_of_units(machine)
    return predicted, playbook("site", machines)


def assert_exact(machines: list[Machine]) -> None:
    """Check and run alike."""
    predicted, done = predicted_and_done(machines)
    for machine in machines:
        assert predicted.finished(machine.name), predicted.text
        assert done.finished(machine.name), done.text
        changes = done.changes(machine.name)
        assert changes, f"{machine.name}: there was nothing to predict"
        assert predicted.changes(machine.name) == changes, machine.name


def test_check_predicts_a_fresh_host(fresh: list[Machine]) -> None:
    on_each(fresh, lambda machine: make_person(machine, "worker"))
    assert_exact(fresh)
    again = playbook("site", fresh)
    assert [again.changes(machine.name) for machine in fresh] == [{}] * len(fresh)


@pytest.mark.parametrize("drift", DRIFTS)
def test_check_predicts_a_drifted_host(hardened: list[Machine], drift: str) -> None:
    on_each(hardened, lambda machine: make_person(machine, "worker"))
    on_each(hardened, lambda machine: [machine.ok(command) for command in DRIFTS[drift].values()])
    assert_exact(hardened)
