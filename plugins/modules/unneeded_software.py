#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Remove packages that a host does not need, and mask units that must not run."""

from __future__ import annotations

DOCUMENTATION = r"""
module: unneeded_software
short_description: Remove packages that a host does not need, and mask units that must not run
version_added: "0.1.0"
description:
  - Plans the removal with apt-get(8) C(-s) first. When it would take along a package that is not listed, or install
    one, nothing is removed and the error names both.
  - Packages are removed and not purged, so their configuration stays. What they brought along for themselves stays,
    too.
  - Units are stopped and masked where they are there and no listed package takes its unit along. A unit that this
    module masked and that is listed no more is unmasked, and neither enabled nor started.
  - Does nothing more than read dpkg's status where nothing of it is installed, so that a run with nothing to change
    costs no more than a ping.
options:
  packages:
    description: Packages that the host does not need; those that are not installed do not matter.
    type: list
    elements: str
    default: []
  units:
    description: Services, sockets, timers and paths that must not run; those that are not there do not matter.
    type: list
    elements: str
    default: []
  action:
    description:
      - V(remove) removes the packages, and masks the units that are left.
      - V(mask) masks the units and leaves the packages.
      - V(report) changes nothing.
    type: str
    choices: [remove, mask, report]
    default: remove
  lock_timeout:
    description: Seconds to wait while another process holds dpkg's lock.
    type: int
    default: 120
attributes:
  check_mode:
    description: Says which packages would be removed and which units masked; refuses what a run would refuse.
    support: full
  diff_mode:
    description: Shows packages and units before and after.
    support: full
author:
  - Kijun developers
"""

EXAMPLES = r"""
- name: Remove what nobody needs
  kijun.baseline.unneeded_software:
    packages: [telnetd, tftpd-hpa, rpcbind]
    units: [rsync.service]
"""

RETURN = r"""
packages:
  description: Packages that were, or in check mode would be, removed.
  returned: success
  type: list
  elements: str
  sample: [rpcbind]
units:
  description: Units that were, or in check mode would be, changed, with what was done.
  returned: success
  type: dict
  sample: {rsync.service: [stop, mask]}
unneeded:
  description: Listed packages that were found installed, whatever the action.
  returned: success
  type: list
  elements: str
  sample: [rpcbind]
"""

import json
import os
import re
import subprocess
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.facts.host import PATH, Host
from ..module_utils.facts.packages import STATUS, packages
from ..module_utils.package_tools import (
    PackageToolError,
    apt_options,
    complaint,
    finish_interrupted,
    interrupted,
    tool,
    wait_for_lock,
)

UNIT_FOLDERS = (
    *("/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system"),
    *("/usr/lib/systemd/system", "/lib/systemd/system"),
)
FILE_LISTS = "/var/lib/dpkg/info"

STATE = "/var/lib/kijun/unneeded_software/masked.json"
"""The units that this module masked, so that it can tell them from those that somebody else did."""

NEVER = re.compile(
    r"(openssh-server|openssh-sftp-server|sudo|sudo-ldap|systemd|systemd-sysv|dbus|apt|dpkg|init|bash|dash|login|passwd"
    r"|libpam-.*|python3|python3-minimal|python3\.[0-9]+(-minimal)?|python3-apt|iproute2|linux-image-.*|grub-.*)"
)
"""What a host must keep so that it boots and can be reached and changed."""


class Refused(Exception):
    """What was asked for would do harm; says what, and nothing was changed."""


def unremovable(names: list[str]) -> list[str]:
    """Which of the packages may never be removed: those above, and those that dpkg itself calls essential."""
    essential = re.compile(r"^(?:Essential|Protected|Important): yes$|^Priority: required$", re.MULTILINE)
    found = {name for name in names if NEVER.fullmatch(name)}
    for paragraph in Host().read(STATUS).split("\n\n"):
        name = paragraph[len("Package: ") : paragraph.find("\n")]
        if name in names and essential.search(paragraph):
            found.add(name)
    return sorted(found)


