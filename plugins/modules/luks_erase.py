#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Destroys the keys of LUKS volumes, and reads back that none is left."""

from __future__ import annotations

DOCUMENTATION = r"""
module: luks_erase
short_description: Destroy the keys of LUKS volumes
version_added: "0.6.0"
description:
  - Has cryptsetup(8) destroy all key slots of each volume, looks that none is left, makes the header zero, and reads
    that back from the device. A volume that nobody uses is discarded as well, where its device can.
  - A volume may be in use, as that of a running system is. It stays readable there until the machine is off, since the
    kernel has its key; nothing beyond the header is written.
  - Each volume is named by device and UUID. Nothing is touched unless all of them are there. What was destroyed
    cannot be brought back, except by who has a copy of a header and its passphrase.
options:
  volumes:
    description: The volumes.
    type: list
    elements: dict
    required: true
    suboptions:
      device:
        description: Its path.
        type: str
        required: true
      uuid:
        description: The UUID in its header.
        type: str
        required: true
attributes:
  check_mode:
    description: Finds the volumes, refuses what a run would refuse, and writes nothing.
    support: full
  diff_mode:
    description: What was on a volume is nobody's business.
    support: none
author:
  - Kijun developers
"""

EXAMPLES = r"""
- name: Destroy the keys of a PC's volume
  kijun.baseline.luks_erase:
    volumes:
      - device: /dev/nvme0n1p3
        uuid: 01234567-89ab-cdef-0123-456789abcdef
"""

RETURN = r"""
erased:
  description: What was destroyed; in check mode what would be.
  returned: success
  type: dict
  sample:
    method: crypto_erase
    started: "2026-11-28T01:02:03Z"
    ended: "2026-11-28T01:02:07Z"
    volumes:
      - device: /dev/nvme0n1p3
        uuid: 01234567-89ab-cdef-0123-456789abcdef
        bytes: 512000000000
        keys: 2
        read_back: 16777216
        discarded: false
"""

import time

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.client_volumes import destroy
from ..module_utils.media_erase import EraseError, utc


def main() -> None:
    """Run the module."""
    parts = {"device": {"type": "str", "required": True}, "uuid": {"type": "str", "required": True}}
    module = AnsibleModule(
        argument_spec={"volumes": {"type": "list", "elements": "dict", "required": True, "options": parts}},
        supports_check_mode=True,
    )
    volumes = module.params["volumes"]
    if not volumes:
        module.fail_json(msg="volumes is empty; nothing was erased (clause SM-4.3.3-1)")
    started = time.time()
    try:
        done = destroy(volumes, pretend=module.check_mode)
    except EraseError as error:
        module.fail_json(msg=str(error))
    about = {"method": "crypto_erase", "started": utc(started), "ended": utc(time.time()), "volumes": done}
    module.exit_json(changed=True, erased=about)


if __name__ == "__main__":
    main()
