# SPDX-License-Identifier: GPL-3.0-or-later
"""Entries of the journal as tasks give them, made ready for its book."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ..ledger.book import Change, State, is_same_person
from ..ledger.errors import Problem, Refused
from ..ledger.event import timestamp
from .redact import redacted
from .run_entry import line
from .words import BOOK, KINDS

CLAUSE = "SM-4.11-2"

ACTIONS = ("record", "confirm", "correct", "consider")

SAID = ("id", "action", "resolution", "resolved_by", "ticket", "version")
"""What an entry has that says something to another one."""

TOLD = (
    *("id", "action", "kind", "host", "hosts", "at", "until", "seconds", "outcome", "summary", "actor", "origin"),
    *("ticket", "implementer", "confirmer", "about", "details"),
)
"""What an entry has that tells of something."""

_NEW = {
    "hosts": [],
    "until": "",
    "seconds": 0,
    "outcome": "",
    "summary": "",
    "actor": "",
    "origin": "",
    "ticket": "",
    "implementer": "",
    "confirmer": "",
    "about": [],
    "details": {},
}


class Asked(NamedTuple):
    """What a list of entries asks for.

    Attributes:
        changes: the changes to the book.
        known: ids that the journal has already, and that say the same.
        differing: ids that the journal has already, and that say something else there; what it has stays.
    """

    changes: list[Change]
    known: list[str]
    differing: list[str]


def asked(
    entries: Sequence[Mapping[str, Any]],
    known: Mapping[str, State],
    now: datetime.datetime,
    committee: Iterable[str] = (),
    collected: bool = False,
) -> Asked:
    """What entries ask for.

    Args:
        entries: as the module operations_journal documents them.
        known: id -> the entry of the journal, where there is one.
        now: the time.
        committee: who may inspect; anybody, where nobody is named.
        collected: whether hosts told them: what happened is entered, also where it should not have.

    Raises:
        Refused: they are not of that form; all problems are in it.
    """
    changes: list[Change] = []
    same: list[str] = []
    differing: list[str] = []
    problems: list[Problem] = []
    seen: set[str] = set()
    for row, entry in enumerate(entries, 1):
        complaint = _complaint(row, entry)
        if complaint:
            problems.append(complaint)
            continue
        identity = str(entry["id"])
        if entry.get("action", "record") != "record":
            changes.append(_said(row, entry))
            continue
        try:
            payload = _payload(entry, now)
        except ValueError as error:
            name, _, reason = str(error).partition(": ")
            problems.append(Problem(row, identity, name, _short(entry.get(name)), reason, CLAUSE))
            continue
        problems += [] if collected else _unallowed(row, identity, payload, committee)
        if identity in known or identity in seen:
            stands = known[identity].fields if identity in known else payload
            names = {"hosts" if name == "host" else name for name in entry} & payload.keys() - {"at"}
            given = {name: payload[name] for name in names}
            (same if all(stands[name] == value for name, value in given.items()) else differing).append(identity)
        else:
            seen.add(identity)
            changes.append(Change(identity, "record", payload, ticket=payload["ticket"], row=row))
        if payload["kind"] == "correction":
            changes += _corrections(row, payload)
    if problems:
        raise Refused(problems)
    return Asked(changes, same, differing)


def _complaint(row: int, entry: Mapping[str, Any]) -> Problem | None:
    """What is wrong with an entry's form."""
    identity = str(entry.get("id") or "")
    if not identity:
        return Problem(row, "(no id)", "id", "", "an entry has a stable name, such as a UUID", CLAUSE)
    action = str(entry.get("action", "record"))
    if action not in ACTIONS:
        return Problem(row, identity, "action", _short(action), "known are %s" % ", ".join(ACTIONS), CLAUSE)
    allowed = TOLD if action == "record" else SAID
    for name in entry:
        if name not in allowed:
            reason = "an entry with the action %s has %s" % (action, ", ".join(allowed))
            return Problem(row, identity, str(name), _short(entry[name]), reason, CLAUSE)
    if action == "record" and entry.get("kind") not in KINDS:
        return Problem(row, identity, "kind", _short(entry.get("kind")), "known are %s" % ", ".join(KINDS), CLAUSE)
    return None


def _said(row: int, entry: Mapping[str, Any]) -> Change:
    payload = {name: line(entry[name]) for name in ("resolution", "resolved_by") if entry.get(name)}
    return Change(
        str(entry["id"]),
        str(entry["action"]),
        payload,
        ticket=line(entry.get("ticket")),
        version=int(entry["version"]) if entry.get("version") is not None else None,
        row=row,
    )


