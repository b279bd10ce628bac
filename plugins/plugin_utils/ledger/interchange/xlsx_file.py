# SPDX-License-Identifier: GPL-3.0-or-later
"""XLSX by openpyxl, written and read row by row, so that large books do not fill the memory."""

from __future__ import annotations

import datetime
import io
import re
import unicodedata
import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import IO, Any

import openpyxl
from openpyxl.cell import WriteOnlyCell
from openpyxl.styles import Alignment, Font, PatternFill
from openpyxl.utils import get_column_letter

from ..errors import LedgerError, Problem
from .tables import MAX_COLUMNS, MAX_ROWS, Row, Table
from .xlsx_archive import check_archive

MAX_CELL = 32_767
"""Characters that a cell of Excel holds."""

FIRST_DATE = datetime.date(1900, 3, 1)
"""Excel counts a 29 February 1900 that never was; days before it are written as text."""

HIDDEN = re.compile(r"[\x00-\x08\x0b-\x1f]|_(?=x[0-9A-Fa-f]{4}_)")
"""What XML cannot carry, and an underscore that would be read as the beginning of such a sign."""

SHOWN = re.compile(r"_x([0-9A-Fa-f]{4})_")
WIDTHS = (8, 48)


def shown_width(text: str) -> int:
    """How many columns of a terminal the widest line of a text takes; Japanese signs take two.

    Args:
        text: the text.
    """
    return max(
        (sum(2 if unicodedata.east_asian_width(sign) in "WF" else 1 for sign in line) for line in text.split("\n")),
        default=0,
    )


def escaped(text: str) -> str:
    """A text as a cell holds it: signs that XML has not become _xHHHH_ (ECMA-376 part 1, ST_Xstring).

    Args:
        text: any text.
    """
    return HIDDEN.sub(lambda sign: "_x%04X_" % ord(sign[0]), text)


def unescaped(text: str) -> str:
    """The text that `escaped` was given.

    Args:
        text: a cell's text.
    """
    return SHOWN.sub(lambda sign: chr(int(sign[1], 16)), text)


def write_xlsx(
    file: IO[bytes], title: str, headings: Sequence[str], rows: Iterable[Sequence[Any]], widths: Sequence[int]
) -> None:
    """Write one sheet: headings that stay in sight and filter, dates as dates, and all text as text.

    Args:
        file: where to.
        title: the sheet's name, at most 31 characters.
        headings: from the left.
        rows: cells of each row: str, int, bool, datetime.date or None.
        widths: of each column, in characters.

    Raises:
        LedgerError: a text is longer than a cell can hold.
    """
    book = openpyxl.Workbook(write_only=True)
    sheet: Any = book.create_sheet(title[:31])
    sheet.freeze_panes = "B2"
    for position, width in enumerate(widths, 1):
        sheet.column_dimensions[get_column_letter(position)].width = width
    try:
        count = _append(sheet, headings, rows)
        sheet.auto_filter.ref = "A1:%s%d" % (get_column_letter(len(headings)), count)
        book.save(file)
    except BaseException:
        # openpyxl's own temporary file would otherwise stay until the process ends in an orderly way.
        sheet.close()
        sheet._writer.cleanup()
        raise


def _append(sheet: Any, headings: Sequence[str], rows: Iterable[Sequence[Any]]) -> int:
    """Append all rows; gives the number of the last."""
    sheet.append(_heading_cells(sheet, headings))
    count = 1
    for row in rows:
        count += 1
        sheet.append([_cell(sheet, value, count, heading) for heading, value in zip(headings, row, strict=True)])
    return count


def _heading_cells(sheet: Any, headings: Sequence[str]) -> Iterator[Any]:
    for heading in headings:
        cell = WriteOnlyCell(sheet, heading)
        cell.font, cell.fill = Font(bold=True), PatternFill("solid", fgColor="D9E1F2")
        cell.alignment = Alignment(wrap_text=True, vertical="top")
        yield cell


def _cell(sheet: Any, value: Any, row: int, heading: str) -> Any:
    if value is None or value == "":
        return None
    cell = WriteOnlyCell(sheet)
    if isinstance(value, datetime.date) and value >= FIRST_DATE:
        cell.value, cell.number_format = value, "yyyy-mm-dd"
    elif isinstance(value, int):
        cell.value = value
    else:
        cell.value = text_of(str(value), row, heading)
        # Otherwise a text that begins with = would become a formula, and 00123 a number when it is edited.
        cell.data_type, cell.number_format = "s", "@"
    return cell


