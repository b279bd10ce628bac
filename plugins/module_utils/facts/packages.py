# SPDX-License-Identifier: GPL-3.0-or-later
"""Installed Debian packages."""

from __future__ import annotations

from typing import Any

from .host import Host

STATUS = "/var/lib/dpkg/status"


def packages(host: Host, keys: set[str]) -> dict[str, Any]:
    """Read the versions of the given packages, dpkg-query(1); null for one that is not wholly installed."""
    versions: dict[str, Any] = dict.fromkeys(keys)
    for paragraph in host.read(STATUS).split("\n\n"):
        name = paragraph[9 : paragraph.find("\n")]  # each paragraph starts with "Package: "
        if name in versions and " ok installed\n" in paragraph:
            version = paragraph.partition("\nVersion: ")[2]
            versions[name] = version[: version.find("\n")]
    return versions
