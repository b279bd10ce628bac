# SPDX-License-Identifier: GPL-3.0-or-later
"""kijun-restore: bring back what was backed up. What it answers is one line of JSON.

restic restores; this chooses the snapshot, restores beside or in place, proves what it did, and writes it down.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import os
import sys
import tempfile
import time
import uuid
from typing import Any

from . import services
from .change import ALIVE
from .folders import make_folders
from .history import History, moment
from .restic import BackupError, Restic
from .restore import Json, backup_command, below, beside, bring_back, choose, fitting, take
from .runs import FILES, STATE_OF_SYSTEM

SCRATCH = "/var/lib/kijun/restore"
SHOWN = 1000
"""Paths that an answer names."""

NEVER = (*ALIVE, "/var/lib/kijun/backup*", "/var/lib/kijun/change*", "/var/lib/kijun/restore*", "/etc/kijun/backup*")
"""What a restore of the host leaves alone: what it is done with."""


def main(arguments: list[str] | None = None) -> int:
    """Entry point.

    Args:
        arguments: those of the command; its own when None.

    Returns:
        The exit status: 0, or 1 with ``{"error": text}``.
    """
    given = _parser().parse_args(arguments)
    if os.geteuid():
        print("kijun-restore: only root restores files of this host", file=sys.stderr)
        return 2
    os.umask(0o077)
    try:
        print(json.dumps(_answer(given), sort_keys=True))
    except (BackupError, OSError) as error:
        print(json.dumps({"error": str(error), "kind": type(error).__name__}))
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="kijun-restore", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    for name, words in (
        ("list", "the snapshots that there are"),
        ("show", "what would be done in place; takes a backup to compare with, and changes nothing"),
        ("beside", "restore into an empty folder, each file read once more and compared"),
        ("in-place", "make files what they were, after one more backup, and prove it"),
    ):
        command = commands.add_parser(name, help=words)
        command.add_argument("--class", dest="name", default="", metavar="CLASS", help="a class of data")
        command.add_argument("--path", action="append", default=[], help="only this, with all that is below it")
        if name != "list":
            command.add_argument("snapshot", help="the beginning of an id, latest, or a time: the last one by then")
        if name == "beside":
            command.add_argument(
                "--to", required=True, metavar="FOLDER", help="an empty folder, or one that is not there"
            )
        if name in ("show", "in-place"):
            command.add_argument("--delete", action="store_true", help="also remove what the snapshot does not have")
            command.add_argument("--leave", action="append", default=[], metavar="PATTERN", help="leave these alone")
    return parser


def _answer(given: argparse.Namespace) -> Any:
    paths = [_absolute(path) for path in given.path]
    snapshots: Any = backup_command("snapshots")
    if given.command == "list":
        return fitting(snapshots, paths, given.name)
    chosen = choose(snapshots, given.snapshot, paths, given.name)
    repository = Restic.of_host()
    if given.command == "beside":
        return _recorded(chosen, paths, lambda: beside(repository, chosen["snapshot"], paths, given.to))

    def kept(path: str) -> bool:
        return (not paths or any(below(path, one) for one in paths)) and not any(
            fnmatch.fnmatch(path, one) for one in (*NEVER, *given.leave)
        )

    if not _is_of_files(chosen):
        raise BackupError(
            "%s is a database's dump; restore it beside, and give it to the database's own program" % chosen["class"]
        )
    if given.command == "show":
        present = take(chosen["class"], ["before-restore"])["snapshot"]
        found = [
            (letter, path)
            for letter, path in repository.diff(chosen["snapshot"], present)
            if kept(path.rstrip("/")) and (given.delete or "+" not in letter)
        ]
        return {**_about(chosen), "paths": [list(entry) for entry in found[:SHOWN]], "count": len(found)}
    return _recorded(chosen, paths, lambda: _in_place(repository, chosen, kept, given.delete))


def _in_place(repository: Restic, chosen: Json, kept: Any, delete: bool) -> Json:
    """Bring back, and have units run as their files say."""
    units = services.units()
    done = bring_back(repository, chosen["class"], chosen["snapshot"], kept, SCRATCH, [], delete=delete)
    outcome = done.outcome
    if chosen["class"] == "system":
        make_folders(_folders_of(repository, chosen["snapshot"]))
    services.reload_manager()
    plan = services.planned(units, services.units(), outcome.paths())
    plan.stop.clear()
    failures = {**outcome.failures, **services.carry_out(plan)}
    if failures:
        named = "; ".join("%s: %s" % item for item in list(failures.items())[:5])
        raise BackupError("%d things are not as they were in the snapshot: %s" % (len(failures), named))
    return {
        "replaced": outcome.replaced[:SHOWN],
        "removed": outcome.removed[:SHOWN],
        "attributes": outcome.attributes[:SHOWN],
        "count": len(outcome.paths()),
        "restarted": plan.restart + plan.start,
        "restart_needed": services.wants_restart(outcome.paths()),
        "undo": done.present,
        "proof": done.proof,
    }


def _folders_of(repository: Restic, snapshot: str) -> dict[str, list[int]]:
    """The folders of state that the host had; none, where the snapshot is from before they were written down."""
    with tempfile.TemporaryFile() as file:
        try:
            repository.dump(snapshot, STATE_OF_SYSTEM, file)
        except BackupError:
            return {}
        file.seek(0)
        found: dict[str, list[int]] = json.load(file).get("folders", {})
        return found


def _is_of_files(chosen: Json) -> bool:
    return not set(chosen["paths"]) & set(FILES.values())


def _recorded(chosen: Json, paths: list[str], work: Any) -> Json:
    """Do it, and write into the history what came of it, also when nothing did."""
    began, history = time.time(), History()
    entry = {
        "id": str(uuid.uuid4()),
        "kind": "restore",
        "class": chosen["class"],
        "tags": [],
        "started": moment(began),
        "snapshot": chosen["snapshot"],
        "paths": paths,
        "outcome": "failed",
        "error": None,
    }
    try:
        done: Json = work()
        entry.update(outcome="ok", count=done.get("count", done.get("files")))
    except BaseException as error:
        entry["error"] = str(error) or type(error).__name__
        raise
    finally:
        entry["seconds"] = round(time.time() - began, 1)
        history.append(entry)
    return {**_about(chosen), **done, "seconds": entry["seconds"]}


def _about(chosen: Json) -> Json:
    return {name: chosen[name] for name in ("snapshot", "time", "class")}


def _absolute(path: str) -> str:
    """A path as snapshots have it.

    Raises:
        BackupError: it is not absolute.
    """
    if not path.startswith("/"):
        raise BackupError("%r is no absolute path" % path)
    return os.path.normpath(path)


if __name__ == "__main__":
    sys.exit(main())
