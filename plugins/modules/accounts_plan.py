#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of kijun.baseline.accounts_plan, which is an action plugin."""

from __future__ import annotations

DOCUMENTATION = r"""
module: accounts_plan
short_description: Work out what the account ledger wants of the hosts of a run
version_added: "0.2.0"
description:
  - Reads the account book once, verifies its chain and its entries, and says for every host of the play which accounts
    it must have, must keep locked and must remove. It works on the controller; run it with C(run_once).
  - The role accounts gives the plan to M(kijun.baseline.accounts) and M(kijun.baseline.accounts_record).
  - With O(issue), the plan holds hashes of new passwords. Give that task C(no_log).
options:
  issue:
    description:
      - Whether initial passwords are made for accounts that lack one on a host. Each is sealed at once to the person's
        age or SSH key, or to the vault whose password the run was given; its clear text is kept nowhere.
    type: bool
    default: false
attributes:
  check_mode:
    description: Makes no password that anybody gets.
    support: full
  diff_mode:
    description: There is nothing to show.
    support: none
extends_documentation_fragment:
  - kijun.baseline.ledger
author:
  - Kijun developers
"""

EXAMPLES = r"""
- name: Work out what the ledger wants of the hosts
  kijun.baseline.accounts_plan:
    issue: true
  run_once: true
  no_log: true
  register: plan
"""

RETURN = r"""
plan:
  description:
    - C(accounts) (what a host must have, by login name), C(hosts) (logins by host, with what is different there),
      C(since) (when each was activated and issued), C(excepted), C(issued) (sealed messages) and C(ledger) (the book's
      C(count) and C(head)).
  returned: success
  type: dict
"""
