# SPDX-License-Identifier: GPL-3.0-or-later
"""Migrations up and down, with data."""

from __future__ import annotations

from typing import Any

import kijun_ledgers as sample
import pytest
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger import migrate
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.engine import Ledger
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.errors import LedgerError, Unreachable

from .conftest import Place


def everything(url: str) -> Any:
    with Ledger(url) as ledger:
        return [
            (ledger.events(book), ledger.states(book), ledger.checkpoint(book).head, ledger.verify(book).ok)
            for book in ledger.books
        ]


def test_down_and_up_again_keeps_everything(own_place: Place) -> None:
    with Ledger(own_place.url) as ledger:
        sample.fill(ledger)
        before = everything(own_place.url)
        for _ in range(2):
            migrate.downgrade(own_place.owner, "0001")
            assert migrate.current(own_place.owner) == "0001"
            own_place.upgrade()
            assert migrate.current(own_place.owner) == "0002"
        assert everything(own_place.url) == before
        assert all(ledger.compare(book) == [] for book in ledger.books)
        ledger.append("accounts", [sample.request("ito")], "yamada")
        assert ledger.verify("accounts").count == 11


def test_an_upgrade_of_the_newest_changes_nothing(own_place: Place) -> None:
    with Ledger(own_place.url) as ledger:
        sample.fill(ledger)
    before = everything(own_place.url)
    own_place.upgrade()
    assert everything(own_place.url) == before


def test_events_are_not_given_up_for_a_downgrade(own_place: Place) -> None:
    with Ledger(own_place.url) as ledger:
        sample.fill(ledger)
    before = everything(own_place.url)
    with pytest.raises(LedgerError, match="16 events would be lost"):
        migrate.downgrade(own_place.owner, "base")
    assert migrate.current(own_place.owner) == "0002", "half a downgrade was left"
    assert everything(own_place.url) == before


def test_an_empty_ledger_can_go_and_come_back(own_place: Place) -> None:
    migrate.downgrade(own_place.owner, "base")
    assert migrate.current(own_place.owner) is None
    with Ledger(own_place.url) as ledger, pytest.raises(Unreachable, match="of revision none, not 0002"):
        ledger.states("accounts")
    own_place.upgrade()
    with Ledger(own_place.url) as ledger:
        sample.fill(ledger)
        assert ledger.verify("accounts").ok


def test_an_older_revision_is_neither_read_nor_written(own_place: Place) -> None:
    migrate.downgrade(own_place.owner, "0001")
    for use in (
        lambda ledger: ledger.states("accounts"),
        lambda ledger: ledger.verify("accounts"),
        lambda ledger: ledger.append("accounts", [sample.request()], "yamada"),
    ):
        with Ledger(own_place.url) as ledger, pytest.raises(Unreachable, match=r"0001, not 0002.*ledger_migrate\.yml"):
            use(ledger)


@pytest.mark.parametrize("revision", ["nonsense", "0003"])
def test_an_unknown_revision_is_told(own_place: Place, revision: str) -> None:
    with pytest.raises(LedgerError, match=revision):
        migrate.upgrade(own_place.owner, revision)
    with pytest.raises(LedgerError, match=revision):
        migrate.downgrade(own_place.owner, revision)
    assert migrate.current(own_place.owner) == "0002"


def test_where_there_is_nothing_nothing_is_downgraded(nowhere: Place) -> None:
    assert migrate.current(nowhere.owner) is None
    with pytest.raises(Unreachable, match="has no tables"):
        migrate.downgrade(nowhere.owner, "0001")
    assert migrate.current(nowhere.owner) is None
