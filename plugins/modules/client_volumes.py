#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks what a PC's disks hold, before it is reset for another user."""

from __future__ import annotations

DOCUMENTATION = r"""
module: client_volumes
short_description: Look what a PC's disks hold, and which machine it is
version_added: "0.6.0"
description:
  - Sorts out everything on the disks that are built into a PC - LUKS volumes, what starts the machine (C(/boot), the
    partition of the firmware), and all else, which is taken for data that no key protects, whether or not anything is
    known of it.
  - M(kijun.baseline.client_reset) says whether that allows a reset, and M(kijun.baseline.luks_erase) does it.
  - Reads as root, and writes nothing.
extends_documentation_fragment:
  - kijun.baseline.reads_only
author:
  - Kijun developers
"""

EXAMPLES = r"""
- name: Look what the PC's disks hold
  kijun.baseline.client_volumes:
  register: client_volumes
"""

RETURN = r"""
seen:
  description: The machine, and what is on its disks.
  returned: success
  type: dict
  contains:
    serial:
      description: The machine's serial, as its firmware tells it; empty where it tells none.
      type: str
      sample: SN42
    machine_id:
      description: The system's id, machine-id(5).
      type: str
      sample: 0123456789abcdef0123456789abcdef
    encrypted:
      description: LUKS volumes.
      type: list
      elements: dict
      sample:
        - device: /dev/nvme0n1p3
          uuid: 01234567-89ab-cdef-0123-456789abcdef
          disk: /dev/nvme0n1
          model: Example SSD
          serial: S42
          bytes: 512000000000
          in_use: true
    starting:
      description: What starts the machine.
      type: list
      elements: str
      sample: [/dev/nvme0n1p1 vfat /boot/efi, /dev/nvme0n1p2 ext4 /boot]
    others:
      description: What no key protects.
      type: list
      elements: str
      sample: []
    media:
      description: Media that are plugged in.
      type: list
      elements: str
      sample: []
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.asset_state import hardware
from ..module_utils.client_volumes import sort_out
from ..module_utils.facts.disks import is_carried
from ..module_utils.facts.host import Host
from ..module_utils.media_erase import EraseError, block_devices


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)
    host = Host()
    try:
        found = sort_out(block_devices(), lambda name: is_carried(host, name))
    except EraseError as error:
        module.fail_json(msg=str(error))
    found["serial"] = hardware(host).get("serial", "")
    found["machine_id"] = host.read_if_there("/etc/machine-id").strip()
    module.exit_json(changed=False, seen=found)


if __name__ == "__main__":
    main()
