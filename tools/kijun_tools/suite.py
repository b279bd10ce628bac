# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the parts of the test suite, some side by side, and says how they ended."""

from __future__ import annotations

import argparse
import contextlib
import os
import resource
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
STATE = ROOT / ".cache" / "test"
BIN = ROOT / ".venv" / "bin"

PROGRESS = 30
"""Seconds between two lines that say what is still running."""

GRACE = 30
"""Seconds that an interrupted part has to take its hosts down."""

SHOWN = 400
"""Lines of a failed part's log that are printed."""

FAILED = frozenset({"failure", "error"})
"""What a test that failed has in a JUnit file."""

INTERRUPTIONS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class Part:
    """One program of the suite.

    Attributes:
        name: what it is called in the summary and on the command line; also its log's name.
        command: program and arguments.
        environment: variables that it gets beside the suite's own.
    """

    name: str
    command: Sequence[str]
    environment: dict[str, str] = field(default_factory=dict)


class Counts(NamedTuple):
    """How many tests ended how."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def plus(self, other: Counts) -> Counts:
        """The sum of two counts."""
        return Counts(*(a + b for a, b in zip(self, other, strict=True)))


def pytest(name: str, folder: str, *arguments: str, lab: int | None = None, host: str = "") -> Part:
    """A part that runs the tests of one folder or file.

    Args:
        name: the part's name.
        folder: the folder, or file, below tests/.
        arguments: further arguments for pytest.
        lab: number of the lab instance that is theirs.
        host: the one host that they attack; one of each release when empty.
    """
    environment = ({} if lab is None else {"KIJUN_LAB": str(lab)}) | ({"KIJUN_HOSTS": host} if host else {})
    return Part(name, (str(BIN / "python"), "-m", "pytest", f"tests/{folder}", "-v", *arguments), environment)


def molecule(scenario: str, lab: int, host: str = "", selected: str = "") -> Part:
    """A part that runs a molecule scenario on a lab instance of its own.

    Args:
        scenario: its name.
        lab: number of the lab instance.
        host: the one host that it runs on; all of the scenario's when empty.
        selected: which of its tests are run, as pytest's ``-k`` has it; what its verify.yml says when empty.
    """
    given = {"KIJUN_HOSTS": host, "KIJUN_SELECTED": selected}
    environment = {"KIJUN_LAB": str(lab), **{name: value for name, value in given.items() if value}}
    return Part(f"molecule-{scenario}", ("molecule", "test", "-s", scenario), environment)


DESKTOP = "behaviour/test_client_desktop.py"
FORKING = "tests/unit/test_file_transaction.py"

APART = ("test_guard", "test_server_baseline")
"""What of tests/faults has hosts of its own."""

MODULES = (
    *(
        "test_accounts_module",
        "test_assets",
        "test_assets_devices",
        "test_config_files",
        "test_facts",
        "test_media",
        "test_modules",
    ),
    "test_operations_journal",
)
"""Files of tests/behaviour that are about no role; the roles' attacks are run by molecule."""

SLOTS = 2
"""Parts that run side by side in any case: as many as there are cores."""

MOST = 5
"""Parts that run side by side at most."""

SPARE = 0.3
"""The part of the processors' time that must be left over for one more part to begin. Most parts wait for half of their
time: for a refused login, a clock, a service."""

LOOK = 10.0
"""Seconds over which that is looked at, after a part has begun."""

# Parts that stand together run side by side, in this order, as slots get free.
FAST: list[tuple[Part, ...]] = [
    (Part("ruff", ("ruff", "check", ".")), Part("ruff-format", ("ruff", "format", "--check", "."))),
    (Part("yamllint", ("yamllint", "--strict", ".")), Part("mypy", ("mypy",))),
    (pytest("unit", "unit", "--numprocesses=2", f"--ignore={FORKING}"),),
    # It forks: a worker of xdist has threads, and a fork of those may wait for ever for a lock that one of them held.
    (
        Part("ansible-lint", ("ansible-lint", "--strict", "--offline")),
        pytest("unit-forking", FORKING.removeprefix("tests/")),
    ),
]
SCENARIOS = {
    "client": (44, "client13"),
    "firewall": (23, "server13"),
    "filesystem": (25, "server13"),
    "minimal_services": (24, "server12"),
    "privileges": (22, "server13"),
    "ssh": (21, "server12"),
    "environment_marker": (27, "server13"),
    "exceptions": (20, "server12"),
    "certificates": (29, "server13"),
    "security_updates": (28, "server12"),
    "kernel": (26, "server13"),
    "auditd": (31, "server13"),
}
"""Scenarios of one host, longest first: scenario -> its lab instance, and the host that `make test` takes."""


MALWARE = "server12,server13,client12,client13,time1,localhost"
"""All hosts of that scenario."""

