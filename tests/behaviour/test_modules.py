# SPDX-License-Identifier: GPL-3.0-or-later
"""Modules on real hosts: what a check run predicts is what a run does, and a second run does nothing."""

from __future__ import annotations

import json
import re
import shlex
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kijun_hosts import ansible_playbook

from .conftest import GOOD, Machine

PACKAGE = "hello"
"""A package of Debian's that is small, and that no other one needs."""

ROLE = [f"roles/authentication/{path}.yml" for path in ("defaults/main/main", "vars/main")]
HOLD = """\
import fcntl, time
file = open('/var/lib/dpkg/lock-frontend', 'a')
fcntl.lockf(file, fcntl.LOCK_EX)
open('/run/kijun-held', 'w').close()
time.sleep({})
"""


Arguments = dict[str, Any]
Result = dict[str, Any]


def runs(machine: Machine, module: str, *calls: tuple[Arguments, bool], **variables: Any) -> list[Result]:
    """Run a module several times, and return its results.

    Args:
        machine: the host.
        module: the module.
        calls: for each run, its arguments and whether it is a check run.
        variables: variables of the play, beside those of role authentication for what asks for them.
    """
    tasks: list[dict[str, Any]] = [
        {
            f"kijun.baseline.{module}": arguments,
            "check_mode": check,
            "ignore_errors": True,
            "register": f"result{number}",
        }
        for number, (arguments, check) in enumerate(calls)
    ]
    results = ", ".join(f"result{number}" for number in range(len(calls)))
    tasks.append({"ansible.builtin.debug": {"msg": "{{ [%s] | to_json }}" % results}})
    files = ROLE if module in ("preflight", "control_audit") else []
    with tempfile.TemporaryDirectory() as folder:
        play = {"hosts": machine.name, "become": True, "gather_facts": False, "tasks": tasks}
        Path(folder, "play.yml").write_text(yaml.safe_dump([play]), encoding="utf-8")
        extra = [*(f"@{path}" for path in files), json.dumps(variables)]
        words = (f"{folder}/play.yml", *(word for given in extra for word in ("-e", given)))
        done = ansible_playbook(*words, KIJUN_REPORT_DIR=folder, ANSIBLE_CALLBACK_RESULT_FORMAT="json")
    printed = re.findall(r'^ +"msg": (".*")$', done.stdout, re.MULTILINE)
    assert done.returncode == 0, done.stdout + done.stderr
    found: list[Result] = json.loads(json.loads(printed[-1]))
    return found


def run(machine: Machine, module: str, arguments: Arguments) -> Result:
    """Run a module once."""
    return runs(machine, module, (arguments, False))[0]


def in_four(arguments: Arguments) -> list[tuple[Arguments, bool]]:
    """The calls check, run, check, run."""
    return [(arguments, True), (arguments, False)] * 2


def four_runs(machine: Machine, module: str, arguments: dict[str, Any], told: str) -> Any:
    """Run a module four times as it should go: check, run, check, run: changed, changed, same, same.

    Args:
        machine: the host.
        module: the module.
        arguments: its arguments.
        told: the key of the result in which it says what it did, or would do.

    Returns:
        What it did.
    """
    results = runs(machine, module, *in_four(arguments))
    assert not any(result["failed"] for result in results), results
    assert [result["changed"] for result in results] == [True, True, False, False], results
    assert results[0][told] == results[1][told], "the check run predicted something else"
    assert not results[2][told]
    assert not results[3][told]
    return results[1][told]


# --- packages


def status(machine: Machine) -> str:
    return machine.run(f"dpkg-query -W -f '${{db:Status-Abbrev}}' {PACKAGE}").stdout.strip()


@pytest.fixture
def no_package(machine: Machine) -> Iterator[None]:
    machine.ok(f"dpkg --purge --force-all {PACKAGE}")
    yield
    machine.ok(f"dpkg --purge --force-all {PACKAGE}; rm -f /tmp/{PACKAGE}_*.deb")


@pytest.fixture
def unpacked(machine: Machine, no_package: None) -> None:
    """The package as a killed dpkg leaves it."""
    download = f"cd /tmp && apt-get -qq -o APT::Sandbox::User=root download {PACKAGE}"
    machine.ok(f"({download} || (apt-get -qq update && {download})) && dpkg --unpack /tmp/{PACKAGE}_*.deb")
    assert status(machine) == "iU"


