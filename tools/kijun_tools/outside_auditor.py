# SPDX-License-Identifier: GPL-3.0-or-later
"""lynis(8), which knows nothing of Kijun, asked about the lab's hosts."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from .tree import ROOT

# What was not there before is gone afterwards: an auditor that stays, with a timer of its own, is judged itself.
RUN_LYNIS = """
export DEBIAN_FRONTEND=noninteractive
command -v lynis >/dev/null || { apt-get install -yqq --no-install-recommends lynis >/dev/null 2>&1; brought=lynis; }
lynis audit system --quick --quiet >/dev/null 2>&1
cat /var/log/lynis-report.dat
[ -z "$brought" ] || apt-get purge -yqq lynis >/dev/null 2>&1
"""

SECONDS = 1800
"""What lynis may take: half a minute on a host that is a container, many on an emulated one."""


@dataclass(frozen=True)
class Opinion:
    """What lynis says of a host.

    Attributes:
        index: its hardening index, 0 to 100.
        left: its tests that warn or suggest something, sorted.
    """

    index: int
    left: tuple[str, ...]


def read(report: str) -> Opinion:
    """Read lynis' report.

    Args:
        report: the content of lynis-report.dat.

    Raises:
        ValueError: there is no hardening index in it.
    """
    index = re.search(r"^hardening_index=(\d+)$", report, re.MULTILINE)
    if index is None:
        raise ValueError(f"lynis gave no hardening index; its report ends with: {report[-500:]}")
    left = re.findall(r"^(?:suggestion|warning)\[\]=([A-Z]+-\d+)\|", report, re.MULTILINE)
    return Opinion(int(index.group(1)), tuple(sorted(set(left))))


def ask(host: str) -> Opinion:
    """Have lynis look at a host of the lab, after installing it where it is not.

    Args:
        host: its name in the lab.

    Raises:
        subprocess.CalledProcessError: the host does not answer, or has no lynis to install.
        ValueError: lynis gave no index.
    """
    done = subprocess.run(
        ["lab/lab", "exec", host, "--", "sh", "-c", RUN_LYNIS],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=SECONDS,
        check=True,
    )
    return read(done.stdout)


def ask_all(hosts: Iterable[str]) -> dict[str, Opinion]:
    """Ask about hosts side by side.

    Args:
        hosts: their names.

    Returns:
        Host -> opinion, sorted by name.
    """
    names = sorted(hosts)
    with ThreadPoolExecutor() as pool:
        return dict(zip(names, pool.map(ask, names), strict=True))
