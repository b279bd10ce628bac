#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of kijun.baseline.ledger_verify, which is an action plugin."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ledger_verify
short_description: Verify that a ledger was not altered
version_added: "0.2.0"
description:
  - Hashes every event of a book anew and compares it with the chain, with checkpoints that were kept elsewhere, and the
    stored entries with those that follow from the events. It works on the controller and changes nothing.
  - The task fails when something does not hold, and names the first event that does not.
  - Without checkpoints, a cut at the end or a chain that was written anew from some event on cannot be told from an
    untouched ledger by anybody.
options:
  books:
    description: Names of the books; all of them when not given.
    type: list
    elements: str
  checkpoints:
    description: A file with checkpoints, or a log with such lines among others.
    type: path
  compare:
    description: Whether stored entries are compared with the events too.
    type: bool
    default: true
  tell:
    description:
      - Whether a checkpoint of each book that holds is told to the places that C(kijun_ledger_checkpoint_file) and
        C(kijun_ledger_syslog) name.
    type: bool
    default: false
attributes:
  check_mode:
    description: Runs the same in check mode, but tells no checkpoint.
    support: full
  diff_mode:
    description: There is nothing to show.
    support: none
extends_documentation_fragment:
  - kijun.baseline.ledger
author:
  - Kijun developers
"""

EXAMPLES = r"""
- name: Verify the ledger against the log server's copy of its checkpoints
  kijun.baseline.ledger_verify:
    checkpoints: /var/log/kijun/checkpoints.log
"""

RETURN = r"""
books:
  description: For each book whether it is C(ok), its C(count) and C(head), C(broken_at), C(reason) and C(differences).
  returned: always
  type: dict
  sample: {accounts: {ok: true, count: 12, head: 9f2c..., broken_at: null, reason: "", differences: []}}
"""
