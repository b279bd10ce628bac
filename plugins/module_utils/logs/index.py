# SPDX-License-Identifier: GPL-3.0-or-later
"""The index of a day: for each user, the lines about them, so that a month is found without reading a month.

One SQLite file a day. It is made from the store and can be made again from it; evidence is always taken from the store.
"""

from __future__ import annotations

import os
import re
import sqlite3
import zlib
from collections.abc import Iterator

from .records import Line

KNOWING = frozenset((b"authentication", b"privilege", b"audit", b"usage", b"journal"))
"""Kinds whose records are about users; in those of others a user is looked for only where the word stands before it."""

USER = re.compile(
    rb'(?:\buser[ =:]+(?:\\")?|\bUSER=|\b[AU]?UID=(?:\\")|\bfor |\bacct=(?:\\")?|\bname=|\bby |\badd \'|\bto \w+\) '
    rb'|\bon \w+ by |"msg":" *)([A-Za-z_][A-Za-z0-9_.@-]{0,63})'
)
"""How programs of Debian name users: sshd, PAM, sudo, su, shadow's tools, logind, auditd."""

PLAIN = re.compile(rb'\b(?:user|USER|username|login|account)(?:=|: ?|\\?":? ?\\?"?)([A-Za-z_][A-Za-z0-9_.@-]{0,63})')
COMMON = re.compile(rb" - ([A-Za-z_][A-Za-z0-9_.@-]{0,63}) \[")
"""The user in a web server's access log."""

NUMBER = re.compile(rb"\ba?uid=([0-9]{4,10})\b")
"""Users in auditd's records."""

NAMED = re.compile(rb"\b([A-Za-z_][A-Za-z0-9_.-]{0,31})\(uid=([0-9]{1,10})\)")
"""A user with their number, as PAM says it."""

NOBODY = frozenset((b"#4294967295",))
"""Nobody, as auditd calls who never logged in."""

TERMS = 20000
"""Users of a day; beyond them, names that nothing else was found of are left out, and that is noted."""

ROOM = 48 * 1024 * 1024
"""Bytes of lines that are held in memory before they are written."""

SCHEMA = """
CREATE TABLE pieces (term TEXT NOT NULL, data BLOB NOT NULL);
CREATE TABLE users (name TEXT NOT NULL, number TEXT NOT NULL, PRIMARY KEY (name, number)) WITHOUT ROWID;
CREATE TABLE about (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""


class Builder:
    """Makes the index of a day.

    Args:
        path: where; it appears there when it is whole.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._new = path + ".new"
        if os.path.exists(self._new):
            os.unlink(self._new)
        os.makedirs(os.path.dirname(path), mode=0o750, exist_ok=True)
        self._base = sqlite3.connect(self._new)
        self._base.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;" + SCHEMA)
        self._held: dict[bytes, list[bytes]] = {}
        self._terms: set[bytes] = set()
        self._users: set[tuple[bytes, bytes]] = set()
        self._size = self._left_out = 0

    def add(self, line: Line) -> None:
        """Take in a line, for each user that it is about."""
        text = line.text
        if line.kind == b"session":
            # Parts of what was recorded at a terminal, which kijun-log-sessions knows how to read.
            return
        if line.kind in KNOWING:
            terms = set(USER.findall(text))
            if b"uid=" in text:
                self._users.update(NAMED.findall(text))
        elif line.kind == b"access":
            terms = set() if b" - - [" in text else set(COMMON.findall(text))
        elif b"user" in text or b"USER" in text or b"login" in text or b"account" in text:
            terms = set(PLAIN.findall(text))
        else:
            terms = set()
        for word in (b'"uid":"', b'"auid":"'):
            start = text.find(word) + len(word)
            if start >= len(word) and not text.startswith(b'0"', start):
                terms.add(b"#" + text[start : text.find(b'"', start)])
        if line.kind == b"audit" or line.kind == b"usage":
            terms.update(b"#" + number for number in NUMBER.findall(text))
        if not terms:
            return
        for term in terms - NOBODY:
            if term not in self._terms:
                if len(self._terms) >= TERMS:
                    self._left_out += 1
                    continue
                self._terms.add(term)
            self._held.setdefault(term, []).append(text)
            self._size += len(text)
        if self._size > ROOM:
            self._flush()

    def _flush(self) -> None:
        pieces = (
            (term.decode("ascii", "replace"), zlib.compress(b"\n".join(texts), 1)) for term, texts in self._held.items()
        )
        self._base.executemany("INSERT INTO pieces VALUES (?, ?)", pieces)
        self._held.clear()
        self._size = 0

    def finish(self) -> None:
        """Put it in its place."""
        self._flush()
        self._base.execute("CREATE INDEX by_term ON pieces (term)")
        self._base.executemany(
            "INSERT OR IGNORE INTO users VALUES (?, ?)",
            [(name.decode("ascii"), number.decode("ascii")) for name, number in sorted(self._users)],
        )
        self._base.execute("INSERT INTO about VALUES ('left_out', ?)", (str(self._left_out),))
        self._base.commit()
        self._base.close()
        os.chmod(self._new, 0o640)
        os.replace(self._new, self.path)


class Index:
    """The index of a day.

    Args:
        path: where it is.

    Raises:
        FileNotFoundError: there is none.
        sqlite3.DatabaseError: it is damaged.
    """

    def __init__(self, path: str) -> None:
        os.stat(path)
        self._base = sqlite3.connect("file:%s?mode=ro&immutable=1" % path.replace("?", "%3f"), uri=True)

    def __enter__(self) -> Index:
        return self

    def __exit__(self, *_: object) -> None:
        self._base.close()

    def numbers(self, name: str) -> set[str]:
        """The numbers that a user had, on whatever host."""
        return {number for (number,) in self._base.execute("SELECT number FROM users WHERE name = ?", (name,))}

    def lines(self, term: str) -> Iterator[bytes]:
        """The lines about a user.

        Args:
            term: a login name, or ``#`` and a number.
        """
        for (data,) in self._base.execute("SELECT data FROM pieces WHERE term = ? ORDER BY rowid", (term,)):
            yield from zlib.decompress(data).split(b"\n")

    def is_whole(self) -> bool:
        """Whether no name was left out for want of room."""
        return self._base.execute("SELECT value FROM about WHERE key = 'left_out'").fetchone() == ("0",)
