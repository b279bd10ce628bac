# SPDX-License-Identifier: GPL-3.0-or-later
"""A change of this host, from the backup before it to the one after it, or back (SM-4.9-2, SM-4.9-3, GL-3.2-3).

One change is open on a host at a time. It is written down before anything else is done, so that whoever comes next
knows of it, also after the host lost its power. One that nobody ends in time is taken back by the host itself
(``kijun-change watch``).
"""

from __future__ import annotations

import contextlib
import fcntl
import fnmatch
import json
import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from . import services
from .folders import folders, make_folders
from .history import History, write
from .history import moment as written
from .put_back import METADATA
from .restic import BackupError, Restic
from .restore import Changes as Differences
from .restore import Json, backup_command, bring_back, differences, is_folder, moment, take

DIRECTORY = Path("/var/lib/kijun/change")
LOCK = Path("/run/kijun-change.lock")
SYSTEM = "system"
"""The class of backup that a change is taken back with."""

BACKUPS = Path("/var/lib/kijun/backup/history.jsonl")

NOTED = 100
"""Paths that the history names of each thing that was done; restic knows them all."""

SMOKE_SECONDS = 30

KEPT_DAYS = 5 * 366
"""How long the history of changes stays on the host (clause SM-4.11-2)."""

NAMED = ("id", "ticket", "implementer", "confirmer", "impact", "dangers", "way_back")
"""What is known of a change before it begins (clauses GL-3.2-1 to GL-3.2-4)."""

REVISIONS = ("revision", "approved_revision")
"""What is known besides where AWX carries it out: revisions of the project."""

CLOCK_SLACK = 120
"""Seconds by which the clocks of a host and of who changes it may differ."""


class ChangeError(BackupError):
    """A change cannot go on; the text says why, and what to do."""


