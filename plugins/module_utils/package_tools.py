# SPDX-License-Identifier: GPL-3.0-or-later
"""apt and dpkg as modules call them: no questions, one at a time, and with their complaints in one line."""

from __future__ import annotations

import fcntl
import os
import subprocess
import time

from .facts.host import PATH, Host

LOCK = "/var/lib/dpkg/lock-frontend"

SLOWEST = 1800
"""Seconds that one call of a package tool may take."""

HALF_DONE = (" unpacked\n", " half-installed\n", " half-configured\n", " triggers-pending\n", " triggers-awaited\n")
"""How a package's status line ends when dpkg was interrupted, dpkg(1)."""


class PackageToolError(Exception):
    """A package tool cannot do its work; says why, in one line."""


def tool(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a package tool that asks nothing."""
    environment = {
        "PATH": PATH,
        "LC_ALL": "C.UTF-8",
        "DEBIAN_FRONTEND": "noninteractive",
        "HOME": "/root",
        "DEBIAN_PRIORITY": "critical",
        "NEEDRESTART_MODE": "l",
    }
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        errors="replace",
        stdin=subprocess.DEVNULL,
        env=environment,
        timeout=SLOWEST,
        check=False,
    )


def interrupted() -> bool:
    """Whether an earlier run of dpkg was cut short."""
    if os.listdir("/var/lib/dpkg/updates"):
        return True
    with open("/var/lib/dpkg/status", encoding="utf-8", errors="replace") as file:
        return any(line.startswith("Status: ") and line.endswith(HALF_DONE) for line in file)


def holder() -> str:
    """The process that holds dpkg's lock, as ``process 123 (apt-get)``; empty when none does."""
    with open(LOCK, "a") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            inode = ":%d" % os.fstat(file.fileno()).st_ino
        else:
            return ""
    for line in Host().read("/proc/locks").splitlines():  # number, kind, mode, access, process, device:inode, ...
        fields = line.split()
        if fields[1] == "POSIX" and fields[5].endswith(inode):
            return "process %s (%s)" % (fields[4], Host().read_if_there("/proc/%s/comm" % fields[4]).strip())
    return "a process of another name space"


def wait_for_lock(seconds: int) -> None:
    """Wait until dpkg's lock is free; apt-get can do that itself, dpkg cannot, and neither always says who holds it.

    Args:
        seconds: how long at most.

    Raises:
        PackageToolError: it is still held; says by whom.
    """
    deadline = time.monotonic() + seconds
    while holder():
        if time.monotonic() > deadline:
            raise PackageToolError("%s holds dpkg's lock %s, after %d s still" % (holder(), LOCK, seconds))
        time.sleep(0.5)


def complaint(done: subprocess.CompletedProcess[str]) -> str:
    """The lines in which apt or dpkg says what is wrong."""
    lines = (done.stdout + done.stderr).splitlines()
    errors = [line for line in lines if line.startswith(("E: ", "dpkg: error", "W: "))] or lines[-5:]
    return " / ".join(errors[-6:])


def finish_interrupted() -> None:
    """Finish what an earlier run of dpkg left half done.

    Raises:
        PackageToolError: that cannot be done.
    """
    done = tool("dpkg", "--configure", "-a")
    if done.returncode:
        raise PackageToolError("an interrupted installation cannot be finished: %s" % complaint(done))


def apt_options(lock_timeout: int) -> list[str]:
    """Options of every call of apt-get(8): wait for the lock, keep configuration files that were changed.

    Args:
        lock_timeout: seconds to wait.
    """
    values = (
        "DPkg::Lock::Timeout=%d" % lock_timeout,
        "Dpkg::Options::=--force-confdef",
        "Dpkg::Options::=--force-confold",
    )
    return [word for value in values for word in ("-o", value)]
