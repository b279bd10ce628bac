# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine on both databases: what is written, what queries find, and the projection."""

from __future__ import annotations

import datetime
import json
from typing import Any

import kijun_ledgers as sample
import pytest
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.book import Change
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.engine import Ledger, connect
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.errors import Broken, Refused, Stale
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .conftest import Place, empty, execute, guarded

BOOK = "accounts"


def everything(ledger: Ledger) -> Any:
    return [(ledger.events(book), ledger.states(book), ledger.checkpoint(book).head) for book in ledger.books]


def test_what_was_appended_is_there(ledger: Ledger) -> None:
    sample.fill(ledger)
    events = ledger.events(BOOK)
    assert [event.sequence for event in events] == list(range(1, 11))
    assert [event.previous for event in events[1:]] == [event.hash for event in events[:-1]]
    found = ledger.verify(BOOK)
    assert (found.ok, found.count, found.head) == (True, 10, events[-1].hash.hex())
    checkpoint = ledger.checkpoint(BOOK)
    assert (checkpoint.count, checkpoint.head) == (10, events[-1].hash.hex())
    assert ledger.verify(BOOK, [checkpoint]).ok
    assert ledger.verify("reconciliations").count == 6
    state = ledger.get(BOOK, "tanaka")
    assert state is not None
    assert (state.version, state.sequence, state.fields["status"]) == (6, 6, "active")
    assert state.fields["hosts"] == ["web1"]
    assert state.fields["mfa"] is False
    assert state.fields["uid"] is None
    assert ledger.get(BOOK, "nobody") is None
    assert {state.key for state in ledger.find(BOOK, ["tanaka", "kato", "nobody"])} == {"tanaka", "kato"}


def test_another_ledger_object_sees_the_same(ledger: Ledger, url: str) -> None:
    sample.fill(ledger)
    with Ledger(url) as other:
        assert everything(other) == everything(ledger)


def test_a_refused_batch_writes_nothing(ledger: Ledger) -> None:
    sample.fill(ledger)
    before = everything(ledger)
    with pytest.raises(Refused):
        ledger.append(BOOK, [sample.request("ito"), sample.request("Ito")], "yamada")
    with pytest.raises(Stale):
        ledger.append(BOOK, [sample.request("ito"), Change("kato", "activate", version=1)], "yamada")
    assert everything(ledger) == before


def test_a_dry_run_writes_nothing(ledger: Ledger) -> None:
    assert len(ledger.append(BOOK, sample.WAYS["active"], "yamada", dry_run=True)) == 3
    assert everything(ledger) == [([], [], "00" * 32)] * len(ledger.books)
    assert len(ledger.append(BOOK, sample.WAYS["active"], "yamada")) == 3


def test_text_of_every_kind_comes_back(ledger: Ledger) -> None:
    person = "髙橋 𠮷郎 \U0001f469 'O\"Brien\\ %s {0} ; DROP TABLE events; --"
    ledger.append(BOOK, [sample.request(person=person)], "山田", context=None)
    assert [state.fields["person"] for state in ledger.states(BOOK, {"person": person})] == [person]
    assert ledger.events(BOOK, {"actor": "山田"})[0].payload["person"] == person
    assert ledger.verify(BOOK).ok
    assert ledger.compare(BOOK) == []


@pytest.fixture
def filled(ledger: Ledger) -> Ledger:
    ledger.append(
        BOOK,
        [
            sample.request("abe", hosts=["web1", "db1"], mfa=True, uid=2001, valid_until="2099-12-31"),
            sample.request("baba", hosts=["db1"], department="Sales", groups=["www"]),
            sample.request("chiba", hosts=["web10"]),
            sample.approve("baba"),
        ],
        "yamada",
        at=datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
    )
    ledger.append(BOOK, [Change("baba", "activate")], "itou", at=datetime.datetime(2026, 2, 1, tzinfo=datetime.UTC))
    return ledger


