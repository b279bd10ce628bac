# SPDX-License-Identifier: GPL-3.0-or-later
"""The report on the book of exceptions: what holds, what ends soon, what is over, and what is due for a review."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from typing import Any

from .accounts.pages.document import Column
from .book_report import BookReport
from .exceptions import SOON
from .ledger.book import State

LISTS = {"expired": "fail", "expiring": "error", "due": "error", "waiting": "excused", "in_force": "pass"}
"""The report's lists, in the order in which a reader wants to see them -> their tone."""

WORDS = {
    "exceptions_book": ("Exceptions", "例外承認台帳"),
    "expired": ("Expired, neither extended nor revoked", "期限切れ(延長も取消もされていないもの)"),
    "expiring": ("Ending within 14 days", "14日以内に終了"),
    "due": ("Due for a review", "見直し期日が到来"),
    "waiting": ("Waiting for the committee", "承認待ち"),
    "in_force": ("In force", "有効"),
}

_COLUMNS = (
    Column("field_id", "name"),
    Column("field_control"),
    Column("field_hosts", "list"),
    Column("field_valid_until"),
    Column("field_review_on"),
    Column("field_approver"),
    Column("field_reason"),
    Column("field_measure"),
    Column("field_risk"),
    Column("field_ticket"),
)


def sort_out(states: Iterable[State], day: datetime.date) -> dict[str, list[dict[str, Any]]]:
    """The entries of each list; one that ends soon is in force as well, and may be due for a review.

    Args:
        states: the book's entries.
        day: the day of judgement.

    Returns:
        List -> fields of its entries, those first that end first.
    """
    today, soon = day.isoformat(), (day + datetime.timedelta(days=SOON)).isoformat()
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in LISTS}
    for fields in sorted((state.fields for state in states), key=lambda fields: (fields["valid_until"], fields["id"])):
        if fields["status"] == "requested":
            found["waiting"].append(fields)
        elif fields["status"] == "approved" and fields["valid_until"] < today:
            found["expired"].append(fields)
        elif fields["status"] == "approved" and fields["valid_from"] <= today:
            found["in_force"].append(fields)
            if fields["valid_until"] <= soon:
                found["expiring"].append(fields)
            if fields["review_on"] <= today:
                found["due"].append(fields)
    return found


REPORT = BookReport(
    book="exceptions",
    key="exceptions_book",
    lists=LISTS,
    words=WORDS,
    columns=_COLUMNS,
    said=("id", "control", "hosts", "valid_until", "review_on", "approver", "reason"),
    sort_out=sort_out,
)
