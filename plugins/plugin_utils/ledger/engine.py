# SPDX-License-Identifier: GPL-3.0-or-later
"""The ledger's engine: appends, queries, verification, projection.

SQLite is the default: one file, write-ahead log, any number of readers and writers on one machine. PostgreSQL serves
teams. Both run the same statements, except where a comment says why not.
"""

from __future__ import annotations

import contextlib
import datetime
import functools
import hashlib
import json
import operator
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pydantic
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from .book import NOTHING, Book, Change, Moment, State, Touched, cleaned, is_same_person, next_state, one_line
from .books import BOOKS
from .errors import Broken, LedgerError, Problem, Refused, Stale, Unreachable
from .event import GENESIS, Checkpoint, Event, chain_hash, timestamp
from .light import PATIENCE, REVISION
from .schema import GENERATED, events, heads, states

__all__ = ["REVISION", "Change", "Checkpoint", "Ledger", "State", "Verification"]

SECRETS = ("password", "sslpassword")
"""Parameters of PostgreSQL's addresses that may hold a secret."""

CHUNK = 500
"""Entries that one statement asks for: SQLite takes 32,766 parameters, old ones 999."""

RECORDED = {"sequence", "book", "payload", *GENERATED}
"""Fields of an event's record."""

CLAUSE = "SM-4.1.1-1a"
"""Why nobody approves what they themselves ask for."""

EVENT_FILTERS = ("key", "action", "actor", "approver", "ticket")
"""What events can be looked for by, beside their time."""


@dataclass(frozen=True)
class Verification:
    """How verifying a chain ended.

    Attributes:
        book: the book.
        count: how many events hold, counted from the first.
        head: hash of the last of them, in hexadecimal.
        broken_at: number of the first event that does not hold; None when all do.
        reason: what is wrong with it, or nothing.
    """

    book: str
    count: int
    head: str
    broken_at: int | None = None
    reason: str = ""

    @property
    def ok(self) -> bool:
        """Whether the whole chain holds."""
        return self.broken_at is None

    def complaint(self, what: str) -> str:
        """What is said of a chain that does not hold.

        Args:
            what: what people call the book, such as ``the book of exceptions``.
        """
        return "%s was altered: event %s: %s" % (what, self.broken_at, self.reason)


def masked(url: str) -> str:
    """A database's address without its password, fit to be shown."""
    try:
        return sa.make_url(url).difference_update_query(SECRETS).render_as_string(hide_password=True)
    except (sa.exc.ArgumentError, ValueError):
        return "(an address that is not of the form dialect://...)"


def connect(url: str) -> sa.Engine:
    """A SQLAlchemy engine with the settings that a ledger needs.

    Args:
        url: ``sqlite:////absolute/path``, ``sqlite:///relative/path`` or ``postgresql+psycopg://...``.

    Raises:
        Unreachable: the address is neither.
    """
    try:
        parsed = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):
        raise Unreachable(
            "the ledger's address is not of the form sqlite:///PATH or postgresql+psycopg://..."
        ) from None
    kind = parsed.get_backend_name()
    if kind == "postgresql":
        return sa.create_engine(
            parsed.set(drivername="postgresql+psycopg"),
            connect_args={
                "connect_timeout": 10,
                "application_name": "kijun-ledger",
                "options": "-c lock_timeout=%ds" % PATIENCE,
            },
            # A new connection costs a handshake of TLS and one of SCRAM: one is kept, and asked whether it still lives.
            pool_size=1,
            pool_pre_ping=True,
        )
    if kind != "sqlite" or not parsed.database or parsed.database == ":memory:":
        raise Unreachable("%s: a ledger is on sqlite:///PATH or postgresql+psycopg://..." % masked(url))
    # The driver's own transactions begin late and leave out tables' definitions; ours begin where we say.
    engine = sa.create_engine(parsed, connect_args={"timeout": PATIENCE, "isolation_level": None})
    sa.event.listen(engine, "connect", _prepare_sqlite)
    sa.event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")  # an event that was reported as written survives a power failure


