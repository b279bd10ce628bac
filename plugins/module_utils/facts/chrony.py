# SPDX-License-Identifier: GPL-3.0-or-later
"""chronyd: what it is told, and what it does."""

from __future__ import annotations

import csv
import glob
import os
import re
from typing import Any

from ..verdict import Unreadable
from .host import Host, Settings, number_or_text

CONFIGURATION = "/etc/chrony/chrony.conf"
SOURCES = ("server", "peer", "pool")
DEEPEST = 8
"""Includes within includes that are followed."""

NOT_SYNCHRONISED = "Not synchronised"


def _directives(host: Host, path: str, depth: int = 0) -> list[tuple[str, str]]:
    """The directives of a file and of those it includes, in order, chrony.conf(5)."""
    found: list[tuple[str, str]] = []
    for line in host.read_if_there(path).splitlines():
        line = line.strip()
        if not line or line[0] in "!;#%":
            continue
        name, _, rest = line.partition(" ")
        name, rest = name.lower(), rest.strip()
        if depth < DEEPEST and name in ("include", "confdir", "sourcedir"):
            for included in _included(host, name, rest):
                found += _directives(host, included, depth + 1)
        else:
            found.append((name, rest))
    return found


def _included(host: Host, name: str, rest: str) -> list[str]:
    if name == "include":
        patterns = [rest]
    else:  # of two files of one name, the one in the folder named first holds
        suffix = ".conf" if name == "confdir" else ".sources"
        patterns = [os.path.join(folder, "*" + suffix) for folder in rest.split()]
    paths: dict[str, str] = {}
    for pattern in patterns:
        for path in glob.glob(host.path(pattern)):
            paths.setdefault(os.path.basename(path), path)
    return [path if host.root == "/" else path[len(host.root) :] for _, path in sorted(paths.items())]


def _by_name(directives: list[tuple[str, str]]) -> Settings:
    values = Settings()
    for name, rest in directives:
        values.add(name, number_or_text(rest))
    return values


def _tracking(host: Host) -> dict[str, Any]:
    """State of the clock from chronyc's comma-separated report, chronyc(1) ``tracking``."""
    row = next(csv.reader([host.run("chronyc", "-c", "-n", "tracking")]))
    named = next(csv.reader([host.run("chronyc", "-c", "-N", "tracking")]))
    synchronised = row[-1] in ("Normal", "Insert second", "Delete second")
    return {
        "running": True,
        "synchronised": synchronised,
        "reference": named[1] or None if synchronised else None,
        "stratum": int(row[2]),
        "offset": abs(float(row[4])),
    }


def _worst_step(host: Host) -> float:
    """The largest step or error that chronyd told the journal in the last day, in seconds.

    chronyd says ``System clock was stepped by S seconds`` and, beyond its ``logchange``,
    ``System clock wrong by S seconds``.
    """
    text = host.run("journalctl", "--quiet", "--output=cat", "--unit=chrony.service", "--since=-24h")
    return max(
        (abs(float(s)) for s in re.findall(r"System clock (?:was stepped|wrong) by (-?[\d.]+) seconds", text)),
        default=0.0,
    )


def _unauthenticated(host: Host) -> list[str]:
    """Sources that are to be authenticated by NTS and are not, from chronyc(1) ``authdata``."""
    rows = csv.reader(host.run("chronyc", "-c", "-N", "authdata").splitlines())
    return [row[0] for row in rows if row[1] == "NTS" and (row[2] == "0" or row[8] == "0")]


def chrony(host: Host, keys: set[str]) -> dict[str, Any]:
    """Read chronyd's configuration and state; its state is unreadable where it does not answer."""
    directives = _directives(host, CONFIGURATION)
    sources = [rest.split() for name, rest in directives if name in SOURCES and rest]
    state: dict[str, Any]
    try:
        state = _tracking(host)
    except (OSError, IndexError, ValueError) as error:
        why = Unreadable("chronyd does not answer: %s" % error)
        state = {"running": False, **dict.fromkeys(("synchronised", "reference", "stratum", "offset"), why)}
    for key, read in (("worst_step", _worst_step), ("nts_unauthenticated", _unauthenticated)):
        if key in keys:
            try:
                state[key] = read(host)
            except (OSError, IndexError) as error:
                state[key] = Unreadable(str(error))
    return {
        **state,
        "allowed": [rest or "all" for name, rest in directives if name == "allow"],
        "configured": [words[0] for words in sources],
        "without_nts": [words[0] for words in sources if "nts" not in words[1:]],
        "directives": _by_name(directives),
    }
