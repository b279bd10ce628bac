# SPDX-License-Identifier: GPL-3.0-or-later
"""kijun-change: the changes of this host. What it answers is one line of JSON."""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import Any

from .change import ChangeError, Changes
from .restic import BackupError


def main(arguments: list[str] | None = None) -> int:
    """Entry point.

    Args:
        arguments: those of the command; its own when None.

    Returns:
        The exit status: 0, or 1 with ``{"error": text}``.
    """
    parser = argparse.ArgumentParser(prog="kijun-change", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("status", help="the open change, and the last one that ended")
    commands.add_parser("history", help="what became of earlier changes")
    commands.add_parser("begin", help="back up and open a change; reads what it is about as JSON")
    for name, words in (
        ("hold", "have the change taken back soon unless check succeeds; reads seconds as JSON"),
        ("check", "whether all is well; reads tests and stable as JSON"),
        ("end", "back up, and close the change"),
        ("roll-back", "bring the host back to where it was before the open change"),
    ):
        commands.add_parser(name, help=words).add_argument("id")
    commands.choices["roll-back"].add_argument("--why", default="an operator asked for it")
    commands.add_parser("undo", help="take back a change that was ended; reads as begin does").add_argument("id")
    commands.add_parser("watch", help="take back a change that nobody ended in time")
    given = parser.parse_args(arguments)
    if os.geteuid():
        parser.error("only root changes this host")
    os.umask(0o077)
    try:
        print(json.dumps(_answer(given), sort_keys=True))
    except BlockingIOError:
        print(
            json.dumps({"error": "a change of this host is begun, ended or taken back at this moment", "kind": "busy"})
        )
        return 1
    except (BackupError, OSError) as error:
        print(json.dumps({"error": str(error), "kind": type(error).__name__}))
        return 1
    return 0


def _answer(given: argparse.Namespace) -> object:
    changes = Changes()
    if given.command == "status":
        return changes.status()
    if given.command == "history":
        return changes.history()
    if given.command == "begin":
        return changes.begin(_asked())
    if given.command == "hold":
        return changes.hold(given.id, int(str(_asked()["seconds"])))
    if given.command == "check":
        asked: Any = _asked()
        return changes.check(given.id, asked.get("tests") or (), int(asked.get("stable") or 0))
    if given.command == "end":
        return changes.end(given.id)
    if given.command == "roll-back":
        return changes.roll_back(given.id, given.why)
    if given.command == "undo":
        return changes.undo(given.id, _asked())
    return changes.watch()


def _asked() -> dict[str, object]:
    try:
        asked = json.load(sys.stdin)
    except ValueError as error:
        raise ChangeError("what the change is about must be JSON: %s" % error) from None
    if not isinstance(asked, dict):
        raise ChangeError("what the change is about must be a JSON object")
    return asked


if __name__ == "__main__":
    sys.exit(main())
