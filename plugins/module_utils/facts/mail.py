# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a host takes mail in, and whether that is scanned."""

from __future__ import annotations

import re
from typing import Any

from .host import Host
from .sockets import is_loopback, listening

PORTS = frozenset({25, 465, 587})
"""SMTP, and submission with and without TLS from the first byte on: RFC 5321, RFC 8314."""

POSTFIX = "/etc/postfix/main.cf"
SCANNER = "/etc/clamav/clamav-milter.conf"
MILTER = ("127.0.0.1", 7357)
"""Where clamav-milter answers: Postfix looks at it from within its own root, where there are no sockets of others."""

KEEPS = frozenset({"tempfail", "reject", "quarantine", "shutdown"})
"""What Postfix does without the milter, so that no mail comes in unscanned: postconf(5), milter_default_action."""


def mail(host: Host, keys: list[str]) -> dict[str, Any]:
    """Look which addresses mail is taken at, and what Postfix has scan it."""
    places = {(ip, port) for ip, port, _ in listening(host, "tcp")}
    received = sorted("%s port %d" % one for one in places if one[1] in PORTS and not is_loopback(one[0]))
    unscanned = _unscanned(host, MILTER in places) if received else []
    return {"received": received, "unscanned": unscanned}


def _unscanned(host: Host, answers: bool) -> list[str]:
    """Why mail comes in that nothing has scanned."""
    if not host.read_if_there(POSTFIX):
        return ["a server other than Postfix takes it in"]
    names = ("smtpd_milters", "milter_default_action", "message_size_limit")
    milters, otherwise, largest = host.run("postconf", "-h", *names).splitlines()
    overrides = host.run("postconf", "-P", "*/inet/smtpd_milters").splitlines()
    found = [
        "%s: clamav-milter is not among them" % where
        for where, value in [("smtpd_milters", milters), *(line.split(" = ", 1) for line in overrides if " = " in line)]
        if "inet:%s:%d" % MILTER not in value.replace(",", " ").split()
    ]
    if otherwise not in KEEPS:
        found.append("milter_default_action %s lets it in unscanned" % otherwise)
    most = _largest_scanned(host)
    if most is not None and not 0 < int(largest) <= most:
        found.append("message_size_limit %s is more than the %d bytes that are scanned" % (largest, most))
    if not answers:
        found.append("clamav-milter does not answer")
    return found


def _largest_scanned(host: Host) -> int | None:
    """Bytes that mail may have to be scanned, clamav-milter.conf(5); None where the file does not say so."""
    match = re.search(r"^MaxFileSize\s+(\d+)M\s*$", host.read_if_there(SCANNER), re.MULTILINE)
    return int(match.group(1)) << 20 if match else None
