# SPDX-License-Identifier: GPL-3.0-or-later
"""Values of a book's fields as the text of a cell, and back.

The two are inverse: what an export writes, an import reads as the same value. So a text cell that a spreadsheet would
take for a formula bears an apostrophe before it, and a list whose entries could be cut wrongly is written as JSON.
"""

from __future__ import annotations

import datetime
import json
import re
from typing import Any, NamedTuple

from ..book import Book

LANGUAGES = ("en", "ja")
LIST_SEPARATOR = re.compile(r"[;\n]")
FORMULA = re.compile(r"'*[=+\-@\t\r\n＝＋－＠]")
"""What a spreadsheet may take for a formula (OWASP, CSV Injection), after any apostrophes of an earlier export."""

EMPTY_TEXT = '""'
"""Stands for an empty text in a field whose default is another one."""

TRUE = {"yes", "true", "1", "はい", "○", "有"}
FALSE = {"no", "false", "0", "いいえ", "×", "無"}
BOOLEANS = {"en": ("yes", "no"), "ja": ("はい", "いいえ")}
DATE = re.compile(r"(\d{4})(?:([-/.])(\d{1,2})\2(\d{1,2})|年(\d{1,2})月(\d{1,2})日)\Z", re.ASCII)


class Kind(NamedTuple):
    """What a field holds.

    Attributes:
        type: text, date, integer, boolean, list or object.
        nullable: whether it may hold nothing.
        default: what it holds when nothing is said; `UNSAID` where something must be.
    """

    type: str
    nullable: bool
    default: Any


UNSAID: Any = object()
"""In place of a value: nothing is said about the field."""

NAMES = {"integer": "a whole number", "boolean": "true or false", "list": "a list", "object": "an object"}

_TYPES = {"integer": "integer", "boolean": "boolean", "array": "list", "object": "object"}


def kinds(book: Book) -> dict[str, Kind]:
    """What each field of a book holds, from its model's JSON Schema.

    Args:
        book: the book.
    """
    schema = book.model.model_json_schema(mode="validation")
    defaults = {
        name: UNSAID if field.is_required() else field.get_default(call_default_factory=True)
        for name, field in book.model.model_fields.items()
    }
    return {
        name: _kind(schema["properties"][name], schema.get("$defs", {}), defaults[name])
        for name in schema["properties"]
    }


def _kind(schema: dict[str, Any], definitions: dict[str, Any], default: Any) -> Kind:
    choices = [_resolved(choice, definitions) for choice in schema.get("anyOf", [schema])]
    types = [choice for choice in choices if choice.get("type") != "null"]
    first = types[0]
    name = "date" if first.get("format") == "date" else _TYPES.get(str(first.get("type")), "text")
    plain = getattr(default, "value", default)
    plain = plain.isoformat() if isinstance(plain, datetime.date) else plain
    return Kind(name, len(types) < len(choices), plain)


def _resolved(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        schema = definitions[schema["$ref"].rsplit("/", 1)[1]]
    return schema


def neutralised(text: str) -> str:
    """A text that no spreadsheet takes for a formula: an apostrophe before one that it could.

    Args:
        text: any text.
    """
    return "'" + text if FORMULA.match(text) else text


def restored(text: str) -> str:
    """The text that `neutralised` was given.

    Args:
        text: a cell's text.
    """
    return text[1:] if text.startswith("'") and FORMULA.match(text) else text


def to_text(value: Any, kind: Kind, language: str) -> str:
    """A field's value as a cell's text.

    Args:
        value: the value, as the state holds it.
        kind: what the field holds.
        language: en or ja, for yes and no.
    """
    if value is None:
        return ""
    if kind.type == "boolean":
        return BOOLEANS[language][0 if value else 1]
    if kind.type == "list":
        return _list_to_text(value)
    if kind.type == "object":
        return json.dumps(value, ensure_ascii=False, sort_keys=True) if value else ""
    text = str(value)
    if text == "" and kind.default not in ("", UNSAID):
        return EMPTY_TEXT
    return "'" + text if re.fullmatch(r"'*\"\"", text) else text


def _list_to_text(values: list[Any]) -> str:
    joined = "; ".join(map(str, values))
    simple = all(isinstance(value, str) for value in values) and _split(joined) == values
    return joined if simple else json.dumps(values, ensure_ascii=False)


def _split(text: str) -> list[str]:
    if text.startswith("[") and text.endswith("]"):
        try:
            found = json.loads(text)
        except ValueError:
            found = None
        if isinstance(found, list):
            return found
    return [part for part in (piece.strip() for piece in LIST_SEPARATOR.split(text)) if part]


def from_text(text: str, kind: Kind) -> Any:
    """The value that a cell's text stands for.

    Args:
        text: the text, already `restored`.
        kind: what the field holds.

    Returns:
        The value. An empty text empties a field that may be empty, and says nothing about any other one.

    Raises:
        ValueError: it stands for none; the text says what is allowed.
    """
    if kind.type != "text":
        text = text.strip()
    if text == "":
        return _nothing(kind)
    if kind.type == "boolean":
        return _boolean(text)
    if kind.type == "integer":
        return _integer(text)
    if kind.type == "date":
        return _date(text)
    if kind.type == "list":
        return _split(text)
    if kind.type == "object":
        return _object(text)
    if text == EMPTY_TEXT:
        return ""
    return text[1:] if re.fullmatch(r"'+\"\"", text) else text


def _nothing(kind: Kind) -> Any:
    return kind.default if kind.default in (None, "", [], {}) else UNSAID


def _boolean(text: str) -> bool:
    word = text.casefold()
    if word in TRUE:
        return True
    if word in FALSE:
        return False
    raise ValueError("must be yes or no (はい or いいえ)")


def _integer(text: str) -> int:
    if not re.fullmatch(r"-?\d{1,18}", text, re.ASCII):
        raise ValueError("must be a whole number")
    return int(text)


def _date(text: str) -> str:
    found = DATE.match(text)
    if not found:
        raise ValueError("must be a date such as 2030-12-31")
    year, _, month, day, month_ja, day_ja = found.groups()
    try:
        return datetime.date(int(year), int(month or month_ja), int(day or day_ja)).isoformat()
    except ValueError:
        raise ValueError("there is no such day") from None


def _object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise ValueError("must be a JSON object: %s" % error) from None
    if not isinstance(found, dict):
        raise ValueError("must be a JSON object")
    return found


def from_typed(value: Any, kind: Kind) -> Any:
    """The value of a field that JSON or YAML gives with a type of its own.

    Args:
        value: what was read.
        kind: what the field holds.

    Returns:
        As `from_text`.

    Raises:
        ValueError: it is of another type.
    """
    if value is None:
        return _nothing(kind)
    if isinstance(value, str):
        return value if kind.type == "text" else from_text(value, kind)
    if kind.type == "text" and type(value) is int:
        return str(value)
    expected = {"boolean": bool, "integer": int, "list": list, "object": dict}.get(kind.type)
    if expected is None or type(value) is not expected:
        raise ValueError("must be %s" % NAMES.get(kind.type, "text"))
    return value
