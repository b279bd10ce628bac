#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of kijun.baseline.media_allowed, which is an action plugin."""

from __future__ import annotations

DOCUMENTATION = r"""
module: media_allowed
short_description: Read once, for all hosts of a play, which recording media they take
version_added: "0.6.0"
description:
  - Verifies the book C(media) of the ledger and reads the USB media that are lent and whose time is not over, for each
    host. It works on the controller; no host is asked.
  - Where the ledger's address is the default and there is no such file, no host takes any. A ledger that does not
    answer, or that somebody altered, ends the run before anything is changed.
options:
  hosts:
    description: Names of the inventory.
    type: list
    elements: str
    required: true
extends_documentation_fragment:
  - kijun.baseline.ledger
  - kijun.baseline.reads_only
author:
  - Kijun developers
"""

EXAMPLES = r"""
- name: Read which media hosts take
  kijun.baseline.media_allowed:
    hosts: "{{ ansible_play_hosts }}"
  run_once: true
  register: media_allowed
"""

RETURN = r"""
media:
  description: Host to the media that it takes; C(until) is the last day of each.
  returned: success
  type: dict
  sample:
    pc17.example.com:
      - name: USB-014
        vendor_id: "0951"
        product_id: "1666"
        serial: "0375122100009134"
        person: operator1
        until: "2026-11-30"
        confidential: true
        encryption: luks
"""
