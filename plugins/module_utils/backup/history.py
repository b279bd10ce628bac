# SPDX-License-Identifier: GPL-3.0-or-later
"""What was done with backups on this host, a line of JSON each, and what the audit reads of it."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import time
import uuid
from typing import Any

STATE = "/var/lib/kijun/backup"
DAYS = 400
"""How long lines are kept; the operations journal has them by then."""


def moment(seconds: float) -> str:
    """A time as ISO 8601 has it, in UTC."""
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def write(path: str, text: str, mode: int = 0o600) -> None:
    """Write a file whole, or not at all."""
    new = path + ".part"
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), mode)
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(new, path)
    # A lost power would otherwise bring the earlier one back.
    folder = os.open(os.path.dirname(path), os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def read_json(path: str) -> Any:
    """What a file of JSON holds."""
    with open(path, encoding="utf-8") as file:
        return json.load(file)


class History:
    """The host's history of backups.

    Args:
        state: the directory where it is.
        days: how long lines are kept.
    """

    def __init__(self, state: str = STATE, days: int = DAYS) -> None:
        self.state, self.days = state, days
        self.path = os.path.join(state, "history.jsonl")
        self.mark = os.path.join(state, "running.json")

    def begin(self, kind: str, name: str, tags: list[str]) -> dict[str, Any]:
        """Note that something begins, so that it is known of even when the host dies over it."""
        os.makedirs(self.state, mode=0o700, exist_ok=True)
        entry = {
            "id": str(uuid.uuid4()),
            "kind": kind,
            "class": name,
            "tags": tags,
            "started": moment(time.time()),
        }
        self.recover()
        write(self.mark, json.dumps({**entry, "since": time.time()}) + "\n")
        return entry

    def end(self, entry: dict[str, Any]) -> dict[str, Any]:
        """Note how it ended."""
        self.append(entry)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.mark)
        return entry

    def recover(self) -> None:
        """Note as failed what never ended."""
        try:
            entry = read_json(self.mark)
        except FileNotFoundError:
            return
        except ValueError:
            entry = {"id": str(uuid.uuid4()), "kind": "backup", "class": "", "tags": [], "started": moment(time.time())}
        if not any(line.get("id") == entry["id"] for line in self.lines()):
            since = entry.pop("since", time.time())
            about = {"seconds": round(max(0.0, time.time() - since), 1), "outcome": "failed", "snapshot": None}
            self.append({**entry, **about, "error": "interrupted: the host or the process ended"})
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.mark)

    def append(self, entry: dict[str, Any]) -> None:
        """Add a line. One that a dying host left unfinished is ended first."""
        os.makedirs(self.state, mode=0o700, exist_ok=True)
        line = json.dumps(entry, ensure_ascii=True, sort_keys=True).encode() + b"\n"
        file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            size = os.fstat(file).st_size
            if size and os.pread(file, 1, size - 1) != b"\n":
                line = b"\n" + line
            os.write(file, line)
            os.fsync(file)
        finally:
            os.close(file)

    def lines(self) -> list[dict[str, Any]]:
        """The entries, oldest first; what is no entry is left out."""
        found = []
        with contextlib.suppress(FileNotFoundError), open(self.path, "rb") as file:
            for line in file:
                with contextlib.suppress(ValueError):
                    entry = json.loads(line)
                    if isinstance(entry, dict) and "kind" in entry:
                        found.append(entry)
        return found

    def shorten(self, now: float) -> None:
        """Take out what is old enough."""
        least = moment(now - self.days * 86400)
        lines = self.lines()
        kept = [entry for entry in lines if str(entry.get("started", "")) >= least]
        if len(kept) != len(lines):
            write(self.path, "".join(json.dumps(entry, sort_keys=True) + "\n" for entry in kept))


def summary(lines: list[dict[str, Any]]) -> dict[str, Any]:
    """The last of everything, for the audit.

    Args:
        lines: the history.

    Returns:
        ``classes``: name -> ``last`` (entry), ``ok`` (when the last good one began), ``tags`` (tag -> the same of those
        with it); ``check``: ``last`` and ``ok``; ``restore_test``: name -> ``last`` and ``ok``; ``prune`` and ``copy``
        the same, of a server.
    """
    found: dict[str, Any] = {"classes": {}, "check": {}, "restore_test": {}, "prune": {}, "copy": {}}
    for entry in lines:
        kind, good = entry["kind"], entry.get("outcome") == "ok"
        if kind == "backup":
            about = found["classes"].setdefault(entry["class"], {"ok": None, "tags": {}})
            if good:
                about["tags"].update(dict.fromkeys(entry.get("tags", []), entry["started"]))
        elif kind in ("restore_test", "prune"):
            about = found[kind].setdefault(entry["class"], {"ok": None})
        elif kind in ("check", "copy"):
            about = found[kind]
            about.setdefault("ok", None)
        else:
            continue
        about["last"] = entry
        if good:
            about["ok"] = entry["started"]
    return found