def _payload(entry: Mapping[str, Any], now: datetime.datetime) -> dict[str, Any]:
    """The fields that an entry sets, all of them.

    Raises:
        ValueError: one is not what it may be: ``NAME: REASON``.
    """
    payload = {
        **_NEW,
        "kind": str(entry["kind"]),
        "at": moment("at", entry["at"]) if entry.get("at") else timestamp(now),
    }
    if entry.get("host") and entry.get("hosts"):
        raise ValueError("host: is given, and hosts too")
    hosts = entry.get("hosts") or ([entry["host"]] if entry.get("host") else [])
    for name, value in (("hosts", hosts), ("about", entry.get("about") or [])):
        if isinstance(value, str):
            value = [value]
        if not isinstance(value, Sequence):
            raise ValueError("%s: must be a list" % name)
        payload[name] = sorted({str(item) for item in value})
    for name in ("summary", "actor", "origin", "ticket", "implementer", "confirmer"):
        payload[name] = line(entry.get(name))
    payload["outcome"] = str(entry.get("outcome") or "")
    if entry.get("until"):
        payload["until"] = moment("until", entry["until"])
    seconds = entry.get("seconds") or 0
    try:
        payload["seconds"] = max(0, round(float(seconds)))
    except (TypeError, ValueError, OverflowError):
        raise ValueError("seconds: must be a number") from None
    details = entry.get("details") or {}
    if not isinstance(details, Mapping):
        raise ValueError("details: must be a dictionary")
    payload["details"] = plain(details)
    return payload


def _unallowed(row: int, identity: str, payload: Mapping[str, Any], committee: Iterable[str]) -> list[Problem]:
    """What is wrong with an inspection, or a correction."""
    problems = []
    members = list(committee)
    if payload["implementer"] and is_same_person(payload["implementer"], payload["confirmer"]):
        reason = "nobody confirms what they do themselves"
        problems.append(Problem(row, identity, "confirmer", payload["confirmer"], reason, "GL-3.2-4"))
    if payload["kind"] == "inspection":
        if not payload["actor"]:
            problems.append(Problem(row, identity, "actor", "", "an inspection names who inspected", "SM-4.11-3"))
        elif members and payload["actor"] not in members:
            reason = "is none of operations_journal_committee: %s" % ", ".join(members)
            problems.append(Problem(row, identity, "actor", payload["actor"], reason, "SM-4.11-3"))
        if payload["outcome"] not in ("accepted", "corrections_ordered"):
            reason = "must be accepted or corrections_ordered"
            problems.append(Problem(row, identity, "outcome", payload["outcome"], reason, "SM-4.11-3"))
    if payload["kind"] == "correction":
        for name, reason in (("about", "names the entries that it corrects"), ("summary", "says what was done")):
            if not payload[name]:
                problems.append(Problem(row, identity, name, "", "a correction " + reason, "SM-4.11-2-5"))
    return problems


def _corrections(row: int, payload: Mapping[str, Any]) -> list[Change]:
    """What a correction says to the entries that it is about."""
    said = {"resolution": payload["summary"]}
    if payload["actor"]:
        said["resolved_by"] = payload["actor"]
    return [Change(about, "correct", dict(said), ticket=payload["ticket"], row=row) for about in payload["about"]]


def moment(name: str, value: Any) -> str:
    """A time as the journal has it, from ISO 8601 with its offset.

    Args:
        name: what it is called, for complaints.
        value: the time.

    Raises:
        ValueError: it is none, or does not say its offset from UTC.
    """
    found: datetime.datetime | None = value if isinstance(value, datetime.datetime) else None
    if found is None:
        try:
            found = datetime.datetime.fromisoformat(str(value).replace("Z", "+00:00"))
        except ValueError:
            raise ValueError("%s: must be a time such as 2026-11-21T03:00:00Z" % name) from None
    if found.tzinfo is None:
        raise ValueError("%s: must say its offset from UTC, such as 2026-11-21T03:00:00Z" % name)
    return timestamp(found)


def plain(value: Any) -> Any:
    """A value as ledgers hold it, redacted: fractions as text, since they have no one form in JSON.

    Args:
        value: what was given.
    """
    if isinstance(value, Mapping):
        return {str(key): _hidden(str(key), plain(item)) for key, item in value.items()}
    if isinstance(value, str):
        return redacted(value.replace("\0", "\\u0000"))
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return int(value) if abs(value) < 2**53 else str(value)
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < 2**53 else "%.3f" % value
    return [plain(item) for item in value] if isinstance(value, Sequence) else str(value)


def _hidden(name: str, value: Any) -> Any:
    """A value whose name says that it is a secret, hidden."""
    if not isinstance(value, str) or not value:
        return value
    return redacted("%s=%s" % (name, value))[len(name) + 1 :] if redacted("%s=x" % name) != "%s=x" % name else value


def _short(value: Any) -> str:
    return line(value)[:200]


__all__ = ["ACTIONS", "BOOK", "Asked", "asked", "moment", "plain"]
