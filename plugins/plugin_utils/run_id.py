# SPDX-License-Identifier: GPL-3.0-or-later
"""A name for a run of ansible-playbook that all its worker processes share and no other run has."""

from __future__ import annotations

import functools
import hashlib
import os
import socket
from pathlib import Path

STARTED = 21
"""Where the time of a process's start stands behind its name in /proc/PID/stat, proc(5) field 22, from 0."""


@functools.lru_cache(maxsize=1)
def run_id() -> str:
    """Name the run: 16 hexadecimal digits.

    Plugins work in processes that the run forks, so the run is the parent: its number and start, on this machine.
    """
    return id_of(os.getppid())


def id_of(process: int) -> str:
    """Name the run that a process is; it must be the one of ansible-playbook itself.

    Args:
        process: its number.
    """
    stat = Path(f"/proc/{process}/stat").read_text(encoding="utf-8")
    started = stat.rpartition(")")[2].split()[STARTED - 2]
    return hashlib.sha256(f"{socket.gethostname()} {process} {started}".encode()).hexdigest()[:16]
