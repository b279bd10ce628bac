# SPDX-License-Identifier: GPL-3.0-or-later
"""The lines of a log store: which files there are, what a line's parts are, and what one may be shown as.

A line is what the receiver writes: the time of receipt, the sender's proven name, and the record as the sender composed
it, a JSON object that begins with its series (``epoch``) and the number in it (``seq``).
"""

from __future__ import annotations

import datetime
import json
import os
import re
from collections.abc import Iterator
from typing import NamedTuple

from .blocks import Stored

STORE = "/var/log/kijun/hosts"
STATE = "/var/lib/kijun/log-review"

HEAD = re.compile(
    rb'(\S+) (\S+) \{"epoch":"([^"]*)", "seq":(\d+), "time":"([^"]*)", '
    rb'"host":"[^"\\]*(?:\\.[^"\\]*)*", "kind":"([a-z]*)"'
)
"""Received, sender, epoch, seq, time, kind. Within a record's texts, quotes have a backslash before them."""

NAME = re.compile(r"(\d{4}-\d\d-\d\d)(\.journal|\.session)?\.log")
UNSEEN = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]")


class DayFile(NamedTuple):
    """A sender's file of one day, plain or compressed.

    Attributes:
        sender: whose records.
        day: as YYYY-MM-DD, UTC.
        path: of its plain form, whether that is there or not.
    """

    sender: str
    day: str
    path: str

    @property
    def name(self) -> str:
        """Its name below the store: SENDER/FILE."""
        return self.sender + "/" + os.path.basename(self.path)


def day_files(store: str = STORE, senders: list[str] | None = None) -> list[DayFile]:
    """Every file of a store, the oldest day first.

    Args:
        store: the folder with a folder for each sender.
        senders: only of these.
    """
    found = set()
    for sender in os.listdir(store):
        folder = os.path.join(store, sender)
        if (senders is not None and sender not in senders) or os.path.islink(folder) or not os.path.isdir(folder):
            continue
        for file in os.listdir(folder):
            plain = file[:-3] if file.endswith(".gz") else file
            name = NAME.fullmatch(plain)
            if name:
                found.add(DayFile(sender, name[1], os.path.join(folder, plain)))
    return sorted(found, key=lambda file: (file.day, file.sender, file.path))


class Line(NamedTuple):
    """A line of a store.

    Attributes:
        file: where it is.
        offset: where it begins there, in bytes of the plain form.
        text: the line, without its end.
        received: when it came, in seconds since 1970; what the server says, so that nobody else can choose it.
        epoch: the series; empty for a line that is no record of ours.
        seq: its number there.
        kind: what it is about.
    """

    file: DayFile
    offset: int
    text: bytes
    received: float
    epoch: bytes
    seq: int
    kind: bytes


def lines(file: DayFile, start: int, end: int, size: int, words: tuple[bytes, ...] = ()) -> Iterator[Line]:
    """The whole lines of a file that begin in a stretch of it.

    Args:
        file: the file.
        start: the first offset.
        end: lines that begin here or later are left out.
        size: about how many bytes are read at once.
        words: lines in which none of them stands are passed over; without any, none is.

    Raises:
        FileNotFoundError: the file is gone.
        ValueError: its compressed form is damaged.
    """
    with Stored(file.path) as stored:
        for offset, piece in stored.chunks(start, min(end, stored.size), size):
            for text in piece.split(b"\n")[:-1]:
                if not words or any(word in text for word in words):
                    yield parsed(file, offset, text)
                offset += len(text) + 1


def size_of(file: DayFile) -> int:
    """Bytes of a file's plain form, whichever form it has; 0 when it is gone or damaged."""
    try:
        return os.stat(file.path).st_size
    except OSError:
        pass
    try:
        with Stored(file.path) as stored:
            return stored.size
    except (OSError, ValueError):
        return 0


