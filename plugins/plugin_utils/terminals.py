# SPDX-License-Identifier: GPL-3.0-or-later
"""Terminals that operations may be done from: registered in the book of assets, and at their baseline."""

from __future__ import annotations

import datetime
import json
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from .log_findings import SEVERITIES
from .report.run import host_file

WHOLE = 0.8
"""An audit that looked at less than this part of the collection's controls is none of the baseline: it was limited by
tags, and what it did not look at may have failed."""

NOT_MET = frozenset({"fail", "error"})


class Rules(NamedTuple):
    """What a terminal has to be.

    Attributes:
        days: its audit may be so old.
        severity: controls of this severity and of graver ones hold, or are excused.
        known: ids of the collection's controls.
    """

    days: int
    severity: str
    known: Collection[str]


class Terminal(NamedTuple):
    """One registered terminal.

    Attributes:
        asset: its name in the book.
        host: its name in the inventory.
        address: what it operates from.
        refused: why nothing is done from it; empty where it may be used.
    """

    asset: str
    host: str
    address: str
    refused: str


def judge(
    assets: Iterable[dict[str, Any]], reports: Iterable[Path], rules: Rules, now: datetime.datetime
) -> list[Terminal]:
    """Every registered terminal, and whether operations may be done from it.

    Args:
        assets: fields of the book's entries.
        reports: the directories in which runs of audits are.
        rules: what a terminal has to be.
        now: with a time zone.
    """
    found = (path for directory in reports for path in directory.glob("*/hosts") if not path.parent.is_symlink())
    runs = sorted(found, key=lambda path: path.parent.name, reverse=True)
    return [
        Terminal(fields["id"], fields["host"], fields["terminal_address"], _refused(fields, runs, rules, now))
        for fields in registered(assets)
    ]


def registered(assets: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those entries of the book of assets that are terminals."""
    return [fields for fields in assets if fields.get("terminal_address") and fields["status"] != "disposed"]


def _refused(fields: dict[str, Any], runs: list[Path], rules: Rules, now: datetime.datetime) -> str:
    if fields["status"] != "in_use":
        return "it is %s" % fields["status"]
    if not rules.days:
        return ""
    record = _newest(fields["host"], runs, rules)
    if record is None:
        return "no audit of its whole baseline is there"
    audited = datetime.datetime.fromisoformat(record["host"]["time"].replace("Z", "+00:00"))
    if now - audited > datetime.timedelta(days=rules.days):
        return "its newest audit is of %s" % audited.date().isoformat()
    grave = SEVERITIES[: SEVERITIES.index(rules.severity) + 1]
    failed = [one["id"] for one in record["controls"] if one["severity"] in grave and one["verdict"] in NOT_MET]
    if failed:
        more = "" if len(failed) <= 5 else " and %d more" % (len(failed) - 5)
        return "its audit of %s failed %s%s" % (audited.date().isoformat(), ", ".join(failed[:5]), more)
    return ""


def _newest(host: str, runs: list[Path], rules: Rules) -> dict[str, Any] | None:
    """The newest evidence of a host's whole baseline; what cannot be read is none."""
    for run in runs:
        try:
            record: dict[str, Any] = json.loads((run / host_file(host)).read_bytes())
            seen = {one["id"] for one in record["controls"]} & set(rules.known)
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if len(seen) >= WHOLE * len(rules.known):
            return record
    return None
