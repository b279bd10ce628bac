# SPDX-License-Identifier: GPL-3.0-or-later
"""Folders that packages made for their state and logs: no service starts without its own."""

from __future__ import annotations

import contextlib
import os
import stat

STATE = ("/var/cache", "/var/lib", "/var/log", "/var/spool")
DEPTH = 4
"""How many folders deep these are known: /var/lib/NAME/FOLDER."""


def folders() -> dict[str, list[int]]:
    """Folders in which packages keep their state and logs: path -> mode, user id, group id.

    Their content is no part of the class ``system``. A package that is purged takes the folders away, and its service
    does not start without them.
    """
    found = {}
    for root in STATE:
        for top, names, _ in os.walk(root):
            for name in names:
                path = os.path.join(top, name)
                with contextlib.suppress(FileNotFoundError):
                    info = os.lstat(path)
                    if stat.S_ISDIR(info.st_mode):
                        found[path] = [stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid]
            if top.count("/") >= DEPTH:
                names.clear()
    return found


def make_folders(known: dict[str, list[int]]) -> list[str]:
    """Make folders that are gone, empty as they are.

    Args:
        known: as `folders` gives them.

    Returns:
        Those that were made.
    """
    made = []
    for path, (mode, user, group) in sorted(known.items()):
        if os.path.lexists(path) or not os.path.isdir(os.path.dirname(path)):
            continue
        os.mkdir(path, 0o700)
        os.chown(path, user, group)
        os.chmod(path, mode)
        made.append(path)
    return made
