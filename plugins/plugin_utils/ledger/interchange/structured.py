# SPDX-License-Identifier: GPL-3.0-or-later
"""YAML and JSON: a list of entries, each with its fields by name."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import IO, Any

import yaml

from ..errors import LedgerError
from .fields import UNSAID
from .tables import MAX_COLUMNS, MAX_ROWS, Row, Table

Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
Dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
MAX_YAML = 16 * 1024 * 1024
"""Bytes of YAML that are read: its parser needs about eighty times as much memory."""

DEPTH = 20
"""How deep lists and objects may lie in one another."""

PLAIN = {"tag:yaml.org,2002:" + name for name in ("str", "int", "float", "bool", "null", "timestamp", "value")}


def write_json(file: IO[bytes], entries: Iterable[Mapping[str, Any]]) -> None:
    """Write entries as a JSON list, one a line.

    Args:
        file: where to.
        entries: fields by name.
    """
    separator = b"[\n"
    for entry in entries:
        file.write(separator + json.dumps(entry, ensure_ascii=False).encode())
        separator = b",\n"
    file.write(b"[]\n" if separator == b"[\n" else b"\n]\n")


def write_yaml(file: IO[bytes], entries: Iterable[Mapping[str, Any]]) -> None:
    """Write entries as a YAML list.

    Args:
        file: where to.
        entries: fields by name.
    """
    empty = True
    for entry in entries:
        empty = False
        text = yaml.dump([dict(entry)], Dumper=Dumper, allow_unicode=True, sort_keys=False, width=1000)
        file.write(text.encode())
    if empty:
        file.write(b"[]\n")


def read_json(content: bytes) -> Table:
    """Read a JSON list of objects.

    Args:
        content: the file's bytes, UTF-8 (RFC 8259).

    Raises:
        LedgerError: it is none, an object has a name twice, or a number has a fraction.
    """
    try:
        found = json.loads(
            content.decode("utf-8-sig"), object_pairs_hook=_object, parse_float=_no_float, parse_constant=_no_float
        )
    except (ValueError, RecursionError) as error:
        raise LedgerError("the file is not JSON as a ledger takes it: %s" % error) from None
    return _table(found)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("an object has the same name twice among %s" % ", ".join(name for name, _ in pairs))
    return found


def _no_float(text: str) -> Any:
    raise ValueError("%s is no whole number" % text)


def read_yaml(content: bytes) -> Table:
    """Read a YAML list of mappings. Scalars stay the text that stands there, so that 00123 and no are not changed;
    only inside an object, where no field says what they are, are numbers and truths read as such.

    Args:
        content: the file's bytes.

    Raises:
        LedgerError: it is none, uses anchors or tags of programs, or a mapping has a name twice.
    """
    if len(content) > MAX_YAML:
        raise LedgerError("more than %d MB of YAML; use JSON or CSV" % (MAX_YAML // 1024**2))
    loader = None
    try:
        loader = Loader(content)
        node = loader.get_single_node()
        found = _value(node, set(), 0) if node is not None else []
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise LedgerError("the file is not YAML as a ledger takes it: %s" % error) from None
    finally:
        if loader is not None:
            loader.dispose()
    return _table(found)


def _value(node: Any, seen: set[int], depth: int) -> Any:
    """A node's value. A node met twice is an alias: refused, since a few lines of them can stand for gigabytes."""
    if id(node) in seen or depth > DEPTH:
        raise ValueError("line %d: anchors, and more than %d levels, are not taken" % (node.start_mark.line + 1, DEPTH))
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, seen, depth + 1) for item in node.value]
    if isinstance(node, yaml.MappingNode):
        values = [(_value(name, seen, depth + 1), _value(item, seen, depth + 1), item) for name, item in node.value]
        return _object([(str(name), _typed(item, value) if depth > 1 else value) for name, value, item in values])
    if node.tag not in PLAIN:
        raise ValueError("line %d: the tag %s is not taken" % (node.start_mark.line + 1, node.tag))
    return None if node.tag.endswith(":null") else node.value


def _typed(node: Any, value: Any) -> Any:
    if node.tag.endswith(":int") and re.fullmatch(r"0|-?[1-9]\d{0,17}", value, re.ASCII):
        return int(value)
    return value.lower() == "true" if node.tag.endswith(":bool") else value


def _table(found: Any) -> Table:
    if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
        raise LedgerError("the file must hold a list of entries, each with its fields by name")
    headings = list(dict.fromkeys(name for entry in found for name in entry))
    if len(found) > MAX_ROWS or len(headings) > MAX_COLUMNS:
        raise LedgerError("there are more than %d entries or %d fields" % (MAX_ROWS, MAX_COLUMNS))
    rows = [Row(number, [entry.get(name, UNSAID) for name in headings]) for number, entry in enumerate(found, 1)]
    return Table(headings, rows, numbered_headings=False)
