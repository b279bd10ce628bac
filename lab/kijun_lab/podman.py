# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands of the machine, podman above all, and the locks that keep two runs of the lab apart."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from .description import LAB_FOLDER
from .errors import LabError

# Machine-wide, as podman's storage and networks are: two checkouts on one machine share them.
LOCKS = Path("/run/lock")
CGROUP_V2_MARK = Path("/sys/fs/cgroup/cgroup.controllers")
ENVIRONMENT = {**os.environ, "CONTAINERS_CONF": str(LAB_FOLDER / "containers.conf")}

# What the lab calls, and the Debian package that has it.
PROGRAMS = {
    "podman": "podman",
    "runc": "runc",
    "/usr/lib/podman/netavark": "netavark",
    "/usr/lib/podman/aardvark-dns": "aardvark-dns",
    "iptables": "iptables",
    "mmdebstrap": "mmdebstrap",
    "flock": "util-linux",
    "setpriv": "util-linux",
    "ssh": "openssh-client",
}


def require_machine() -> None:
    """Make sure that this machine can run a lab.

    Raises:
        LabError: not root, or programs are missing (the text names their Debian packages).
    """
    if os.geteuid() != 0:
        raise LabError("the lab runs real hosts with their own network and needs root; try: sudo lab/lab ...")
    search = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    missing = sorted(package for program, package in PROGRAMS.items() if shutil.which(program, path=search) is None)
    if missing:
        packages = " ".join(missing)
        raise LabError(f"missing programs; install their packages: apt-get install --no-install-recommends {packages}")


def cgroup_v1() -> bool:
    """Whether the machine still runs on cgroup v1 (or the hybrid of v1 and v2)."""
    return not CGROUP_V2_MARK.exists()


def run(*command: str | Path, data: bytes | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a command quietly.

    Args:
        command: the program and its arguments.
        data: given on standard input, which is empty otherwise.
        check: whether failing is an error.

    Returns:
        The finished process; its output is text.

    Raises:
        LabError: the command failed; the text ends with what it said.
    """
    done = subprocess.run(
        command, input=data or b"", capture_output=True, env=ENVIRONMENT, check=False, start_new_session=True
    )
    # Whatever runs without a syslog socket in the machine says this of itself; it means nothing.
    stderr = done.stderr.decode(errors="replace").replace("failed to connect to syslog: Initialization\n", "")
    stdout = done.stdout.decode(errors="replace")
    if check and done.returncode != 0:
        text = (stderr.strip() or stdout.strip())[-2000:]
        raise LabError(f"{' '.join(map(str, command))}\nended with status {done.returncode}: {text}")
    return subprocess.CompletedProcess(command, done.returncode, stdout, stderr)


def podman(*arguments: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Ask podman something, with the lab's settings, and give up on an answer after a minute; see `run`."""
    return run("timeout", "--kill-after=5", "60", "podman", *arguments, check=check)


def podman_change(lock_name: str, *arguments: str | Path, data: bytes | None = None) -> str:
    """Let podman change something, with the lab's settings; see `run`.

    podman itself must not be killed half-way: it then loses count of addresses and mounts for good. So it works in a
    session of its own and finishes even when the lab is killed; and the next run, before it touches anything, waits
    for it (flock's lock ends with podman, and --close keeps it from the daemons that podman leaves behind).

    Args:
        lock_name: the `lock` that the caller holds.
        arguments: podman's.
        data: given on standard input.

    Returns:
        What podman printed.
    """
    return run("flock", "--shared", "--close", _work_lock(lock_name), "podman", *arguments, data=data).stdout.strip()


@contextlib.contextmanager
def lock(name: str) -> Iterator[None]:
    """Hold a machine-wide lock, waiting for whoever has it and for what a killed holder left at work.

    Args:
        name: what is locked, for example ``kijun-lab0``.
    """
    LOCKS.mkdir(parents=True, exist_ok=True)
    with _exclusive(LOCKS / f"{name}.lock", name):
        with _exclusive(_work_lock(name), f"{name}, which was killed"):
            pass
        yield


def _work_lock(name: str) -> Path:
    return LOCKS / f"{name}.work.lock"


@contextlib.contextmanager
def _exclusive(path: Path, what: str) -> Iterator[None]:
    with path.open("w", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"lab: waiting for another run ({what})", file=sys.stderr, flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