def simulated(names: list[str]) -> tuple[set[str], set[str]]:
    """What apt-get(8) would remove and install when it is to remove packages.

    Raises:
        Refused: it would not do it; says why.
    """
    done = tool("apt-get", "-s", "-y", "-q", "-o", "Debug::NoLocking=1", "remove", "--", *names)
    if done.returncode:
        raise Refused("packages %s cannot be removed: %s; nothing was removed" % (", ".join(names), complaint(done)))
    steps: dict[str, set[str]] = {"Remv": set(), "Inst": set()}
    for line in done.stdout.splitlines():
        verb, _, rest = line.partition(" ")
        if verb in steps:
            steps[verb].add(rest.split()[0].partition(":")[0])
    return steps["Remv"], steps["Inst"]


def check_removal(names: list[str]) -> None:
    """See to it that the removal of packages changes nothing else.

    Raises:
        Refused: it would; names which package takes what along.
    """
    kept = unremovable(names)
    if kept:
        raise Refused("a host needs %s; nothing was removed" % ", ".join(kept))
    removed, installed = simulated(names)
    if removed <= set(names) and not installed:
        return
    causes = []
    for name in names:
        also, instead = simulated([name])
        parts = []
        if also - set(names):
            parts.append("would also remove %s" % ", ".join(sorted(also - set(names))))
        if instead:
            parts.append("would install %s" % ", ".join(sorted(instead)))
        if parts:
            causes.append("removing %s %s" % (name, " and ".join(parts)))
    together = "removing %s together would also change %s" % (
        ", ".join(names),
        ", ".join(sorted((removed - set(names)) | installed)),
    )
    raise Refused("%s; nothing was removed" % ("; ".join(causes) or together))


def remove(names: list[str], lock_timeout: int) -> None:
    """Remove packages in one transaction; their configuration stays.

    Raises:
        PackageToolError: the lock is held, or apt-get(8) failed.
    """
    wait_for_lock(lock_timeout)
    if interrupted():
        finish_interrupted()
    done = tool("apt-get", "-y", "-q", *apt_options(lock_timeout), "remove", "--", *names)
    if done.returncode:
        raise PackageToolError("packages %s cannot be removed: %s" % (", ".join(names), complaint(done)))


def units_of(names: list[str]) -> set[str]:
    """The units that packages bring, as their lists of files say."""
    found: set[str] = set()
    for entry in os.listdir(FILE_LISTS):
        stem, _, kind = entry.rpartition(".")
        if kind == "list" and stem.partition(":")[0] in names:
            paths = [path.rpartition("/") for path in Host().read("%s/%s" % (FILE_LISTS, entry)).splitlines()]
            found.update(name for folder, _, name in paths if folder in UNIT_FOLDERS)
    return found


def has_script(unit: str) -> bool:
    """Whether a script in /etc/init.d makes a unit of this name, systemd-sysv-generator(8)."""
    name, _, kind = unit.rpartition(".")
    return kind == "service" and os.path.exists("/etc/init.d/%s" % name)


def is_there(unit: str) -> bool:
    """Whether there is a unit of this name."""
    return has_script(unit) or any(os.path.lexists("%s/%s" % (folder, unit)) for folder in UNIT_FOLDERS)


def systemctl(*arguments: str) -> str:
    """Run systemctl(1).

    Raises:
        PackageToolError: it failed.
    """
    done = subprocess.run(
        ["systemctl", *arguments],
        capture_output=True,
        text=True,
        errors="replace",
        stdin=subprocess.DEVNULL,
        env={"PATH": PATH, "LC_ALL": "C"},
        check=False,
    )
    if done.returncode:
        raise PackageToolError("systemctl %s: %s" % (" ".join(arguments), (done.stderr or done.stdout).strip()))
    return done.stdout


def states(names: list[str]) -> dict[str, dict[str, str]]:
    """Unit -> its LoadState, ActiveState and UnitFileState."""
    if not names:
        return {}
    text = systemctl("show", "--property=LoadState,ActiveState,UnitFileState", "--", *names)
    blocks = text.strip("\n").split("\n\n")
    return {name: dict(line.partition("=")[::2] for line in block.splitlines()) for name, block in zip(names, blocks)}


