#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring systemd units into their state, many in one call."""

from __future__ import annotations

DOCUMENTATION = r"""
module: units
short_description: Bring systemd units into their state, many in one call
version_added: "0.1.0"
description:
  - Reads the state of all units with one call of systemctl(1) and changes only what differs.
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
  daemon_reload:
    description: Read changed unit files first, when a unit changes or its file did.
    type: bool
    default: true
attributes:
  check_mode:
    description: Says which units would change; a unit whose package is not there yet counts as one.
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
      - {name: chrony.service, enabled: true, state: started}
"""

RETURN = r"""
units:
  description: Units that were, or in check mode would be, changed, with what was done.
  returned: success
  type: dict
  sample: {chrony.service: [enable, start]}
"""

import os
import subprocess
import time

from ansible.module_utils.basic import AnsibleModule

PROPERTIES = ("LoadState", "ActiveState", "UnitFileState", "NeedDaemonReload", "ActiveEnterTimestampMonotonic")
ENABLED = ("enabled", "enabled-runtime", "static", "alias", "indirect", "generated")
"""States of unit files that need no enabling, systemctl(1) is-enabled."""


def systemctl(module: AnsibleModule, *arguments: str) -> str:
    """Run systemctl(1)."""
    done = subprocess.run(["systemctl", *arguments], capture_output=True, text=True, errors="replace",
                          stdin=subprocess.DEVNULL, check=False)
    if done.returncode:
        module.fail_json(msg="systemctl %s: %s" % (" ".join(arguments), (done.stderr or done.stdout).strip()))
    return done.stdout


def states(module: AnsibleModule, names: list) -> dict:
    """Name -> property -> value."""
    text = systemctl(module, "show", "--property=" + ",".join(PROPERTIES), "--", *names)
    return {name: dict(line.partition("=")[::2] for line in block.splitlines())
            for name, block in zip(names, text.strip("\n").split("\n\n"))}


def outdated(wish: dict, now: dict) -> bool:
    """Whether a unit runs since before one of its files was put in place."""
    started = time.time() - time.monotonic() + int(now.get("ActiveEnterTimestampMonotonic") or 0) / 1e6
    return any(os.path.exists(path) and os.stat(path).st_ctime > started for path in wish["restarted_after"])


def steps(wish: dict, now: dict) -> list:
    """The verbs of systemctl that bring a unit from its state to the wished one."""
    verbs = []
    if wish["enabled"] is not None and wish["enabled"] != (now["UnitFileState"] in ENABLED):
        verbs.append("enable" if wish["enabled"] else "disable")
    active = now["ActiveState"] in ("active", "activating", "reloading")
    if wish["state"] == "restarted" or (wish["state"] == "started" and active and outdated(wish, now)):
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
            "units": {"type": "list", "elements": "dict", "required": True, "options": {
                "name": {"type": "str", "required": True},
                "enabled": {"type": "bool"},
                "state": {"type": "str", "choices": ["started", "stopped", "restarted"]},
                "restarted_after": {"type": "list", "elements": "path", "default": []},
            }},
            "daemon_reload": {"type": "bool", "default": True},
        },
        supports_check_mode=True,
    )
    wishes = {wish["name"]: wish for wish in module.params["units"]}
    before = states(module, list(wishes))
    planned = {name: verbs for name, verbs in ((n, steps(w, before[n])) for n, w in wishes.items()) if verbs}
    stale = [name for name in wishes if before[name]["NeedDaemonReload"] == "yes"]
    if not module.check_mode and (planned or stale):
        if module.params["daemon_reload"]:
            systemctl(module, "daemon-reload")
        for name, verbs in planned.items():
            for verb in verbs:
                systemctl(module, verb, "--", name)
        after = states(module, list(wishes))
        fallen = [name for name, wish in wishes.items()
                  if wish["state"] in ("started", "restarted") and after[name]["ActiveState"] not in ("active", "activating")]
        if fallen:
            module.fail_json(msg="did not stay up: %s" % ", ".join("%s is %s" % (n, after[n]["ActiveState"]) for n in fallen))
    module.exit_json(
        changed=bool(planned), units=planned,
        diff={"before": "".join("%s: %s, %s\n" % (n, before[n]["UnitFileState"] or "absent", before[n]["ActiveState"]) for n in planned),
              "after": "".join("%s: %s\n" % (n, ", ".join(verbs)) for n, verbs in planned.items())},
    )


if __name__ == "__main__":
    main()
