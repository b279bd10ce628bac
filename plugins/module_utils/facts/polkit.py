# SPDX-License-Identifier: GPL-3.0-or-later
"""polkit(8): who is asked to prove to be an administrator, and who is let through unasked."""

from __future__ import annotations

import os
import re
import stat
from typing import Any

from .host import Host

RULES = ("/etc/polkit-1/rules.d", "/usr/share/polkit-1/rules.d")
"""Directories of rules; files of both are read in the order of their names, the first directory's first, polkit(8)."""
OLDER = ("/etc/polkit-1/localauthority", "/var/lib/polkit-1/localauthority")
"""Where polkit before 0.106, and Debian's polkitd-pkla, keep the older kind, pklocalauthority(8)."""
DAEMONS = ("/usr/lib/polkit-1/polkitd", "/usr/libexec/polkitd")

YES = re.compile(
    r"polkit\.Result\.YES|return\s+[\"']yes[\"']|^\s*Result(Any|Inactive|Active)\s*=\s*yes\s*$", re.MULTILINE
)
COMMENT = re.compile(r"/\*.*?\*/|^\s*//[^\n]*|^\s*#[^\n]*", re.DOTALL | re.MULTILINE)
ADMINS = re.compile(r"addAdminRule\s*\(.*?return\s*\[(.*?)\]", re.DOTALL)


def _files(host: Host, folder: str, suffix: str) -> list[str]:
    found = []
    for top, _, names in os.walk(host.path(folder)):
        found += [os.path.join(top, name) for name in names if name.endswith(suffix)]
    root = host.path("/").rstrip("/")
    return sorted(path[len(root) :] for path in found)


def _admins(host: Host) -> list[str]:
    """Whom the first rule about administrators names; root where none does."""
    rules = [path for folder in RULES for path in _files(host, folder, ".rules")]
    for path in sorted(rules, key=lambda path: (os.path.basename(path), RULES.index(os.path.dirname(path)))):
        found = ADMINS.search(COMMENT.sub("", host.read(path)))
        if found:
            return re.findall(r"[\"']([^\"']+)[\"']", found.group(1))
    return ["unix-user:0"]


def polkit(host: Host, keys: set[str]) -> dict[str, Any]:
    """Read the rules; those that packages bring, below /usr, count as part of the packages."""
    if not any(os.path.exists(host.path(path)) for path in DAEMONS):
        return {"present": False, "admins": [], "granting": [], "open": []}
    own = _files(host, RULES[0], ".rules") + [path for folder in OLDER for path in _files(host, folder, ".pkla")]
    folders = [path for path in (*RULES, *OLDER) if os.path.isdir(host.path(path))]
    return {
        "present": True,
        "admins": _admins(host),
        "granting": [path for path in own if YES.search(COMMENT.sub("", host.read(path)))],
        "open": [
            "%s: %04o" % (path, stat.S_IMODE(os.stat(host.path(path)).st_mode))
            for path in folders + own
            if os.stat(host.path(path)).st_mode & 0o022
        ],
    }
