# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host knows of its operation: backups and changes, who logged in and out, what failed, days of logs kept, and
how its antimalware stands.

Runs on the host. Standard library, Python 3.9. All is read, nothing written.
"""

from __future__ import annotations

import datetime
import glob
import hashlib
import json
import os
import pwd
import re
import subprocess
from collections.abc import Iterable, Iterator
from typing import Any

BACKUPS = "/var/lib/kijun/backup/history.jsonl"
CHANGES = "/var/lib/kijun/change/history.jsonl"
DIGESTS = "/var/log/kijun/digests"
MALWARE = "/var/lib/kijun/malware/state.json"

LONGEST_LINE = 65536
"""Bytes of a line of history; longer ones are damaged."""

MOST = 20000
"""Entries of one kind that are told at once. More are a sign of something else, and it is said that there are."""

UNIT_FAILED = "d9b373ed55a64feb8242e02dbe79a49c"
"""The journal's message id of a unit that failed (systemd's messages catalogue, SD_MESSAGE_UNIT_FAILED)."""

PROGRAMS = ("sshd", "sshd-session", "login", "su", "sudo", "gdm-session-wor", "lightdm")
FIELDS = (
    *("MESSAGE", "MESSAGE_ID", "PRIORITY", "UNIT", "UNIT_RESULT", "SYSLOG_IDENTIFIER", "_PID", "_COMM", "_UID"),
    *("_BOOT_ID", "_TRANSPORT", "_CAP_EFFECTIVE"),
)
SELECTION = (
    *("_COMM=%s" % name for name in PROGRAMS),
    "+",
    "MESSAGE_ID=" + UNIT_FAILED,
    "+",
    *("PRIORITY=0", "PRIORITY=1", "PRIORITY=2"),
)

SETUID = 1 << 7
"""The capability CAP_SETUID, capabilities(7): whoever has it can be anybody."""

SESSION = re.compile(
    r"pam_unix\((?P<service>[A-Za-z0-9_-]+):session\): session (?P<what>opened|closed) for user (?P<user>[^\s(]+)"
    r"(?:\(uid=[0-9]+\))?(?: by (?P<by>[^\s(]*)(?:\(uid=(?P<uid>[0-9]+)\))?)?"
)
ACCEPTED = re.compile(r"Accepted (?P<method>\S+) for (?P<user>\S+) from (?P<address>\S+) port [0-9]+")


def read(
    since: datetime.datetime,
    until: datetime.datetime,
    backups: str = BACKUPS,
    changes: str = CHANGES,
    digests: str = DIGESTS,
    malware: str = MALWARE,
) -> dict[str, Any]:
    """Everything that the operations journal wants to know of this host.

    Args:
        since: from when on.
        until: until when sessions and errors are told; both are the beginnings of days, in UTC, so that what is put
            together of a day is whole.
        backups: the history of backups.
        changes: the history of changes.
        digests: where a log server keeps its days' digests.
        malware: the state that the antimalware notes.

    Returns:
        ``history``, ``sessions``, ``errors``, ``log_storage``, ``malware_states``, ``malware_scans``: lists;
        ``problems``: what could not be read.
    """
    problems: list[str] = []
    history = [entry for path in (backups, changes) for entry in history_of(path, since, problems)]
    records = journal(since, until, problems)
    sessions, errors = told(records)
    if len(sessions) > MOST:
        problems.append("sessions: %d were left out" % (len(sessions) - MOST))
    return {
        "history": history[-MOST:],
        "sessions": sessions[:MOST],
        "errors": errors[:MOST],
        "log_storage": days_kept(digests, since, problems),
        **malware_of(malware, problems),
        "problems": problems,
    }


def history_of(path: str, since: datetime.datetime, problems: list[str]) -> list[dict[str, Any]]:
    """The lines of a file of history, from a time on.

    Args:
        path: the file: a JSON object a line, with ``id``, ``kind`` and ``started``.
        since: from when on.
        problems: gets what cannot be read.
    """
    found = []
    damaged = 0
    try:
        with open(path, "rb") as file:
            for line in file:
                entry = _object(line)
                started = _moment(entry.get("started"))
                if not entry.get("id") or not entry.get("kind") or started is None:
                    damaged += 1
                elif started >= since:
                    found.append(entry)
    except FileNotFoundError:
        pass
    except OSError as error:
        problems.append("%s: %s" % (path, error.strerror))
    if damaged:
        problems.append("%s: %d damaged lines" % (path, damaged))
    return found


def _object(line: bytes) -> dict[str, Any]:
    if len(line) > LONGEST_LINE:
        return {}
    try:
        entry = json.loads(line)
    except ValueError:
        return {}
    return entry if isinstance(entry, dict) else {}


def _moment(value: Any) -> datetime.datetime | None:
    try:
        found = datetime.datetime.fromisoformat(str(value).replace("Z", "+00:00"))
    except ValueError:
        return None
    return found if found.tzinfo else None


def journal(since: datetime.datetime, until: datetime.datetime, problems: list[str]) -> Iterator[dict[str, Any]]:
    """The records of the host's journal that tell of sessions and of errors.

    Args:
        since: from when on.
        until: until when.
        problems: gets why they cannot be read.
    """
    command = [
        *("journalctl", "--quiet", "--no-pager", "--output=json", "--all", "--output-fields=" + ",".join(FIELDS)),
        *("--since=@%d" % since.timestamp(), "--until=@%d" % until.timestamp(), *SELECTION),
    ]
    try:
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as run:
            assert run.stdout is not None
            assert run.stderr is not None
            for line in run.stdout:
                yield _object(line)
            said = run.stderr.read().decode("utf-8", "replace").strip()
        if run.returncode and said:
            problems.append("journalctl: %s" % said.splitlines()[-1][:200])
    except OSError as error:
        problems.append("journalctl: %s" % error.strerror)


def told(records: Iterable[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Sessions and errors that records tell of.

    Args:
        records: of the journal, in order.

    Returns:
        Sessions: each login and logout; of sudo, a person's day as one (each step of a playbook is a session of sudo).
        Errors: a unit's failures, or a program's critical messages, of a day as one.
    """
    sessions: list[dict[str, Any]] = []
    accepted: dict[tuple[str, str], dict[str, str]] = {}
    days: dict[tuple[str, ...], dict[str, Any]] = {}
    for record in records:
        text, at = record.get("MESSAGE"), _second(record)
        if not isinstance(text, str) or at is None:
            continue
        if record.get("_COMM") in PROGRAMS and _is_trusted(record):
            match = ACCEPTED.match(text)
            process = (str(record.get("_BOOT_ID")), str(record.get("_PID")))
            if match:
                accepted[process] = match.groupdict()
                continue
            match = SESSION.match(text)
            if match:
                _note_session(sessions, days, match, record, at, accepted.get(process, {}))
                continue
        _note_error(days, record, text, at)
    privileges = [entry for key, entry in sorted(days.items()) if key[0] == "privilege"]
    errors = [entry for key, entry in sorted(days.items()) if key[0] == "error"]
    return sessions + privileges, errors


