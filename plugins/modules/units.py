#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring systemd units into their state, many in one call."""

from __future__ import annotations

DOCUMENTATION = r"""
module: units
short_description: Bring systemd units into their state, many in one call
version_added: "0.1.0"
description:
  - Reads the state of all units with one call of systemctl(1) and changes only what differs. A masked unit is unmasked
    when it is to run or to start at boot.
options:
  units:
    description: The units.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Full name, such as V(chrony.service).
        type: str
        required: true
      enabled:
        description: Whether it starts at boot; left as it is when not given.
        type: bool
      state:
        description: V(restarted) always restarts it.
        type: str
        choices: [started, stopped, restarted]
      restarted_after:
        description:
          - Files that a running unit must have been started after. It is restarted when one of them is newer, so that a
            run that was killed between writing a file and restarting is made good by the next.
        type: list
        elements: path
        default: []
      package:
        description:
          - Package that brings the unit, and that enables and starts it when it is installed, as Debian's do. As long
            as the package is not there, check mode counts on that.
        type: str
  changed_files:
    description:
      - Files that an earlier step of the run changed, or in check mode would have changed; they count as newer than
        every running unit.
    type: list
    elements: path
    default: []
  daemon_reload:
    description: Read changed unit files first, when a unit changes or its file did.
    type: bool
    default: true
attributes:
  check_mode:
    description: Says which units would change and how.
    support: full
  diff_mode:
    description: Shows the states before and after.
    support: full
author:
  - Kijun developers
"""

EXAMPLES = r"""
- name: The clock is kept
  kijun.baseline.units:
    units:
      - name: chrony.service
        enabled: true
        state: started
        restarted_after: [/etc/chrony/chrony.conf]
        package: chrony
    changed_files: "{{ __example_written.changed_files }}"
"""

RETURN = r"""
units:
  description: Units that were, or in check mode would be, changed, with what was done.
  returned: success
  type: dict
  sample: {chrony.service: [enable, start]}
"""

import datetime
import glob
import os
import subprocess
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.facts.host import PATH, Host
from ..module_utils.facts.packages import packages

PROPERTIES = ("LoadState", "ActiveState", "UnitFileState", "NeedDaemonReload", "ActiveEnterTimestamp")
STARTED = "%Y-%m-%d %H:%M:%S.%f %Z"
"""How systemctl writes a time, behind the weekday."""

TICK = 0.01
"""Seconds by which a file's time of change may lag: the kernel takes it from the last tick, systemd from the clock."""

ENABLED = ("enabled", "enabled-runtime", "static", "alias", "indirect", "generated")
"""States of unit files that need no enabling, systemctl(1) is-enabled."""


def systemctl(module: AnsibleModule, *arguments: str) -> str:
    """Run systemctl(1)."""
    done = subprocess.run(
        ["systemctl", *arguments],
        capture_output=True,
        text=True,
        errors="replace",
        stdin=subprocess.DEVNULL,
        check=False,
    )
    if done.returncode:
        module.fail_json(msg="systemctl %s: %s" % (" ".join(arguments), (done.stderr or done.stdout).strip()))
    return done.stdout


def states(module: AnsibleModule, names: list[str]) -> dict[str, dict[str, str]]:
    """Name -> property -> value."""
    text = systemctl(module, "show", "--timestamp=us+utc", "--property=" + ",".join(PROPERTIES), "--", *names)
    return {
        name: dict(line.partition("=")[::2] for line in block.splitlines())
        for name, block in zip(names, text.strip("\n").split("\n\n"))
    }


def expect_packages(wishes: dict[str, dict[str, Any]], now: dict[str, dict[str, str]]) -> None:
    """Stand in, for units whose package is not installed yet, the state that the installation will leave."""
    wanted = {wish["package"] for wish in wishes.values() if wish["package"]}
    installed = packages(Host(), wanted) if wanted else {}
    for name, wish in wishes.items():
        if wish["package"] and installed[wish["package"]] is None and comes_enabled(name, wish["package"]):
            # started when it will be installed, after every file that is there now
            now[name].update(LoadState="loaded", UnitFileState="enabled", ActiveState="active", ActiveEnterTimestamp="")