@pytest.mark.parametrize(
    ("where", "keys"),
    [
        ({}, ["abe", "baba", "chiba"]),
        ({"status": "active"}, ["baba"]),
        ({"status": ["active", "requested"]}, ["abe", "baba", "chiba"]),
        ({"status": []}, []),
        ({"hosts": "web1"}, ["abe"]),
        ({"hosts": ["web1", "db1"]}, ["abe", "baba"]),
        ({"hosts": ["db1"], "department": "Sales"}, ["baba"]),
        ({"hosts": "web"}, []),
        ({"hosts": []}, []),
        ({"groups": "www"}, ["baba"]),
        ({"mfa": True}, ["abe"]),
        ({"mfa": False}, ["baba", "chiba"]),
        ({"mfa": [True, False]}, ["abe", "baba", "chiba"]),
        ({"uid": 2001}, ["abe"]),
        ({"uid": "2001"}, []),
        ({"uid": None}, ["baba", "chiba"]),
        ({"uid": [None, 2001]}, ["abe", "baba", "chiba"]),
        ({"valid_until": datetime.date(2099, 12, 31)}, ["abe"]),
        ({"login": ("abe", "chiba")}, ["abe", "chiba"]),
        ({"person": "' OR 1=1 --"}, []),
        ({"contractor": ""}, ["abe", "baba", "chiba"]),
        ({"login": [f"nobody{number}" for number in range(70000)]}, []),
    ],
    ids=lambda value: str(value)[:40],
)
def test_entries_are_found_by_fields(filled: Ledger, where: dict[str, Any], keys: list[str]) -> None:
    assert [state.key for state in filled.states(BOOK, where)] == keys
    assert filled.count(BOOK, where) == len(keys)


def test_entries_are_paged_in_order(filled: Ledger) -> None:
    assert [state.key for state in filled.states(BOOK, limit=2)] == ["abe", "baba"]
    assert [state.key for state in filled.states(BOOK, limit=2, offset=2)] == ["chiba"]
    assert [state.key for state in filled.states(BOOK, offset=1)] == ["baba", "chiba"]
    assert filled.states(BOOK, offset=9) == []


@pytest.mark.parametrize(
    ("where", "sequences"),
    [
        ({}, [1, 2, 3, 4, 5]),
        ({"key": "baba"}, [2, 4, 5]),
        ({"action": ["approve", "activate"]}, [4, 5]),
        ({"actor": "itou"}, [5]),
        ({"approver": "sato", "ticket": "T-1"}, [4]),
        ({"since": "2026-01-15"}, [5]),
        ({"until": "2026-01-01T00:00:00Z"}, [1, 2, 3, 4]),
        ({"since": "2026-01-01T00:00:00Z", "until": "2026-02-01T00:00:00Z", "key": "baba"}, [2, 4, 5]),
        ({"key": []}, []),
    ],
    ids=str,
)
def test_events_are_found_by_columns(filled: Ledger, where: dict[str, Any], sequences: list[int]) -> None:
    found = filled.events(BOOK, where)
    assert [event.sequence for event in found] == sequences
    assert [event.sequence for event in filled.events(BOOK, where, newest_first=True)] == sequences[::-1]
    assert filled.events(BOOK, where, limit=2, offset=1) == found[1:3]
    everything = {event.sequence: event for event in filled.events(BOOK)}
    assert found == [everything[number] for number in sequences], "an event's previous hash depends on the query"


def test_a_large_import_is_one_batch(ledger: Ledger) -> None:
    """More entries, and more persons to look for, than a database takes parameters for."""
    changes = [sample.request(f"person{number}", hosts=[f"web{number}"]) for number in range(33000)]
    assert len(ledger.append(BOOK, changes, "yamada")) == 33000
    assert ledger.verify(BOOK).count == 33000


# The projection.

HISTORY = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9)), max_size=15)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(HISTORY)
def test_any_valid_history_makes_the_projection_that_is_stored(
    place: Place, ledger: Ledger, choices: list[tuple[int, int]]
) -> None:
    empty(place)
    ledger.append(BOOK, sample.history(choices), "yamada")
    assert ledger.compare(BOOK) == []
    stored = ledger.states(BOOK)
    assert ledger.rebuild(BOOK) == len(stored)
    assert ledger.states(BOOK) == stored
    assert ledger.verify(BOOK).count == len(choices)


EDITS = {
    "UPDATE states SET version = 9 WHERE key = 'tanaka'": "tanaka: version not as the events made it",
    "UPDATE states SET sequence = 9 WHERE key = 'tanaka'": "tanaka: version not as the events made it",
    "DELETE FROM states WHERE key = 'tanaka'": "tanaka: is missing",
    "UPDATE states SET key = 'mallory' WHERE key = 'tanaka'": "mallory: no event made it|tanaka: is missing",
    "UPDATE states SET fields = '[]' WHERE key = 'tanaka'": "tanaka: fields not as the events made it",
    "UPDATE states SET fields = '1' WHERE key = 'tanaka'": "tanaka: fields not as the events made it",
}


