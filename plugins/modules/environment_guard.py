#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of kijun.baseline.environment_guard, which is an action plugin."""

from __future__ import annotations

DOCUMENTATION = r"""
module: environment_guard
short_description: Let nobody change production by mistake
version_added: "0.1.0"
description:
  - The first task of a playbook that changes hosts. It asks no host anything, and a second one in the same run lets
    pass what the first one has let pass.
  - A run must be of one environment or of none that is production. Each of its hosts must have the variable
    C(environment_marker_name) from the inventory.
  - A run on production needs its change ticket and a confirmation. On a terminal, the person who runs it types the
    environment's name; anywhere else, and where nobody answers, the confirmation is given with the run.
  - Both are extra variables (C(-e), survey answers of AWX), C(kijun_change_ticket) and C(kijun_change_confirmed). They
    count only as such, so an inventory cannot confirm once and for all.
  - Where the inventory sets C(kijun_change_test_report_required), a run on production also names the report on tests
    from which it was decided that it goes ahead (C(kijun_change_test_report)) and who decided that
    (C(kijun_change_decided_by)), as extra variables.
  - A check run (C(--check)) changes nothing and needs none of these.
  - Any run on production must stand in the operations journal, and so needs the callback
    P(kijun.baseline.operations_journal#callback) and its ledger. Where the ledger itself is to be repaired, the extra
    variable C(kijun_journal_emergency) says why it goes on without.
options:
  ticket_pattern:
    description: What a ticket looks like, a regular expression for all of it.
    type: str
    default: "[A-Z][A-Z0-9]*-[0-9]+"
  timeout:
    description: Seconds to wait for an answer on a terminal.
    type: int
    default: 120
attributes:
  check_mode:
    description: Everything is let pass.
    support: full
  diff_mode:
    description: There is nothing to show.
    support: none
author:
  - Kijun developers
"""

EXAMPLES = r"""
- name: Let nobody change production by mistake
  kijun.baseline.environment_guard:
    ticket_pattern: "{{ kijun_change_ticket_pattern | default(omit) }}"
  run_once: true
  tags: always
"""

RETURN = r"""
environment:
  description: The environment of all hosts of the run; of several that are no production, their names.
  returned: success
  type: str
  sample: production
ticket:
  description: The change's ticket; empty where none was needed or given.
  returned: success
  type: str
  sample: CHG-1042
"""
