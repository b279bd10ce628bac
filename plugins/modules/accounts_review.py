#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of kijun.baseline.accounts_review, which is an action plugin."""

from __future__ import annotations

DOCUMENTATION = r"""
module: accounts_review
short_description: Have managers review accounts and rights
version_added: "0.2.0"
description:
  - Writes a sheet for each department, reads sheets back that its manager filled in and signed, enters the reviews, and
    disables the accounts that are to be removed. It works on the controller.
  - A sheet is refused as a whole when it is unsigned, signed by somebody other than the department's manager, dated in
    the future, incomplete or altered, or when the accounts changed since it was written. The error names every row.
options:
  directory:
    description: Where sheets are written to, made with mode 0700 when it is not there. Not given, none is written.
    type: path
  read:
    description: Files of signed sheets.
    type: list
    elements: path
    default: []
  language:
    description: Language of the sheets.
    type: str
    choices: [en, ja]
    default: ja
  last_logins:
    description: Login name and time of the last login in seconds since 1970, to be shown in the sheets.
    type: dict
    default: {}
attributes:
  check_mode:
    description: Reads sheets and refuses what a run would refuse; enters and writes nothing.
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
- name: Write a sheet for each manager
  kijun.baseline.accounts_review:
    directory: reports/review

- name: Enter a signed one
  kijun.baseline.accounts_review:
    read: [signed/review-development-2026-11-02.xlsx]
"""

RETURN = r"""
sheets:
  description: The sheets that were written.
  returned: success
  type: list
  elements: str
reviewed:
  description: Accounts whose review was entered.
  returned: success
  type: list
  elements: str
disabled:
  description: Accounts that were disabled because they are to be removed.
  returned: success
  type: list
  elements: str
to_change:
  description: Account and what the manager wants changed; an application must follow.
  returned: success
  type: dict
overdue:
  description: Reviews that were not done in time, with C(login), C(department), C(review) and the day C(since).
  returned: success
  type: list
  elements: dict
"""
