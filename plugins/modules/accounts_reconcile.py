#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of kijun.baseline.accounts_reconcile, which is an action plugin."""

from __future__ import annotations

DOCUMENTATION = r"""
module: accounts_reconcile
short_description: Hold the accounts of one host against the account ledger
version_added: "0.2.0"
description:
  - Asks the host once what its accounts, rights, keys, logins and sessions are, tries its password hashes on the host
    against a short list, and keeps only what differs from the plan. The host is not changed.
  - M(kijun.baseline.accounts_report) brings the hosts' results together.
options:
  weak_tries:
    description: How many guesses each password hash gets; 0 for none. The guesses are made on the host.
    type: int
    default: 40
  weak_seconds:
    description: How long the guessing may take on the host; hashes that were not tried then are counted.
    type: float
    default: 20.0
extends_documentation_fragment:
  - kijun.baseline.reconciliation
  - kijun.baseline.reads_only
author:
  - Kijun developers
"""

EXAMPLES = r"""
- name: Read the host's accounts once and keep what differs
  kijun.baseline.accounts_reconcile:
    plan: "{{ plan.plan }}"
  register: reconciled
"""

RETURN = r"""
reconciled:
  description: What differs on this host, and what is compared with other hosts.
  returned: success
  type: dict
unregistered:
  description: The accounts that the ledger does not have, for proposals.
  returned: success
  type: dict
last_logins:
  description: Login name and the time of the last login, in seconds since 1970.
  returned: success
  type: dict
untried:
  description: How many password hashes were not tried for lack of time.
  returned: success
  type: int
"""
