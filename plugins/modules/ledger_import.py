#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of kijun.baseline.ledger_import, which is an action plugin."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ledger_import
short_description: Enter a file into a book of the ledger
version_added: "0.2.0"
description:
  - Reads rows from a file on the controller and enters them into a book, every row or none. What is wrong is listed row
    by row, with the numbers that a spreadsheet shows.
  - The columns are those of M(kijun.baseline.ledger_export), with English or Japanese headings or the fields' names, in
    any order. A column C(Action) (操作) says what is done with a row, and C(Version) (版) which version of the entry
    the row was made from; a row that is older than the ledger is refused. C(Approver) and C(Ticket) are needed for what
    needs approval.
  - An empty cell empties a list, a text or a date, and says nothing about any other field. A field that the action does
    not set may stand there with the value that it has.
  - C(csv) may be UTF-8, UTF-16 with its mark, or Shift_JIS (CP932), tried in this order. An C(xlsx) file with formulas
    in its rows, macros, embedded objects or document types is refused; links to other files are not followed.
  - In C(yaml) and C(json) the file is a list of entries with their fields by name.
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
    choices: [csv, xlsx, yaml, json]
  action:
    description: What is done with rows that do not say it. Without it, accounts are adopted.
    type: str
    default: ""
  approver:
    description: Who approved the rows that name nobody.
    type: str
    default: ""
  ticket:
    description: The application behind the rows that name none.
    type: str
    default: ""
attributes:
  check_mode:
    description: Says what would be entered or refused, and writes nothing.
    support: full
  diff_mode:
    description: Shows the fields of each entry that change.
    support: full
extends_documentation_fragment:
  - kijun.baseline.ledger
  - kijun.baseline.ledger.actor
author:
  - Kijun developers
"""

EXAMPLES = r"""
- name: Adopt the accounts that a host has already, from a reviewed sheet
  kijun.baseline.ledger_import:
    path: adopted.xlsx
    approver: Sample Approver
    ticket: CHG-1042
  delegate_to: localhost
  run_once: true
"""

RETURN = r"""
rows:
  description: How many rows the file has.
  returned: success
  type: int
  sample: 12
encoding:
  description: How the text of the file was encoded.
  returned: success
  type: str
  sample: cp932
added:
  description: The entries that are new.
  returned: success
  type: list
  elements: str
  sample: [operator2]
updated:
  description: The entries that changed.
  returned: success
  type: list
  elements: str
  sample: []
problems:
  description: What is wrong, by row.
  returned: when the file is refused
  type: list
  elements: dict
  sample:
    - {row: 3, key: operator2, field: hosts, value: web09, reason: is no host or group of the inventory}
checkpoint:
  description: What the book's chain is now.
  returned: when something was written
  type: dict
"""
