# SPDX-License-Identifier: GPL-3.0-or-later
"""An audit in slices, as AWX runs it: `KIJUN_LAB=n python tests/bench/bench_slices.py [--hosts 1000] [--slices 1 4 8]`.

One host of the lab, server13, is really audited, by its container's shell; the hosts are simulated: they answer what
it answered, and cost nothing, so that the figures are AWX's and the controller's, without SSH. Slices run at the same
time, each in a pod of its own; behind them their reports are made one, in which every host must stand once.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[2] / name) for name in ("tests", "lab", "tools", "collections")]

from kijun_hosts import ROOT  # noqa: E402
from kijun_runner import (  # noqa: E402
    BIN,
    LARGEST_ARTIFACTS,
    LARGEST_EVENT,
    RUNNER,
    Result,
    lab_credentials,
    lab_inventory,
    project,
    run_job,
    shared_folder,
)

HOST = "server13"
CONNECTION = "tests/bench/connection"
KEPT = "/kept"
MIB = 1024
WAIT = 3600


def many(count: int) -> dict[str, Any]:
    """The lab's inventory with so many simulated hosts."""
    found = copy.deepcopy(lab_inventory())
    of_all = {**found["_meta"]["hostvars"][HOST], "ansible_connection": "simulated", "ansible_become": False}
    names = [f"many{number:04}" for number in range(count)]
    found["_meta"]["hostvars"] = {name: dict(of_all) for name in names}
    for name in set(found) - {"_meta"}:
        if "hosts" in found[name]:
            found[name]["hosts"] = []
    found["servers"]["hosts"] = names
    # Their sources of time are not among the names.
    found["all"].setdefault("vars", {}).update(time_sync_servers=["time1"], time_sync_nts_authority="")
    return found


def busy() -> float:
    """Seconds of the processor that this machine has worked, hosts of the lab included: proc_stat(5)."""
    user, nice, system, _idle, _wait, irq, softirq = (
        int(word) for word in Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:8]
    )
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def available() -> int:
    """Memory that is to be had, in MiB: proc_meminfo(5)."""
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")) // MIB


@contextmanager
def memory() -> Iterator[list[int]]:
    """The most memory, in MiB, that is taken while the block runs, as the list's one entry."""
    before, most, ended = available(), [0], threading.Event()

    def watch() -> None:
        while not ended.wait(0.5):
            most[0] = max(most[0], before - available())

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield most
    finally:
        ended.set()
        thread.join()


def answer(file: Path) -> None:
    """Have the host audited once, and keep what it answers.

    Args:
        file: where.
    """
    given = {"ansible_connection": "simulated", "ansible_become": False}
    environment = {
        "ANSIBLE_CONNECTION_PLUGINS": CONNECTION,
        "KIJUN_ANSWER": str(file),
        "KIJUN_ANSWER_OF": HOST,
        "KIJUN_JOURNAL": "no",
        "KIJUN_REPORT_DIR": f"{file}.reports",
    }
    line = [str(BIN / "ansible-playbook"), "playbooks/audit.yml", "--limit", HOST, "-e", json.dumps(given)]
    subprocess.run(line, cwd=ROOT, env={**os.environ, **environment}, check=True, capture_output=True)
    file.chmod(0o644)


def audit(inventory: dict[str, Any], folder: Path, slices: int) -> tuple[list[Result], Result, float]:
    """Audit in slices, and make their reports one.

    Returns:
        The slices' jobs, the one behind them, and how long the slices took together, in seconds.
    """
    ledger = {"KIJUN_LEDGER_URL": f"sqlite:///{KEPT}/ledger.sqlite", "KIJUN_JOURNAL": "yes"}
    given: dict[str, Any] = {
        "inventory": inventory,
        "credentials": lab_credentials(environment={"KIJUN_REPORT_DIR": f"{KEPT}/reports", **ledger}),
        "volumes": [(folder, KEPT)],
        "environment": {
            "ANSIBLE_CONNECTION_PLUGINS": f"{RUNNER}/project/{CONNECTION}",
            "KIJUN_ANSWER": f"{KEPT}/answer",
        },
        "timeout": WAIT,
    }
    assert run_job("playbooks/ledger_migrate.yml", {}, **given).ok

    def job(number: int) -> Result:
        known = {"awx_job_id": 4710 + number}
        return run_job("playbooks/audit.yml", {}, variables=known, job_slice=(number, slices), **given)

    started = time.monotonic()
    with ThreadPoolExecutor(slices) as pool:
        jobs = list(pool.map(job, range(1, slices + 1)))
    seconds = time.monotonic() - started
    for one in jobs:
        assert one.ok, one.stdout[-3000:] + one.stderr[-3000:]
    told: dict[str, Any] = {}
    for one in jobs:
        told |= one.artifacts
    merged = run_job("playbooks/audit_merge.yml", {}, variables=told, **given)
    assert merged.ok, merged.stdout[-3000:]
    return jobs, merged, seconds


def measure(count: int, slices: int) -> list[str]:
    """Audit so many hosts in so many slices.

    Returns:
        A row of the table.
    """
    inventory = many(count)
    with shared_folder() as folder, memory() as most:
        answer(folder / "answer")
        before = busy()
        jobs, merged, seconds = audit(inventory, folder, slices)
        worked = busy() - before
        run = folder / "reports" / Path(merged.artifacts["kijun_audit_run"]).name
        names = sorted(path.stem for path in (run / "hosts").iterdir())
        assert names == sorted(inventory["_meta"]["hostvars"]), "a host is missing, or there twice"
        size = (run / "report.html").stat().st_size
    events = [len(json.dumps(event.get("event_data", {}).get("res", {}))) for job in jobs for event in job.events]
    artifacts = max(len(json.dumps(job.artifacts)) for job in jobs)
    assert max(events) < LARGEST_EVENT and artifacts < LARGEST_ARTIFACTS, "AWX would cut it"
    return [
        str(slices),
        f"{seconds:.0f} s",
        f"{max(job.seconds for job in jobs):.0f} s",
        f"{merged.seconds:.1f} s",
        f"{worked / count:.2f} s",
        f"{most[0]} MiB",
        f"{artifacts / 1000:.0f} KB",
        f"{size / 1e6:.1f} MB",
    ]


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description="An audit in slices, as AWX runs it.")
    parser.add_argument("--hosts", type=int, default=1000, help="how many hosts (default 1000)")
    parser.add_argument("--slices", type=int, nargs="+", default=[1, 4, 8], help="how many slices (default 1 4 8)")
    given = parser.parse_args()
    project()
    heads = ["slices", "together", "longest", "merge", "processor a host", "memory", "artifacts", "report"]
    print(" | ".join(heads), flush=True)
    for slices in given.slices:
        print(" | ".join(measure(given.hosts, slices)), flush=True)


if __name__ == "__main__":
    main()
