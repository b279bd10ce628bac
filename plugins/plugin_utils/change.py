# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said of a change before it begins, and what an audit before and after it says of it."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping, Sequence
from typing import Any

from .journal.collected import entries_of

Json = dict[str, Any]

TICKET = "[A-Z][A-Z0-9]*-[0-9]+"
TEXTS = {
    "implementer": "GL-3.2-4",
    "confirmer": "GL-3.2-4",
    "impact": "GL-3.2-1",
    "dangers": "GL-3.2-2",
    "way_back": "GL-3.2-3",
}
"""What a change must say -> the clause that asks for it."""

REVISIONS = ("revision", "approved_revision")
"""Which revision of the project carries a change out, and which one was approved; AWX alone tells them."""

SECONDS = (60, 86400)
"""How long a change may stay open."""

HELD = ("pass", "excused", "not_applicable")
"""Verdicts of a control that holds."""


class SaidWrong(ValueError):
    """Something that is said of a change is missing or wrong; the text says what is allowed, and why."""


def check(said: Mapping[str, Any], ticket_pattern: str = TICKET) -> None:
    """Look at what is said of a change before anything is done.

    Args:
        said: ``ticket``, the names of `TEXTS`, ``seconds``, ``stable_seconds``, ``smoke_tests``, and perhaps
            `REVISIONS`.
        ticket_pattern: what a ticket looks like.

    Raises:
        SaidWrong: something is missing or wrong.
    """
    ticket = str(said.get("ticket") or "")
    if not re.fullmatch(ticket_pattern, ticket):
        raise SaidWrong(f"kijun_change_ticket is {ticket or None!r}; it must match {ticket_pattern} (clause GL-3.2-6)")
    for name, clause in TEXTS.items():
        if not str(said.get(name) or "").strip():
            raise SaidWrong(f"kijun_change_{name} is not given; say it in words (clause {clause})")
    one, other = (" ".join(str(said[name]).split()).casefold() for name in ("implementer", "confirmer"))
    if one == other:
        raise SaidWrong(
            f"kijun_change_confirmer is {said['confirmer']!r}, who also carries out the change; another person "
            "must confirm it (clause GL-3.2-4)"
        )
    revision, approved = (str(said.get(name) or "") for name in REVISIONS)
    if approved and approved != revision:
        raise SaidWrong(
            f"revision {approved} of the project was looked at and approved, and this job has "
            f"{revision or 'one that AWX does not tell'}; start the workflow again, so that what is approved is what "
            "is carried out (clause GL-3.2-4)"
        )
    _between("kijun_change_seconds", said["seconds"], *SECONDS)
    _between("kijun_change_stable_seconds", said["stable_seconds"], 0, 3600)
    for number, test in enumerate(said.get("smoke_tests") or ()):
        if not isinstance(test, Mapping) or not {"name", "command"} <= test.keys() <= {"name", "command", "seconds"}:
            raise SaidWrong(
                f"kijun_change_smoke_tests[{number}] is {test!r}; a test has name, command and, if need be, seconds"
            )


def _between(name: str, value: Any, least: int, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise SaidWrong(f"{name} is {value!r}; a whole number from {least} to {most} is allowed (clause GL-3.2-3)")


def worse(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Controls that held before a change and do not hold after it.

    Args:
        before: the evidence of a host from before.
        after: that from after.
    """
    held = {control["id"] for control in before["controls"] if control["verdict"] in HELD}
    return sorted(c["id"] for c in after["controls"] if c["verdict"] not in HELD and c["id"] in held)


def of_host(outcome: Mapping[str, Any] | None, name: str) -> list[str]:
    """What went wrong on a host in the run of a change.

    Args:
        outcome: what M(kijun.baseline.change_run) came to; None where it did not run.
        name: the host.

    Returns:
        A line for each error; none when all went well.
    """
    if outcome is None:
        return ["the change did not run"]
    found = outcome.get(name)
    if found is None:
        return ["the playbook has nothing to do on this host; limit the change to the hosts that it is for (--limit)"]
    if not (found["failed"] or found["unreachable"]):
        return []
    return list(found["errors"]) or ["the playbook failed on this host"]


def entry(host: str, ended: Mapping[str, Any]) -> Json:
    """A change's entry in the operations journal, the same that is collected from the host later.

    Args:
        host: the host.
        ended: what kijun-change wrote into its history.
    """
    problems: list[str] = []
    found = entries_of({host: {"history": [dict(ended)]}}, datetime.datetime.now(datetime.UTC), problems)
    if not found:
        raise ValueError("; ".join(problems))
    return found[0]


def summary(ended: Mapping[str, Any]) -> str:
    """How a change ended, in a line."""
    if ended["outcome"] == "rolled_back":
        return f"taken back, {ended.get('count', 0)} paths put back: {ended['error']}"
    if ended["kind"] == "rollback":
        done = f"took back {ended['of']}, {ended.get('count', 0)} paths put back"
        return done if ended["outcome"] == "ok" else str(ended["error"])
    return "done and stable" if ended["outcome"] == "ok" else str(ended["error"])


def shown(outcome: Mapping[str, Any], hosts: Sequence[str]) -> str:
    """How a run ended on several hosts, in a line."""
    failed = [name for name in hosts if of_host(outcome, name)]
    return f"{len(hosts) - len(failed)} of {len(hosts)} hosts well" + (
        f"; not {', '.join(failed[:5])}" if failed else ""
    )
