# SPDX-License-Identifier: GPL-3.0-or-later
"""The operating system and its kernel settings."""

from __future__ import annotations

import os
from typing import Any

from .host import Host, number_or_text


def operating_system(host: Host, keys: set[str]) -> dict[str, Any]:
    """Read os-release(5), uname(2) and what container this is."""
    release = {}
    for line in host.read("/etc/os-release").splitlines():
        key, separator, value = line.partition("=")
        if separator:
            release[key] = value.strip("\"'")
    return {
        "id": release.get("ID"),
        "version_id": release.get("VERSION_ID"),
        "pretty_name": release.get("PRETTY_NAME"),
        "kernel": os.uname().release,
        "container": host.read_if_there("/run/systemd/container").strip() or None,
    }


def sysctl(host: Host, keys: set[str]) -> dict[str, Any]:
    """Read kernel settings by name, sysctl(8); a name's dots are slashes of the path."""
    values: dict[str, Any] = {}
    for key in keys:
        try:
            values[key] = number_or_text(host.read("/proc/sys/" + key.replace(".", "/")).strip())
        except FileNotFoundError:
            values[key] = None
    return values
