# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of the account ledger: every account, its history, whether the chain holds, and overdue reviews."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ...ledger.book import State
from ...ledger.books.accounts import Accounts
from ...ledger.engine import Verification
from ...ledger.event import Event
from ...report.values import text
from .document import Column, Document, Table, render

if TYPE_CHECKING:
    # At run time it would bring in openpyxl, which no page needs.
    from ..review import Overdue

ACCOUNTS_SHOWN = 20_000
"""Accounts that the page holds. All are in an export of the book."""

EVENTS_OF_ONE = 20
"""Events of one account that the page holds, the newest ones."""

EVENTS_SHOWN = 20_000
"""Events of all accounts together; beyond it, each account has fewer."""

LONGEST = 200
"""Characters of a changed field's value."""

STATUSES = {
    "active": "pass",
    "approved": "excused",
    "requested": "excused",
    "suspended": "error",
    "disabled": "not_applicable",
    "removed": "not_applicable",
}
"""Status -> tone, in the order in which a reader wants to see them."""


def ledger_page(
    states: Sequence[State],
    events: Iterable[Event],
    verification: Verification,
    *,
    at: str,
    overdue: Sequence[Overdue] = (),
) -> str:
    """The page of the account ledger.

    Args:
        states: the book's entries.
        events: its events, in the order of their sequence; a generator keeps memory small.
        verification: how verifying the chain ended.
        at: when the ledger was read, ISO 8601.
        overdue: reviews that were not done in time.

    Returns:
        HTML, for :func:`write_page`.
    """
    return render(_document(states, events, verification, at, overdue))


def _document(
    states: Sequence[State],
    events: Iterable[Event],
    verification: Verification,
    at: str,
    overdue: Sequence[Overdue],
) -> Document:
    tables = [_accounts(states, events)]
    if overdue:
        tables.insert(0, _overdue(overdue))
    counts = Counter(state.fields.get("status") for state in states)
    tiles = [(tone if counts[name] else "", f"status_{name}", counts[name]) for name, tone in STATUSES.items()]
    tiles.append(("fail" if overdue else "pass", "overdue", len(overdue)))
    facts = [("read_at", at.replace("T", " ").replace("Z", " UTC")), ("ledger_count", str(verification.count))]
    return Document(
        key="ledger",
        stem=at,
        facts=[*facts, ("ledger_head", verification.head)],
        tiles=tiles,
        notices=[verified(verification)],
        tables=tables,
        words={f"field_{name}": words for name, words in Accounts.headings.items()},
    )


def verified(verification: Verification) -> tuple[str, str, dict[str, str | int]]:
    """What verifying the chain says, as a notice of a page.

    Args:
        verification: how it ended.
    """
    if verification.ok:
        return "pass", "chain_holds", {"count": verification.count}
    return "fail", "chain_broken", {"number": verification.broken_at or 0, "reason": verification.reason}


def _accounts(states: Sequence[State], events: Iterable[Event]) -> Table:
    columns = (
        Column("field_status", "badge", "narrow"),
        Column("field_login", "name"),
        Column("field_person"),
        Column("field_department"),
        Column("kind", "word"),
        Column("field_hosts", "list"),
        Column("rights", "fields"),
        Column("validity"),
        Column("last_review", "fields"),
    )
    details = ("history", (Column("time", "moment"), Column("action", "word"), Column("by", "fields"), _CHANGES))
    order = {name: number for number, name in enumerate(STATUSES)}
    ordered = sorted(states, key=lambda state: (order.get(state.fields.get("status", ""), 99), state.key))
    shown = ordered[:ACCOUNTS_SHOWN]
    histories = _histories(events, {state.key for state in shown})
    rows = [[*_row(state), histories.get(state.key, [])] for state in shown]
    total = len(ordered) if len(ordered) > len(shown) else None
    return Table("account_list", columns, rows, choice=0, total=total, note="capped_accounts", details=details)


_CHANGES = Column("changes", "fields", "wide")


def _row(state: State) -> list[Any]:
    fields = state.fields
    status = str(fields.get("status", ""))
    rights = [["field_groups", _joined(fields.get("groups"))], ["field_sudo", _joined(fields.get("sudo"))]]
    review = [["field_reviewed_at", fields.get("reviewed_at")], ["field_reviewed_by", fields.get("reviewed_by")]]
    decision = fields.get("review_decision")
    review.append(["field_review_decision", decision])
    person = str(fields.get("person", ""))
    return [
        [STATUSES.get(status, "error"), f"status_{status}"],
        state.key,
        f"{person} ({fields['contractor']})" if fields.get("contractor") else person,
        fields.get("department", ""),
        f"account_{fields.get('kind', '')}",
        list(fields.get("hosts") or []),
        _said(rights),
        f"{fields.get('valid_from') or ''} – {fields.get('valid_until') or ''}",
        _said(review),
    ]


def _histories(events: Iterable[Event], wanted: set[str]) -> dict[str, list[list[Any]]]:
    """The newest events of each account, newest first."""
    newest: dict[str, list[Event]] = {}
    for event in events:
        if event.key in wanted:
            kept = newest.setdefault(event.key, [])
            kept.append(event)
            # Cut now and then, so that an account with many events costs no more than one with few.
            if len(kept) > 2 * EVENTS_OF_ONE:
                del kept[:-EVENTS_OF_ONE]
    most = max(1, min(EVENTS_OF_ONE, EVENTS_SHOWN // max(1, len(newest))))
    return {key: _history(kept, most) for key, kept in newest.items()}


def _history(events: list[Event], most: int) -> list[list[Any]]:
    """Rows of an account's events; the last says how many earlier ones are left out."""
    rows = [_event(event) for event in reversed(events[-most:])]
    earlier = events[-1].version - len(rows)
    return [*rows, [None, "earlier_events", [["number", str(earlier)]], None]] if earlier > 0 else rows


def _event(event: Event) -> list[Any]:
    by = [["actor", event.actor], ["field_approver", event.approver], ["field_ticket", event.ticket]]
    changes = [[f"field_{name}", _short(value)] for name, value in sorted(event.payload.items())]
    return [event.at, f"action_{event.action}", _said(by), changes or None]


def _overdue(overdue: Sequence[Overdue]) -> Table:
    columns = (
        Column("review", "badge", "narrow"),
        Column("field_login", "name"),
        Column("field_department"),
        Column("due", "moment"),
        Column("last_review", "moment"),
    )
    rows = [
        [["fail", f"review_{one.review}"], one.login, one.department, one.since, one.last or None]
        for one in sorted(overdue, key=lambda one: (one.since, one.department, one.login))
    ]
    return Table("overdue", columns, rows[:ACCOUNTS_SHOWN], total=len(rows) if len(rows) > ACCOUNTS_SHOWN else None)


def _said(pairs: list[list[Any]]) -> list[list[str]] | None:
    """The pairs that have a value."""
    said = [[key, str(value)] for key, value in pairs if value]
    return said or None


def _joined(values: Any) -> str:
    return ", ".join(values or [])


def _short(value: Any) -> str:
    """A field's value in one line."""
    shown = "–" if value is None or value == "" else (text(value) or "–").replace("\n", "; ")
    return shown if len(shown) <= LONGEST else shown[: LONGEST - 1] + "…"
