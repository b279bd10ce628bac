# SPDX-License-Identifier: GPL-3.0-or-later
"""What accounts do on a host: logins, sessions, processes, crontabs and at jobs.

Where a login by SSH leaves its trace, as seen on Debian 12 and 13: with a terminal, in lastlog and wtmp on both, and in
wtmpdb on 13; without one (a command, sftp), nowhere but in the journal, as logind's "New session". So all are asked.
"""

from __future__ import annotations

import json
import os
import struct
from typing import Any

from ..facts.host import Host

LASTLOG, WTMP = "/var/log/lastlog", "/var/log/wtmp"
WTMPDB = "/var/lib/wtmpdb/wtmp.db"
LASTLOG2 = "/var/lib/lastlog/lastlog2.db"
SESSIONS = "/run/systemd/sessions"
LINGER = "/var/lib/systemd/linger"
CRONTABS = "/var/spool/cron/crontabs"
AT_JOBS = "/var/spool/cron/atjobs"

LASTLOG_ENTRY = struct.Struct("=I32s256s")
"""lastlog(5): time, line, host; the entry's place is its user id."""
WTMP_ENTRY = struct.Struct("=h2xi32s4s32s256shhiii4i20x")
"""utmp(5): type, pid, line, id, user, host, exit status (2), session, seconds, microseconds, address, reserved."""
USER_PROCESS = 7
LATEST_WTMP = 20000
"""Records of wtmp that are read, from its end."""

NEW_SESSION = "8d45620c1a4348dbb17410da57c60c66"
"""Id of logind's message about a new session, systemd-logind's sd-messages.h."""
LATEST_SESSIONS = 20000
"""Messages of the journal that are read, from its end."""


class Logins:
    """The last login of each account: time (seconds since 1970) and source."""

    def __init__(self) -> None:
        self.found: dict[str, tuple[int, str]] = {}

    def saw(self, name: str, when: int, source: str) -> None:
        """Take over a login when it is later than those known."""
        if when > 0 and when > self.found.get(name, (0, ""))[0]:
            self.found[name] = (when, source)


def last_logins(host: Host, uids: dict[str, int]) -> dict[str, tuple[int, str]]:
    """The last login of accounts, from all sources that the host has.

    Args:
        host: the host; takes problems.
        uids: login name -> user id.

    Returns:
        Login name -> time and source: lastlog, wtmpdb, wtmp or journal. On equal seconds the first of these.
    """
    logins = Logins()
    for read in (_lastlog, _wtmpdb, _lastlog2, _wtmp, _journal):
        try:
            read(host, uids, logins)
        except FileNotFoundError:
            continue
        except Exception as error:  # one damaged source must not hide what the others tell
            host.problem(read.__name__[1:], 0, "%s: %s" % (type(error).__name__, error))
    return logins.found


def _lastlog(host: Host, uids: dict[str, int], logins: Logins) -> None:
    with open(host.path(LASTLOG), "rb") as file:
        for name, uid in uids.items():
            entry = os.pread(file.fileno(), LASTLOG_ENTRY.size, uid * LASTLOG_ENTRY.size)
            if len(entry) == LASTLOG_ENTRY.size:
                logins.saw(name, LASTLOG_ENTRY.unpack(entry)[0], "lastlog")


def _wtmp(host: Host, uids: dict[str, int], logins: Logins) -> None:
    with open(host.path(WTMP), "rb") as file:
        count = os.fstat(file.fileno()).st_size // WTMP_ENTRY.size
        file.seek(max(0, count - LATEST_WTMP) * WTMP_ENTRY.size)
        data = file.read(min(count, LATEST_WTMP) * WTMP_ENTRY.size)
    for entry in WTMP_ENTRY.iter_unpack(data):
        name = entry[4].split(b"\0")[0].decode("utf-8", "replace")
        if entry[0] == USER_PROCESS and name in uids:
            logins.saw(name, entry[9], "wtmp")


