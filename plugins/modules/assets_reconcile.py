#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of kijun.baseline.assets_reconcile, which is an action plugin."""

from __future__ import annotations

DOCUMENTATION = r"""
module: assets_reconcile
short_description: Hold machines against the book of assets
version_added: "0.6.0"
description:
  - Compares what M(kijun.baseline.asset_state) saw of each host of the play with the book C(assets). It names machines
    that are in no ledger, that are missing, that did not answer, that should not be in use, or whose hardware changed;
    software and programs that nobody approved; licences with fewer seats than machines, or that are over; assets
    whose count is due, or that the last one did not find; and approvals that nothing fits.
  - Hardware that is seen for the first time is noted in the book. Later changes are accepted by a person
    (M(kijun.baseline.asset_ledger)).
  - Run it once, with C(run_once), after M(kijun.baseline.asset_state). Fails, after writing, when the book's chain does
    not hold.
options:
  results:
    description: Name of the variable in which what each host said was registered.
    type: str
    required: true
  approved_software:
    description:
      - Packages that may be chosen on a machine; C(*) stands for any characters. Not given, software is not looked at.
    type: list
    elements: str
  approved_programs:
    description:
      - Paths of programs outside packages; C(*) stands for any characters. Not given, they are not looked at.
    type: list
    elements: str
  count_days:
    description: Days after which an asset is counted again, from 1 to 1830.
    type: int
    default: 365
  portable_count_days:
    description: The same of what is carried around; less than O(count_days).
    type: int
    default: 90
  directory:
    description:
      - Where C(assets.html) (the findings, in English and Japanese), C(findings.csv) and C(count.csv) (every asset, as
        the sheet of a physical count) are written, readable by nobody else. Not given, nothing is written.
    type: path
  language:
    description: Language of the headings of the CSV files.
    type: str
    choices: [en, ja]
    default: ja
attributes:
  check_mode:
    description: Compares the same, enters nothing, and writes no file.
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
- name: Look what machines are made of
  kijun.baseline.asset_state:
  register: asset_state

- name: Hold them against the book of assets
  kijun.baseline.assets_reconcile:
    results: asset_state
    directory: reports/assets
  run_once: true
"""

RETURN = r"""
findings:
  description: What differs.
  returned: success
  type: list
  elements: dict
  sample: [{kind: changed_hardware, asset: PC-017, host: pc17, said: "memory_mb: 4096, was 8192"}]
numbers:
  description: Kind of finding -> how many, of those that there are.
  returned: success
  type: dict
  sample: {changed_hardware: 1}
machines:
  description: Machines that answered.
  returned: success
  type: int
  sample: 12
first_seen:
  description: Assets whose hardware was noted for the first time, or would be.
  returned: success
  type: list
  elements: str
  sample: [PC-017]
files:
  description: What was written.
  returned: success
  type: list
  elements: path
checkpoint:
  description: The book's number of events and the hash of the newest one.
  returned: when something was written
  type: dict
  sample: {book: assets, count: 17, head: 9f2c..., at: "2026-11-21T03:00:00Z"}
"""
