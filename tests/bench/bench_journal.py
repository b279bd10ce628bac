# SPDX-License-Identifier: GPL-3.0-or-later
"""What the operations journal costs a run: its two appends, and real runs with it and without it by turns."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ansible_collections.kijun.baseline.plugins.plugin_utils.journal import run_entry
from ansible_collections.kijun.baseline.plugins.plugin_utils.journal.trail import Trail
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger import light, migrate

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests" / "unit" / "data" / "journal"


def seconds_of_appends(url: str, hosts: int, times: int) -> tuple[float, float]:
    """The median seconds of opening and of closing a run's entry.

    Args:
        url: the ledger.
        hosts: hosts of the run; each has ten changed tasks.
        times: how many runs.
    """
    names = ["host%04d.example.com" % number for number in range(hosts)]
    opens, closes = [], []
    for number in range(times):
        run = {"at": "2026-11-28T11:00:00Z", "playbook": "site.yml", "hosts": names, "emergency": ""}
        opening = run_entry.opened({}, {}, {**run, "versions": {}, "git": {}, "controller": {}})
        key = "run-%d-%d" % (hosts, number)
        started = time.perf_counter()
        light.append(url, [light.Entry("operations", key, "open", "", {"id": key, **opening})], "bench")
        opens.append(time.perf_counter() - started)
        outcomes = run_entry.Outcomes()
        for task in range(10):
            for name in names:
                outcomes.change(name, "Task %d" % task, ["/etc/%d.conf" % task])
        counts = {kind: dict.fromkeys(names, 10) for kind in ("ok", "changed")}
        started = time.perf_counter()
        closing = outcomes.closed(opening, counts, until="2026-11-28T11:05:00Z", seconds=300)
        light.append(url, [light.Entry("operations", key, "close", "open", closing)], "bench")
        closes.append(time.perf_counter() - started)
    return statistics.median(opens), statistics.median(closes)


def seconds_of_trail(results: int) -> float:
    """Seconds that a trail takes for each changed result with a diff of forty lines.

    Args:
        results: how many.
    """
    lines = ["setting_%d = %d" % (number, number) for number in range(40)]
    trail = Trail()
    started = time.perf_counter()
    for number in range(results):
        diff = {"before": "\n".join(lines), "after": "\n".join([*lines[:20], "new = %d" % number, *lines[20:]])}
        trail.add("2026-11-28T11:00:00Z", "host%d" % number, "Write", "changed", {"diff": diff, "msg": "ok"})
    trail.ended()
    return (time.perf_counter() - started) / results


def cpu_and_seconds(command: list[str], environment: dict[str, str], folder: Path) -> tuple[float, float]:
    """Processor time and time of a program."""
    before = os.times()
    started = time.perf_counter()
    subprocess.run(
        command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL
    )
    after = os.times()
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    return spent, time.perf_counter() - started


def runs(url: str, hosts: int, times: int, playbook: str) -> dict[str, tuple[float, float]]:
    """Median processor time and time of runs with the journal and without it, by turns.

    Args:
        url: the ledger.
        hosts: how many hosts, all of them this machine.
        times: how many of each.
        playbook: the file below the tests' data.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shared = {"environment_marker_name": "lab", "ansible_connection": "local", "place": name}
        shared["ansible_python_interpreter"] = sys.executable
        members: dict[str, dict[str, str]] = {"h%d" % number: {} for number in range(hosts)}
        (folder / "hosts.json").write_text(json.dumps({"all": {"vars": shared, "hosts": members}}), encoding="utf-8")
        (folder / "ansible.cfg").touch()
        command = [str(Path(sys.executable).parent / "ansible-playbook"), "-i", "hosts.json", str(DATA / playbook)]
        common = {
            **os.environ,
            "ANSIBLE_CONFIG": str(folder / "ansible.cfg"),
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections"),
            "ANSIBLE_FORKS": "20",
            "KIJUN_LEDGER_URL": url,
        }
        settings = {
            "without": {**common, "ANSIBLE_CALLBACKS_ENABLED": "kijun.baseline.evidence"},
            "with": {
                **common,
                "ANSIBLE_CALLBACKS_ENABLED": "kijun.baseline.evidence,kijun.baseline.operations_journal",
                "KIJUN_JOURNAL": "yes",
            },
        }
        found: dict[str, list[tuple[float, float]]] = {"without": [], "with": []}
        for number in range(times + 1):
            for kind in ("without", "with"):
                measured = cpu_and_seconds([*command, "-e", "level=%d%s" % (number, kind)], settings[kind], folder)
                if number:  # the first pays for compiled files
                    found[kind].append(measured)
    return {
        kind: (statistics.median(cpu for cpu, _ in pairs), statistics.median(wall for _, wall in pairs))
        for kind, pairs in found.items()
    }


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=7, help="runs of each kind (default 7)")
    times = parser.parse_args().times
    with tempfile.TemporaryDirectory() as folder:
        url = "sqlite:///%s/ledger.sqlite" % folder
        migrate.upgrade(url)
        for hosts in (1, 100, 1000):
            opening, closing = seconds_of_appends(url, hosts, 15)
            print("%d hosts: open %.1f ms, close %.1f ms" % (hosts, 1000 * opening, 1000 * closing))
        print("trail: %.0f µs for a changed result with its diff" % (1e6 * seconds_of_trail(2000)))
        for playbook, hosts in (("look.yml", 1), ("look.yml", 50), ("change.yml", 10)):
            found = runs(url, hosts, times, playbook)
            more = [100 * (found["with"][n] / found["without"][n] - 1) for n in (0, 1)]
            print(
                "%s on %d hosts: without %.2f s (cpu %.2f), with %.2f s (cpu %.2f): %+.1f %% (cpu %+.1f %%)"
                % (
                    playbook,
                    hosts,
                    found["without"][1],
                    found["without"][0],
                    *reversed(found["with"]),
                    more[1],
                    more[0],
                )
            )


if __name__ == "__main__":
    main()
