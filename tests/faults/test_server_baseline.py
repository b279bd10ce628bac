# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole server baseline on fresh hosts: predicted, applied, judged from outside, and killed thirty times."""

from __future__ import annotations

import os
import random
import re
import time
from collections.abc import Iterator

import pytest
from kijun_hosts import ROOT, Machine
from kijun_tools import outside_auditor

from .conftest import lab, make_fresh, on_each
from .runs import WAIT_UNTIL_QUIET, Run, differences, killed_after, on_disk, playbook, verdicts

BASELINE = "server_baseline"
LYNIS_LEAST = 85
"""The hardening index, out of 100, that a host has at least to reach."""

FRESH_HOSTS, KILLS = 3, 5
"""Rounds on each of the two hosts, each from a fresh host, and runs killed in each: thirty."""

UNKNOWN_TO_THE_LEDGER = ("ACCT-",)
"""Controls of accounts are the ledger's; these hosts have none applied."""

LEFT_BEHIND = (
    "ls /var/lib/kijun/*/journal.json /var/lib/kijun/*/*/journal.json /var/lib/kijun/guard/pending 2>/dev/null"
)


@pytest.fixture(scope="module")
def story(pytestconfig: pytest.Config) -> Iterator[list[str]]:
    """What was measured, told at the end, whether or not it passed."""
    told: list[str] = []
    yield told
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        print("\n" + "\n".join(told))


@pytest.fixture(scope="module")
def applied(machines: list[Machine], story: list[str]) -> tuple[Run, Run, float]:
    """A check and a run of fresh hosts, with lynis before them; and the seconds that the run took."""
    make_fresh(*machines)
    before = outside_auditor.ask_all(machine.name for machine in machines)
    story += [f"lynis on {name}, fresh: {opinion.index}" for name, opinion in before.items()]
    disks = {machine.name: on_disk(machine) for machine in machines}
    predicted = playbook(BASELINE, machines, "--check")
    for machine in machines:
        assert predicted.finished(machine.name), predicted.text
        assert differences(disks[machine.name], on_disk(machine)) == {}, f"{machine.name}: --check changed it"
    started = time.monotonic()
    done = playbook(BASELINE, machines)
    seconds = time.monotonic() - started
    story.append(f"a first run on {len(machines)} fresh hosts: {seconds:.0f} s")
    return predicted, done, seconds


def test_check_predicts_the_first_run(machines: list[Machine], applied: tuple[Run, Run, float]) -> None:
    predicted, done, _ = applied
    for machine in machines:
        assert done.finished(machine.name), done.text
        assert list(predicted.changes(machine.name)) == list(done.changes(machine.name)), machine.name


def test_nothing_is_left_to_change(machines: list[Machine], applied: tuple[Run, Run, float]) -> None:
    """Neither for a check nor for a run; nor does a run wait for anything then."""
    for arguments in (("--check",), ()):
        again = playbook(BASELINE, machines, *arguments)
        for machine in machines:
            assert again.finished(machine.name), again.text
            assert again.changes(machine.name) == {}


def test_every_control_holds(machines: list[Machine], applied: tuple[Run, Run, float]) -> None:
    for machine in machines:
        found = verdicts(machine)
        open_ones = {
            control: verdict
            for control, verdict in found.items()
            if verdict not in ("pass", "not_applicable") and not control.startswith(UNKNOWN_TO_THE_LEDGER)
        }
        assert open_ones == {}, machine.name


def test_an_outside_auditor_sees_it(machines: list[Machine], applied: tuple[Run, Run, float], story: list[str]) -> None:
    after = outside_auditor.ask_all(machine.name for machine in machines)
    story += [
        f"lynis on {name}, at the baseline: {one.index}; open: {', '.join(one.left)}" for name, one in after.items()
    ]
    assert all(opinion.index >= LYNIS_LEAST for opinion in after.values()), after
    explained = set(
        re.findall(r"^\| `([A-Z]+-\d+)`", (ROOT / "docs" / "lynis.md").read_text(encoding="utf-8"), re.MULTILINE)
    )
    assert {test for opinion in after.values() for test in opinion.left} <= explained


def kill_runs(machine: Machine, seed: int, seconds: float) -> list[str]:
    """Kill runs all over their course, from fresh hosts on; then let one end, and look what there is."""
    chance = random.Random(f"{seed}-{machine.name}")
    told = []
    for _ in range(FRESH_HOSTS):
        lab("reset", machine.name)
        for _ in range(KILLS):
            moment = chance.uniform(1.5, seconds)
            killed = killed_after(BASELINE, machine, moment)
            told.append(f"{machine.name}: {'killed at' if killed else 'ended before'} {moment:.1f} s")
            lab("exec", machine.name, "--", "sh", "-c", WAIT_UNTIL_QUIET % 900)
            assert machine.logs_in_by_key("admin", "sudo -n true && echo welcome"), f"shut out: {told}"
        run = playbook(BASELINE, [machine])
        assert run.finished(machine.name), f"{told}\n{run.text}"
        assert playbook(BASELINE, [machine]).changes(machine.name) == {}, told
        assert machine.run(LEFT_BEHIND).stdout == "", told
    held = {c: v for c, v in verdicts(machine).items() if not c.startswith(UNKNOWN_TO_THE_LEDGER)}
    assert set(held.values()) <= {"pass", "not_applicable"}, (told, held)
    return told


def test_killed_runs_leave_no_half_state(
    machines: list[Machine], applied: tuple[Run, Run, float], story: list[str]
) -> None:
    """Thirty, at random: each time the operator gets in, and the next run that may end makes all of it good."""
    seed = int(os.environ.get("KIJUN_SEED") or random.randrange(10**6))
    story.append(f"KIJUN_SEED={seed}")
    on_each(machines, lambda machine: story.extend(kill_runs(machine, seed, applied[2])))
