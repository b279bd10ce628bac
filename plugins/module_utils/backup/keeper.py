# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps what a backup server holds: looks at the storage, removes what is old enough, and copies it to another place.

Clients add and never delete. What is removed is decided here, by when a snapshot came, not by what it says of itself.
Runs as root on the backup server, hourly. Standard library, Python 3.9.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import fcntl
import glob
import hashlib
import json
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import syslog
import time
from collections.abc import Callable, Iterator
from typing import Any

from .history import History, read_json, summary, write
from .restic import BackupError, RepositoryDamaged, Restic
from .session import MB, SETTINGS, size_of

STATE = "/var/lib/kijun/backup-server"
FOLDER = "/etc/kijun/backup-server"
LOCK = "/run/kijun-backup-keeper.lock"
DAY, HOUR = 86400, 3600
LEVELS = ((90, "critical"), (80, "notice"), (70, "warning"))
"""Per cent in use, and what that is called (SO-3.1-threshold-*, SO-2.1-system-health-threshold)."""

MINIMUM = {"full": 90, "incremental": 30, "differential": 7, "before-change": 90, "after-change": 90}
"""Days that snapshots are kept at least, by tag (SO-5.2-*-retention)."""

DUE = 20 * HOUR
"""After so long pruning and copying are due again, each day."""

SILENCE = 4 * DAY
"""When no client has stored anything for so long, either all are away or the clock has jumped: nothing is removed."""

CONTENT = re.compile(r"[0-9a-f]{64}")


