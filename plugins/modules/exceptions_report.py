#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of kijun.baseline.exceptions_report, which is an action plugin."""

from __future__ import annotations

DOCUMENTATION = r"""
module: exceptions_report
short_description: Report on the book of exceptions
version_added: "0.3.0"
description:
  - Lists the exceptions in force, those that end within 14 days, those that are over and were neither extended nor
    revoked, those due for a review, and those that wait for the committee. It works on the controller and enters
    nothing.
  - Fails, after writing, when the book's chain does not hold.
options:
  directory:
    description:
      - Where C(exceptions.html) (the lists, in English and Japanese), C(exceptions.csv) and C(exceptions.xlsx) (every
        entry of the book) are written, readable by nobody else. Not given, nothing is written.
    type: path
  language:
    description: Language of the headings of the CSV and XLSX files.
    type: str
    choices: [en, ja]
    default: ja
attributes:
  check_mode:
    description: Reads the same, and writes no file.
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
- name: Report on exceptions
  kijun.baseline.exceptions_report:
    directory: reports/exceptions
  register: exceptions
"""

RETURN = r"""
in_force:
  description: Exceptions that hold today.
  returned: success
  type: list
  elements: dict
  sample:
    - id: EXC-2026-014
      control: AUTH-07
      hosts: [app1.example.com]
      valid_until: "2026-12-31"
      review_on: "2026-12-31"
      approver: manager1
      reason: the vendor's software retries with an old password
expiring:
  description: Of these, those that end within 14 days.
  returned: success
  type: list
  elements: dict
due:
  description: Of these, those whose day of review has come.
  returned: success
  type: list
  elements: dict
expired:
  description: Those that are over and were neither extended nor revoked.
  returned: success
  type: list
  elements: dict
waiting:
  description: Those that were asked for and not decided.
  returned: success
  type: list
  elements: dict
files:
  description: What was written.
  returned: success
  type: list
  elements: path
"""
