# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a host is one that may be changed, and what an earlier run left: asked before anything is."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

from .facts.environment import marker
from .facts.host import Host
from .facts.system import operating_system

SUPPORTED = {"debian": ("12", "13")}
"""Distribution -> releases that the tests boot."""

WRITTEN = (
    *("/etc", "/etc/pam.d", "/etc/security", "/etc/systemd/system"),
    *("/usr", "/usr/lib", "/usr/share", "/usr/share/pam-configs", "/usr/local/lib"),
    *("/var", "/var/lib", "/var/lib/dpkg", "/var/lib/pam", "/var/lib/kijun", "/var/cache/apt/archives"),
)
"""Directories that packages and roles write to; each can be a file system of its own."""

ROOM = 32
"""MiB that a file system needs for packages and the versions kept of files."""

GUARD = "/var/lib/kijun/guard"
"""Where the guard keeps its program, what hangs, and its report."""

POSTFIX = "/etc/postfix/main.cf"
"""The settings of the mail server that mail can be scanned for."""

ISOLATION = "/etc/kijun/isolation.ready"
"""What the role firewall keeps ready to cut the host off with."""

NAMES = 1000
"""Files that there must still be room for, where the file system counts them."""


def complaint(system: dict[str, Any]) -> str:
    """What keeps this host from being changed; empty when nothing does.

    Args:
        system: the fact ``os``.
    """
    if system["version_id"] not in SUPPORTED.get(system["id"], ()):
        known = ", ".join("%s %s" % (name, release) for name, releases in SUPPORTED.items() for release in releases)
        return "this host runs %s; supported, because tested, are: %s" % (system["pretty_name"], known)
    if os.geteuid():
        return "the task runs as user id %d and must be root: set become" % os.geteuid()
    for path in filter(os.path.isdir, WRITTEN):
        state = os.statvfs(path)
        if state.f_flag & os.ST_RDONLY:
            return "the file system of %s is mounted read-only" % path
        room = state.f_bavail * state.f_frsize // 2**20
        if room < ROOM:
            return "the file system of %s has %d MiB left; at least %d MiB are needed" % (path, room, ROOM)
        if state.f_files and state.f_favail < NAMES:
            return "the file system of %s has room for %d more files; %d are needed" % (path, state.f_favail, NAMES)
    return ""


def _is_untold(path: str) -> bool:
    """Whether there is a report that nobody has been given; a damaged one is the guard's own to complain of."""
    try:
        with open(path, encoding="utf-8") as file:
            return not json.load(file)["told"]
    except FileNotFoundError:
        return False
    except (ValueError, KeyError):
        return True


def settle_guard(run: str) -> dict[str, Any] | None:
    """Have the host's guard take back what an earlier run did not confirm, and give the report of it once.

    Args:
        run: the run that begins.

    Returns:
        What was taken back since somebody was told last: time, reason, restored, failures; None when nothing was.

    Raises:
        OSError: the guard did not answer.
    """
    if not os.path.exists(GUARD + "/pending/guard.json") and not _is_untold(GUARD + "/report.json"):
        return None
    done = subprocess.run(
        ["/usr/bin/python3", "-I", GUARD + "/guard.pyz", "settle", run],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        report: dict[str, Any] | None = json.loads(done.stdout)
    except ValueError:
        raise OSError("%s/guard.pyz: %s" % (GUARD, (done.stderr or done.stdout).strip()[-500:])) from None
    return report


def controller() -> str | None:
    """The address that whoever started this logged in from, sshd(8) SSH_CONNECTION; None when it was no login by SSH.

    sudo(8) keeps the variable from what it starts, so it is looked for up the line of processes.
    """
    process = os.getpid()
    while process > 1:
        try:
            with open("/proc/%d/environ" % process, "rb") as file:
                for entry in file.read().split(b"\0"):
                    if entry.startswith(b"SSH_CONNECTION="):
                        return entry.partition(b"=")[2].split()[0].decode().partition("%")[0]
            with open("/proc/%d/stat" % process, encoding="utf-8", errors="replace") as file:
                process = int(file.read().rpartition(")")[2].split()[1])
        except (OSError, IndexError, ValueError):
            return None
    return None


def memory_mb() -> int:
    """MiB of memory that the host has: the machine's, or what its own control group may take, cgroups(7), if less."""
    with open("/proc/meminfo", encoding="ascii") as file:
        found = int(file.readline().split()[1]) >> 10
    try:
        with open("/sys/fs/cgroup/memory.max", encoding="ascii") as file:
            return min(found, int(file.read()) >> 20)
    except (OSError, ValueError):
        return found


def main(argument: str) -> None:
    """Look, and print what was seen.

    Args:
        argument: JSON: ``run`` (the run that begins) and ``check`` (true: change nothing).
    """
    asked = json.loads(argument)
    system = operating_system(Host(), set())
    seen = {
        "distribution": system["id"],
        "release": system["version_id"],
        "container": system["container"],
        "machine": os.uname().machine,
        "controller": controller(),
        "environment": marker(Host())["name"],
        "memory_mb": memory_mb(),
        "isolation_ready": os.path.exists(ISOLATION),
        "postfix": os.path.exists(POSTFIX),
    }
    found = complaint(system)
    report = None
    if not found and not asked["check"]:
        try:
            report = settle_guard(asked["run"])
        except OSError as error:
            found = str(error)
    print(json.dumps({"complaint": found, "host": seen, "taken_back": report}))
