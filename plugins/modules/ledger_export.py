#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of kijun.baseline.ledger_export, which is an action plugin."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ledger_export
short_description: Write a book of the ledger to a file
version_added: "0.2.0"
description:
  - Writes the entries of a book (who has which account) or its events (what happened) to a file on the controller.
    The file is replaced whole, its mode is C(0600), and it stays as it is when it holds the same already.
  - C(csv) is UTF-8 with a mark by which Excel knows it. A cell that a spreadsheet would take for a formula has an
    apostrophe before it, which M(kijun.baseline.ledger_import) takes off again. C(xlsx) has headings that stay in
    sight, a filter, dates as dates, and all text as text. In both, a list is one cell with C(; ) between its elements.
  - C(jsonl) is for auditors. It holds the events with their hashes, and C(kijun-ledger verify --file) verifies it
    without the database.
options:
  path:
    description: The file. A relative path starts at the directory that the playbook is run from.
    type: path
    required: true
  book:
    description: The book.
    type: str
    default: accounts
  format:
    description: The format; without it, the ending of the file says it.
    type: str
    choices: [csv, xlsx, yaml, json, jsonl]
  content:
    description: Entries or events. Without it, C(jsonl) gets events and every other format entries.
    type: str
    choices: [entries, events]
  language:
    description: Language of the headings of C(csv) and C(xlsx).
    type: str
    choices: [en, ja]
    default: en
  where:
    description:
      - Which entries; field and value, or a list of values. Events can be chosen by C(key), C(action), C(actor),
        C(approver), C(ticket), C(since) and C(until); a file of chosen events cannot be verified.
    type: dict
    default: {}
attributes:
  check_mode:
    description: Says whether the file would change, and leaves it as it is.
    support: full
  diff_mode:
    description: Shows the file before and after; of C(xlsx) only that it changes.
    support: partial
extends_documentation_fragment:
  - kijun.baseline.ledger
author:
  - Kijun developers
"""

EXAMPLES = r"""
- name: Write the ledger for the departments
  kijun.baseline.ledger_export:
    path: /var/lib/kijun/accounts.xlsx
    language: ja
  delegate_to: localhost
  run_once: true

- name: Write what an auditor verifies
  kijun.baseline.ledger_export:
    path: /var/lib/kijun/accounts.jsonl
  delegate_to: localhost
  run_once: true
"""

RETURN = r"""
path:
  description: The file.
  returned: success
  type: str
  sample: /var/lib/kijun/accounts.xlsx
count:
  description: How many entries or events it holds.
  returned: success
  type: int
  sample: 12
"""
