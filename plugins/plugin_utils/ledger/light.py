# SPDX-License-Identifier: GPL-3.0-or-later
"""What every run reads of a ledger and writes to it, without the engine.

The engine does the same and more, and loading it takes 0.4 s of processor time (SQLAlchemy, pydantic): as much as the
audit of two hosts. The exceptions, which every run reads, are read here by the standard library alone where they can
be, and the entry that every run makes in the operations journal is written here. Tests hold both equal.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from .errors import Broken, LedgerError, Problem, Refused, Unreachable
from .event import GENESIS, Checkpoint, Event, chain_hash, timestamp

REVISION = "0002"
"""The newest revision of the tables, which this version reads and writes; see `migrations`."""

PATIENCE = 60
"""Seconds that a reader waits for a writer, and one writer for the others."""

PREFIX = "sqlite:///"
TEAMS = "postgresql+psycopg://"

WAIT = 10
"""Seconds that a run waits for the ledger before it does without."""


class Entry(NamedTuple):
    """An entry that is written here.

    Attributes:
        book: its book.
        key: its key.
        action: what is done to it.
        before: the status that it must have; an empty text for one that must not be there yet.
        fields: the fields that are set, with its status; whoever writes here keeps to the book's model without it.
        ticket: the ticket behind it.
        approver: who approved it.
    """

    book: str
    key: str
    action: str
    before: str
    fields: dict[str, Any]
    ticket: str = ""
    approver: str = ""


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


def writes(url: str) -> bool:
    """Whether an address is one that `append` takes: a plain path, or PostgreSQL's.

    Args:
        url: the ledger's address.
    """
    return reads(url) or url.startswith((TEAMS, "postgresql://"))


def shown(url: str) -> str:
    """A ledger's address without what may be a secret in it, fit to be shown.

    Args:
        url: the address.
    """
    scheme, mark, rest = url.partition("://")
    if not mark:
        return "(an address that is not of the form dialect://...)"
    place = rest.partition("?")[0]
    user, at, host = place.rpartition("@")
    return "%s://%s%s" % (scheme, user.partition(":")[0] + at if at else "", host)


def append(url: str, entries: Sequence[Entry], actor: str) -> list[Checkpoint]:
    """Write entries: all of them, or none.

    Args:
        url: the ledger's address; one that `writes` does not take is written to by the engine.
        entries: what is written, in order; they may be of several books.
        actor: who does it.

    Returns:
        What the books' chains are then.

    Raises:
        Refused: an entry has another status than it must have.
        Broken: the database contradicts itself.
        Unreachable: it does not answer, or is no ledger of this version.
    """
    if not writes(url):
        return _append_by_engine(url, entries, actor)
    at = timestamp()
    with _writing(url) as database:
        marks = {}
        for entry in entries:
            count, digest = _append(database, entry, actor, at)
            marks[entry.book] = Checkpoint(entry.book, count, digest.hex(), at)
    return list(marks.values())


class _Database:
    """A transaction that writes, on either database."""

    def __init__(self, connection: Any, is_team: bool) -> None:
        self.connection, self.is_team = connection, is_team

    def run(self, statement: str, *values: Any) -> Any:
        """Run a statement; its values stand where it has question marks."""
        return self.connection.execute(statement.replace("?", "%s") if self.is_team else statement, values)


def _append_by_engine(url: str, entries: Sequence[Entry], actor: str) -> list[Checkpoint]:
    """What `append` does, for an address with parameters, say; a book at a time."""
    from .book import Change
    from .engine import Ledger

    marks = []
    with Ledger(url) as ledger:
        for entry in entries:
            allowed = ledger.books[entry.book].actions[entry.action].fields
            payload = {name: value for name, value in entry.fields.items() if name in allowed}
            change = Change(entry.key, entry.action, payload, approver=entry.approver, ticket=entry.ticket)
            ledger.append(entry.book, [change], actor)
            marks.append(ledger.checkpoint(entry.book))
    return marks


@contextlib.contextmanager
def _writing(url: str) -> Iterator[_Database]:
    with _file(url) if reads(url) else _server(url) as database:
        yield database


@contextlib.contextmanager
def _file(url: str) -> Iterator[_Database]:
    path = url.removeprefix(PREFIX)
    if not os.path.isfile(path):
        raise Unreachable(
            "the ledger at %s cannot be used: there is no such file; playbooks/ledger_migrate.yml makes one" % url
        )
    try:
        connection = sqlite3.connect(path, timeout=WAIT, isolation_level=None)
        try:
            connection.execute("PRAGMA synchronous = FULL")  # as the engine's own connections have it
            connection.execute("BEGIN IMMEDIATE")
            _check_revision(connection, url)
            yield _Database(connection, False)
            connection.execute("COMMIT")
        finally:
            connection.close()
    except sqlite3.IntegrityError as error:
        raise Broken("the ledger refused what its own head asked for: %s" % error) from None
    except sqlite3.Error as error:
        raise Unreachable("the ledger at %s cannot be used: %s" % (url, error)) from None


@contextlib.contextmanager
def _server(url: str) -> Iterator[_Database]:
    try:
        import psycopg
    except ImportError:
        raise Unreachable("the ledger at %s cannot be used: psycopg is not installed" % shown(url)) from None
    address = url.replace(TEAMS, "postgresql://", 1)
    try:
        with psycopg.connect(
            address,
            connect_timeout=WAIT,
            application_name="kijun-ledger",
            options="-c lock_timeout=%ds" % WAIT,
        ) as connection:
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
            if row is None or row[0] != REVISION:
                reason = "its tables are of revision %s, not %s; run playbooks/ledger_migrate.yml"
                raise Unreachable(
                    "the ledger at %s cannot be used: %s" % (shown(url), reason % (row[0] if row else "none", REVISION))
                )
            yield _Database(connection, True)
    except psycopg.errors.IntegrityError as error:
        raise Broken("the ledger refused what its own head asked for: %s" % error) from None
    except psycopg.ProgrammingError as error:
        # Of an address that cannot be read, it would repeat parts.
        reason = str(error).strip() if error.sqlstate else "its address cannot be read"
        raise Unreachable("the ledger at %s cannot be used: %s" % (shown(url), reason)) from None
    except psycopg.Error as error:
        raise Unreachable("the ledger at %s cannot be used: %s" % (shown(url), str(error).strip())) from None


def _append(database: _Database, entry: Entry, actor: str, at: str) -> tuple[int, bytes]:
    """Write one entry behind the newest of its book, which is locked until the end of the transaction."""
    query = "SELECT count, hash FROM heads WHERE book = ?"
    if database.is_team:
        query += " FOR UPDATE"
    head = database.run(query, entry.book).fetchone()
    if head is None:
        start = "INSERT INTO heads (book, count, hash) VALUES (?, 0, ?) ON CONFLICT DO NOTHING"
        database.run(start, entry.book, GENESIS)
        head = database.run(query, entry.book).fetchone()
    count, previous = head[0], bytes(head[1])
    version, before = _state(database, entry)
    after = {**before, **entry.fields}
    event = Event(
        sequence=count + 1,
        book=entry.book,
        key=entry.key,
        version=version + 1,
        action=entry.action,
        payload={name: value for name, value in after.items() if before.get(name, ...) != value},
        actor=actor,
        approver=entry.approver,
        ticket=entry.ticket,
        at=at,
        previous=previous,
    )
    try:
        record = event.record()
    except ValueError as error:
        raise LedgerError("%s: %s" % (entry.key, error)) from None
    digest = chain_hash(previous, record.encode())
    database.run(
        "INSERT INTO events (book, sequence, record, hash) VALUES (?, ?, ?, ?)",
        *(entry.book, event.sequence, record, digest),
    )
    database.run(
        "INSERT INTO states (book, key, version, sequence, fields) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT (book, key) DO UPDATE SET version = excluded.version, sequence = excluded.sequence, "
        "fields = excluded.fields",
        *(entry.book, entry.key, event.version, event.sequence, json.dumps(after)),
    )
    database.run("UPDATE heads SET count = ?, hash = ? WHERE book = ?", event.sequence, digest, entry.book)
    return event.sequence, digest


def _state(database: _Database, entry: Entry) -> tuple[int, dict[str, Any]]:
    """An entry as it is before it is written."""
    row = database.run(
        "SELECT version, fields FROM states WHERE book = ? AND key = ?", entry.book, entry.key
    ).fetchone()
    before = json.loads(row[1]) if row and isinstance(row[1], str) else dict(row[1]) if row else {}
    status = before.get("status", "")
    if status != entry.before:
        reason = "%s is for an entry that is %s" % (entry.action, entry.before or "not there yet")
        raise Refused([Problem(None, entry.key, "status", status or "not in the ledger", reason)])
    return (row[0] if row else 0), before


def checkpoint_line(mark: Checkpoint) -> str:
    """A book's count and head as one line of a log.

    Args:
        mark: the checkpoint.
    """
    return "kijun-ledger checkpoint book=%s count=%d head=%s at=%s" % (mark.book, mark.count, mark.head, mark.at)


def append_line(path: str, line: str) -> None:
    """Put a line at the end of a file; made with mode 0640 when it is not there.

    Args:
        path: the file.
        line: the line.

    Raises:
        LedgerError: it cannot be written.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
        with os.fdopen(descriptor, "a", encoding="utf-8") as file:
            file.write(line + "\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise LedgerError("the checkpoint cannot be written to %s: %s" % (path, error.strerror)) from None
