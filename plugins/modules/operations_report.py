#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of kijun.baseline.operations_report, which is an action plugin."""

from __future__ import annotations

DOCUMENTATION = r"""
module: operations_report
short_description: Report on a month of the operations journal
version_added: "0.5.0"
description:
  - Sorts a month out, changes and who confirmed them, what failed and was rolled back, runs that did not finish, days
    without a backup, restores that were proven and confirmed by a person, errors without corrective action, logins
    and stored logs. It works on the controller.
  - Writes the month's history of releases beside it.
  - Takes down that a person of the committee inspected the month (clause SM-4.11-3).
  - Fails, after writing, when the book's chain does not hold.
options:
  month:
    description: The month, such as V(2026-11); the one before this, when not given.
    type: str
  backup_hosts:
    description: Hosts that are to have a backup each day, beside those that had one.
    type: list
    elements: str
    default: []
  inspection:
    description: That somebody inspected the month. The same again enters nothing.
    type: dict
    suboptions:
      by:
        description: Who; where C(operations_journal_committee) names anybody, one of these.
        type: str
        required: true
      outcome:
        description: Whether the journal was accepted, or what is improper in it is to be corrected.
        type: str
        choices: [accepted, corrections_ordered]
        required: true
      note:
        description: What they found.
        type: str
        default: ""
      orders:
        description: Entries that are to be corrected.
        type: list
        elements: str
        default: []
  directory:
    description:
      - Where C(operations-MONTH.html) (in English and Japanese), C(operations-MONTH.csv), C(operations-MONTH.json),
        C(releases-MONTH.html) and C(releases-MONTH.csv) are written, readable by nobody else. Not given, nothing is
        written.
    type: path
  language:
    description: Language of the headings of the CSV files.
    type: str
    choices: [en, ja]
    default: ja
attributes:
  check_mode:
    description: Reads the same, and writes neither a file nor an inspection.
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
- name: Report on last month
  kijun.baseline.operations_report:
    directory: reports/operations

- name: Take down that it was inspected
  kijun.baseline.operations_report:
    month: "2026-11"
    inspection: {by: manager1, outcome: accepted, note: two errors were followed up with the operators}
"""

RETURN = r"""
month:
  description: The month.
  returned: success
  type: str
keep_years:
  description: For how many years the journal is kept (C(operations_journal_keep_years), 5 at least).
  returned: success
  type: int
put_away_before:
  description: The first day that must still be kept; work trails of the days before it may be put away.
  returned: success
  type: str
  sample: "2021-11-28"
numbers:
  description: How many there are of everything that somebody must see to.
  returned: success
  type: dict
  sample: {releases: 12, failed: 1, rolled_back: 1, unfinished: 0, errors_open: 2, backups_missing: 0}
releases:
  description: Changes, rollbacks, and runs that changed production or were under a ticket.
  returned: success
  type: list
  elements: dict
failures:
  description: What failed.
  returned: success
  type: list
  elements: dict
unfinished:
  description: Runs that were killed.
  returned: success
  type: list
  elements: dict
unconfirmed:
  description: Releases without a confirmer, or with one who did it themselves.
  returned: success
  type: list
  elements: dict
errors_open:
  description: Errors without corrective action.
  returned: success
  type: list
  elements: dict
restores_open:
  description: Restores, and tests of them, that no person has confirmed.
  returned: success
  type: list
  elements: dict
inspections:
  description: Inspections of the month.
  returned: success
  type: list
  elements: dict
backups_missing:
  description: Host to days without a backup.
  returned: success
  type: dict
log_days_missing:
  description: Log server to days of logs that it has not stored.
  returned: success
  type: dict
files:
  description: What was written.
  returned: success
  type: list
  elements: path
checkpoint:
  description: The book's number of events and the hash of the newest one.
  returned: when an inspection was entered
  type: dict
"""
