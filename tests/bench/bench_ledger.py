# SPDX-License-Identifier: GPL-3.0-or-later
"""What a ledger of 10,000 accounts and 200,000 events costs: appending, verifying, looking at pages.

Run it:  .venv/bin/python tests/bench/bench_ledger.py [--accounts N] [--events N] [--postgresql URL]
URL is the address of an empty database for the role that owns it, such as tests/kijun_ledger_server.py makes; the bench
makes the tables. SQLite is measured in a temporary file. The bars are for SQLite: 5,000 appends/s in batches of 500,
500,000 verified events/s, and 0.2 s for any page.
Times are of time.perf_counter (CLOCK_MONOTONIC); beside them stands the process's own time of the CPU
(time.process_time), which other work on the machine, and the database's own server, leave alone.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "collections")]

from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger import migrate  # noqa: E402 - found by the line above
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.book import Change  # noqa: E402
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.engine import Ledger, masked  # noqa: E402

BATCH = 500
PAGE = 100
PAGE_SAMPLES = 5
BARS = {"appends_per_second": 5000.0, "verified_per_second": 500000.0, "page_seconds": 0.2}
BOOK = "accounts"


class Timer:
    """Seconds by the wall's clock and by the process's own."""

    wall = 0.0
    process = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count what happens meanwhile."""
        wall, process = time.perf_counter(), time.process_time()
        yield
        self.wall += time.perf_counter() - wall
        self.process += time.process_time() - process


def request(number: int) -> Change:
    """An application for an account on two hosts."""
    fields = {
        "person": f"Person {number}",
        "department": f"Department {number % 40}",
        "hosts": [f"web{number % 300}", f"db{number % 100}"],
        "groups": ["adm"],
        "justification": "operates the servers",
        "requester": "suzuki",
    }
    return Change(f"user{number}", "request", fields, ticket=f"T-{number}")


def later(number: int, turn: int) -> Change:
    """What comes after the application, in turn."""
    login = f"user{number}"
    if turn == 1:
        return Change(login, "approve", approver="sato", ticket=f"T-{number}")
    if turn == 2:
        return Change(login, "activate")
    day = f"2025-{turn % 12 + 1:02d}-{turn // 12 % 28 + 1:02d}"
    return Change(login, "review", {"reviewed_at": day, "reviewed_by": "sato", "review_decision": "keep"})


def fill(ledger: Ledger, accounts: int, wanted: int, timer: Timer) -> int:
    """Append events in batches until there are as many as wanted; returns how many there are."""
    written = turn = 0
    while written < wanted:
        for start in range(0, min(accounts, wanted - written), BATCH):
            numbers = range(start, min(start + BATCH, accounts, start + wanted - written))
            changes = [request(number) if turn == 0 else later(number, turn) for number in numbers]
            with timer.running():
                written += len(ledger.append(BOOK, changes, "yamada"))
        turn += 1
    return written


def pages(accounts: int) -> dict[str, Callable[[Ledger], Any]]:
    """What people look at: pages of entries and events, by what they are looked for."""
    states = {
        "all accounts": ({}, 0),
        "the last page of accounts": ({}, accounts - PAGE),
        "by status": ({"status": "active"}, 0),
        "by department": ({"department": "Department 7"}, 0),
        "by host": ({"hosts": "web7"}, 0),
        "by person": ({"person": f"Person {accounts // 2}"}, 0),
        "by a person there is not": ({"person": "Nobody"}, 0),
        "by status and host": ({"status": ["active", "suspended"], "hosts": ["web1", "web2"]}, 0),
    }
    events = {
        "newest events": ({}, 0),
        "the oldest page of events": ({}, 100_000),
        "one account's events": ({"key": "user7"}, 0),
        "by actor": ({"actor": "yamada"}, 0),
        "by an actor there is not": ({"actor": "nobody"}, 0),
        "by ticket": ({"ticket": "T-7"}, 0),
        "approvals of a time": ({"action": "approve", "since": "2020-01-01T00:00:00Z"}, 0),
        "events of a time there is not": ({"since": "2999-01-01T00:00:00Z"}, 0),
    }

    def of_states(where: dict[str, Any], offset: int) -> Callable[[Ledger], Any]:
        return lambda ledger: (ledger.states(BOOK, where, limit=PAGE, offset=offset), ledger.count(BOOK, where))

    def of_events(where: dict[str, Any], offset: int) -> Callable[[Ledger], Any]:
        return lambda ledger: ledger.events(BOOK, where, newest_first=True, limit=PAGE, offset=offset)

    return {
        **{f"accounts: {name}": of_states(*query) for name, query in states.items()},
        **{f"events: {name}": of_events(*query) for name, query in events.items()},
    }


