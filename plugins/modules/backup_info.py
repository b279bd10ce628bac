#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tell of a host's backups."""

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_info
short_description: Tell of a host's backups
version_added: "0.5.0"
description:
  - Says how the last runs ended, which classes the host has, and with O(snapshots) what is at the backup server.
options:
  snapshots:
    description: Whether the server is asked for the snapshots.
    type: bool
    default: false
  name:
    description: Only snapshots of this class.
    type: str
    default: ""
  tag:
    description: Only snapshots with this tag.
    type: str
    default: ""
extends_documentation_fragment:
  - kijun.baseline.reads_only
author:
  - Kijun developers
seealso:
  - module: kijun.baseline.backup
"""

EXAMPLES = r"""
- name: Look what there is to go back to
  kijun.baseline.backup_info:
    snapshots: true
    name: system
  register: found
"""

RETURN = r"""
status:
  description: The last run of each kind and class, when the last good one began, and the classes that the host has.
  returned: success
  type: dict
snapshots:
  description: Snapshots, oldest first - snapshot, time, class, tags, paths, host.
  returned: when asked for
  type: list
  elements: dict
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.backup.history import summary
from ..module_utils.backup.restic import BackupError
from ..module_utils.backup.runs import Backups


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(
        argument_spec={
            "snapshots": {"type": "bool", "default": False},
            "name": {"type": "str", "default": ""},
            "tag": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    found: dict[str, Any] = {}
    try:
        backups = Backups()
        present = [one["name"] for one in backups.settings["classes"] if backups.is_there(one)]
        found["status"] = {**summary(backups.history.lines()), "present": present}
        if module.params["snapshots"]:
            found["snapshots"] = backups.snapshots(module.params["name"], module.params["tag"])
    except BackupError as error:
        module.fail_json(msg=str(error), reason=type(error).__name__)
    module.exit_json(changed=False, **found)


if __name__ == "__main__":
    main()
