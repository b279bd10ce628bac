# SPDX-License-Identifier: GPL-3.0-or-later
"""Write what a book holds to a file."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import IO, Any

from ..book import Book, State
from ..errors import LedgerError
from ..event import Event, canonical_json
from .columns import headings_of_events, headings_of_states
from .csv_file import write_csv
from .fields import LANGUAGES, Kind, kinds, to_text
from .files import written_whole
from .structured import write_json, write_yaml
from .xlsx_file import WIDTHS, shown_width, write_xlsx

STATES = ("csv", "xlsx", "yaml", "json")
EVENTS = (*STATES, "jsonl")
SAMPLE = 200
"""Rows that the width of a column is taken from."""

VERSION = Kind("integer", False, 0)


def write_states(path: str, book: Book, states: Iterable[State], form: str, language: str = "en") -> int:
    """Write a book's entries to a file that an import takes again.

    Args:
        path: the file; it is replaced whole, with mode 0600.
        book: the book.
        states: its entries.
        form: csv, xlsx, yaml or json.
        language: of the headings of csv and xlsx: en or ja.

    Returns:
        How many entries were written.

    Raises:
        LedgerError: the format or language is unknown, or the file cannot be written.
    """
    _known(form, STATES, language)
    entries = [{**state.fields, "version": state.version} for state in states]
    _write(path, book, entries, {**kinds(book), "version": VERSION}, headings_of_states(book, language), form, language)
    return len(entries)


def write_events(path: str, book: Book, events: Iterable[Event], form: str, language: str = "en") -> int:
    """Write a book's events to a file; as jsonl they can be verified there.

    Args:
        path: the file; it is replaced whole, with mode 0600.
        book: the book.
        events: all of its events, in order.
        form: csv, xlsx, yaml, json or jsonl.
        language: of the headings of csv and xlsx: en or ja.

    Returns:
        How many events were written.

    Raises:
        LedgerError: the format or language is unknown, or the file cannot be written.
    """
    _known(form, EVENTS, language)
    if form == "jsonl":
        return _write_lines(path, events)
    entries = [{**event.fields(), "hash": event.hash.hex()} for event in events]
    types = {"sequence": VERSION, "version": VERSION, "payload": Kind("object", False, {})}
    text = Kind("text", False, "")
    headings = headings_of_events(language)
    _write(path, book, entries, {name: types.get(name, text) for name in headings}, headings, form, language)
    return len(entries)


def line_of(event: Event) -> bytes:
    """An event as one line of JSON, which can be verified: its hash and its record.

    Args:
        event: the event.
    """
    return canonical_json({"hash": event.hash.hex(), "record": event.fields()}).encode() + b"\n"


def _write_lines(path: str, events: Iterable[Event]) -> int:
    count = 0
    with written_whole(path) as file:
        for event in events:
            file.write(line_of(event))
            count += 1
    return count


def _known(form: str, forms: Sequence[str], language: str) -> None:
    if form not in forms:
        raise LedgerError("format %r is none of %s" % (form, ", ".join(forms)))
    if language not in LANGUAGES:
        raise LedgerError("language %r is none of %s" % (language, ", ".join(LANGUAGES)))


def _write(
    path: str,
    book: Book,
    entries: list[dict[str, Any]],
    types: dict[str, Kind],
    headings: dict[str, str],
    form: str,
    language: str,
) -> None:
    with written_whole(path) as file:
        if form == "json":
            write_json(file, entries)
        elif form == "yaml":
            write_yaml(file, entries)
        elif form == "csv":
            _write_csv(file, entries, types, headings, language)
        else:
            _write_xlsx(file, book.title[language], entries, types, headings, language)


def _write_csv(
    file: IO[bytes], entries: list[dict[str, Any]], types: dict[str, Kind], headings: dict[str, str], language: str
) -> None:
    rows = ([to_text(entry.get(name), types[name], language) for name in headings] for entry in entries)
    write_csv(file, list(headings.values()), rows)


def _write_xlsx(
    file: IO[bytes],
    title: str,
    entries: list[dict[str, Any]],
    types: dict[str, Kind],
    headings: dict[str, str],
    language: str,
) -> None:
    def rows() -> Iterator[list[Any]]:
        for entry in entries:
            yield [_cell(entry.get(name), kind, language) for name, kind in columns]

    columns = [(name, types[name]) for name in headings]
    sample = [[to_text(entry.get(name), kind, language) for name, kind in columns] for entry in entries[:SAMPLE]]
    widths = []
    for position, heading in enumerate(headings.values()):
        widest = max(map(shown_width, [heading, *(row[position] for row in sample)]))
        widths.append(min(max(widest + 2, WIDTHS[0]), WIDTHS[1]))
    write_xlsx(file, title, list(headings.values()), rows(), widths)


def _cell(value: Any, kind: Kind, language: str) -> Any:
    if kind.type == "date" and isinstance(value, str):
        return datetime.date.fromisoformat(value)
    if kind.type == "integer":
        return value
    return to_text(value, kind, language)


def as_json(value: Any) -> str:
    """A value as JSON for people: indented, signs of all languages as they are.

    Args:
        value: the value.
    """
    return json.dumps(value, ensure_ascii=False, indent=2)
