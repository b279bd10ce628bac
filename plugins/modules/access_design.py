#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of kijun.baseline.access_design, which is an action plugin."""

from __future__ import annotations

DOCUMENTATION = r"""
module: access_design
short_description: Write the design of access rights, and enter it into the ledger when it was approved
version_added: "0.3.0"
description:
  - Puts together what every host of the play is set to grant, and the accounts of the ledger with their groups, sudo
    rules and hosts, and compares it with the version in force in the ledger's book C(access_designs).
  - What differs is entered as a new version only with O(approver) and O(ticket). The ledger keeps every version, with
    who asked for it, who approved it and when; its documents can be verified and exported like all books.
  - It works on the controller; run it once for all hosts.
options:
  name:
    description: Name of the design, such as one for each inventory.
    type: str
    default: access
  rights:
    description: Name of the fact in which every host of the play has what it is set to, variable by variable.
    type: str
    required: true
  directory:
    description: Where the document is written to, as C(NAME.md) and C(NAME.json). Not given, it is not.
    type: path
  approver:
    description: Who approved what differs; somebody else than who enters it.
    type: str
    default: ""
  ticket:
    description: Number of the application or of the decision.
    type: str
    default: ""
attributes:
  check_mode:
    description: Says what would be entered; writes nothing.
    support: full
  diff_mode:
    description: Shows what differs from the version in force.
    support: full
extends_documentation_fragment:
  - kijun.baseline.ledger
  - kijun.baseline.ledger.actor
author:
  - Kijun developers
"""

EXAMPLES = r"""
- name: Write the design, and enter it
  kijun.baseline.access_design:
    name: production
    rights: kijun_access_rights
    directory: reports/access_design
    approver: Sample Manager
    ticket: CHG-1042
  run_once: true
"""

RETURN = r"""
version:
  description: The version in force; 0 when there is none.
  returned: success
  type: int
  sample: 3
digest:
  description: SHA-256 of the design as it is set now, in hexadecimal.
  returned: success
  type: str
approved:
  description: Whether what is set now is what the version in force says.
  returned: success
  type: bool
differences:
  description: What differs from the version that was in force.
  returned: success
  type: list
  elements: str
  sample: ['server1 privileges_cron_users: ["batch"], was []']
files:
  description: The files that were written.
  returned: success
  type: list
  elements: str
"""
