#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Close sensitive files that are more open than they may be."""

from __future__ import annotations

DOCUMENTATION = r"""
module: permissions
short_description: Close sensitive files that are more open than they may be
version_added: "0.3.0"
description:
  - Goes through the files of some sections and takes away what they are more open than they may be. That is,
    permission bits beyond the most allowed, an owner other than root, a wrong group, a missing sticky bit. It never
    opens anything.
  - Home directories and what lies in them keep their owner and group.
  - No link is followed, and what belongs to users is reached by descriptors, so that nobody can turn the change to
    another file.
options:
  sections:
    description:
      - V(accounts) are the files of accounts and their passwords, V(system) root's settings, units and search path,
        V(logs) what lies below C(/var/log), V(temporary) directories where everybody writes, V(homes) the home
        directories of people and of root, V(dotfiles) the files there whose names begin with a dot.
    type: list
    elements: str
    choices: [accounts, system, logs, temporary, homes, dotfiles]
    required: true
  excluded:
    description: Absolute paths that are left as they are, with all below.
    type: list
    elements: path
    default: []
attributes:
  check_mode:
    description: Says which files would change, and why.
    support: full
  diff_mode:
    description: Shows owner, group and mode before and after.
    support: full
author:
  - Kijun developers
"""

EXAMPLES = r"""
- name: Close what is too open
  kijun.baseline.permissions:
    sections: [accounts, system, logs, temporary, homes, dotfiles]
    excluded: [/var/log/example]
"""

RETURN = r"""
closed:
  description: Files that were, or in check mode would be, changed, with what was wrong.
  returned: success
  type: dict
  sample: {/etc/shadow: "mode 0644, at most 0640"}
"""

import os
import stat
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.facts.host import Host
from ..module_utils.facts.permissions import SECTIONS, Finding, is_below


def close(finding: Finding) -> None:
    """Give a file its owner, group and mode, unless another took its place meanwhile; the next run sees that one."""
    try:
        handle = os.open(finding.name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=finding.folder)
    except FileNotFoundError:
        return
    try:
        now = os.fstat(handle)
        if (now.st_dev, now.st_ino, now.st_uid) != (finding.info.st_dev, finding.info.st_ino, finding.info.st_uid):
            return
        # A descriptor of this kind names the file and cannot be changed by; its place in /proc can, open(2).
        place = "/proc/self/fd/%d" % handle
        if (now.st_uid, now.st_gid) != (finding.uid, finding.gid):
            os.chown(place, finding.uid, finding.gid)
        os.chmod(place, finding.mode)
    finally:
        os.close(handle)


def described(path: str, uid: int, gid: int, mode: int) -> str:
    """A file's owner, group and mode, one line."""
    return "%s: %d:%d %04o\n" % (path, uid, gid, mode)


def main() -> None:
    """Look, and close what is too open."""
    module = AnsibleModule(
        argument_spec={
            "sections": {"type": "list", "elements": "str", "choices": list(SECTIONS), "required": True},
            "excluded": {"type": "list", "elements": "path", "default": []},
        },
        supports_check_mode=True,
    )
    closed: dict[str, Any] = {}
    before, after = [], []
    for section in module.params["sections"]:
        # One by one: a finding's descriptor is open until the walk goes on.
        for finding in SECTIONS[section](Host()):
            if finding.path in closed or is_below(finding.path, module.params["excluded"]):
                continue
            if not module.check_mode:
                try:
                    close(finding)
                except OSError as error:
                    module.fail_json(msg="%s (%s): %s" % (finding.path, finding.wrong, error.strerror))
            closed[finding.path] = finding.wrong
            info = finding.info
            before.append(described(finding.path, info.st_uid, info.st_gid, stat.S_IMODE(info.st_mode)))
            after.append(described(finding.path, finding.uid, finding.gid, finding.mode))
    module.exit_json(changed=bool(closed), closed=closed, diff={"before": "".join(before), "after": "".join(after)})


if __name__ == "__main__":
    main()
