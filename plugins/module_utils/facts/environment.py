# SPDX-License-Identifier: GPL-3.0-or-later
"""Which environment a host belongs to, and what its login banners say."""

from __future__ import annotations

import glob
import re
from typing import Any

from .host import Host, Settings, lines

MARKER = "/etc/kijun/environment"

BANNERS = ("/etc/issue", "/etc/issue.net", "/etc/motd", "/etc/issue.d/*.issue", "/run/issue.d/*.issue", "/etc/motd.d/*")
"""What getty(8), sshd(8) and pam_motd(8) show."""

ESCAPE = re.compile(r"\\[mrsvSo]")
"""Escapes by which agetty(8) fills in machine, release, system and version."""


def marker(host: Host) -> Settings:
    """The settings of the marker file; none where there is no such file."""
    found = Settings()
    for number, line in enumerate(lines(host.read_if_there(MARKER)), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        name, equals, value = line.partition("=")
        if equals and name.isidentifier():
            found[name] = value.strip()
        else:
            host.problem(MARKER, number, "is not of the form name=value")
    return found


def _system_names(host: Host) -> list[str]:
    """What the operating system calls itself, os-release(5)."""
    values = dict(line.partition("=")[::2] for line in lines(host.read_if_there("/etc/os-release")))
    return [name.strip('"') for name in (values.get("ID"), values.get("NAME"), values.get("PRETTY_NAME")) if name]


def _revealing(host: Host) -> list[str]:
    """Lines of banners that tell of the operating system, as ``file:line``."""
    names = _system_names(host)
    tells = re.compile("|".join([ESCAPE.pattern, *(r"\b%s\b" % re.escape(name) for name in names)]), re.IGNORECASE)
    found = []
    for pattern in BANNERS:
        for place in sorted(glob.glob(host.path(pattern))):
            path = place if host.root == "/" else place[len(host.root) :]
            for number, line in enumerate(lines(host.read(path)), start=1):
                if tells.search(line):
                    found.append("%s:%d" % (path, number))
    return found


def environment(host: Host, keys: set[str]) -> dict[str, Any]:
    """Read the marker file and the banners."""
    settings = marker(host)
    return {"name": settings["name"], "colour": settings["colour"], "revealing": _revealing(host)}