@pytest.mark.parametrize("statement", EDITS, ids=lambda text: text[:40])
def test_an_edited_entry_is_found_and_made_anew(place: Place, ledger: Ledger, statement: str) -> None:
    sample.fill(ledger)
    before = everything(ledger)
    execute(place.owner, statement)
    assert ledger.compare(BOOK) == EDITS[statement].split("|")
    assert ledger.rebuild(BOOK) == 3
    assert ledger.compare(BOOK) == []
    assert everything(ledger) == before


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("sudo", ["all"]), ("hosts", ["web1", "db1"]), ("status", "suspended"), ("status", None)),
        *(("mfa", True), ("mfa", 0), ("mfa", "false"), ("uid", 0), ("nonsense", 1)),
    ],
)
def test_an_edited_field_of_an_entry_is_found(place: Place, ledger: Ledger, field: str, value: Any) -> None:
    """False is another value than 0, though Python takes them for equal."""
    sample.fill(ledger)
    state = ledger.get(BOOK, "tanaka")
    assert state is not None
    fields = json.dumps({**state.fields, field: value})
    execute(place.owner, "UPDATE states SET fields = :fields WHERE key = 'tanaka'", fields=fields)
    assert ledger.compare(BOOK) == [f"tanaka: {field} not as the events made it"]


def test_a_removed_field_of_an_entry_is_found(place: Place, ledger: Ledger) -> None:
    sample.fill(ledger)
    state = ledger.get(BOOK, "tanaka")
    assert state is not None
    fields = json.dumps({name: value for name, value in state.fields.items() if name != "uid"})
    execute(place.owner, "UPDATE states SET fields = :fields WHERE key = 'tanaka'", fields=fields)
    assert ledger.compare(BOOK) == ["tanaka: uid not as the events made it"]


@pytest.mark.parametrize("column", ["key", "version", "action", "actor", "approver", "ticket", "at"])
def test_an_edited_column_of_an_event_is_found(own_place: Place, column: str) -> None:
    """The database makes these from the record; whoever owns the table can have it not do so."""
    place = own_place
    with Ledger(place.url) as ledger:
        sample.fill(ledger)
    value = "99" if column == "version" else "'mallory'"
    if place.is_sqlite:
        # The column's value is edited while the table's definition says that it is an ordinary one.
        engine = connect(place.owner)
        with engine.connect() as connection:
            [made] = connection.exec_driver_sql("SELECT sql FROM sqlite_master WHERE name = 'events'").one()
        kept = [line for line in made.splitlines() if line.startswith(f'"{column}"')]
        ordinary = made.replace(kept[0], f'"{column}" {"INTEGER" if column == "version" else "TEXT"} NOT NULL,')
        engine.dispose()
        change = "UPDATE sqlite_master SET sql = :sql WHERE name = 'events'"
        execute(place.owner, *guarded(place, False), "PRAGMA writable_schema = ON", change, sql=ordinary)
        execute(place.owner, f"UPDATE events SET \"{column}\" = {value} WHERE book = 'accounts' AND sequence = 3")
        execute(place.owner, "PRAGMA writable_schema = ON", change, sql=made)
    else:
        execute(
            place.owner,
            *guarded(place, False),
            f'ALTER TABLE events ALTER COLUMN "{column}" DROP EXPRESSION',
            f"UPDATE events SET \"{column}\" = {value} WHERE book = 'accounts' AND sequence = 3",
        )
    with Ledger(place.url) as fresh:
        assert fresh.verify(BOOK).ok, "the record itself is as it was"
        assert fresh.compare(BOOK) == ["event 3: its columns are not its record's"]


def test_a_broken_chain_is_not_projected(own_place: Place) -> None:
    place = own_place
    with Ledger(place.url) as ledger:
        sample.fill(ledger)
    rows = sample.read_rows(place.owner)
    mine = rows.of(BOOK)
    mine[2] = sample.edited(mine[2], actor="mallory")
    sample.take_guards_off(place.owner)
    sample.write_rows(place.owner, rows.with_book(BOOK, mine))
    with Ledger(place.url) as ledger, pytest.raises(Broken, match="event 3"):
        ledger.rebuild(BOOK)


def test_nothing_is_added_behind_a_head_that_was_set_back(place: Place, ledger: Ledger) -> None:
    sample.fill(ledger)
    execute(place.owner, "UPDATE heads SET count = 8 WHERE book = 'accounts'")
    with pytest.raises(Broken, match="refused what its own head asked for"):
        ledger.append(BOOK, [sample.request("ito")], "yamada")
    assert ledger.get(BOOK, "ito") is None
