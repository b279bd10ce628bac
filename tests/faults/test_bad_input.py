# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings and hosts that are not as they should be stop that host before any change; the error says what is wrong."""

from __future__ import annotations

import re
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from kijun_hosts import ROOT, Machine
from kijun_lab import identity

from .conftest import lab, make_fresh, on_each
from .runs import Run, differences, on_disk, playbook

GOOD_HOST = "time1"
"""At the baseline from the beginning, and in every run of this file: nothing may keep it from its end."""


class Case(NamedTuple):
    """Something wrong in the inventory of one host.

    Attributes:
        variables: of that host.
        told: what the error says of it.
    """

    variables: dict[str, Any]
    told: tuple[str, ...]


ATTEMPTS = ("it must be a whole number from 1 to 10", "clause SM-4.1.5-1-6")
HISTORY = ("it must be a whole number from 12 to 400", "clause SO-2.1-password-history")
NETWORKS = ("it must be a list of networks such as 192.0.2.0/24", "clause SM-4.8.1-4b")

SETTINGS = {
    "zero": Case({"authentication_lockout_attempts": 0}, ("authentication_lockout_attempts is 0", *ATTEMPTS)),
    "word": Case({"authentication_lockout_attempts": "ten"}, ("authentication_lockout_attempts is 'ten'", *ATTEMPTS)),
    "eleven": Case({"authentication_lockout_attempts": 11}, ("authentication_lockout_attempts is 11", *ATTEMPTS)),
    "fifty": Case({"authentication_lockout_attempts": "50"}, ("authentication_lockout_attempts is '50'", *ATTEMPTS)),
    "history": Case({"authentication_password_history": 5000}, ("authentication_password_history is 5000", *HISTORY)),
    "misspelt": Case(
        {"authentication_lockout_attemps": 5},
        ("authentication_lockout_attemps is not a variable", "did you mean authentication_lockout_attempts?"),
    ),
    "network": Case({"time_sync_allow": ["the office"]}, ("time_sync_allow is ['the office']", *NETWORKS)),
    "host-bits": Case({"time_sync_allow": ["192.0.2.1/24"]}, ("time_sync_allow is ['192.0.2.1/24']", *NETWORKS)),
    "no-list": Case({"time_sync_allow": "192.0.2.0/24"}, ("time_sync_allow is '192.0.2.0/24'", *NETWORKS)),
    "source": Case(
        {"time_sync_upstream": [{"nmae": "ntp"}]},
        ("time_sync_upstream is [{'nmae': 'ntp'}]", "a list of time sources such as", "clause SM-4.2.4-6"),
    ),
    "choice": Case(
        {"authentication_profile": "nits"}, ("authentication_profile is 'nits'", "it must be one of clauses, nist")
    ),
    "undefined": Case(
        {"authentication_password_history": "{{ no_such_thing }}"},
        ("authentication_password_history is a template that fails", "'no_such_thing' is undefined", *HISTORY),
    ),
    "syntax": Case(
        {"authentication_password_history": "{{ 12 + }}"},
        ("authentication_password_history is a template that fails", "Syntax error in template", *HISTORY),
    ),
    "undefined-in-list": Case(
        {"authentication_break_glass_accounts": ["{{ no_such_thing }}"]},
        ("authentication_break_glass_accounts is a template that fails", "'no_such_thing' is undefined"),
    ),
    "two-at-once": Case(
        {"authentication_lockout_attempts": 0, "authentication_password_history": 1},
        ("authentication_lockout_attempts is 0", "authentication_password_history is 1", *ATTEMPTS, *HISTORY),
    ),
}

CONTROL = {
    "id": "SITE-01",
    "title": {"en": "A control of the organisation's own", "ja": "独自の管理策"},
    "area": "site",
    "severity": "low",
    "scope": ["server"],
    "clauses": ["SM-6-1"],
    "status": "automated",
    "disruption": "none",
}


def own_control(**expectation: Any) -> dict[str, Any]:
    return {"site_controls": [{**CONTROL, "expect": [expectation]}]}


