# SPDX-License-Identifier: GPL-3.0-or-later
"""Many writers at once, and writers and migrations that are killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import kijun_ledgers as sample
import pytest
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.engine import Ledger

from .conftest import Place

ROOT = Path(__file__).resolve().parents[2]
BOOK = "accounts"
WRITERS = 64
APPENDS = 2
ROUNDS = 3
LONGEST = 60.0
"""Seconds that the writers may take."""


def processes(what: str, url: str, *numbers: int) -> Any:
    program = [sys.executable, str(Path(__file__).with_name("processes.py")), what, url, *map(str, numbers)]
    env = {**os.environ, "PYTHONPATH": f"{ROOT / 'tests'}:{ROOT / 'collections'}"}
    done = subprocess.run(
        program, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return {**json.loads(done.stdout), "stderr": done.stderr}


def test_64_writers_lose_nothing_and_fork_no_chain(place: Place, ledger: Ledger) -> None:
    ledger.append(BOOK, sample.WAYS["active"], "yamada")
    ledger.close()
    done = processes("writers", place.url, WRITERS, APPENDS)
    assert not done["failed"], done["stderr"][-3000:]
    seen = [report for reports in done["seen"] for report in reports]
    added = [sequence for report in seen if report[0] == "added" for sequence in report[1]]
    won = [report for report in seen if report[0] == "won"]
    assert len(added) == WRITERS * APPENDS * 2
    assert sorted([*added, *(report[1][0] for report in won)]) == list(range(4, 4 + len(added) + len(won)))
    assert sorted(report[2] for report in won) == [4, 5, 6], "a version was written over, or nobody got to write"
    assert sum(report[0] == "lost" for report in seen) == WRITERS * ROUNDS - ROUNDS
    found = ledger.verify(BOOK)
    assert (found.ok, found.count) == (True, 3 + len(added) + len(won))
    assert ledger.compare(BOOK) == []
    assert ledger.count(BOOK) == 1 + WRITERS * APPENDS
    by_writer = {f"writer{number}": reports for number, reports in enumerate(done["seen"])}
    for event in ledger.events(BOOK, {"action": "request"})[1:]:
        assert event.sequence in {number for report in by_writer[event.actor] for number in (report[1:] or [[]])[0]}
    assert done["seconds"] < LONGEST


@pytest.mark.parametrize("kills", [100])
def test_a_killed_writer_leaves_whole_batches(place: Place, ledger: Ledger, kills: int) -> None:
    done = processes("killed-writers", place.url, kills)
    assert done["faults"] == []
    assert done["reported"] > kills / 2, "the writers were killed before they wrote anything"
    count = ledger.verify(BOOK).count
    assert count % 5 == 0
    assert count >= 5 * done["reported"]


def test_a_killed_migration_leaves_one_revision_or_the_other(own_place: Place) -> None:
    with Ledger(own_place.url) as ledger:
        sample.fill(ledger)
    done = processes("killed-migrations", own_place.owner, 40)
    assert done["faults"] == []
    assert set(done["revisions"]) <= {"0001", "0002"}
    with Ledger(own_place.owner) as ledger:
        assert ledger.compare(BOOK) == []
        assert ledger.verify(BOOK).count == 10
