# SPDX-License-Identifier: GPL-3.0-or-later
"""Approved exceptions as hosts are judged by them: which hold where on a day, which are over, and which end soon."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from typing import Any

from .ledger import light
from .ledger.errors import Broken
from .ledger_address import is_absent

BOOK = "exceptions"
FACT = "kijun_exceptions_in_force"
SOON = 14
"""Days before its end from which on an exception is listed as ending."""

CARRIED = ("id", "control", "hosts", "approver", "reason", "measure", "ticket", "review_on")
"""Fields of an entry that hosts and reports are told, beside its days."""


def read(url: str, day: datetime.date) -> list[dict[str, Any]]:
    """The approved exceptions that have begun, from the book; its chain and its entries are verified first, so that
    nobody is excused by a database that somebody has edited.

    Args:
        url: the ledger's address.
        day: the day of judgement.

    Returns:
        id, control, hosts, from, until, approver, reason, measure, ticket and review_on of each. Of several for one
        control and the same hosts only the one that lasts longest. None at all where nobody has made a ledger.

    Raises:
        LedgerError: the ledger does not answer, or does not hold.
    """
    if is_absent(url):
        return []
    return begun((fields for fields in _entries(url) if fields["status"] == "approved"), day)


def _entries(url: str) -> list[dict[str, Any]]:
    """The fields of every entry, verified."""
    if light.reads(url):
        return light.entries(url, BOOK)
    # Not above: loading it costs 0.4 s, which only PostgreSQL makes necessary.
    from .ledger.engine import Ledger

    with Ledger(url) as ledger:
        found = ledger.verify(BOOK)
        if not found.ok:
            raise Broken("the book %s: event %s: %s" % (BOOK, found.broken_at, found.reason))
        differences = ledger.compare(BOOK)
        if differences:
            raise Broken("the book %s: %s" % (BOOK, "; ".join(differences[:3])))
        return [state.fields for state in ledger.states(BOOK)]


def begun(entries: Iterable[Mapping[str, Any]], day: datetime.date) -> list[dict[str, Any]]:
    """Approved entries of the book as hosts are told them, those that have begun; see `read`.

    Args:
        entries: fields of approved entries.
        day: the day of judgement.
    """
    newest: dict[tuple[Any, ...], dict[str, Any]] = {}
    for entry in sorted(entries, key=lambda entry: (entry["valid_until"], entry["id"])):
        if entry["valid_from"] <= day.isoformat():
            told = {name: entry[name] for name in CARRIED}
            told |= {"from": entry["valid_from"], "until": entry["valid_until"]}
            newest[(entry["control"], *entry["hosts"])] = told
    return list(newest.values())


def of_host(entries: Iterable[dict[str, Any]], host: str, groups: Iterable[str]) -> dict[str, dict[str, Any]]:
    """The exception for each control on a host, over or not; of several the one that lasts longest.

    Args:
        entries: as `read` gives them.
        host: the host's name in the inventory.
        groups: its groups.
    """
    own = {host, "all", *groups}
    found: dict[str, dict[str, Any]] = {}
    for entry in entries:
        known = found.get(entry["control"])
        if not own.isdisjoint(entry["hosts"]) and (known is None or known["until"] < entry["until"]):
            found[entry["control"]] = entry
    return found


def days_left(entry: Mapping[str, Any], day: datetime.date) -> int:
    """Days until an exception's last day; 0 on that day, below 0 when it is over.

    Args:
        entry: as `read` gives it.
        day: the day of judgement.
    """
    return (datetime.date.fromisoformat(entry["until"]) - day).days


def excused(exceptions: Mapping[str, dict[str, Any]], day: datetime.date, never: Mapping[str, str]) -> list[str]:
    """The controls that a host is excused from on a day.

    Args:
        exceptions: as `of_host` gives them.
        day: the day of judgement.
        never: id of a control -> why it is never excused.
    """
    return sorted(
        control for control, entry in exceptions.items() if days_left(entry, day) >= 0 and not never.get(control)
    )
