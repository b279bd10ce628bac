# SPDX-License-Identifier: GPL-3.0-or-later
"""File systems as they are mounted now, and as fstab(5) has them at the next boot."""

from __future__ import annotations

import re
from typing import Any

from .host import Host, lines

GUARDED = ("nodev", "nosuid", "noexec")
"""Options of mount(8) that keep devices, set-user-id programs and any programs from being of use there."""


def unescaped(text: str) -> str:
    """A field of fstab(5) or of mountinfo, with its blanks."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match.group(1), 8)), text)


def mounted(host: Host) -> dict[str, dict[str, Any]]:
    """Mount point -> type and options, the uppermost where several lie on one another; proc(5), mountinfo."""
    found = {}
    for line in lines(host.read("/proc/self/mountinfo")):
        before, _, after = line.partition(" - ")
        fields = before.split(" ")
        found[unescaped(fields[4])] = {"type": after.split(" ")[0], "options": fields[5].split(",")}
    return found


def fstab(host: Host) -> dict[str, list[str]]:
    """Mount point -> options of its line in fstab(5), the last where there are several."""
    found = {}
    for line in lines(host.read_if_there("/etc/fstab")):
        fields = line.split()
        if len(fields) >= 4 and not fields[0].startswith("#"):
            found[unescaped(fields[1])] = fields[3].split(",")
    return found


def mounts(host: Host, keys: set[str]) -> dict[str, Any]:
    """Read the mounts of the given paths; ``separate`` is the list of all."""
    now, later = mounted(host), fstab(host)
    tree: dict[str, Any] = {"separate": sorted(now)}
    for path in keys - {"separate"}:
        state = now.get(path)
        options = state["options"] if state else None
        tree[path] = {
            "separate": state is not None,
            "type": state["type"] if state else None,
            "options": options,
            "without": [] if options is None else [name for name in GUARDED if name not in options],
            "fstab": later.get(path),
            "fstab_without": [name for name in GUARDED if name not in later[path]] if path in later else [],
        }
    return tree
