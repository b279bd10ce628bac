# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts of a lab of their own, on which runs are killed and things are broken."""

from __future__ import annotations

import concurrent.futures
import os
import subprocess
from collections.abc import Callable, Iterator, Sequence

import pytest
from kijun_hosts import ROOT, Machine

from .runs import playbook

NAMES = tuple(os.environ.get("KIJUN_HOSTS", "server12,server13").split(","))
"""The hosts under test."""


def lab(*words: str) -> None:
    """Call the lab's command, which must succeed."""
    done = subprocess.run(["lab/lab", *words], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="session", autouse=True)
def instance() -> Iterator[None]:
    """The outside world and the internal time server, which the hosts under test follow; all removed at the end."""
    os.environ["KIJUN_REPORT_DIR"] = str(ROOT / ".cache" / "faults-reports")
    lab("reset", "upstream", "time1", *NAMES)
    try:
        Machine("time1").site()
        yield
    finally:
        lab("down")


@pytest.fixture(scope="session")
def machines(instance: None) -> list[Machine]:
    """A host of each release."""
    return [Machine(name) for name in NAMES]


def make_fresh(*machines: Machine) -> None:
    """Have hosts as nobody has touched them, but for the mark that sudo leaves for each new administrator."""
    lab("reset", *(machine.name for machine in machines))
    on_each(machines, lambda machine: machine.ok("true"))


@pytest.fixture
def fresh(machines: list[Machine]) -> list[Machine]:
    """The same, as nobody has touched them."""
    make_fresh(*machines)
    return machines


@pytest.fixture
def hardened(machines: list[Machine]) -> list[Machine]:
    """The same, at the baseline."""
    run = playbook("site", machines)
    assert all(run.finished(machine.name) for machine in machines), run.text
    return machines


def on_each(machines: Sequence[Machine], action: Callable[[Machine], object]) -> None:
    """Do the same on several hosts at once; the first error is raised."""
    with concurrent.futures.ThreadPoolExecutor(len(machines)) as pool:
        for future in [pool.submit(action, machine) for machine in machines]:
            future.result()
