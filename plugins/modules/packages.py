#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Install Debian packages in one transaction."""

from __future__ import annotations

DOCUMENTATION = r"""
module: packages
short_description: Install Debian packages in one transaction
version_added: "0.1.0"
description:
  - Reads dpkg's own status and does nothing more when every package is there, so that a run with nothing to change
    costs no more than a ping. Otherwise apt-get(8) installs what is missing in one transaction, without recommended
    packages, keeping configuration files that were changed.
  - An installation that was interrupted earlier is finished first, dpkg(1) C(--configure -a).
options:
  names:
    description: Packages that must be installed.
    type: list
    elements: str
    required: true
  lock_timeout:
    description: Seconds to wait while another process holds dpkg's lock.
    type: int
    default: 120
attributes:
  check_mode:
    description: Says which packages would be installed.
    support: full
  diff_mode:
    description: Shows the packages before and after.
    support: full
author:
  - Kijun developers
"""

EXAMPLES = r"""
- name: Install what the role needs
  kijun.baseline.packages:
    names: [chrony]
"""

RETURN = r"""
installed:
  description: Packages that were, or in check mode would be, installed.
  returned: success
  type: list
  elements: str
  sample: [chrony]
"""

import fcntl
import os
import subprocess
import time

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.facts.host import PATH, Host
from ..module_utils.facts.packages import packages

LOCK = "/var/lib/dpkg/lock-frontend"

SLOWEST = 1800
"""Seconds that one call of a package tool may take."""

HALF_DONE = (" unpacked\n", " half-installed\n", " half-configured\n", " triggers-pending\n", " triggers-awaited\n")
"""How a package's status line ends when dpkg was interrupted, dpkg(1)."""


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


def missing(names: list[str]) -> list[str]:
    """Which of the packages are not wholly installed."""
    versions = packages(Host(), set(names))
    return sorted(name for name in names if versions[name] is None)


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


def wait_for_lock(module: AnsibleModule) -> None:
    """Wait until dpkg's lock is free; apt-get can do that itself, dpkg cannot, and neither always says who holds it."""
    seconds = module.params["lock_timeout"]
    deadline = time.monotonic() + seconds
    while holder():
        if time.monotonic() > deadline:
            module.fail_json(msg="%s holds dpkg's lock %s, after %d s still" % (holder(), LOCK, seconds))
        time.sleep(0.5)


def complaint(done: subprocess.CompletedProcess[str]) -> str:
    """The lines in which apt or dpkg says what is wrong."""
    lines = (done.stdout + done.stderr).splitlines()
    errors = [line for line in lines if line.startswith(("E: ", "dpkg: error", "W: "))] or lines[-5:]
    return " / ".join(errors[-6:])


def install(module: AnsibleModule, names: list[str]) -> None:
    """Install packages; a package list that is missing or out of date is fetched, and the installation tried again."""
    options = [
        "-o",
        "DPkg::Lock::Timeout=%d" % module.params["lock_timeout"],
        "-o",
        "Dpkg::Options::=--force-confdef",
        "-o",
        "Dpkg::Options::=--force-confold",
    ]
    command = ["apt-get", "-y", "-q", *options, "--no-install-recommends", "install", "--", *names]
    done = tool(*command)
    if done.returncode and " lock " not in done.stderr:
        update = tool("apt-get", "-q", *options, "update")
        if update.returncode:
            module.fail_json(
                msg="packages %s: the package lists cannot be fetched: %s" % (", ".join(names), complaint(update))
            )
        done = tool(*command)
    if done.returncode:
        module.fail_json(msg="packages %s cannot be installed: %s" % (", ".join(names), complaint(done)))


def main() -> None:
    """Read, and install what is missing."""
    module = AnsibleModule(
        argument_spec={
            "names": {"type": "list", "elements": "str", "required": True},
            "lock_timeout": {"type": "int", "default": 120},
        },
        supports_check_mode=True,
    )
    names = module.params["names"]
    half_done, absent = interrupted(), missing(names)
    if (half_done or absent) and not module.check_mode:
        wait_for_lock(module)
        half_done, absent = interrupted(), missing(names)  # whoever held it was perhaps at work on just that
    if (half_done or absent) and not module.check_mode:
        if half_done:
            done = tool("dpkg", "--configure", "-a")
            if done.returncode:
                module.fail_json(msg="an interrupted installation cannot be finished: %s" % complaint(done))
        if missing(names):
            install(module, names)
    module.exit_json(
        changed=bool(half_done or absent),
        installed=absent,
        diff={"before": "", "after": "".join("%s\n" % name for name in absent)},
    )


if __name__ == "__main__":
    main()