class Changes:
    """The changes of one host."""

    def __init__(self, directory: Path = DIRECTORY, lock: Path = LOCK) -> None:
        self.directory, self._lock = directory, lock
        self._open, self._history = directory / "open.json", History(str(directory), KEPT_DAYS)
        self.scratch = directory / "scratch"

    # ---- what is known ----

    def open(self) -> Json | None:
        """The change that is open, or None."""
        try:
            found: Json = json.loads(self._open.read_text("utf-8"))
        except FileNotFoundError:
            return None
        return found

    def history(self) -> list[Json]:
        """What became of earlier changes, the oldest first."""
        return self._history.lines()

    def status(self) -> Json:
        """The open change and the last one that ended, without what only the program itself needs."""
        change, ended = self.open(), self.history()
        return {"open": _public(change) if change else None, "last": ended[-1] if ended else None}

    # ---- what is done ----

    def begin(self, asked: Json) -> Json:
        """Back up, prove the backup, and open the change.

        Args:
            asked: `NAMED`, ``host`` (its name in the inventory), ``classes`` (names of classes of backup; system is
                among them in any case), ``seconds`` that the change may stay open, ``clock``: the time of who asks, and
                perhaps `REVISIONS`.

        Returns:
            The open change.

        Raises:
            ChangeError: another one is open, a value is missing, or there is no backup that can be relied on. Nothing
                is open then.
            BackupError: the repository does not do what is asked of it.
        """
        missing = [name for name in NAMED if not str(asked.get(name) or "").strip()]
        if missing:
            raise ChangeError("the change does not say its %s (clause GL-3.2-4)" % ", ".join(missing))
        if asked["implementer"] == asked["confirmer"]:
            raise ChangeError("the confirmer must be somebody else than the implementer (clause GL-3.2-4)")
        with self._alone():
            refuse_wrong_clock(asked.get("clock"))
            self._refuse_second(asked["id"])
            change: Json = {name: str(asked[name]) for name in NAMED}
            change.update({name: str(asked[name]) for name in REVISIONS if asked.get(name)})
            change["host"] = str(asked.get("host") or os.uname().nodename)
            change.update(
                phase="preparing",
                started=written(time.time()),
                seconds=int(asked["seconds"]),
                boot=_boot_id(),
                uptime=_uptime(),
                before={},
            )
            self._write(change)
            try:
                for name in dict.fromkeys([SYSTEM, *asked.get("classes", [])]):
                    change["before"][name] = self._proven(name, ["before-change", "change=" + change["id"]])
                change.update(phase="open", units=services.units(), folders=folders())
            except BaseException:
                self._open.unlink()
                raise
            self._write(change)
            return _public(change)

    def hold(self, change_id: str, seconds: int) -> Json:
        """Have the change taken back soon, unless `check` is asked for within that time.

        Whoever asks for it logs in afresh then; a change that lets nobody in any more so ends by itself.

        Args:
            change_id: the change.
            seconds: how soon.

        Raises:
            ChangeError: it is not open.
        """
        with self._alone():
            change = self._the_open(change_id)
            self._write({**change, "hold": {"boot": _boot_id(), "uptime": _uptime(), "seconds": seconds}})
        return {}

    def check(self, change_id: str, tests: Sequence[Json] = (), stable: int = 0) -> Json:
        """Whether what ran before the change still runs, stays so for a while, and does what it is there for.

        Args:
            change_id: the change.
            tests: commands that must succeed: ``name``, ``command`` for sh(1), and ``seconds`` that it may take.
            stable: for how many seconds units must be well.

        Returns:
            ``unwell``: a line for each thing that is not as it must be.

        Raises:
            ChangeError: it is not open.
        """
        with self._alone():
            change = self._the_open(change_id)
            if change.pop("hold", None):  # whoever asks has been let in
                self._write(change)
        until = time.monotonic() + stable
        unwell = [*services.unwell(change["units"], services.units()), *smoke(tests)]
        while not unwell and time.monotonic() < until:
            time.sleep(min(2.0, max(0.0, until - time.monotonic())))
            unwell = services.unwell(change["units"], services.units())
        if not unwell and stable:
            unwell = smoke(tests)
        return {"unwell": unwell}

    def end(self, change_id: str) -> Json:
        """Back up what the change came to, and close it.

        Args:
            change_id: the change.

        Returns:
            Its entry in the history.

        Raises:
            ChangeError: it is not open.
            BackupError: the backup failed; the change stays open.
        """
        with self._alone():
            change = self._the_open(change_id)
            tags = ["after-change", "change=" + change_id]
            after = {name: self._proven(name, tags) for name in change["before"]}
            return self._close(change, "change", "ok", after=after)

    def roll_back(self, change_id: str, why: str) -> Json:
        """Bring the host back to where it was before the open change.

        Args:
            change_id: the change.
            why: what went wrong.

        Returns:
            Its entry in the history, with what was put back.

        Raises:
            ChangeError: it is not open, or something could not be put back; it stays open then.
            BackupError: the repository does not do what is asked of it; it stays open then.
        """
        with self._alone():
            change = self._the_open(change_id)
            return self._roll_back_open(change, why)

    def undo(self, change_id: str, asked: Json) -> Json:
        """Take back a change that was ended: what it changed, and nothing that was changed since. Or one that is open.

        Args:
            change_id: the change.
            asked: `NAMED` of the taking back, ``seconds``, and ``over_later``: also take back what was changed since.

        Returns:
            Its entry in the history, with what was put back.

        Raises:
            ChangeError: there is no such change, or later changes stand in its way; names their paths.
            BackupError: the repository does not do what is asked of it.
        """
        change = self.open()
        if change is not None and change["id"] == change_id:
            return self.roll_back(change_id, "taken back by %s (%s)" % (asked.get("implementer"), asked.get("ticket")))
        ended = [entry for entry in self.history() if entry.get("change") == change_id and entry["kind"] == "change"]
        if not ended or ended[-1]["outcome"] != "ok":
            raise ChangeError("%s is no change that was ended on this host; there are %s" % (change_id, self._known()))
        before, after = ended[-1]["before"][SYSTEM], ended[-1]["after"][SYSTEM]
        self.begin({**asked, "classes": []})
        with self._alone():
            change = self._the_open(asked["id"])
            try:
                repository = Restic.of_host()
                own = differences(repository, before, after, _kept)
                later = {path for _, path in differences(repository, after, change["before"][SYSTEM], _kept)}
                files = {path for letter, path in own if not (letter == METADATA and is_folder(path))}
                in_the_way = sorted(files & later)
                if in_the_way and not asked.get("over_later"):
                    raise ChangeError(
                        "%d paths that %s changed were changed again since, among them %s; allow it to take these back "
                        "too (kijun_rollback_over_later), or undo the later change first"
                        % (len(in_the_way), change_id, ", ".join(in_the_way[:5]))
                    )
                done = self._bring_back(repository, change, before, own)
            except BaseException as error:
                self._close(change, "rollback", "failed", of=change_id, error=str(error))
                raise
            return self._close(change, "rollback", "ok", of=change_id, after={SYSTEM: done["proof"]}, **done)

    def watch(self) -> Json | None:
        """Take back a change that stayed open for too long, or that a killed run or a lost power left half taken back.

        Returns:
            The history's entry, or None where there was nothing to do.

        Raises:
            ChangeError: something could not be put back.
            BackupError: the repository does not do what is asked of it. It is tried again at the next call.
        """
        try:
            with self._alone():
                change = self.open()
                if change is None:
                    return None
                if change["phase"] == "preparing":  # its program is dead, or the lock would not be ours
                    self._open.unlink()
                    return None
                if change["phase"] == "rolling_back":
                    return self._roll_back_open(change, change.get("why", "it was interrupted while it was taken back"))
                if not overdue(change):
                    return None
                return self._roll_back_open(change, "nobody ended it within %d s" % change["seconds"])
        except BlockingIOError:
            return None

    # ---- how ----

    def _roll_back_open(self, change: Json, why: str) -> Json:
        change.update(phase="rolling_back", why=why)
        self._write(change)
        # What came with the change ends before its files go.
        stop = services.planned(change["units"], services.units(), ()).stop
        services.carry_out(services.Plan(stop=[unit for unit in stop if unit not in change["units"]]))
        done = self._bring_back(Restic.of_host(), change, change["before"][SYSTEM])
        return self._close(change, "change", "rolled_back", error=why, **done)

    def _bring_back(self, repository: Restic, change: Json, before: str, only: Differences | None = None) -> Json:
        """Put back files, prove by another backup that they are what they were, and have units run as they did.

        Raises:
            ChangeError: something is not as it was.
        """
        tags = ["change=" + change["id"]]
        done = bring_back(repository, SYSTEM, before, _kept, str(self.scratch), tags, only=only)
        made = make_folders(change.get("folders") or {})
        services.reload_manager()
        touched = done.outcome.paths()
        plan = services.planned(change["units"], services.units(), touched)
        failures = {**done.outcome.failures, **services.carry_out(plan)}
        if failures:
            self._write({**change, "failures": failures})
            named = "; ".join("%s: %s" % item for item in list(failures.items())[:5])
            raise ChangeError("%d things could not be put back: %s" % (len(failures), named))
        return {
            "count": len(touched) + len(made),
            "folders": made[:NOTED],
            "put_back": {
                "replaced": done.outcome.replaced[:NOTED],
                "removed": done.outcome.removed[:NOTED],
                "attributes": done.outcome.attributes[:NOTED],
            },
            "units": {"restarted": plan.restart, "started": plan.start, "stopped": plan.stop},
            "restart_needed": services.wants_restart(touched),
            "proof": done.proof,
        }

    def _proven(self, name: str, tags: list[str]) -> str:
        """Take a backup, have it read back, and give its snapshot."""
        snapshot: str = take(name, tags)["snapshot"]
        proof = backup_command("verify", snapshot)
        if not (isinstance(proof, dict) and proof.get("ok")):
            raise ChangeError("the backup %s of %s cannot be read back; nothing was changed" % (snapshot[:8], name))
        return snapshot

    def _close(self, change: Json, kind: str, outcome: str, **more: Any) -> Json:
        entry = {
            **{name: change[name] for name in (*NAMED, *REVISIONS) if name in change},
            # The journal has one entry for each host.
            "id": "%s@%s" % (change["id"], change["host"]),
            "change": change["id"],
            "kind": kind,
            "started": change["started"],
            "seconds": round(time.time() - moment(change["started"]), 1),
            "outcome": outcome,
            "before": change["before"],
            "after": {},
            "error": None,
            **more,
        }
        self._history.append(entry)
        self._history.shorten(time.time())
        with contextlib.suppress(FileNotFoundError):
            self._open.unlink()
        return entry

    def _refuse_second(self, change_id: str) -> None:
        change = self.open()
        if change is None:
            return
        if change["phase"] == "preparing":
            self._open.unlink()
            return
        raise ChangeError(
            "change %s (%s, by %s) is open on this host since %s; where its run was cancelled or killed, the host "
            "takes it back by itself in about %d s, and rollback.yml does so at once. Begin %s again after that"
            % (
                *(change[name] for name in ("id", "ticket", "implementer", "started")),
                max(0, left(change)),
                change_id,
            )
        )

    def _the_open(self, change_id: str) -> Json:
        change = self.open()
        if change is None or change["id"] != change_id:
            raise ChangeError(
                "change %s is not open on this host; %s"
                % (change_id, "%s is" % change["id"] if change else "none is; the last ones were %s" % self._known())
            )
        return change

    def _known(self) -> str:
        return (
            ", ".join("%s (%s, %s)" % (e.get("change"), e["kind"], e["outcome"]) for e in self.history()[-5:]) or "none"
        )

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Nobody else works on this host's change meanwhile.

        Raises:
            BlockingIOError: somebody does.
        """
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(self._lock, "a", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield

    def _write(self, change: Json) -> None:
        write(str(self._open), json.dumps(change))


ALIVE = (
    "/var/lib/kijun/system-state*",
    "/var/lib/systemd/timers*",
    "/var/lib/systemd/timesync*",
    "/var/lib/systemd/random-seed",
    "/var/lib/systemd/rfkill*",
    "/var/lib/systemd/catalog*",
    "/var/lib/dpkg/lock*",
    "/var/lib/dpkg/triggers/Lock",
    "/etc/.pwd.lock",
)
"""Paths that a running host writes by itself: each backup's words on the system, state of clocks and timers, locks."""

