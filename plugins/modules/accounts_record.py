#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of kijun.baseline.accounts_record, which is an action plugin."""

from __future__ import annotations

DOCUMENTATION = r"""
module: accounts_record
short_description: Enter into the account ledger what the role accounts did
version_added: "0.2.0"
description:
  - Enters C(activate) for approved accounts that a host has now, and C(issue) for initial passwords that were set, and
    hands the sealed messages out. It works on the controller; run it with C(run_once).
options:
  plan:
    description: The plan that the hosts were brought to.
    type: dict
    required: true
  results:
    description: Name of the variable into which M(kijun.baseline.accounts) was registered on each host.
    type: str
    required: true
  handover_directory:
    description:
      - A directory on the controller for the sealed messages, made with mode 0700 when it is not there. Not given, they
        are in the result and in the run's statistics, C(kijun_handover), which AWX shows as an artifact.
    type: path
attributes:
  check_mode:
    description: Says what would be entered, and hands nothing out.
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
- name: Enter it
  kijun.baseline.accounts_record:
    plan: "{{ plan.plan }}"
    results: applied
  run_once: true
"""

RETURN = r"""
activated:
  description: Login names of accounts that came into use.
  returned: success
  type: list
  elements: str
handover:
  description:
    - For each password its C(login), C(hosts), C(how) it is sealed (C(age), C(ssh) or C(vault)), the C(recipient), the
      sealed C(text), and the C(file) where there is one.
  returned: success
  type: list
  elements: dict
"""
