#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of kijun.baseline.accounts_report, which is an action plugin."""

from __future__ import annotations

DOCUMENTATION = r"""
module: accounts_report
short_description: Report how hosts differ from the account ledger
version_added: "0.2.0"
description:
  - Brings together what M(kijun.baseline.accounts_reconcile) found on each host, finds what no single host shows (a key
    that opens the accounts of several people), writes an HTML page, a CSV list of findings and the page of the ledger,
    and enters the run into the book C(reconciliations). It works on the controller; run it with C(run_once).
  - Accounts that hosts have and the ledger has not are proposed in C(adoption.xlsx), to be completed by a person and
    imported with M(kijun.baseline.ledger_import).
options:
  results:
    description: Name of the variable into which M(kijun.baseline.accounts_reconcile) was registered on each host.
    type: str
    required: true
  directory:
    description: The directory on the controller for the pages and lists, made with mode 0700 when it is not there.
    type: path
    required: true
  language:
    description: Language of the lists; the pages have both.
    type: str
    choices: [en, ja]
    default: ja
  suspend_unused:
    description: Whether accounts that nobody used on any of their hosts are suspended in the ledger.
    type: bool
    default: false
attributes:
  check_mode:
    description: Finds the same, and neither writes files nor enters anything.
    support: full
  diff_mode:
    description: There is nothing to show.
    support: none
extends_documentation_fragment:
  - kijun.baseline.ledger
  - kijun.baseline.ledger.actor
  - kijun.baseline.reconciliation
author:
  - Kijun developers
"""

EXAMPLES = r"""
- name: Report what differs
  kijun.baseline.accounts_report:
    plan: "{{ plan.plan }}"
    results: reconciled
    directory: reports/accounts
  run_once: true
"""

RETURN = r"""
run:
  description: Name of the run, the time at which it was reported.
  returned: success
  type: str
  sample: "2026-11-21T03:00:00Z"
findings:
  description: Kind of finding and how many there are.
  returned: success
  type: dict
  sample: {unregistered: 1}
worst:
  description: The first fifty findings, worst first.
  returned: success
  type: list
  elements: dict
unreached:
  description: Hosts that could not be read.
  returned: success
  type: list
  elements: str
suspended:
  description: Accounts that were suspended because nobody used them.
  returned: success
  type: list
  elements: str
adoptable:
  description: Accounts that are proposed for adoption.
  returned: success
  type: list
  elements: str
files:
  description: What was written.
  returned: not in check mode
  type: dict
"""
