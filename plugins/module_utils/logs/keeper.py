# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps what a log server received: closes days, signs them, removes what is old enough, and says when room runs out.

A day that is over is compressed and gets a digest: a file that names each sender's file with its SHA-256, and the
digest of the day before, signed with a key of this server (ssh-keygen(1), ``-Y sign``). Its hash goes into the log, and
so to the other log servers: who changes a day afterwards, and signs it anew, still contradicts what those hold.

Runs as root on the log server, hourly. Standard library, Python 3.9.
"""

from __future__ import annotations

import argparse
import datetime
import fcntl
import glob
import gzip
import hashlib
import json
import os
import re
import struct
import subprocess
import sys
import syslog
import time
from collections.abc import Callable, Iterator
from typing import Any

from .blocks import compress

STORE = "/var/log/kijun"
STATE = "/var/lib/kijun/log-keeper"
SETTINGS = "/etc/kijun/log-server/keeper.json"
KEY = "/etc/kijun/log-server/digest-key"
NAMESPACE = "kijun-log-digest"
"""What signatures are for; one made for something else does not verify (ssh-keygen(1), -n)."""

FILE = re.compile(
    r"(?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2})(?:(?P<journal>\.journal)|\.session)?\.log(?P<packed>\.gz(\.members)?)?"
)
"""A sender's file: of its records, of those of the operations journal, or of its recorded sessions."""

SETTLED = 600
"""Seconds that a file must not have been written to before its day is closed."""

LEVELS = ((90, "critical"), (80, "notice"), (70, "warning"))
"""Per cent of the file system in use, and what that is called (SO-3.1-threshold-*, SO-2.1-system-health-threshold)."""

APPEND, IMMUTABLE = 0x20, 0x10
"""Inode flags of ioctl_iflags(2)."""

GET_FLAGS, SET_FLAGS = 0x80086601, 0x40086602


