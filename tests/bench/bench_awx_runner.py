# SPDX-License-Identifier: GPL-3.0-or-later
"""What a job of AWX costs beside plain ansible-playbook: `KIJUN_LAB=n python tests/bench/bench_awx_runner.py HOST`.

The same playbook on the same host, by turns, with what AWX writes and reads included (its database is not).
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[2] / name) for name in ("tests", "lab", "tools", "collections")]

from kijun_hosts import ROOT  # noqa: E402
from kijun_runner import BIN, Place, lab_credentials, lab_inventory, project, run_job  # noqa: E402

RUNS = 3
PLAYBOOK = "playbooks/audit.yml"


def plain(host: str) -> float:
    """Seconds of ansible-playbook from the checkout."""
    with tempfile.TemporaryDirectory() as reports:
        environment = {**os.environ, "KIJUN_REPORT_DIR": reports, "KIJUN_JOURNAL": "no"}
        line = [str(BIN / "ansible-playbook"), PLAYBOOK, "--limit", host]
        started = time.monotonic()
        subprocess.run(line, cwd=ROOT, env=environment, check=True, capture_output=True)
        return time.monotonic() - started


def job(host: str, place: Place) -> float:
    """Seconds of a job, from its first file to what comes back."""
    started = time.monotonic()
    done = run_job(
        PLAYBOOK,
        {},
        inventory=lab_inventory(),
        limit=host,
        credentials=lab_credentials(environment={"KIJUN_REPORT_DIR": "/tmp/reports"}),
        isolation=place,
    )
    assert done.ok, done.stdout
    return time.monotonic() - started


def main() -> None:
    """Measure, and print a table."""
    (host,) = sys.argv[1:]
    project()
    lab_inventory()
    job(host, Place.POD)
    taken: dict[str, list[float]] = {}
    for _ in range(RUNS):
        taken.setdefault("plain", []).append(plain(host))
        for place in Place:
            taken.setdefault(place, []).append(job(host, place))
    base = statistics.median(taken["plain"])
    print(f"load {os.getloadavg()[0]:.1f}")
    for name, seconds in taken.items():
        middle = statistics.median(seconds)
        each = ", ".join(f"{one:.2f}" for one in seconds)
        print(f"{name:6} {middle:6.2f} s  {middle - base:+6.2f} s  {middle / base:5.2f} ×  ({each})")


if __name__ == "__main__":
    main()
