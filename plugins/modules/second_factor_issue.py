#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of kijun.baseline.second_factor_issue, which is an action plugin."""

from __future__ import annotations

DOCUMENTATION = r"""
module: second_factor_issue
short_description: Issue second factors, sealed to their persons
version_added: "0.3.0"
description:
  - Makes a secret for time-based codes (TOTP, RFC 6238) and ten recovery codes for each account that has none on a host
    of the play, and seals them at once to the person's age key or SSH keys. The sealed message is written on the
    controller; the clear text is kept nowhere there.
  - Works on the controller; run it with C(run_once). Its result holds the secrets for the hosts, which
    M(kijun.baseline.config_files) puts in place. Give the task C(no_log).
  - An account gets one secret for all the hosts that lack one in a run. A host that is added later gets another.
options:
  accounts:
    description: Who gets a second factor.
    type: list
    elements: dict
    default: []
    suboptions:
      login:
        description: Login name.
        type: str
        required: true
      ssh_keys:
        description: Public SSH keys (Ed25519, RSA) that the message is sealed to.
        type: list
        elements: str
        default: []
      age_key:
        description:
          - An age recipient that it is sealed to instead. With neither, the keys of the account ledger are taken.
        type: str
        default: ""
  renew:
    description: Accounts that get a new one although they have one, such as after a lost device.
    type: list
    elements: str
    default: []
  withdraw:
    description: Accounts whose secrets are removed.
    type: list
    elements: str
    default: []
  states:
    description: Variable that the result of M(kijun.baseline.second_factor_state) is registered in.
    type: str
    required: true
  handover_directory:
    description: Where the sealed messages are written on the controller.
    type: path
    required: true
attributes:
  check_mode:
    description: Says who would get one. Nothing that is made is written.
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
- name: Make secrets and seal them
  kijun.baseline.second_factor_issue:
    accounts:
      - login: worker
    states: second_factor_state
    handover_directory: handover
  run_once: true
  no_log: true
  register: second_factor_issued
"""

RETURN = r"""
host_files:
  description: Entries for M(kijun.baseline.config_files) by host. They hold the secrets.
  returned: success
  type: dict
handover:
  description: The sealed messages (C(login), C(hosts), C(recipient), C(file)).
  returned: success
  type: list
  elements: dict
"""
