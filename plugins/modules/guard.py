#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of kijun.baseline.guard, which is an action plugin."""

from __future__ import annotations

DOCUMENTATION = r"""
module: guard
short_description: Prove that a change has left the way into a host open, or have it taken back
version_added: "0.3.0"
description:
  - Steps that can cut access (M(kijun.baseline.config_files), M(kijun.baseline.accounts) and
    M(kijun.baseline.password_ageing) with their option C(guard); M(kijun.baseline.nftables) always) keep on the host
    what was there before and start a timer that brings it back. This task ends that. It closes the connection that the
    run has, logs in afresh, becomes root, and only then disarms the timer.
  - Where no login is possible, it tries again until the timer has run out, logs in when the host is as before, and
    fails with what was taken back and why.
  - Costs nothing on the host when nothing was changed under the guard in this run.
  - The variable C(kijun_guard_seconds) says how long a change may stay unconfirmed, from 10 to 3600; 120 by default. A
    host that restarts meanwhile takes the change back before anybody can log in.
options: {}
attributes:
  check_mode:
    description: Does nothing, as nothing was armed.
    support: full
  diff_mode:
    description: There is nothing to show.
    support: none
author:
  - Kijun developers
"""

EXAMPLES = r"""
- name: Configure the SSH server
  kijun.baseline.config_files:
    files:
      - path: /etc/ssh/sshd_config.d/00-example.conf
        content: |
          PermitRootLogin no
    validate:
      - [sshd, -t]
    guard:
      undo:
        - [systemctl, restart, ssh.service]
  register: ssh_files

- name: Have the server use it
  kijun.baseline.units:
    units:
      - name: ssh.service
        state: started
        restarted_after: [/etc/ssh/sshd_config.d/00-example.conf]
    changed_files: "{{ ssh_files.changed_files }}"

- name: Prove that the host still lets us in, or take it back
  kijun.baseline.guard:
"""

RETURN = r"""
confirmed:
  description: Whether a change was confirmed; false when there was none.
  returned: always
  type: bool
  sample: true
taken_back:
  description: Paths that the host brought back.
  returned: always
  type: list
  elements: str
  sample: []
"""
