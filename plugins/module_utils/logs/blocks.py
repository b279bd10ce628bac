# SPDX-License-Identifier: GPL-3.0-or-later
"""A day's file, plain while it grows and compressed later, read from the same offsets either way.

Compressed, it is gzip members of whole lines, at most 1 MiB each (a longer line is one by itself), so that zcat(1)
reads it, and reading can begin at any member (RFC 1952, section 2.2). Beside it, in ``.members``, stands where each
member begins: lines of two numbers, the offset without and with compression; the last line is both ends.
"""

from __future__ import annotations

import bisect
import os
import zlib
from collections.abc import Iterator
from typing import BinaryIO

MEMBER = 1024 * 1024
"""Bytes of one member, before compression."""

GZIP = 31
"""zlib's window bits for the gzip format, with the largest window."""

LEVEL = 6
LONGEST = 64 * 1024 * 1024
"""Bytes beyond which what has no line end is cut: no sender can make a reader take all memory."""


def compress(source: str, target: str) -> None:
    """Compress a file whole or not at all; the source stays.

    Args:
        source: the plain file.
        target: the compressed one. What tells where members begin is named after it, with ``.members`` behind.
    """
    table, plain, packed = [], 0, 0
    with open(source, "rb") as lines, open(target + ".new", "wb") as out:
        os.fchmod(out.fileno(), os.fstat(lines.fileno()).st_mode & 0o777)
        for member in _members(lines):
            engine = zlib.compressobj(LEVEL, zlib.DEFLATED, GZIP)
            data = engine.compress(member) + engine.flush()
            out.write(data)
            table.append((plain, packed))
            plain, packed = plain + len(member), packed + len(data)
        _sync(out)
    table.append((plain, packed))
    with open(target + ".members.new", "w", encoding="ascii") as out_table:
        os.fchmod(out_table.fileno(), os.stat(source).st_mode & 0o777)
        out_table.write("".join("%d %d\n" % pair for pair in table))
        out_table.flush()
        os.fsync(out_table.fileno())
    # The table first: whoever sees the compressed file sees where its members begin.
    os.replace(target + ".members.new", target + ".members")
    os.replace(target + ".new", target)
    folder = os.open(os.path.dirname(target) or ".", os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _members(file: BinaryIO) -> Iterator[bytes]:
    """Whole lines, together at most a member's size where no line is longer."""
    rest = b""
    while True:
        data = file.read(MEMBER)
        if not data:
            if rest:
                yield rest
            return
        rest += data
        while len(rest) >= MEMBER:
            end = rest.rfind(b"\n", 0, MEMBER) + 1 or rest.find(b"\n") + 1
            if not end:
                break
            yield rest[:end]
            rest = rest[end:]


class Stored:
    """A day's file, whichever form it has just now.

    Args:
        path: its name while it is plain, ending in ``.log``.

    Raises:
        FileNotFoundError: there is neither form of it.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._table: list[tuple[int, int]] = []
        try:
            self._file: BinaryIO = open(path, "rb")  # noqa: SIM115 - it is open as long as this object is used
        except FileNotFoundError:
            self._file = open(path + ".gz", "rb")  # noqa: SIM115
            self._table = self._read_table()
        self._cached: tuple[int, bytes] = (-1, b"")

    def __enter__(self) -> Stored:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    @property
    def size(self) -> int:
        """Bytes of the plain form; of one that grows, those of this moment."""
        return self._table[-1][0] if self._table else os.fstat(self._file.fileno()).st_size

    def read(self, offset: int, length: int) -> bytes:
        """Bytes of the plain form.

        Args:
            offset: where they begin.
            length: how many; fewer at the end.

        Raises:
            ValueError: the compressed form is damaged.
        """
        if not self._table:
            self._file.seek(offset)
            return self._file.read(length)
        parts = []
        while length > 0 and offset < self.size:
            number = bisect.bisect_right(self._table, (offset, 1 << 62)) - 1
            begin = offset - self._table[number][0]
            part = self._member(number)[begin : begin + length]
            if not part:
                raise ValueError("%s.gz: member %d is shorter than its table says" % (self.path, number))
            parts.append(part)
            offset, length = offset + len(part), length - len(part)
        return b"".join(parts)

    def chunks(self, start: int, end: int, size: int) -> Iterator[tuple[int, bytes]]:
        """The whole lines that begin from one offset up to another.

        Args:
            start: the first offset; a line that began before it is left out.
            end: lines that begin here or later are left out.
            size: about how many bytes are read at once.

        Returns:
            Pieces of whole lines, each with the offset where it begins. An unfinished last line is left out.
        """
        offset = self._line_start(start)
        rest = b""
        while offset < end:
            data = self.read(offset + len(rest), size)
            rest += data
            cut = rest.rfind(b"\n") + 1
            if offset + cut > end:
                cut = rest.find(b"\n", end - offset - 1) + 1
            if cut:
                yield offset, rest[:cut]
                offset, rest = offset + cut, rest[cut:]
            elif len(rest) > LONGEST:
                yield offset, rest + b"\n"
                offset, rest = offset + len(rest), b""
            if not data:
                return

    def _line_start(self, offset: int) -> int:
        """The first offset from here on where a line begins."""
        while offset > 0:
            data = self.read(offset - 1, MEMBER)
            found = data.find(b"\n")
            if found >= 0 or not data:
                return offset + max(found, 0)
            offset += len(data)
        return 0

    def _member(self, number: int) -> bytes:
        if self._cached[0] != number:
            begin, end = self._table[number][1], self._table[number + 1][1]
            self._file.seek(begin)
            try:
                self._cached = (number, zlib.decompress(self._file.read(end - begin), GZIP))
            except zlib.error as error:
                raise ValueError("%s.gz: member %d: %s" % (self.path, number, error)) from None
        return self._cached[1]

    def _read_table(self) -> list[tuple[int, int]]:
        """Where members begin; worked out from the file itself where what tells it is lost or damaged."""
        try:
            with open(self.path + ".gz.members", encoding="ascii") as lines:
                table = [(int(plain), int(packed)) for plain, packed in map(str.split, lines)]
            if table[0] == (0, 0) and table[-1][1] == os.fstat(self._file.fileno()).st_size:
                return table
        except (OSError, ValueError, IndexError):
            pass
        return list(self._walk())

    def _walk(self) -> Iterator[tuple[int, int]]:
        plain = packed = 0
        data = b""
        self._file.seek(0)
        while True:
            data = data or self._file.read(MEMBER)
            yield plain, packed
            if not data:
                return
            engine = zlib.decompressobj(GZIP)
            while not engine.eof:
                try:
                    plain += len(engine.decompress(data))
                except zlib.error as error:
                    raise ValueError("%s.gz: %s" % (self.path, error)) from None
                packed += len(data) - len(engine.unused_data)
                data = engine.unused_data if engine.eof else self._file.read(MEMBER)
                if not data and not engine.eof:
                    raise ValueError("%s.gz ends within a member" % self.path)