SLOW = (
    pytest("desktop", DESKTOP, "--lab-hosts=client12,client13", lab=43),
    pytest("client-vm", "behaviour/test_client_vm.py", "--lab-hosts=vm12,vm13", lab=46),
    pytest("client-reset", "behaviour/test_client_reset_vm.py", "--lab-hosts=vm12,vm13", lab=44),
    pytest("media-erase", "behaviour/test_media_erase_vm.py", "--lab-hosts=vm12,vm13", lab=45),
    pytest("removable-media", "behaviour/test_removable_media_vm.py", "--lab-hosts=vm12,vm13", lab=42),
)
"""A desktop, which is a thousand packages; and emulated machines with sticks: each step takes half a minute there."""


def hosts(both: bool) -> tuple[Part, ...]:
    """What attacks hosts, the longest first, so that none of it is left over at the end.

    Args:
        both: attack both releases everywhere. `make test` does so for the baseline as a whole and for accounts, and
            gives all else to one release, by turns.
    """

    def one(host: str) -> str:
        return "" if both else host

    return (
        # With all of them, a server is away for ten minutes while a million records are written.
        molecule("logging", lab=30, selected="test" if both else ""),
        molecule("backup", lab=32, selected="test" if both else ""),
        molecule("change", lab=34, selected="test" if both else ""),
        molecule("antimalware", lab=40, host=MALWARE if both else "", selected="test" if both else ""),
        pytest(
            "modules",
            f"behaviour/{MODULES[0]}.py",
            *(f"tests/behaviour/{name}.py" for name in MODULES[1:]),
            *(() if both else ("--turns",)),
            lab=7,
        ),
        pytest("ledger", "ledger", lab=9),
        pytest(
            "faults",
            "faults",
            *(f"--ignore=tests/faults/{name}.py" for name in APART),
            lab=3,
            host=one("server13"),
        ),
        pytest("ledger-server", "behaviour/test_ledger_server.py", "--lab-hosts=server12,ledger", lab=10),
        pytest("incidents", "behaviour/test_incidents.py", "--lab-hosts=server13", lab=41),
        pytest("awx-jobs", "behaviour/test_awx_jobs.py", "--lab-hosts=server13", lab=48),
        pytest(
            "awx-runner",
            "behaviour/test_awx_runner.py",
            "tests/behaviour/test_awx_cancels.py",
            "tests/behaviour/test_report_store.py",
            "--lab-hosts=server13",
            lab=47,
        ),
        molecule("accounts", lab=8),
        pytest("server-baseline", "faults/test_server_baseline.py", *(() if both else ("-k", "not killed")), lab=12),
        molecule("authentication", 1, one("server12")),
        molecule("time_sync", 2, one("server13")),
        pytest("guard", "faults/test_guard.py", lab=11, host=one("server12")),
        pytest("report", "report"),
        pytest("awx", "awx"),
        *(molecule(name, lab, one(host)) for name, (lab, host) in SCENARIOS.items()),
        pytest("layouts", "layouts", lab=5),
        *(SLOW if both else ()),
    )


LAB: tuple[Part, ...] = (pytest("lab", "lab", lab=6),)
HOSTS: list[tuple[Part, ...]] = [LAB, hosts(both=False)]
BOTH: list[tuple[Part, ...]] = [hosts(both=True)]
"""Both releases everywhere, thirty killed runs, a million records, and what is left out otherwise: three hours."""

ALL: list[tuple[Part, ...]] = [*FAST, *HOSTS]
"""The lab makes the images of all hosts, and takes the time that a fresh one needs: nothing runs beside it."""

SUITES = {"fast": FAST, "hosts": HOSTS, "both": BOTH, "all": ALL}


