# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may have jobs run at a time: crontab(1) and at(1)."""

from __future__ import annotations

import os
import stat
from typing import Any

from ..host_accounts.activity import at_jobs, crontabs
from .files import owner_name
from .host import Host, lines

PLACES = (
    "/etc/crontab",
    *("/etc/cron.%s" % name for name in ("d", "hourly", "daily", "weekly", "monthly", "yearly")),
)
"""What cron(8) runs as root, or as whom a line names."""


def _names(host: Host, path: str) -> list[str] | None:
    """The names in an allow-list or deny-list; None when there is none."""
    try:
        return sorted({line.strip() for line in lines(host.read(path)) if line.strip()})
    except FileNotFoundError:
        return None


def _open(host: Host) -> list[str]:
    """Those of `PLACES` that not only root can read or change."""
    found = []
    for path in PLACES:
        try:
            info = os.stat(host.path(path))
        except FileNotFoundError:
            continue
        mode = stat.S_IMODE(info.st_mode)
        if info.st_uid or info.st_gid or mode & 0o077:
            found.append("%s: %s, %04o" % (path, owner_name(info.st_uid), mode))
    return found


def cron(host: Host, keys: set[str]) -> dict[str, Any]:
    """Read the allow-lists and who has jobs."""
    return {
        "allow": _names(host, "/etc/cron.allow"),
        "deny": _names(host, "/etc/cron.deny"),
        "at_allow": _names(host, "/etc/at.allow"),
        "at_deny": _names(host, "/etc/at.deny"),
        "users": sorted(crontabs(host) | {owner_name(uid) for uid in at_jobs(host)}),
        "open": _open(host),
    }
