# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a host is one that may be changed: asked before anything is."""

from __future__ import annotations

import json
import os
from typing import Any

from .facts.host import Host
from .facts.system import operating_system

SUPPORTED = {"debian": ("12", "13")}
"""Distribution -> releases that the tests boot."""

WRITTEN = (
    *("/etc", "/etc/pam.d", "/etc/security", "/etc/systemd/system"),
    *("/usr", "/usr/lib", "/usr/share", "/usr/share/pam-configs", "/usr/local/lib"),
    *("/var", "/var/lib", "/var/lib/dpkg", "/var/lib/pam", "/var/lib/kijun", "/var/cache/apt/archives"),
)
"""Directories that packages and roles write to; each can be a file system of its own."""

ROOM = 32
"""MiB that a file system needs for packages and the versions kept of files."""

NAMES = 1000
"""Files that there must still be room for, where the file system counts them."""


def complaint(system: dict[str, Any]) -> str:
    """What keeps this host from being changed; empty when nothing does.

    Args:
        system: the fact ``os``.
    """
    if system["version_id"] not in SUPPORTED.get(system["id"], ()):
        known = ", ".join("%s %s" % (name, release) for name, releases in SUPPORTED.items() for release in releases)
        return "this host runs %s; supported, because tested, are: %s" % (system["pretty_name"], known)
    if os.geteuid():
        return "the task runs as user id %d and must be root: set become" % os.geteuid()
    for path in filter(os.path.isdir, WRITTEN):
        state = os.statvfs(path)
        if state.f_flag & os.ST_RDONLY:
            return "the file system of %s is mounted read-only" % path
        room = state.f_bavail * state.f_frsize // 2**20
        if room < ROOM:
            return "the file system of %s has %d MiB left; at least %d MiB are needed" % (path, room, ROOM)
        if state.f_files and state.f_favail < NAMES:
            return "the file system of %s has room for %d more files; %d are needed" % (path, state.f_favail, NAMES)
    return ""


def main(argument: str) -> None:
    """Look, and print what was seen.

    Args:
        argument: nothing; JSON's null.
    """
    system = operating_system(Host(), set())
    seen = {"distribution": system["id"], "release": system["version_id"]}
    print(json.dumps({"complaint": complaint(system), "host": seen}))
