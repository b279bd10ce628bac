# SPDX-License-Identifier: GPL-3.0-or-later
"""Verifies an exported file of events, without a database."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator
from typing import Any

from .engine import Checkpoint, Verification, verify_chain
from .errors import LedgerError
from .event import GENESIS, Event, canonical_json

MAX_LINE = 16 * 1024 * 1024
"""Bytes of the longest line that is read."""


def verify_export(path: str, book: str, checkpoints: Iterable[Checkpoint] = ()) -> Verification:
    """Hash the events of a file anew, and compare with what stands there and with checkpoints kept elsewhere.

    Args:
        path: a file of JSON lines, as `interchange.export.write_events` writes it.
        book: the book that it should hold.
        checkpoints: those to compare with; other books' are left out. Without any, a file that was cut off at its end
            or written wholly anew cannot be told from a true one.

    Raises:
        LedgerError: the file cannot be read, or is of another book.
    """
    damage: list[str] = []
    found = verify_chain(book, _rows(path, book, damage), checkpoints)
    if damage and (found.broken_at is None or found.broken_at > found.count):
        return dataclasses.replace(found, broken_at=found.count + 1, reason=damage[0])
    return found


def _rows(path: str, book: str, damage: list[str]) -> Iterator[tuple[int, bytes, bytes]]:
    """The events of a file up to the first that is none; why it is none goes into a list."""
    try:
        for number, found in _lines(path):
            try:
                yield _row(found, book)
            except (LookupError, TypeError, ValueError) as error:
                raise _Damaged("line %d is no event: %s" % (number, error)) from None
    except _Damaged as error:
        damage.append(str(error))


class _Damaged(LedgerError):
    """A line that is no event."""


def _row(found: Any, book: str) -> tuple[int, bytes, bytes]:
    record, digest = found["record"], found["hash"]
    if len(found) > 2 or type(record["sequence"]) is not int:
        raise ValueError("it has more than hash and record, or no number")
    if record["book"] != book:
        raise LedgerError("the events are of the book %r, not %r" % (record["book"], book))
    return record["sequence"], canonical_json(record).encode(), bytes.fromhex(digest)


def read_export(path: str) -> list[Event]:
    """The events of a file; whether they hold is for `verify_export` to say.

    Args:
        path: a file of JSON lines.

    Raises:
        LedgerError: it cannot be read, or a line is no event.
    """
    events: list[Event] = []
    for number, found in _lines(path):
        previous = events[-1].hash if events else GENESIS
        try:
            events.append(Event.from_record(json.dumps(found["record"]), previous, bytes.fromhex(found["hash"])))
        except (LookupError, TypeError, ValueError) as error:
            raise LedgerError("%s: line %d is no event: %s" % (path, number, error)) from None
    return events


def _lines(path: str) -> Iterator[tuple[int, Any]]:
    try:
        with open(path, "rb") as file:
            number = 0
            while line := file.readline(MAX_LINE + 1):
                number += 1
                if len(line) > MAX_LINE:
                    raise _Damaged("line %d is longer than %d bytes" % (number, MAX_LINE))
                if line.strip():
                    yield number, _parsed(number, line)
    except OSError as error:
        raise LedgerError("%s cannot be read: %s" % (path, error.strerror)) from None


def _parsed(number: int, line: bytes) -> Any:
    try:
        return json.loads(line, object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        raise _Damaged("line %d is no event: %s" % (number, error)) from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("an object has the same name twice")  # of which a reader might see either
    return found
