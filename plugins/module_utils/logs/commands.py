# SPDX-License-Identifier: GPL-3.0-or-later
"""The command ``kijun-logs``: watch, review, search, export, and what was found."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import pwd
import sqlite3
import sys
import syslog
import time
from typing import Any

from .alerts import Alerts
from .findings import stored
from .keeper import STORE as KEPT
from .keeper import read_json, sha256_of, write
from .records import STATE, STORE, day_of, shown
from .review import DAY, Review
from .rules import KINDS, Rules
from .search import Question, Search
from .watch import Watch

SETTINGS = "/etc/kijun/log-review/rules.json"
SENDERS = "/etc/kijun/log-server/senders.json"
KEEPER = "/etc/kijun/log-server/keeper.json"
URGENT = {"critical": syslog.LOG_ALERT, "high": syslog.LOG_CRIT, "medium": syslog.LOG_WARNING, "low": syslog.LOG_NOTICE}


def tell(finding: dict[str, Any]) -> None:
    """Say in the log, and so on every log server, that there is a finding."""
    group = " ".join("%s=%s" % (name, value) for name, value in sorted(finding["group"].items()))
    syslog.syslog(
        URGENT[finding["severity"]],
        "kijun-finding id=%s rule=%s severity=%s %s"
        % (finding["id"], finding["rule"], finding["severity"], shown(group.encode("utf-8", "surrogateescape"))),
    )


def settings_in_force() -> tuple[Rules, dict[str, Any]]:
    """The rules and settings of this log server: its own, who may send to it, and how long it keeps records.

    Raises:
        OSError: a file is missing.
        ValueError: rules are not as they must be.
    """
    about = read_json(SETTINGS)
    senders = [entry["value"] for entry in read_json(SENDERS)["table"]]
    return Rules(about["rules"]), {**about, "senders": senders, "days": int(read_json(KEEPER)["days"])}


def moment(text: str) -> float:
    """A time from the command line, in seconds since 1970: a day, or a day and a time, in UTC where no offset is given.

    Args:
        text: YYYY-MM-DD, or RFC 3339.

    Raises:
        argparse.ArgumentTypeError: it is neither.
    """
    try:
        found = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        raise argparse.ArgumentTypeError("%r is no time such as 2026-11-22 or 2026-11-22T05:15:00Z" % text) from None
    return (found if found.tzinfo else found.replace(tzinfo=datetime.timezone.utc)).timestamp()


def arguments_of(given: list[str] | None) -> argparse.Namespace:
    """The command line, taken apart."""
    parser = argparse.ArgumentParser(prog="kijun-logs", description="Read what a log server holds.")
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("watch", help="hold what arrives against the rules; does not end")
    review = actions.add_parser("review", help="go through the days that are over once more, and index them")
    review.add_argument("days", nargs="*", metavar="YYYY-MM-DD", help="these; without any, those that have no review")
    actions.add_parser("alert", help="mail findings to people; does not end")
    actions.add_parser("check", help="look whether the rules are as they must be")
    for name, about in (("search", "print records"), ("export", "take records out as evidence")):
        action = actions.add_parser(name, help=about)
        action.add_argument("--user", default="", help="login name")
        action.add_argument("--host", action="append", default=[], help="sender; may be given again")
        action.add_argument("--kind", action="append", default=[], choices=KINDS, help="may be given again")
        action.add_argument("--text", default="", help="what must stand in the record")
        action.add_argument("--from", dest="start", type=moment, default=None, help="first moment; today without it")
        action.add_argument("--to", dest="end", type=moment, default=None, help="last moment or day; now without it")
        if name == "search":
            action.add_argument("--raw", action="store_true", help="the lines as they are stored, for programs")
        else:
            action.add_argument("--case", required=True, help="the case's number")
            action.add_argument("--by", default="", help="who takes them out; whoever runs this without it")
            action.add_argument("target", help="the tar file")
    found = actions.add_parser("findings", help="print findings as JSON, with the reviews of days")
    found.add_argument("--since", default="", metavar="YYYY-MM-DD", help="first day")
    return parser.parse_args(given)


def question_of(given: argparse.Namespace, now: float) -> Question:
    """What is looked for."""
    end = now if given.end is None else given.end
    if given.end is not None and given.end % DAY == 0:
        # A day is meant with all of its hours.
        end += DAY
    start = moment(day_of(now)) if given.start is None else given.start
    return Question(start, end, given.user, tuple(given.host), tuple(given.kind), given.text)


def main(words: list[str] | None = None) -> int:
    """The command.

    Returns:
        0; 1 when there is nothing that was looked for, or rules are not as they must be; 2 for a wrong command line.
    """
    given = arguments_of(words)
    os.umask(0o027)
    syslog.openlog("kijun-logs", 0, syslog.LOG_AUTHPRIV)
    try:
        return ACTIONS[given.action](given)
    except BrokenPipeError:
        # Whoever reads the output has seen enough; nothing more can be written on the way out either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (OSError, ValueError, sqlite3.DatabaseError) as error:
        print("kijun-logs: %s" % error, file=sys.stderr)
        return 1


def _watch(given: argparse.Namespace) -> int:
    rules, settings = settings_in_force()
    Watch(STORE, STATE, rules, {**settings, "rules_hash": sha256_of(SETTINGS)}, tell).run()
    return 0


def _review(given: argparse.Namespace) -> int:
    rules, settings = settings_in_force()
    review = Review(STORE, STATE, rules, settings, tell)
    os.makedirs(STATE, mode=0o750, exist_ok=True)
    today = day_of(time.time())
    for day in given.days or review.due(today):
        if moment(day) >= moment(today):
            raise ValueError("%s is not over" % day)
        about = review.review(day)
        print("%s: %d records of %d senders, %s s" % (day, about["records"], len(about["senders"]), about["seconds"]))
    review.remove_old(today)
    status = {"time": int(time.time()), "due": review.due(today)}
    write(os.path.join(STATE, "review-status.json"), json.dumps(status) + "\n")
    return 0


def _alert(given: argparse.Namespace) -> int:
    Alerts(STATE, str(read_json(KEEPER)["server"]), read_json(SETTINGS)["mail"]).run()
    return 0


def _check(given: argparse.Namespace) -> int:
    rules, _ = settings_in_force()
    print("%d rules" % len(rules.rules))
    return 0


def _search(given: argparse.Namespace) -> int:
    search = Search(STORE, STATE, question_of(given, time.time()))
    count = 0
    for text in search.found():
        count += 1
        if given.raw:
            sys.stdout.buffer.write(text + b"\n")
        else:
            print(shown(text))
    sys.stdout.flush()
    if search.without_index:
        print("read whole, without an index: %s" % " ".join(search.without_index), file=sys.stderr)
    print("%d records" % count, file=sys.stderr)
    return 0 if count else 1


def _export(given: argparse.Namespace) -> int:
    search = Search(STORE, STATE, question_of(given, time.time()))
    by = given.by or os.environ.get("SUDO_USER") or pwd.getpwuid(os.getuid()).pw_name
    manifest = search.export(given.case, given.target, by, os.path.join(KEPT, "digests"))
    about = {"sha256": sha256_of(given.target), "records": manifest["records"], "files": manifest["files"]}
    print(json.dumps({"case": given.case, "taken_by": by, **about}, indent=1, sort_keys=True))
    return 0


def _findings(given: argparse.Namespace) -> int:
    folder = os.path.join(STATE, "reviews")
    reviews = sorted(name for name in os.listdir(folder) if name.endswith(".json")) if os.path.isdir(folder) else []
    about = [read_json(os.path.join(folder, name)) for name in reviews if name >= given.since]
    content = {
        "findings": list(stored(os.path.join(STATE, "findings"), given.since)),
        "reviews": [{key: value for key, value in review.items() if key != "memory"} for review in about],
    }
    print(json.dumps(content, ensure_ascii=True))
    return 0


ACTIONS = {
    "watch": _watch,
    "review": _review,
    "alert": _alert,
    "check": _check,
    "search": _search,
    "export": _export,
    "findings": _findings,
}

if __name__ == "__main__":
    sys.exit(main())
