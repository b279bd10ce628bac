# SPDX-License-Identifier: GPL-3.0-or-later
"""Incidents out of what hosts found: a find is one incident, however often it is read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pydantic

from .ledger.book import Change
from .ledger.books.incidents import Incident

BOOK = "incidents"
MOST = 10000
"""Finds of one host that are read at a time, the newest: a host that fell into wrong hands floods nobody's ledger."""

_TAKEN = {
    "at": "found_at",
    "path": "path",
    "signature": "signature",
    "sha256": "sha256",
    "size": "size",
    "user": "user",
    "process": "process",
    "by": "found_by",
    "action": "host_action",
    "quarantine": "quarantine",
}
"""Field of a find -> field of an incident."""


def shown(text: str, most: int) -> str:
    """A text in one line that no terminal obeys, of so many characters at most."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text[:most])[:most]


def incident_of(host: str, find: Any) -> dict[str, Any]:
    """Make fields of an incident of a find.

    Args:
        host: the host that told of it, by the inventory's name: what it calls itself in the find is not asked.
        find: the find.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(find, Mapping) or not isinstance(find.get("id"), str) or not find["id"].isalnum():
        raise ValueError("it has no id")
    fields: dict[str, Any] = {}
    for name, field in _TAKEN.items():
        value = find.get(name)
        if value is not None:
            fields[field] = shown(value, 16000 if name in ("path", "process") else 400) if type(value) is str else value
    summary = "%s in %s" % (fields.get("signature") or "malware", shown(str(fields.get("path", "a file")), 300))
    fields.update(id="%s-%s" % (host, find["id"]), kind="malware", host=host, find=find["id"], summary=summary)
    try:
        Incident.model_validate({**fields, "status": "open"})
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        raise ValueError("%s: %s" % (".".join(map(str, first["loc"])), first["msg"])) from None
    return fields


def incidents_of(told: Mapping[str, str], problems: list[str]) -> list[dict[str, Any]]:
    """Incidents out of what all hosts told, in order; what one tells wrongly keeps nothing of the others out.

    Args:
        told: host -> what ``kijun-malware finds --json`` printed there.
        problems: gets what cannot be read.
    """
    found: dict[str, dict[str, Any]] = {}
    for host in sorted(told):
        try:
            finds = json.loads(told[host])
            if not isinstance(finds, list):
                raise ValueError("it is no list")
        except (ValueError, RecursionError) as error:
            problems.append("%s: its finds cannot be read: %s" % (host, shown(str(error), 200)))
            continue
        if len(finds) > MOST:
            problems.append("%s: of %d finds the newest %d were read" % (host, len(finds), MOST))
        for find in finds[-MOST:]:
            try:
                fields = incident_of(host, find)
            except ValueError as error:
                problems.append("%s: a find cannot be read: %s" % (host, shown(str(error), 200)))
                continue
            found.setdefault(fields["id"], fields)
    return sorted(found.values(), key=lambda fields: (str(fields.get("found_at", "")), str(fields["id"])))


def changes(incidents: Sequence[Mapping[str, Any]], known: Mapping[str, Any]) -> list[Change]:
    """What opens the incidents that the book does not have yet.

    Args:
        incidents: as `incidents_of` gives them.
        known: the ids that the book has.
    """
    return [
        Change(str(fields["id"]), "open", {name: value for name, value in fields.items() if name != "id"}, row=number)
        for number, fields in enumerate(incidents, 1)
        if fields["id"] not in known
    ]
