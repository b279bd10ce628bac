# SPDX-License-Identifier: GPL-3.0-or-later
"""Effective settings of the SSH server."""

from __future__ import annotations

import os
from typing import Any

from .host import Host, Settings

WITHOUT_FOLDER = "mount -t tmpfs none /run && mkdir /run/sshd && exec /usr/sbin/sshd -T"
"""Where sshd does not run, the folder that it asks for is not there. This process alone sees one, unshare(1)."""


def sshd(host: Host, keys: set[str]) -> dict[str, Any]:
    """Read ``sshd -T``, sshd(8): what the server would really use, its drop-ins and defaults included."""
    values = Settings()
    if not os.path.exists(host.path("/usr/sbin/sshd")):
        return values
    if os.path.isdir(host.path("/run/sshd")):
        text = host.run("/usr/sbin/sshd", "-T")
    else:
        text = host.run("unshare", "--mount", "sh", "-c", WITHOUT_FOLDER)
    for line in text.splitlines():
        key, _, value = line.partition(" ")
        values.add(key, value)
    return values
