# SPDX-License-Identifier: GPL-3.0-or-later
"""Deliberate mistakes that cut access: within the guard's time each host lets us in as before, and the run says why."""

from __future__ import annotations

import json
import os
import subprocess
import time
from typing import Any

import pytest
from kijun_hosts import ANSIBLE_PLAYBOOK, ROOT, Machine

from .conftest import lab, on_each
from .runs import Run, differences, kill_all, on_disk, playbook

MISTAKE = "tests/faults/mistake.yml"
SECONDS = 12
"""What the guard waits here."""

PATIENCE = 45
"""Seconds that the whole may take beyond the guard's: the run itself, a login that is tried, and a restart of sshd."""

DROP_IN = "/etc/ssh/sshd_config.d/00-mistake.conf"
RIGHTS = "/etc/sudoers.d/kijun-lab-admin"
RESTART = [["systemctl", "restart", "ssh.service"]]
SSHD = {"mistake_guard": {"undo": RESTART}, "mistake_restarts": [DROP_IN]}
OURS = (
    *("/var/lib/kijun", "/etc/systemd/system/kijun-guard.service"),
    *("/etc/systemd/system/sysinit.target.wants", "/var/lib/sudo", "/root", "/home"),
)
"""Where the guard, the steps and the logins themselves leave something."""

DENY_ALL = """\
destroy_table
table inet kijun {
  chain input {
    type filter hook input priority filter; policy drop;
    iif lo accept
    %s
  }
}
"""
DESTROY = "table inet kijun\ndelete table inet kijun\n"
EXPIRED = (
    "{{ mistake_shadow.content | b64decode | regex_replace('(?m)^(admin(?::[^:\\n]*){6}):[^:\\n]*:', '\\\\1:1:') }}"
)


def filters(rule: str) -> dict[str, Any]:
    """A packet filter that denies by default, with one rule."""
    text = DENY_ALL.replace("destroy_table\n", DESTROY) % rule
    return {"mistake_files": [{"path": "/etc/nftables.conf", "content": text, "mode": "0755"}], "mistake_filters": True}


def written(path: str, content: str, **more: Any) -> dict[str, Any]:
    """A file with that content."""
    return {"mistake_files": [{"path": path, "content": content, **more}]}


MISTAKES: dict[str, dict[str, Any]] = {
    "the firewall filters the port of sshd": filters("tcp dport != 22 accept"),
    "the firewall denies all and allows no SSH": filters("ct state established,related accept"),
    "AllowGroups without the operator": {**written(DROP_IN, "AllowGroups nobodys-group\n"), **SSHD},
    "a drop-in that sshd cannot read": {**written(DROP_IN, "PermitRotLogin no\n"), **SSHD},
    "keys with options that fit nobody": {
        "mistake_files": [
            {"path": DROP_IN, "content": "AuthorizedKeysFile /etc/ssh/keys/%u\n"},
            {
                "path": "/etc/ssh/keys/admin",
                "content": 'from="192.0.2.1" {{ lookup("file", ansible_ssh_private_key_file ~ ".pub") }}\n',
            },
        ],
        **SSHD,
    },
    "sudoers that cannot be parsed": written(RIGHTS, "admin ALL=(ALL:ALL) NOPASSWD ALL\n", mode="0440"),
    "nobody is left in the group that may become root": written(
        RIGHTS, "%nobodys-group ALL=(ALL:ALL) ALL\n", mode="0440"
    ),
    "a PAM stack that denies all": written("/etc/pam.d/common-account", "account requisite pam_deny.so\n"),
    "the administrator's account is expired": {
        **written("/etc/shadow", EXPIRED, group="shadow", mode="0640", secret=True),
        "mistake_expires": True,
    },
}


def start(machines: list[Machine], variables: dict[str, Any], seconds: int = SECONDS) -> Run:
    """Make a mistake on hosts."""
    given = json.dumps({"kijun_guard_seconds": seconds, **variables})
    return playbook(MISTAKE, machines, "-e", given)


def state(machine: Machine) -> dict[str, list[Any]]:
    """What is on a host's disk, without times and without what the guard itself leaves."""
    return {
        path: [fact for number, fact in enumerate(facts) if number != 4]
        for path, facts in on_disk(machine).items()
        if not path.startswith(OURS)
    }


@pytest.fixture
def before(machines: list[Machine]) -> dict[str, dict[str, list[Any]]]:
    """What each host is like before the mistake; packet filters are there to be used."""
    on_each(
        machines,
        lambda machine: machine.ok(
            "command -v nft >/dev/null || DEBIAN_FRONTEND=noninteractive apt-get -qq install -y nftables >/dev/null; "
            "test -d /etc/ssh/keys && exit 1; install -d /etc/systemd/system/sysinit.target.wants"
        ),
    )
    return {machine.name: state(machine) for machine in machines}


def lets_us_in(machine: Machine) -> bool:
    """Whether a fresh login, and root, are to be had."""
    return machine.logs_in_by_key("admin", "sudo -n true && echo welcome")


def comes_back(machine: Machine, seconds: float) -> None:
    """Wait until a host lets us in."""
    end = time.monotonic() + seconds
    while not lets_us_in(machine):
        assert time.monotonic() < end, f"{machine.name} does not let us in"
        time.sleep(1)