def verbs(unit: str, state: dict[str, str]) -> list[str]:
    """What makes a unit one that neither runs nor starts."""
    found = ["stop"] if state["ActiveState"] not in ("inactive", "failed") else []
    if state["LoadState"] == "masked":
        return found
    # systemctl(1) masks no unit whose own file lies where the mask would.
    local = os.path.join(UNIT_FOLDERS[0], unit)
    if os.path.isfile(local) and not os.path.islink(local):
        return found + (["disable"] if state["UnitFileState"].startswith("enabled") else [])
    return [*found, "mask"]


def masked_before() -> list[str]:
    """The units that this module masked on this host."""
    text = Host().read_if_there(STATE)
    return [str(name) for name in json.loads(text)] if text else []


def remember(names: list[str]) -> None:
    """Write down which units this module masked."""
    os.makedirs(os.path.dirname(STATE), mode=0o755, exist_ok=True)
    with open(STATE + ".new", "w", encoding="utf-8") as file:
        json.dump(names, file)
    os.replace(STATE + ".new", STATE)


def plan_units(wanted: list[str], going: list[str]) -> dict[str, list[str]]:
    """What to do with which unit.

    Args:
        wanted: units that must not run.
        going: packages that are going to be removed, and take their units along.
    """
    # A script in /etc/init.d is configuration: it outlives its package, and starts at boot what it can.
    leaving = {unit for unit in units_of(going) if not has_script(unit)} if going else set()
    here = [unit for unit in wanted if is_there(unit) and unit not in leaving]
    given_back = [unit for unit in masked_before() if unit not in wanted]
    now = states([*here, *given_back])
    planned = {unit: verbs(unit, now[unit]) for unit in here}
    planned.update({unit: ["unmask"] for unit in given_back if now[unit]["LoadState"] == "masked"})
    return {unit: steps for unit, steps in planned.items() if steps}


def apply_units(planned: dict[str, list[str]]) -> None:
    """Do it, sockets and services together, so that none starts another again."""
    for verb in ("stop", "disable", "mask", "unmask"):
        names = [unit for unit, steps in planned.items() if verb in steps]
        if verb == "stop":  # what went with its package was stopped by it
            names = [unit for unit, state in states(names).items() if state["LoadState"] != "not-found"]
        if names:
            systemctl("--quiet", verb, "--", *names)
    masks = {unit for unit, steps in planned.items() if "mask" in steps}
    freed = {unit for unit, steps in planned.items() if "unmask" in steps}
    if masks or freed:
        remember(sorted((set(masked_before()) | masks) - freed))


def run(module: AnsibleModule) -> dict[str, Any]:
    """Plan, and change what the action says.

    Raises:
        Refused: the plan would do harm.
        PackageToolError: a tool failed.
    """
    given = module.params
    versions = packages(Host(), set(given["packages"]))
    unneeded = sorted(name for name, version in versions.items() if version is not None)
    going = unneeded if given["action"] == "remove" else []
    if going:
        check_removal(going)
    planned = {} if given["action"] == "report" else plan_units(given["units"], going)
    if not module.check_mode:
        if going:
            remove(going, given["lock_timeout"])
        apply_units(planned)
    return {
        "changed": bool(going or planned),
        "packages": going,
        "units": planned,
        "unneeded": unneeded,
        "diff": {
            "before": "".join("package %s\n" % name for name in going),
            "after": "".join("%s: %s\n" % (unit, ", ".join(steps)) for unit, steps in sorted(planned.items())),
        },
    }


def main() -> None:
    """Run with the module's arguments."""
    module = AnsibleModule(
        argument_spec={
            "packages": {"type": "list", "elements": "str", "default": []},
            "units": {"type": "list", "elements": "str", "default": []},
            "action": {"type": "str", "choices": ["remove", "mask", "report"], "default": "remove"},
            "lock_timeout": {"type": "int", "default": 120},
        },
        supports_check_mode=True,
    )
    try:
        result = run(module)
    except (Refused, PackageToolError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
