#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of kijun.baseline.control_audit, which is an action plugin."""

from __future__ import annotations

DOCUMENTATION = r"""
module: control_audit
short_description: Compare a host with what controls expect of it
version_added: "0.1.0"
description:
  - Reads the facts that controls name, once, compares every expectation, and returns a verdict for each control with
    what was expected and what was found.
  - Changes nothing on the host and writes nothing there. The host needs Python 3.9 or later and no package.
  - A fact that cannot be read makes its control an error, never a pass.
  - The run's tags choose controls by area, clause or id, as in C(--tags time_sync,SM-4.1.5-1-6).
options:
  controls:
    description:
      - The controls, see docs/controls.md. A control whose C(scope) has none of the host's groups (V(servers),
        V(clients)), or whose C(applies) is false, is not applicable.
    type: list
    elements: dict
    required: true
  exceptions:
    description:
      - Approved departures that excuse a failing control on this host until a date (clause SM-6-1). An expired one
        excuses nothing.
    type: list
    elements: dict
    default: []
    suboptions:
      control:
        description: Id of the control.
        type: str
        required: true
      until:
        description: Last day it holds, C(YYYY-MM-DD), in UTC.
        type: str
        required: true
      approver:
        description: Who approved it.
        type: str
        required: true
      reason:
        description: Why it is needed.
        type: str
        required: true
      ticket:
        description: Where the approval is filed.
        type: str
  strict:
    description: Fail the task when a control fails or cannot be read.
    type: bool
    default: false
extends_documentation_fragment:
  - kijun.baseline.reads_only
author:
  - Kijun developers
"""

EXAMPLES = r"""
- name: Compare the host with every control in sight
  kijun.baseline.control_audit:
    controls: >-
      {{ query('ansible.builtin.vars', *query('ansible.builtin.varnames', '^[a-z].*_controls$'))
      | flatten(levels=1) }}
    exceptions: "{{ kijun_exceptions | default([]) }}"
"""

RETURN = r"""
evidence:
  description: The host's evidence record, as docs/schema/evidence-1.schema.json describes it.
  returned: success
  type: dict
  sample:
    schema: kijun.evidence/1
    host:
      name: server12
      groups: [servers]
      os: Debian GNU/Linux 12 (bookworm)
      kernel: 6.1.0
      time: "2026-01-31T00:00:00Z"
    totals: {fail: 0, error: 0, excused: 0, pass: 1, not_applicable: 0}
    controls:
      - id: AUTH-07
        verdict: pass
        checks:
          - {fact: faillock.deny, op: "==", expected: 10, actual: 10, verdict: pass, detail: null}
    problems: []
"""
