# SPDX-License-Identifier: GPL-3.0-or-later
"""What changed between two runs."""

from __future__ import annotations

from .model import VERDICTS, Report

BAD = ("fail", "error")

#: Every change a result can show, in the order a reader wants them.
CHANGES = ("regressed", "fixed", "changed", "new", "unchanged")


def change(before: str | None, after: str) -> str:
    """How a control's verdict on a host moved.

    Only a move to ``pass`` counts as fixed: an exception that was granted in between excuses, it mends nothing.

    :param before: the earlier verdict, or None when the earlier run has none for this host and control.
    :param after: the verdict now.
    :returns: one of :data:`CHANGES`.
    """
    if before is None:
        return "new"
    if before == after:
        return "unchanged"
    if before in BAD and after == "pass":
        return "fixed"
    if after in BAD and before not in BAD:
        return "regressed"
    return "changed"


def change_table() -> dict[str, dict[str, str]]:
    """:func:`change` for each pair of verdicts, for the page: ``table[before][after]``."""
    return {before: {after: change(before, after) for after in VERDICTS} for before in VERDICTS}


def counterparts(before: Report, after: Report) -> dict[str, list[int | None]]:
    """For each host now, and each of its results, the number of the same control's outcome in the earlier run."""
    found: dict[str, list[int | None]] = {}
    for name, host in after.hosts.items():
        earlier = _by_control(before, name)
        found[name] = [earlier.get(result["id"]) for result in after.results(host)]
    return found


def gone(before: Report, after: Report) -> dict[str, list[str]]:
    """Control ids that the earlier run has for a host and this one lacks; a host's own absence lists them all.

    What is no longer looked at must not vanish silently between two reports.
    """
    missing = {}
    for name in before.hosts:
        now = after.hosts.get(name)
        ids = {result["id"] for result in after.results(now)} if now else set()
        lost = [control for control in _by_control(before, name) if control not in ids]
        if lost:
            missing[name] = sorted(lost)
    return missing


def _by_control(report: Report, name: str) -> dict[str, int]:
    """A host's outcome numbers by control id; empty for a host the run does not have."""
    host = report.hosts.get(name)
    return {report.outcomes[number]["id"]: number for number in host.outcomes} if host else {}
