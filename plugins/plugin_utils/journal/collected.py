# SPDX-License-Identifier: GPL-3.0-or-later
"""What hosts tell of their operation, as entries of the journal. A host tells of itself alone, and only what it may."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..ledger.book import State
from .entries import moment
from .run_entry import line

HISTORY = ("backup", "check", "restore_test", "restore", "prune", "copy", "change", "rollback")
"""Kinds that a host's histories may tell of."""

ENDS = ("ok", "rolled_back")
"""How what a history tells of may end; all else is a failure."""

TAKEN = {"id", "kind", "started", "seconds", "outcome", "ticket", "implementer", "confirmer"}
"""Fields of a line of history that have a place of their own; the others are details."""

STATE_OF_MALWARE = ("ok", "checked", "error", "version", "made", "scan_started", "gaps")
"""What is taken of the state of a host's antimalware."""

AHEAD = datetime.timedelta(hours=1)
"""How far ahead a host's clock may be."""


def entries_of(read: Mapping[str, Any], now: datetime.datetime, problems: list[str]) -> list[dict[str, Any]]:
    """The entries that hosts' answers come to, in the order of their times.

    Args:
        read: host -> what operations_read returned of it.
        now: the time.
        problems: gets what hosts could not read, and what is not taken from them.
    """
    found = []
    for host in sorted(read):
        about = read[host] if isinstance(read[host], Mapping) else {}
        for said in _lists(about, "problems", str):
            problems.append("%s: %s" % (host, line(said)))
        for name, make in _MAKERS.items():
            for item in _lists(about, name, Mapping):
                try:
                    entry = make(host, item)
                    entry["at"] = moment("at", entry["at"])
                    if datetime.datetime.fromisoformat(entry["at"].replace("Z", "+00:00")) > now + AHEAD:
                        raise ValueError("at: %s has not come yet" % entry["at"])
                except (ValueError, KeyError, TypeError) as error:
                    problems.append("%s: %s: %s" % (host, name, line(error)))
                else:
                    found.append(entry)
    return sorted(found, key=lambda entry: (entry["at"], entry["id"]))


def _lists(about: Mapping[str, Any], name: str, kind: type) -> list[Any]:
    given = about.get(name) or []
    return [item for item in given if isinstance(item, kind)] if isinstance(given, Sequence) else []


def own(entries: Iterable[dict[str, Any]], known: Mapping[str, State]) -> list[dict[str, Any]]:
    """Entries that the journal does not have. An id that another host's entry has is made this host's own, so that no
    host keeps another one's entries out.

    Args:
        entries: as `entries_of` gives them.
        known: id -> the entry of the journal, of these ids and of their `spare` ones.
    """
    wanted: dict[str, dict[str, Any]] = {}
    for entry in entries:
        identity = str(entry["id"])
        if _is_taken(entry, wanted.get(identity), known.get(identity)):
            identity = spare(entry)
        if identity not in known:
            wanted.setdefault(identity, {**entry, "id": identity})
    return list(wanted.values())


def spare(entry: Mapping[str, Any]) -> str:
    """The id of an entry whose own is another host's.

    Args:
        entry: the entry.
    """
    return ("%s/%s" % (entry["host"], entry["id"]))[:128]


def _is_taken(entry: Mapping[str, Any], other: Mapping[str, Any] | None, state: State | None) -> bool:
    hosts = state.fields["hosts"] if state else [other["host"]] if other else [entry["host"]]
    return bool(hosts) and entry["host"] not in hosts


def _history(host: str, item: Mapping[str, Any]) -> dict[str, Any]:
    kind = str(item["kind"])
    if kind not in HISTORY:
        raise ValueError("kind: %r is none of %s" % (kind[:50], ", ".join(HISTORY)))
    what = [str(item[name]) for name in ("class", "snapshot", "error") if item.get(name)]
    outcome = item.get("outcome")
    return {
        "id": line(item["id"])[:100],
        "kind": kind,
        "host": host,
        "at": item["started"],
        "seconds": item.get("seconds") or 0,
        "outcome": outcome if outcome in ENDS else "failed",
        "summary": " ".join(what),
        "ticket": item.get("ticket") or "",
        "implementer": item.get("implementer") or "",
        "confirmer": item.get("confirmer") or "",
        "details": {name: value for name, value in item.items() if name not in TAKEN},
    }


