#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of kijun.baseline.media_erasure, which is an action plugin."""

from __future__ import annotations

DOCUMENTATION = r"""
module: media_erasure
short_description: Hold an erasure against the book of media, and enter it
version_added: "0.6.0"
description:
  - Before an erasure (without O(erased)) it says how a host knows the medium, and refuses what the book would refuse
    afterwards - a medium that it does not have, that is lent, missing or disposed of - and a serial that is another's.
  - After it, the record is written (JSON; its name ends in the beginning of the SHA-256 of the rest, canonical), and
    the erasure is entered under that name.
options:
  id:
    description: The medium's name in the book.
    type: str
    required: true
  serial:
    description: The serial that stands on it, typed by whoever has it erased.
    type: str
    required: true
  method:
    description: How it is erased, see M(kijun.baseline.media_erase).
    type: str
    choices: [overwrite, crypto_erase]
    default: overwrite
  erased:
    description: What M(kijun.baseline.media_erase) returned.
    type: dict
  host:
    description: Where it was erased. Needed with O(erased).
    type: str
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
- name: Which device is it
  kijun.baseline.media_erasure:
    id: USB-014
    serial: "0375122100009134"

- name: Enter the erasure
  kijun.baseline.media_erasure:
    id: USB-014
    serial: "0375122100009134"
    erased: "{{ media_erased.erased }}"
    host: pc17.example.com
    directory: reports/media/erasures
"""

RETURN = r"""
medium:
  description: The medium, as far as a host has to know it.
  returned: success
  type: dict
  sample:
    id: USB-014
    kind: usb_flash
    vendor_id: "0951"
    product_id: "1666"
    serial: "0375122100009134"
    confidential: true
record:
  description: The record's name; empty before the erasure.
  returned: success
  type: str
  sample: ERA-20261128T010403Z-0123456789abcdef
file:
  description: Where the record is; empty where none was written.
  returned: success
  type: str
  sample: reports/media/erasures/ERA-20261128T010403Z-0123456789abcdef.json
"""
