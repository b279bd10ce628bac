#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of kijun.baseline.exception_ledger, which is an action plugin."""

from __future__ import annotations

DOCUMENTATION = r"""
module: exception_ledger
short_description: Enter exceptions from controls into the ledger
version_added: "0.3.0"
description:
  - Enters a batch of changes as events of the book C(exceptions), all of them or none. It works on the controller; no
    host is asked. Run it once, with C(run_once) or on C(localhost).
  - A change that the ledger satisfies already makes no event, so that a list can be run again.
  - Everything is held against the rules of the book before anything is written. The error names every entry that is
    wrong, the field, its value, what is allowed and the policy clause.
  - An exception is for one control, of a role of this collection or of the inventory. A control with C(never_excused)
    is refused.
options:
  entries:
    description:
      - The changes in order. Each has C(id) (the exception's name, such as the application's number) and C(action), and
        the fields that the action sets.
      - C(file) asks for an exception, C(approve) grants it, C(extend) gives an approved one a later end, C(review)
        records that somebody looked whether it is still needed, and C(revoke) ends it.
      - C(file) has C(control), C(hosts) (hosts and groups of the inventory, or V(all)), C(reason), C(valid_until), and
        C(measure) (what is done instead), or C(decision) V(accept) and C(risk) (what can happen); optionally
        C(valid_from) (today), C(review_on) (90 days later), and C(requester) (who acts).
      - C(approve) and C(extend) need C(approver) and C(ticket). The approver is not the requester, and is one of
        C(kijun_exceptions_committee) where that variable lists names.
      - No approval covers more than C(kijun_exceptions_max_days) days (365).
      - C(version), where given, is the version of the exception that was seen; the batch is refused when somebody else
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
- name: Ask for an exception
  kijun.baseline.exception_ledger:
    entries:
      - id: EXC-2026-014
        action: file
        control: AUTH-07
        hosts: [app1.example.com]
        reason: the vendor's software retries with an old password
        measure: only the batch server may connect to it
        valid_until: "2026-12-31"
        requester: operator1
        ticket: REQ-1042
  run_once: true

- name: Approve it
  kijun.baseline.exception_ledger:
    entries:
      - {id: EXC-2026-014, action: approve, approver: manager1, ticket: REQ-1042}
  run_once: true
"""

RETURN = r"""
events:
  description: What was entered; nothing when the ledger said it already.
  returned: success
  type: list
  elements: dict
  sample: [{id: EXC-2026-014, action: file, version: 1, sequence: 1}]
exceptions:
  description: The exceptions that changed, as they are then, by id.
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
  sample: {book: exceptions, count: 1, head: 9f2c..., at: "2026-11-21T03:00:00Z"}
"""
