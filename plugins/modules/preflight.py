#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Look whether a host is what Kijun is made for."""

from __future__ import annotations

DOCUMENTATION = r"""
module: preflight
short_description: Look whether settings and a host are what roles are made for, before anything changes
version_added: "0.1.0"
description:
  - Holds the variables of roles against their limits (each role's C(__ROLE_limits)); an error names the variable, its
    value, what is allowed and the clause that asks for it. A variable that bears a role's name and that the role does
    not know is an error too, since it is mostly a misspelt one.
  - Asks the host, once in a run, whether it is a release that was tested, whether the task is root there, and whether
    its file systems can be written to and have room.
options:
  roles:
    description: Names of the roles, without the collection.
    type: list
    elements: str
    required: true
attributes:
  check_mode:
    description: Runs the same in check mode, since it never changes anything.
    support: full
  diff_mode:
    description: There is nothing to show.
    support: none
author:
  - Kijun developers
"""

EXAMPLES = r"""
- name: Look whether settings and hosts are what the role is made for
  kijun.baseline.preflight:
    roles: [authentication]
"""

RETURN = r"""
ansible_facts:
  description: What the host is.
  returned: when the host was asked
  type: dict
  sample: {kijun_host: {distribution: debian, release: "12"}}
"""

import os

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.facts.host import Host
from ..module_utils.facts.system import operating_system

SUPPORTED = {"debian": ("12", "13")}
"""Distribution -> releases that the tests boot."""

WRITTEN = ("/etc", "/usr", "/var")
ROOM = 32
"""MiB that a file system needs for packages and the versions kept of files."""


def complaint() -> str:
    """What keeps this host from being changed; empty when nothing does."""
    system = operating_system(Host(), set())
    if system["version_id"] not in SUPPORTED.get(system["id"], ()):
        known = ", ".join("%s %s" % (name, release) for name, releases in SUPPORTED.items() for release in releases)
        return "this host runs %s; supported, because tested, are: %s" % (system["pretty_name"], known)
    if os.geteuid():
        return "the task runs as user id %d and must be root: set become" % os.geteuid()
    for path in WRITTEN:
        state = os.statvfs(path)
        if state.f_flag & os.ST_RDONLY:
            return "the file system of %s is mounted read-only" % path
        room = state.f_bavail * state.f_frsize // 2**20
        if room < ROOM:
            return "the file system of %s has %d MiB left; at least %d MiB are needed" % (path, room, ROOM)
    return ""


def main() -> None:
    """Look, and tell."""
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)
    wrong = complaint()
    if wrong:
        module.fail_json(msg=wrong)
    system = operating_system(Host(), set())
    module.exit_json(
        changed=False, ansible_facts={"kijun_host": {"distribution": system["id"], "release": system["version_id"]}}
    )


if __name__ == "__main__":
    main()
