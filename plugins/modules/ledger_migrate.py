#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of kijun.baseline.ledger_migrate, which is an action plugin."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ledger_migrate
short_description: Make a ledger, or bring its tables to another revision
version_added: "0.2.0"
description:
  - Makes the tables of a ledger where there are none, and brings those of an older version to this one. It works on the
    controller.
  - Events are never given up. Going back to a revision that could not hold them is refused.
options:
  revision:
    description: The revision; the one that this version of the collection reads and writes when not given.
    type: str
    default: "0002"
  writer:
    description: A role of PostgreSQL that may add events and not change them.
    type: str
  reader:
    description: A role of PostgreSQL that may only read.
    type: str
attributes:
  check_mode:
    description: Says whether the tables would change.
    support: full
  diff_mode:
    description: Shows the revision.
    support: full
extends_documentation_fragment:
  - kijun.baseline.ledger
author:
  - Kijun developers
"""

EXAMPLES = r"""
- name: Make the ledger
  kijun.baseline.ledger_migrate:
    writer: kijun_writer
    reader: kijun_reader
  run_once: true
"""

RETURN = r"""
revision:
  description: The revision that the tables have then.
  returned: success
  type: str
  sample: "0002"
"""
