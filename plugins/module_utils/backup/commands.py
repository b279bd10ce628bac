# SPDX-License-Identifier: GPL-3.0-or-later
"""The command ``kijun-backup``: run, list, verify, check, prove by restoring, and say how things stand."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import syslog
from types import FrameType
from typing import Any

from .restic import BackupError
from .runs import TAGS, Backups


def arguments_of(given: list[str] | None) -> argparse.Namespace:
    """The command line, taken apart."""
    common = argparse.ArgumentParser(add_help=False)
    # Before the action as well as behind it.
    common.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="print JSON on one line")
    wait = "seconds to wait for a busy server, a lock or another run"
    common.add_argument("--patience", type=float, default=argparse.SUPPRESS, help=wait)
    parser = argparse.ArgumentParser(prog="kijun-backup", description="Backups of this host.", parents=[common])
    actions = parser.add_subparsers(dest="action", required=True)
    run = actions.add_parser("run", help="back a class up now", parents=[common])
    run.add_argument("name", metavar="CLASS")
    run.add_argument("--tag", action="append", default=[], help="one of %s, or another" % ", ".join(TAGS))
    timer = actions.add_parser("timer", help="what a timer runs: CLASS.TAG", parents=[common])
    timer.add_argument("name")
    snapshots = actions.add_parser("snapshots", help="list snapshots", parents=[common])
    snapshots.add_argument("--class", dest="name", default="", metavar="CLASS")
    snapshots.add_argument("--tag", default="")
    snapshots.add_argument("--host", default="")
    verify = actions.add_parser("verify", help="prove that a snapshot can be read back", parents=[common])
    verify.add_argument("snapshot")
    actions.add_parser("check", help="look whether the repository is whole", parents=[common])
    test = actions.add_parser("restore-test", help="restore, compare by hash, take the time", parents=[common])
    test.add_argument("--class", dest="name", default="", metavar="CLASS")
    actions.add_parser("status", help="what is known, without asking the server", parents=[common])
    return parser.parse_args(given, argparse.Namespace(json=False, patience=None))


def act(given: argparse.Namespace) -> Any:
    """Do what is asked.

    Raises:
        BackupError: it failed.
    """
    backups = Backups(patience=given.patience)
    if given.action == "run":
        return backups.run(given.name, given.tag)
    if given.action == "timer":
        name, _, tag = given.name.partition(".")
        if not backups.is_there(backups.one(name)):
            return {"class": name, "absent": True}
        return backups.run(name, [tag])
    if given.action == "snapshots":
        return backups.snapshots(given.name, given.tag, given.host)
    if given.action == "verify":
        return backups.verify(given.snapshot)
    if given.action == "check":
        return backups.check()
    if given.action == "restore-test":
        return backups.restore_test(given.name)
    return backups.status()


def stop(number: int, frame: FrameType | None) -> None:
    """Turn a signal into an exception, so that restic ends too, and the history says so."""
    raise BackupError("stopped by %s" % signal.Signals(number).name)


def main(words: list[str] | None = None) -> int:
    """The command.

    Returns:
        0; 1 when it failed.
    """
    given = arguments_of(words)
    os.umask(0o077)
    signal.signal(signal.SIGTERM, stop)
    syslog.openlog("kijun-backup", 0, syslog.LOG_DAEMON)
    try:
        answer = act(given)
    except BackupError as error:
        syslog.syslog(syslog.LOG_ERR, "%s failed: %s: %s" % (given.action, type(error).__name__, error))
        about = {"error": str(error), "reason": type(error).__name__, "packs": getattr(error, "packs", [])}
        if given.json:
            print(json.dumps(about))
        print("kijun-backup: %s" % error, file=sys.stderr)
        return 1
    print(json.dumps(answer, indent=None if given.json else 1, ensure_ascii=True))
    if given.action not in ("snapshots", "status"):
        syslog.syslog(syslog.LOG_INFO, "%s done: %s" % (given.action, json.dumps(answer)[:500]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
