#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Back a host up, now."""

from __future__ import annotations

DOCUMENTATION = r"""
module: backup
short_description: Back a host up, now
version_added: "0.5.0"
description:
  - Runs the backups of some classes that the role C(backup) set up, one after the other, and waits for them. It fails
    when one of them is not whole, or with O(verify) cannot be read back.
  - A busy server, and a lock that somebody else holds, are waited for.
options:
  classes:
    description: The classes. One of which the host has nothing is left out.
    type: list
    elements: str
    default: [system]
  tags:
    description: The snapshots' tags, which decide how long they are kept.
    type: list
    elements: str
    default: [incremental]
  verify:
    description: Whether each snapshot is read back - its whole tree, and some of its files to the last byte.
    type: bool
    default: false
  patience:
    description: Seconds for which a busy server, a lock or another run is waited for; the role's setting by default.
    type: int
attributes:
  check_mode:
    description: Says that it would run, and looks whether the host has such classes.
    support: full
  diff_mode:
    description: Nothing on the host changes.
    support: none
author:
  - Kijun developers
seealso:
  - module: kijun.baseline.backup_info
"""

EXAMPLES = r"""
- name: Back up before the change, and prove it
  kijun.baseline.backup:
    classes: [system]
    tags: [before-change]
    verify: true
  register: before
"""

RETURN = r"""
backups:
  description: What was made - class, tags, snapshot, parent, started, seconds, files_new, files_changed, bytes_added,
    bytes_total, errors, and with O(verify) verified.
  returned: success, not in check mode
  type: list
  elements: dict
absent:
  description: Classes of which the host has nothing.
  returned: success
  type: list
  elements: str
  sample: [postgresql]
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.backup.restic import BackupError
from ..module_utils.backup.runs import Backups


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(
        argument_spec={
            "classes": {"type": "list", "elements": "str", "default": ["system"]},
            "tags": {"type": "list", "elements": "str", "default": ["incremental"]},
            "verify": {"type": "bool", "default": False},
            "patience": {"type": "int"},
        },
        supports_check_mode=True,
    )
    made: list[dict[str, Any]] = []
    try:
        backups = Backups(patience=module.params["patience"])
        there = {name: backups.is_there(backups.one(name)) for name in module.params["classes"]}
        for name in (name for name in there if there[name] and not module.check_mode):
            made.append(backups.run(name, module.params["tags"]))
            if module.params["verify"]:
                made[-1]["verified"] = backups.verify(made[-1]["snapshot"])
    except BackupError as error:
        module.fail_json(
            msg=str(error),
            reason=type(error).__name__,
            packs=getattr(error, "packs", []),
            backups=made,
            changed=bool(made),
        )
    module.exit_json(changed=any(there.values()), backups=made, absent=[name for name in there if not there[name]])


if __name__ == "__main__":
    main()
