# SPDX-License-Identifier: GPL-3.0-or-later
"""Findings of log review on the controller: put together from all log servers, held against the book, and reported."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .accounts.pages.document import Column, Document, Table, render
from .accounts.pages.ledger import verified
from .ledger.book import Change, State
from .ledger.books.log_findings import LogFindings
from .ledger.engine import Verification

BOOK = "log_findings"
SEVERITIES = ("critical", "high", "medium", "low")
TONES = {"critical": "fail", "high": "fail", "medium": "error", "low": "excused"}

_SAME = ("rule", "severity", "clauses", "group", "day", "blocks")

WORDS = {
    "log_findings_book": ("Findings in logs", "ログ検出事項"),
    "findings_open": ("To be looked into", "未確認"),
    "findings_seen": ("Looked into", "確認済み"),
    "reviewed_days": ("Days that were reviewed", "分析した日"),
    "by_rule": ("Findings by rule", "規則別の検出数"),
    "severity_critical": ("critical", "緊急"),
    "severity_high": ("high", "高"),
    "severity_medium": ("medium", "中"),
    "severity_low": ("low", "低"),
    "status_open": ("open", "未確認"),
    "status_acknowledged": ("acknowledged", "確認済み"),
    "status_reported": ("reported", "報告済み"),
    "days_reviewed": ("Period", "対象期間"),
    "records_total": ("Records", "ログ件数"),
    "senders_total": ("Senders", "送信元"),
    "strange_total": ("Lines that are no records", "形式外の行"),
    "log_server": ("Log server", "ログサーバー"),
    "findings_total": ("Findings", "検出数"),
}


def together(found: Mapping[str, Iterable[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """Findings of several log servers, those that are one put together, the oldest first.

    Args:
        found: log server -> its findings, as ``kijun-logs findings`` prints them.

    Returns:
        Fields of entries of the book, and their ``id``.
    """
    known: dict[str, dict[str, Any]] = {}
    for server in sorted(found):
        for finding in found[server]:
            entry = known.get(finding["id"])
            if entry is None:
                known[finding["id"]] = {
                    "id": finding["id"],
                    **{name: finding[name] for name in _SAME},
                    "title_en": finding["title"]["en"],
                    "title_ja": finding["title"]["ja"],
                    "first": finding["first"],
                    "last": finding["last"],
                    "count": finding["count"],
                    "servers": [server],
                    "addresses": sorted(finding["addresses"]),
                    "lines": list(finding["lines"]),
                }
                continue
            entry["servers"].append(server)
            entry["addresses"] = sorted({*entry["addresses"], *finding["addresses"]})
            entry["first"] = min(entry["first"], finding["first"])
            entry["last"] = max(entry["last"], finding["last"])
            if finding["count"] > entry["count"]:
                entry["count"], entry["lines"] = finding["count"], list(finding["lines"])
    return sorted(known.values(), key=lambda entry: (entry["first"], entry["id"]))


def changes(entries: Sequence[Mapping[str, Any]], known: Mapping[str, Mapping[str, Any]]) -> list[Change]:
    """What of findings the book does not have yet: new ones, and those of which there are more records now.

    Args:
        entries: as `together` gives them.
        known: id -> the entry of the book, where there is one.
    """
    return [
        Change(
            key=entry["id"],
            action="record",
            payload={name: value for name, value in entry.items() if name != "id"},
            row=number,
        )
        for number, entry in enumerate(entries, 1)
        if entry["id"] not in known or entry["count"] > known[entry["id"]]["count"]
    ]


def blocked(entries: Iterable[Mapping[str, Any]], now: datetime.datetime, seconds: int) -> dict[str, int]:
    """Addresses that are to be blocked, and for how long yet.

    Args:
        entries: findings.
        now: the time.
        seconds: how long an address is blocked after the last record of its finding.

    Returns:
        Address -> seconds.
    """
    wanted: dict[str, int] = {}
    for entry in entries:
        last = datetime.datetime.fromisoformat(entry["last"].replace("Z", "+00:00"))
        left = seconds - int((now - last).total_seconds())
        if entry["blocks"] and left > 0:
            for address in entry["addresses"]:
                wanted[address] = max(left, wanted.get(address, 0))
    return dict(sorted(wanted.items()))


def page(
    states: Sequence[State],
    reviews: Mapping[str, Sequence[Mapping[str, Any]]],
    verification: Verification,
    first: str,
    last: str,
) -> str:
    """The report on a stretch of days as HTML.

    Args:
        states: the book's entries of these days.
        reviews: log server -> its reviews of these days.
        verification: how verifying the book's chain ended.
        first: the first day.
        last: the last day.
    """
    fields = [state.fields for state in states]
    waiting = [entry for entry in fields if entry["status"] == "open"]
    seen = [entry for entry in fields if entry["status"] != "open"]
    counts = Counter((entry["severity"], entry["rule"], entry["title_en"], entry["title_ja"]) for entry in fields)
    severity = {name: sum(1 for entry in waiting if entry["severity"] == name) for name in SEVERITIES}
    return render(
        Document(
            key="log_findings_book",
            stem="%s - %s" % (first, last),
            facts=[
                ("days_reviewed", "%s - %s" % (first, last)),
                ("ledger_count", str(verification.count)),
                ("ledger_head", verification.head),
            ],
            tiles=[(TONES[name] if count else "", "severity_" + name, count) for name, count in severity.items()],
            notices=[verified(verification)],
            tables=[
                _findings("findings_open", waiting),
                _findings("findings_seen", seen),
                Table(
                    "by_rule",
                    (
                        Column("field_severity", "badge"),
                        Column("field_rule", "name"),
                        Column("field_title_en"),
                        Column("field_title_ja"),
                        Column("findings_total", "number"),
                    ),
                    [[_badge(key[0]), *key[1:], count] for key, count in sorted(counts.items(), key=_by_severity)],
                ),
                Table(
                    "reviewed_days",
                    (
                        Column("field_day", "name"),
                        Column("log_server"),
                        Column("records_total", "number"),
                        Column("senders_total", "number"),
                        Column("strange_total", "number"),
                    ),
                    [
                        [
                            review["day"],
                            server,
                            review["records"],
                            sum(1 for sender in review["senders"].values() if sender["records"]),
                            sum(sender["strange"] for sender in review["senders"].values()),
                        ]
                        for server in sorted(reviews)
                        for review in reviews[server]
                    ],
                ),
            ],
            words={**WORDS, **{f"field_{name}": words for name, words in LogFindings.headings.items()}},
        )
    )


def _by_severity(item: tuple[tuple[str, str, str, str], int]) -> tuple[int, str]:
    return SEVERITIES.index(item[0][0]), item[0][1]


def _badge(severity: str) -> list[str]:
    return [TONES[severity], "severity_" + severity]


def _findings(key: str, entries: Sequence[Mapping[str, Any]]) -> Table:
    columns = (
        Column("field_severity", "badge"),
        Column("field_id", "name"),
        Column("field_title_en"),
        Column("field_title_ja"),
        Column("field_group", "list"),
        Column("field_first", "moment"),
        Column("field_last", "moment"),
        Column("field_count", "number"),
        Column("field_note"),
    )
    rows = [
        [
            _badge(entry["severity"]),
            entry["id"],
            entry["title_en"],
            entry["title_ja"],
            ["%s %s" % pair for pair in sorted(entry["group"].items())],
            entry["first"],
            entry["last"],
            entry["count"],
            "%s (%s)" % (entry["note"], entry["acknowledged_by"]) if entry["note"] else None,
            [[line] for line in entry["lines"]],
        ]
        for entry in sorted(entries, key=lambda e: (SEVERITIES.index(e["severity"]), e["first"]))
    ]
    return Table(key, columns, rows, choice=0, details=("field_lines", (Column("field_lines"),)))
