#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read what a host knows of its operation."""

from __future__ import annotations

DOCUMENTATION = r"""
module: operations_read
short_description: Read what a host knows of its operation
version_added: "0.5.0"
description:
  - Reads in one go what the operations journal wants to know of a host. It changes nothing.
  - The histories that C(kijun-backup) and C(kijun-change) keep; logins, logouts and the use of sudo, units that failed
    and critical messages, as the host's journal has them; the days that a log server has closed and signed; how old the
    antimalware's definitions are, and its last full scan.
options:
  since:
    description: The first day, in UTC.
    type: str
    required: true
  until:
    description:
      - The day before which sessions and errors are told, in UTC. It must be over where the journal's entries are to be
        whole; days that are put together (of sudo, of errors) would otherwise grow.
    type: str
    required: true
  backup_history:
    description: The history of backups.
    type: path
    default: /var/lib/kijun/backup/history.jsonl
  change_history:
    description: The history of changes.
    type: path
    default: /var/lib/kijun/change/history.jsonl
  malware_state:
    description: The state that the antimalware notes.
    type: path
    default: /var/lib/kijun/malware/state.json
attributes:
  check_mode:
    description: Reads the same.
    support: full
  diff_mode:
    description: There is nothing to show.
    support: none
author:
  - Kijun developers
"""

EXAMPLES = r"""
- name: Read what happened since the day before yesterday
  kijun.baseline.operations_read:
    since: "2026-11-19"
    until: "2026-11-21"
  register: __operations_read
"""

RETURN = r"""
operations:
  description:
    - C(history), C(sessions), C(errors), C(log_storage), C(malware_states) and C(malware_scans), lists of dictionaries;
      and C(problems), what could not be read.
  returned: success
  type: dict
"""

import datetime

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.operations_log import BACKUPS, CHANGES, DIGESTS, MALWARE, read


def _day(module: AnsibleModule, name: str) -> datetime.datetime:
    """A day's first second."""
    try:
        day = datetime.datetime.strptime(module.params[name], "%Y-%m-%d")
    except ValueError:
        module.fail_json(msg="%s is %r; it must be a day such as 2026-11-21" % (name, module.params[name]))
    return day.replace(tzinfo=datetime.timezone.utc)


def main() -> None:
    """Entry point."""
    module = AnsibleModule(
        {
            "since": {"type": "str", "required": True},
            "until": {"type": "str", "required": True},
            "backup_history": {"type": "path", "default": BACKUPS},
            "change_history": {"type": "path", "default": CHANGES},
            "malware_state": {"type": "path", "default": MALWARE},
        },
        supports_check_mode=True,
    )
    since, until = _day(module, "since"), _day(module, "until")
    if since >= until:
        module.fail_json(
            msg="since is %s; it must be before until, %s" % (module.params["since"], module.params["until"])
        )
    paths = (module.params["backup_history"], module.params["change_history"], DIGESTS, module.params["malware_state"])
    found = read(since, until, *paths)
    module.exit_json(changed=False, operations=found)


if __name__ == "__main__":
    main()