class Run:
    """A part that runs, its output going to its log.

    Args:
        part: what to run.
    """

    def __init__(self, part: Part) -> None:
        """Start it."""
        self.part = part
        self.log = STATE / f"{part.name}.log"
        self.junit = STATE / "junit" / part.name
        self.junit.mkdir(parents=True, exist_ok=True)
        for left_over in self.junit.glob("*.xml"):
            left_over.unlink()
        environment = {
            **os.environ,
            **part.environment,
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "KIJUN_JUNIT": str(self.junit),
            "PYTHONUNBUFFERED": "1",
        }
        self.started = time.monotonic()
        self.ended: float | None = None
        self.cpu = 0.0
        with self.log.open("wb") as log:
            # A session of its own: an interruption reaches this part's processes, and nobody else's.
            self.process = subprocess.Popen(
                part.command,
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def seconds(self) -> float:
        """How long it has run."""
        return (self.ended or time.monotonic()) - self.started

    def finished(self) -> bool:
        """Whether it has ended; if so, `cpu` is the processor time, in seconds, of it and all that it waited for."""
        if self.ended is None:
            before = _cpu_of_children()
            if self.process.poll() is not None:
                self.ended = time.monotonic()
                self.cpu = _cpu_of_children() - before
        return self.ended is not None

    def ok(self) -> bool:
        """Whether it ended well."""
        return self.process.returncode == 0

    def counts(self) -> Counts:
        """Its tests: those that its JUnit files tell of; a part without any counts as one test.

        A part that failed without a failed test (a scenario that did not converge) counts one failure.
        """
        counts = Counts()
        for file in sorted(self.junit.glob("*.xml")):
            counts = counts.plus(junit_counts(file))
        if not self.ok() and not counts.failed:
            return counts.plus(Counts(failed=1))
        if self.ok() and self.part.command[0] in ("molecule", "ansible-lint", "mypy", "ruff", "yamllint"):
            return counts.plus(Counts(passed=1))
        return counts

    def failures(self) -> list[str]:
        """What of it failed, a line each: the test and the beginning of its message, or the log's last line."""
        if self.ok():
            return []
        failed = [line for file in sorted(self.junit.glob("*.xml")) for line in junit_failures(file)]
        return failed or [f"exit status {self.process.returncode}: {self.last_line()}"]

    def last_line(self) -> str:
        """The last line of its log so far."""
        return next((line.strip()[:100] for line in reversed(self.lines()) if line.strip()), "")

    def lines(self) -> list[str]:
        """Its log so far."""
        return self.log.read_text(encoding="utf-8", errors="replace").splitlines()

    def stop(self, number: signal.Signals) -> None:
        """Send a signal to it and to all that it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)


def _cpu_of_children() -> float:
    """Processor time, user and system, in seconds, of all processes that this one has waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def junit_counts(file: Path) -> Counts:
    """Count the tests of a JUnit file.

    Args:
        file: what pytest's ``--junitxml`` wrote; it is this suite's own.
    """
    counts = Counts()
    for case in ElementTree.parse(file).getroot().iter("testcase"):  # noqa: S314 (pytest of this run wrote it)
        kinds = {child.tag for child in case}
        if kinds & FAILED:
            counts = counts.plus(Counts(failed=1))
        elif "skipped" in kinds:
            counts = counts.plus(Counts(skipped=1))
        else:
            counts = counts.plus(Counts(passed=1))
    return counts


def junit_failures(file: Path) -> list[str]:
    """Name the failed tests of a JUnit file, each with the first line of what it says.

    Args:
        file: what pytest's ``--junitxml`` wrote; it is this suite's own.
    """
    cases = ElementTree.parse(file).getroot().iter("testcase")  # noqa: S314 (pytest of this run wrote it)
    return [
        f"{case.get('classname')}.{case.get('name')}: {gist(child.get('message', ''))}"
        for case in cases
        for child in case
        if child.tag in FAILED
    ]


def gist(message: str) -> str:
    """One line of a failed test's message: the first, and what a playbook's output says went wrong.

    Args:
        message: the message; of an assertion about a playbook it is all that ansible-playbook printed.
    """
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    wrong = [line for line in lines[1:] if line.startswith(("[ERROR]", "fatal:", "failed:"))]
    return " ".join([*lines[:1], *wrong[:2]])[:400]


class Interrupted(Exception):
    """Somebody asked the suite to stop."""


def interrupt(number: int, frame: FrameType | None) -> None:
    """Turn a signal into an exception, so that what runs is stopped on the way out."""
    raise Interrupted(signal.Signals(number).name)


class Processors:
    """How busy the processors are: with the parts, their hosts, and whatever else the machine does."""

    def __init__(self) -> None:
        self.look_anew()

    def look_anew(self) -> None:
        """Forget what was: somebody has begun, who will take a part of it."""
        self._since, self._idle, self._all = time.monotonic(), *processor_times()

    def are_spare(self) -> bool:
        """Whether one more could begin."""
        if time.monotonic() - self._since < LOOK:
            return False
        idle, total = processor_times()
        spare = (idle - self._idle) / max(1, total - self._all)
        self.look_anew()
        return spare >= SPARE


def processor_times() -> tuple[int, int]:
    """The time for which the processors had nothing to do since the machine started, and all of their time."""
    # user, nice, system, idle, iowait, irq, softirq, steal; what comes behind is in user already.
    times = [int(word) for word in Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:9]]
    return times[3], sum(times)


