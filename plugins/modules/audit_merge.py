#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of kijun.baseline.audit_merge, which is an action plugin."""

from __future__ import annotations

DOCUMENTATION = r"""
module: audit_merge
short_description: Make one report of the audits of a job's slices
version_added: "0.6.0"
description:
  - Takes the evidence that the slices of one job of AWX left, and writes it as one run, as if one job had audited all
    hosts. What the slices left stays.
  - Fails, and writes nothing, where a slice left no evidence, where a host is in two slices, or where they are of
    different versions of Kijun.
  - Runs that are not here are fetched from the report store, where E(KIJUN_REPORT_STORE) names one, and the new run
    goes there when the playbook ends. Slices need no directory that they share then.
  - A second time, it writes nothing. It works on the controller.
options:
  jobs:
    description: The numbers of the slices' jobs. Each told its own by the artifact C(kijun_audit_job_NUMBER).
    type: list
    elements: int
    required: true
  directory:
    description: Where runs are kept. Not given, it is E(KIJUN_REPORT_DIR), or C(reports).
    type: path
attributes:
  check_mode:
    description: Works everything out, refuses what a run would refuse, and writes nothing.
    support: full
  diff_mode:
    description: There is nothing to show.
    support: none
author:
  - Kijun developers
"""

EXAMPLES = r"""
- name: Make one report of the slices
  kijun.baseline.audit_merge:
    jobs: [4711, 4712]
"""

RETURN = r"""
run:
  description:
    - The directory of the run; its place in the report store, where it was made before and is there alone; empty in
      check mode, where it was not there before.
  returned: success
  type: str
  sample: /var/lib/kijun/reports/20261121T101500Z
hosts:
  description: How many hosts it has.
  returned: success
  type: int
  sample: 1000
totals:
  description: Verdict -> how many controls of all hosts.
  returned: success
  type: dict
  sample: {pass: 150000, fail: 12, error: 0, excused: 3, not_applicable: 4000}
"""
