# SPDX-License-Identifier: GPL-3.0-or-later
"""The guard's program on a host, run by its timer and when the host starts; and its part that the controller asks."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from .guard import Guard, GuardError, Json

UNCONFIRMED = "nobody logged in afresh and confirmed the change in time"
RESTARTED = "the host restarted before the change was confirmed"


def main(argument: str | None = None) -> None:
    """Do what is asked, and print the outcome as one line of JSON.

    Args:
        argument: JSON: ``do`` (confirm, take_back), ``run``, and ``reason`` with take_back. Left out, the
            program's own arguments count: ``timer``, ``boot``, or ``settle`` and a run that begins.
    """
    os.umask(0o077)
    guard = Guard()
    if argument is not None:
        print(json.dumps(answer(guard, json.loads(argument))))
        return
    report = None
    if sys.argv[1] == "settle":
        try:
            print(json.dumps(settle(guard, sys.argv[2])))
        except GuardError as error:
            sys.exit(str(error))
        return
    if sys.argv[1:] == ["boot"]:
        report = guard.take_back(RESTARTED, starting=True)
    elif sys.argv[1:] == ["timer"] and guard.due():
        report = guard.take_back(UNCONFIRMED)
    if report:
        print(json.dumps(report, sort_keys=True))  # for the journal
        sys.exit(1 if report["failures"] else 0)


def settle(guard: Guard, run: str) -> Json | None:
    """Take back what another run left, and give the last report when nobody has been given it yet.

    Args:
        guard: the host's guard.
        run: the run that begins.
    """
    guard.settle(run)
    report = guard.report()
    if report is None or report["told"]:
        return None
    guard.mark_told(report)
    return report


def answer(guard: Guard, asked: Json) -> dict[str, Any]:
    """Carry out what the controller asks.

    Args:
        guard: the host's guard.
        asked: see `main`.
    """
    if asked["do"] == "confirm":
        return guard.confirm(asked["run"])
    return guard.take_back_own(asked["run"], asked["reason"])
