# SPDX-License-Identifier: GPL-3.0-or-later
"""`site.yml` killed at random moments: nobody is shut out, PAM is one whole thing, and the next run makes it good."""

from __future__ import annotations

import json
import os
import random
import time
from typing import Any

from kijun_hosts import BASICS, GOOD, Machine, make_person

from .conftest import lab, on_each
from .runs import WAIT_UNTIL_QUIET, killed_after, playbook, verdicts

PAIRS = 5
"""Pairs of killed runs on each host: with two hosts, twenty runs."""

PERSON = "worker"
PACKAGES = "libpam-pwquality cracklib-runtime"
FAILURES = "/var/lib/faillock"
AUTHENTICATION = "kijun.baseline.authentication : Set what passwords must be and when accounts lock"
WAITING = "kijun.baseline.time_sync : Wait until the clock follows its source"
"""The end of a first run, in which nothing changes; to kill it then would prove little."""

READ_CONFIGURATION = r"""
import glob, hashlib, json, os
PATTERNS = ("/etc/default/useradd", "/etc/login.defs", "/etc/pam.d/*", "/usr/share/pam-configs/*", "/var/lib/pam/*",
            "/etc/security/*.conf",
            "/etc/systemd/system/*faillock*", "/usr/local/lib/kijun", "/usr/local/lib/kijun/*")
seen = {}
for path in [path for pattern in PATTERNS for path in glob.glob(pattern)]:
    info = os.lstat(path)
    seen[path] = [oct(info.st_mode), info.st_uid, info.st_gid]
    if os.path.isfile(path):
        with open(path, "rb") as file:
            seen[path].append(hashlib.sha256(file.read()).hexdigest())
print(json.dumps(seen))
"""
"""All that role authentication writes, and what pam-auth-update makes of it.

Not the folder of counted failures: what was counted in it meanwhile is nobody's to remove when the rest is taken back.
"""


def configuration(machine: Machine) -> dict[str, Any]:
    """Path -> what it is, of all that authentication depends on."""
    seen: dict[str, Any] = json.loads(machine.python(READ_CONFIGURATION))
    assert "/etc/pam.d/common-auth" in seen
    return seen


class Stages:
    """What a host's configuration may be while no run is at work on it; nothing in between.

    Args:
        machine: a host, which is made fresh; afterwards it is at the baseline.
    """

    def __init__(self, machine: Machine) -> None:
        lab("reset", machine.name)
        make_person(machine, PERSON)
        self.known = {"fresh": configuration(machine)}
        started = time.monotonic()
        machine.ok(f"DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends {PACKAGES} >/dev/null")
        self.known["packages"] = configuration(machine)
        run = playbook("site", [machine])
        assert run.finished(machine.name), run.text
        assert run.seconds_in(WAITING) > 0
        self.seconds = time.monotonic() - started - run.seconds_in(WAITING)
        self.known["baseline"] = configuration(machine)
        written = {*run.changes(machine.name)[AUTHENTICATION]["changed_files"]} - {FAILURES}
        assert written <= {*self.known["fresh"], *self.known["baseline"]}, "a file that this test does not look at"
        assert len({json.dumps(state, sort_keys=True) for state in self.known.values()}) == 3
        started = time.monotonic()
        assert playbook("site", [machine]).finished(machine.name)
        self.seconds_again = time.monotonic() - started

    def of(self, machine: Machine) -> str:
        """The stage that a host is at; empty for none."""
        now = configuration(machine)
        return next((name for name, state in self.known.items() if state == now), "")

    def nearest(self, machine: Machine) -> dict[str, list[str]]:
        """Stage -> the paths in which a host differs from it."""
        now = configuration(machine)
        return {
            name: sorted(path for path in {*now, *state} if now.get(path) != state.get(path))
            for name, state in self.known.items()
        }


def assert_open(machine: Machine) -> None:
    """The administrator and a person log in, and both can become root."""
    sudo = f"echo '{GOOD}' | sudo -k -S -p '' echo welcome"
    assert machine.logs_in_by_key("admin", "sudo -n echo welcome"), "the administrator is shut out"
    assert machine.logs_in(PERSON, GOOD, sudo), "a person is shut out, or from sudo"


def moments(chance: random.Random, seconds: float) -> list[float]:
    """Moments all over a run, in random order: one in each part of it."""
    parts = chance.sample(range(PAIRS), PAIRS)
    return [seconds * (part + chance.random()) / PAIRS for part in parts]


def kill_one(machine: Machine, stages: Stages, moment: float, fresh: bool) -> str:
    """Kill a run, see that nobody is shut out, and say what came of it; a run that ended too early is done again."""
    while True:
        if fresh:
            lab("reset", machine.name)
            make_person(machine, PERSON)
        if killed_after("site", machine, moment, *BASICS):
            break
        moment *= 0.8
    assert_open(machine)
    lab("exec", machine.name, "--", "sh", "-c", WAIT_UNTIL_QUIET % 600)
    stage = stages.of(machine)
    assert stage, f"killed at {moment:.2f} s: neither old nor new: {stages.nearest(machine)}"
    assert_open(machine)
    return f"killed at {moment:.2f} s of a {'first' if fresh else 'second'} run: {stage}"


def kill_runs(machine: Machine, seed: int) -> None:
    """Kill pairs of runs: one on a fresh host, and the one that was to make that good; then let one end."""
    stages = Stages(machine)
    chance = random.Random(f"{seed}-{machine.name}")
    story = [f"{machine.name}: KIJUN_SEED={seed}, a run {stages.seconds:.1f} s, a second {stages.seconds_again:.1f} s"]
    pairs = zip(moments(chance, stages.seconds), moments(chance, stages.seconds_again), strict=True)
    try:
        for first, second in pairs:
            story.append(kill_one(machine, stages, first, fresh=True))
            story.append(kill_one(machine, stages, second, fresh=False))
            run = playbook("site", [machine], "--tags", "authentication")
            assert run.finished(machine.name), run.text
            assert stages.of(machine) == "baseline"
        assert playbook("site", [machine]).finished(machine.name)
        assert playbook("site", [machine]).changes(machine.name) == {}
        machine.ok("chronyc waitsync 90 0 1000 1")
        held = {verdict for control, verdict in verdicts(machine).items() if control.startswith(("AUTH-", "TIME-"))}
        assert held == {"pass", "not_applicable"}
    except AssertionError as error:
        raise AssertionError("\n".join([*story, str(error)])) from error
    finally:
        print("\n" + "\n".join(story))


def test_killed_runs_leave_a_host_on_which_login_works(machines: list[Machine]) -> None:
    seed = int(os.environ.get("KIJUN_SEED") or random.randrange(10**6))
    on_each(machines, lambda machine: kill_runs(machine, seed))