def _session(host: str, item: Mapping[str, Any]) -> dict[str, Any]:
    kind = str(item["kind"])
    if kind not in ("login", "logout", "privilege"):
        raise ValueError("kind: %r is none of login, logout and privilege" % kind[:50])
    known = {name: str(value) for name, value in item.items() if name not in ("id", "kind", "at", "last")}
    summary = {
        "login": "%s by %s" % (known.get("user"), known.get("service")),
        "logout": "%s, %s" % (known.get("user"), known.get("service")),
        "privilege": "%s as %s: %s times" % (known.get("user"), known.get("target"), known.get("count")),
    }
    return {
        "id": _of_host(host, item),
        "kind": kind,
        "host": host,
        "at": item["at"],
        "until": item.get("last") or "",
        "outcome": "ok",
        "summary": summary[kind],
        "actor": known.get("by") or known.get("user") or "",
        "origin": known.get("address") or "",
        "details": known,
    }


def _error(host: str, item: Mapping[str, Any]) -> dict[str, Any]:
    about = str(item.get("unit") or item.get("program") or "")
    return {
        "id": _of_host(host, item),
        "kind": "error",
        "host": host,
        "at": item["at"],
        "until": item.get("last") or "",
        "outcome": "failed",
        "summary": "%s: %s" % (about, item.get("message") or ""),
        "details": {name: str(value) for name, value in item.items() if name not in ("id", "kind", "at", "last")},
    }


def _storage(host: str, item: Mapping[str, Any]) -> dict[str, Any]:
    day = datetime.date.fromisoformat(str(item["day"])).isoformat()
    return {
        "id": "log_storage-%s-%s-%s" % (host[:64], day, str(item["sha256"])[:12]),
        "kind": "log_storage",
        "host": host,
        "at": item["closed"],
        "outcome": "ok" if item.get("signed") else "failed",
        "summary": "%s: %s records of %s senders" % (day, int(item["records"]), int(item["senders"])),
        "details": dict(item),
    }


def _malware_state(host: str, item: Mapping[str, Any]) -> dict[str, Any]:
    """How a host's antimalware stood; of a day, the first that is told is kept."""
    at = moment("at", item["at"])
    known = {name: str(item[name]) for name in STATE_OF_MALWARE if item.get(name) not in (None, "")}
    for name in ("ok", "checked", "scan_started"):
        if name in known:
            known[name] = moment(name, known[name])
    return {
        "id": "malware_state-%s-%s" % (host[:64], at[:10]),
        "kind": "malware_state",
        "host": host,
        "at": at,
        "outcome": "failed" if known.get("error") or "ok" not in known else "ok",
        "summary": "definitions last updated %s" % known.get("ok", "never"),
        "details": known,
    }


def _malware_scan(host: str, item: Mapping[str, Any]) -> dict[str, Any]:
    started = moment("started", item["started"])
    counts = {name: int(item.get(name) or 0) for name in ("files", "finds", "too_large", "unread")}
    return {
        "id": "malware_scan-%s-%s" % (host[:64], started),
        "kind": "malware_scan",
        "host": host,
        "at": started,
        "until": moment("finished", item["finished"]),
        "seconds": item.get("seconds") or 0,
        "outcome": "ok",
        "summary": "%(files)d files, %(finds)d finds" % counts,
        "details": counts,
    }


def _of_host(host: str, item: Mapping[str, Any]) -> str:
    return "%s/%s" % (host, line(item["id"])[:60])


_MAKERS = {
    "history": _history,
    "sessions": _session,
    "errors": _error,
    "log_storage": _storage,
    "malware_states": _malware_state,
    "malware_scans": _malware_scan,
}