CONTROLS = {
    "no-list": Case({"site_controls": "AUTH-07"}, ("site_controls must be a list of controls, not 'AUTH-07'",)),
    "never": Case(
        {"site_controls": [{**CONTROL, "never_excused": True, "expect": []}]},
        ("SITE-01", "never_excused must say why, not True"),
    ),
    "fact": Case(
        own_control(fact="faillok.deny", op="==", value=10),
        ("SITE-01", "unknown fact path 'faillok.deny'", "docs/reference/facts.md"),
    ),
    "operator": Case(
        own_control(fact="faillock.deny", op="=", value=10), ("SITE-01", "unknown operator '='", "known: ==, !=, ")
    ),
    "control-template": Case(
        own_control(fact="faillock.deny", op="==", value="{{ no_such_thing }}"), ("'no_such_thing' is undefined",)
    ),
}


def inventory(cases: dict[str, Case], machines: list[Machine], folder: Path) -> str:
    """Write an inventory in which each case is a host of its own; they are one host of the lab, or the other."""
    common = {"kijun_lab_state": str(identity.USER_KEY.parent)}
    hosts = {
        name: {**common, "ansible_host": machines[number % len(machines)].address, **case.variables}
        for number, (name, case) in enumerate(cases.items())
    }
    file = folder / "hosts.yml"
    file.write_text(yaml.safe_dump({"servers": {"hosts": hosts}}), encoding="utf-8")
    return str(file)


class Outcome(NamedTuple):
    """A run in which each host had something wrong with it, and what it changed on disk."""

    run: Run
    changed: dict[str, Any]


def run_cases(name: str, cases: dict[str, Case], machines: list[Machine], folder: Path) -> Outcome:
    """Run a playbook on the hosts of all cases, and on a good one."""
    before = {machine.name: on_disk(machine) for machine in machines}
    sources = ("-i", "inventories/lab", "-i", inventory(cases, machines, folder))
    run = playbook(name, [*cases, GOOD_HOST], *sources, KIJUN_REPORT_DIR=str(folder / "reports"))
    changed = {machine.name: differences(before[machine.name], on_disk(machine)) for machine in machines}
    return Outcome(run, changed)


@pytest.fixture(scope="module")
def untouched(instance: None) -> list[Machine]:
    """Fresh hosts: the first thing that a role does, to install packages, would show as well."""
    machines = [Machine(name) for name in ("server12", "server13", "client12", "client13")]
    make_fresh(*machines)
    return machines


