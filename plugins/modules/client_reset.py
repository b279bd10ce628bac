#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of kijun.baseline.client_reset, which is an action plugin."""

from __future__ import annotations

DOCUMENTATION = r"""
module: client_reset
short_description: Hold the reset of a PC against the ledger, and enter it
version_added: "0.6.0"
description:
  - Before a reset (without O(erased)) it says everything that speaks against it - another machine than the one that is
    meant, one that was not returned, a server, the controller, an account or a lent medium that names the host, an
    incident that is not resolved, data that are not backed up, and data that no key protects.
  - After it, the record is written (JSON; its name ends in the beginning of the SHA-256 of the rest, canonical), and
    the reset is entered into the book of assets under that name. From then on the book gives the PC to another user.
  - It works on the controller. A book whose chain does not hold ends it.
options:
  asset:
    description: The PC's name in the book of assets.
    type: str
    required: true
  serial:
    description: The serial that stands on it, typed by whoever has it reset.
    type: str
    required: true
  host:
    description: Its name in the inventory.
    type: str
    required: true
  seen:
    description: What M(kijun.baseline.client_volumes) returned.
    type: dict
    required: true
  approver:
    description: Who approved it, another person than who does it.
    type: str
    required: true
  ticket:
    description: The application.
    type: str
    required: true
  no_data:
    description: Why there is nothing on it to keep. Then no backup is asked for; the record holds the reason.
    type: str
    default: ""
  erased:
    description: What M(kijun.baseline.luks_erase) returned.
    type: dict
  directory:
    description: Directory on the controller for the record. Needed with O(erased).
    type: path
extends_documentation_fragment:
  - kijun.baseline.ledger
  - kijun.baseline.ledger.actor
attributes:
  check_mode:
    description: Works everything out, refuses what a run would refuse, and writes nothing.
    support: full
  diff_mode:
    description: The record says what there is to say.
    support: none
author:
  - Kijun developers
"""

EXAMPLES = r"""
- name: May it be reset
  kijun.baseline.client_reset:
    asset: PC-017
    serial: SN42
    host: pc17.example.com
    seen: "{{ client_volumes.seen }}"
    approver: manager1
    ticket: AST-2026-040

- name: Enter the reset
  kijun.baseline.client_reset:
    asset: PC-017
    serial: SN42
    host: pc17.example.com
    seen: "{{ client_volumes.seen }}"
    approver: manager1
    ticket: AST-2026-040
    erased: "{{ luks_erased.erased }}"
    directory: reports/assets/resets
"""

RETURN = r"""
volumes:
  description: The volumes whose keys are to be destroyed, as M(kijun.baseline.luks_erase) takes them.
  returned: success
  type: list
  elements: dict
  sample: [{device: /dev/nvme0n1p3, uuid: 01234567-89ab-cdef-0123-456789abcdef}]
record:
  description: The record's name; empty before the reset.
  returned: success
  type: str
  sample: RST-20261128T010403Z-0123456789abcdef
file:
  description: Where the record is; empty where none was written.
  returned: success
  type: str
  sample: reports/assets/resets/RST-20261128T010403Z-0123456789abcdef.json
"""