def measure(url: str, accounts: int, events: int) -> dict[str, Any]:
    """Make a ledger at an address where there is none, and take every figure."""
    migrate.upgrade(url)
    with Ledger(url) as ledger:
        appending, verifying, comparing = Timer(), Timer(), Timer()
        written = fill(ledger, accounts, events, appending)
        with verifying.running():
            found = ledger.verify(BOOK)
        if not found.ok or found.count != written:
            raise RuntimeError(f"the ledger does not hold: {found}")
        with comparing.running():
            differences = ledger.compare(BOOK)
        if differences:
            raise RuntimeError(f"the projection differs: {differences[:3]}")
        taken = {name: _slowest(ledger, page) for name, page in pages(accounts).items()}
    return {
        "events": written,
        "appends_per_second": written / appending.wall,
        "appends_per_process_second": written / appending.process,
        "verified_per_second": written / verifying.wall,
        "verified_per_process_second": written / verifying.process,
        "compare_seconds": comparing.wall,
        "page_seconds": max(taken.values()),
        "pages": taken,
    }


def _slowest(ledger: Ledger, page: Callable[[Ledger], Any]) -> float:
    timers = [Timer() for _ in range(PAGE_SAMPLES)]
    for timer in timers:
        with timer.running():
            page(ledger)
    return max(timer.wall for timer in timers)


def machine() -> str:
    """The CPU's model, how many there are, and the clock that is read."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    clock = time.get_clock_info("perf_counter")
    name = models[0] if models else platform.machine()
    return f"{len(models) or '?'} x {name}; {clock.implementation}, resolution {clock.resolution:g} s"


def holds(figures: dict[str, Any]) -> bool:
    """Whether all bars are held."""
    return (
        figures["appends_per_second"] >= BARS["appends_per_second"]
        and figures["verified_per_second"] >= BARS["verified_per_second"]
        and figures["page_seconds"] <= BARS["page_seconds"]
    )


def show(name: str, figures: dict[str, Any]) -> None:
    """Print one database's figures."""
    slowest = max(figures["pages"], key=figures["pages"].get)
    print(
        f"{name}, {figures['events']} events:\n"
        f"  appends/s in batches of {BATCH}: {figures['appends_per_second']:,.0f}"
        f" (of process time {figures['appends_per_process_second']:,.0f})\n"
        f"  verified events/s: {figures['verified_per_second']:,.0f}"
        f" (of process time {figures['verified_per_process_second']:,.0f})\n"
        f"  comparing the projection: {figures['compare_seconds']:.2f} s\n"
        f"  slowest of {len(figures['pages'])} pages: {figures['page_seconds']:.3f} s ({slowest})"
    )


def main(argv: list[str] | None = None) -> dict[str, Any]:
    """Measure, print, and return the figures by database; `ok` tells whether SQLite held the bars."""
    parser = argparse.ArgumentParser(description="Measure the ledger.")
    parser.add_argument("--accounts", type=int, default=10_000)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--postgresql", metavar="URL", help="an empty database, by the role that owns it")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON as well")
    given = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        taken: dict[str, Any] = {
            "machine": machine(),
            "sqlite": measure(f"sqlite:///{folder}/ledger.sqlite", given.accounts, given.events),
        }
    print(taken["machine"])
    show("SQLite", taken["sqlite"])
    if given.postgresql:
        taken["postgresql"] = measure(given.postgresql, given.accounts, given.events)
        show(f"PostgreSQL at {masked(given.postgresql).split('@')[-1].split('?')[0]}", taken["postgresql"])
    taken["ok"] = holds(taken["sqlite"])
    if given.json:
        print(json.dumps(taken, indent=1))
    return taken


if __name__ == "__main__":
    sys.exit(0 if main()["ok"] else 1)