NEVER = (
    *ALIVE,
    "/var/lib/kijun/backup*",
    "/var/lib/kijun/change*",
    "/var/lib/kijun/restore*",
    "/var/lib/kijun/guard*",
    "/var/lib/kijun/inventory*",
    "/var/lib/kijun/log-keeper*",
    "/var/lib/kijun/log-review*",
    "/var/lib/kijun/session-sender*",
)
"""Paths that are what they are for the host's own sake: state of clocks, timers and watches, locks, records of work."""


def _kept(path: str) -> bool:
    """Whether a path is one that may be put back."""
    return not any(fnmatch.fnmatch(path, never) for never in NEVER)


def smoke(tests: Sequence[Json]) -> list[str]:
    """Run commands that must succeed.

    Args:
        tests: see `Changes.check`.

    Returns:
        A line for each that does not.
    """
    found = []
    for test in tests:
        seconds = int(test.get("seconds") or SMOKE_SECONDS)
        try:
            done = subprocess.run(
                ["sh", "-c", test["command"]],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            found.append("%s: not done within %d s" % (test["name"], seconds))
            continue
        if done.returncode:
            said = done.stdout.decode(errors="replace").strip()[-300:]
            found.append("%s: exit status %d: %s" % (test["name"], done.returncode, said))
    return found


def overdue(change: Json) -> bool:
    """Whether a change stayed open for longer than it may. The clock of the machine's start counts, which nobody sets.

    Args:
        change: the open change.
    """
    if left(change) <= 0:
        return True
    hold: Json | None = change.get("hold")
    if hold is None:
        return False
    return bool(hold["boot"] != _boot_id() or _uptime() - hold["uptime"] >= hold["seconds"])


def left(change: Json) -> float:
    """Seconds for which a change may still stay open.

    Args:
        change: the open change.
    """
    return float(change["seconds"]) - _since(change["boot"], change["uptime"], moment(change["started"]))


def _since(boot: str, uptime: float, started: float) -> float:
    """Seconds since a moment; after a restart of the host, its clock must do for what was before."""
    if boot == _boot_id():
        return _uptime() - uptime
    return _uptime() + max(0.0, time.time() - _uptime() - started)


def refuse_wrong_clock(clock: float | None, history: Path = BACKUPS) -> None:
    """Refuse to begin where times cannot be relied on: backups would stand in a wrong order, and be kept too short.

    Args:
        clock: the time of who changes the host, seconds since 1970; None where nobody says it.
        history: what kijun-backup wrote down.

    Raises:
        ChangeError: the host's clock says another time, or one before its last backup.
    """
    now = time.time()
    if clock is not None and abs(now - clock) > CLOCK_SLACK:
        raise ChangeError(
            "this host's clock is %d s %s that of who changes it; nothing was changed (role time_sync sets it right)"
            % (abs(now - clock), "behind" if now < clock else "ahead of")
        )
    with contextlib.suppress(FileNotFoundError):
        for line in history.read_text("utf-8").splitlines()[-20:]:
            with contextlib.suppress(ValueError, KeyError):
                started = json.loads(line)["started"]
                if moment(started) > now + CLOCK_SLACK:
                    raise ChangeError(
                        "a backup of this host was taken at %s, and its clock says %s: one of them is wrong; nothing "
                        "was changed" % (started, written(now))
                    )


def _public(change: Json) -> Json:
    return {name: value for name, value in change.items() if name not in ("units", "folders", "boot", "uptime")}


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()


def _uptime() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)