def _begin_sqlite(connection: sa.Connection) -> None:
    # A transaction that begins by reading cannot wait for another writer once it writes itself.
    writing = connection.get_execution_options().get("writing", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")


class Ledger:
    """A ledger at an address.

    Args:
        url: see `connect`.
        books: the books that it may hold; all known ones when not given.
        approver: says who has approved what is entered, by AWX's workflow, or an empty text for nobody; asked where
            something needs an approver or names one. Not given, an entry's own word is taken.
    """

    def __init__(
        self, url: str, books: Mapping[str, Book] | None = None, approver: Callable[[], str] | None = None
    ) -> None:
        self.url = url
        self.books = BOOKS if books is None else books
        self._approver = approver
        self._engine = connect(url)
        self._checked = False

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()

    def append(
        self,
        book: str,
        changes: Sequence[Change],
        actor: str,
        *,
        at: datetime.datetime | None = None,
        context: Any = None,
        dry_run: bool = False,
    ) -> list[Event]:
        """Write what somebody did: all of it, or nothing.

        Args:
            book: the book.
            changes: what is asked for, in order; an entry may stand in it more than once.
            actor: who does it.
            at: when, as an aware time; now, when it is not given.
            context: what the book's rules need to know from outside.
            dry_run: work everything out, refuse what is to be refused, and write nothing.

        Returns:
            The events, one for each change that was not satisfied already.

        Raises:
            Refused: a change is not allowed; all problems of all changes are in it.
            Stale: a change names a version that is not the newest.
            Broken: the database contradicts itself.
            Unreachable: it does not answer.
        """
        rules = self._book(book)
        changes = self._approved(rules, changes)
        moment = Moment(actor, timestamp(at), (at or datetime.datetime.now().astimezone()).date(), context)
        moment = replace(moment, actor=_known_actor(book, actor))
        with self._transaction(writing=True) as connection:
            count, head = self._lock_head(connection, rules.name)
            before = self._load(connection, rules.name, {change.key for change in changes})
            plan, after = _plan(rules, changes, before, moment)
            _refuse_together(rules, plan, after, lambda where: self._find(connection, rules.name, where), moment)
            written = _chain(rules.name, plan, moment, count, head)
            if written and not dry_run:
                self._write(connection, rules.name, written, after)
            if dry_run:
                connection.rollback()
        return [event for event, _ in written]

    def get(self, book: str, key: str) -> State | None:
        """One entry as it is now; None where there is none.

        Args:
            book: the book.
            key: the entry.
        """
        with self._transaction() as connection:
            return self._load(connection, self._book(book).name, {key}).get(key)

    def find(self, book: str, keys: Iterable[str]) -> list[State]:
        """Some entries as they are now, those that there are.

        Args:
            book: the book.
            keys: the entries.
        """
        with self._transaction() as connection:
            return list(self._load(connection, self._book(book).name, set(keys)).values())

    def states(
        self, book: str, where: Mapping[str, Any] | None = None, *, limit: int | None = None, offset: int = 0
    ) -> list[State]:
        """Entries as they are now, in order of their keys.

        Args:
            book: the book.
            where: field -> the value that it must have, or a list of values of which it must have one; of a field that
                is itself a list, one of its elements must.
            limit: how many at most.
            offset: how many to leave out first.

        Raises:
            LedgerError: the book has no such field.
        """
        with self._transaction() as connection:
            return self._find(connection, self._book(book).name, where or {}, limit, offset)

    def count(self, book: str, where: Mapping[str, Any] | None = None) -> int:
        """How many entries `states` would return."""
        rules = self._book(book)
        with self._transaction() as connection:
            query = sa.select(sa.func.count()).select_from(states).where(*self._conditions(rules, where or {}))
            return int(connection.scalar(query) or 0)

    def events(
        self,
        book: str,
        where: Mapping[str, Any] | None = None,
        *,
        newest_first: bool = False,
        limit: int | None = None,
        offset: int = 0,
    ) -> list[Event]:
        """What happened, in order.

        Args:
            book: the book.
            where: any of key, action, actor, approver, ticket -> value or list of values; `since` and `until` -> a
                time as ledgers write it.
            newest_first: the other way round.
            limit: how many at most.
            offset: how many to leave out first.

        Raises:
            LedgerError: events have no such column.
        """
        wanted = sa.select(events.c.book, events.c.sequence, events.c.record, events.c.hash)
        wanted = wanted.where(events.c.book == self._book(book).name, *_event_conditions(events, where or {}))
        wanted = wanted.order_by(events.c.sequence.desc() if newest_first else events.c.sequence)
        # The page first, so that only its events' predecessors are looked up.
        page = wanted.limit(limit).offset(offset).subquery()
        before = events.alias()
        query = sa.select(page.c.record, page.c.hash, before.c.hash).select_from(
            page.outerjoin(before, sa.and_(before.c.book == page.c.book, before.c.sequence == page.c.sequence - 1))
        )
        query = query.order_by(page.c.sequence.desc() if newest_first else page.c.sequence)
        with self._transaction() as connection:
            rows = connection.execute(query).all()
        return [Event.from_record(record, previous or GENESIS, digest) for record, digest, previous in rows]

    def verify(self, book: str, checkpoints: Iterable[Checkpoint] = ()) -> Verification:
        """Hash every event anew, and compare with what is stored and with checkpoints kept elsewhere.

        Args:
            book: the book.
            checkpoints: those to compare with; other books' are left out.
        """
        name = self._book(book).name
        with self._transaction() as connection:
            count, digest = self._head(connection, name)
            found = verify_chain(name, self._raw_records(connection, name), checkpoints)
        if not found.ok:
            return found
        head = digest.hex()
        if count > found.count:
            return replace(found, broken_at=found.count + 1, reason="the ledger had %d events" % count)
        if count < found.count:
            return replace(found, broken_at=count + 1, reason="the ledger's head is event %d" % count)
        if head != found.head:
            return replace(found, broken_at=count, reason="it is not the event that was written last")
        return found

    def compare(self, book: str) -> list[str]:
        """Rebuild the entries from the events in memory, and say where the stored ones, or the columns that queries
        use, differ.

        Args:
            book: the book.
        """
        name = self._book(book).name
        differences: list[str] = []
        columns = (events.c.sequence, events.c.book, *(events.c[column] for column in GENERATED))
        query = sa.select(events.c.record, *columns).where(events.c.book == name).order_by(events.c.sequence)
        with self._transaction() as connection:
            rebuilt = _rebuilt(_checked(self._raw_rows(connection, query), differences))
            stored = self._stored_texts(connection, name)
        for key in sorted({*rebuilt, *stored}):
            made = rebuilt.get(key)
            if key not in stored or made is None:
                differences.append("%s: %s" % (key, "is missing" if made else "no event made it"))
            elif wrong := _difference(made, *stored[key]):
                differences.append("%s: %s not as the events made it" % (key, wrong))
        return differences

    def rebuild(self, book: str) -> int:
        """Make the stored entries anew from the events.

        Args:
            book: the book.

        Returns:
            How many entries there are.

        Raises:
            Broken: the chain does not hold.
        """
        name = self._book(book).name
        found = self.verify(name)
        if not found.ok:
            raise Broken("%s: event %s: %s" % (name, found.broken_at, found.reason))
        with self._transaction(writing=True) as connection:
            self._lock_head(connection, name)
            query = sa.select(events.c.record).where(events.c.book == name).order_by(events.c.sequence)
            rebuilt = _rebuilt(_fields_of(record) for (record,) in self._raw_rows(connection, query))
            connection.execute(sa.delete(states).where(states.c.book == name))
            if rebuilt:
                connection.execute(sa.insert(states), [_state_row(name, state) for state in rebuilt.values()])
        return len(rebuilt)

    def checkpoint(self, book: str) -> Checkpoint:
        """What the book's chain is now.

        Args:
            book: the book.
        """
        name = self._book(book).name
        with self._transaction() as connection:
            count, head = self._head(connection, name)
        return Checkpoint(name, count, head.hex(), timestamp())

    def _approved(self, rules: Book, changes: Sequence[Change]) -> Sequence[Change]:
        """The changes with the approver who is proven, where the ledger does not take the word of who enters them.

        Args:
            rules: the book.
            changes: what is asked for.

        Raises:
            Refused: a change names somebody else.
        """

        def asks(change: Change) -> bool:
            action = rules.actions.get(change.action)
            return bool(change.approver or (action and action.approved))

        if self._approver is None or not any(map(asks, changes)):
            return changes
        proven = self._approver()
        reason = "nobody has approved it in AWX; start the workflow in which somebody else does"
        if proven:
            reason = "is not who approved it in AWX, %s" % proven
        problems = [
            change.problem("approver", change.approver, reason, CLAUSE)
            for change in filter(asks, changes)
            if not proven or (change.approver and not is_same_person(change.approver, proven))
        ]
        if problems:
            raise Refused(problems)
        return [replace(change, approver=proven) if asks(change) else change for change in changes]

    def _book(self, name: str) -> Book:
        if name not in self.books:
            raise LedgerError("there is no book %r; there are %s" % (name, ", ".join(sorted(self.books))))
        return self.books[name]

    @contextlib.contextmanager
    def _transaction(self, writing: bool = False) -> Iterator[sa.Connection]:
        try:
            self._check_revision()
            with self._engine.connect().execution_options(**self._options(writing)) as connection, connection.begin():
                yield connection
        except sa.exc.IntegrityError as error:
            raise Broken("the ledger refused what its own head asked for: %s" % error.orig) from None
        except sa.exc.DBAPIError as error:
            raise self._unreachable(str(error.orig).strip()) from None
        except self._engine.dialect.loaded_dbapi.Error as error:  # of `_raw_rows`, which goes by SQLAlchemy
            raise self._unreachable(str(error).strip()) from None
        except json.JSONDecodeError as error:
            raise Broken("the ledger at %s holds what is no JSON: %s" % (masked(self.url), error)) from None

    def _options(self, writing: bool) -> dict[str, Any]:
        """A reader's statements all see the ledger as it was at the first; a writer's wait for the head's lock, and
        see what was written until then.
        """
        if writing or self._engine.dialect.name == "sqlite":
            return {"writing": writing}
        return {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}

    def _unreachable(self, reason: str) -> Unreachable:
        return Unreachable("the ledger at %s cannot be used: %s" % (masked(self.url), reason))

    def _check_revision(self) -> None:
        """Once in a ledger's life; without it a missing file would quietly become an empty ledger."""
        if self._checked:
            return
        database = self._engine.url.database
        if self._engine.dialect.name == "sqlite" and not os.path.isfile(database or ""):
            raise self._unreachable("there is no such file; playbooks/ledger_migrate.yml makes one")
        with self._engine.connect() as connection:
            known = sa.inspect(connection).has_table("alembic_version")
            revision = connection.scalar(sa.text("SELECT version_num FROM alembic_version")) if known else None
        if revision != REVISION:
            reason = "its tables are of revision %s, not %s; run playbooks/ledger_migrate.yml"
            raise self._unreachable(reason % (revision or "none", REVISION))
        self._checked = True

    def _lock_head(self, connection: sa.Connection, book: str) -> tuple[int, bytes]:
        """Take the book for this transaction, and say how many events it has and the newest one's hash."""
        insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
        query = sa.select(heads.c.count, heads.c.hash).where(heads.c.book == book).with_for_update()
        row = connection.execute(query).first()
        if row is None:
            first = {"book": book, "count": 0, "hash": GENESIS}
            connection.execute(insert(heads).values(first).on_conflict_do_nothing())
            row = connection.execute(query).one()
        return row[0], bytes(row[1])

    def _load(self, connection: sa.Connection, book: str, keys: set[str]) -> dict[str, State]:
        found = {}
        wanted = sorted(keys)
        for chunk in (wanted[start : start + CHUNK] for start in range(0, len(wanted), CHUNK)):
            query = sa.select(states.c.key, states.c.version, states.c.sequence, states.c.fields)
            for row in connection.execute(query.where(states.c.book == book, states.c.key.in_(chunk))):
                found[row.key] = _state(row)
        return found

    def _find(
        self,
        connection: sa.Connection,
        book: str,
        where: Mapping[str, Any],
        limit: int | None = None,
        offset: int = 0,
    ) -> list[State]:
        query = sa.select(states.c.key, states.c.version, states.c.sequence, states.c.fields)
        query = query.where(*self._conditions(self._book(book), where)).order_by(states.c.key)
        return [_state(row) for row in connection.execute(query.limit(limit).offset(offset))]

    def _conditions(self, book: Book, where: Mapping[str, Any]) -> list[sa.ColumnElement[bool]]:
        conditions: list[sa.ColumnElement[bool]] = [states.c.book == book.name]
        for name, wanted in where.items():
            if name not in book.model.model_fields:
                known = ", ".join(sorted(book.model.model_fields))
                raise LedgerError("%s has no field %r; it has %s" % (book.name, name, known))
            values = [_plain(name, value) for value in _several(wanted)]
            is_list = name in _list_fields(book.model)
            conditions.append(_field_is(self._engine.dialect.name, name, values, is_list))
        return conditions

    def _write(
        self,
        connection: sa.Connection,
        book: str,
        written: list[tuple[Event, str]],
        after: Mapping[str, dict[str, Any]],
    ) -> None:
        rows = [{"book": book, "sequence": e.sequence, "record": record, "hash": e.hash} for e, record in written]
        connection.execute(sa.insert(events), rows)
        newest = {event.key: event for event, _ in written}
        insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
        upsert = insert(states)
        upsert = upsert.on_conflict_do_update(
            index_elements=[states.c.book, states.c.key],
            set_={name: upsert.excluded[name] for name in ("version", "sequence", "fields")},
        )
        connection.execute(
            upsert, [_state_row(book, State(key, e.version, e.sequence, after[key])) for key, e in newest.items()]
        )
        last, _ = written[-1]
        head = {"count": last.sequence, "hash": last.hash}
        connection.execute(sa.update(heads).where(heads.c.book == book).values(head))

    def _head(self, connection: sa.Connection, book: str) -> tuple[int, bytes]:
        """How many events a book has by its head, and the newest one's hash. Whoever has SQLite's file may have put
        values of other types there.
        """
        query = sa.select(sa.cast(heads.c.count, sa.BigInteger), sa.cast(heads.c.hash, sa.LargeBinary))
        row = connection.execute(query.where(heads.c.book == book)).first()
        return (row[0], bytes(row[1])) if row else (0, GENESIS)

    def _raw_records(self, connection: sa.Connection, book: str) -> Iterable[tuple[int, bytes, bytes]]:
        """Number, record and hash of every event."""
        in_bytes: sa.ColumnElement[Any] = sa.cast(events.c.record, sa.LargeBinary)
        if self._engine.dialect.name == "postgresql":
            in_bytes = sa.func.convert_to(events.c.record, "UTF8")
        query = sa.select(events.c.sequence, in_bytes, events.c.hash).where(events.c.book == book)
        return self._raw_rows(connection, query.order_by(events.c.sequence))

    def _stored_texts(self, connection: sa.Connection, book: str) -> dict[str, tuple[int, int, str]]:
        """Version, sequence and fields, as text, of each stored entry by its key."""
        columns = (states.c.key, states.c.version, states.c.sequence, sa.cast(states.c.fields, sa.Text))
        query = sa.select(*columns).where(states.c.book == book)
        return {key: (version, sequence, text) for key, version, sequence, text in self._raw_rows(connection, query)}

    def _raw_rows(self, connection: sa.Connection, query: sa.Select[Any]) -> Iterator[tuple[Any, ...]]:
        """A query's rows by the driver itself, some at a time: SQLAlchemy's would halve the speed of verifying."""
        raw: Any = connection.connection.driver_connection
        text = str(query.compile(dialect=self._engine.dialect, compile_kwargs={"literal_binds": True}))
        if self._engine.dialect.name == "sqlite":
            yield from raw.execute(text)
            return
        with raw.cursor(name="kijun_rows", binary=True) as cursor:
            cursor.itersize = 5000
            yield from cursor.execute(text)


def verify_chain(
    book: str, rows: Iterable[tuple[int, bytes, bytes]], checkpoints: Iterable[Checkpoint] = ()
) -> Verification:
    """Hash events anew and compare.

    Args:
        book: the book.
        rows: number, canonical record and hash of each event, in order.
        checkpoints: what to compare with; other books' are left out.
    """
    # More than one may be of the same count: whoever writes a chain anew may also have its checkpoint told again.
    known = sorted((entry.count, entry.at, entry.head.lower()) for entry in checkpoints if entry.book == book)
    marks = {count for count, _, _ in known}
    previous, count, sha256 = GENESIS, 0, hashlib.sha256
    for sequence, record, digest in rows:
        count += 1
        if count == 1 and not _is_first_of(book, record):
            return Verification(book, 0, previous.hex(), 1, "it is not the first event of the book %s" % book)
        # `chain_hash`, written out: this is the loop that decides how long verifying takes.
        if sequence != count or sha256(previous + record).digest() != digest:
            return Verification(book, count - 1, previous.hex(), count, _why_broken(count, sequence))
        previous = digest
        if count in marks:
            told = [at for marked, at, head in known if marked == count and head != digest.hex()]
            if told:
                reason = "the checkpoint of %s has another event there" % told[0]
                return Verification(book, count - 1, previous.hex(), count, reason)
    if known and known[-1][0] > count:
        reason = "the checkpoint of %s counted %d events" % (known[-1][1], known[-1][0])
        return Verification(book, count, previous.hex(), count + 1, reason)
    return Verification(book, count, bytes(previous).hex())


def _is_first_of(book: str, record: bytes) -> bool:
    """Whether a chain begins with a book's own first event. The others hang on it by their hashes, so it alone tells
    whether the whole chain is another book's.
    """
    try:
        fields = json.loads(record)
        return bool((fields["book"], fields["sequence"]) == (book, 1))
    except (LookupError, TypeError, ValueError):
        return False


def _why_broken(count: int, sequence: int) -> str:
    if sequence != count:
        return "it is missing; what stands there is event %s" % sequence
    return "its hash is not that of its content behind the event before it"


def _known_actor(book: str, actor: str) -> str:
    try:
        name = one_line(actor)
    except ValueError as error:
        raise Refused([Problem(None, book, "actor", actor, str(error))]) from None
    if not name:
        raise Refused([Problem(None, book, "actor", "", "a ledger names who did it")])
    return name


def _plan(
    book: Book, changes: Sequence[Change], before: Mapping[str, State], moment: Moment
) -> tuple[list[tuple[Change, State, dict[str, Any]]], dict[str, dict[str, Any]]]:
    """Work out what each change does, each after those before it.

    Returns:
        Each change that does something, with its entry before it and the fields that it sets; and the fields of every
        entry that changes, after all of them.
    """
    current = {change.key: before.get(change.key, NOTHING) for change in changes}
    plan, problems, stale = [], [], []
    for given in changes:
        change, wrong = cleaned(book, given)
        state = current[change.key]
        if wrong:
            problems += wrong
            continue
        if change.version is not None and change.version != before.get(change.key, NOTHING).version:
            reason = "the entry has version %d by now" % before.get(change.key, NOTHING).version
            stale.append(change.problem("version", change.version, reason))
            continue
        fields, wrong = next_state(book, change, state, moment)
        problems += wrong
        if wrong or fields == state.fields:
            continue
        payload = {name: value for name, value in fields.items() if state.fields.get(name, ...) != value}
        plan.append((change, state, payload))
        current[change.key] = State(change.key, state.version + 1, 0, fields)
    if stale:
        raise Stale(stale)
    if problems:
        raise Refused(problems)
    return plan, {change.key: current[change.key].fields for change, _, _ in plan}


def _refuse_together(
    book: Book,
    plan: list[tuple[Change, State, dict[str, Any]]],
    after: Mapping[str, dict[str, Any]],
    find: Any,
    moment: Moment,
) -> None:
    first = {change.key: state.fields for change, state, _ in reversed(plan)}
    last = {change.key: change for change, _, _ in plan}
    touched = [Touched(change, first[key], after[key]) for key, change in last.items()]
    problems = list(book.check_together(touched, find, moment))
    if problems:
        raise Refused(problems)


def _chain(
    book: str, plan: list[tuple[Change, State, dict[str, Any]]], moment: Moment, count: int, head: bytes
) -> list[tuple[Event, str]]:
    """The events of a plan, each with its record."""
    written = []
    for number, (change, state, payload) in enumerate(plan, count + 1):
        event = Event(
            sequence=number,
            book=book,
            key=change.key,
            version=state.version + 1,
            action=change.action,
            payload=payload,
            actor=moment.actor,
            approver=change.approver,
            ticket=change.ticket,
            at=moment.at,
            previous=head,
        )
        try:
            record = event.record()
        except ValueError as error:
            raise Refused([change.problem("payload", payload, str(error))]) from None
        head = chain_hash(head, record.encode())
        written.append((replace(event, hash=head), record))
    return written


def _fields_of(record: str) -> dict[str, Any]:
    """The fields of a stored record."""
    fields: Any = json.loads(record)
    if not (isinstance(fields, dict) and fields.keys() == RECORDED and isinstance(fields["payload"], dict)):
        raise Broken("%.80r is no record of an event" % record)
    return fields


def _checked(rows: Iterable[tuple[Any, ...]], differences: list[str]) -> Iterator[dict[str, Any]]:
    """Each event's fields, from its record; columns that say otherwise are added to the differences."""
    columns_of = operator.itemgetter("sequence", "book", *GENERATED)
    for row in rows:
        fields = _fields_of(row[0])
        if columns_of(fields) != row[1:]:
            differences.append("event %s: its columns are not its record's" % row[1])
        yield fields


def _rebuilt(records: Iterable[dict[str, Any]]) -> dict[str, State]:
    """The entries that follow from events: each event's payload replaces the fields that it names."""
    fields: dict[str, dict[str, Any]] = {}
    newest: dict[str, tuple[int, int]] = {}
    for event in records:
        key = event["key"]
        fields.setdefault(key, {}).update(event["payload"])
        newest[key] = (event["version"], event["sequence"])
    return {key: State(key, *newest[key], fields[key]) for key in fields}


def _difference(rebuilt: State, version: int, sequence: int, text: str) -> str:
    """What of a stored entry is not as it was rebuilt, or nothing. JSON's true is another value than its 1."""
    try:
        fields = json.loads(text)
    except ValueError:
        return "fields"
    if not isinstance(fields, dict):
        return "fields"
    names = [
        name
        for name in sorted({*rebuilt.fields, *fields})
        if name not in fields
        or name not in rebuilt.fields
        or json.dumps(fields[name], sort_keys=True) != json.dumps(rebuilt.fields[name], sort_keys=True)
    ]
    return ", ".join(names) or ("" if (version, sequence) == rebuilt[1:3] else "version")


def _state(row: Any) -> State:
    if not isinstance(row.fields, dict):
        raise Broken("%s: its stored fields are not as the events made them; verify and rebuild the book" % row.key)
    return State(row.key, row.version, row.sequence, row.fields)


def _state_row(book: str, state: State) -> dict[str, Any]:
    return {"book": book, **state._asdict()}


@functools.cache
def _list_fields(model: type[pydantic.BaseModel]) -> frozenset[str]:
    """The fields of a model that are lists."""
    properties = model.model_json_schema()["properties"]
    return frozenset(name for name, schema in properties.items() if schema.get("type") == "array")


def _field_is(dialect: str, name: str, values: list[Any], is_list: bool) -> sa.ColumnElement[bool]:
    """Whether a field is one of some values, or is a list that holds one of them."""
    # The values go as one parameter: databases limit how many there may be.
    if dialect == "postgresql":
        fields = sa.cast(states.c.fields, postgresql.JSONB)
        if is_list:
            return sa.or_(sa.false(), *(fields.contains({name: [value]}) for value in values))
        return fields[name].in_(sa.select(sa.func.jsonb_array_elements(sa.literal(values, postgresql.JSONB()))))
    path = '$."%s"' % name
    wanted = sa.select(sa.func.json_each(json.dumps(values)).table_valued("value", name="wanted").c.value)
    if is_list:
        each = sa.func.json_each(states.c.fields, path).table_valued("value")
        return sa.exists(sa.select(sa.literal(1)).select_from(each).where(each.c.value.in_(wanted)))
    found = sa.func.json_extract(states.c.fields, path)
    return sa.or_(found.in_(wanted), found.is_(None) if None in values else sa.false())


def _several(wanted: Any) -> list[Any]:
    return list(wanted) if isinstance(wanted, list | tuple | set | frozenset) else [wanted]


def _plain(name: str, value: Any) -> Any:
    """A value to look for, as fields hold it."""
    if isinstance(value, datetime.date):
        return value.isoformat()
    if not isinstance(value, str | int | None):
        raise LedgerError("%s: %r cannot be looked for: only text, numbers, true, false and null can" % (name, value))
    return value


def _event_conditions(table: Any, where: Mapping[str, Any]) -> list[sa.ColumnElement[bool]]:
    conditions: list[sa.ColumnElement[bool]] = []
    for name, wanted in where.items():
        if name == "since":
            conditions.append(table.c.at >= str(wanted))
        elif name == "until":
            conditions.append(table.c.at <= str(wanted))
        elif name in EVENT_FILTERS:
            conditions.append(table.c[name].in_([str(value) for value in _several(wanted)]))
        else:
            raise LedgerError("events have no %r; they have %s" % (name, ", ".join((*EVENT_FILTERS, "since", "until"))))
    return conditions
