# SPDX-License-Identifier: GPL-3.0-or-later
"""The operations journal: every run, and what hosts and people tell of backups, changes, logins and errors."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Annotated, Any, ClassVar, Literal

import pydantic

from ...journal.words import KINDS, LONGEST_DETAILS, RELEASES, TIME
from ..book import ANY, Action, Book, Change, Moment, State
from ..errors import Problem
from .values import Name, Names, Text

CLAUSE = "SM-4.11-2"


def _time(text: str) -> str:
    if text and not re.fullmatch(TIME, text):
        raise ValueError("must be a time in UTC such as 2026-11-21T03:00:00Z")
    return text


def _kind(text: str) -> str:
    if text not in KINDS:
        raise ValueError("must be one of %s" % ", ".join(KINDS))
    return text


def _small(details: dict[str, Any]) -> dict[str, Any]:
    size = len(json.dumps(details, ensure_ascii=False))
    if size > LONGEST_DETAILS:
        raise ValueError("has %d characters; it may have %d" % (size, LONGEST_DETAILS))
    return details


Time = Annotated[str, pydantic.StringConstraints(max_length=20), pydantic.AfterValidator(_time)]
FilledTime = Annotated[Time, pydantic.StringConstraints(min_length=20)]
Kind = Annotated[str, pydantic.AfterValidator(_kind)]
Outcome = Annotated[str, pydantic.StringConstraints(pattern=r"^[a-z_]{0,32}$")]
LongText = Annotated[str, pydantic.StringConstraints(max_length=4000)]
Count = Annotated[int, pydantic.Field(ge=0)]


class Result(pydantic.BaseModel):
    """What a run came to on one host: how many tasks ended how."""

    model_config = pydantic.ConfigDict(extra="forbid", strict=True)

    ok: Count = 0
    changed: Count = 0
    failed: Count = 0
    unreachable: Count = 0
    skipped: Count = 0


class Changed(pydantic.BaseModel):
    """A task that changed something.

    Attributes:
        task: its name.
        things: what it says it changed: files, packages, units.
        count: how many things those were, beyond those named.
        hosts: where.
    """

    model_config = pydantic.ConfigDict(extra="forbid", strict=True)

    task: LongText
    things: list[LongText] = []
    count: Count = 0
    hosts: list[Name]


class Failure(pydantic.BaseModel):
    """A task that failed on a host, with the beginning of its message, redacted."""

    model_config = pydantic.ConfigDict(extra="forbid", strict=True)

    host: Name
    task: LongText
    message: LongText


class Trail(pydantic.BaseModel):
    """The work trail of a run.

    Attributes:
        sha256: of the compressed trail, in hexadecimal.
        stored: where it is: ledger (the book work_trails), or a file.
        bytes: its size, compressed.
        text_bytes: its size.
        complete: whether it holds everything, or reached the size that it may have.
    """

    model_config = pydantic.ConfigDict(extra="forbid", strict=True)

    sha256: Annotated[str, pydantic.StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    stored: LongText
    bytes: Count
    text_bytes: Count
    complete: bool


class Run(pydantic.BaseModel):
    """What only a run has.

    Attributes:
        playbook: its file.
        inventories, tags, skip_tags, limit, check, diff: as it was called.
        environment: of the hosts, where kijun.baseline.environment_guard told it.
        impact, dangers, way_back: of the change, as it was announced.
        test_report: the report on tests from which it was decided that it goes ahead.
        decided_by: who decided that.
        emergency: why it ran in production without a journal.
        versions: of Kijun, ansible-core and Python.
        git: head of the checkout of the playbook, the branch, and whether anything in it was not committed.
        controller: the machine that it ran on, and the process there.
        results: host -> what it came to there.
        changes: what was changed.
        failures: what failed.
        left_out: how many changes and failures are not in these lists, because they are too many.
        trail: the work trail; none where nothing was changed and nothing failed.
    """

    model_config = pydantic.ConfigDict(extra="forbid")

    playbook: LongText
    inventories: list[LongText] = []
    tags: list[LongText] = []
    skip_tags: list[LongText] = []
    limit: LongText = ""
    check: bool = False
    diff: bool = False
    environment: LongText = ""
    impact: LongText = ""
    dangers: LongText = ""
    way_back: LongText = ""
    test_report: LongText = ""
    decided_by: LongText = ""
    emergency: LongText = ""
    versions: dict[str, str] = {}
    git: dict[str, str | bool | None] = {}
    controller: dict[str, str | int] = {}
    results: dict[str, Result] = {}
    changes: list[Changed] = []
    failures: list[Failure] = []
    left_out: Count = 0
    trail: Trail | None = None


class Operation(pydantic.BaseModel):
    """One entry.

    Attributes:
        id: its name; the same id twice is one entry.
        status: open (a run that has not ended, or never will), finished (a run that has), recorded (any other entry);
            confirmed, corrected or considered, when a person has said something to it.
        kind: what it tells of.
        hosts: the hosts that it is about.
        at: when it happened, or began, UTC.
        until: when it ended.
        seconds: how long it took.
        outcome: ok, failed, ...
        summary: it, in one line.
        actor: who did it: who logged in, who started the run.
        origin: from where.
        ticket, implementer, confirmer: of a change.
        about: other entries that it is about.
        details: what else is known.
        run: what only a run has.
        resolved_by, resolved_at: who confirmed, corrected or considered it, and when that was entered.
        resolution: what they said.
    """

    model_config = pydantic.ConfigDict(extra="forbid")

    id: Name
    status: Literal["open", "finished", "recorded", "confirmed", "corrected", "considered"]
    kind: Kind
    hosts: Names = []
    at: FilledTime
    until: Time = ""
    seconds: Count = 0
    outcome: Outcome = ""
    summary: Text = ""
    actor: Text = ""
    origin: Text = ""
    ticket: Text = ""
    implementer: Text = ""
    confirmer: Text = ""
    about: Names = []
    details: Annotated[dict[str, Any], pydantic.AfterValidator(_small)] = {}
    run: Run | None = None
    resolved_by: Text = ""
    resolved_at: Time = ""
    resolution: Text = ""


_TOLD = frozenset(Operation.model_fields) - {"id", "status", "run", "resolved_by", "resolved_at", "resolution"}
_RUN = _TOLD | {"run"}
_CLOSED = frozenset({"hosts", "until", "seconds", "outcome", "summary", "run", "details"})
_SAID = frozenset({"resolution", "resolved_by"})
_ENDED = frozenset({"finished", "recorded", "considered", "confirmed", "corrected"})

KINDS_OF = {"confirm": ("restore_test", "restore", "backup", "check"), "consider": (*RELEASES, "run")}
"""Action -> the kinds of entries that it is for."""


class Operations(Book):
    """The operations journal."""

    name = "operations"
    title: ClassVar = {"en": "Operations journal", "ja": "運用記録簿"}
    model = Operation
    key = "id"
    imported = "record"
    actions: ClassVar = {
        "open": Action(
            before=frozenset({""}), after="open", fields=_RUN, required=("kind", "at", "run"), clause=CLAUSE
        ),
        "close": Action(
            before=frozenset({"open"}),
            after="finished",
            fields=_CLOSED,
            required=("until", "outcome", "run"),
            clause=CLAUSE,
        ),
        "record": Action(
            before=frozenset({""}),
            after="recorded",
            fields=_TOLD,
            required=("kind", "at"),
            done=_ENDED,
            clause=CLAUSE,
        ),
        # A person looked at what a machine proved.
        "confirm": Action(
            before=frozenset({"recorded"}),
            after="confirmed",
            fields=_SAID,
            required=("resolution",),
            done=frozenset({"confirmed"}),
            clause="SO-5.2-data-steps",
        ),
        # What was done about an error, or what is right instead of an improper entry.
        "correct": Action(
            before=ANY,
            after="corrected",
            fields=_SAID,
            required=("resolution",),
            done=frozenset({"corrected"}),
            clause="SM-4.11-2-5",
        ),
        # What a release's problems were, and what could be done better.
        "consider": Action(
            before=frozenset({"finished", "recorded"}),
            after="considered",
            fields=_SAID,
            required=("resolution",),
            done=frozenset({"considered"}),
            clause="GL-3.2-7",
        ),
    }
    headings: ClassVar = {
        "id": ("Entry", "記録番号"),
        "status": ("Status", "状態"),
        "kind": ("Kind", "種別"),
        "at": ("Time", "日時"),
        "until": ("End", "終了日時"),
        "seconds": ("Seconds", "所要時間(秒)"),
        "hosts": ("Hosts", "対象ホスト"),
        "outcome": ("Outcome", "結果"),
        "summary": ("What", "内容"),
        "actor": ("Person", "実施者"),
        "origin": ("From", "接続元"),
        "ticket": ("Ticket", "申請番号"),
        "implementer": ("Implementer", "作業者"),
        "confirmer": ("Confirmer", "確認者"),
        "about": ("About entries", "対象記録"),
        "details": ("Details", "詳細"),
        "run": ("Run", "実行"),
        "resolution": ("Confirmation or corrective action", "確認・是正内容"),
        "resolved_by": ("By", "確認・是正者"),
        "resolved_at": ("Entered", "確認・是正日時"),
    }

    def derived(self, change: Change, before: State, moment: Moment) -> dict[str, Any]:
        """Who said something to an entry, and when."""
        if change.action not in ("confirm", "correct", "consider"):
            return {}
        said_by = change.payload.get("resolved_by") or moment.actor
        same = before.fields.get("resolution") == change.payload.get("resolution")
        if same and before.fields.get("resolved_by") == said_by:
            return {"resolved_by": said_by, "resolved_at": before.fields["resolved_at"]}
        return {"resolved_by": said_by, "resolved_at": moment.at}

    def check(self, change: Change, before: State, after: dict[str, Any], moment: Moment) -> Iterable[Problem]:
        """Ends come after beginnings, runs enter themselves, and words are of the right entries."""
        if after["until"] and after["until"] < after["at"]:
            yield change.problem("until", after["until"], "is before its beginning, %s" % after["at"], CLAUSE)
        if change.action == "record" and after["kind"] == "run":
            yield change.problem("kind", "run", "runs are entered by the callback operations_journal", CLAUSE)
        kinds = KINDS_OF.get(change.action, KINDS)
        if after["kind"] not in kinds:
            reason = "%s is for %s" % (change.action, ", ".join(kinds))
            yield change.problem("kind", after["kind"], reason, self.actions[change.action].clause)
