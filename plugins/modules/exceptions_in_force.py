#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of kijun.baseline.exceptions_in_force, which is an action plugin."""

from __future__ import annotations

DOCUMENTATION = r"""
module: exceptions_in_force
short_description: Read once, for all hosts of a play, what they are excused from
version_added: "0.3.0"
description:
  - Verifies the book C(exceptions) of the ledger and reads the approved exceptions that have begun. It works on the
    controller; no host is asked. With C(run_once), every host of the play gets the fact, and neither the audit nor the
    roles read the ledger for each host.
  - Where the ledger's address is the default and there is no such file, there are no exceptions, and no file is made. A
    ledger that does not answer, or that somebody altered, ends the run before anything is changed.
  - The day of judgement is today, where the controller is.
extends_documentation_fragment:
  - kijun.baseline.ledger
  - kijun.baseline.reads_only
author:
  - Kijun developers
"""

EXAMPLES = r"""
- name: Read what hosts are excused from, once for all of them
  kijun.baseline.exceptions_in_force:
  run_once: true
"""

RETURN = r"""
ansible_facts:
  description:
    - C(kijun_exceptions_in_force), what M(kijun.baseline.preflight) and M(kijun.baseline.control_audit) judge hosts by.
      C(run) names the run of ansible-playbook, so that a cached fact of an earlier run is not believed; C(day) is the
      day of judgement; C(entries) are the approved exceptions that have begun, with the hosts and groups they are for.
  returned: success
  type: dict
  sample:
    kijun_exceptions_in_force:
      run: 3f0c52a1d7e94b68
      day: "2026-11-21"
      entries:
        - id: EXC-2026-014
          control: AUTH-07
          hosts: [app1.example.com]
          from: "2026-11-01"
          until: "2026-12-31"
          approver: manager1
          reason: the vendor's software retries with an old password
          measure: only the batch server may connect
          ticket: REQ-1042
          review_on: "2026-12-31"
in_force:
  description: Their ids, those that hold today.
  returned: success
  type: list
  elements: str
expiring:
  description: Of these, those that end within 14 days.
  returned: success
  type: list
  elements: str
expired:
  description: Those that are over and have neither been extended nor revoked.
  returned: success
  type: list
  elements: str
"""
