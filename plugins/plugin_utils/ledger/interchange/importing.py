# SPDX-License-Identifier: GPL-3.0-or-later
"""Read changes to a book from a file: all of them, or none and every reason why."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..book import Action, Book, Change, State
from ..engine import Ledger
from ..errors import LedgerError, Problem, Refused
from ..event import Event
from .columns import CHANGE, book_named, known_headings, recognise
from .csv_file import read_csv
from .fields import UNSAID, Kind, from_text, from_typed, kinds
from .files import format_of, read_bytes
from .structured import read_json, read_yaml
from .tables import Row, Table
from .xlsx_file import read_xlsx

WHOLE = Kind("integer", True, None)
TEXT = Kind("text", False, "")


@dataclass
class Read:
    """What a file holds.

    Attributes:
        changes: one for each row that could be read.
        problems: what is wrong with the others and with the headings.
        encoding: how its text was encoded.
        form: its format.
    """

    changes: list[Change]
    problems: list[Problem] = field(default_factory=list)
    encoding: str = "utf-8"
    form: str = ""


class Imported(NamedTuple):
    """What an import came to.

    Attributes:
        events: what was written, or would be.
        rows: how many rows the file has.
        encoding: how its text was encoded.
        form: its format.
        before: the entries that the file is about, as they were.
    """

    events: list[Event]
    rows: int
    encoding: str
    form: str
    before: dict[str, State]


def read(
    book: Book, path: str, *, form: str | None = None, action: str = "", approver: str = "", ticket: str = ""
) -> Read:
    """Read a file; the ledger is not asked.

    Args:
        book: the book.
        path: the file.
        form: csv, xlsx, yaml or json; the file's ending says it where it is not given.
        action: the action of rows that name none; the book's own choice where it is not given.
        approver: the approver of rows that name none.
        ticket: the ticket of rows that name none.

    Raises:
        LedgerError: the file cannot be read at all.
    """
    action = action or book.imported
    if action not in book.actions:
        raise LedgerError("action %r is none of %s" % (action, ", ".join(book.actions)))
    found = format_of(path, form)
    try:
        table = _table(book, read_bytes(path), found)
    except LedgerError as error:
        raise LedgerError("%s: %s" % (path, error)) from None
    names, wrong = recognise(book, table.headings, 1 if table.numbered_headings else None, action)
    if wrong:
        return Read([], [*wrong, *table.problems], table.encoding, found)
    rows = _Rows(book, table, names, Change("", action, approver=approver, ticket=ticket))
    changes = [change for change in map(rows.change, table.rows) if change is not None]
    return Read(changes, [*table.problems, *rows.problems], table.encoding, found)


def _table(book: Book, content: bytes, form: str) -> Table:
    if form == "csv":
        return read_csv(content, known_headings(book))
    if form == "xlsx":
        return read_xlsx(content, book.title.values(), book.name)
    if form == "json":
        return read_json(content)
    if form == "yaml":
        return read_yaml(content)
    raise LedgerError("format %s is for verifying; import csv, xlsx, yaml or json" % form)


class _Rows:
    """Makes changes of rows, and collects what is wrong with them.

    Args:
        book: the book.
        table: the file's content.
        names: which column is which.
        default: what a row is that says nothing of how it is entered.
    """

    def __init__(self, book: Book, table: Table, names: Sequence[str | None], default: Change) -> None:
        self.book = book
        self.table = table
        self.names = names
        self.default = default
        self.problems: list[Problem] = []
        self._kinds = {**{name: WHOLE if name == "version" else TEXT for name in CHANGE}, **kinds(book)}
        self._broken = {problem.row for problem in table.problems}
        self._rows_of: dict[str, int] = {}

    def change(self, row: Row) -> Change | None:
        """The change that a row asks for; None when it cannot be read."""
        before = len(self.problems)
        values = self._values(row)
        key = str(values.pop(self.book.key, ""))
        if key == "":
            if row.number not in self._broken and len(self.problems) == before:
                self._complain(row, "", self.book.key, "", "is needed")
        elif key in self._rows_of:
            self._complain(row, key, self.book.key, key, "stands in row %d already" % self._rows_of[key])
        else:
            self._rows_of[key] = row.number
        if len(self.problems) > before or row.number in self._broken:
            return None
        return self._made(row, key, values)

    def _values(self, row: Row) -> dict[str, Any]:
        key = ""
        values: dict[str, Any] = {}
        cells = list(enumerate(row.cells))
        # The key first, so that complaints about the other cells can name it.
        cells.sort(key=lambda cell: cell[0] >= len(self.names) or self.names[cell[0]] != self.book.key)
        for position, cell in cells:
            name = self.names[position] if position < len(self.names) else None
            if cell is UNSAID or (name is None and cell in (None, "")):
                continue
            if name is None:
                self._complain(row, key, "column %d" % (position + 1), str(cell)[:40], "there is no heading above it")
                continue
            try:
                value = self._value(name, cell)
            except ValueError as error:
                self._complain(row, key, name, str(cell)[:80], str(error))
                continue
            if value is not UNSAID:
                values[name] = value
                key = str(value) if name == self.book.key else key
        return values

    def _value(self, name: str, cell: Any) -> Any:
        kind = self._kinds[name]
        if self.table.numbered_headings:
            return self._of_cell(name, cell, kind)
        return from_typed(cell, kind)

    def _of_cell(self, name: str, cell: Any, kind: Kind) -> Any:
        """The value of a spreadsheet's cell, which may be of another type than its column."""
        if isinstance(cell, datetime.datetime):
            if cell.time() != datetime.time():
                raise ValueError("must be a date without a time")
            cell = cell.date().isoformat()
        elif isinstance(cell, int) and not isinstance(cell, bool) and name == self.book.key:
            raise ValueError("the cell holds a number; make it text, so that zeros at its beginning stay")
        elif isinstance(cell, float | datetime.time | datetime.timedelta):
            raise ValueError("the cell holds a number with a fraction or a time; make it text")
        elif isinstance(cell, bool):
            cell = "yes" if cell else "no"
        return from_text("" if cell is None else str(cell), kind)

    def _made(self, row: Row, key: str, values: dict[str, Any]) -> Change:
        action = self._special(values, "action") or self.default.action
        version = values.pop("version", None) if "version" not in self.book.model.model_fields else None
        allowed = self.book.actions[action].fields if action in self.book.actions else frozenset(values)
        said = {name: values.pop(name) for name in ("approver", "ticket") if name in values and name not in allowed}
        return Change(
            key,
            action,
            values,
            approver=said.get("approver") or self.default.approver,
            ticket=said.get("ticket") or self.default.ticket,
            # An entry that is only now entered had its version in another ledger.
            version=None if action == self.book.imported else version,
            row=row.number,
        )

    def _special(self, values: dict[str, Any], name: str) -> str:
        return "" if name in self.book.model.model_fields else str(values.pop(name, "")).strip()

    def _complain(self, row: Row, key: str, name: str, value: str, reason: str) -> None:
        self.problems.append(Problem(row.number, key, name, value, reason))


