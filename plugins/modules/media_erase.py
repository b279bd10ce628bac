#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Erases a recording medium that is attached to the host, and reads back what is then on it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: media_erase
short_description: Erase a recording medium, and read back what is then on it
version_added: "0.6.0"
description:
  - Finds the one disk of the host that has the serial, overwrites all of it by random data and then by zeros with
    shred(1), and reads back its ends and pieces by chance between them, from the device and not from memory.
  - What is mounted, used for swapping, part of a RAID, of LVM or of an opened LUKS volume, read-only, or held by
    another program is refused, and so are a serial that two disks have and a device whose USB ids are others.
  - How far it is, the journal tells (C(journalctl -t kijun-media-erase)). What was erased cannot be brought back.
  - Flash memory keeps blocks aside that nothing overwrites. What is confidential is therefore encrypted from the
    beginning, and ends with O(method=crypto_erase), or destroyed.
  - M(kijun.baseline.media_erasure) holds the request against the book of media, and enters what was done.
options:
  serial:
    description: The medium's serial, as the book of media has it.
    type: str
    required: true
  vendor_id:
    description: Its USB vendor id, four hexadecimal digits; empty where it is no USB device.
    type: str
    default: ""
  product_id:
    description: Its USB product id, as O(vendor_id).
    type: str
    default: ""
  method:
    description:
      - V(overwrite) writes over all of it. V(crypto_erase) destroys the keys of its LUKS volumes and their headers; a
        medium that has anything else on it is refused.
    type: str
    choices: [overwrite, crypto_erase]
    default: overwrite
  read_back_mb:
    description: How much is read back at most beside both ends, in MiB, when it is overwritten.
    type: int
    default: 1024
attributes:
  check_mode:
    description: Finds the medium, refuses what a run would refuse, and writes nothing.
    support: full
  diff_mode:
    description: What was on a medium is nobody's business.
    support: none
author:
  - Kijun developers
"""

EXAMPLES = r"""
- name: Erase a stick
  kijun.baseline.media_erase:
    serial: "0375122100009134"
    vendor_id: "0951"
    product_id: "1666"
  async: 14400
  poll: 15
  register: media_erased
"""

RETURN = r"""
erased:
  description: What was erased, and how; in check mode what would be.
  returned: success
  type: dict
  sample:
    device: /dev/sdb
    model: Example Stick
    serial: "0375122100009134"
    bytes: 1073741824
    rotates: false
    method: overwrite
    passes: [random, zero]
    read_back: 1073741824
    started: "2026-11-28T01:02:03Z"
    ended: "2026-11-28T01:04:03Z"
    seconds: 120.0
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.media_erase import MIB, EraseError, erase
from ..module_utils.removable_media.descriptor import Descriptor


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "serial": {"type": "str", "required": True},
            "vendor_id": {"type": "str", "default": ""},
            "product_id": {"type": "str", "default": ""},
            "method": {"type": "str", "choices": ["overwrite", "crypto_erase"], "default": "overwrite"},
            "read_back_mb": {"type": "int", "default": 1024},
        },
        supports_check_mode=True,
    )
    given = module.params
    if not given["serial"]:
        module.fail_json(msg="serial is empty; it must be that of the medium (clause SM-4.6.2-3)")
    if given["read_back_mb"] < 1:
        module.fail_json(msg="read_back_mb is %d; it must be at least 1" % given["read_back_mb"])
    wanted = Descriptor(given["vendor_id"], given["product_id"], given["serial"])
    try:
        erased = erase(wanted, given["method"], given["read_back_mb"] * MIB, pretend=module.check_mode)
    except EraseError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=True, erased=erased)


if __name__ == "__main__":
    main()
