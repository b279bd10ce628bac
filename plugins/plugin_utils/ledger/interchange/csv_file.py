# SPDX-License-Identifier: GPL-3.0-or-later
"""CSV (RFC 4180) as Excel writes and reads it."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from typing import IO

from ..errors import LedgerError
from .columns import same
from .fields import neutralised, restored
from .tables import MAX_COLUMNS, MAX_ROWS, Row, Table

BOMS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
WITHOUT_BOM = ("utf-8", "cp932")
"""Tried in this order. Text in CP932 (Shift_JIS as Windows has it) is hardly ever valid UTF-8 as well."""

DELIMITERS = (",", "\t", ";")
"""Excel's own by its settings, and that of its "Unicode text"."""

NOT_CP932 = re.compile("[\uf8f0-\uf8f3]")
"""What Python makes of the four bytes that CP932 has no sign for."""

CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def write_csv(file: IO[bytes], headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write a table: UTF-8 with a mark at its beginning, by which Excel knows it, and lines that end in CR LF.

    Args:
        file: where to.
        headings: from the left.
        rows: text of the cells of each row.
    """
    text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="", write_through=True)
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(headings)
    writer.writerows([neutralised(cell) for cell in row] for row in rows)
    text.detach()


def decoded(content: bytes) -> tuple[str, str]:
    """The text of a file, and its encoding.

    Args:
        content: the file's bytes.

    Returns:
        The text, and utf-8, utf-8-sig, utf-16 or cp932.

    Raises:
        LedgerError: it is none of them, or no text.
    """
    marked = next((name for bom, name in BOMS if content.startswith(bom)), None)
    for encoding in (marked,) if marked else WITHOUT_BOM:
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        if encoding == "cp932" and NOT_CP932.search(text):
            continue
        found = CONTROL.search(text)
        if found:
            line = text.count("\n", 0, found.start()) + 1
            raise LedgerError("line %d holds the control character U+%04X" % (line, ord(found[0])))
        return text, encoding
    raise LedgerError("the text is neither UTF-8, nor UTF-16 with its mark, nor Shift_JIS (CP932)")


def read_csv(content: bytes, known: Iterable[str]) -> Table:
    """Read a table.

    Args:
        content: the file's bytes.
        known: what a known heading looks like, see `columns.recognise`; decides what separates the columns.

    Raises:
        LedgerError: it is no CSV file in a known encoding.
    """
    text, encoding = decoded(content)
    delimiter = _delimiter(text, set(known))
    rows = []
    try:
        for number, cells in enumerate(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True), 1):
            if len(cells) > MAX_COLUMNS:
                raise LedgerError("row %d has more than %d columns" % (number, MAX_COLUMNS))
            if number > MAX_ROWS + 1:
                raise LedgerError("there are more than %d rows" % MAX_ROWS)
            if number == 1 or any(cell.strip() for cell in cells):
                rows.append(Row(number, [restored(cell) for cell in cells]))
    except csv.Error as error:
        raise LedgerError("row %d is not of CSV's form: %s" % (rows[-1].number + 1 if rows else 1, error)) from None
    if not rows:
        raise LedgerError("the file is empty")
    return Table([str(cell) for cell in rows[0].cells], rows[1:], encoding=encoding)


def _delimiter(text: str, known: set[str]) -> str:
    """What separates the columns: that by which most headings are known ones."""
    first = text.split("\n", 1)[0].strip("\r")
    return max(DELIMITERS, key=lambda sign: sum(_plain(part) in known for part in first.split(sign)))


def _plain(heading: str) -> str:
    return same(heading.strip().strip('"'))
