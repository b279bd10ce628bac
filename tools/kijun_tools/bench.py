# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures what DESIGN asks of Kijun's speed, as ratios to a ping in the same run on the same machine."""

from __future__ import annotations

import argparse
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import bench_config_files
from kijun_lab import description

from .bench_accounts import Row, ledger_rows, reconcile_rows, rerun_row

ROOT = Path(__file__).resolve().parents[2]
INSTANCE = "4"
HOST = "server13"
OTHER = "server12"
PC = "client13"
ROUNDS = 5
TWO_ROLES = ("--tags", "authentication,time_sync")


def run(*command: str, **environment: str) -> str:
    """Run a command of the checkout.

    Returns:
        Its standard output.

    Raises:
        SystemExit: it failed.
    """
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"bench: {' '.join(command)}:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return done.stdout


def seconds(action: Callable[[], object], rounds: int = ROUNDS) -> float:
    """The median of how long an action takes."""
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        action()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def cpu_seconds(action: Callable[[], object]) -> float:
    """Processor time, user and system, that an action's processes on this side take."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    action()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def ping(hosts: str) -> str:
    """Ping hosts as Ansible does, as root like everything else here."""
    return run("ansible", hosts, "--become", "-m", "ansible.builtin.ping")


def audit(hosts: str, *arguments: str) -> str:
    """Audit hosts, evidence and report included."""
    return run("ansible-playbook", "playbooks/audit.yml", "--limit", hosts, *arguments)


def site(hosts: str, *arguments: str) -> str:
    """Bring hosts to the baseline."""
    return run("ansible-playbook", "playbooks/site.yml", "--limit", hosts, *arguments)


def asked_for() -> set[str]:
    """Packages of the host that somebody asked for, rather than another package."""
    return set(run("lab/lab", "exec", HOST, "--", "apt-mark", "showmanual").split())


def first_run(ping_seconds: float) -> Row:
    """A first run on a fresh host, against apt-get alone with the packages that the run installed."""
    run("lab/lab", "reset", HOST)
    ping(HOST)
    before = asked_for()
    ours = seconds(lambda: site(HOST), 1)
    packages = sorted(asked_for() - before)
    run("lab/lab", "reset", HOST)
    install = ("apt-get", "install", "-yqq", "--no-install-recommends", *packages)
    bare = seconds(lambda: run("lab/lab", "exec", HOST, "--", "env", "DEBIAN_FRONTEND=noninteractive", *install), 1)
    bar = 1.5 * bare + 15 * ping_seconds
    return Row(
        "first run on a fresh host",
        f"{ours:.1f} s (apt-get alone {bare:.1f} s)",
        f"1.5 × apt-get + 15 × ping = {bar:.1f} s",
        ours <= bar,
    )


def reruns(ping_seconds: float) -> list[Row]:
    """Runs with nothing to change: how long, and how often they reach for the host (executions over SSH)."""
    rows = []
    for what, arguments, bar, most in (("the whole server baseline", (), 15, 45), ("two roles", TWO_ROLES, 4, 8)):
        ratio = seconds(lambda given=arguments: site(HOST, *given)) / ping_seconds  # type: ignore[misc]
        tasks = len(re.findall(r"SSH: EXEC", site(HOST, "-vvv", *arguments)))
        rows.append(Row(f"re-run of {what}, nothing to change", f"{ratio:.2f} × ping", str(bar), ratio <= bar))
        rows.append(Row("  its remote tasks", str(tasks), str(most), tasks <= most))
    return rows


def scale(hosts: int) -> list[Row]:
    """Many hosts: names for the lab's hosts, so that the controller's work is that of as many hosts.

    Args:
        hosts: how many.
    """
    lab = description.read(int(INSTANCE))
    names = [HOST, OTHER]
    with tempfile.TemporaryDirectory() as folder:
        inventory = Path(folder) / "hosts.yml"
        entries = "".join(
            f"    many{n:04}: {{ansible_host: {lab.hosts[names[n % 2]].address}}}\n" for n in range(hosts)
        )
        inventory.write_text(f"servers:\n  hosts:\n{entries}", encoding="utf-8")
        variables = ROOT / "inventories" / "lab" / "group_vars"
        given = ["-i", str(inventory)]
        for file in sorted((*variables.glob("all/*.yml"), *variables.glob("lab/*.yml"))):
            given += ["-e", f"@{file}"]
        given += ["-e", f"kijun_lab_state={ROOT / '.lab'}", "-e", f"kijun_lab_network={lab.prefix}.{INSTANCE}"]
        given += ["-e", '{"time_sync_servers": ["time1"], "time_sync_nts_authority": ""}']
        pings = seconds(lambda: run("ansible", "servers", "--become", "-m", "ansible.builtin.ping", *given), 1)
        started = time.perf_counter()
        each = cpu_seconds(lambda: run("ansible-playbook", "playbooks/audit.yml", *given)) / hosts
        audits = time.perf_counter() - started
    ratio = audits / pings
    return [
        Row(f"audit of {hosts} hosts", f"{ratio:.2f} × ping of the same ({audits:.0f} s)", "1.5", ratio <= 1.5),
        Row("  controller's processor time, each host", f"{each:.2f} s", "0.2 s", each <= 0.2),
    ]


def fifty_files() -> Row:
    """Fifty files in one step against one: the worst of first write, no change and replacement."""
    taken = bench_config_files.measure(HOST)
    worst = max(taken[f"{kind}, 50"] / taken[f"{kind}, 1"] for kind in bench_config_files.KINDS)
    return Row("config_files with fifty files", f"{worst:.2f} × its cost with one", "1.5", worst <= 1.5)


def payload() -> int:
    """Bytes that an audit sends to a host."""
    text = audit(HOST, "-vvvv")
    sent = re.search(r"auditor payload: (\d+) bytes", text)
    if not sent:
        raise SystemExit("bench: the audit does not say how much it sent")
    return int(sent.group(1))


def pc_rerun() -> Row:
    """A re-run of a PC's baseline with nothing to change, against a ping of that PC."""
    ping_seconds = seconds(lambda: ping(PC))
    ratio = seconds(lambda: site(PC)) / ping_seconds
    return Row("re-run of a PC's baseline, nothing to change", f"{ratio:.2f} × ping", "15", ratio <= 15)


