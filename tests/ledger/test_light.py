# SPDX-License-Identifier: GPL-3.0-or-later
"""What is written without the engine, on both databases: the same events, in turn with the engine's, or nothing."""

from __future__ import annotations

import multiprocessing
from typing import Any

import pytest
from ansible_collections.kijun.baseline.plugins.plugin_utils.journal import run_entry
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger import light
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.book import Change
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.engine import Ledger
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.errors import Broken, Refused, Unreachable

from .conftest import Place, execute

BOOK = "operations"


def opening(key: str) -> light.Entry:
    run = {"at": "2026-11-28T11:00:00Z", "playbook": "site.yml", "hosts": ["web1"], "emergency": ""}
    fields = run_entry.opened({}, {"kijun_actor": "suzuki"}, {**run, "versions": {}, "git": {}, "controller": {}})
    return light.Entry(BOOK, key, "open", "", {"id": key, **fields}, ticket="CHG-1")


def closing(entry: light.Entry) -> light.Entry:
    fields = run_entry.Outcomes().closed(entry.fields, {}, until="2026-11-28T11:05:00Z", seconds=300)
    return light.Entry(BOOK, entry.key, "close", "open", fields, ticket="CHG-1")


def payload(entry: light.Entry, ledger: Ledger) -> dict[str, Any]:
    allowed = ledger.books[BOOK].actions[entry.action].fields
    return {name: value for name, value in entry.fields.items() if name in allowed}


def test_both_ways_write_the_same_in_turn(url: str, ledger: Ledger) -> None:
    first, second = opening("run-1"), opening("run-2")
    (mark,) = light.append(url, [first], "suzuki")
    assert (mark.count, mark.head) == (1, ledger.verify(BOOK).head)
    ledger.append(BOOK, [Change("run-2", "open", payload(second, ledger), ticket="CHG-1")], "suzuki")
    light.append(url, [closing(second)], "suzuki")
    ledger.append(BOOK, [Change("run-1", "close", payload(closing(first), ledger), ticket="CHG-1")], "suzuki")
    assert ledger.verify(BOOK).count == 4
    assert not ledger.compare(BOOK)
    one, two = ({**state.fields, "id": ""} for state in ledger.states(BOOK))
    assert one == two
    events = ledger.events(BOOK)
    for light_one, other in ((events[0], events[1]), (events[2], events[3])):
        assert light_one.action == other.action
        assert {**light_one.payload, "id": ""} == {**other.payload, "id": ""}
        assert light_one.ticket == other.ticket == "CHG-1"
    with pytest.raises(Refused):
        light.append(url, [closing(first)], "suzuki")
    assert ledger.verify(BOOK).count == 4


def write(url: str, name: str, times: int) -> None:
    """Open and close runs, as one controller among others."""
    for number in range(times):
        entry = opening("run-%s-%d" % (name, number))
        light.append(url, [entry], name)
        light.append(url, [closing(entry)], name)


def test_many_controllers_write_at_once(url: str, ledger: Ledger) -> None:
    processes = [
        multiprocessing.get_context("spawn").Process(target=write, args=(url, "c%d" % number, 10))
        for number in range(3)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
        assert process.exitcode == 0
    assert ledger.verify(BOOK).count == 60
    assert not ledger.compare(BOOK)


def test_a_reader_writes_nothing(place: Place) -> None:
    # SQLite has no roles; an address that says so opens its file for reading alone.
    reader = "%s?mode=ro&uri=true" % place.url.replace("///", "///file:") if place.is_sqlite else place.reader
    with pytest.raises(Unreachable, match=r"permission denied|readonly|no such file"):
        light.append(reader, [opening("run-1")], "mallory")


def test_a_head_that_is_not_its_books_is_noticed(place: Place) -> None:
    light.append(place.url, [opening("run-1")], "suzuki")
    execute(place.owner, "UPDATE heads SET count = 0")
    with pytest.raises(Broken, match="refused what its own head asked for"):
        light.append(place.url, [opening("run-2")], "suzuki")


def test_tables_of_another_version_are_refused(own_place: Place) -> None:
    execute(own_place.owner, "UPDATE alembic_version SET version_num = '0001'")
    with pytest.raises(Unreachable, match="of revision 0001, not"):
        light.append(own_place.url, [opening("run-1")], "suzuki")


def test_a_database_that_is_no_ledger_is_refused(nowhere: Place) -> None:
    with pytest.raises(Unreachable):
        light.append(nowhere.url, [opening("run-1")], "suzuki")
