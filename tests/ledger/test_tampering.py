# SPDX-License-Identifier: GPL-3.0-or-later
"""An attacker who has the file, or the role that owns the tables: verify names the first event that does not hold.

Which one that is: the first, counted from 1, that is not there, has another number, or the hash of which is not that of
its content behind the event before it. An edited event whose own hash was made to fit holds itself, so it is the next
one, or, of the newest event, the event itself, by the head. What the head does not know is the first event behind its
count, and what only the head knows is the first event that is not there.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import kijun_ledgers as sample
import pytest
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger import migrate
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.checkpoints import emit, read_checkpoints
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.engine import Ledger
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.errors import LedgerError
from hypothesis import given, settings
from hypothesis import strategies as st

from .conftest import DATABASES, Place, _places

EXAMPLES = {"sqlite": 1000, "postgresql": 150}
"""How many mutations each is tried with; on PostgreSQL each takes two connections over TLS."""


class Prey(NamedTuple):
    """A ledger without its guards, and the rows that it had."""

    place: Place
    ledger: Ledger
    rows: sample.Rows
    folder: Path


@pytest.fixture(scope="module", params=DATABASES)
def prey(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prey]:
    folder = tmp_path_factory.mktemp("prey")
    for place in _places(request, folder):
        place.upgrade()
        with Ledger(place.url) as ledger:
            sample.fill(ledger)
            sample.take_guards_off(place.owner)
            yield Prey(place, ledger, sample.read_rows(place.owner), folder)


CHOICES = (st.sampled_from(sample.MUTATIONS), st.booleans(), st.integers(0, 99), st.integers(0, 255))


def test_every_mutation_is_found(prey: Prey) -> None:
    kind = "sqlite" if prey.place.is_sqlite else "postgresql"

    @settings(max_examples=EXAMPLES[kind], deadline=None)
    @given(*CHOICES)
    def attack(mutation: Any, of_accounts: bool, n: int, m: int) -> None:
        book = "accounts" if of_accounts else "reconciliations"
        tampered = mutation(prey.rows, book, n % prey.rows.heads[book][0] + 1, m)
        sample.write_rows(prey.place.owner, tampered.rows)
        for name in prey.ledger.books:
            found = prey.ledger.verify(name)
            assert found.broken_at == tampered.broken.get(name), found.reason
            assert found.ok == (name not in tampered.broken)
            assert bool(found.reason) != found.ok

    attack()
    sample.write_rows(prey.place.owner, prey.rows)
    assert all(prey.ledger.verify(book).ok for book in prey.ledger.books)


def test_every_kind_of_mutation_is_found(prey: Prey) -> None:
    """Each at the first, a middle and the last event, whatever the dice said above."""
    for mutation in sample.MUTATIONS:
        for n in (1, 5, 10):
            tampered = mutation(prey.rows, "accounts", n, 7)
            sample.write_rows(prey.place.owner, tampered.rows)
            found = prey.ledger.verify("accounts")
            assert (mutation, n, found.broken_at) == (mutation, n, tampered.broken["accounts"])


@pytest.mark.parametrize("n", [1, 4, 10])
def test_only_checkpoints_find_a_ledger_that_was_written_anew(prey: Prey, n: int) -> None:
    """Every hash behind the forged event and the head fit; so do the checkpoints that are told from then on."""
    sample.write_rows(prey.place.owner, prey.rows)
    path = str(prey.folder / f"checkpoints{n}")
    emit(prey.ledger.checkpoint("accounts"), path, to_syslog=False)
    mine = prey.rows.of("accounts")
    forged = sample.rehashed([*mine[: n - 1], sample.edited(mine[n - 1], actor="mallory"), *mine[n:]], n - 1)
    sample.write_rows(prey.place.owner, prey.rows.with_book("accounts", forged, (10, forged[-1].hash)))
    assert prey.ledger.verify("accounts").ok
    emit(prey.ledger.checkpoint("accounts"), path, to_syslog=False)
    found = prey.ledger.verify("accounts", read_checkpoints(path))
    assert found.broken_at == 10
    assert "another event" in found.reason


@pytest.mark.parametrize("left", [0, 1, 9])
def test_only_checkpoints_find_a_ledger_that_was_cut_off_with_its_head(prey: Prey, left: int) -> None:
    sample.write_rows(prey.place.owner, prey.rows)
    checkpoint = prey.ledger.checkpoint("accounts")
    mine = prey.rows.of("accounts")[:left]
    head = (left, mine[-1].hash if mine else bytes(32))
    sample.write_rows(prey.place.owner, prey.rows.with_book("accounts", mine, head))
    assert prey.ledger.verify("accounts").ok
    found = prey.ledger.verify("accounts", [checkpoint])
    assert found.broken_at == left + 1
    assert "counted 10 events" in found.reason


def test_a_book_that_was_emptied_is_found_by_its_checkpoint(prey: Prey) -> None:
    sample.write_rows(prey.place.owner, prey.rows)
    checkpoints = [prey.ledger.checkpoint(book) for book in prey.ledger.books]
    sample.write_rows(prey.place.owner, sample.Rows((), {}))
    assert all(prey.ledger.verify(book).ok for book in prey.ledger.books)
    filled = {one.book for one in checkpoints if one.count}
    assert len(filled) > 1
    assert {book for book in prey.ledger.books if prey.ledger.verify(book, checkpoints).broken_at == 1} == filled


# What only a file of SQLite lets an attacker do: it checks no types.


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "ledger.sqlite"
    migrate.upgrade(f"sqlite:///{path}")
    with Ledger(f"sqlite:///{path}") as ledger:
        sample.fill(ledger)
    sample.take_guards_off(f"sqlite:///{path}")
    return path


@pytest.mark.parametrize(
    ("statement", "broken"),
    [
        ("UPDATE heads SET hash = 'text'", 10),
        ("UPDATE heads SET count = 'many'", 1),
        ("UPDATE heads SET count = 9.5", 10),
        ("UPDATE events SET hash = 'text' WHERE sequence = 4", 4),
        ("UPDATE events SET hash = zeroblob(0) WHERE sequence = 4", 4),
        ("UPDATE events SET sequence = 'four' WHERE sequence = 4", 4),
        ("UPDATE events SET sequence = 4.5 WHERE sequence = 4", 4),
        ("UPDATE events SET record = record || ' ' WHERE sequence = 4", 4),
        ("UPDATE events SET record = CAST(record AS BLOB) WHERE sequence = 4", None),
        ("UPDATE events SET record = replace(record, 'yamada', CAST(x'ff' AS TEXT)) WHERE sequence = 4", 4),
    ],
)
def test_values_of_other_types_are_found(path: Path, statement: str, broken: int | None) -> None:
    connection = sqlite3.connect(path)
    connection.execute(statement)
    connection.commit()
    connection.close()
    with Ledger(f"sqlite:///{path}") as ledger:
        assert ledger.verify("accounts").broken_at == broken
        try:
            ledger.compare("accounts")
            ledger.events("accounts")
            ledger.checkpoint("accounts")
        except LedgerError as error:
            assert broken is not None, error


@pytest.mark.parametrize("fields", ["nonsense", "", "[]", "1", "null", '{"status": 1}'])
def test_an_entry_that_is_nonsense_is_told(path: Path, fields: str) -> None:
    connection = sqlite3.connect(path)
    connection.execute("UPDATE states SET fields = ? WHERE key = 'tanaka'", (fields,))
    connection.commit()
    connection.close()
    with Ledger(f"sqlite:///{path}") as ledger:
        assert [text.split(":")[0] for text in ledger.compare("accounts")] == ["tanaka"]
        for use in (
            lambda: ledger.get("accounts", "tanaka"),
            lambda: ledger.states("accounts", {"status": "active"}),
            lambda: ledger.append("accounts", [sample.act("tanaka", "review")], "yamada"),
        ):
            try:
                use()
            except LedgerError as error:
                assert "Traceback" not in str(error)
        assert ledger.rebuild("accounts") == 3
        assert ledger.compare("accounts") == []
