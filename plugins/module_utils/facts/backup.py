# SPDX-License-Identifier: GPL-3.0-or-later
"""How a host's backups stand, and what a backup server keeps of others."""

from __future__ import annotations

import os
import time
from datetime import datetime
from typing import Any

from .host import Host
from .inventory import record_of

SETTINGS = "/etc/kijun/backup.json"
STATUS = "/var/lib/kijun/backup/status.json"
ESCROW = "/etc/kijun/backup/escrow.json"
SERVER_SETTINGS = "/etc/kijun/backup-server/settings.json"
SERVER_STATUS = "/var/lib/kijun/backup-server/status.json"
HOUR, DAY = 3600, 86400


def age(text: Any, unit: int) -> float | None:
    """Hours or days since a time of the history; None for none. A time that is still to come is no age."""
    if not isinstance(text, str):
        return None
    seconds = time.time() - datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
    return round(seconds / unit, 2) if seconds > -HOUR else None


def backup(host: Host, keys: list[str]) -> dict[str, Any]:
    """Read what the host's own backups noted last."""
    settings, status = record_of(host, SETTINGS), record_of(host, STATUS)
    classes = [
        about
        for about in settings.get("classes", [])
        if not about.get("if_present") or os.path.exists(host.path(about["if_present"]))
    ]
    names = [str(about["name"]) for about in classes]
    known = status.get("classes", {})
    check, tests = status.get("check", {}), status.get("restore_test", {})
    newest = {name: known.get(name, {}).get("tags", {}) for name in names}
    failed = {name: known[name]["last"] for name in names if name in known}
    failed.update({"restore of " + name: tests[name]["last"] for name in names if name in tests})
    failed.update({"check": check["last"]} if check else {})
    return {
        "classes": sorted(names),
        "methods": {str(about["name"]): about.get("method") for about in classes},
        "server": settings.get("server"),
        "never": sorted(name for name in names if not known.get(name, {}).get("ok")),
        "age_hours": {name: age(known.get(name, {}).get("ok"), HOUR) for name in names},
        "full_age_days": {name: age(newest[name].get("full"), DAY) for name in names},
        "daily_age_hours": {
            name: age(max([newest[name].get(tag, "") for tag in ("incremental", "full")]) or None, HOUR)
            for name in names
        },
        "differential_age_hours": {
            name: age(max([newest[name].get(tag, "") for tag in ("differential", "full")]) or None, HOUR)
            for name in names
        },
        "failed": {
            name: str(last.get("error") or "failed") for name, last in failed.items() if last.get("outcome") != "ok"
        },
        "check_age_hours": age(check.get("ok"), HOUR),
        "restore_age_days": {name: age(tests.get(name, {}).get("ok"), DAY) for name in names},
        "restore_equal": {name: tests.get(name, {}).get("last", {}).get("equal") for name in names},
        "rto_minutes": {name: _minutes(tests.get(name, {}).get("last", {}).get("rto_seconds")) for name in names},
        "escrow_readers": len(record_of(host, ESCROW).get("for", [])),
        "escrow_host": settings.get("escrow_host") or None,
    }


def _minutes(seconds: Any) -> float | None:
    return round(seconds / 60, 1) if isinstance(seconds, (int, float)) else None


def backup_server(host: Host, keys: list[str]) -> dict[str, Any]:
    """Read what the keeper of a backup server noted last."""
    settings, status = record_of(host, SERVER_SETTINGS), record_of(host, SERVER_STATUS)
    clients = {str(about["name"]): about for about in status.get("clients", [])}
    names = [str(about["name"]) for about in settings.get("clients", [])]
    now, prune = time.time(), status.get("prune", {})
    newest = {name: clients.get(name, {}).get("newest") for name in names}
    return {
        "clients": sorted(names),
        "age_hours": round((now - status["time"]) / HOUR, 1) if "time" in status else None,
        "used_percent": status.get("used_percent"),
        "failing": status.get("failing"),
        "damaged": status.get("damaged"),
        "client_age_hours": {name: round((now - came) / HOUR, 1) if came else None for name, came in newest.items()},
        "client_used_percent": {name: clients.get(name, {}).get("used_percent") for name in names},
        "prune_age_hours": {name: age(prune.get(name, {}).get("ok"), HOUR) for name in names},
        "copy_host": settings.get("copy", {}).get("host"),
        "copy_age_hours": age(status.get("copy", {}).get("ok"), HOUR),
        "retention": settings.get("retention", {}),
        "retention_classes": settings.get("retention_classes", {}),
    }
