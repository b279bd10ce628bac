# SPDX-License-Identifier: GPL-3.0-or-later
"""What is entrusted to somebody outside the organisation: repair and disposal of what holds information."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ..book import Change, is_same_person, may_approve
from ..errors import Problem

DISPOSAL = ("contractor", "contract", "contract_checked_by")
"""Fields of a disposal that a contractor does: who, by which contract, and who saw that it has secrecy and no reuse."""


def wrong_disposal(change: Change, after: dict[str, Any], actor: str, committee: Sequence[str]) -> Iterable[Problem]:
    """What is missing where a contractor disposes of something (clauses SM-4.6.3-2a, SM-4.6.3-2b).

    Args:
        change: the disposal.
        after: the entry's fields then.
        actor: who enters it.
        committee: who may approve that; empty for anybody but who enters it.
    """
    if not after["contractor"]:
        return
    if not change.approver or not change.ticket:
        reason = (
            "a contractor disposes of it by the committee's approval alone: name who of it approved, and the ticket"
        )
        yield change.problem("contractor", after["contractor"], reason, "SM-4.6.3-2a")
    elif is_same_person(change.approver, actor):
        yield change.problem("approver", change.approver, "nobody approves what they enter themselves", "SM-4.6.3-2a")
    elif not may_approve(change.approver, committee):
        reason = "is none of the committee (kijun_exceptions_committee): %s" % ", ".join(committee)
        yield change.problem("approver", change.approver, reason, "SM-4.6.3-2a")
    for name, words in (
        ("contract", "names the contract, which has secrecy and forbids reuse"),
        ("contract_checked_by", "names who read in the contract that it does"),
    ):
        if not after[name]:
            yield change.problem(name, "", "a disposal by a contractor %s" % words, "SM-4.6.3-2b")


def wrong_repair(change: Change, before: dict[str, Any], after: dict[str, Any], holds: bool) -> Iterable[Problem]:
    """What is missing where something is repaired (clauses SM-4.6.1-1, SM-4.6.1-2).

    Args:
        change: the repair.
        before: the entry's fields until then.
        after: those then.
        holds: whether its kind holds information.
    """
    if holds and not after["storage"]:
        reason = (
            "what becomes of the information on it: checked (and none that must not be seen), encrypted, erased, or "
            "removed, which it is where none of these can be done"
        )
        yield change.problem("storage", "", reason, "SM-4.6.1-1")
    comes = bool(after["contractor"]) and is_same_person(after["place"], before["place"])
    if comes and not after["escort"]:
        reason = "names who of us is with the contractor who comes in"
        yield change.problem("escort", "", reason, "SM-4.6.1-2")