def run_together(parts: Sequence[Part], slots: int = SLOTS) -> list[Run]:
    """Run parts side by side and wait for all of them.

    Args:
        parts: what to run, in the order in which they begin.
        slots: how many at once in any case; more, up to `MOST`, while these leave processors idle.

    Returns:
        The parts that ran, ended.

    Raises:
        Interrupted: after everything that was started has been stopped.
    """
    waiting, running, runs, told = list(parts), list[Run](), list[Run](), time.monotonic()
    processors = Processors()
    try:
        while waiting or running:
            for run in [run for run in running if run.finished()]:
                running.remove(run)
                _tell_end(run)
            while waiting and (len(running) < slots or (len(running) < MOST and processors.are_spare())):
                clear_lab(waiting[0])
                runs.append(Run(waiting.pop(0)))
                processors.look_anew()
                running.append(runs[-1])
                say(f"{runs[-1].part.name}: started, {runs[-1].log.relative_to(ROOT)}")
            if time.monotonic() - told >= PROGRESS:
                told = time.monotonic()
                for run in running:
                    say(f"{run.part.name}: {run.seconds():.0f} s so far: {run.last_line()}")
            time.sleep(0.2)
    except BaseException:
        # Interrupted, or a part's program is missing.
        _stop(runs)
        for run in running:
            clear_lab(run.part)
        raise
    return runs


def clear_lab(part: Part) -> None:
    """Remove a part's hosts: what an earlier run left, of this checkout or of another one, is in the way."""
    if "KIJUN_LAB" in part.environment:
        subprocess.run(["lab/lab", "down"], cwd=ROOT, env={**os.environ, **part.environment}, check=False)


def _tell_end(run: Run) -> None:
    """Say how a part ended, show what failed, and remove its hosts."""
    say(f"{run.part.name}: {'ok' if run.ok() else 'FAILED'} in {run.seconds():.0f} s")
    if not run.ok():
        print("\n".join(run.lines()[-SHOWN:]), flush=True)
    clear_lab(run.part)


def _stop(runs: list[Run]) -> None:
    """Stop what still runs: gently, then for good. Nothing interrupts the stopping."""
    for number in INTERRUPTIONS:
        signal.signal(number, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGKILL):
        for run in runs:
            if not run.finished():
                run.stop(number)
        end = time.monotonic() + GRACE
        while time.monotonic() < end and any(not run.finished() for run in runs):
            time.sleep(0.1)


def say(line: str) -> None:
    """Print a line with the time of day."""
    print(time.strftime("%H:%M:%S ") + line, flush=True)


def summary(runs: list[Run], seconds: float) -> Counts:
    """Print how long each part took, how its tests ended, and which of them failed.

    Args:
        runs: the parts that ran.
        seconds: how long all of it took.

    Returns:
        The sum of their counts.
    """
    total = Counts()
    print(f"\n{'part':26} {'seconds':>8} {'cpu':>6} {'passed':>7} {'failed':>7} {'skipped':>8}")
    for run in runs:
        counts = run.counts()
        total = total.plus(counts)
        times = f"{run.seconds():8.0f} {run.cpu:6.0f}"
        print(f"{run.part.name:26} {times} {counts.passed:7} {counts.failed:7} {counts.skipped:8}")
    # Without what the lab's hosts did.
    times = f"{seconds:8.0f} {sum(run.cpu for run in runs):6.0f}"
    print(f"{'all':26} {times} {total.passed:7} {total.failed:7} {total.skipped:8}\n")
    # Last of all, where somebody who sees no more than the end of the output finds it.
    for run in runs:
        for failure in run.failures():
            print(f"{run.part.name}: {failure}")
    return total


def chosen_parts(names: Sequence[str]) -> list[tuple[Part, ...]]:
    """The parts that the command line names.

    Args:
        names: ``fast``, ``hosts``, ``both``, ``all``, or names of parts.

    Raises:
        SystemExit: an unknown name.
    """
    if len(names) == 1 and names[0] in SUITES:
        return SUITES[names[0]]
    known = {part.name: part for stage in SUITES["all"] for part in stage}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise SystemExit(
            f"tools/test: no part {', '.join(unknown)}; there are fast, hosts, both, all, {', '.join(known)}"
        )
    return [tuple(known[name] for name in names)]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command ``tools/test``: run parts, and end with one line of totals.

    Returns:
        The exit status: 0 when all passed, 130 when interrupted, else 1.
    """
    parser = argparse.ArgumentParser(prog="tools/test", description="Run the tests.")
    parser.add_argument(
        "parts",
        nargs="*",
        default=["all"],
        metavar="PART",
        help="fast, hosts, both, all (default), or parts by name",
    )
    stages = chosen_parts(parser.parse_args(arguments).parts)
    for number in INTERRUPTIONS:
        signal.signal(number, interrupt)
    started = time.monotonic()
    runs: list[Run] = []
    try:
        for stage in stages:
            runs += run_together(stage)
    except Interrupted as reason:
        say(f"stopped by {reason}")
        return 130
    total = summary(runs, time.monotonic() - started)
    skipped = f", {total.skipped} skipped" if total.skipped else ""
    print(f"{total.passed} passed, {total.failed} failed{skipped}")
    return 0 if all(run.ok() for run in runs) and not total.failed else 1


if __name__ == "__main__":
    sys.exit(main())