@pytest.fixture
def hold_lock(machine: Machine) -> Iterator[Callable[[int], str]]:
    """Hold dpkg's lock for some seconds; give the holder's process id."""
    holders = []

    def hold(seconds: int) -> str:
        start = f"python3 -c {shlex.quote(HOLD.format(seconds))} >/dev/null 2>&1 & echo $!"
        holder = machine.ok(
            f"rm -f /run/kijun-held; {start}; until [ -e /run/kijun-held ]; do sleep 0.05; done"
        ).strip()
        holders.append(holder)
        return holder

    yield hold
    for holder in holders:
        machine.run(f"kill {holder}")


def test_packages_in_four_runs(machine: Machine, no_package: None) -> None:
    assert four_runs(machine, "packages", {"names": [PACKAGE, "bash"]}, "installed") == [PACKAGE]
    assert status(machine) == "ii"


def test_packages_finishes_what_was_interrupted(machine: Machine, unpacked: None) -> None:
    assert four_runs(machine, "packages", {"names": [PACKAGE]}, "installed") == [PACKAGE]
    assert status(machine) == "ii"


def test_packages_finishes_what_was_interrupted_of_others(machine: Machine, unpacked: None) -> None:
    results = runs(machine, "packages", *in_four({"names": ["bash"]}))
    assert [result["changed"] for result in results] == [True, True, False, False]
    assert status(machine) == "ii"


