#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring the rules of the kernel's audit to what the files say, in one call."""

from __future__ import annotations

DOCUMENTATION = r"""
module: audit_rules
short_description: Bring the kernel's audit to what its rules files say
version_added: "0.4.0"
description:
  - Compares the rules that are in the kernel with those of C(/etc/audit/rules.d), and its settings, and loads them anew
    where they differ. What a rule watches need not be there; such a rule is told in C(unwatchable).
  - An audit that is locked until the next start (C(-e 2)) is left as it is. What then takes a restart is told in
    C(after_reboot), and as a warning.
options:
  rules:
    description:
      - What C(/etc/audit/rules.d/audit.rules) holds, or in check mode would hold.
    type: str
    required: true
attributes:
  check_mode:
    description: Says what would change.
    support: full
  diff_mode:
    description: Shows the rules before and after.
    support: full
author:
  - Kijun developers
"""

EXAMPLES = r"""
- name: Load the rules
  kijun.baseline.audit_rules:
    rules: "{{ __example_rules }}"
"""

RETURN = r"""
added:
  description: Rules that were, or in check mode would be, added.
  returned: success
  type: list
  elements: str
  sample: ["always,exit all key=identity path=/etc/passwd perm=aw"]
removed:
  description: Rules that were in the kernel and in no file.
  returned: success
  type: list
  elements: str
  sample: []
set:
  description: Settings that were, or in check mode would be, changed, with the value before and after.
  returned: success
  type: dict
  sample: {enabled: [0, 1]}
unwatchable:
  description: Rules whose place is not there.
  returned: success
  type: list
  elements: str
  sample: []
after_reboot:
  description: What takes a restart of the host.
  returned: success
  type: list
  elements: str
  sample: []
"""

import shutil
import subprocess
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import audit_rules
from ..module_utils.facts.host import PATH, Host

LOCKED = 2
"""What ``enabled`` is in an audit whose rules nobody changes before the next start."""


class Plan:
    """What differs between the files and the kernel.

    Args:
        host: the host.
        rules: what the role's file holds.
    """

    def __init__(self, host: Host, rules: str) -> None:
        files = {**audit_rules.files_of_rules(host), audit_rules.RULES_FILE: rules}
        wanted = audit_rules.lines_of({path: files[path] for path in sorted(files)})
        is_there = shutil.which("auditctl", path=PATH) is not None
        now = audit_rules.status(host) if is_there else {}
        present = audit_rules.loaded(host) if is_there else []
        written = set(audit_rules.rules_of(wanted))
        self.is_locked = now.get("enabled") == LOCKED
        self.added = audit_rules.missing(host, wanted, present)
        self.removed = [rule for rule in present if rule not in written]
        self.settings = audit_rules.differences(audit_rules.settings_of(wanted), now)
        lines = [line for line in wanted if not audit_rules.is_watchable(host, line)]
        self.unwatchable = audit_rules.rules_of(lines)

    def is_empty(self) -> bool:
        """Whether the kernel has what the files say."""
        return not (self.added or self.removed or self.settings)

    def said(self) -> list[str]:
        """What differs, in words."""
        kinds = (("rules to be added", len(self.added)), ("rules to be removed", len(self.removed)))
        counts = ["%d %s" % (count, kind) for kind, count in kinds if count]
        return counts + ["%s from %s to %s" % (name, *values) for name, values in self.settings.items()]


def load() -> str:
    """Load the files' rules; what auditctl(8) complains of."""
    done = subprocess.run(
        ["augenrules", "--load"],
        env={"PATH": PATH, "LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    return (done.stderr or done.stdout).strip()[-1000:]


def main() -> None:
    """Compare, and load where something differs."""
    module = AnsibleModule(argument_spec={"rules": {"type": "str", "required": True}}, supports_check_mode=True)
    host = Host()
    plan = Plan(host, module.params["rules"])
    after_reboot: list[str] = []
    result: dict[str, Any] = {"added": plan.added, "removed": plan.removed, "set": plan.settings}
    if plan.is_locked and not plan.is_empty():
        after_reboot = ["the audit is locked until then: %s" % ", ".join(plan.said())]
        module.warn("a restart of the host is needed, and left to you: %s" % "; ".join(after_reboot))
        result = {"added": [], "removed": [], "set": {}}
    elif not module.check_mode and not plan.is_empty():
        complaints = load()
        left = Plan(host, module.params["rules"])
        if not left.is_empty():
            module.fail_json(msg="the kernel does not take the rules: %s: %s" % (", ".join(left.said()), complaints))
    lines = ["%s = %s\n" % (name, values[0]) for name, values in result["set"].items()]
    module.exit_json(
        changed=any(result.values()),
        unwatchable=plan.unwatchable,
        after_reboot=after_reboot,
        diff={
            "before": "".join(lines + ["%s\n" % rule for rule in result["removed"]]),
            "after": "".join(
                ["%s = %s\n" % (name, values[1]) for name, values in result["set"].items()]
                + ["%s\n" % rule for rule in result["added"]]
            ),
        },
        **result,
    )


if __name__ == "__main__":
    main()
