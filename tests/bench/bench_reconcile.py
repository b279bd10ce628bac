# SPDX-License-Identifier: GPL-3.0-or-later
"""What it costs to hold 1,000 hosts with 200 accounts each against the ledger, on the controller.

Run it:  .venv/bin/python tests/bench/bench_reconcile.py [--hosts N] [--accounts N]
Each sample runs in a process of its own, whose largest resident memory is taken. Making the sample is not measured.
It waits for nothing: the bar is on processor time, which on an idle machine is the time that passes. Both are printed.
The bar is 5 s and 500 MB (of 10^6 bytes), for a fleet with few findings and for one with every tenth account wrong.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
BAR_SECONDS = 5.0
BAR_MEGABYTES = 500.0
SAMPLES = {"few findings": 0.002, "every tenth account differs": 0.1}


class Figures(NamedTuple):
    """What one sample took: seconds of the processor and on the wall, megabytes at most, and how much was found."""

    seconds: float
    wall: float
    megabytes: float
    findings: int
    hosts: int
    accounts: int

    @property
    def holds(self) -> bool:
        """Whether both bars are held."""
        return self.seconds <= BAR_SECONDS and self.megabytes <= BAR_MEGABYTES


def clocks() -> tuple[float, float]:
    """Processor time of this process, and time on the wall, in seconds."""
    return time.process_time(), time.perf_counter()


def since(started: tuple[float, float]) -> tuple[float, float]:
    """What both clocks say has passed."""
    processor, wall = clocks()
    return processor - started[0], wall - started[1]


def take(hosts: int, accounts: int, bad: float) -> Figures:
    """Reconcile one sample in this process."""
    sys.path[:0] = [str(ROOT / "collections"), str(ROOT / "tests" / "report")]
    import sample_accounts
    from ansible_collections.kijun.baseline.plugins.plugin_utils.accounts import reconcile

    making = [0.0, 0.0]

    def results() -> Iterator[reconcile.HostResult]:
        samples = iter(sample_accounts.fleet(hosts, accounts, bad))
        for _ in range(hosts):
            started = clocks()
            sample = next(samples)
            making[:] = [total + spent for total, spent in zip(making, since(started), strict=True)]
            yield reconcile.reconcile_host(sample.host, sample.expected, sample.state)

    started = clocks()
    whole = reconcile.reconcile_all(results())
    reconcile.to_suspend(whole)
    processor, wall = (spent - made for spent, made in zip(since(started), making, strict=True))
    # ru_maxrss is in KiB on Linux, see getrusage(2).
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    return Figures(processor, wall, megabytes, len(whole.findings), len(whole.hosts), whole.accounts)


def measure(hosts: int = 1000, accounts: int = 200) -> dict[str, Figures]:
    """Take every sample, each in a fresh process."""
    taken = {}
    for name, bad in SAMPLES.items():
        arguments = ["--hosts", str(hosts), "--accounts", str(accounts), "--bad", str(bad)]
        done = subprocess.run(
            [sys.executable, __file__, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            check=True,
        )
        taken[name] = Figures(*json.loads(done.stdout))
    return taken


def main(argv: list[str] | None = None) -> int:
    """Print the table; the exit status tells whether the bars are held."""
    parser = argparse.ArgumentParser(description="Measure the reconciliation of hosts with the account ledger.")
    parser.add_argument("--hosts", type=int, default=1000)
    parser.add_argument("--accounts", type=int, default=200, help="accounts on each host")
    parser.add_argument("--bad", type=float, help="measure one sample here, with this share of accounts differing")
    given = parser.parse_args(argv)
    if given.bad is not None:
        print(json.dumps(take(given.hosts, given.accounts, given.bad)))
        return 0
    taken = measure(given.hosts, given.accounts)
    for name, figures in taken.items():
        print(
            f"{figures.hosts} hosts, {figures.accounts} accounts, {name} ({figures.findings} findings): "
            f"{figures.seconds:.2f} s of the processor (bar {BAR_SECONDS:.0f}; {figures.wall:.2f} s on the wall), "
            f"{figures.megabytes:.0f} MB (bar {BAR_MEGABYTES:.0f})"
        )
    return 0 if all(figures.holds for figures in taken.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
