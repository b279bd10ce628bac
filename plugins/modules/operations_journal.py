#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of kijun.baseline.operations_journal, which is an action plugin."""

from __future__ import annotations

DOCUMENTATION = r"""
module: operations_journal
short_description: Enter into the operations journal
version_added: "0.5.0"
description:
  - Enters a list of entries into the ledger's book C(operations), all of them or none. It works on the controller; no
    host is asked. Run it once, with C(run_once) or on C(localhost).
  - Runs of playbooks enter themselves (P(kijun.baseline.operations_journal#callback)).
  - The same C(id) twice is one entry. What the journal has stays as it is; where it says something else, a warning and
    RV(differing) name the entry.
  - What looks like a secret (private keys, hashes of passwords, tokens, values whose name says so) is hidden.
options:
  entries:
    description:
      - The entries in order. Each has C(id), a stable name such as a UUID, and C(action).
      - C(record) (the default) tells of something, with C(kind) (V(change), V(rollback), V(backup), V(check),
        V(restore_test), V(restore), V(prune), V(copy), V(log_storage), V(malware_state), V(malware_scan), V(login),
        V(logout), V(privilege), V(error), V(correction), V(inspection), V(note)), C(host) or C(hosts), C(at) (a time
        with its offset from UTC; now, when not given), C(until), C(seconds), C(outcome) (V(ok), V(failed), ...),
        C(summary) (one line), C(actor) (who did it), C(origin) (from where), C(ticket), C(implementer), C(confirmer)
        (somebody else), C(about) (ids of other entries) and C(details) (a dictionary).
      - A V(correction) says with C(summary) what was done about the entries in C(about), or what is right instead.
      - An V(inspection) names with C(actor) who of the committee (C(operations_journal_committee)) inspected, with the
        C(outcome) V(accepted) or V(corrections_ordered).
      - C(confirm) says that a person looked at a backup, a check or a restore, with C(resolution) and C(resolved_by).
      - C(correct) does to one entry what a V(correction) does to those in C(about).
      - C(consider) says of a run, change or rollback what its problems were, and what could be done better.
      - C(version), where given with these three, is the version of the entry that was seen.
      - A text that is such a list as YAML has it does as well; nothing in it is evaluated.
    type: raw
    required: true
attributes:
  check_mode:
    description: Works everything out, refuses what a run would refuse, and writes nothing.
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
- name: Tell of a change
  kijun.baseline.operations_journal:
    entries:
      - id: 6b0e6a4e-8a0b-4a38-9b1e-2f1f6a7f3b11
        kind: change
        host: app1.example.com
        at: "2026-11-21T03:00:00Z"
        seconds: 412
        outcome: ok
        summary: the new release of the shop
        ticket: CHG-1042
        implementer: operator1
        confirmer: operator2
        details: {before: 1f0c2f6f, after: 2b7d9a01}
  run_once: true

- name: Say what was done about an error
  kijun.baseline.operations_journal:
    entries:
      - id: error-9d1b2c7f0a31
        action: correct
        resolution: the unit's memory limit was too low; it was doubled (CHG-1043)
        resolved_by: operator1
  run_once: true
"""

RETURN = r"""
recorded:
  description: Entries that are new.
  returned: success
  type: list
  elements: str
resolved:
  description: Entries that something was said to.
  returned: success
  type: list
  elements: str
known:
  description: Entries that the journal had already.
  returned: success
  type: list
  elements: str
differing:
  description: Entries that the journal had already and that say something else there.
  returned: success
  type: list
  elements: str
checkpoint:
  description: The book's number of events and the hash of the newest one.
  returned: when something was written
  type: dict
  sample: {book: operations, count: 17, head: 9f2c..., at: "2026-11-21T03:00:00Z"}
"""
