#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of kijun.baseline.ssh_access, which is an action plugin."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ssh_access
short_description: Refuse settings of the SSH server that would shut Ansible out
version_added: "0.3.0"
description:
  - Looks which account Ansible is logged in with on the host and from which address it comes there, by the SSH session
    that the task runs in, and holds that against settings before anything changes. An error names the variable of role
    C(ssh), its value, what is allowed and the clause.
  - Says which host keys are weak, and warns of configuration files that sshd reads before the role's own.
  - Where the task runs in no SSH session, nothing is refused.
options:
  allowed_groups:
    description: Groups that may log in. None for all.
    type: list
    elements: str
    default: []
  second_factor_groups:
    description: Groups that are asked for a second factor, which Ansible could not give.
    type: list
    elements: str
    default: []
  networks:
    description: Networks that may be come from. None for all.
    type: list
    elements: str
    default: []
  root_login:
    description: Whether root may go on logging in.
    type: bool
    default: false
  rsa_bits:
    description: An RSA host key with fewer bits is weak.
    type: int
    default: 3072
extends_documentation_fragment:
  - kijun.baseline.reads_only
author:
  - Kijun developers
"""

EXAMPLES = r"""
- name: Look whether Ansible will still be let in
  kijun.baseline.ssh_access:
    allowed_groups: [sudo]
    networks: [192.0.2.0/24]
"""

RETURN = r"""
login:
  description: The account that Ansible is logged in with; empty where the task runs in no SSH session.
  returned: success
  type: str
  sample: admin
groups:
  description: Its groups.
  returned: success
  type: list
  elements: str
  sample: [admin, sudo]
address:
  description: The address that it comes from, as the host sees it.
  returned: success
  type: str
  sample: 192.0.2.10
weak_host_keys:
  description: Private host keys that are weak.
  returned: success
  type: list
  elements: str
  sample: [/etc/ssh/ssh_host_rsa_key]
earlier:
  description: Configuration files that sshd reads before the role's own.
  returned: success
  type: list
  elements: str
"""