def taken_back(run: Run, machine: Machine) -> str:
    """What a run that begins says of what was taken back before; empty when it says nothing."""
    return " ".join(warning for _, result in run.results[machine.name] for warning in result.get("warnings", []))


def as_before(before: dict[str, dict[str, list[Any]]], machine: Machine) -> None:
    """See that a host is what it was, and that nothing hangs."""
    assert lets_us_in(machine)
    assert differences(before[machine.name], state(machine)) == {}
    assert machine.run("ls /var/lib/kijun/guard/pending").rc != 0
    assert "kijun" not in machine.run("nft list tables").stdout


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_taken_back(
    machines: list[Machine], before: dict[str, dict[str, list[Any]]], mistake: str
) -> None:
    """...and the run says so, naming the files and the reason, for Debian 12 and 13 alike."""
    started = time.monotonic()
    run = start(machines, MISTAKES[mistake])
    assert time.monotonic() - started < SECONDS + PATIENCE
    for machine in machines:
        said = run.error(machine.name)
        assert "Taken back at" in said, run.text
        assert " because " in said
        assert all(file["path"] in said for file in MISTAKES[mistake]["mistake_files"]), said
        as_before(before, machine)


def test_a_change_that_cuts_nothing_stays(machines: list[Machine], before: dict[str, dict[str, list[Any]]]) -> None:
    """Otherwise the tests above would prove nothing; and a second run neither changes nor confirms anything."""
    good = {**written(DROP_IN, "LoginGraceTime 50\n"), **SSHD}
    try:
        run = start(machines, good)
        again = start(machines, good)
        time.sleep(SECONDS + 2)
        for machine in machines:
            assert run.finished(machine.name), run.text
            assert again.finished(machine.name)
            assert again.changes(machine.name) == {}
            assert "logingracetime 50" in machine.ok("sshd -T")
            assert "kijun-guard-" not in machine.ok("systemctl list-timers --all")
    finally:
        on_each(machines, lambda machine: machine.ok(f"rm -f {DROP_IN}; systemctl restart ssh"))


def test_a_host_that_restarts_meanwhile_takes_it_back_before_anybody_logs_in(
    machines: list[Machine], before: dict[str, dict[str, list[Any]]]
) -> None:
    """The next run tells it, once."""
    mistake = {**MISTAKES["AllowGroups without the operator"], "mistake_confirmed": False}
    start(machines, mistake, seconds=600)
    lab("reboot", *(machine.name for machine in machines))
    for machine in machines:
        comes_back(machine, 20)
        as_before(before, machine)
    run = playbook("site", machines, "--tags", "nothing")
    again = playbook("site", machines, "--tags", "nothing")
    for machine in machines:
        said = taken_back(run, machine)
        assert "the host restarted before the change was confirmed" in said
        assert DROP_IN in said
        assert not taken_back(again, machine)


def test_a_controller_that_is_killed_after_applying(
    machines: list[Machine], before: dict[str, dict[str, list[Any]]]
) -> None:
    """Hosts come back by themselves, and the next run tells why."""
    mistake = {**MISTAKES["AllowGroups without the operator"], "kijun_guard_seconds": SECONDS}
    command = [ANSIBLE_PLAYBOOK, MISTAKE, "--limit", ",".join(m.name for m in machines), "-e", json.dumps(mistake)]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        # Otherwise a task is named when its first result is there.
        env={**os.environ, "PYTHONUNBUFFERED": "1", "ANSIBLE_DISPLAY_SKIPPED_HOSTS": "true"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("TASK [Prove that"):
                break
        kill_all(process.pid)
    for machine in machines:
        comes_back(machine, SECONDS + PATIENCE)
    time.sleep(1)
    for machine in machines:
        as_before(before, machine)
    run = playbook("site", machines, "--tags", "nothing")
    for machine in machines:
        assert "nobody logged in afresh and confirmed the change in time" in taken_back(run, machine)


@pytest.mark.parametrize(("seconds", "stays"), [(30, False), (100, True)])
def test_a_network_that_is_cut_for_a_minute_in_the_middle(
    machines: list[Machine], before: dict[str, dict[str, list[Any]]], seconds: int, stays: bool
) -> None:
    """A guard that runs out meanwhile takes the change back; one that waits longer lets the controller confirm it."""
    cut = (
        "nft -f - <<'X'\ntable inet cut { chain i { type filter hook input priority -200; tcp dport 22 drop; }; }\nX\n"
        "systemd-run --quiet --collect --on-active=60 --timer-property=AccuracySec=100ms nft delete table inet cut"
    )
    run = start(machines, {**written(DROP_IN, "LoginGraceTime 50\n"), **SSHD, "mistake_cut": cut}, seconds)
    try:
        for machine in machines:
            if stays:
                assert run.finished(machine.name), run.text
                assert "logingracetime 50" in machine.ok("sshd -T")
            else:
                assert "Taken back at" in run.error(machine.name), run.text
                as_before(before, machine)
    finally:
        on_each(machines, lambda machine: machine.ok(f"rm -f {DROP_IN}; systemctl restart ssh"))
