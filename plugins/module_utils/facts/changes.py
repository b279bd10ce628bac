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


def change(host: Host, keys: list[str]) -> dict[str, Any]:
    """Read what kijun-change keeps."""
    found = record_of(host, OPEN)
    since = calendar.timegm(time.strptime(found["started"], "%Y-%m-%dT%H:%M:%SZ")) if found else 0
    lines = (host.read_if_there(HISTORY) or "").splitlines()
    try:
        last = json.loads(lines[-1])["outcome"] if lines else None
    except (ValueError, KeyError):
        host.problem(HISTORY, len(lines), "not of its form")
        last = None
    return {
        "installed": os.path.exists(host.path(PROGRAM)),
        "open": found.get("id"),
        "open_hours": round((time.time() - since) / 3600, 1) if found else 0,
        "failures": sorted(found.get("failures") or {}),
        "last": last,
    }
