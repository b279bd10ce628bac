#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of kijun.baseline.account_ledger_info, which is an action plugin."""

from __future__ import annotations

DOCUMENTATION = r"""
module: account_ledger_info
short_description: Query the account ledger, or another book
version_added: "0.2.0"
description:
  - Reads entries of a book as they are now, and what happened to them. It works on the controller and changes nothing.
options:
  book:
    description: The book.
    type: str
    default: accounts
  where:
    description:
      - Field and the value that it must have, or a list of values of which it must have one. Of a field that is a list,
        such as C(hosts), one element must be it.
    type: dict
    default: {}
  query:
    description: A JMESPath expression that is applied to the entries found.
    type: str
  history:
    description:
      - Returns events too. C(key), C(action), C(actor), C(approver) and C(ticket) choose them, and C(since) and
        C(until), which are times such as C(2026-11-21T03:00:00Z). An empty dictionary chooses all.
    type: dict
  limit:
    description: How many entries, and events, at most; 0 for all.
    type: int
    default: 100
  offset:
    description: How many to leave out first.
    type: int
    default: 0
extends_documentation_fragment:
  - kijun.baseline.ledger
  - kijun.baseline.reads_only
author:
  - Kijun developers
"""

EXAMPLES = r"""
- name: Whose accounts can be used on a group of hosts?
  kijun.baseline.account_ledger_info:
    where: {status: active, hosts: web}
    query: "[].{login: login, person: person}"
  register: found

- name: What happened to an account?
  kijun.baseline.account_ledger_info:
    where: {login: operator2}
    history: {key: operator2}
"""

RETURN = r"""
entries:
  description:
    - The entries in order of their keys, each with its fields and its C(version); or what O(query) made of them.
  returned: success
  type: raw
total:
  description: How many entries O(where) chooses, beyond O(limit).
  returned: success
  type: int
events:
  description: The events that O(history) chooses, newest first.
  returned: success
  type: list
  elements: dict
"""
