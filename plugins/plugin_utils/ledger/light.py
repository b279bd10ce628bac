# SPDX-License-Identifier: GPL-3.0-or-later
"""A small book of a ledger in a file, verified and read by the standard library alone.

The engine does the same and more, and loading it takes 0.4 s of processor time (SQLAlchemy, pydantic): as much as the
audit of two hosts. What every run reads, the exceptions, is read here instead where it can be. Tests hold both equal.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable
from typing import Any

from .errors import Broken, Unreachable
from .event import GENESIS, chain_hash

REVISION = "0002"
"""The newest revision of the tables, which this version reads and writes; see `migrations`."""

PATIENCE = 60
"""Seconds that a reader waits for a writer, and one writer for the others."""

PREFIX = "sqlite:///"


def reads(url: str) -> bool:
    """Whether an address is one that this module reads: a plain path.

    Args:
        url: the ledger's address.
    """
    return url.startswith(PREFIX) and "?" not in url and "%" not in url


def entries(url: str, book: str) -> list[dict[str, Any]]:
    """The entries of a book, made from its events, each of which is hashed anew.

    Args:
        url: the ledger's address, one that `reads` takes.
        book: the book.

    Returns:
        The fields of each entry, in order of their keys.

    Raises:
        Unreachable: there is no such file, or it is no ledger of this version.
        Broken: an event, or the head, is not what the chain says.
    """
    path = url.removeprefix(PREFIX)
    try:
        if not os.path.isfile(path):
            raise Unreachable(
                "the ledger at %s cannot be used: there is no such file; playbooks/ledger_migrate.yml makes one" % url
            )
        connection = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None)
        try:
            connection.execute("BEGIN")
            _check_revision(connection, url)
            head = connection.execute("SELECT count, hash FROM heads WHERE book = ?", (book,)).fetchone()
            rows = connection.execute(
                "SELECT sequence, CAST(record AS BLOB), hash FROM events WHERE book = ? ORDER BY sequence", (book,)
            )
            return _folded(book, rows, head or (0, GENESIS))
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise Unreachable("the ledger at %s cannot be used: %s" % (url, error)) from None


def _check_revision(connection: sqlite3.Connection, url: str) -> None:
    known = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone()
    row = connection.execute("SELECT version_num FROM alembic_version").fetchone() if known else None
    revision = row[0] if row else "none"
    if revision != REVISION:
        raise Unreachable(
            "the ledger at %s cannot be used: its tables are of revision %s, not %s; run playbooks/ledger_migrate.yml"
            % (url, revision, REVISION)
        )


def _folded(book: str, rows: Iterable[tuple[Any, Any, Any]], head: tuple[Any, Any]) -> list[dict[str, Any]]:
    """The entries that events make: each event's payload replaces the fields that it names."""
    found: dict[str, dict[str, Any]] = {}
    count, previous = 0, GENESIS
    for count, (sequence, record, digest) in enumerate(rows, 1):
        event = _event(record)
        in_place = sequence == count and (event.get("book"), event.get("sequence")) == (book, count)
        if not in_place or chain_hash(previous, record) != digest:
            raise Broken("the book %s: event %s is not what the chain of hashes says" % (book, count))
        previous = digest
        found.setdefault(event["key"], {}).update(event["payload"])
    if head != (count, previous):
        raise Broken("the book %s: its head is not its newest event, number %s" % (book, count))
    return [found[key] for key in sorted(found)]


def _event(record: Any) -> dict[str, Any]:
    try:
        event = json.loads(record)
    except (TypeError, ValueError):
        event = None
    if not isinstance(event, dict):
        raise Broken("%.80r is no record of an event" % (record,))
    return event
