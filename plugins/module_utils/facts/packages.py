# SPDX-License-Identifier: GPL-3.0-or-later
"""Installed Debian packages."""

from __future__ import annotations

import re
from typing import Any

from .host import Host

STATUS = "/var/lib/dpkg/status"

MARKS = "/var/lib/apt/extended_states"
"""Where apt remembers what it installed for the sake of others, apt-mark(8)."""

FIELD = re.compile(r"^(Package|Status|Priority|Section|Depends|Pre-Depends|Recommends|Provides): (.*)$", re.MULTILINE)

NAME = re.compile(r"(?:^|[,|])\s*([a-z0-9][a-z0-9+.-]+)")
"""The name that each alternative of a list of dependencies begins with, deb-control(5)."""

BASE = ("required", "important", "standard")
"""Priorities of what every Debian system has, Debian policy 2.5."""


def packages(host: Host, keys: set[str]) -> dict[str, Any]:
    """Read the versions of the given packages, dpkg-query(1); null for one that is not wholly installed."""
    versions: dict[str, Any] = dict.fromkeys(keys)
    for paragraph in host.read(STATUS).split("\n\n"):
        name = paragraph[len("Package: ") : paragraph.find("\n")]  # the field that each paragraph starts with
        if name in versions and re.search(r"^Status: \S+ ok installed$", paragraph, re.MULTILINE):
            version = re.search(r"^Version: (.*)$", paragraph, re.MULTILINE)
            versions[name] = version.group(1) if version else None
    return versions


def _marked_automatic(host: Host) -> set[str]:
    paragraphs = host.read_if_there(MARKS).split("\n\n")
    found = [re.search(r"^Package: (\S+)", text, re.MULTILINE) for text in paragraphs if "\nAuto-Installed: 1" in text]
    return {match.group(1) for match in found if match}


def software(host: Host, keys: set[str]) -> dict[str, Any]:
    """Read what is installed, and what of it somebody asked for.

    That is what is neither of Debian's base nor a library, was not installed by apt for the sake of something else, and
    is not depended on or recommended by anything that is installed.
    """
    packages = [dict(FIELD.findall(paragraph)) for paragraph in host.read(STATUS).split("\n\n")]
    installed = [fields for fields in packages if fields.get("Status", "").endswith(" ok installed")]
    result: dict[str, Any] = {"installed": sorted({fields["Package"] for fields in installed})}
    if "chosen" in keys:
        automatic = _marked_automatic(host)
        needed = {
            name
            for fields in installed
            for field in ("Depends", "Pre-Depends", "Recommends")
            for name in NAME.findall(fields.get(field, ""))
        }
        result["chosen"] = sorted(
            {
                fields["Package"]
                for fields in installed
                if fields["Package"] not in automatic
                and fields.get("Priority") not in BASE
                and fields.get("Section", "").rpartition("/")[2] not in ("libs", "oldlibs")
                and not needed & {fields["Package"], *NAME.findall(fields.get("Provides", ""))}
            }
        )
    return result
