# SPDX-License-Identifier: GPL-3.0-or-later
"""Installed Debian packages."""

from __future__ import annotations

import re
from typing import Any

from .host import Host

STATUS = "/var/lib/dpkg/status"


def packages(host: Host, keys: set[str]) -> dict[str, Any]:
    """Read the versions of the given packages, dpkg-query(1); null for one that is not wholly installed."""
    versions: dict[str, Any] = dict.fromkeys(keys)
    for paragraph in host.read(STATUS).split("\n\n"):
        name = paragraph[len("Package: ") : paragraph.find("\n")]  # the field that each paragraph starts with
        if name in versions and re.search(r"^Status: \S+ ok installed$", paragraph, re.MULTILINE):
            version = re.search(r"^Version: (.*)$", paragraph, re.MULTILINE)
            versions[name] = version.group(1) if version else None
    return versions