class Keeper:
    """One backup server's store.

    Args:
        settings: as the role wrote them.
        folder: where the keys are.
        state: where the outcome is noted.
        tell: says something in the log, of a priority of syslog(3).
        now: the time, in seconds since 1970.
    """

    def __init__(
        self,
        settings: dict[str, Any],
        folder: str = FOLDER,
        state: str = STATE,
        tell: Callable[[int, str], None] = lambda priority, text: syslog.syslog(priority, text),
        now: Callable[[], float] = time.time,
        history: History | None = None,
    ) -> None:
        self.settings, self.folder, self.state, self.tell, self.now = settings, folder, state, tell, now
        self.store = str(settings["directory"])
        self.history = history or History()

    def repository(self, client: dict[str, Any]) -> str:
        """Where a client's repository is."""
        return os.path.join(self.store, client["name"], "repository")

    def tidy(self) -> dict[str, Any]:
        """Do all that is due, and note how things stand."""
        os.makedirs(self.state, mode=0o750, exist_ok=True)
        before = self.noted()
        known = summary(self.history.lines())
        for client in self.settings["clients"]:
            if self.is_due(known["prune"].get(client["name"])) and self.is_opened(client):
                with contextlib.suppress(BackupError):
                    self.prune(client)
        if self.settings["copy"] and self.is_due(known["copy"]):
            with contextlib.suppress(BackupError):
                self.copy()
        damaged = self.look_at_data(before.get("damaged", []))
        for client in self.clients():
            # What a backup that broke off left is no damage: nothing refers to it, and pruning takes it away.
            if any(name.startswith(client["name"] + "/") for name in damaged) and self.is_opened(client):
                with contextlib.suppress(BackupError):
                    self.prune(client)
        damaged = [name for name in damaged if self._is_damaged(name)]
        for name in damaged:
            self.tell(syslog.LOG_CRIT, "kijun-backup-keeper: damaged: %s" % name)
        status = {**self.storage(), "damaged": damaged, "clients": [self.about(client) for client in self.clients()]}
        for client in status["clients"]:
            if client["level"]:
                self.say_level(
                    client["level"], "client %s: %d %% of its quota" % (client["name"], client["used_percent"])
                )
        self.note(status)
        return status

    def clients(self) -> list[dict[str, Any]]:
        """The clients."""
        return list(self.settings["clients"])

    def note(self, status: dict[str, Any]) -> None:
        """Write down how things stand, for the audit."""
        known = summary(self.history.lines())
        about = {"time": self.now(), **status, "prune": known["prune"], "copy": known["copy"]}
        write(os.path.join(self.state, "status.json"), json.dumps(about, indent=1, sort_keys=True) + "\n", 0o640)

    def noted(self) -> dict[str, Any]:
        """What was noted last."""
        try:
            return dict(read_json(os.path.join(self.state, "status.json")))
        except (OSError, ValueError):
            return {}

    def is_due(self, about: dict[str, Any] | None) -> bool:
        """Whether something that was done last at some time is to be done again."""
        if not about or not about.get("ok"):
            return True
        last = datetime.datetime.fromisoformat(about["ok"].replace("Z", "+00:00")).timestamp()
        return not 0 <= self.now() - last < DUE

    # The storage.

    def storage(self) -> dict[str, Any]:
        """How full it is, and what its disks say."""
        room = os.statvfs(self.store)
        taken = room.f_blocks - room.f_bfree
        used = round(100 * taken / (taken + room.f_bavail)) if taken else 0
        level = level_of(used)
        if level:
            self.say_level(level, "%d %% of the storage" % used)
        failing = failing_disks()
        for disk in failing:
            self.tell(syslog.LOG_CRIT, "kijun-backup-keeper: disk critical: %s" % disk)
        free = room.f_bavail * room.f_frsize // MB
        if free < self.settings["reserve_mb"]:
            self.tell(syslog.LOG_CRIT, "kijun-backup-keeper: %d MB are left: nothing more is taken" % free)
        return {"used_percent": used, "level": level, "free_mb": free, "failing": failing}

    def say_level(self, level: str, what: str) -> None:
        """Say that something fills up."""
        urgent = {"critical": syslog.LOG_CRIT, "notice": syslog.LOG_ERR, "warning": syslog.LOG_WARNING}[level]
        self.tell(urgent, "kijun-backup-keeper: disk %s: %s is in use" % (level, what))

    def about(self, client: dict[str, Any]) -> dict[str, Any]:
        """How a client stands."""
        used = size_of(self.repository(client)) // MB
        came = [os.stat(path).st_mtime for path in self.snapshot_files(client)]
        percent = round(100 * used / client["quota_mb"])
        return {
            "name": client["name"],
            "used_mb": used,
            "quota_mb": client["quota_mb"],
            "used_percent": percent,
            "level": level_of(percent),
            "newest": max(came) if came else None,
            "snapshots": len(came),
            "opened": self.is_opened(client),
        }

    def snapshot_files(self, client: dict[str, Any]) -> list[str]:
        """The files of a client's snapshots."""
        found = glob.glob(os.path.join(self.repository(client), "snapshots", "*"))
        return [path for path in found if CONTENT.fullmatch(os.path.basename(path))]

    def look_at_data(self, suspected: list[str]) -> list[str]:
        """Read some of what is stored. A file of a repository is named by the SHA-256 of what it holds.

        Args:
            suspected: files that were damaged the last time.

        Returns:
            Files that are damaged: ``CLIENT/data/.../NAME``.
        """
        damaged = [name for name in suspected if self._is_damaged(name)]
        left = self.settings["check_mb"] * MB
        for client in random.sample(self.clients(), len(self.clients())):
            share = left // max(1, len(self.clients()))
            folder = self.repository(client)
            youngest = self.now() - (DAY if self.has_session(client) else -DAY)
            for path in shuffled(folder):
                if share <= 0:
                    break
                name = os.path.join(client["name"], os.path.relpath(path, folder))
                with contextlib.suppress(FileNotFoundError):
                    if os.stat(path).st_mtime > youngest:
                        continue
                    share -= os.stat(path).st_size
                    if name not in damaged and self._is_damaged(name):
                        damaged.append(name)
        return sorted(damaged)

    def has_session(self, client: dict[str, Any]) -> bool:
        """Whether a client is connected; what it is just sending is not whole yet."""
        folder = os.open(os.path.join(self.store, client["name"]), os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(folder)
        return False

    def _is_damaged(self, name: str) -> bool:
        client, _, inner = name.partition("/")
        path = os.path.join(self.store, client, "repository", inner)
        try:
            return digest_of(path) != os.path.basename(path)
        except FileNotFoundError:
            # Pruned, or repaired, meanwhile.
            return False
        except OSError:
            return True

    # Removing.

    def is_opened(self, client: dict[str, Any]) -> bool:
        """Whether the server has a key of a client's repository."""
        return os.path.exists(self.key(client)) and os.path.exists(os.path.join(self.repository(client), "config"))

    def key(self, client: dict[str, Any]) -> str:
        """Where the encrypted key of a client's repository is."""
        return os.path.join(self.folder, "keys", client["name"] + ".age")

    @contextlib.contextmanager
    def opened(self, client: dict[str, Any]) -> Iterator[Restic]:
        """A client's repository, opened with the server's key, with the rights of the client's account.

        Raises:
            BackupError: the key cannot be read.
        """
        done = subprocess.run(
            ["age", "-d", "-i", os.path.join(self.folder, "identity"), self.key(client)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
            check=False,
        )
        if done.returncode:
            raise BackupError("the key of %s's repository cannot be read" % client["name"])
        # In memory alone: neither on a disk nor on a command line.
        file = os.memfd_create("key")
        try:
            os.write(file, done.stdout)
            yield Restic(self.repository(client), "/proc/self/fd/%d" % file, cache="", account=client["account"])
        finally:
            os.close(file)

    def prune(self, client: dict[str, Any]) -> dict[str, Any]:
        """Remove snapshots of a client that are old enough, and what nothing needs any more.

        Raises:
            BackupError: nothing was removed; the history says why.
        """
        entry = self.history.begin("prune", client["name"], [])
        entry.update(outcome="failed", error=None, snapshot=None, removed=[])
        began = time.monotonic()
        try:
            with self.opened(client) as restic:
                self.unlock(client, restic)
                came = {os.path.basename(path): os.stat(path).st_mtime for path in self.snapshot_files(client)}
                old = self.old_enough(restic.snapshots(), came, client["name"])
                if old:
                    restic.run("forget", *old)
                restic.run("prune")
                left = {os.path.basename(path) for path in self.snapshot_files(client)} & set(old)
                if left:
                    # 0.18 ends well when it could not.
                    raise BackupError("%d snapshots could not be removed" % len(left))
            entry.update(outcome="ok", removed=old)
        except BackupError as error:
            entry["error"] = str(error)
            self.tell(syslog.LOG_ERR, "kijun-backup-keeper: %s is not pruned: %s" % (client["name"], error))
            raise
        finally:
            entry["seconds"] = round(time.monotonic() - began, 1)
            self.history.end(entry)
        return entry

    def unlock(self, client: dict[str, Any], restic: Restic) -> None:
        """Take away locks of the dead. A client that has no session has no lock either, whatever it left behind.

        Raises:
            RepositoryLocked: the client has a session, and holds a lock.
        """
        folder = os.open(os.path.join(self.store, client["name"]), os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            restic.run("unlock", "--remove-all")
        except BlockingIOError:
            restic.unlock_stale()
        finally:
            os.close(folder)

    def old_enough(self, snapshots: list[dict[str, Any]], came: dict[str, float], name: str) -> list[str]:
        """Which snapshots are kept no longer.

        Args:
            snapshots: of one client.
            came: id -> when it came here, by this server's clock.
            name: the client.

        Returns:
            Their ids. The newest of each class and tag is never among them.

        Raises:
            BackupError: clocks contradict one another; nothing is to be removed.
        """
        now = self.now()
        newest = max([os.stat(path).st_mtime for one in self.clients() for path in self.snapshot_files(one)] or [0.0])
        if newest > now + HOUR:
            raise BackupError("the clock is wrong: something came here %d hours from now" % ((newest - now) / HOUR))
        if snapshots and now - newest > SILENCE:
            raise BackupError("nothing has come for %d days, or the clock is wrong" % ((now - newest) / DAY))
        for one in snapshots:
            said = time_of(one["time"])
            if said > now + HOUR:
                raise BackupError("snapshot %s of %s says that it is of %s" % (one["id"][:8], name, one["time"][:19]))
        kept: set[str] = set()
        last: dict[tuple[str, str], str] = {}
        for one in sorted(snapshots, key=lambda found: came.get(found["id"], now)):
            marks = one.get("tags") or []
            kind = next((mark[6:] for mark in marks if mark.startswith("class=")), "")
            # Marks such as change=ID are of one change alone: the last of each of them would never go.
            tags = [mark for mark in marks if "=" not in mark] or ["incremental"]
            last.update({(kind, tag): one["id"] for tag in tags})
            if now - came.get(one["id"], now) <= DAY * max(self.days(kind, tag) for tag in tags):
                kept.add(one["id"])
        return [one["id"] for one in snapshots if one["id"] not in kept | set(last.values())]

    def days(self, kind: str, tag: str) -> int:
        """How long snapshots of a class and tag are kept: what is set, and never shorter than the policy says."""
        given = {**self.settings["retention"], **self.settings["retention_classes"].get(kind, {})}
        # Of another tag than the known ones it is not known how long somebody needs it: as long as any.
        return int(max(MINIMUM.get(tag, max(MINIMUM.values())), given.get(tag, 0)))

    # The second copy.

    def copy(self) -> dict[str, Any]:
        """Copy all that is stored to the other place. What goes here stays there for some days more.

        Raises:
            BackupError: it was not copied; the history says why.
        """
        about = self.settings["copy"]
        entry = self.history.begin("copy", "", [])
        entry.update(outcome="failed", error=None, snapshot=None)
        began = time.monotonic()
        try:
            refuse_source(about, self.settings)
            target = "copy:" + about["path"].rstrip("/")
            day = datetime.datetime.fromtimestamp(self.now(), datetime.timezone.utc).strftime("%Y-%m-%d")
            apart = ["--exclude", "/*/repository/locks/**", "--backup-dir", "%s/removed/%s" % (target, day)]
            limit = ["--bwlimit", "%dK" % about["limit_kib"]] if about["limit_kib"] else []
            # What snapshots need comes first, so that none over there lacks anything.
            data = ["--exclude", "/*/repository/snapshots/**", "--exclude", "/*/repository/index/**"]
            for filters in ([*data], []):
                verb = "copy" if filters else "sync"
                self.rclone(verb, self.store, target + "/current", *filters, *apart, *limit, "--transfers=4")
            for old in self.rclone("lsf", "--dirs-only", target + "/removed").split():
                name = old.rstrip("/")
                with contextlib.suppress(ValueError):
                    age = self.now() - datetime.datetime.fromisoformat(name + "T00:00:00+00:00").timestamp()
                    if age > DAY * about["keep_days"]:
                        self.rclone("purge", "%s/removed/%s" % (target, name))
            entry["verified"] = self.look_at_copy(target + "/current")
            entry["outcome"] = "ok"
        except (BackupError, OSError) as error:
            entry["error"] = str(error)
            self.tell(syslog.LOG_ERR, "kijun-backup-keeper: no second copy: %s" % error)
            raise BackupError(str(error)) from None
        finally:
            entry["seconds"] = round(time.monotonic() - began, 1)
            self.history.end(entry)
        return entry

    def look_at_copy(self, target: str) -> int:
        """Read some files of the copy, and hold them against their names.

        Raises:
            RepositoryDamaged: one of them is not what it was.
        """
        looked = 0
        for client in self.clients():
            folder = self.repository(client)
            paths = [path for path in shuffled(folder) if os.stat(path).st_size <= 32 * MB][:3]
            # One that is not what its name says here already is told of elsewhere.
            for path in (path for path in paths if digest_of(path) == os.path.basename(path)):
                inner = os.path.join(client["name"], "repository", os.path.relpath(path, folder))
                content = self.rclone_bytes("cat", target + "/" + inner)
                if hashlib.sha256(content).hexdigest() != os.path.basename(path):
                    raise RepositoryDamaged("the copy of %s is damaged" % inner, [os.path.basename(path)])
                looked += 1
        return looked

    def rclone(self, *words: str) -> str:
        """Run rclone, and return what it prints."""
        return self.rclone_bytes(*words).decode("utf-8", "replace")

    def rclone_bytes(self, *words: str) -> bytes:
        """Run rclone.

        Raises:
            BackupError: it fails.
        """
        done = subprocess.run(
            ["rclone", "--config", os.path.join(self.folder, "rclone.conf"), "--retries=2", "--contimeout=20s", *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=DAY,
            check=False,
            env={"PATH": "/usr/bin:/bin", "HOME": "/root", "LC_ALL": "C.UTF-8"},
        )
        if done.returncode and not (words[0] == "lsf" and done.returncode == 3):
            # The store's own words may take two lines.
            said = " ".join(" ".join(done.stderr.decode("utf-8", "replace").strip().splitlines()[-2:]).split())
            raise BackupError("rclone %s: %s" % (words[0], said[-500:] or done.returncode))
        return done.stdout


def level_of(used: int) -> str:
    """What that many per cent are called."""
    return next((name for least, name in LEVELS if used >= least), "")


def digest_of(path: str) -> str:
    """SHA-256 of a file."""
    found = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            found.update(block)
    return found.hexdigest()


def shuffled(repository: str) -> list[str]:
    """Files of a repository that are named by what they hold, in no order."""
    found = [
        path
        for folder in ("data/*", "index", "snapshots", "keys")
        for path in glob.glob(os.path.join(repository, folder, "*"))
        if CONTENT.fullmatch(os.path.basename(path))
    ]
    random.shuffle(found)
    return found


def time_of(text: str) -> float:
    """A time as restic writes it, in seconds since 1970."""
    whole = re.sub(r"\.([0-9]{1,6})[0-9]*", r".\1", text.replace("Z", "+00:00"))
    # Python 3.9 takes three or six digits alone.
    whole = re.sub(r"\.([0-9]+)", lambda found: "." + found[1].ljust(6, "0"), whole)
    return datetime.datetime.fromisoformat(whole).timestamp()


def failing_disks() -> list[str]:
    """Disks that say of themselves that they fail (smartctl(8), where it is installed), and arrays that lack one."""
    found = []
    for path in glob.glob("/sys/block/md*/md/degraded"):
        with contextlib.suppress(OSError, ValueError), open(path, encoding="ascii") as file:
            if int(file.read()):
                found.append("array %s lacks a disk" % path.split("/")[3])
    if shutil.which("smartctl"):
        for path in glob.glob("/sys/block/*/device"):
            disk = path.split("/")[3]
            if disk.startswith(("loop", "sr", "ram")):
                continue
            done = subprocess.run(
                ["smartctl", "-H", "-j", "/dev/" + disk],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=60,
                check=False,
            )
            with contextlib.suppress(ValueError):
                said = json.loads(done.stdout).get("smart_status", {})
                if said.get("passed") is False:
                    found.append("%s says that it fails" % disk)
    return found


def is_here(name: str) -> bool:
    """Whether a name or address is this host's own."""
    try:
        places = {str(about[4][0]) for about in socket.getaddrinfo(name, None)}
    except OSError:
        return name.lower() in (socket.gethostname().lower(), "localhost")
    for place in places:
        family = socket.AF_INET6 if ":" in place else socket.AF_INET
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as one:
            one.bind((place, 0))
            return True
    return False


def refuse_source(about: dict[str, Any], settings: dict[str, Any]) -> None:
    """Refuse a second place that is this host, or one of those whose backups it would be.

    Raises:
        BackupError: it is.
    """
    name = str(about.get("host") or "")
    if not name:
        raise BackupError("a second copy goes to another host; this place names none")
    if is_here(name):
        raise BackupError("the second copy would be on this backup server itself: %s" % name)
    for client in settings["clients"]:
        if name in (client["name"], *client.get("addresses", [])):
            raise BackupError("the second copy would be on %s, whose backups it holds" % client["name"])


def main(arguments: list[str] | None = None) -> int:
    """The command ``kijun-backup-keeper``.

    Returns:
        0; 1 when something failed.
    """
    parser = argparse.ArgumentParser(prog="kijun-backup-keeper", description="Keep what a backup server holds.")
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("tidy", help="all that is due: look at the storage, prune, copy")
    prune = actions.add_parser("prune", help="remove what is old enough, now")
    prune.add_argument("client", nargs="*", help="these; all without any")
    actions.add_parser("copy", help="copy to the second place, now")
    actions.add_parser("status", help="how things stand")
    actions.add_parser("validate", help="look whether the settings can be what they are")
    given = parser.parse_args(arguments)
    os.umask(0o077)
    syslog.openlog("kijun-backup-keeper", 0, syslog.LOG_DAEMON)
    settings = read_json(SETTINGS)
    keeper = Keeper(settings)
    try:
        if given.action == "validate":
            if settings["copy"]:
                refuse_source(settings["copy"], settings)
            return 0
        if given.action == "status":
            print(json.dumps(keeper.noted(), indent=1, sort_keys=True))
            return 0
        lock = os.open(LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        keeper.history.recover()
        if given.action == "tidy":
            print(json.dumps(keeper.tidy(), indent=1, sort_keys=True))
        elif given.action == "copy":
            print(json.dumps(keeper.copy(), indent=1, sort_keys=True))
        else:
            unknown = set(given.client) - {client["name"] for client in keeper.clients()}
            if unknown:
                raise BackupError("there is no client %s" % ", ".join(sorted(unknown)))
            failed = []
            for client in keeper.clients():
                if client["name"] in given.client or not given.client:
                    try:
                        print(json.dumps(keeper.prune(client), indent=1, sort_keys=True))
                    except BackupError as error:
                        failed.append("%s: %s" % (client["name"], error))
            if failed:
                raise BackupError("; ".join(failed))
    except BackupError as error:
        print("kijun-backup-keeper: %s" % error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