def comes_enabled(name: str, package: str) -> bool:
    """Whether the package will enable the unit: always, unless somebody disabled it before the package went."""
    # What the package's own postinst asks, deb-systemd-helper(1p); it answers only to what looks like one.
    done = subprocess.run(
        ["deb-systemd-helper", "--quiet", "was-enabled", name],
        env={"PATH": PATH, "DPKG_MAINTSCRIPT_PACKAGE": package},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    return done.returncode == 0


def is_active(state: dict[str, str]) -> bool:
    """Whether a unit runs, or is about to."""
    return state["ActiveState"] in ("active", "activating", "reloading")


def is_enabled(name: str, state: dict[str, str]) -> bool:
    """Whether a unit starts at boot, or will as soon as its missing file is there again: its links outlive the file.

    A file in the place of what systemd made of an init script is not read yet, and nobody has enabled it.
    """
    replaced = state["UnitFileState"] == "generated" and os.path.exists("/etc/systemd/system/" + name)
    if state["UnitFileState"] and not replaced:
        return state["UnitFileState"] in ENABLED
    return bool(glob.glob("/etc/systemd/system/*.wants/" + glob.escape(name)))


def described(name: str, state: dict[str, str]) -> str:
    """A unit's state, one line."""
    return "%s: %s, %s\n" % (name, state["UnitFileState"] or "absent", state["ActiveState"])


def outdated(wish: dict[str, Any], now: dict[str, str], changed: list[str]) -> bool:
    """Whether a unit runs since before one of its files was, or in check mode would be, put in place."""
    if set(changed) & set(wish["restarted_after"]):
        return True
    _, _, text = now.get("ActiveEnterTimestamp", "").partition(" ")
    if not text:
        return False
    started = datetime.datetime.strptime(text, STARTED).replace(tzinfo=datetime.timezone.utc).timestamp()
    paths = [path for path in wish["restarted_after"] if os.path.exists(path)]
    return any(os.stat(path).st_ctime + TICK > started for path in paths)


def steps(wish: dict[str, Any], now: dict[str, str], changed: list[str]) -> list[str]:
    """The verbs of systemctl that bring a unit from its state to the wished one."""
    verbs = []
    if now["LoadState"] == "masked" and (wish["enabled"] or wish["state"] in ("started", "restarted")):
        verbs.append("unmask")
    if wish["enabled"] is True and not is_enabled(wish["name"], now):
        verbs.append("enable")
    if wish["enabled"] is False and now["UnitFileState"] in ("enabled", "enabled-runtime"):
        verbs.append("disable")
    active = is_active(now)
    if wish["state"] == "restarted" or (wish["state"] == "started" and active and outdated(wish, now, changed)):
        verbs.append("restart")
    elif wish["state"] == "started" and not active:
        verbs.append("start")
    elif wish["state"] == "stopped" and active:
        verbs.append("stop")
    return verbs


def main() -> None:
    """Compare, and change what differs."""
    module = AnsibleModule(
        argument_spec={
            "units": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "name": {"type": "str", "required": True},
                    "enabled": {"type": "bool"},
                    "state": {"type": "str", "choices": ["started", "stopped", "restarted"]},
                    "restarted_after": {"type": "list", "elements": "path", "default": []},
                    "package": {"type": "str"},
                },
            },
            "changed_files": {"type": "list", "elements": "path", "default": []},
            "daemon_reload": {"type": "bool", "default": True},
        },
        supports_check_mode=True,
    )
    wishes = {wish["name"]: wish for wish in module.params["units"]}
    before = states(module, list(wishes))
    if module.check_mode:
        expect_packages(wishes, before)
    verbs_of = {name: steps(wish, before[name], module.params["changed_files"]) for name, wish in wishes.items()}
    planned = {name: verbs for name, verbs in verbs_of.items() if verbs}
    stale = [name for name in wishes if before[name]["NeedDaemonReload"] == "yes"]
    if not module.check_mode and (planned or stale):
        if module.params["daemon_reload"]:
            systemctl(module, "daemon-reload")
        for name, verbs in planned.items():
            for verb in verbs:
                systemctl(module, verb, "--", name)
        after = states(module, list(wishes))
        running = [name for name, wish in wishes.items() if wish["state"] in ("started", "restarted")]
        fallen = ["%s is %s" % (name, after[name]["ActiveState"]) for name in running if not is_active(after[name])]
        if fallen:
            module.fail_json(msg="did not stay up: %s" % ", ".join(fallen))
    module.exit_json(
        changed=bool(planned),
        units=planned,
        diff={
            "before": "".join(described(name, before[name]) for name in planned),
            "after": "".join("%s: %s\n" % (n, ", ".join(verbs)) for n, verbs in planned.items()),
        },
    )


if __name__ == "__main__":
    main()
