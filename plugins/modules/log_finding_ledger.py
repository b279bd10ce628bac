#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of kijun.baseline.log_finding_ledger, which is an action plugin."""

from __future__ import annotations

DOCUMENTATION = r"""
module: log_finding_ledger
short_description: Enter into the ledger what came of findings in logs
version_added: "0.4.0"
description:
  - Enters a batch of changes as events of the book C(log_findings), all of them or none. It works on the controller; no
    host is asked. Run it once, with C(run_once) or on C(localhost).
  - A change that the ledger satisfies already makes no event, so that a list can be run again.
options:
  entries:
    description:
      - The changes in order. Each has C(id) (the finding's name, as the report and the log have it) and C(action).
      - C(acknowledge) says that somebody looked into it, with C(note) (what they came to), and optionally
        C(acknowledged_by) (who acts, without it) and C(incident) (the incident that it became part of).
      - C(report) says that an acknowledged one was reported, with C(reported_to), such as the committee.
      - C(record) is what M(kijun.baseline.log_findings) does.
      - C(version), where given, is the version of the finding that was seen; the batch is refused when somebody changed
        it since.
      - A text that is such a list as YAML has it does as well; nothing in it is evaluated.
    type: raw
    required: true
extends_documentation_fragment:
  - kijun.baseline.ledger
  - kijun.baseline.ledger.actor
  - kijun.baseline.ledger.changes
author:
  - Kijun developers
"""

EXAMPLES = r"""
- name: Say what came of a finding
  kijun.baseline.log_finding_ledger:
    entries:
      - id: 1f0c2f6f2f7b0a4cbd11
        action: acknowledge
        note: a new colleague's first day; the account was unlocked by the help desk
  run_once: true
"""

RETURN = r"""
events:
  description: What was entered; nothing when the ledger said it already.
  returned: success
  type: list
  elements: dict
  sample: [{id: 1f0c2f6f2f7b0a4cbd11, action: acknowledge, version: 2, sequence: 17}]
findings:
  description: The findings that changed, as they are then, by id.
  returned: success
  type: dict
actor:
  description: Who did it, as the ledger names them.
  returned: success
  type: str
current:
  description: The entries that the list names, as they are then, whether or not they changed, by id.
  returned: success
  type: dict
checkpoint:
  description: The book's number of events and the hash of the newest one.
  returned: when something was written
  type: dict
  sample: {book: log_findings, count: 17, head: 9f2c..., at: "2026-11-21T03:00:00Z"}
"""
