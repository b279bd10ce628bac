#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of kijun.baseline.log_findings, which is an action plugin."""

from __future__ import annotations

DOCUMENTATION = r"""
module: log_findings
short_description: Bring findings of log servers to the ledger, and report on them
version_added: "0.4.0"
description:
  - Puts together what all log servers found, as C(kijun-logs findings) prints it, and enters what is new into the book
    C(log_findings), with the records that each is made of. A finding that grew since somebody looked into it is open
    again.
  - Works on the controller. Run it once, with C(run_once).
  - Fails, after writing, when the book's chain does not hold.
options:
  found:
    description: What each log server printed, by the server's name.
    type: dict
    required: true
  first:
    description: The first day of the report, as YYYY-MM-DD. Open findings of earlier days are in it too.
    type: str
    required: true
  last:
    description: The last day of the report.
    type: str
    required: true
  block_seconds:
    description: For how long addresses of findings that ask for it are blocked, from their last record on.
    type: int
    default: 3600
  directory:
    description:
      - Where C(log_findings.html) (the report, in English and Japanese), C(log_findings.csv) and C(log_findings.xlsx)
        are written, readable by nobody else. Not given, nothing is written.
    type: path
  language:
    description: Language of the headings of the CSV and XLSX files.
    type: str
    choices: [en, ja]
    default: ja
attributes:
  check_mode:
    description: Says what would be entered, and writes nothing.
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
- name: Enter what the log servers found
  kijun.baseline.log_findings:
    found: {log1.example.com: "{{ __printed | from_json }}"}
    first: "2026-11-21"
    last: "2026-11-21"
    directory: reports/logs
  run_once: true
"""

RETURN = r"""
recorded:
  description: Findings that were entered, new or grown.
  returned: success
  type: list
  elements: str
  sample: [1f0c2f6f2f7b0a4cbd11]
open:
  description: Findings that nobody has looked into.
  returned: success
  type: list
  elements: dict
  sample:
    - id: 1f0c2f6f2f7b0a4cbd11
      rule: authentication-failures
      severity: high
      title_en: Five failed logins of an account within five minutes
      title_ja: 5分間に5回の認証失敗(アカウント)
      group: {sender: web1.example.com, user: operator1}
      first: "2026-11-21T03:00:00Z"
      last: "2026-11-21T03:01:40Z"
      count: 7
      status: open
blocked:
  description: Addresses that are to be blocked, each with the seconds that are left of it.
  returned: success
  type: dict
  sample: {198.51.100.9: 3480}
files:
  description: What was written.
  returned: success
  type: list
  elements: path
"""
