# SPDX-License-Identifier: GPL-3.0-or-later
"""The exceptions: which control is not kept where, why, what is done instead, until when, and who approved it."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import pydantic

from ..book import Action, Book, Change, Moment, State, may_approve
from ..errors import Problem
from .values import Date, FilledText, Name, Names, Text

CLAUSE = "SM-6-1"
REVIEW_DAYS = 90
"""Days until the next review, where nobody says when it is."""

Status = Literal["requested", "approved", "revoked"]


def _identifier(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", text):
        raise ValueError("must be letters, digits, '.', '_' and '-', at most 64 characters, such as EXC-2026-014")
    return text


def _control(text: str) -> str:
    if not re.fullmatch(r"[A-Z][A-Z0-9]*-[0-9]+", text):
        raise ValueError("must be the id of a control, such as AUTH-07")
    return text


class ExceptionEntry(pydantic.BaseModel):
    """One exception.

    Attributes:
        id: its name, such as the application's number.
        control: the control that is not kept.
        hosts: hosts and groups of the inventory on which it is not.
        reason: why it cannot be kept there.
        decision: mitigate (something else is done instead) or accept (the risk is borne).
        measure: what is done instead.
        risk: what can happen, as it was analysed.
        requester: who asked for it, or for its extension.
        approver: who of the committee approved that.
        ticket: the number of the application or of the committee's decision.
        valid_from: the first day.
        valid_until: the last day.
        review_on: the day by which somebody looks whether it is still needed.
        status: requested, approved or revoked. Whether it is over, the days say.
        status_reason: why it was revoked.
        reviewed_at: the day of the last review.
        reviewed_by: who reviewed it.
        review_result: what the review came to.
    """

    model_config = pydantic.ConfigDict(extra="forbid")

    id: Annotated[str, pydantic.AfterValidator(_identifier)]
    control: Annotated[str, pydantic.AfterValidator(_control)]
    hosts: Annotated[Names, pydantic.Field(min_length=1)]
    reason: FilledText
    decision: Literal["mitigate", "accept"] = "mitigate"
    measure: Text = ""
    risk: Text = ""
    requester: Name
    approver: Text = ""
    ticket: Text = ""
    valid_from: Date
    valid_until: Date
    review_on: Date
    status: Status
    status_reason: Text = ""
    reviewed_at: Date | None = None
    reviewed_by: Text = ""
    review_result: Text = ""

    @pydantic.model_validator(mode="after")
    def _consistent(self) -> ExceptionEntry:
        if self.valid_until < self.valid_from:
            raise ValueError("valid_until %s is before valid_from %s" % (self.valid_until, self.valid_from))
        if not self.valid_from <= self.review_on <= self.valid_until:
            raise ValueError(
                "review_on %s must be from valid_from %s to valid_until %s"
                % (self.review_on, self.valid_from, self.valid_until)
            )
        if self.decision == "mitigate" and not self.measure:
            raise ValueError("a mitigated exception needs measure: what is done instead (clause %s)" % CLAUSE)
        if self.decision == "accept" and not self.risk:
            raise ValueError("an accepted exception needs risk: what can happen (clause %s)" % CLAUSE)
        return self


@dataclass(frozen=True)
class ExceptionContext:
    """What the rules of exceptions need to know from outside; None where it is not known.

    Attributes:
        hosts: hosts and groups of the inventory.
        controls: id of each control -> why it is never excused; an empty text where it can be.
        committee: who may approve; empty for anybody but the requester.
        max_days: the longest time that one approval may cover, in days.
    """

    hosts: frozenset[str] | None = None
    controls: Mapping[str, str] | None = None
    committee: tuple[str, ...] = ()
    max_days: int = 365


_FILED = frozenset(("control", "hosts", "reason", "decision", "measure", "risk"))
_DAYS = frozenset(("valid_from", "valid_until", "review_on"))


class Exceptions(Book):
    """The book of exceptions."""

    name = "exceptions"
    title: ClassVar = {"en": "Exceptions", "ja": "例外承認台帳"}
    model = ExceptionEntry
    key = "id"
    imported = "file"
    actions: ClassVar = {
        "file": Action(
            before=frozenset({""}),
            after="requested",
            fields=_FILED | _DAYS | {"requester"},
            required=("control", "hosts", "reason", "valid_until"),
            done=frozenset({"requested", "approved"}),
            clause=CLAUSE,
        ),
        "approve": Action(
            before=frozenset({"requested"}),
            after="approved",
            approved=True,
            done=frozenset({"approved"}),
            clause=CLAUSE,
        ),
        "extend": Action(
            before=frozenset({"approved"}),
            after=None,
            fields=frozenset({"valid_until", "review_on", "reason", "decision", "measure", "risk", "requester"}),
            required=("valid_until",),
            approved=True,
            done=frozenset({"approved"}),
            clause=CLAUSE,
        ),
        "review": Action(
            before=frozenset({"approved"}),
            after=None,
            fields=frozenset({"reviewed_at", "reviewed_by", "review_result", "review_on"}),
            required=("reviewed_at", "reviewed_by", "review_result"),
            done=frozenset({"approved"}),
            clause="SM-5-6",
        ),
        "revoke": Action(
            before=frozenset({"requested", "approved"}),
            after="revoked",
            fields=frozenset({"status_reason"}),
            required=("status_reason",),
            done=frozenset({"revoked"}),
            clause=CLAUSE,
        ),
    }
    headings: ClassVar = {
        "id": ("Exception", "例外番号"),
        "control": ("Control", "管理策"),
        "hosts": ("Hosts", "対象ホスト"),
        "reason": ("Reason", "理由"),
        "decision": ("Decision", "対応方針"),
        "measure": ("Compensating measure", "代替策"),
        "risk": ("Risk", "リスク"),
        "requester": ("Requester", "申請者"),
        "approver": ("Approver", "承認者"),
        "ticket": ("Ticket", "申請番号"),
        "valid_from": ("Valid from", "有効開始日"),
        "valid_until": ("Valid until", "有効終了日"),
        "review_on": ("Review by", "見直し期日"),
        "status": ("Status", "状態"),
        "status_reason": ("Reason of status", "状態の理由"),
        "reviewed_at": ("Reviewed on", "見直し日"),
        "reviewed_by": ("Reviewed by", "見直し実施者"),
        "review_result": ("Result of review", "見直し結果"),
    }

    def derived(self, change: Change, before: State, moment: Moment) -> dict[str, Any]:
        """Who asked and approved, the first day, and when it is reviewed next."""
        known, given = before.fields, change.payload
        fields: dict[str, Any] = {}
        if change.action == "file":
            fields["requester"] = given.get("requester") or known.get("requester") or moment.actor
            fields["valid_from"] = given.get("valid_from") or known.get("valid_from") or moment.today.isoformat()
            if not known:
                fields["ticket"] = change.ticket
        if change.action == "extend" and "requester" not in given:
            fields["requester"] = moment.actor if _is_new(change, before) else known["requester"]
        if change.action in ("approve", "extend"):
            fields.update(approver=change.approver, ticket=change.ticket)
        if "review_on" not in given and _is_new(change, before):
            start = fields.get("valid_from") or given.get("reviewed_at") or moment.today.isoformat()
            fields["review_on"] = _next_review(start, given.get("valid_until") or known.get("valid_until"))
        return fields

    def check(self, change: Change, before: State, after: dict[str, Any], moment: Moment) -> Iterable[Problem]:
        """Names that must be known, times that are too long or over, and who may approve."""
        context: ExceptionContext = moment.context or ExceptionContext()
        if change.action in ("file", "approve", "extend"):
            yield from _unknown(change, after, context)
            start = moment.today.isoformat() if change.action == "extend" else after["valid_from"]
            yield from _wrong_time(change, start, after["valid_until"], moment.today, context.max_days)
        if (
            self.actions[change.action].approved
            and change.approver
            and not may_approve(change.approver, context.committee)
        ):
            reason = "is not of the committee (kijun_exceptions_committee): %s" % ", ".join(context.committee)
            yield change.problem("approver", change.approver, reason, CLAUSE)
        if change.action == "review" and after["reviewed_at"] > moment.today.isoformat():
            yield change.problem("reviewed_at", after["reviewed_at"], "is in the future", "SM-5-6")


def _is_new(change: Change, before: State) -> bool:
    """Whether a change asks for another time than the entry has: a list that is run again does not."""
    newest = {"file": "valid_until", "extend": "valid_until", "review": "reviewed_at"}.get(change.action)
    if newest is None:
        return False
    return not before.fields or str(change.payload.get(newest)) != str(before.fields.get(newest))


def _next_review(start: Any, until: Any) -> Any:
    """The day of the next review; what is no date is left for the model to refuse."""
    try:
        day = datetime.date.fromisoformat(str(start)) + datetime.timedelta(days=REVIEW_DAYS)
        return min(day, datetime.date.fromisoformat(str(until))).isoformat()
    except (ValueError, OverflowError):
        return until


def _unknown(change: Change, after: dict[str, Any], context: ExceptionContext) -> Iterable[Problem]:
    """Hosts and controls that nothing has, and controls that nobody is excused from."""
    for name in after["hosts"]:
        if context.hosts is not None and name not in context.hosts:
            yield change.problem("hosts", name, "is no host or group of the inventory", CLAUSE)
    if context.controls is None:
        return
    control = after["control"]
    if control not in context.controls:
        reason = "is no control in sight; they are %s" % ", ".join(sorted(context.controls))
        yield change.problem("control", control, reason, CLAUSE)
    elif context.controls[control]:
        yield change.problem("control", control, "is never excused: %s" % context.controls[control], CLAUSE)


def _wrong_time(change: Change, start: str, until: str, today: datetime.date, max_days: int) -> Iterable[Problem]:
    if until < today.isoformat():
        yield change.problem("valid_until", until, "is over already", CLAUSE)
    days = (datetime.date.fromisoformat(until) - datetime.date.fromisoformat(start)).days
    if days > max_days:
        reason = "is %d days from %s; at most %d are allowed (kijun_exceptions_max_days)" % (days, start, max_days)
        yield change.problem("valid_until", until, reason, CLAUSE)
