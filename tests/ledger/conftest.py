# SPDX-License-Identifier: GPL-3.0-or-later
"""Ledgers on SQLite and on the lab's PostgreSQL, a fresh one for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import kijun_ledger_server as server
import pytest
import sqlalchemy as sa
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger import migrate
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.engine import Ledger, connect

DATABASES = ("sqlite", "postgresql")


class Place(NamedTuple):
    """Where a ledger is: the addresses of who writes, of who owns the tables, and of who reads."""

    url: str
    owner: str
    reader: str

    @property
    def is_sqlite(self) -> bool:
        return self.url.startswith("sqlite")

    def upgrade(self, revision: str = "head") -> None:
        roles = {} if self.is_sqlite else {"writer": "kijun_writer", "reader": "kijun_reader"}
        migrate.upgrade(self.owner, revision, **roles)


def execute(url: str, *statements: str, **values: Any) -> None:
    engine = connect(url)
    with engine.connect().execution_options(writing=True) as connection, connection.begin():
        for statement in statements:
            connection.execute(sa.text(statement), values)
    engine.dispose()


def guarded(place: Place, on: bool) -> list[str]:
    """The statements that put the guard of the events on or off."""
    if not place.is_sqlite:
        return [f"ALTER TABLE events {'ENABLE' if on else 'DISABLE'} TRIGGER USER"]
    if on:
        stop = "BEGIN SELECT RAISE(ABORT, 'events are only ever added to a ledger'); END"
        return [f"CREATE TRIGGER events_no_{word} BEFORE {word} ON events {stop}" for word in ("update", "delete")]
    return [f"DROP TRIGGER events_no_{word}" for word in ("update", "delete")]


def empty(place: Place) -> None:
    deletions = [f"DELETE FROM {table}" for table in ("events", "heads", "states")]
    execute(place.owner, *guarded(place, False), *deletions, *guarded(place, True))


@pytest.fixture(scope="session")
def lab_server() -> None:
    """The lab's host `ledger`, brought up and set up; without it these tests fail, and are not left out."""
    server.serve()


@pytest.fixture(params=DATABASES)
def nowhere(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """A place where a ledger may be made."""
    yield from _places(request, tmp_path)


def _places(request: pytest.FixtureRequest, folder: Path) -> Iterator[Place]:
    if request.param == "sqlite":
        url = f"sqlite:///{folder / 'ledger.sqlite'}"
        yield Place(url, url, url)
        return
    request.getfixturevalue("lab_server")
    name = server.fresh_database()
    yield Place(*(server.postgresql_url(role, name) for role in ("writer", "owner", "reader")))
    server.drop_database(name)


@pytest.fixture
def own_place(nowhere: Place) -> Place:
    """An empty ledger, the tables of which a test may do anything to."""
    nowhere.upgrade()
    return nowhere


@pytest.fixture(scope="session", params=DATABASES)
def shared_place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """One ledger for all tests: it is emptied faster than made."""
    for place in _places(request, tmp_path_factory.mktemp("ledger")):
        place.upgrade()
        yield place


@pytest.fixture
def place(shared_place: Place) -> Place:
    """An empty ledger."""
    empty(shared_place)
    return shared_place


@pytest.fixture
def url(place: Place) -> str:
    return place.url


@pytest.fixture
def ledger(url: str) -> Iterator[Ledger]:
    with Ledger(url) as opened:
        yield opened
