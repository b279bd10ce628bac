# SPDX-License-Identifier: GPL-3.0-or-later
"""systemd units."""

from __future__ import annotations

from typing import Any

from .host import Host


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