def _query(path: str, question: str) -> list[Any]:
    if not os.path.exists(path):
        raise FileNotFoundError(path)
    import sqlite3  # only here: most hosts have neither file, and loading it costs more than all else

    connection = sqlite3.connect("file:%s?mode=ro" % path, uri=True, timeout=5)
    try:
        return connection.execute(question).fetchall()
    finally:
        connection.close()


def _wtmpdb(host: Host, uids: dict[str, int], logins: Logins) -> None:
    question = "SELECT User, MAX(Login) FROM wtmp WHERE Type = 3 GROUP BY User"
    for name, microseconds in _query(host.path(WTMPDB), question):
        if name in uids:
            logins.saw(name, microseconds // 1000000, "wtmpdb")


def _lastlog2(host: Host, uids: dict[str, int], logins: Logins) -> None:
    for name, seconds in _query(host.path(LASTLOG2), "SELECT Name, Time FROM Lastlog2"):
        if name in uids:
            logins.saw(name, seconds, "lastlog")


def _journal(host: Host, uids: dict[str, int], logins: Logins) -> None:
    if host.root != "/" or not os.path.isdir("/run/systemd/system"):
        return
    question = ["journalctl", "--quiet", "--reverse", "--lines=%d" % LATEST_SESSIONS, "--output=json"]
    for line in host.run(*question, "--output-fields=USER_ID", "MESSAGE_ID=" + NEW_SESSION).splitlines():
        entry = json.loads(line)
        if entry.get("USER_ID") in uids:
            # Its second can lie before that of lastlog by one: the same login.
            name, when = entry["USER_ID"], int(entry["__REALTIME_TIMESTAMP"]) // 1000000
            if when > logins.found.get(name, (0, ""))[0] + 1:
                logins.saw(name, when, "journal")


def sessions(host: Host) -> dict[int, int]:
    """User id -> number of sessions that people have open, from systemd-logind's files."""
    found: dict[int, int] = {}
    folder = host.path(SESSIONS)
    for name in os.listdir(folder) if os.path.isdir(folder) else ():
        if name.endswith(".ref"):
            continue
        text = host.read_if_there(os.path.join(SESSIONS, name))
        values = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
        # The manager of systemd for a user is a session of its own kind, and STATE=closing is one that has ended.
        ended = values.get("STATE") == "closing"
        if not values.get("CLASS", "user").startswith(("manager", "background")) and not ended and "UID" in values:
            found[int(values["UID"])] = found.get(int(values["UID"]), 0) + 1
    return found


def processes(host: Host) -> dict[int, list[int]]:
    """User id (the real one) -> its processes."""
    found: dict[int, list[int]] = {}
    folder = host.path("/proc")
    for name in os.listdir(folder) if os.path.isdir(folder) else ():
        if not name.isdigit():
            continue
        try:
            with open(os.path.join(folder, name, "status"), "rb") as file:
                text = file.read()
        except OSError:  # it has ended meanwhile
            continue
        if b"\nState:\tZ" in text:
            continue
        uid = int(text.split(b"\nUid:", 1)[1].split(None, 1)[0])
        found.setdefault(uid, []).append(int(name))
    return found


def at_jobs(host: Host) -> dict[int, list[str]]:
    """User id -> paths of its at(1) jobs."""
    found: dict[int, list[str]] = {}
    folder = host.path(AT_JOBS)
    try:
        for entry in os.scandir(folder):
            if entry.name != ".SEQ" and entry.is_file(follow_symlinks=False):
                found.setdefault(entry.stat(follow_symlinks=False).st_uid, []).append(os.path.join(AT_JOBS, entry.name))
    except FileNotFoundError:
        pass
    return {uid: sorted(paths) for uid, paths in found.items()}


def crontabs(host: Host) -> set[str]:
    """Names that have a crontab(1)."""
    try:
        return {entry.name for entry in os.scandir(host.path(CRONTABS)) if entry.is_file(follow_symlinks=False)}
    except FileNotFoundError:
        return set()


def lingering(host: Host) -> set[str]:
    """Names whose services run without a session, loginctl(1)."""
    try:
        return set(os.listdir(host.path(LINGER)))
    except FileNotFoundError:
        return set()