def longest_tasks() -> int:
    """Lines of the longest tasks/main.yml."""
    return max(len(file.read_text(encoding="utf-8").splitlines()) for file in ROOT.glob("roles/*/tasks/main.yml"))


def measure(many: int) -> list[Row]:
    """Measure everything.

    Args:
        many: hosts of the large audit.
    """
    run("lab/lab", "reset", HOST, OTHER, PC, "time1", "upstream")
    site(f"{HOST},{OTHER},{PC},time1")
    rows = []
    ping_seconds = seconds(lambda: ping(HOST))
    rows.append(Row("ping of one host", f"{ping_seconds:.2f} s", "", True))
    ratio = seconds(lambda: audit(HOST)) / ping_seconds
    rows.append(Row("audit of one host, every control", f"{ratio:.2f} × ping", "2", ratio <= 2))
    rows += reruns(ping_seconds)
    rows.append(pc_rerun())
    rows.append(rerun_row(HOST, run, seconds, ping_seconds))
    rows.append(first_run(ping_seconds))
    rows += scale(many)
    rows.append(fifty_files())
    rows += [*ledger_rows(), *reconcile_rows()]
    sent = payload()
    rows.append(Row("audit's payload", f"{sent / 1000:.0f} KB", "150 KB", sent < 150_000))
    lines = longest_tasks()
    rows.append(Row("longest tasks/main.yml", f"{lines} lines", "60", lines <= 60))
    return rows


def main() -> int:
    """The command ``tools/bench``.

    Returns:
        0 when every bar is held, else 1.
    """
    parser = argparse.ArgumentParser(prog="tools/bench", description="Measure, as ratios to a ping.")
    parser.add_argument("--hosts", type=int, default=100, help="hosts of the large audit (default 100)")
    many = parser.parse_args().hosts
    os.environ.update({"KIJUN_LAB": INSTANCE, "PATH": f"{ROOT / '.venv' / 'bin'}:{os.environ['PATH']}"})
    with tempfile.TemporaryDirectory() as reports:
        os.environ["KIJUN_REPORT_DIR"] = reports
        # A ledger of its own: its runs stand in no journal but this one, which is part of what they cost.
        os.environ.update({"KIJUN_LEDGER_URL": f"sqlite:///{reports}/ledger.sqlite", "KIJUN_JOURNAL": "yes"})
        run("ansible-playbook", "playbooks/ledger_migrate.yml")
        try:
            rows = measure(many)
        finally:
            run("lab/lab", "down")
    print(f"\n| {'what':56} | {'measured':38} | {'bar':38} | holds |\n|{'-' * 58}|{'-' * 40}|{'-' * 40}|-------|")
    for row in rows:
        print(f"| {row.what:56} | {row.figure:38} | {row.bar:38} | {'yes' if row.holds else 'NO':5} |")
    return 0 if all(row.holds for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