def _second(record: dict[str, Any]) -> str | None:
    try:
        at = datetime.datetime.fromtimestamp(int(record["__REALTIME_TIMESTAMP"]) // 1000000, datetime.timezone.utc)
    except (KeyError, ValueError, TypeError, OverflowError):
        return None
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def _is_trusted(record: dict[str, Any]) -> bool:
    """Whether root wrote it, or a program that may become root, such as sudo, which writes as whoever runs it. Anybody
    can take a program's name; user and capabilities are the kernel's word.
    """
    try:
        return record.get("_UID") == "0" or bool(int(str(record.get("_CAP_EFFECTIVE")), 16) & SETUID)
    except ValueError:
        return False


def _note_session(
    sessions: list[dict[str, Any]],
    days: dict[tuple[str, ...], dict[str, Any]],
    match: re.Match[str],
    record: dict[str, Any],
    at: str,
    accepted: dict[str, str],
) -> None:
    service, user = match["service"], match["user"]
    if service in ("sudo", "sudo-i"):
        if match["what"] == "opened":
            # Without a terminal, Debian 12 names the number alone.
            person = match["by"] or name_of(match["uid"])
            _count(days, ("privilege", at[:10], person, user), at, {"user": person, "target": user})
        return
    known = {"service": service, "user": user, "session": "%s-%s" % (str(record["_BOOT_ID"])[:8], record["_PID"])}
    if match["what"] == "opened":
        known.update({name: accepted[name] for name in ("address", "method") if name in accepted})
        if service in ("su", "su-l"):
            known["by"] = match["by"] or name_of(match["uid"])
    kind = "login" if match["what"] == "opened" else "logout"
    sessions.append(
        {"id": _name(kind, record["__REALTIME_TIMESTAMP"], *known.values()), "kind": kind, "at": at, **known}
    )


def name_of(uid: str | None) -> str:
    """The login name of a user's number, or what stands in its place where nobody has it any more.

    Args:
        uid: the number.
    """
    try:
        return pwd.getpwuid(int(uid or "")).pw_name
    except (KeyError, ValueError, OverflowError):
        return "uid %s" % (uid or "unknown")


def _note_error(days: dict[tuple[str, ...], dict[str, Any]], record: dict[str, Any], text: str, at: str) -> None:
    if record.get("MESSAGE_ID") == UNIT_FAILED and record.get("_PID") == "1":
        unit = str(record.get("UNIT", ""))
        about = {"unit": unit, "result": str(record.get("UNIT_RESULT", "")), "message": text[:500]}
        _count(days, ("error", at[:10], "unit", unit), at, about)
    elif record.get("PRIORITY") in ("0", "1", "2") and (
        record.get("_UID") == "0" or record.get("_TRANSPORT") == "kernel"
    ):
        program = str(record.get("SYSLOG_IDENTIFIER") or record.get("_COMM") or "kernel")[:100]
        about = {"program": program, "priority": str(record["PRIORITY"]), "message": text[:500]}
        _count(days, ("error", at[:10], "program", program), at, about)


def _count(days: dict[tuple[str, ...], dict[str, Any]], key: tuple[str, ...], at: str, about: dict[str, str]) -> None:
    """Count what happened on a day, with its first and its last time."""
    entry = days.setdefault(key, {"id": _name(*key), "kind": key[0], "at": at, "last": at, "count": 0, **about})
    entry["count"] += 1
    entry["last"] = at


def _name(kind: str, *parts: Any) -> str:
    """A name that follows from what is named; the host's own is put before it on the controller."""
    return "%s-%s" % (kind, hashlib.sha256("|".join(map(str, parts)).encode()).hexdigest()[:20])


def days_kept(folder: str, since: datetime.datetime, problems: list[str]) -> list[dict[str, Any]]:
    """The days of logs that a log server has closed and signed.

    Args:
        folder: where their digests are.
        since: those that were closed from when on.
        problems: gets what cannot be read.
    """
    found = []
    for path in sorted(glob.glob(os.path.join(folder, "????-??-??.json"))):
        try:
            closed = os.stat(path).st_mtime
            if closed < since.timestamp():
                continue
            with open(path, "rb") as file:
                body = file.read()
            content = json.loads(body)
            files = content["files"]
            found.append(
                {
                    "day": str(content["day"]),
                    "closed": datetime.datetime.fromtimestamp(int(closed), datetime.timezone.utc).strftime(
                        "%Y-%m-%dT%H:%M:%SZ"
                    ),
                    "sha256": hashlib.sha256(body).hexdigest(),
                    "signed": os.path.exists(path + ".sig"),
                    "files": len(files),
                    "senders": len({one["sender"] for one in files}),
                    "records": sum(int(one["records"]) for one in files),
                    "bytes": sum(int(one["bytes"]) for one in files),
                }
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            problems.append("%s: %s" % (path, error))
    return found


def malware_of(path: str, problems: list[str]) -> dict[str, list[dict[str, Any]]]:
    """How the host's antimalware stands now, and its last full scan.

    Args:
        path: the state that it notes; where there is none, the host has no antimalware.
        problems: gets why it cannot be read.

    Returns:
        ``malware_states``: one, with ``at`` (now), ``ok`` and ``checked`` (when definitions were updated, and tried to
        be), ``error``, ``version``, ``made``, ``scan_started`` (of the last full scan) and ``gaps``; ``malware_scans``:
        the last full scan, where there was one.
    """
    told: dict[str, list[dict[str, Any]]] = {"malware_states": [], "malware_scans": []}
    try:
        with open(path, "rb") as file:
            state = json.loads(file.read())
        update, about = state.get("update") or {}, state.get("definitions") or {}
        scan = state.get("last_full_scan") or {}
        told["malware_states"].append(
            {
                "at": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
                **{name: update.get(name) for name in ("ok", "checked", "error")},
                **{name: about.get(name) for name in ("version", "made")},
                "scan_started": scan.get("started"),
                "gaps": len(state.get("gaps") or []),
            }
        )
        if scan:
            names = ("started", "finished", "seconds", "outcome", "files", "finds", "too_large", "unread")
            told["malware_scans"].append({name: scan.get(name) for name in names})
    except FileNotFoundError:
        pass
    except (OSError, ValueError, AttributeError, TypeError) as error:
        problems.append("%s: %s" % (path, error))
    return told
