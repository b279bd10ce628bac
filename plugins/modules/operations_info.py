#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of kijun.baseline.operations_info, which is an action plugin."""

from __future__ import annotations

DOCUMENTATION = r"""
module: operations_info
short_description: Read the operations journal
version_added: "0.5.0"
description:
  - Reads entries of the operations journal, the newest first, and the work trail of a run. It works on the controller
    and changes nothing.
options:
  id:
    description: One entry.
    type: str
  kinds:
    description: Entries of these kinds.
    type: list
    elements: str
    choices:
      - run
      - change
      - rollback
      - backup
      - check
      - restore_test
      - restore
      - prune
      - copy
      - log_storage
      - malware_state
      - malware_scan
      - login
      - logout
      - privilege
      - error
      - correction
      - inspection
      - note
    default: []
  hosts:
    description: Entries about one of these hosts.
    type: list
    elements: str
    default: []
  tickets:
    description: Entries under one of these tickets.
    type: list
    elements: str
    default: []
  statuses:
    description: Entries with one of these statuses; V(open) ones are runs that have not ended, or were killed.
    type: list
    elements: str
    default: []
  since:
    description: The first second, a time with its offset from UTC. With it, a journal of many years is read quickly.
    type: str
  until:
    description: The last second.
    type: str
  trail:
    description: Also return the work trail of the run O(id), after comparing it with its SHA-256 in the journal.
    type: bool
    default: false
  limit:
    description: How many entries at most; 0 for all.
    type: int
    default: 100
extends_documentation_fragment:
  - kijun.baseline.ledger
  - kijun.baseline.reads_only
author:
  - Kijun developers
"""

EXAMPLES = r"""
- name: What happened to a host under a ticket?
  kijun.baseline.operations_info:
    hosts: [app1.example.com]
    tickets: [CHG-1042]
  register: found

- name: What did a run print of its changes?
  kijun.baseline.operations_info:
    id: run-20261121T030000Z-1f0c2f6f2f7b0a4c
    trail: true
"""

RETURN = r"""
entries:
  description: The entries, the newest first, each with its fields and its C(version).
  returned: success
  type: list
  elements: dict
total:
  description: How many there are, beyond O(limit).
  returned: success
  type: int
trail:
  description: The work trail, where it was asked for.
  returned: success
  type: str
"""