class Keeper:
    """One log server's store.

    Args:
        settings: ``days`` and ``journal_days`` to keep, ``server``, the name in digests, and ``reserve_mb``, the room
            below which nothing is received.
        store: where the records are.
        state: where the outcome is noted.
        key: the private key that signs; made when it is not there.
        tell: says something in the log, of a priority of syslog(3).
        now: the time, in seconds since 1970.
    """

    def __init__(
        self,
        settings: dict[str, Any],
        store: str = STORE,
        state: str = STATE,
        key: str = KEY,
        tell: Callable[[int, str], None] = lambda priority, text: syslog.syslog(priority, text),
        now: Callable[[], float] = time.time,
    ) -> None:
        """Keep what is given."""
        self.settings, self.store, self.state, self.key = settings, store, state, key
        self.tell, self.now = tell, now
        self.today = datetime.datetime.fromtimestamp(now(), datetime.timezone.utc).date()
        self.digests = os.path.join(store, "digests")

    def tidy(self) -> dict[str, Any]:
        """Do all that is due.

        Returns:
            What is noted for the audit: see `status`.
        """
        for folder in (self.digests, self.state):
            os.makedirs(folder, mode=0o750, exist_ok=True)
        # Who may read the records may read their digests.
        readers = os.stat(os.path.join(self.store, "hosts")).st_gid
        os.chown(self.digests, -1, readers)
        self.have_key()
        self.close_days()
        removed = self.remove_old()
        status = self.status(self.hold_on(), removed)
        write(os.path.join(self.state, "status.json"), json.dumps(status, indent=1, sort_keys=True) + "\n")
        return status

    def files(self) -> Iterator[tuple[str, str, re.Match[str]]]:
        """Every sender's files: sender, path, and what the name says."""
        for path in sorted(glob.glob(os.path.join(self.store, "hosts", "*", "*"))):
            name = FILE.fullmatch(os.path.basename(path))
            if name and not os.path.islink(path):
                yield os.path.basename(os.path.dirname(path)), path, name

    def close_days(self) -> None:
        """Compress what is over, and sign each day that is whole."""
        waiting = set()
        for _, path, name in self.files():
            if name["packed"] or name["day"] >= self.today.isoformat():
                continue
            if self.now() - os.stat(path).st_mtime < SETTLED:
                waiting.add(name["day"])
                continue
            set_flags(path, 0)
            if os.path.exists(path + ".gz"):
                # Something came after the day was closed. It is kept beside it, and told.
                self.tell(syslog.LOG_WARNING, "kijun-log-keeper: %s was written to after its day was signed" % path)
                waiting.add(name["day"])
                continue
            compress(path, path + ".gz")
            for made in (path + ".gz", path + ".gz.members"):
                same_owner(path, made)
            os.unlink(path)
        for day in sorted(self.closed_days() - waiting):
            if not os.path.exists(self.digest(day)):
                self.sign(day)

    def closed_days(self) -> set[str]:
        """Days of which there are compressed files."""
        return {name["day"] for _, _, name in self.files() if name["packed"] == ".gz"}

    def digest(self, day: str) -> str:
        """Where a day's digest is."""
        return os.path.join(self.digests, day + ".json")

    def sign(self, day: str) -> None:
        """Write down what a day's files hold, and sign it.

        Raises:
            subprocess.CalledProcessError: ssh-keygen cannot sign.
        """
        earlier = [path for path in sorted(glob.glob(self.digest("????-??-??"))) if path < self.digest(day)]
        content = {
            "server": self.settings["server"],
            "day": day,
            "previous": sha256_of(earlier[-1]) if earlier else None,
            "files": [
                {"sender": sender, "file": os.path.basename(path), **measure(path)}
                for sender, path, name in self.files()
                if name["day"] == day and name["packed"] == ".gz"
            ],
        }
        new = self.digest(day) + ".new"
        write(new, json.dumps(content, indent=1, sort_keys=True) + "\n")
        os.chown(new, -1, os.stat(self.digests).st_gid)
        sign = ["ssh-keygen", "-q", "-Y", "sign", "-f", self.key, "-n", NAMESPACE, new]
        subprocess.run(sign, check=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=60)
        os.replace(new + ".sig", self.digest(day) + ".sig")
        os.replace(new, self.digest(day))
        records = sum(file["records"] for file in content["files"])
        self.tell(
            syslog.LOG_NOTICE,
            "kijun-log-digest server=%s day=%s sha256=%s senders=%d records=%d"
            % (content["server"], day, sha256_of(self.digest(day)), len(content["files"]), records),
        )

    def have_key(self) -> None:
        """Make the key that signs, once."""
        if not os.path.exists(self.key):
            os.makedirs(os.path.dirname(self.key), exist_ok=True)
            make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "log digests", "-f", self.key]
            subprocess.run(make, check=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=60)

    def remove_old(self) -> list[str]:
        """Remove files that are older than they must be kept, and say so.

        Returns:
            What was removed.
        """
        removed = []
        for sender, path, name in self.files():
            if name["packed"] and self.age(name["day"]) > self.kept(bool(name["journal"])):
                set_flags(path, 0)
                os.unlink(path)
                removed.append("%s/%s" % (sender, os.path.basename(path)))
        for path in glob.glob(self.digest("????-??-??")):
            if self.age(os.path.basename(path)[:10]) > self.kept(True):
                for file in (path, path + ".sig"):
                    set_flags(file, 0)
                    os.unlink(file)
        if removed:
            self.tell(syslog.LOG_NOTICE, "kijun-log-keeper: removed as old enough: %s" % " ".join(removed))
        return removed

    def age(self, day: str) -> int:
        """Days since a day."""
        return (self.today - datetime.date.fromisoformat(day)).days

    def kept(self, journal: bool) -> int:
        """Days that files are kept."""
        return int(self.settings["journal_days" if journal else "days"])

    def hold_on(self) -> str:
        """Make today's files append-only and closed ones immutable, as far as the file system can.

        Returns:
            An empty text, or why it cannot.
        """
        why = ""
        closed = [path + end for path in glob.glob(self.digest("????-??-??")) for end in ("", ".sig")]
        wanted = [(path, IMMUTABLE if name["packed"] else APPEND) for _, path, name in self.files()]
        for path, flag in wanted + [(path, IMMUTABLE) for path in closed]:
            why = set_flags(path, flag) or why
        return why

    def status(self, not_append_only: str, removed: list[str]) -> dict[str, Any]:
        """What the audit and the operator see: room, what is unsigned, and since when there are records."""
        room = os.statvfs(self.store)
        taken = room.f_blocks - room.f_bfree
        used = round(100 * taken / (taken + room.f_bavail)) if taken else 0
        days = sorted(self.closed_days())
        daily = self.daily_bytes(days[-7:])
        free_days = int(room.f_bavail * room.f_frsize / daily) if daily else None
        level = next((name for least, name in LEVELS if used >= least), "")
        lacking = bool(free_days is not None and free_days + len(days) < self.kept(False))
        if level:
            urgent = {"critical": syslog.LOG_CRIT, "notice": syslog.LOG_ERR, "warning": syslog.LOG_WARNING}[level]
            self.tell(urgent, "kijun-log-keeper: disk %s: %d %% of the log store is in use" % (level, used))
        if lacking:
            self.tell(
                syslog.LOG_WARNING,
                "kijun-log-keeper: room for %d more days at %d MB a day, with %d kept of %d"
                % (free_days or 0, daily // 1000000, len(days), self.kept(False)),
            )
        return {
            "time": int(self.now()),
            "used_percent": used,
            "level": level,
            "daily_bytes": daily,
            "free_days": free_days,
            "lacking": lacking,
            "oldest": days[0] if days else None,
            "unsigned": [day for day in days if not os.path.exists(self.digest(day))],
            "not_append_only": not_append_only,
            "removed": removed,
        }

    def guard_room(self) -> None:
        """Stop receiving while there is less room than the reserve, and go on when there is more. Does not return.

        rsyslog acknowledges what it could not write for want of room (omfile tells no such error). Nobody receives what
        nobody can keep: senders hold it back.
        """
        held = False
        while True:
            room = os.statvfs(os.path.join(self.store, "hosts"))
            free, reserve = room.f_bavail * room.f_frsize // 1000000, int(self.settings["reserve_mb"])
            if free < reserve and not held:
                held = True
                systemctl("stop")
                self.tell(
                    syslog.LOG_CRIT,
                    "kijun-log-keeper: %d MB of room are left, the reserve is %d: nothing is received any more"
                    % (free, reserve),
                )
            elif held and free > reserve + reserve // 10:
                held = False
                systemctl("start")
                self.tell(syslog.LOG_WARNING, "kijun-log-keeper: %d MB of room again: receiving goes on" % free)
            time.sleep(1)

    def daily_bytes(self, days: list[str]) -> int:
        """What a closed day takes, on average."""
        sizes = [os.stat(path).st_size for _, path, name in self.files() if name["packed"] and name["day"] in days]
        return sum(sizes) // len(days) if days else 0

    def verify(self, public: str) -> list[str]:
        """Compare every signed day with what is there.

        Args:
            public: the public key, as ssh-keygen writes it: ``ssh-ed25519 AAAA...``.

        Returns:
            What does not fit, a line each.
        """
        problems, previous = [], None
        for path in sorted(glob.glob(self.digest("????-??-??"))):
            day = os.path.basename(path)[:10]
            if not self.signature_holds(path, public):
                problems.append("%s: the digest is not what was signed, or not by this key" % day)
            try:
                content = read_json(path)
                if previous and content["previous"] != sha256_of(previous):
                    problems.append("%s: does not follow the digest of %s" % (day, os.path.basename(previous)[:10]))
                problems += ["%s: %s" % (day, text) for text in self.differences(day, content)]
            except (OSError, ValueError, KeyError, TypeError) as error:
                problems.append("%s: the digest cannot be read: %s" % (day, error))
            previous = path
        unsigned = [day for day in sorted(self.closed_days()) if not os.path.exists(self.digest(day))]
        return problems + ["%s: closed and not signed" % day for day in unsigned]

    def differences(self, day: str, content: dict[str, Any]) -> Iterator[str]:
        """What of a day is not as its digest says."""
        named = {(entry["sender"], entry["file"]): entry for entry in content["files"]}
        there = {
            (sender, os.path.basename(path)): path
            for sender, path, name in self.files()
            if name["day"] == day and name["packed"] == ".gz"
        }
        for key in sorted(there.keys() - named.keys()):
            yield "%s/%s was added" % key
        for key, entry in sorted(named.items()):
            if key not in there:
                if self.age(day) <= self.kept(".journal." in key[1]):
                    yield "%s/%s is gone" % key
            elif sha256_of(there[key]) != entry["sha256"]:
                yield "%s/%s was changed" % key

    def signature_holds(self, path: str, public: str) -> bool:
        """Whether a digest is signed by the key."""
        signers = os.memfd_create("signers")
        try:
            os.write(signers, ('kijun namespaces="%s" %s\n' % (NAMESPACE, public)).encode())
            with open(path, "rb") as content:
                verify = [
                    "ssh-keygen",
                    "-Y",
                    "verify",
                    "-f",
                    "/proc/self/fd/%d" % signers,
                    "-I",
                    "kijun",
                    "-n",
                    NAMESPACE,
                ]
                done = subprocess.run(
                    [*verify, "-s", path + ".sig"],
                    check=False,
                    stdin=content,
                    capture_output=True,
                    pass_fds=(signers,),
                    timeout=60,
                )
            return done.returncode == 0
        except OSError:
            return False
        finally:
            os.close(signers)


def systemctl(verb: str) -> None:
    """Start or stop what receives."""
    command = ["systemctl", verb, "kijun-log-receiver.service"]
    subprocess.run(command, check=False, stdin=subprocess.DEVNULL, capture_output=True, timeout=120)


def write(path: str, text: str, mode: int = 0o640) -> None:
    """Write a file whole, or not at all."""
    new = path + ".part"
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(new, path)


def read_json(path: str) -> Any:
    """What a file of JSON holds."""
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def sha256_of(path: str) -> str:
    """The SHA-256 of a file, in hexadecimal digits."""
    found = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            found.update(block)
    return found.hexdigest()


def measure(path: str) -> dict[str, Any]:
    """The SHA-256 of a compressed file, its bytes, and how many records are in it."""
    records = 0
    with gzip.open(path) as lines:
        for block in iter(lambda: lines.read(1 << 20), b""):
            records += block.count(b"\n")
    return {"sha256": sha256_of(path), "bytes": os.stat(path).st_size, "records": records}


def same_owner(of: str, to: str) -> None:
    """Give a file the owner and group of another one."""
    info = os.stat(of)
    os.chown(to, info.st_uid, info.st_gid)


def set_flags(path: str, wanted: int) -> str:
    """Set whether a file is append-only or immutable (ioctl_iflags(2)).

    Args:
        path: the file.
        wanted: `APPEND`, `IMMUTABLE` or 0.

    Returns:
        An empty text, or why this file system or this host cannot.
    """
    file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        flags = struct.unpack("l", fcntl.ioctl(file, GET_FLAGS, struct.pack("l", 0)))[0]
        changed = flags & ~(APPEND | IMMUTABLE) | wanted
        if changed != flags:
            fcntl.ioctl(file, SET_FLAGS, struct.pack("l", changed))
    except OSError as error:
        return os.strerror(error.errno or 0)
    finally:
        os.close(file)
    return ""


def main(arguments: list[str] | None = None) -> int:
    """The command ``kijun-log-keeper``.

    Returns:
        0; 1 when ``verify`` found something.
    """
    parser = argparse.ArgumentParser(prog="kijun-log-keeper", description="Keep what a log server received.")
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("tidy", help="close and sign days that are over, remove what is old enough, look at the room")
    actions.add_parser("room", help="stop receiving while there is too little room; does not end")
    verify = actions.add_parser("verify", help="compare every signed day with what is there")
    verify.add_argument("--key", help="the public key to hold signatures against; this server's own without it")
    given = parser.parse_args(arguments)
    syslog.openlog("kijun-log-keeper", 0, syslog.LOG_AUTH)
    keeper = Keeper(read_json(SETTINGS))
    if given.action == "tidy":
        keeper.tidy()
        return 0
    if given.action == "room":
        keeper.guard_room()
    with open(given.key or KEY + ".pub", encoding="ascii") as file:
        problems = keeper.verify(" ".join(file.read().split()[:2]))
    print("\n".join(problems) or "%d days are as they were signed" % len(glob.glob(keeper.digest("????-??-??"))))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