def parsed(file: DayFile, offset: int, text: bytes) -> Line:
    """A line with its parts told apart."""
    head = HEAD.match(text)
    if head:
        return Line(file, offset, text, seconds(head[1]), head[3], int(head[4]), head[6])
    return Line(file, offset, text, seconds(text.partition(b" ")[0]), b"", 0, b"")


def seconds(text: bytes) -> float:
    """A time as rsyslog writes it (RFC 3339), in seconds since 1970; 0 for what is none."""
    global _second
    if text[:19] == _second[0] and len(text) == 32 and text.endswith(b"+00:00") and text[20:26].isdigit():
        # Of the same second as the one before, as nearly all are where there are many.
        return _second[1] + int(text[20:26]) / 1e6
    try:
        moment = datetime.datetime.fromisoformat(text.decode("ascii").replace("Z", "+00:00"))
    except (ValueError, OverflowError):
        return 0.0
    found = moment.timestamp()
    if moment.tzinfo is datetime.timezone.utc:
        _second = (text[:19], float(int(found)))
    return found


_second: tuple[bytes, float] = (b"", 0.0)


def stamp(moment: float) -> str:
    """A time in UTC, to the second."""
    return datetime.datetime.fromtimestamp(moment, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def day_of(moment: float) -> str:
    """The day of a time, in UTC."""
    return stamp(moment)[:10]


class Fields:
    """What a line's record says, each part of it looked up when it is asked for: most are not.

    The sender's rsyslog writes the parts one after the other, the message last. Within a text a quote has a backslash
    before it, so that no text can pass for a part.

    Args:
        text: the line.
    """

    __slots__ = ("_end", "_known", "_text")

    def __init__(self, text: bytes) -> None:
        self._text = text
        self._end = text.find(b'"msg":"')
        self._known: dict[str, str] = {}

    def get(self, name: str) -> str | None:
        """A part, or None where it is not there. What is no text (the number in the series) is not looked up here.

        Args:
            name: such as tag, uid or msg.
        """
        if name not in self._known:
            word = b'"%s":"' % name.encode()
            end = len(self._text) if name == "msg" else self._end
            start = self._end if name == "msg" else self._text.find(word, 0, end if end >= 0 else len(self._text))
            if start < 0:
                return None
            start += len(word)
            if name == "msg" and self._text.endswith(b'"}'):
                # The last part, and the largest.
                self._known[name] = _plain(self._text[start:-2])
            else:
                found = TEXT.match(self._text, start)
                self._known[name] = _plain(found[0] if found else self._text[start:])
        return self._known[name]


TEXT = re.compile(rb'[^"\\]*(?:\\.[^"\\]*)*', re.DOTALL)
"""The inside of a JSON text."""

DECODER = json.JSONDecoder(strict=False)


def _plain(raw: bytes) -> str:
    """The inside of a JSON text, without its escapes."""
    text = raw.decode("utf-8", "surrogateescape")
    escapes = text.count("\\")
    if not escapes:
        return text
    if escapes == text.count('\\"') + text.count("\\/"):
        # The common case: quotes and slashes, and no backslash of its own.
        return text.replace('\\"', '"').replace("\\/", "/")
    try:
        return str(DECODER.raw_decode('"' + text + '"')[0])
    except ValueError:
        return text


def shown(text: bytes, longest: int = 0) -> str:
    """A line as it can be printed: what a terminal would obey, and bytes that are no UTF-8, are escaped.

    Args:
        text: the line.
        longest: characters after which it is cut, and that said; 0 for never.
    """
    said = UNSEEN.sub(_escaped, text.decode("utf-8", "surrogateescape"))
    return said[:longest] + "... (%d more characters)" % (len(said) - longest) if 0 < longest < len(said) else said


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    if 0xDC80 <= code <= 0xDCFF:
        return "\\x%02x" % (code - 0xDC00)
    return "\\x%02x" % code if code < 0x100 else "\\u%04x" % code
