# SPDX-License-Identifier: GPL-3.0-or-later
"""What reading a file gives, whichever format it has: rows of cells below their headings."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..errors import Problem

MAX_ROWS = 100_000
"""The most rows that are read."""

MAX_COLUMNS = 200
"""The most columns that are read."""


class Row(NamedTuple):
    """One filled row.

    Attributes:
        number: as the spreadsheet counts, the headings' row being 1; in YAML and JSON, the entry's number from 1.
        cells: what stands in each column: text, or what the format gives a type of its own.
    """

    number: int
    cells: list[Any]


@dataclass
class Table:
    """A file's content.

    Attributes:
        headings: from the left.
        rows: the filled rows below.
        problems: cells that cannot be taken, such as formulas.
        encoding: how the text was encoded, where the format leaves that open.
        numbered_headings: whether the headings stand in a row of the file.
    """

    headings: list[str]
    rows: list[Row]
    problems: list[Problem] = field(default_factory=list)
    encoding: str = "utf-8"
    numbered_headings: bool = True
