#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of kijun.baseline.change_run, which is an action plugin."""

from __future__ import annotations

DOCUMENTATION = r"""
module: change_run
short_description: Run a playbook on the hosts of a change, and say how it ended on each
version_added: "0.5.0"
description:
  - Runs C(ansible-playbook) once more, with the inventory, user, passwords, vault passwords, extra variables, tags,
    check and diff mode
    of the run that it is part of. Passwords and variables are handed over in memory.
  - Its output appears line by line. A host on which it fails does not fail the task, M(kijun.baseline.change) does.
options:
  playbook:
    description: Its path, relative to the working directory or to the playbook; or the name of one of Kijun's own.
    type: str
    required: true
  hosts:
    description: Names of the hosts that it is limited to.
    type: list
    elements: str
    required: true
  variables:
    description: Extra variables for it.
    type: dict
    default: {}
attributes:
  check_mode:
    description: The playbook runs in check mode.
    support: full
  diff_mode:
    description: The playbook shows its differences.
    support: full
author:
  - Kijun developers
"""

EXAMPLES = r"""
- name: Carry out the change
  kijun.baseline.change_run:
    playbook: site.yml
    hosts: "{{ ansible_play_batch }}"
  run_once: true
"""

RETURN = r"""
outcome:
  description: Host to how it ended there. A host that the playbook has nothing to do with is missing.
  returned: success
  type: dict
  sample: {web1: {changed: 3, failed: false, unreachable: false, errors: []}}
status:
  description: The exit status.
  returned: success
  type: int
  sample: 0
said:
  description: The outcome in a line.
  returned: success
  type: str
  sample: 1 of 1 hosts well
"""
