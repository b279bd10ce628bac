#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Have the packet filter refuse addresses for a while."""

from __future__ import annotations

DOCUMENTATION = r"""
module: firewall_block
short_description: Have the packet filter refuse addresses for a while
version_added: "0.4.0"
description:
  - Adds addresses to the sets C(blocked4) and C(blocked6) of the role C(firewall), in one transaction of the kernel.
    One that is in them already is left as it is. Each goes by itself when its time is over.
  - The rules themselves see to it that C(firewall_never_blocked) is never refused, whatever is in the sets.
  - A host without these sets (that is, without the role) is left alone, and says so.
options:
  addresses:
    description: Address, IPv4 or IPv6, to the seconds for which it is refused.
    type: dict
    required: true
attributes:
  check_mode:
    description: Says which addresses would be added.
    support: full
  diff_mode:
    description: Shows the addresses that are added.
    support: full
author:
  - Kijun developers
"""

EXAMPLES = r"""
- name: Refuse who was found guessing passwords
  kijun.baseline.firewall_block:
    addresses: {198.51.100.9: 3600}
"""

RETURN = r"""
added:
  description: Addresses that were added.
  returned: success
  type: list
  elements: str
  sample: [198.51.100.9]
filtered:
  description: Whether the host has the sets.
  returned: success
  type: bool
"""

import ipaddress
import json
from typing import Any

from ansible.module_utils.basic import AnsibleModule

LONGEST = 86400
"""Seconds: a mistake is over after a day."""


def _wanted(module: AnsibleModule) -> dict[str, dict[str, int]]:
    """Set -> address -> seconds."""
    wanted: dict[str, dict[str, int]] = {"blocked4": {}, "blocked6": {}}
    for text, seconds in module.params["addresses"].items():
        try:
            address = ipaddress.ip_address(text)
            for_seconds = int(seconds)
        except ValueError:
            module.fail_json(msg="addresses: %r: %r must be an address and a number of seconds" % (text, seconds))
        if not 1 <= for_seconds <= LONGEST:
            module.fail_json(msg="addresses: %s: %d must be from 1 to %d seconds" % (text, for_seconds, LONGEST))
        wanted["blocked%d" % address.version][str(address)] = for_seconds
    return wanted


def _present(module: AnsibleModule, name: str) -> set[str] | None:
    """The addresses in a set; None where there is no such set."""
    code, out, _ = module.run_command(["nft", "-j", "list", "set", "inet", "kijun", name])
    if code:
        return None
    found: list[Any] = next(entry["set"] for entry in json.loads(out)["nftables"] if "set" in entry).get("elem", [])
    return {str(element["elem"]["val"] if isinstance(element, dict) else element) for element in found}


def main() -> None:
    """Entry point."""
    module = AnsibleModule({"addresses": {"type": "dict", "required": True}}, supports_check_mode=True)
    wanted = _wanted(module)
    # In /usr/sbin, which is not on everybody's path; without it there are no sets either.
    if not module.get_bin_path("nft", opt_dirs=["/usr/sbin"]):
        module.exit_json(changed=False, added=[], filtered=False)
    lines, added = [], []
    for name, addresses in wanted.items():
        present = _present(module, name)
        if present is None:
            module.exit_json(changed=False, added=[], filtered=False)
        for address in sorted(addresses.keys() - (present or set())):
            lines.append("add element inet kijun %s { %s timeout %ds }" % (name, address, addresses[address]))
            added.append(address)
    if lines and not module.check_mode:
        module.run_command(["nft", "-f", "-"], data="\n".join(lines) + "\n", check_rc=True)
    diff = {"before": "", "after": "".join(line + "\n" for line in lines)}
    module.exit_json(changed=bool(lines), added=added, filtered=True, diff=diff)


if __name__ == "__main__":
    main()
