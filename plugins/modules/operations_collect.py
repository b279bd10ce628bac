#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of kijun.baseline.operations_collect, which is an action plugin."""

from __future__ import annotations

DOCUMENTATION = r"""
module: operations_collect
short_description: Bring what hosts tell of their operation to the operations journal
version_added: "0.5.0"
description:
  - Enters what M(kijun.baseline.operations_read) read on hosts and the journal does not have yet. It works on the
    controller. Run it once, with C(run_once).
  - A host tells of itself alone, of backups, changes, sessions, errors and stored logs. What is not of that form, or is
    of a time that has not come yet, is left out, and RV(problems) says so.
options:
  read:
    description: What each host told, by the host's name.
    type: dict
    required: true
  hosts:
    description: The hosts that should have told; those that did not are in RV(unread).
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    description: Says what would be entered, and writes nothing.
    support: full
  diff_mode:
    description: There is nothing to show.
    support: none
extends_documentation_fragment:
  - kijun.baseline.ledger
  - kijun.baseline.ledger.actor
author:
  - Kijun developers
"""

EXAMPLES = r"""
- name: Enter what hosts told
  kijun.baseline.operations_collect:
    read: {app1.example.com: "{{ __operations_read.operations }}"}
    hosts: "{{ ansible_play_hosts_all }}"
  run_once: true
"""

RETURN = r"""
recorded:
  description: How many entries of which kind are new.
  returned: success
  type: dict
  sample: {backup: 2, login: 7, logout: 7}
known:
  description: How many were known.
  returned: success
  type: int
unread:
  description: Hosts that did not tell.
  returned: success
  type: list
  elements: str
problems:
  description: What hosts could not read, and what was not taken from them.
  returned: success
  type: list
  elements: str
checkpoint:
  description: The book's number of events and the hash of the newest one.
  returned: when something was written
  type: dict
"""
