# SPDX-License-Identifier: GPL-3.0-or-later
"""The report on the book of media: what is overdue or missing, what is lent to whom, and what waits for an erasure."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from typing import Any

from .accounts.pages.document import Column
from .book_report import BookReport
from .ledger.book import State
from .ledger.books.media import overdue

LISTS = {
    "overdue": "fail",
    "missing": "fail",
    "over": "error",
    "to_erase": "error",
    "lent": "excused",
    "stored": "pass",
}
"""The report's lists, in the order in which a reader wants to see them -> their tone."""

WORDS = {
    "media_book": ("Recording media", "記録媒体管理台帳"),
    "overdue": ("Lent, and overdue", "返却期限超過"),
    "missing": ("Missing", "所在不明"),
    "over": ("Approval over, neither extended nor disposed of", "承認期限切れ(延長も廃棄もされていないもの)"),
    "to_erase": ("Confidential, used, and not erased since", "機密情報に使用後、未消去"),
    "lent": ("Lent", "貸出中"),
    "stored": ("Stored", "保管中"),
}

_COLUMNS = (
    Column("field_id", "name"),
    Column("field_kind"),
    Column("field_serial"),
    Column("field_owner"),
    Column("field_purpose"),
    Column("field_place"),
    Column("field_lent_to"),
    Column("field_lent_for"),
    Column("field_due_on"),
    Column("field_valid_until"),
    Column("field_encryption"),
    Column("field_key_holder"),
    Column("field_approver"),
    Column("field_reason"),
)


def sort_out(states: Iterable[State], day: datetime.date) -> dict[str, list[dict[str, Any]]]:
    """The media of each list. One may be in several: what is overdue is lent as well.

    Args:
        states: the book's entries.
        day: the day of judgement.

    Returns:
        List -> fields of its media, by the day on which they are due, then by name.
    """
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in LISTS}
    for fields in sorted((state.fields for state in states), key=lambda one: (one["due_on"] or "", one["id"])):
        if fields["status"] == "disposed":
            continue
        found[fields["status"]].append(fields)
        if overdue(fields, day):
            found["overdue"].append(fields)
        if fields["valid_until"] < day.isoformat():
            found["over"].append(fields)
        if fields["status"] == "stored" and fields["confidential"] and fields["used"]:
            found["to_erase"].append(fields)
    return found


REPORT = BookReport(
    book="media",
    key="media_book",
    lists=LISTS,
    words=WORDS,
    columns=_COLUMNS,
    said=("id", "kind", "serial", "owner", "place", "lent_to", "due_on", "valid_until"),
    sort_out=sort_out,
)
