# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes of the host that are open, and what became of the last one."""

from __future__ import annotations

import calendar
import json
import os
import time
from typing import Any

from .host import Host
from .inventory import record_of

PROGRAM = "/usr/local/sbin/kijun-change"
OPEN = "/var/lib/kijun/change/open.json"
HISTORY = "/var/lib/kijun/change/history.jsonl"
SAID = ("ticket", "implementer", "confirmer", "impact", "dangers", "way_back")


def change(host: Host, keys: list[str]) -> dict[str, Any]:
    """Read what kijun-change keeps."""
    found = record_of(host, OPEN)
    since = calendar.timegm(time.strptime(found["started"], "%Y-%m-%dT%H:%M:%SZ")) if found else 0
    ended, last = [], None
    for number, line in enumerate((host.read_if_there(HISTORY) or "").splitlines(), 1):
        try:
            entry = json.loads(line)
            last = entry["outcome"]
            ended.append(entry)
        except (ValueError, KeyError, TypeError):
            host.problem(HISTORY, number, "not of its form")
    return {
        "installed": os.path.exists(host.path(PROGRAM)),
        "open": found.get("id"),
        "open_hours": round((time.time() - since) / 3600, 1) if found else 0,
        "failures": sorted(found.get("failures") or {}),
        "last": last,
        "unsaid": [str(entry.get("id")) for entry in ended if _lacks_something(entry)],
    }


def _lacks_something(entry: dict[str, Any]) -> bool:
    """Whether a change ended well without all that must be there.

    Args:
        entry: a line of the history.
    """
    if entry["outcome"] != "ok":
        return False
    backed_up = bool((entry.get("before") or {}).get("system")) and bool((entry.get("after") or {}).get("system"))
    people = [str(entry.get(name) or "") for name in ("implementer", "confirmer")]
    return not backed_up or not all(entry.get(name) for name in SAID) or people[0] == people[1]
