#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of kijun.baseline.assets_devices, which is an action plugin."""

from __future__ import annotations

DOCUMENTATION = r"""
module: assets_devices
short_description: Hold mobile devices against the book of assets
version_added: "0.6.0"
description:
  - Compares the export of a mobile device management (CSV) with the phones and tablets of the book C(assets). It names
    devices that are in no ledger, that their management does not know, that should not be in use, or that somebody else
    has; devices that are not encrypted, ask for no passcode, have no security chip though they may be taken out, lock
    later than after a minute, or synchronise with a cloud; devices that were not heard of for long; and what the
    export does not tell.
  - It works on the controller, and enters nothing. Run it once, with C(run_once) or on C(localhost). Fails, after
    writing, when the book's chain does not hold.
options:
  path:
    description:
      - The export. UTF-8, UTF-16 or Shift_JIS; separated by commas, tabs or semicolons.
    type: path
    required: true
  columns:
    description:
      - What the export tells, with its heading there. C(serial) is needed. It may have C(user), C(encrypted),
        C(passcode), C(security_chip), C(cloud_sync) (yes or no, in words of English or Japanese), C(lock_seconds) (0
        for never) and C(last_seen) (a date).
      - What is not named is not looked at.
    type: dict
    required: true
  silent_days:
    description: Days without contact after which a device is named.
    type: int
    default: 30
  directory:
    description:
      - Where C(devices.html) (the findings, in English and Japanese) and C(devices.csv) are written, readable by nobody
        else. Not given, nothing is written.
    type: path
  language:
    description: Language of the headings of the CSV file.
    type: str
    choices: [en, ja]
    default: ja
attributes:
  check_mode:
    description: Compares the same, and writes no file.
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
- name: Hold mobile devices against the book of assets
  kijun.baseline.assets_devices:
    path: export.csv
    columns: {serial: Serial Number, user: Assigned to, encrypted: Encryption, last_seen: Last check-in}
    directory: reports/devices
  run_once: true
"""

RETURN = r"""
findings:
  description: What differs.
  returned: success
  type: list
  elements: dict
  sample: [{kind: not_encrypted, asset: TAB-003, serial: SN0077, said: ""}]
numbers:
  description: Kind of finding -> how many, of those that there are.
  returned: success
  type: dict
  sample: {not_encrypted: 1}
devices:
  description: Devices of the export.
  returned: success
  type: int
  sample: 40
files:
  description: What was written.
  returned: success
  type: list
  elements: path
"""
