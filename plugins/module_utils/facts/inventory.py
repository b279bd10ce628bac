# SPDX-License-Identifier: GPL-3.0-or-later
"""What the host's own programs found last: the file inventory, and the comparison with the integrity baseline.

Both walk whole disks, at low priority, and leave a record; the audit reads the record and says how old it is.
"""

from __future__ import annotations

import hashlib
import json
import os
import pwd
import stat
import time
from typing import Any

from ..verdict import Unreadable
from .host import Host

INVENTORY = "/var/lib/kijun/inventory/files.json"
INVENTORY_SETTINGS = "/etc/kijun/file-inventory.json"
BASELINE = "/var/lib/kijun/integrity/baseline.json"
CHECK = "/var/lib/kijun/integrity/check.json"
DATABASE = "/var/lib/aide/aide.db"
AIDE_CONFIGURATION = "/etc/aide/aide.conf"
DAY = 86400


def record_of(host: Host, path: str) -> dict[str, Any]:
    """A record; empty when there is none.

    Raises:
        ValueError: it is no JSON object.
    """
    text = host.read_if_there(path)
    record = json.loads(text) if text else {}
    if not isinstance(record, dict):
        raise ValueError("%s holds no record" % path)
    return record


def _age(record: dict[str, Any]) -> float | None:
    """Days since a record was made."""
    return round((time.time() - record["time"]) / DAY, 2) if record.get("time") else None


def _digest(host: Host, path: str) -> str | None:
    """SHA-256 of a file; None when there is none."""
    found = hashlib.sha256()
    try:
        with open(host.path(path), "rb") as file:
            for block in iter(lambda: file.read(1 << 20), b""):
                found.update(block)
    except FileNotFoundError:
        return None
    return found.hexdigest()


def _ours(host: Host, path: str) -> bool:
    """Whether a record was written by root, and can be by nobody else."""
    try:
        info = os.lstat(host.path(path))
    except FileNotFoundError:
        return True
    return info.st_uid == os.geteuid() and stat.S_ISREG(info.st_mode) and not info.st_mode & 0o077


def _changeable(host: Host, paths: Any) -> list[str]:
    """Programs with rights of their own that others than root can write to, now."""
    found = []
    for path in paths:
        try:
            info = os.lstat(host.path(path))
        except OSError:
            continue
        writable = info.st_mode & 0o022
        if info.st_uid or writable:
            try:
                owner = pwd.getpwuid(info.st_uid).pw_name
            except KeyError:
                owner = str(info.st_uid)
            found.append("%s: %04o, owned by %s" % (path, stat.S_IMODE(info.st_mode), owner))
    return found


def inventory(host: Host, keys: set[str]) -> dict[str, Any]:
    """Read the file inventory."""
    if not _ours(host, INVENTORY):
        return {key: Unreadable("%s: others than root can write to it" % INVENTORY) for key in keys}
    record = record_of(host, INVENTORY)
    found = record.get("found", {})
    nothing = Unreadable("there is no file inventory yet: kijun-file-inventory.service makes it")
    tree: dict[str, Any] = {kind: found.get(kind, nothing) for kind in KINDS}
    tree["age_days"] = _age(record)
    tree["files"] = record.get("files")
    tree["seconds"] = record.get("seconds")
    tree["skipped"] = record.get("skipped", nothing)
    tree["cut_short"] = [kind for kind, count in record.get("counts", {}).items() if count > len(found.get(kind, {}))]
    tree["settings_current"] = bool(record) and record.get("settings") == _digest(host, INVENTORY_SETTINGS)
    tree["privileged_paths"] = sorted(found["privileged"]) if "privileged" in found else nothing
    tree["capability_paths"] = sorted(found["capabilities"]) if "capabilities" in found else nothing
    tree["changeable"] = _changeable(host, found["privileged"]) if "privileged" in found else nothing
    return tree


KINDS = ("privileged", "capabilities", "unowned", "writable_files", "open_directories", "unread")
"""What the inventory lists."""


def integrity(host: Host, keys: set[str]) -> dict[str, Any]:
    """Read the integrity baseline, and what the last comparison with it found."""
    baseline, check = record_of(host, BASELINE), record_of(host, CHECK)
    state = baseline.get("state", "missing")
    if state == "being made":
        state += " since " + time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(baseline["time"]))
    database = _digest(host, DATABASE) if "database" in keys or "database_intact" in keys else None
    if state == "made" and not check:  # it is what the host was found to be then; the first comparison is due in a day
        check = {"time": baseline["time"], "counts": {}, "found": {"added": [], "removed": [], "changed": []}}
    none_yet = Unreadable("there was no comparison with this baseline yet: dailyaidecheck.service makes it")
    found = check.get("found", {})
    return {
        "baseline": state,
        "baseline_age_days": _age(baseline),
        "ticket": baseline.get("ticket"),
        "database": database,
        "database_intact": database is not None and database == baseline.get("sha256"),
        "settings_current": bool(baseline) and baseline.get("settings") == _digest(host, AIDE_CONFIGURATION),
        "check_age_days": _age(check),
        "differences": sum(check["counts"].values()) if check else none_yet,
        **{kind: found.get(kind, none_yet) for kind in ("added", "removed", "changed")},
    }
