#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of kijun.baseline.media_report, which is an action plugin."""

from __future__ import annotations

DOCUMENTATION = r"""
module: media_report
short_description: Report on the book of recording media
version_added: "0.6.0"
description:
  - Lists the media that are overdue, missing, without an approval that still holds, to be erased before somebody else
    has them, lent, and stored. It works on the controller and enters nothing.
  - Fails, after writing, when the book's chain does not hold.
options:
  directory:
    description:
      - Where C(media.html) (the lists, in English and Japanese), C(media.csv) and C(media.xlsx) (every entry of the
        book) are written, readable by nobody else. Not given, nothing is written.
    type: path
  language:
    description: Language of the headings of the CSV and XLSX files.
    type: str
    choices: [en, ja]
    default: ja
attributes:
  check_mode:
    description: Reads the same, and writes no file.
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
- name: Report on recording media
  kijun.baseline.media_report:
    directory: reports/media
  register: media
"""

RETURN = r"""
overdue:
  description: Media that should be back.
  returned: success
  type: list
  elements: dict
  sample:
    - id: USB-014
      kind: usb_flash
      serial: 0375122100009134
      owner: operations
      place: cabinet 2
      lent_to: operator1
      due_on: "2026-11-30"
      valid_until: "2027-03-31"
missing:
  description: Media that nobody knows the whereabouts of.
  returned: success
  type: list
  elements: dict
over:
  description: Media whose approval is over, and that were neither extended nor disposed of.
  returned: success
  type: list
  elements: dict
to_erase:
  description: Media with confidential data that were used, and not erased since.
  returned: success
  type: list
  elements: dict
lent:
  description: Media that somebody has.
  returned: success
  type: list
  elements: dict
stored:
  description: Media in their places.
  returned: success
  type: list
  elements: dict
files:
  description: What was written.
  returned: success
  type: list
  elements: path
"""
