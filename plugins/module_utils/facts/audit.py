# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel's audit: what it is told to record, and whether that is what the files say."""

from __future__ import annotations

import os
import shutil
from typing import Any

from .. import audit_rules
from .host import PATH, Host, Settings, lines, number_or_text

DAEMON = "/etc/audit/auditd.conf"
PLUGIN = "/etc/audit/plugins.d/syslog.conf"


def _is_there(host: Host) -> bool:
    return host.root != "/" or shutil.which("auditctl", path=PATH) is not None


def _settings(text: str) -> Settings:
    """Settings of auditd.conf(5), and of a plugin of it."""
    found = Settings()
    for line in lines(text):
        name, sign, value = line.partition("=")
        if sign and not line.lstrip().startswith("#"):
            found[name.strip().lower()] = number_or_text(value.strip())
    return found


def audit(host: Host, keys: set[str]) -> dict[str, Any]:
    """The audit as a whole: its state, and rules that the files have and the kernel has not, or the other way round."""
    found: dict[str, Any] = {"present": _is_there(host)}
    found["settings"] = _settings(host.read_if_there(DAEMON))
    found["to_journal"] = _settings(host.read_if_there(PLUGIN))["active"] == "yes"
    if not found["present"]:
        names = ("enabled", "failure", "backlog_limit", "backlog", "lost", "missing", "foreign", "silencing", "unset")
        return {**found, **dict.fromkeys(names), "kept": False}
    now, present = audit_rules.status(host), audit_rules.loaded(host)
    wanted = audit_rules.lines_of(audit_rules.files_of_rules(host))
    written = set(audit_rules.rules_of(wanted))
    found.update({name: now.get(name) for name in ("enabled", "failure", "backlog_limit", "backlog", "lost")})
    found["kept"] = now.get("pid", 0) > 0
    found["missing"] = audit_rules.missing(host, wanted, present)
    found["foreign"] = [rule for rule in present if rule not in written]
    found["silencing"] = [rule for rule in present if audit_rules.is_silencing(rule)]
    found["unset"] = audit_rules.differences(audit_rules.settings_of(wanted), now)
    return found


def audit_keys(host: Host, keys: set[str]) -> dict[str, Any]:
    """The rules of each key: those of the file, and whether the kernel has them."""
    text = host.read_if_there(audit_rules.RULES_FILE)
    wanted = audit_rules.lines_of({audit_rules.RULES_FILE: text})
    present = audit_rules.loaded(host) if _is_there(host) else []
    machine = os.uname().machine
    found = {}
    for key in keys:
        own = [line for line in wanted if audit_rules.key_of(line) == key]
        found[key] = {
            "written": audit_rules.digest(machine, own) if own else None,
            "missing": audit_rules.missing(host, own, present),
            "unwatchable": [audit_rules.canonical(line) for line in own if not audit_rules.is_watchable(host, line)],
        }
    return found
