# SPDX-License-Identifier: GPL-3.0-or-later
"""What fail2ban does now, as its server tells it; files would not show what somebody told the server since."""

from __future__ import annotations

import json
from typing import Any

from .host import Host

PYTHON = "/usr/bin/python3"
"""Debian's own, which has fail2ban's library."""

SOCKET = "/run/fail2ban/fail2ban.sock"
SETTINGS = ("maxretry", "findtime", "bantime", "ignoreip", "ignorecommand", "ignoreregex", "journalmatch")

ASK = """\
import json, sys
try:
    from fail2ban.client.csocket import CSocket
    server = CSocket(sys.argv[1])
except (ImportError, OSError):
    sys.exit(print("null"))
def ask(*words):
    code, answer = server.send(list(words))
    return answer if code == 0 else None
found = {}
for jail in sys.argv[3:]:
    if ask("status", jail) is not None:
        found[jail] = {name: ask("get", jail, name) for name in sys.argv[2].split(",")}
        found[jail]["ban"] = [ask("get", jail, "action", name, "actionban") for name in ask("get", jail, "actions")]
print(json.dumps(found, default=str))
"""
"""Asks all in one go: each call of fail2ban-client(1) takes a fifth of a second. Null where no server answers."""


def fail2ban(host: Host, keys: set[str]) -> dict[str, Any]:
    """Read the settings of the given jails; one that is not there has none."""
    jails = sorted(keys)
    answer = json.loads(host.run(PYTHON, "-c", ASK, SOCKET, ",".join(SETTINGS), *jails)) or {}
    nothing = dict.fromkeys((*SETTINGS, "ban"))
    return {jail: _settings(answer[jail]) if jail in answer else dict(nothing) for jail in jails}


def _settings(found: dict[str, Any]) -> dict[str, Any]:
    # The server has a match as groups of words that all hold, of which one must.
    matches = [" ".join(words) for words in found["journalmatch"] or []]
    return {**found, "journalmatch": " + ".join(matches), "ignoreip": [str(place) for place in found["ignoreip"] or []]}
