# SPDX-License-Identifier: GPL-3.0-or-later
"""Security updates: how the daily slot is set up, and what it recorded last.

Asking apt which updates there are takes seconds; the slot asks, and leaves a record, and the audit reads the record and
says how old it is.
"""

from __future__ import annotations

import json
import os
import re
import stat
import time
from typing import Any

from ..verdict import Unreadable
from .host import Host

STATE = "/var/lib/kijun/updates.json"
TIMER, SERVICE = "apt-daily-upgrade.timer", "apt-daily-upgrade.service"
RECORDER = "/usr/local/lib/kijun/updates"
DAY = 86400

SECONDS = {"w": 604800, "d": DAY, "h": 3600, "min": 60, "s": 1}
"""Units of time as systemctl(1) prints them; shorter ones do not count here."""

OF_TIMER = {"slot", "spread_minutes", "catches_up", "recorded_by_slot"}
OF_APT = {"installs", "origins", "held", "reboots"}


def _span(text: str) -> int:
    """Seconds of a time span such as ``1h 30min``."""
    words = re.findall(r"([0-9]+)([a-z]+)", text)
    return sum(int(number) * SECONDS.get(unit, 0) for number, unit in words)


def _timer(host: Host) -> dict[str, Any]:
    """When the slot is, and what it ends with, as systemd has them loaded."""
    wanted = "--property=TimersCalendar,RandomizedDelayUSec,Persistent,ExecStopPost"
    lines = host.run("systemctl", "show", wanted, "--", TIMER, SERVICE).splitlines()
    values = [line.partition("=")[::2] for line in lines]
    return {
        "slot": [
            found
            for name, text in values
            if name == "TimersCalendar"
            for found in re.findall(r"OnCalendar=(.*?) ;", text)
        ],
        "spread_minutes": sum(_span(text) for name, text in values if name == "RandomizedDelayUSec") // 60,
        "catches_up": ("Persistent", "yes") in values,
        "recorded_by_slot": any(
            name == "ExecStopPost" and "argv[]=%s slot ;" % RECORDER in text for name, text in values
        ),
    }


def _apt(host: Host) -> dict[str, Any]:
    """What unattended-upgrades does, by apt's settings, in which later files outdo earlier ones."""
    values: dict[str, list[str]] = {}
    for name, text in re.findall(r'^(\S+) "(.*)";$', host.run("apt-config", "dump"), re.MULTILINE):
        values.setdefault(name.lower(), []).append(text)

    def last(name: str, otherwise: str) -> str:
        return values.get(name, [otherwise])[-1]

    older = ["Allowed-Origins: " + text for text in values.get("unattended-upgrade::allowed-origins::", [])]
    return {
        "installs": "0" not in (last("apt::periodic::enable", "1"), last("apt::periodic::unattended-upgrade", "0")),
        "origins": values.get("unattended-upgrade::origins-pattern::", []) + older,
        "held": values.get("unattended-upgrade::package-blacklist::", []),
        "reboots": last("unattended-upgrade::automatic-reboot", "false").lower() in ("1", "true", "yes", "on"),
    }


def _record(host: Host) -> dict[str, Any] | Unreadable:
    """The record of the last slot."""
    try:
        info = os.lstat(host.path(STATE))
    except FileNotFoundError:
        return Unreadable("nothing was recorded yet: kijun-updates.service and the daily slot do")
    if info.st_uid != os.geteuid() or not stat.S_ISREG(info.st_mode) or info.st_mode & 0o077:
        return Unreadable("%s: others than root can get at it" % STATE)
    record = json.loads(host.read(STATE))
    if not isinstance(record, dict) or "time" not in record:
        return Unreadable("%s holds no record" % STATE)
    return record


def _described(entry: dict[str, Any]) -> str:
    """An update as the report shows it."""
    why = entry["withheld"] or ("staged" if entry["staged"] else "not staged")
    return "%s -> %s, %s, %s" % (entry["installed"], entry["available"], entry["source"], why)


def _recorded(host: Host) -> dict[str, Any]:
    """What the record tells, with ages as they are now."""
    found = _record(host)
    record = {} if isinstance(found, Unreadable) else found
    now = time.time()

    def age(moment: float | None) -> float | None:
        return None if moment is None else round((now - moment) / DAY, 2)

    def ages(security: bool) -> Any:
        if isinstance(found, Unreadable):
            return found
        return {
            "%s %s" % (name, _described(entry)): age(entry["since"])
            for name, entry in sorted(record["pending"].items())
            if entry["security"] is security
        }

    replaced = record.get("replaced_code", {})
    return {
        "run_age_days": age(record.get("run", record.get("set_up"))),
        "result": record.get("result", "none yet"),
        "record_age_days": age(record.get("time")),
        "lists_age_days": age(record.get("lists")),
        "lists_error": record.get("lists_error", ""),
        "pending": found
        if isinstance(found, Unreadable)
        else {name: _described(entry) for name, entry in sorted(record["pending"].items())},
        "withheld": found
        if isinstance(found, Unreadable)
        else {
            name: _described(entry)
            for name, entry in sorted(record["pending"].items())
            if entry["withheld"] and entry["security"]
        },
        "security_days": ages(True),
        "other_days": ages(False),
        "broken": record.get("broken", found),
        "replaced_code_days": found
        if isinstance(found, Unreadable)
        else {name: age(since) for name, since in sorted(replaced.items())},
    }


def updates(host: Host, keys: set[str]) -> dict[str, Any]:
    """Read what is asked for; each program that is run takes as long as a few dozen files."""
    tree: dict[str, Any] = {}
    if keys & OF_TIMER:
        tree.update(_timer(host))
    if keys & OF_APT:
        tree.update(_apt(host))
    if keys - OF_TIMER - OF_APT:
        tree.update(_recorded(host))
    return tree
