#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Install Debian packages in one transaction."""

from __future__ import annotations

DOCUMENTATION = r"""
module: packages
short_description: Install Debian packages in one transaction
version_added: "0.1.0"
description:
  - Reads dpkg's own status and does nothing more when every package is there, so that a run with nothing to change
    costs no more than a ping. Otherwise apt-get(8) installs what is missing in one transaction, without recommended
    packages, keeping configuration files that were changed.
  - An installation that was interrupted earlier is finished first, dpkg(1) C(--configure -a).
options:
  names:
    description: Packages that must be installed.
    type: list
    elements: str
    required: true
  lock_timeout:
    description: Seconds to wait while another process holds dpkg's lock.
    type: int
    default: 120
attributes:
  check_mode:
    description: Says which packages would be installed.
    support: full
  diff_mode:
    description: Shows the packages before and after.
    support: full
author:
  - Kijun developers
"""

EXAMPLES = r"""
- name: Install what the role needs
  kijun.baseline.packages:
    names: [chrony]
"""

RETURN = r"""
installed:
  description: Packages that were, or in check mode would be, installed.
  returned: success
  type: list
  elements: str
  sample: [chrony]
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.facts.host import Host
from ..module_utils.facts.packages import packages
from ..module_utils.package_tools import (
    PackageToolError,
    apt_options,
    complaint,
    finish_interrupted,
    interrupted,
    tool,
    wait_for_lock,
)


def missing(names: list[str]) -> list[str]:
    """Which of the packages are not wholly installed."""
    versions = packages(Host(), set(names))
    return sorted(name for name in names if versions[name] is None)


def install(module: AnsibleModule, names: list[str]) -> None:
    """Install packages; a package list that is missing or out of date is fetched, and the installation tried again."""
    options = apt_options(module.params["lock_timeout"])
    command = ["apt-get", "-y", "-q", *options, "--no-install-recommends", "install", "--", *names]
    done = tool(*command)
    if done.returncode and " lock " not in done.stderr:
        update = tool("apt-get", "-q", *options, "update")
        if update.returncode:
            module.fail_json(
                msg="packages %s: the package lists cannot be fetched: %s" % (", ".join(names), complaint(update))
            )
        done = tool(*command)
    if done.returncode:
        module.fail_json(msg="packages %s cannot be installed: %s" % (", ".join(names), complaint(done)))


def main() -> None:
    """Read, and install what is missing."""
    module = AnsibleModule(
        argument_spec={
            "names": {"type": "list", "elements": "str", "required": True},
            "lock_timeout": {"type": "int", "default": 120},
        },
        supports_check_mode=True,
    )
    names = module.params["names"]
    half_done, absent = interrupted(), missing(names)
    try:
        if (half_done or absent) and not module.check_mode:
            wait_for_lock(module.params["lock_timeout"])
            half_done, absent = interrupted(), missing(names)  # whoever held it was perhaps at work on just that
        if half_done and not module.check_mode:
            finish_interrupted()
    except PackageToolError as error:
        module.fail_json(msg=str(error))
    if not module.check_mode and missing(names):
        install(module, names)
    module.exit_json(
        changed=bool(half_done or absent),
        installed=absent,
        diff={"before": "", "after": "".join("%s\n" % name for name in absent)},
    )


if __name__ == "__main__":
    main()
