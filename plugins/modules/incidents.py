#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of kijun.baseline.incidents, which is an action plugin."""

from __future__ import annotations

DOCUMENTATION = r"""
module: incidents
short_description: Open an incident for each find of malware, and list what is not resolved
version_added: "0.6.0"
description:
  - Enters what hosts found, as C(kijun-malware finds --json) prints it, into the book C(incidents). Each find of a
    host is one incident, however often it is read. What cannot be read of one host keeps nothing of the others out.
  - Works on the controller. Run it once, with C(run_once).
  - Fails, after writing, when the book's chain does not hold.
options:
  told:
    description: What each host printed, by the inventory's name of the host.
    type: dict
    default: {}
  hosts:
    description: Hosts that were asked; those that told nothing are named in the result.
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    description: Says what would be entered, and writes nothing.
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
- name: Open incidents for what hosts found
  kijun.baseline.incidents:
    told: {pc17.example.com: "{{ __printed.stdout }}"}
    hosts: "{{ ansible_play_hosts_all }}"
  run_once: true
"""

RETURN = r"""
opened:
  description: Incidents that were opened.
  returned: success
  type: list
  elements: str
  sample: [pc17.example.com-9b1f0c2f6f2f7b0a]
unresolved:
  description: Incidents that are not resolved.
  returned: success
  type: list
  elements: dict
  sample:
    - id: pc17.example.com-9b1f0c2f6f2f7b0a
      status: open
      host: pc17.example.com
      summary: Eicar-Test-Signature in /home/operator1/eicar.com
      found_at: "2026-11-21T03:00:00Z"
      sha256: 275a021bbfb6489e54d471899f7db9d1663fc695ec2fe2a2c4538aabf651fd0f
      host_action: quarantined
      opened_at: "2026-11-21T03:10:00Z"
      acknowledged_by: ""
unread:
  description: Hosts that were asked and told nothing.
  returned: success
  type: list
  elements: str
problems:
  description: What could not be read.
  returned: success
  type: list
  elements: str
"""
