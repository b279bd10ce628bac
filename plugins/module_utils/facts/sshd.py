# SPDX-License-Identifier: GPL-3.0-or-later
"""Effective settings of the SSH server."""

from __future__ import annotations

import os
from typing import Any

from .host import Host, Settings


def sshd(host: Host, keys: set[str]) -> dict[str, Any]:
    """Read ``sshd -T``, sshd(8): what the server would really use, its drop-ins and defaults included."""
    values = Settings()
    if not os.path.exists(host.path("/usr/sbin/sshd")):
        return values
    for line in host.run("/usr/sbin/sshd", "-T").splitlines():
        key, _, value = line.partition(" ")
        values.add(key, value)
    return values
