#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of kijun.baseline.preflight, which is an action plugin."""

from __future__ import annotations

DOCUMENTATION = r"""
module: preflight
short_description: Look whether settings and a host are what roles are made for, before anything changes
version_added: "0.1.0"
description:
  - Holds the variables of roles against their limits (each role's C(limits.yml)); an error names the variable, its
    value, what is allowed and the clause that asks for it. A variable that bears a role's name and that the role does
    not know is an error too, since it is mostly a misspelt one.
  - Asks the host, once in a run, whether it is a release that was tested, whether the task is root there, and whether
    its file systems can be written to and have room.
  - Says from which controls the host is excused by approved exceptions, so that roles leave it alone there. That comes
    from M(kijun.baseline.exceptions_in_force); without that task, each host reads the ledger for itself. A ledger that
    does not answer ends the run before anything is changed.
options:
  roles:
    description: Names of the roles, without the collection.
    type: list
    elements: str
    required: true
  host:
    description: V(false) holds the settings alone, for roles that work on the controller; no host is asked anything.
    type: bool
    default: true
    version_added: "0.6.0"
extends_documentation_fragment:
  - kijun.baseline.reads_only
author:
  - Kijun developers
"""

EXAMPLES = r"""
- name: Look whether settings and hosts are what the role is made for
  kijun.baseline.preflight:
    roles: [authentication]
"""

RETURN = r"""
ansible_facts:
  description:
    - C(kijun_host), what the host is, C(excused), the controls that it is excused from, and C(run), the run of
      ansible-playbook that says so; C(kijun_exceptions_in_force), the exceptions.
  returned: the first time in a run, and when the host is excused from something else since
  type: dict
  sample:
    kijun_host: {distribution: debian, release: "12", run: 3f0c52a1d7e94b68, excused: [AUTH-07]}
"""
