# SPDX-License-Identifier: GPL-3.0-or-later
"""systemd units."""

from __future__ import annotations

import glob
import os
from typing import Any

from .host import Host

STARTED_FROM = (
    "/etc/systemd/system",
    "/etc/systemd/system.control",
    "/run/systemd/system",
    "/run/systemd/generator.late",  # of scripts in /etc/init.d, systemd-sysv-generator(8)
    "/usr/local/lib/systemd/system",
)
"""Where links say what is started at boot, systemd.unit(5); those of /usr/lib are the distribution's own."""

UNITS_IN = (*STARTED_FROM, "/etc/systemd/system.attached", "/usr/lib/systemd/system", "/lib/systemd/system")
"""Where units themselves are."""

PROGRAMS = (".service", ".socket", ".timer", ".path")
"""Kinds of units that run programs."""


def units(host: Host, keys: set[str]) -> dict[str, Any]:
    """Read the state of the given units with one call of systemctl(1)."""
    names = sorted(keys)
    text = host.run("systemctl", "show", "--property=LoadState,ActiveState,UnitFileState", "--", *names)
    states: dict[str, Any] = {}
    for name, block in zip(names, text.strip("\n").split("\n\n")):
        values = dict(line.partition("=")[::2] for line in block.splitlines())
        states[name] = {
            "load": values.get("LoadState"),
            "active": values.get("ActiveState"),
            "enabled": values.get("UnitFileState"),
        }
    return states


def _masked(host: Host, name: str) -> bool:
    folders = ("/etc/systemd/system", "/run/systemd/system")
    return any(os.path.realpath(host.path("%s/%s" % (folder, name))) == os.devnull for folder in folders)


def _is_there(host: Host, name: str) -> bool:
    """Whether there is such a unit: links outlive a package that is removed and not purged."""
    stem, at, rest = name.partition("@")
    template = stem + at + rest[rest.rfind(".") :] if at else name
    return any(os.path.lexists(host.path("%s/%s" % (folder, n))) for folder in UNITS_IN for n in (name, template))


def _started_at_boot(host: Host) -> list[str]:
    """Units that links of others pull in, systemd.unit(5) ``WantedBy``; masked ones do not start."""
    names: set[str] = set()
    for folder in STARTED_FROM:
        for kind in ("wants", "requires", "upholds"):
            links = glob.glob("%s/*.%s/*" % (glob.escape(host.path(folder)), kind))
            names.update(os.path.basename(link) for link in links)
    return sorted(
        name for name in names if name.endswith(PROGRAMS) and _is_there(host, name) and not _masked(host, name)
    )


def services(host: Host, keys: set[str]) -> dict[str, Any]:
    """Read what runs programs on this host: at boot, and now."""
    result: dict[str, Any] = {"enabled": _started_at_boot(host)}
    if "active" in keys:
        kinds = ",".join(kind[1:] for kind in PROGRAMS)
        states = "active,activating,reloading"
        text = host.run(
            "systemctl", "list-units", "--type=" + kinds, "--state=" + states, "--plain", "--no-legend", "--no-pager"
        )
        result["active"] = sorted(line.split()[0] for line in text.splitlines() if line.strip())
    return result
