# SPDX-License-Identifier: GPL-3.0-or-later
"""What log review found: the rule, the records that it is made of, and who looked into it and what they came to."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, ClassVar, Literal

import pydantic

from ..book import Action, Book, Change, Moment, State
from ..errors import Problem
from .values import FilledText, Name, Text

CLAUSE = "SM-4.8.1-2"

Line = Annotated[str, pydantic.StringConstraints(max_length=2100)]
"""A record as the log server showed it: what a terminal would obey is escaped there."""


class LogFinding(pydantic.BaseModel):
    """One finding.

    Attributes:
        id: its name, which follows from rule, group and hour, so that two log servers come to the same.
        status: open, acknowledged (somebody looked into it), or reported (to the committee).
        rule: the rule.
        title_en, title_ja: what it is called.
        severity: low, medium, high or critical.
        clauses: the clauses behind the rule.
        group: what the rule counted by -> its value.
        day: the day, UTC.
        first, last: when its first and its last record were received.
        count: how many records it is made of.
        servers: the log servers that found it.
        addresses: the addresses that it tells of.
        blocks: whether these are to be blocked.
        lines: its first records.
        acknowledged_by: who looked into it.
        note: what they came to.
        incident: the incident that it became part of.
        reported_to: whom it was reported to.
    """

    model_config = pydantic.ConfigDict(extra="forbid")

    id: Annotated[str, pydantic.StringConstraints(pattern=r"^[0-9a-f]{20}$")]
    status: Literal["open", "acknowledged", "reported"]
    rule: Name
    title_en: FilledText
    title_ja: FilledText
    severity: Literal["low", "medium", "high", "critical"]
    clauses: list[Name] = []
    group: dict[str, str] = {}
    day: Name
    first: Text
    last: Text
    count: Annotated[int, pydantic.Field(ge=1)]
    servers: list[Name]
    addresses: list[Text] = []
    blocks: bool = False
    lines: Annotated[list[Line], pydantic.Field(max_length=20)]
    acknowledged_by: Text = ""
    note: Text = ""
    incident: Text = ""
    reported_to: Text = ""


_FOUND = frozenset(
    (
        *("rule", "title_en", "title_ja", "severity", "clauses", "group", "day", "first", "last", "count"),
        *("servers", "addresses", "blocks", "lines"),
    )
)


class LogFindings(Book):
    """The book of findings in logs."""

    name = "log_findings"
    title: ClassVar = {"en": "Findings in logs", "ja": "ログ検出事項台帳"}
    model = LogFinding
    key = "id"
    imported = "record"
    actions: ClassVar = {
        # What grows after somebody looked into it is open again.
        "record": Action(
            before=frozenset({"", "open", "acknowledged", "reported"}),
            after="open",
            fields=_FOUND,
            required=("rule", "severity", "count", "lines"),
            done=frozenset({"open", "acknowledged", "reported"}),
            clause=CLAUSE,
        ),
        "acknowledge": Action(
            before=frozenset({"open"}),
            after="acknowledged",
            fields=frozenset({"note", "incident", "acknowledged_by"}),
            required=("note",),
            done=frozenset({"acknowledged"}),
            clause=CLAUSE,
        ),
        "report": Action(
            before=frozenset({"acknowledged"}),
            after="reported",
            fields=frozenset({"reported_to"}),
            required=("reported_to",),
            done=frozenset({"reported"}),
            clause=CLAUSE,
        ),
    }
    headings: ClassVar = {
        "id": ("Finding", "検出番号"),
        "status": ("Status", "状態"),
        "severity": ("Severity", "重要度"),
        "rule": ("Rule", "規則"),
        "title_en": ("What was found", "検出内容(英語)"),
        "title_ja": ("What was found (Japanese)", "検出内容"),
        "day": ("Day", "日"),
        "first": ("First record", "最初の記録"),
        "last": ("Last record", "最後の記録"),
        "count": ("Records", "件数"),
        "group": ("About", "対象"),
        "servers": ("Log servers", "ログサーバー"),
        "addresses": ("Addresses", "接続元アドレス"),
        "blocks": ("To be blocked", "遮断対象"),
        "clauses": ("Clauses", "条項"),
        "lines": ("Its first records", "先頭の記録"),
        "acknowledged_by": ("Looked into by", "確認者"),
        "note": ("What it came to", "確認結果"),
        "incident": ("Incident", "インシデント番号"),
        "reported_to": ("Reported to", "報告先"),
    }

    def derived(self, change: Change, before: State, moment: Moment) -> dict[str, Any]:
        """Who looked into it; of what grows, what was said of it before stays in its history."""
        if change.action == "acknowledge":
            return {"acknowledged_by": change.payload.get("acknowledged_by") or moment.actor}
        return {}

    def check(self, change: Change, before: State, after: dict[str, Any], moment: Moment) -> Iterable[Problem]:
        """A finding does not shrink."""
        if change.action == "record" and before.fields and after["count"] < before.fields["count"]:
            reason = "had %d records already" % before.fields["count"]
            yield change.problem("count", after["count"], reason, CLAUSE)
