# SPDX-License-Identifier: GPL-3.0-or-later
"""chronyd: what it is told, and what it does."""

from __future__ import annotations

import csv
import glob
import os
import re
from typing import Any

from ..verdict import Unreadable
from .host import Host, Settings, lines, number_or_text

CONFIGURATION = "/etc/chrony/chrony.conf"
SOURCES = ("server", "peer", "pool")
DEEPEST = 8
"""Includes within includes that are followed."""


def _directives(host: Host, path: str, depth: int = 0) -> list[tuple[str, str]]:
    """The directives of a file and of those it includes, in order, chrony.conf(5); any blanks part their words."""
    found: list[tuple[str, str]] = []
    for line in lines(host.read_if_there(path)):
        words = line.split()
        if not words or words[0][0] in "!;#%":
            continue
        name, rest = words[0].lower(), " ".join(words[1:])
        if depth < DEEPEST and name in ("include", "confdir", "sourcedir"):
            for included in _included(host, name, words[1:]):
                found += _directives(host, included, depth + 1)
        else:
            found.append((name, rest))
    return found


def _included(host: Host, name: str, words: list[str]) -> list[str]:
    """The files that an include names, or that lie in the folders of a confdir or sourcedir, in order."""
    if name == "include":
        paths = sorted(glob.glob(host.path(" ".join(words))))
    else:  # of two files of one name, the one in the folder named first holds
        suffix = "*.conf" if name == "confdir" else "*.sources"
        by_name: dict[str, str] = {}
        for folder in words:
            for path in glob.glob(host.path(os.path.join(folder, suffix))):
                by_name.setdefault(os.path.basename(path), path)
        paths = [by_name[key] for key in sorted(by_name)]
    return [path if host.root == "/" else path[len(host.root) :] for path in paths]


def _by_name(directives: list[tuple[str, str]]) -> Settings:
    values = Settings()
    for name, rest in directives:
        values.add(name, number_or_text(rest) if rest else True)
    return values


def _tracking(host: Host) -> dict[str, Any]:
    """State of the clock from chronyc's comma-separated report, chronyc(1) ``tracking``.

    Its fields, the same in chrony 4.3 and 4.6: reference id, name of the source, stratum, reference time, offset in
    seconds, ..., and in the last place the leap status.
    """
    row = next(csv.reader([host.run("chronyc", "-c", "-N", "tracking").strip()]))
    synchronised = row[-1] in ("Normal", "Insert second", "Delete second") and _selected(host)
    return {
        "running": True,
        "synchronised": synchronised,
        "reference": row[1] or None if synchronised else None,
        "stratum": int(row[2]),
        "offset": abs(float(row[4])),
    }


def _selected(host: Host) -> bool:
    """Whether chronyd follows a source that answers, chronyc(1) ``sources``.

    Its report of the clock stays normal for a day after the last source fell silent. Fields: mode, state (``*`` for the
    source that is followed), name, stratum, interval, and the last eight answers as an octal number.
    """
    rows = csv.reader(host.run("chronyc", "-c", "-N", "sources").splitlines())
    return any(row[1] == "*" and row[5] != "0" for row in rows)


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
    """Sources that are to be authenticated by NTS and are not, from chronyc(1) ``authdata``.

    Its fields, the same in chrony 4.3 and 4.6: name, mode, key id, type, key length, age of the keys, attempts,
    refusals, cookies, length of a cookie.
    """
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
