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
  - A failure that an approved exception covers is excused until its end (clause SM-6-1). What is excused where comes
    from M(kijun.baseline.exceptions_in_force); without that task, each host reads the ledger for itself.
  - The run's tags choose controls by area, clause or id, as in C(--tags time_sync,SM-4.1.5-1-6).
options:
  controls:
    description:
      - The controls, see docs/controls.md; the name of a role, such as V(kijun.baseline.kernel), stands for that
        role's. A control whose C(scope) has none of the host's groups (V(servers),
        V(clients)), or whose C(applies) is false, is not applicable.
      - Not given, they are those of every list variable of the host whose name ends in C(_controls). What a control
        expects is then filled in only where it is asked of the host, which saves time where many are not.
    type: list
    elements: raw
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
- name: Read what hosts are excused from, once for all of them
  kijun.baseline.exceptions_in_force:
  run_once: true

- name: Compare the host with every control in sight
  kijun.baseline.control_audit:
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
ansible_stats:
  description:
    - What becomes the run's artifacts in AWX (C(set_stats)), added up over all hosts.
    - C(kijun_audit_hosts) is how many were audited, C(kijun_audit_pass), C(kijun_audit_fail), C(kijun_audit_error) and
      C(kijun_audit_excused) how many controls, and C(kijun_audit_findings) how many findings each host has that has
      any.
  returned: success
  type: dict
  sample:
    data:
      kijun_audit_hosts: 1
      kijun_audit_pass: 1
      kijun_audit_fail: 0
      kijun_audit_error: 0
      kijun_audit_excused: 0
      kijun_audit_findings: {}
    aggregate: true
    per_host: false
"""
