# SPDX-License-Identifier: GPL-3.0-or-later
"""What forwards records, and what keeps those of others."""

from __future__ import annotations

import glob
import hashlib
import os
import re
import time
from typing import Any

from .host import Host
from .inventory import record_of

CONFIGURATION = "/etc/rsyslog.conf"
SPOOL = "/var/spool/rsyslog"
STATUS = "/var/lib/kijun/log-keeper/status.json"
SETTINGS = "/etc/kijun/log-server/keeper.json"
OUTBOX = "/var/spool/rsyslog/sessions/"
SHIPPED = "/var/lib/kijun/session-sender/status.json"
GROUP = "kijun-logs"
REVIEW = "/var/lib/kijun/log-review"
RULES = "/etc/kijun/log-review/rules.json"

ACTION = re.compile(r"action\((?P<inside>(?:[^()\"]|\"[^\"]*\")*)\)", re.DOTALL)
SETTING = re.compile(r"([A-Za-z.]+)\s*=\s*(\[[^\]]*\]|\"[^\"]*\")")


def log_forwarding(host: Host, keys: list[str]) -> dict[str, Any]:
    """Read where rsyslog sends records, and what waits (rsyslog.conf(5), module omrelp)."""
    text = re.sub(r"(?m)^\s*#.*$", "", host.read_if_there(CONFIGURATION) or "")
    targets, unprotected, files = [], [], re.findall(r"input\(type=\"imfile\" file=\"([^\"]*)\"", text)
    for action in ACTION.finditer(text):
        settings = {name.lower(): value.strip('"[]') for name, value in SETTING.findall(action["inside"])}
        if settings.get("type") != "omrelp":
            continue
        name = settings.get("tls.permittedpeer", "") or settings.get("target", "")
        targets.append(name.strip('"'))
        if settings.get("tls") != "on" or settings.get("tls.authmode") != "name" or "tls.permittedpeer" not in settings:
            unprotected.append(name.strip('"'))
    waiting = sum(os.path.getsize(path) for path in glob.glob(host.path(SPOOL + "/to-*.0*")))
    return {
        "targets": sorted(targets),
        "unprotected": sorted(unprotected),
        "journal": 'module(load="imjournal"' in text,
        "files": sorted(file for file in files if not file.startswith(OUTBOX)),
        "sessions": any(file.startswith(OUTBOX) for file in files),
        "waiting_mb": round(waiting / 1e6),
    }


def recorded_sessions(host: Host, keys: list[str]) -> dict[str, Any]:
    """Read what kijun-session-sender noted last."""
    status, now = record_of(host, SHIPPED), time.time()
    oldest = status.get("oldest")
    return {
        "looked_minutes": round((now - status["time"]) / 60) if "time" in status else None,
        "waiting": status.get("waiting"),
        "waiting_minutes": (round((now - oldest) / 60) if oldest else 0) if status else None,
        "problem": status.get("problem"),
    }


def log_store(host: Host, keys: list[str]) -> dict[str, Any]:
    """Read what the keeper of a log server found last, and who may read the records."""
    status = record_of(host, STATUS)
    settings = record_of(host, SETTINGS)
    members = [
        line.split(":")[3].split(",")
        for line in (host.read_if_there("/etc/group") or "").splitlines()
        if line.startswith(GROUP + ":") and line.count(":") == 3
    ]
    return {
        "age_hours": round((time.time() - status["time"]) / 3600, 1) if "time" in status else None,
        "used_percent": status.get("used_percent"),
        "lacking": status.get("lacking"),
        "unsigned": status.get("unsigned"),
        "oldest": status.get("oldest"),
        "not_append_only": status.get("not_append_only"),
        "days": settings.get("days"),
        "journal_days": settings.get("journal_days"),
        "readers": sorted(name for names in members for name in names if name),
    }


def log_review(host: Host, keys: list[str]) -> dict[str, Any]:
    """Read what the watch over a log server's records and the review of its days noted last."""
    watch = record_of(host, REVIEW + "/watch-status.json")
    review = record_of(host, REVIEW + "/review-status.json")
    alerts = record_of(host, REVIEW + "/alerts.json")
    rules = host.read_if_there(RULES)
    wanted = hashlib.sha256(rules.encode("utf-8", "surrogateescape")).hexdigest() if rules else ""
    return {
        "rules": sorted(str(rule.get("id")) for rule in record_of(host, RULES).get("rules", [])),
        "in_force": bool(rules) and watch.get("rules_hash") == wanted,
        "watch_age_seconds": round(time.time() - watch["time"]) if "time" in watch else None,
        "behind_mb": round(watch["behind"] / 1e6) if "behind" in watch else None,
        "silent": watch.get("silent"),
        "review_age_hours": round((time.time() - review["time"]) / 3600, 1) if "time" in review else None,
        "unreviewed": review.get("due"),
        "told_to": record_of(host, RULES).get("mail", {}).get("to"),
        "alert_age_seconds": round(time.time() - alerts["time"]) if "time" in alerts else None,
        "untold": alerts.get("problem"),
    }
