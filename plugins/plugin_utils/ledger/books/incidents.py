# SPDX-License-Identifier: GPL-3.0-or-later
"""Incidents: opened by what a host found, or by a person; who took them up, contained and resolved them, and when."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, ClassVar, Literal

import pydantic

from ..book import Action, Book, Change, Moment, State, is_same_person
from ..errors import Problem
from .values import FilledText, Name, Text

CLAUSE = "SM-4.5.3-2"

LongText = Annotated[str, pydantic.StringConstraints(max_length=17000)]
"""A path as the host wrote it: what a terminal would obey is escaped there, four characters for a byte."""


class Incident(pydantic.BaseModel):
    """One incident.

    Attributes:
        id: its name. One that a find opened is named by host and find, so that it is opened once.
        status: open, acknowledged (somebody took it up), contained (it can spread no further), or resolved.
        kind: what it is: malware, or another that a person opened.
        host: the host it is about.
        summary: what happened, one line.
        found_at: when the host found it.
        find: the find's name on the host.
        path, signature, sha256, size: the file, and what was found in it.
        user, process: whose access it was, and by what program.
        found_by: on_access, full_scan, update_scan, scan or mail; empty where a person opened it.
        host_action: what the host did: blocked, quarantined or failed.
        quarantine: the name under which the host keeps the file.
        opened_by, opened_at: who entered it, and when.
        acknowledged_by, acknowledged_at, note: who took it up, when, and what they saw.
        contained_by, contained_at, containment: who kept it from spreading, when, and how.
        release_requested_by, release_requested_at, release_reason: who asks that the host is let back, when, and why.
        released_by, released_at, release_note: who let it back, somebody else, when, and what they looked at.
        resolved_by, resolved_at: who ended it, and when.
        attended: of malware: who went there and when, or how the host was reached instead.
        reach: of malware: what it does, and how far it may have come; where nothing was found, what the packet filter's
            and the proxy's records showed.
        cause, measure: why it came about, and what keeps it from coming again.
        outside: whether damage reached others outside the organisation; None while nobody has said.
        reported_to: to whom it was then reported.
    """

    model_config = pydantic.ConfigDict(extra="forbid")

    id: Name
    status: Literal["open", "acknowledged", "contained", "resolved"]
    kind: Literal["malware", "other"]
    host: Name
    summary: FilledText
    found_at: Text = ""
    find: Text = ""
    path: LongText = ""
    signature: Text = ""
    sha256: Annotated[str, pydantic.StringConstraints(pattern=r"^(?:[0-9a-f]{64})?$")] = ""
    size: Annotated[int, pydantic.Field(ge=0)] = 0
    user: Text = ""
    process: LongText = ""
    found_by: Literal["", "on_access", "full_scan", "update_scan", "scan", "mail"] = ""
    host_action: Literal["", "blocked", "quarantined", "failed"] = ""
    quarantine: Text = ""
    opened_by: Text = ""
    opened_at: Text = ""
    acknowledged_by: Text = ""
    acknowledged_at: Text = ""
    note: Text = ""
    contained_by: Text = ""
    contained_at: Text = ""
    containment: Text = ""
    release_requested_by: Text = ""
    release_requested_at: Text = ""
    release_reason: Text = ""
    released_by: Text = ""
    released_at: Text = ""
    release_note: Text = ""
    resolved_by: Text = ""
    resolved_at: Text = ""
    attended: Text = ""
    reach: Text = ""
    cause: Text = ""
    measure: Text = ""
    outside: bool | None = None
    reported_to: Text = ""


_FOUND = frozenset(
    (
        *("kind", "host", "summary", "found_at", "find", "path", "signature", "sha256", "size", "user", "process"),
        *("found_by", "host_action", "quarantine"),
    )
)
_RELEASE = {"request_release": ("release_requested", "release_reason"), "release": ("released", "release_note")}
"""Action -> beginning of the fields that say who and when, and the field that says why."""

_RELEASED = (
    "release_requested_by",
    "release_requested_at",
    "release_reason",
    "released_by",
    "released_at",
    "release_note",
)
_CUT_OFF = frozenset({"contained", "resolved"})
RELEASE_CLAUSE = "SM-4.5.4-1"

_OF_MALWARE = {"attended": "SM-4.5.4-1", "reach": "SM-4.5.4-3"}
"""What is said of malware before the incident ends, and the clause that asks for it."""

_DONE = {"open": "opened", "acknowledge": "acknowledged", "contain": "contained", "resolve": "resolved"}


class Incidents(Book):
    """The book of incidents."""

    name = "incidents"
    title: ClassVar = {"en": "Incidents", "ja": "インシデント管理台帳"}
    model = Incident
    key = "id"
    imported = "open"
    actions: ClassVar = {
        "open": Action(
            before=frozenset({""}),
            after="open",
            fields=_FOUND,
            required=("kind", "host", "summary"),
            done=frozenset({"open", "acknowledged", "contained", "resolved"}),
            clause=CLAUSE,
        ),
        "acknowledge": Action(
            before=frozenset({"open"}),
            after="acknowledged",
            fields=frozenset({"note"}),
            required=("note",),
            done=frozenset({"acknowledged"}),
            clause=CLAUSE,
        ),
        # Isolating a host does not wait until somebody has written a note. One that was let back may be cut off again.
        "contain": Action(
            before=frozenset({"open", "acknowledged", "contained"}),
            after="contained",
            fields=frozenset({"containment"}),
            required=("containment",),
            done=frozenset({"contained"}),
            clause="SM-4.5.4-1",
        ),
        "request_release": Action(
            before=_CUT_OFF,
            after=None,
            fields=frozenset({"release_reason"}),
            required=("release_reason",),
            done=_CUT_OFF,
            clause=RELEASE_CLAUSE,
        ),
        # The host is named, so that no other one is let back by this incident.
        "release": Action(
            before=_CUT_OFF,
            after=None,
            fields=frozenset({"host", "release_note"}),
            required=("host", "release_note"),
            done=_CUT_OFF,
            clause=RELEASE_CLAUSE,
        ),
        "resolve": Action(
            before=frozenset({"acknowledged", "contained"}),
            after="resolved",
            fields=frozenset({"attended", "reach", "cause", "measure", "outside", "reported_to"}),
            required=("cause", "measure", "outside"),
            done=frozenset({"resolved"}),
            clause="SM-4.5.4-3",
        ),
    }
    headings: ClassVar = {
        "id": ("Incident", "インシデント番号"),
        "status": ("Status", "状態"),
        "kind": ("Kind", "種別"),
        "host": ("Host", "ホスト"),
        "summary": ("What happened", "概要"),
        "found_at": ("Found at", "検知日時"),
        "find": ("Find", "検知番号"),
        "path": ("File", "ファイル"),
        "signature": ("Signature", "検知名"),
        "sha256": ("SHA-256", "SHA-256"),
        "size": ("Bytes", "サイズ"),
        "user": ("User", "利用者"),
        "process": ("Program", "プログラム"),
        "found_by": ("Found by", "検知方法"),
        "host_action": ("What the host did", "ホストの処置"),
        "quarantine": ("Quarantine", "隔離番号"),
        "opened_by": ("Opened by", "起票者"),
        "opened_at": ("Opened at", "起票日時"),
        "acknowledged_by": ("Taken up by", "対応者"),
        "acknowledged_at": ("Taken up at", "対応開始日時"),
        "note": ("Note", "所見"),
        "contained_by": ("Contained by", "封じ込め実施者"),
        "contained_at": ("Contained at", "封じ込め日時"),
        "containment": ("How it was contained", "封じ込め内容"),
        "release_requested_by": ("Release asked for by", "隔離解除申請者"),
        "release_requested_at": ("Release asked for at", "隔離解除申請日時"),
        "release_reason": ("Why it may be let back", "隔離解除の理由"),
        "released_by": ("Let back by", "隔離解除者"),
        "released_at": ("Let back at", "隔離解除日時"),
        "release_note": ("What was looked at", "隔離解除時の確認内容"),
        "resolved_by": ("Resolved by", "完了確認者"),
        "resolved_at": ("Resolved at", "完了日時"),
        "attended": ("Attended", "現地対応"),
        "reach": ("What it does, and how far it came", "挙動・影響範囲"),
        "cause": ("Cause", "原因"),
        "measure": ("Measure against recurrence", "再発防止策"),
        "outside": ("Damage outside", "社外への影響"),
        "reported_to": ("Reported to", "報告先"),
    }

    def derived(self, change: Change, before: State, moment: Moment) -> dict[str, Any]:
        """Who did it, and when. What is asked for again stays his who did it first."""
        if change.action in _RELEASE:
            done, why = _RELEASE[change.action]
            is_known = bool(before.fields.get(done + "_at")) and before.fields.get(why) == change.payload.get(why)
            return {} if is_known else {done + "_by": moment.actor, done + "_at": moment.at}
        if change.action == "contain" and before.fields.get("contained_at"):
            is_known = before.fields["containment"] == change.payload.get("containment")
            if is_known and not before.fields.get("released_at"):
                return {}
            return {"contained_by": moment.actor, "contained_at": moment.at, **dict.fromkeys(_RELEASED, "")}
        done = _DONE.get(change.action, "")
        if not done or before.fields.get(done + "_at"):
            return {}
        return {done + "_by": moment.actor, done + "_at": moment.at}

    def check(self, change: Change, before: State, after: dict[str, Any], moment: Moment) -> Iterable[Problem]:
        """Texts that a person owes are not blank, no host is let back by one person alone, and damage to others is
        reported to somebody.
        """
        for name in self.actions[change.action].required:
            if isinstance(after[name], str) and not after[name].strip():
                yield change.problem(name, after[name], "must not be empty", self.actions[change.action].clause)
        if change.action == "release":
            yield from _unreleased(change, before, moment)
        if change.action != "resolve":
            return
        for name, clause in _OF_MALWARE.items() if after["kind"] == "malware" else ():
            if not after[name].strip():
                yield change.problem(name, after[name], "must not be empty, as it is about malware", clause)
        if after["outside"] is None:
            yield change.problem("outside", "", "must be true or false", "SM-4.5.4-4")
        if after["outside"] and not after["reported_to"]:
            reason = "damage reached others outside: it must say to whom that was reported"
            yield change.problem("reported_to", "", reason, "SM-4.5.4-4")


def _unreleased(change: Change, before: State, moment: Moment) -> Iterable[Problem]:
    """Why a host is not let back: it is another one, nobody asked for it, or who does it asked for it."""
    if change.payload["host"] != before.fields["host"]:
        reason = "the incident is about %s" % before.fields["host"]
        yield change.problem("host", change.payload["host"], reason, RELEASE_CLAUSE)
    requester = before.fields.get("release_requested_by", "")
    if not requester:
        reason = "nobody has asked for it: request_release, by another person, comes first"
        yield change.problem("release_requested_by", "", reason, RELEASE_CLAUSE)
    elif is_same_person(requester, moment.actor):
        reason = "who asks that a host is let back does not let it back: another person does"
        yield change.problem("released_by", moment.actor, reason, RELEASE_CLAUSE)