def without_known(book: Book, change: Change, before: State | None) -> Change:
    """A change without the fields that its action does not set, as far as they are what they are anyway.

    Exported sheets show every field. One that cannot be changed this way may stand there, but not with another value.
    Of imported entries, fields that only a ledger itself writes are left out: it writes, or has written, its own.

    Args:
        book: the book.
        change: the change.
        before: the entry before it; None where there is none.
    """
    action = book.actions.get(change.action)
    if action is None:
        return change
    known = _of_new_entry(book, action)
    if before:
        ledgers_own = {name: UNSAID for name, value in known.items() if value is UNSAID}
        known = {**before.fields, **(ledgers_own if change.action == book.imported else {})}
    payload = {
        name: value
        for name, value in change.payload.items()
        if name in action.fields or known.get(name, ...) not in (value, UNSAID)
    }
    return dataclasses.replace(change, payload=payload)


def _of_new_entry(book: Book, action: Action) -> dict[str, Any]:
    """What fields of a new entry are; `UNSAID` for those that only the ledger writes."""
    settable = {name for one in book.actions.values() for name in one.fields}
    fields = {
        name: field.get_default(call_default_factory=True) if name in settable else UNSAID
        for name, field in book.model.model_fields.items()
        if name in settable or not field.is_required()
    }
    return {**fields, "status": action.after}


def import_file(
    ledger: Ledger,
    book: str,
    path: str,
    actor: str,
    *,
    form: str | None = None,
    action: str = "",
    approver: str = "",
    ticket: str = "",
    context: Any = None,
    dry_run: bool = False,
) -> Imported:
    """Enter a file into a book: every row, or none.

    Args:
        ledger: the ledger.
        book: the book.
        path: see `read`, as are form, action, approver and ticket.
        actor: who enters it.
        form: see `read`.
        action: see `read`.
        approver: see `read`.
        ticket: see `read`.
        context: what the book's rules need to know from outside.
        dry_run: work everything out and write nothing.

    Raises:
        Refused: rows are not as they must be, or the book does not take them; all problems, by row.
        Stale: a row names a version that is not the newest.
        LedgerError: the file or the ledger cannot be read.
    """
    rules = book_named(ledger.books, book)
    found = read(rules, path, form=form, action=action, approver=approver, ticket=ticket)
    before = {state.key: state for state in ledger.find(book, [change.key for change in found.changes])}
    changes = [without_known(rules, change, before.get(change.key)) for change in found.changes]
    try:
        events = ledger.append(book, changes, actor, context=context, dry_run=dry_run or bool(found.problems))
    except Refused as refused:
        problems = sorted([*found.problems, *refused.problems], key=lambda problem: problem.row or 0)
        raise type(refused)(problems) from None
    if found.problems:
        raise Refused(sorted(found.problems, key=lambda problem: problem.row or 0))
    return Imported(events, len(found.changes), found.encoding, found.form, before)
