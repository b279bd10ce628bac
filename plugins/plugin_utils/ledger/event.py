# SPDX-License-Identifier: GPL-3.0-or-later
"""An event of a book, its canonical form and the chain of hashes.

hash(n) = SHA-256(hash(n - 1) followed by the canonical JSON of event n), and hash(0) is 32 zero bytes. Each book has
its own chain, and its events are numbered from 1 without a gap.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

from .errors import Broken

GENESIS = bytes(32)
"""What the first event of a book follows."""

NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
"""The character U+0000 in JSON: after an even number of backslashes, which stand for themselves two by two."""

LARGEST = 2**53 - 1
"""The largest whole number that every reader of JSON takes for the same (RFC 8785 section 3.2.2.3)."""


@dataclass(frozen=True)
class Checkpoint:
    """What a book's chain was at some time; kept elsewhere, it shows that events were cut off or all written anew.

    Attributes:
        book: the book.
        count: how many events it had.
        head: hash of the newest, in hexadecimal.
        at: when, as ledgers write times.
    """

    book: str
    count: int
    head: str
    at: str


def canonical_json(value: Any) -> str:
    """Write a value in the one form that is hashed: RFC 8785, for text, whole numbers, true, false, null and what is
    made of them. Numbers with a fraction have no single form in all languages and are refused, and so is what
    databases and UTF-8 cannot hold: the character U+0000 and halves of surrogate pairs.

    Args:
        value: the value.

    Raises:
        ValueError: it holds something else.
    """
    _refuse_others(value)
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    if NUL.search(text):
        raise ValueError("%.200r cannot stand in a ledger: databases do not hold the character U+0000" % value)
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("%.200a cannot stand in a ledger: UTF-8 does not hold half a surrogate pair" % value) from None
    # RFC 8785 orders names by UTF-16; Python by code points, which differs beyond U+FFFF.
    return json.dumps(_in_order(value), separators=(",", ":"), ensure_ascii=False)


def _refuse_others(value: Any) -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise ValueError("%r cannot be the name of a field in a ledger: only text can" % (key,))
            if type(item) is not str:
                _refuse_others(item)
    elif isinstance(value, list):
        for item in value:
            _refuse_others(item)
    elif isinstance(value, int):
        if abs(value) > LARGEST:
            raise ValueError("%d cannot stand in a ledger: whole numbers go to %d" % (value, LARGEST))
    elif not (value is None or isinstance(value, str)):
        raise ValueError("%r cannot stand in a ledger: only text, whole numbers, true, false and null can" % (value,))


def _in_order(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _in_order(value[key]) for key in sorted(value, key=lambda key: key.encode("utf-16-be"))}
    if isinstance(value, list):
        return [_in_order(item) for item in value]
    return value


def chain_hash(previous: bytes, record: bytes) -> bytes:
    """The hash of an event.

    Args:
        previous: the hash of the event before it, 32 bytes; `GENESIS` for the first.
        record: the event's canonical JSON in UTF-8.

    Returns:
        32 bytes.
    """
    return hashlib.sha256(previous + record).digest()


def timestamp(moment: datetime.datetime | None = None) -> str:
    """A time as ledgers write it: ISO 8601 in UTC, to the second, such as 2026-11-21T03:00:00Z.

    Args:
        moment: an aware time; now, when it is not given.
    """
    moment = moment or datetime.datetime.now(datetime.UTC)
    return moment.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True)
class Event:
    """What happened to one entry of a book.

    Attributes:
        sequence: its number in the book, from 1.
        book: the book.
        key: the entry, such as a login name.
        version: how many events the entry has with this one.
        action: what was done, such as approve.
        payload: the fields that it changed, with their new values.
        actor: who did it.
        approver: who approved it, or nothing.
        ticket: the application or ticket behind it, or nothing.
        at: when, as `timestamp` writes it.
        previous: hash of the event before it.
        hash: its own.
    """

    sequence: int
    book: str
    key: str
    version: int
    action: str
    payload: dict[str, Any]
    actor: str
    approver: str
    ticket: str
    at: str
    previous: bytes = GENESIS
    hash: bytes = GENESIS

    def fields(self) -> dict[str, Any]:
        """What is hashed, as a dictionary."""
        return {
            "sequence": self.sequence,
            "book": self.book,
            "key": self.key,
            "version": self.version,
            "action": self.action,
            "payload": self.payload,
            "actor": self.actor,
            "approver": self.approver,
            "ticket": self.ticket,
            "at": self.at,
        }

    def record(self) -> str:
        """What is hashed, in canonical form."""
        return canonical_json(self.fields())

    @classmethod
    def from_record(cls, record: str, previous: bytes, digest: bytes) -> Event:
        """The event of a stored record.

        Args:
            record: its canonical JSON.
            previous: hash of the event before it.
            digest: its own hash.

        Raises:
            Broken: the record is not one that a ledger writes.
        """
        try:
            return cls(**json.loads(record), previous=previous, hash=digest)
        except (TypeError, ValueError):
            raise Broken("%.80r is no record of an event" % record) from None
