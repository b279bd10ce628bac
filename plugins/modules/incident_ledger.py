#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of kijun.baseline.incident_ledger, which is an action plugin."""

from __future__ import annotations

DOCUMENTATION = r"""
module: incident_ledger
short_description: Enter into the ledger what is done about incidents
version_added: "0.6.0"
description:
  - Enters a batch of changes as events of the book C(incidents), all of them or none. It works on the controller; no
    host is asked. Run it once, with C(run_once) or on C(localhost).
  - A change that the ledger satisfies already makes no event, so that a list can be run again. Who did each step, and
    when, the ledger notes by itself.
options:
  entries:
    description:
      - The changes in order. Each has C(id) (the incident) and C(action).
      - C(open) opens one that no host found, with C(kind) (C(malware) or C(other)), C(host) and C(summary).
      - C(acknowledge) says that somebody took it up, with C(note) (what they saw).
      - C(contain) says that it can spread no further, with C(containment) (what was done).
      - C(request_release) asks that an isolated host is let back, with C(release_reason); C(release), by another person
        than that, says that it was, with C(host) (the incident's) and C(release_note) (what they looked at).
      - C(resolve) ends one that was acknowledged or contained, with C(cause), C(measure) (what keeps it from coming
        again), C(outside) (whether damage reached others outside the organisation) and, where it did, C(reported_to).
      - C(version), where given, is the version of the incident that was seen; the batch is refused when somebody
        changed it since.
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
- name: Say that somebody took an incident up
  kijun.baseline.incident_ledger:
    entries:
      - id: pc17.example.com-9b1f0c2f6f2f7b0a
        action: acknowledge
        note: a mail's attachment; the colleague was called
  run_once: true
"""

RETURN = r"""
events:
  description: What was entered; nothing when the ledger said it already.
  returned: success
  type: list
  elements: dict
  sample: [{id: pc17.example.com-9b1f0c2f6f2f7b0a, action: acknowledge, version: 2, sequence: 17}]
incidents:
  description: The incidents that changed, as they are then, by id.
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
  sample: {book: incidents, count: 17, head: 9f2c..., at: "2026-11-21T03:00:00Z"}
"""
