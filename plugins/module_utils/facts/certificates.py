# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates on the host, by the names of their files: which are due, and whose keys are open."""

from __future__ import annotations

import glob
import os
import stat
import time
from typing import Any

from ..certificates import Certificate, CertificateError, public_key, read
from .host import Host


def certificates(host: Host, keys: set[str]) -> dict[str, Any]:
    """Read certificates.

    Args:
        host: the host.
        keys: paths with commas between; ``*`` stands for any characters of a name.
    """
    return {key: _found(host, key.split(",")) for key in keys}


def _found(host: Host, patterns: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "ends": {},
        "due": [],
        "unreadable": [],
        "missing": [],
        "foreign_keys": [],
        "open_keys": [],
    }
    for pattern in patterns:
        paths = sorted(glob.glob(host.path(pattern)))
        if not paths:
            found["missing"].append(pattern)
        for path in paths:
            shown = path if host.root == "/" else "/" + os.path.relpath(path, host.root)
            try:
                with open(path, encoding="utf-8", errors="replace") as file:
                    there = read(file.read())
            except (CertificateError, OSError) as error:
                found["unreadable"].append("%s: %s" % (shown, error))
                continue
            day = time.strftime("%Y-%m-%d", time.gmtime(there.ends))
            found["ends"][shown] = day
            if there.due(time.time()):
                found["due"].append("%s: ends on %s" % (shown, day))
            _key(found, os.path.splitext(path)[0] + ".key", os.path.splitext(shown)[0] + ".key", there)
    return found


def _key(found: dict[str, Any], path: str, shown: str, there: Certificate) -> None:
    """Look at the key beside a certificate, where there is one."""
    try:
        mode = stat.S_IMODE(os.stat(path).st_mode)
    except FileNotFoundError:
        return
    if mode & 0o077:
        found["open_keys"].append("%s: %04o" % (shown, mode))
    try:
        if public_key(path) != there.public_key:
            found["foreign_keys"].append(shown)
    except CertificateError as error:
        found["foreign_keys"].append("%s: %s" % (shown, error))
