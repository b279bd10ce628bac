#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of kijun.baseline.second_factor_state, which is an action plugin."""

from __future__ import annotations

DOCUMENTATION = r"""
module: second_factor_state
short_description: Look who has a second factor on a host
version_added: "0.3.0"
description:
  - Says which of some accounts a host has, and whose secrets of second factors are there. It reads no secret.
  - M(kijun.baseline.second_factor_issue) works with what it says.
options:
  logins:
    description: Login names.
    type: list
    elements: str
    required: true
extends_documentation_fragment:
  - kijun.baseline.reads_only
author:
  - Kijun developers
"""

EXAMPLES = r"""
- name: Look who has a second factor
  kijun.baseline.second_factor_state:
    logins: [worker]
  register: second_factor_state
"""

RETURN = r"""
present:
  description: Those of the accounts that the host has.
  returned: success
  type: list
  elements: str
  sample: [worker]
enrolled:
  description: Accounts that have a second factor there.
  returned: success
  type: list
  elements: str
  sample: [worker]
"""