def text_of(text: str, row: int, heading: str) -> str:
    """A text as a cell can hold it.

    Args:
        text: the text.
        row: where it is to stand, for complaints.
        heading: the column.

    Raises:
        LedgerError: it is too long. openpyxl would cut it off.
    """
    text = escaped(text)
    if len(text) > MAX_CELL:
        reason = "row %d: %s: %d characters are more than the %d that a cell of Excel holds; export as CSV or JSON"
        raise LedgerError(reason % (row, heading, len(text), MAX_CELL))
    return text


def open_workbook(content: bytes) -> Any:
    """Open an XLSX file for reading row by row.

    Args:
        content: the file's bytes.

    Raises:
        LedgerError: it is no XLSX file that can be opened without harm.
    """
    check_archive(content)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of extensions that are of no matter here
            return openpyxl.load_workbook(io.BytesIO(content), read_only=True, keep_links=False)
    except Exception as error:  # openpyxl lets errors of any kind through when a part is not as it should be
        raise LedgerError("the file is no XLSX file: %s: %s" % (type(error).__name__, error)) from None


def rows_of(sheet: Any) -> Iterator[tuple[Any, ...]]:
    """The rows of a sheet of `open_workbook`, cells cut off after one more column than is read.

    Args:
        sheet: the sheet.

    Raises:
        LedgerError: it is damaged.
    """
    # What a file says of its own size may be wrong, and would be filled up with empty cells.
    sheet.reset_dimensions()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of dates outside Excel's limits: they come as errors
            yield from sheet.iter_rows(max_col=MAX_COLUMNS + 1)
    except GeneratorExit:
        raise
    except Exception as error:  # as above
        raise LedgerError("the file is no XLSX file: %s: %s" % (type(error).__name__, error)) from None


def _sheet(content: bytes, titles: Iterable[str]) -> Any:
    """The sheet that rows are read from: the only visible one, or the one of these titles."""
    book = open_workbook(content)
    sheets = [sheet for sheet in book.worksheets if sheet.sheet_state == "visible"]
    chosen = [sheet for sheet in sheets if sheet.title in titles] or sheets
    if len(chosen) != 1:
        names = ", ".join(repr(sheet.title) for sheet in sheets) or "none"
        raise LedgerError("the file must have one visible sheet; it has %s" % names)
    return chosen[0]


def read_xlsx(content: bytes, titles: Iterable[str], book: str) -> Table:
    """Read one sheet.

    Args:
        content: the file's bytes.
        titles: what the sheet is called where there are several.
        book: name of the book, for complaints.

    Raises:
        LedgerError: it is no sheet that can be read, or which one is meant is not clear.
    """
    headings: list[str] | None = None
    table = Table([], [])
    for number, cells in enumerate(rows_of(_sheet(content, titles)), 1):
        if headings is None:
            headings = table.headings = _headings(cells)
        elif any(cell.value is not None for cell in cells):
            table.rows.append(Row(number, _values(cells, number, headings, book, table.problems)))
        if len(table.rows) > MAX_ROWS:
            raise LedgerError("there are more than %d rows" % MAX_ROWS)
    if headings is None:
        raise LedgerError("the sheet is empty")
    return table


def _headings(cells: Sequence[Any]) -> list[str]:
    names = [unescaped(str(cell.value)) if cell.value is not None else "" for cell in cells]
    while names and not names[-1].strip():
        names.pop()
    if len(names) > MAX_COLUMNS:
        raise LedgerError("there are more than %d columns" % MAX_COLUMNS)
    return names


def _values(cells: Sequence[Any], row: int, headings: list[str], book: str, problems: list[Problem]) -> list[Any]:
    values = []
    for position, cell in enumerate(cells):
        value = cell.value
        heading = headings[position] if position < len(headings) else "column %d" % (position + 1)
        if value is not None and cell.data_type in ("f", "e"):
            what = "a formula" if cell.data_type == "f" else "an error"
            problems.append(Problem(row, book, heading, str(value)[:40], "the cell holds %s; write its value" % what))
            value = None
        values.append(unescaped(value) if isinstance(value, str) else value)
    while values and values[-1] is None:
        values.pop()
    return values