@pytest.fixture(scope="module")
def enforced(untouched: list[Machine], tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return run_cases("site", SETTINGS, untouched, tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def audited(untouched: list[Machine], tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return run_cases("audit", CONTROLS, untouched, tmp_path_factory.mktemp("audit"))


def assert_stopped(run: Run, host: str, told: tuple[str, ...]) -> None:
    """The run ended for a host by an error that says all of this, before any task had changed the host."""
    error = run.error(host)
    assert [words for words in told if words not in error] == [], error
    assert run.changes(host) == {}
    assert run.returncode != 0
    assert run.finished(GOOD_HOST), run.text


@pytest.mark.parametrize("case", SETTINGS)
def test_wrong_settings_stop_the_host_they_are_of(enforced: Outcome, case: str) -> None:
    assert_stopped(enforced.run, case, SETTINGS[case].told)
    assert not any(enforced.changed.values()), enforced.changed
    assert f"  {case} " in enforced.run.text, "the summary says nothing of it"


@pytest.mark.parametrize("case", CONTROLS)
def test_wrong_controls_stop_the_audit_of_the_host_they_are_of(audited: Outcome, case: str) -> None:
    assert_stopped(audited.run, case, CONTROLS[case].told)
    assert not any(audited.changed.values()), audited.changed


def test_an_unknown_tag_ends_an_audit(untouched: list[Machine]) -> None:
    run = playbook("audit", untouched, "--tags", "authentification")
    for machine in untouched:
        assert "no control has the area, clause or id 'authentification'" in run.error(machine.name)
    assert run.returncode != 0


# ---- the hosts themselves ----

OTHER_SYSTEM = 'ID=ubuntu\\nVERSION_ID="24.04"\\nPRETTY_NAME="Ubuntu 24.04 LTS"\\n'
MOUNT = "cp -a {0} /run/held && mount -t tmpfs -o {1} tmpfs {0} && cp -a /run/held/. {0}; rm -r /run/held"
FILL = "dd if=/dev/zero of={0}/.full bs=64k 2>/dev/null; true"


class Fault(NamedTuple):
    """Something wrong with a host.

    Attributes:
        commands: what makes it so.
        remedy: what puts it right.
        told: what the error says.
    """

    commands: tuple[str, ...]
    remedy: str
    told: tuple[str, ...]


def full(path: str, *told: str) -> Fault:
    """A directory on a small file system of its own without any room left."""
    return Fault((MOUNT.format(path, "size=1m"), FILL.format(path)), f"umount {path}", told)


FAULTS = {
    "unsupported distribution": Fault(
        (f"rm /etc/os-release && printf '{OTHER_SYSTEM}' > /etc/os-release",),
        "ln -sf ../usr/lib/os-release /etc/os-release",
        ("this host runs Ubuntu 24.04 LTS", "supported, because tested, are: debian 12, debian 13"),
    ),
    "no right to sudo": Fault(
        ("mv /etc/sudoers.d/kijun-lab-admin /root/",),
        "mv /root/kijun-lab-admin /etc/sudoers.d/",
        ("admin cannot become root on this host", "Missing sudo password", "ansible_become_password"),
    ),
    "read-only /etc/security": Fault(
        ("mount --bind /etc/security /etc/security && mount -o remount,bind,ro /etc/security",),
        "umount /etc/security",
        ("/etc/security is mounted read-only",),
    ),
    "read-only profiles of PAM": Fault(
        ("mount --bind /usr/share/pam-configs /usr/share/pam-configs",
         "mount -o remount,bind,ro /usr/share/pam-configs"),
        "umount /usr/share/pam-configs",
        ("/usr/share/pam-configs is mounted read-only",),
    ),
    "full /etc/security": full("/etc/security", "/etc/security has 0 MiB left", "at least 32 MiB are needed"),
    "full package cache": full("/var/cache/apt/archives", "/var/cache/apt/archives has 0 MiB left"),
    "no room for more files": Fault(
        (MOUNT.format("/etc/security", "size=64m,nr_inodes=50"),),
        "umount /etc/security",
        ("/etc/security has room for", "more files; 1000 are needed"),
    ),
}  # fmt: skip
"""What a host is looked at for before anything is changed on it."""


class Stopped(NamedTuple):
    """A run that met a fault.

    Attributes:
        run: the run.
        host: the host that had the fault.
        changed: what is another after the run than before, on that host's disk.
    """

    run: Run
    host: str
    changed: dict[str, Any]


def run_with(faults: dict[str, Fault], machines: list[Machine]) -> dict[str, Stopped]:
    """Run where every host has a fault of its own, as often as all faults take; they are put right afterwards."""
    stopped: dict[str, Stopped] = {}
    waiting = list(faults)
    while waiting:
        placed = dict(zip(waiting, machines, strict=False))
        waiting = waiting[len(placed) :]
        for name, machine in placed.items():
            for command in faults[name].commands:
                machine.ok(command)
        before = {name: on_disk(machine) for name, machine in placed.items()}
        run = playbook("site", [*placed.values(), GOOD_HOST])
        for name, machine in placed.items():
            changed = differences(without_times(before[name]), without_times(on_disk(machine)))
            stopped[name] = Stopped(run, machine.name, changed)
            lab("exec", machine.name, "--", "sh", "-c", faults[name].remedy)
    return stopped


def without_times(seen: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """Leave out when a directory was last written to: a file that was prepared in it is perhaps gone again."""
    return {path: facts[:4] if stat.S_ISDIR(int(facts[0], 8)) else facts for path, facts in seen.items()}


@pytest.fixture(scope="module")
def at_once(untouched: list[Machine]) -> dict[str, Stopped]:
    return run_with(FAULTS, untouched)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_host_is_left_alone(at_once: dict[str, Stopped], fault: str) -> None:
    stopped = at_once[fault]
    assert_stopped(stopped.run, stopped.host, FAULTS[fault].told)
    assert stopped.changed == {}


HIDDEN_FAULTS = {
    "no room for a new file": full("/usr/local/lib/kijun", "/usr/local/lib/kijun", "No space left on device"),
    "no room for earlier versions": full("/var/lib/kijun/config_files", "/var/lib/kijun", "No space left on device"),
    "a file of PAM that cannot be replaced": Fault(
        ("mount --bind /etc/pam.d/common-auth /etc/pam.d/common-auth",),
        "umount /etc/pam.d/common-auth",
        ("'/etc/pam.d/common-auth'", "nothing was changed"),
    ),
}
"""What shows only when the files are put in place: none is, then."""


@pytest.fixture(scope="module")
def half_way(untouched: list[Machine]) -> dict[str, Stopped]:
    """Runs on hosts on which many files are to be put right, and no package is missing."""
    machines = untouched[: len(HIDDEN_FAULTS)]
    run = playbook("site", machines)
    assert all(run.finished(machine.name) for machine in machines), run.text
    for command in (
        "sed -i 's/pam_unix.so/pam_unix.so nullok/' /etc/pam.d/common-auth",
        "sed -i 's/^deny.*/deny = 3/' /etc/security/faillock.conf",
        "echo '# mine' >> /usr/local/lib/kijun/faillock-keep",
        "sed -i 's/^PASS_MAX_DAYS.*/PASS_MAX_DAYS 999/' /etc/login.defs",
    ):
        on_each(machines, lambda machine, command=command: machine.ok(command))
    return run_with(HIDDEN_FAULTS, machines)


@pytest.mark.parametrize("fault", HIDDEN_FAULTS)
def test_a_fault_half_way_leaves_all_files_as_they_were(half_way: dict[str, Stopped], fault: str) -> None:
    stopped = half_way[fault]
    assert_stopped(stopped.run, stopped.host, HIDDEN_FAULTS[fault].told)
    assert [path for path in stopped.changed if not path.startswith("/var/lib/kijun")] == []


# ---- dpkg's lock ----

HOLD = """
import fcntl, sys, time
with open("/var/lib/dpkg/lock-frontend", "w") as lock:
    fcntl.lockf(lock, fcntl.LOCK_EX)
    print("held", flush=True)
    time.sleep(float(sys.argv[1]))
"""


@pytest.fixture
def locked(machines: list[Machine]) -> Iterator[Callable[[int], None]]:
    """Have another process hold dpkg's lock for some seconds."""
    holders = []

    def hold(seconds: int) -> None:
        for machine in machines:
            command = ["lab/lab", "exec", machine.name, "--", "python3", "-c", HOLD, str(seconds)]
            holders.append(subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True))
            assert holders[-1].stdout and holders[-1].stdout.readline() == "held\n"

    yield hold
    for holder in holders:
        holder.kill()
        holder.communicate()


def test_a_run_waits_for_the_package_manager(fresh: list[Machine], locked: Callable[[int], None]) -> None:
    locked(10)
    started = time.monotonic()
    run = playbook("site", fresh, "--tags", "authentication")
    assert time.monotonic() - started > 10
    for machine in fresh:
        assert run.finished(machine.name), run.text
        assert "libpam-pwquality" in str(run.changes(machine.name))


def test_a_lock_that_stays_is_told(fresh: list[Machine], locked: Callable[[int], None], tmp_path: Path) -> None:
    task = {"kijun.baseline.packages": {"names": ["libpam-pwquality"], "lock_timeout": 2}}
    impatient = tmp_path / "impatient.yml"
    impatient.write_text(yaml.safe_dump([{"hosts": "all", "gather_facts": False, "become": True, "tasks": [task]}]))
    locked(60)
    before = {machine.name: on_disk(machine) for machine in fresh}
    run = playbook(str(impatient), fresh)
    for machine in fresh:
        told = r"process \d+ \(python3\) holds dpkg's lock /var/lib/dpkg/lock-frontend, after 2 s still"
        assert re.search(told, run.error(machine.name)), run.error(machine.name)
        assert differences(before[machine.name], on_disk(machine)) == {}
