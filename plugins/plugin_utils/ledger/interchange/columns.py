# SPDX-License-Identifier: GPL-3.0-or-later
"""Columns of a book's sheets: their headings in both languages, and which column of a file is which."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence

from ..book import Book
from ..errors import LedgerError, Problem
from .fields import LANGUAGES

CHANGE = {
    "action": ("Action", "操作"),
    "version": ("Version", "版"),
    "approver": ("Approver", "承認者"),
    "ticket": ("Ticket", "申請番号"),
}
"""Columns that say how a row is entered, where the book has none of that name."""

EVENT = {
    "sequence": ("No.", "番号"),
    "at": ("Time (UTC)", "日時 (UTC)"),
    "key": ("Entry", "対象"),
    "version": ("Version", "版"),
    "action": ("Action", "操作"),
    "actor": ("Actor", "実施者"),
    "approver": ("Approver", "承認者"),
    "ticket": ("Ticket", "申請番号"),
    "payload": ("Changed fields", "変更内容"),
    "hash": ("Hash", "ハッシュ"),
}
"""Columns of a sheet of events."""


def book_named(books: Mapping[str, Book], name: str) -> Book:
    """The book of a name.

    Args:
        books: those that there are.
        name: its name.

    Raises:
        LedgerError: there is none.
    """
    if name not in books:
        raise LedgerError("there is no book %r; there are %s" % (name, ", ".join(sorted(books))))
    return books[name]


def headings_of_states(book: Book, language: str) -> dict[str, str]:
    """Columns of a sheet of a book's entries, in order: name -> heading.

    Args:
        book: the book.
        language: en or ja.
    """
    place = LANGUAGES.index(language)
    return {name: names[place] for name, names in {**book.headings, "version": CHANGE["version"]}.items()}


def headings_of_events(language: str) -> dict[str, str]:
    """Columns of a sheet of events, in order: name -> heading.

    Args:
        language: en or ja.
    """
    place = LANGUAGES.index(language)
    return {name: names[place] for name, names in EVENT.items()}


def same(heading: str) -> str:
    """A heading as compared: width, case and blanks do not matter.

    Args:
        heading: the heading.
    """
    return re.sub(r"\s+", "", unicodedata.normalize("NFKC", heading)).casefold()


def known_headings(book: Book) -> dict[str, str]:
    """Every heading that an import takes -> name of the column: either language's, or the field's own name.

    Args:
        book: the book.
    """
    names = {**CHANGE, **book.headings}
    return {same(text): name for name, texts in names.items() for text in (name, *texts)}


def recognise(book: Book, found: Sequence[str], row: int | None, action: str) -> tuple[list[str | None], list[Problem]]:
    """Say which columns a file has.

    Args:
        book: the book.
        found: its headings, from the left.
        row: the row that they stand in; None where headings are names of fields.
        action: the action of rows that name none.

    Returns:
        The name of each column (None for one without heading), and what is wrong with the headings.
    """
    known = known_headings(book)
    names: list[str | None] = []
    problems = []
    for position, heading in enumerate(found, 1):
        name = known.get(same(heading)) if heading.strip() else None
        if heading.strip() and name is None:
            problems.append(_complaint(book, row, heading, "column %d: there is no such heading" % position))
        elif name is not None and name in names:
            problems.append(_complaint(book, row, heading, "column %d: the heading is there twice" % position))
        names.append(name)
    # Rows that name an action of their own need what that action needs, which the engine says row by row.
    needed = (book.key,) if "action" in names else (book.key, *book.actions[action].required)
    for name in dict.fromkeys(needed if row is not None else ()):
        if name not in names:
            problems.append(_complaint(book, row, " / ".join(book.headings[name]), "the column is missing"))
    return names, problems


def _complaint(book: Book, row: int | None, heading: str, reason: str) -> Problem:
    return Problem(row, book.name, "heading", heading, reason)