@pytest.mark.parametrize("before", ["no_package", "unpacked"])
def test_packages_while_another_process_holds_the_lock(
    machine: Machine, hold_lock: Callable[[int], str], before: str, request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue(before)
    was = status(machine)
    holder = hold_lock(30)
    mine, others = {"names": [PACKAGE], "lock_timeout": 1}, {"names": ["bash"]}
    result, predicted = runs(machine, "packages", (mine, False), (others, True))
    assert result["failed"]
    assert f"process {holder} (python3) holds dpkg's lock /var/lib/dpkg/lock-frontend" in result["msg"]
    assert status(machine) == was
    assert predicted["changed"] is (before == "unpacked")


def test_packages_waits_for_a_lock_that_is_released(
    machine: Machine, hold_lock: Callable[[int], str], unpacked: None
) -> None:
    hold_lock(3)
    result = run(machine, "packages", {"names": [PACKAGE], "lock_timeout": 60})
    assert not result["failed"], result
    assert status(machine) == "ii"


def test_packages_names_the_package_that_does_not_exist(machine: Machine) -> None:
    result = run(machine, "packages", {"names": ["bash", "kijun-no-such-package"]})
    assert result["failed"]
    assert "kijun-no-such-package" in result["msg"]


# --- units

UNIT = "kijun-test.service"
UNIT_FILE = f"/etc/systemd/system/{UNIT}"
SLEEPS = "[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n"


def write_unit(machine: Machine, text: str) -> None:
    machine.ok(f"printf %s {shlex.quote(text)} > {UNIT_FILE} && systemctl daemon-reload")


@pytest.fixture
def unit(machine: Machine) -> Iterator[str]:
    remove = f"systemctl disable --now {UNIT}; systemctl unmask {UNIT}; rm -f {UNIT_FILE}; systemctl daemon-reload"
    machine.run(remove)
    write_unit(machine, SLEEPS)
    yield UNIT
    machine.run(f"{remove}; systemctl reset-failed {UNIT}")


def test_units_in_four_runs(machine: Machine, unit: str) -> None:
    wish = {
        "units": [{"name": unit, "enabled": True, "state": "started"}, {"name": "dbus.service", "state": "started"}]
    }
    assert four_runs(machine, "units", wish, "units") == {unit: ["enable", "start"]}
    assert machine.ok(f"systemctl is-enabled {unit} && systemctl is-active {unit}") == "enabled\nactive\n"
    wish = {"units": [{"name": unit, "enabled": False, "state": "stopped"}]}
    assert four_runs(machine, "units", wish, "units") == {unit: ["disable", "stop"]}
    assert machine.run(f"systemctl is-enabled {unit}; systemctl is-active {unit}").stdout == "disabled\ninactive\n"


def test_units_unmasks_what_must_run(machine: Machine, unit: str) -> None:
    machine.ok(f"rm {UNIT_FILE} && ln -s /dev/null {UNIT_FILE} && systemctl daemon-reload")
    vendors = "/usr/local/lib/systemd/system"
    machine.ok(f"mkdir -p {vendors} && printf %s {shlex.quote(SLEEPS)} > {vendors}/{unit}")
    try:
        wish = {"units": [{"name": unit, "enabled": True, "state": "started"}]}
        assert four_runs(machine, "units", wish, "units") == {unit: ["unmask", "enable", "start"]}
    finally:
        machine.run(f"systemctl disable --now {unit}; rm -f {vendors}/{unit}")


def test_units_restarts_what_runs_since_before_its_file_and_nothing_else(machine: Machine, unit: str) -> None:
    machine.ok(f"touch /etc/kijun-test.early && sleep 0.1 && systemctl start {unit} && touch /etc/kijun-test.late")
    process = machine.ok(f"systemctl show -P MainPID {unit}")
    early, late = (
        {"units": [{"name": unit, "state": "started", "restarted_after": ["/etc/gone", f"/etc/kijun-test.{when}"]}]}
        for when in ("early", "late")
    )
    results = runs(machine, "units", (early, False), *in_four(late))
    assert [result["units"] for result in results] == [{}, {unit: ["restart"]}, {unit: ["restart"]}, {}, {}]
    assert machine.ok(f"systemctl show -P MainPID {unit}; rm /etc/kijun-test.*") != process


def test_units_names_the_unit_that_is_missing(machine: Machine) -> None:
    wish = {"units": [{"name": "kijun-no-such.service", "enabled": True, "state": "started"}]}
    gone = {"units": [{"name": "kijun-no-such.service", "enabled": False, "state": "stopped"}]}
    predicted, result, nothing = runs(machine, "units", (wish, True), (wish, False), (gone, False))
    assert predicted["changed"] is True
    assert result["failed"]
    assert "kijun-no-such.service" in result["msg"]
    assert (nothing["failed"], nothing["changed"]) == (False, False)


@pytest.mark.parametrize("start", ["Type=oneshot\nExecStart=/bin/false", "Type=notify\nExecStart=/bin/true"])
def test_units_names_the_unit_that_does_not_start(machine: Machine, unit: str, start: str) -> None:
    write_unit(machine, f"[Service]\n{start}\n")
    result = run(machine, "units", {"units": [{"name": unit, "state": "started"}]})
    assert result["failed"]
    assert unit in result["msg"]


# --- password_ageing

AGES = {"max_days": 90, "min_days": 0, "warn_days": 14}
ASKED = "/var/lib/kijun/first_login.json"


@pytest.fixture
def people(machine: Machine) -> Iterator[None]:
    """Accounts of every kind: with a password, without a date, without a password, exempt, new, and an orphan line."""
    names = ("aged", "undated", "keyonly", "exempted", "newcomer")
    machine.ok(f"cp -a /etc/shadow /run/shadow.before; rm -f {ASKED}")
    for name in names:
        machine.ok(f"useradd -M {name}")
        if name != "keyonly":
            machine.ok(f"echo {shlex.quote(f'{name}:{GOOD}')} | chpasswd && chage -M 99999 {name}")
    machine.ok("sed -i -E 's/^(undated:[^:]*:)[0-9]+:/\\1:/; s/^(keyonly:[^:]*:)[0-9]+:/\\1:/' /etc/shadow")
    machine.ok("echo 'orphan:$6$a$b:20000:0:99999:7:::' >> /etc/shadow")
    yield
    machine.run("; ".join(f"userdel {name}" for name in names))
    machine.ok(f"cat /run/shadow.before > /etc/shadow; rm -f {ASKED}")


def fields(machine: Machine, name: str) -> list[str]:
    """The fields of a shadow line from the date of change to the days of warning."""
    return machine.ok(f"getent shadow {name}").split(":")[2:6]


def test_password_ageing_in_four_runs(machine: Machine, people: None) -> None:
    arguments = {**AGES, "exempt": ["exempted"], "first_login": ["newcomer", "nobody-there"]}
    today = str(int(machine.ok("date +%s")) // 86400)
    untouched = [machine.ok(f"grep ^{name}: /etc/shadow") for name in ("keyonly", "exempted", "orphan")]
    done = four_runs(machine, "password_ageing", arguments, "accounts")
    assert set(done) == {"aged", "undated", "newcomer"}
    assert done["newcomer"][-2:] == ["--lastday", "0"]
    assert fields(machine, "aged") == [today, "0", "90", "14"]
    assert fields(machine, "undated") == [today, "0", "90", "14"]
    assert fields(machine, "newcomer") == ["0", "0", "90", "14"]
    assert [machine.ok(f"grep ^{name}: /etc/shadow") for name in ("keyonly", "exempted", "orphan")] == untouched


def test_first_login_is_asked_once(machine: Machine, people: None) -> None:
    arguments = {**AGES, "first_login": ["newcomer", "keyonly"]}
    assert fields(machine, "newcomer")[0] != "0"
    assert "newcomer" in run(machine, "password_ageing", arguments)["accounts"]
    machine.ok(f"echo 'newcomer:{GOOD}x' | chpasswd")
    assert run(machine, "password_ageing", arguments)["changed"] is False
    assert fields(machine, "newcomer")[0] != "0"
    machine.ok(f"echo 'keyonly:{GOOD}' | chpasswd")  # it has a password now: its turn
    assert run(machine, "password_ageing", arguments)["accounts"]["keyonly"][-2:] == ["--lastday", "0"]


def test_a_damaged_list_of_who_was_asked_is_an_error_that_names_it(machine: Machine, people: None) -> None:
    machine.ok(f"mkdir -p /var/lib/kijun && echo '[' > {ASKED}")
    before = machine.ok("md5sum /etc/shadow")
    result = run(machine, "password_ageing", {**AGES, "first_login": ["newcomer"]})
    assert result["failed"]
    assert ASKED in result["msg"]
    assert machine.ok("md5sum /etc/shadow") == before


# --- what only reads


@pytest.fixture
def nothing_written(machine: Machine) -> Iterator[None]:
    """Fail when something was written to the host's disk."""
    machine.ok("sync; touch /run/kijun-marker; sleep 0.05")
    yield
    folders = "/etc /usr /opt /root /home /srv /var/lib /tmp /var/tmp"
    assert machine.ok(f"find {folders} -xdev -cnewer /run/kijun-marker ! -path '/var/lib/systemd/*'") == ""


def test_preflight_changes_nothing(machine: Machine, nothing_written: None) -> None:
    arguments = {"roles": ["authentication"]}
    for check in (True, False):  # a second one in a run does not ask the host again
        result, again = runs(machine, "preflight", (arguments, check), (arguments, check))
        assert [(found["changed"], found["failed"]) for found in (result, again)] == [(False, False)] * 2
        release = result["ansible_facts"]["kijun_host"]["release"]
        assert release == {"server12": "12", "server13": "13"}[machine.name]
        assert "ansible_facts" not in again


def test_preflight_refuses_before_it_asks_the_host(machine: Machine) -> None:
    roles = {"roles": ["authentication"]}
    for result in runs(machine, "preflight", (roles, True), (roles, False), authentication_lockout_attempts=0):
        assert result["failed"]
        assert result["msg"].startswith("authentication_lockout_attempts is 0; it must be a whole number from 1 to 10")


def test_control_audit_changes_nothing(machine: Machine, nothing_written: None) -> None:
    results = runs(machine, "control_audit", *in_four({"controls": ["kijun.baseline.authentication"]}))
    assert [(result["changed"], result["failed"]) for result in results] == [(False, False)] * 4
    for result in results:
        del result["evidence"]["host"]["time"]
    assert results == [results[0]] * 4
    assert results[0]["evidence"]["totals"]["error"] == 0
    assert results[0]["evidence"]["totals"]["pass"] > 0


def test_control_audit_fails_the_task_when_it_is_strict(machine: Machine) -> None:
    control = {
        "id": "X-1",
        "title": {"en": "x", "ja": "x"},
        "area": "x",
        "severity": "low",
        "scope": ["server"],
        "status": "detected",
        "clauses": ["SM-6-1"],
        "expect": [{"fact": "os.id", "op": "==", "value": "another"}],
    }
    lenient, strict = (({"controls": [control], "strict": strict}, False) for strict in (False, True))
    results = runs(machine, "control_audit", lenient, strict)
    assert [result["failed"] for result in results] == [False, True]
    assert "X-1" in results[1]["msg"]
