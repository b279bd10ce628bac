# SPDX-License-Identifier: GPL-3.0-or-later
"""Files: whose they are, who may read them, and what is in them."""

from __future__ import annotations

import grp
import hashlib
import os
import pwd
import stat
from typing import Any

from ..verdict import Unreadable
from .host import Host

LARGEST = 1024 * 1024
"""Bytes of the largest file whose content is read."""


def owner_name(uid: int) -> str:
    """The name of a user, or the number of one who has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def group_name(gid: int) -> str:
    """The name of a group, or the number of one that has none."""
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def _kind(mode: int) -> str:
    for test, name in ((stat.S_ISREG, "file"), (stat.S_ISDIR, "directory"), (stat.S_ISLNK, "link")):
        if test(mode):
            return name
    return "other"


def _one(host: Host, path: str) -> Any:
    place = host.path(path)
    try:
        info = os.lstat(place)
    except (FileNotFoundError, NotADirectoryError):
        return {"exists": False, **dict.fromkeys(("type", "owner", "group", "mode", "sha256", "content", "target"))}
    except OSError as error:
        return Unreadable("%s: %s" % (path, error.strerror))
    kind = _kind(info.st_mode)
    entry: dict[str, Any] = {
        "exists": True,
        "type": kind,
        "owner": owner_name(info.st_uid),
        "group": group_name(info.st_gid),
        "mode": "%04o" % stat.S_IMODE(info.st_mode),
        "sha256": None,
        "content": None,
        "target": os.readlink(place) if kind == "link" else None,
    }
    if kind == "file":
        entry.update(_content(place, path, info.st_size))
    return entry


def _content(place: str, path: str, size: int) -> dict[str, Any]:
    why = "%s: larger than %d bytes" % (path, LARGEST) if size > LARGEST else ""
    if not why:
        try:
            with open(place, "rb") as file:
                data = file.read()
            return {"sha256": hashlib.sha256(data).hexdigest(), "content": data.decode("utf-8", "replace")}
        except OSError as error:
            why = "%s: %s" % (path, error.strerror)
    return {"sha256": Unreadable(why), "content": Unreadable(why)}


def files(host: Host, keys: set[str]) -> dict[str, Any]:
    """Read the files of the given paths."""
    return {path: _one(host, path) for path in keys}
