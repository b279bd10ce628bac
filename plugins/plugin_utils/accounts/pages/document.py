# SPDX-License-Identifier: GPL-3.0-or-later
"""A page of tables as one HTML file: the look, the languages and the guards are those of the audit's report.

Values come from hosts and from people, and are hostile until shown otherwise. The page carries them as JSON that
cannot end its own element; its script makes text nodes only, which Trusted Types enforce; and the
Content-Security-Policy allows just the page's own style and script, by their digests.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ...ledger.interchange.files import written_whole
from ...report import html as report
from ...report.clauses import collection_version
from ...report.values import LONGEST, visible
from ..findings import NOTES
from .texts import TEXTS

_HERE = Path(__file__).parent
_STYLES = (_HERE.parent.parent / "report" / "page" / "report.css", _HERE / "page.css")

STATIC_ROWS = 500
"""Rows of a table that the page shows without JavaScript."""

SYMBOLS = {"fail": "✕", "error": "!", "excused": "◷", "not_applicable": "–", "pass": "✓"}
"""Tone -> sign beside its words: colour alone says nothing to some readers."""


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        key: its heading, a key of the texts.
        form: of its cells: ``name`` (text, the row's heading), ``text``, ``list`` (texts), ``word`` (a key of the
            texts), ``badge`` ([tone, key]), ``notes`` ([[code of a remark, value]]), ``fields`` ([[key, value]]),
            ``moment`` (ISO 8601), ``number``. None is an empty cell.
        width: ``narrow``, ``wide`` or empty.
    """

    key: str
    form: str = "text"
    width: str = ""


@dataclass
class Table:
    """A table of the page.

    Attributes:
        key: its title, a key of the texts.
        columns: from the left.
        rows: cells; a row of a table with ``details`` ends with its list of detail rows.
        choice: number of the badge or word column that the page offers a choice of.
        searched: whether the page's search goes through it.
        total: how many rows there are where the table holds only the first; None where it holds all.
        note: key of what to say then, with ``{shown}`` and ``{total}``.
        details: title's key and columns of what a row unfolds.
    """

    key: str
    columns: Sequence[Column]
    rows: list[list[Any]]
    choice: int | None = None
    searched: bool = True
    total: int | None = None
    note: str = "capped"
    details: tuple[str, Sequence[Column]] | None = None


@dataclass
class Document:
    """A page.

    Attributes:
        key: its title, a key of the texts.
        stem: what follows the title in the browser's list of windows.
        facts: (key, value) of its head.
        tiles: (tone or empty, key, number) of its overview.
        notices: (tone, key, values to fill in).
        tables: from the top.
        words: further texts of this page: key -> (English, Japanese).
    """

    key: str
    stem: str
    facts: list[tuple[str, str]]
    tiles: list[tuple[str, str, int]]
    tables: list[Table]
    notices: list[tuple[str, str, dict[str, str | int]]] = field(default_factory=list)
    words: dict[str, tuple[str, str]] = field(default_factory=dict)


def render(page: Document) -> str:
    """The page as HTML.

    Args:
        page: what it shows. Texts in it are made visible here; none is trusted.

    Returns:
        HTML; may hold lone surrogates (:func:`write_page` escapes them).
    """
    texts = _texts(page)
    facts = [(key, visible(value)) for key, value in [*page.facts, ("version", collection_version())]]
    style = "\n".join(_file(path) for path in _STYLES)
    script = _file(_HERE / "page.js")
    tables = [_table(table) for table in page.tables]
    notices = [[tone, key, {k: _shown(v) for k, v in values.items()}] for tone, key, values in page.notices]
    data: dict[str, Any] = {"title": page.key, "stem": visible(page.stem), "texts": texts, "symbols": SYMBOLS}
    data |= {"tiles": page.tiles, "notices": notices, "tables": tables}
    return _template().render(
        page=page,
        stem=visible(page.stem),
        facts=facts,
        words=texts["en"],
        japanese=texts["ja"],
        tables=tables,
        notices=notices,
        plain=functools.partial(_plain, texts["en"], texts["ja"]),
        limit=STATIC_ROWS,
        # Both are files of this collection, not values.
        style=Markup(style),  # noqa: S704
        script=Markup(script),  # noqa: S704
        style_digest=report.digest(style),
        script_digest=report.digest(script),
        data=report.embedded_json(data),
    )


def write_page(path: str | Path, content: str | bytes) -> None:
    """Put a page or a table in place, whole or not at all, readable by its owner alone.

    Args:
        path: where to; an earlier file there is replaced, its directory must exist.
        content: HTML, or a CSV file's bytes.

    Raises:
        LedgerError: it cannot be written; the earlier file stays.
    """
    body = content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content
    with written_whole(str(path)) as file:
        file.write(body)


@functools.cache
def _template() -> Any:
    environment = Environment(loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined)
    return environment.get_template("page.html.j2")


@functools.cache
def _file(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _texts(page: Document) -> dict[str, dict[str, str]]:
    """Every word of the page in both languages."""
    texts = {}
    for column, language in enumerate(("en", "ja")):
        remarks = {f"note_{code}": words[column] for code, words in NOTES.items()}
        own = {key: words[column] for key, words in page.words.items()}
        texts[language] = TEXTS[language] | remarks | own
    return texts


def _table(table: Table) -> dict[str, Any]:
    """A table as the page's script reads it."""
    shown: dict[str, Any] = {
        "key": table.key,
        "columns": [[column.key, column.form, column.width] for column in table.columns],
        "rows": [[_shown(cell) for cell in row] for row in table.rows],
        "choice": table.choice,
        "searched": table.searched,
        "total": table.total,
        "note": table.note,
        "details": None,
    }
    if table.details:
        key, columns = table.details
        shown["details"] = [key, [[column.key, column.form, column.width] for column in columns]]
    return shown


def _shown(value: Any) -> Any:
    """A cell in which no character is invisible."""
    if isinstance(value, str):
        # Most texts are short and printable, and so visible already; asking is much faster than replacing.
        return value if len(value) <= LONGEST and value.isprintable() else visible(value)
    if isinstance(value, list | tuple):
        return [_shown(item) for item in value]
    return value


def _plain(english: dict[str, str], japanese: dict[str, str], form: str, cell: Any) -> str:
    """A cell as text, in both languages where they differ, for the page without JavaScript."""
    if cell is None:
        return "–"
    if form in ("word", "badge"):
        key = cell[1] if form == "badge" else cell
        return f"{english[key]} / {japanese[key]}" if key in english else key
    if form == "notes":
        return "; ".join(english[f"note_{code}"].replace("{}", value) for code, value in cell)
    if form == "fields":
        return "; ".join(f"{english.get(key, key)}: {value}" for key, value in cell)
    if form == "moment":
        return str(cell).replace("T", " ").replace("Z", " UTC")
    return ", ".join(cell) if form == "list" else str(cell)
