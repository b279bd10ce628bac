# SPDX-License-Identifier: GPL-3.0-or-later
"""Ledgers as tests use them: sample accounts, a ledger's rows as an attacker with the database has them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import sqlalchemy as sa
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.book import Change
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.engine import Ledger, connect

APPLICATION = {
    "person": "Sample Person",
    "department": "Planning",
    "hosts": ["web1"],
    "justification": "operates the web server",
    "requester": "suzuki",
}
"""The fields that an application for an account needs."""

STATUSES = ("requested", "approved", "active", "suspended", "disabled", "removed")
REASON = {"status_reason": "left the team"}


def request(login: str = "tanaka", **fields: Any) -> Change:
    """An application of a person who is like no other one."""
    return Change(login, "request", {**APPLICATION, "person": f"Person of {login}", **fields}, ticket="T-1")


def approve(login: str = "tanaka") -> Change:
    return Change(login, "approve", approver="sato", ticket="T-1")


def act(login: str, action: str, number: int = 1) -> Change:
    """Any action that nothing is wrong with.

    Args:
        login: the account.
        action: the action.
        number: makes two actions of a name different ones.
    """
    payload: dict[str, Any] = {}
    approver = ticket = ""
    if action in ("request", "adopt"):
        return replace(request(login), action=action, approver="sato" if action == "adopt" else "")
    if action in ("approve", "change", "activate", "reissue"):
        approver, ticket = "sato", f"T-{number}"
    if action == "change":
        payload = {"groups": [f"group{number}"], "requester": "suzuki"}
    if action in ("suspend", "disable", "remove"):
        payload = {"status_reason": f"reason {number}"}
    if action == "review":
        payload = {"reviewed_at": "2025-01-31", "reviewed_by": f"Manager {number}", "review_decision": "keep"}
    if action == "reissue":
        payload = {"identity_check": "staff card, in person", "requester": "suzuki"}
    if action == "issue":
        payload = {"issued": {"web1": f"2025-01-01T00:00:{number % 60:02d}Z"}}
    return Change(login, action, payload, approver=approver, ticket=ticket)


WAYS: dict[str, tuple[Change, ...]] = {
    "": (),
    "requested": (request(),),
    "approved": (request(), approve()),
    "active": (request(), approve(), Change("tanaka", "activate")),
    "suspended": (request(), approve(), Change("tanaka", "suspend", REASON)),
    "disabled": (request(), Change("tanaka", "disable", REASON)),
    "removed": (request(), Change("tanaka", "remove", REASON)),
}
"""How the account `tanaka` gets into each status."""

MACHINE = {
    "request": {"": "requested", "removed": "requested"},
    "approve": {"requested": "approved"},
    "change": {"approved": "approved", "active": "active", "suspended": "suspended"},
    "activate": {"approved": "active", "suspended": "active", "disabled": "active"},
    "suspend": {"approved": "suspended", "active": "suspended"},
    "disable": dict.fromkeys(("requested", "approved", "active", "suspended"), "disabled"),
    "remove": dict.fromkeys(("requested", "approved", "active", "suspended", "disabled"), "removed"),
    "review": {status: status for status in STATUSES if status != "removed"},
    "reissue": {"active": "active"},
    "issue": {"active": "active"},
    "adopt": {"": "active"},
}
"""Action -> status before it -> status after it. What is not here is refused."""


def history(choices: Iterable[tuple[int, int]], people: int = 4) -> list[Change]:
    """A valid sequence of actions.

    Args:
        choices: for each action, a number that chooses the account and one that chooses the action.
        people: how many accounts.
    """
    status = dict.fromkeys((f"person{number}" for number in range(people)), "")
    changes = []
    for number, (who, what) in enumerate(choices):
        login = sorted(status)[who % people]
        possible = sorted(action for action, table in MACHINE.items() if status[login] in table)
        action = possible[what % len(possible)]
        # An account that comes back into somebody's hands is one of those that only an exception allows.
        changes.append(act(login, action, number))
        status[login] = MACHINE[action][status[login]]
    return changes


def run(number: int) -> Change:
    """An entry of the other book."""
    payload = {"hosts": ["web1"], "findings": {}, "accounts": number, "ledger_count": number, "ledger_head": "00"}
    return Change(f"2025-01-01T00:00:{number:02d}Z", "record", payload)


class Row(NamedTuple):
    """A row of the table events, as far as it is stored."""

    book: str
    sequence: int
    record: str
    hash: bytes


@dataclass(frozen=True)
class Rows:
    """All that decides whether chains hold.

    Attributes:
        events: the rows of all books.
        heads: book -> (count, hash).
    """

    events: tuple[Row, ...] = field(repr=False)
    heads: dict[str, tuple[int, bytes]] = field(repr=False)

    def of(self, book: str) -> list[Row]:
        return [row for row in self.events if row.book == book]

    def with_book(self, book: str, rows: Iterable[Row], head: tuple[int, bytes] | None = None) -> Rows:
        """The same with other events, and another head, of a book."""
        others = tuple(row for row in self.events if row.book != book)
        return Rows((*others, *rows), self.heads if head is None else {**self.heads, book: head})


def read_rows(url: str) -> Rows:
    engine = connect(url)
    with engine.connect() as connection:
        events = connection.execute(
            sa.text("SELECT book, sequence, record, hash FROM events ORDER BY book, sequence")
        ).all()
        heads = connection.execute(sa.text("SELECT book, count, hash FROM heads")).all()
    engine.dispose()
    return Rows(tuple(Row(*row) for row in events), {book: (count, digest) for book, count, digest in heads})


def take_guards_off(url: str) -> None:
    """What whoever has the file, or the role that owns the tables, does first."""
    engine = connect(url)
    with engine.begin() as connection:
        if engine.dialect.name == "sqlite":
            for word in ("update", "delete"):
                connection.execute(sa.text(f"DROP TRIGGER events_no_{word}"))
        else:
            connection.execute(sa.text("ALTER TABLE events DISABLE TRIGGER USER"))
        connection.execute(sa.text("DROP INDEX events_by_key"))
    engine.dispose()


def write_rows(url: str, rows: Rows) -> None:
    """Put these rows in the place of those that are there; the guards are off."""
    engine = connect(url)
    with engine.connect().execution_options(writing=True) as connection, connection.begin():
        connection.execute(sa.text("DELETE FROM events"))
        connection.execute(sa.text("DELETE FROM heads"))
        if rows.events:
            connection.execute(
                sa.text("INSERT INTO events (book, sequence, record, hash) VALUES (:book, :sequence, :record, :hash)"),
                [row._asdict() for row in rows.events],
            )
        for book, (count, digest) in rows.heads.items():
            connection.execute(
                sa.text("INSERT INTO heads (book, count, hash) VALUES (:book, :count, :hash)"),
                {"book": book, "count": count, "hash": digest},
            )
    engine.dispose()


def rehashed(rows: list[Row], start: int = 0) -> list[Row]:
    """The rows with every hash from a position on computed anew, and numbered anew, as a patient attacker does."""
    previous = rows[start - 1].hash if start else bytes(32)
    done = rows[:start]
    for row in rows[start:]:
        fields = {**json.loads(row.record), "sequence": len(done) + 1}
        record = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        previous = hashlib.sha256(previous + record.encode()).digest()
        done.append(Row(row.book, len(done) + 1, record, previous))
    return done


def edited(row: Row, **fields: Any) -> Row:
    """A row whose record says something else; its hash is as it was."""
    record = json.dumps({**json.loads(row.record), **fields}, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return row._replace(record=record)


@dataclass(frozen=True)
class Tampered:
    """What an attacker made of a ledger.

    Attributes:
        rows: it.
        broken: book -> the first number that verify must name. Every other book holds.
    """

    rows: Rows
    broken: dict[str, int]


def _edit_record(rows: Rows, book: str, n: int, _m: int) -> Tampered:
    mine = rows.of(book)
    mine[n - 1] = edited(mine[n - 1], actor="mallory")
    return Tampered(rows.with_book(book, mine), {book: n})


def _edit_record_and_its_hash(rows: Rows, book: str, n: int, _m: int) -> Tampered:
    """The event itself holds then. The next one does not; of the last one, the head says so."""
    mine = rows.of(book)
    mine[: n + 1] = [*rehashed([*mine[: n - 1], edited(mine[n - 1], actor="mallory")], n - 1), *mine[n : n + 1]]
    return Tampered(rows.with_book(book, mine), {book: min(n + 1, len(mine))})


def _edit_hash(rows: Rows, book: str, n: int, m: int) -> Tampered:
    mine = rows.of(book)
    digest = bytearray(mine[n - 1].hash)
    digest[m % 32] ^= 1 << (m % 8)
    mine[n - 1] = mine[n - 1]._replace(hash=bytes(digest))
    return Tampered(rows.with_book(book, mine), {book: n})


def _delete(rows: Rows, book: str, n: int, _m: int) -> Tampered:
    mine = rows.of(book)
    del mine[n - 1]
    return Tampered(rows.with_book(book, mine), {book: n})


def _delete_and_renumber(rows: Rows, book: str, n: int, _m: int) -> Tampered:
    mine = rows.of(book)
    del mine[n - 1]
    mine = [row._replace(sequence=number) for number, row in enumerate(mine, 1)]
    return Tampered(rows.with_book(book, mine), {book: n})


def _insert(rows: Rows, book: str, n: int, _m: int) -> Tampered:
    """A forged event, good in itself, before event n; the others make room."""
    mine = rows.of(book)
    forged = rehashed([*mine[: n - 1], edited(mine[n - 1], actor="mallory")], n - 1)
    later = [edited(row, sequence=row.sequence + 1)._replace(sequence=row.sequence + 1) for row in mine[n - 1 :]]
    return Tampered(rows.with_book(book, [*forged, *later]), {book: n + 1})


def insert_at_the_end(rows: Rows, book: str, _n: int, _m: int) -> Tampered:
    """A forged event that hangs on the newest as it should; only the head knows nothing of it."""
    mine = rows.of(book)
    return Tampered(rows.with_book(book, rehashed([*mine, mine[-1]], len(mine))), {book: len(mine) + 1})


def _insert_before_all(rows: Rows, book: str, n: int, _m: int) -> Tampered:
    mine = rows.of(book)
    return Tampered(rows.with_book(book, [mine[n - 1]._replace(sequence=0), *mine]), {book: 1})


def _swap(rows: Rows, book: str, n: int, m: int) -> Tampered:
    """Two events change places."""
    mine = rows.of(book)
    other = (n + m % (len(mine) - 1)) % len(mine) + 1
    first, second = sorted((n, other))
    a, b = mine[first - 1], mine[second - 1]
    mine[first - 1], mine[second - 1] = b._replace(sequence=first), a._replace(sequence=second)
    return Tampered(rows.with_book(book, mine), {book: first})


def _truncate(rows: Rows, book: str, n: int, _m: int) -> Tampered:
    return Tampered(rows.with_book(book, rows.of(book)[: n - 1]), {book: n})


def _swap_books(rows: Rows, book: str, _n: int, _m: int) -> Tampered:
    """The whole chains of two books change places, with their heads."""
    first, second = sorted(rows.heads)
    names = {first: second, second: first}
    swapped = tuple(row._replace(book=names[row.book]) for row in rows.events)
    heads = {names[name]: head for name, head in rows.heads.items()}
    return Tampered(Rows(swapped, heads), {first: 1, second: 1})


def _edit_heads_count(rows: Rows, book: str, n: int, m: int) -> Tampered:
    mine = rows.of(book)
    count = n - 1 if m % 2 else len(mine) + n
    head = (count, rows.heads[book][1])
    return Tampered(rows.with_book(book, mine, head), {book: min(count, len(mine)) + 1})


def _edit_heads_hash(rows: Rows, book: str, n: int, _m: int) -> Tampered:
    mine = rows.of(book)
    head = (len(mine), hashlib.sha256(mine[n - 1].hash).digest())
    return Tampered(rows.with_book(book, mine, head), {book: len(mine)})


def _remove_head(rows: Rows, book: str, _n: int, _m: int) -> Tampered:
    return Tampered(Rows(rows.events, {name: head for name, head in rows.heads.items() if name != book}), {book: 1})


MUTATIONS: tuple[Callable[[Rows, str, int, int], Tampered], ...] = (
    _edit_record,
    _edit_record_and_its_hash,
    _edit_hash,
    _delete,
    _delete_and_renumber,
    _insert,
    insert_at_the_end,
    _insert_before_all,
    _swap,
    _truncate,
    _swap_books,
    _edit_heads_count,
    _edit_heads_hash,
    _remove_head,
)
"""What an attacker may do to the rows of a book: event n is concerned, and m chooses what else there is to choose."""

ON_HEADS = MUTATIONS[-3:]
"""Those that an exported list of events knows nothing of."""


def fill(ledger: Ledger) -> None:
    """Ten events of accounts and six of reconciliations."""
    changes = [*WAYS["active"], act("tanaka", "review"), act("tanaka", "issue"), act("tanaka", "reissue", 2)]
    ledger.append("accounts", changes, "yamada")
    ledger.append("accounts", [request("kato", person="加藤 太郎"), approve("kato")], "yamada")
    ledger.append("accounts", [request("mori"), act("mori", "remove")], "yamada")
    ledger.append("reconciliations", [run(number) for number in range(6)], "yamada")
