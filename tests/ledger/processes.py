# SPDX-License-Identifier: GPL-3.0-or-later
"""Many processes on one ledger, and processes that are killed. A program, so that its children are forked from a
process that has opened no ledger yet; it prints what it saw as JSON. PYTHONPATH names tests and collections.

Usage:  processes.py writers URL PROCESSES APPENDS
        processes.py killed-writers URL KILLS
        processes.py killed-migrations URL KILLS
"""

from __future__ import annotations

import json
import os
import random
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

import kijun_ledgers as sample
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger import migrate
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.book import Change
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.engine import Ledger
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.errors import LedgerError, Stale

BOOK = "accounts"
ROUNDS = 3
BATCH = 5


def child(work: Callable[[Callable[[Any], None]], None]) -> tuple[int, int]:
    """Start a process that reports lines of JSON.

    Returns:
        Its id, and the descriptor that its reports come from.
    """
    reading, writing = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writing)
        return pid, reading
    os.close(reading)
    status = 1
    try:
        work(lambda report: void(os.write(writing, (json.dumps(report) + "\n").encode())))
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def void(_written: int) -> None:
    """A report is shorter than a pipe takes at once."""


def reports(descriptor: int) -> list[Any]:
    with os.fdopen(descriptor, encoding="utf-8") as file:
        return [json.loads(line) for line in file if line.endswith("\n")]


def writers(url: str, processes: int, appends: int) -> dict[str, Any]:
    """Each adds accounts of its own, and in every round all want to be the one that reviews the same version."""
    gate_reading, gate_writing = os.pipe()

    def write(number: int) -> Callable[[Callable[[Any], None]], None]:
        def work(report: Callable[[Any], None]) -> None:
            os.close(gate_writing)
            os.read(gate_reading, 1)  # ends when the parent opens the gate, for all at once
            with Ledger(url) as ledger:
                for turn in range(appends):
                    login = f"w{number}-{turn}"
                    changes = [sample.request(login), sample.approve(login)]
                    report(["added", [event.sequence for event in ledger.append(BOOK, changes, f"writer{number}")]])
                for turn in range(ROUNDS):
                    review = sample.act("tanaka", "review", number * ROUNDS + turn + 1)
                    change = Change("tanaka", "review", review.payload, version=3 + turn)
                    try:
                        [event] = ledger.append(BOOK, [change], f"writer{number}")
                        report(["won", [event.sequence], event.version])
                    except Stale:
                        report(["lost"])

        return work

    children = [child(write(number)) for number in range(processes)]
    started = time.monotonic()
    os.close(gate_writing)
    seen = [reports(descriptor) for _, descriptor in children]
    statuses = [os.waitpid(pid, 0)[1] for pid, _ in children]
    return {"seen": seen, "failed": sum(status != 0 for status in statuses), "seconds": time.monotonic() - started}


def kill_soon(pid: int, descriptor: int, longest: float) -> None:
    """End a process the hard way, at any moment after it began to work."""
    select.select([descriptor], [], [], 30)
    time.sleep(random.uniform(0, longest))
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def killed_writers(url: str, kills: int) -> dict[str, Any]:
    """Kill a writer again and again, and look at the ledger each time."""
    faults, reported_in_all = [], 0
    for turn in range(kills):

        def work(report: Callable[[Any], None], turn: int = turn) -> None:
            with Ledger(url) as ledger:
                report([0, ledger.count(BOOK)])  # connected, and ready to write
                for batch in range(1, 1000):
                    changes = [sample.request(f"k{turn}-{batch}-{number}") for number in range(BATCH)]
                    report([batch, ledger.append(BOOK, changes, "yamada")[-1].sequence])

        pid, descriptor = child(work)
        kill_soon(pid, descriptor, 0.3)
        told = reports(descriptor)
        reported_in_all += len(told) - 1
        with Ledger(url) as ledger:
            found = ledger.verify(BOOK)
            differences = ledger.compare(BOOK)
            logins = [f"k{turn}-{batch}-{number}" for batch in range(1, len(told) + 1) for number in range(BATCH)]
            there = {state.key for state in ledger.find(BOOK, logins)}
        reported = {login for login in logins if int(login.split("-")[1]) < len(told)}
        unreported = [login for login in logins if login not in reported and login in there]
        if not found.ok or differences or not reported <= there or len(unreported) not in (0, BATCH):
            faults.append([turn, found.reason, differences[:3], sorted(reported - there), unreported])
    return {"faults": faults, "reported": reported_in_all}


def killed_migrations(url: str, kills: int) -> dict[str, Any]:
    """Kill a process that goes to the older revision and back, at any moment."""
    faults: list[Any] = []
    revisions: dict[str, int] = {}
    with Ledger(url) as ledger:
        before = [ledger.checkpoint(book).head for book in ledger.books]
    for turn in range(kills):

        def work(report: Callable[[Any], None]) -> None:
            report("ready")
            while True:
                migrate.downgrade(url, "0001")
                migrate.upgrade(url)

        pid, descriptor = child(work)
        kill_soon(pid, descriptor, 0.4)
        os.close(descriptor)
        try:
            revision = str(migrate.current(url))
            revisions[revision] = revisions.get(revision, 0) + 1
            migrate.upgrade(url)
            with Ledger(url) as ledger:
                wrong = [text for book in ledger.books for text in ledger.compare(book)]
                broken = [book for book in ledger.books if not ledger.verify(book).ok]
                if wrong or broken or before != [ledger.checkpoint(book).head for book in ledger.books]:
                    faults.append([turn, wrong, broken])
        except LedgerError as error:
            faults.append([turn, str(error)])
    return {"faults": faults, "revisions": revisions}


def main(argv: list[str]) -> None:
    what, url, *numbers = argv
    programs: dict[str, Callable[..., dict[str, Any]]] = {
        "writers": writers,
        "killed-writers": killed_writers,
        "killed-migrations": killed_migrations,
    }
    print(json.dumps(programs[what](url, *map(int, numbers))))


if __name__ == "__main__":
    main(sys.argv[1:])
