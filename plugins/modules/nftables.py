#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring the packet filter in force to what its file says."""

from __future__ import annotations

DOCUMENTATION = r"""
module: nftables
short_description: Bring the packet filter in force to what its file says
version_added: "0.3.0"
description:
  - Compares Kijun's tables in force with what C(/etc/nftables.conf) gives, which the kernel itself says in a network
    of its own that is made for it and gone again, and loads the file when they differ in anything. A rule that was
    added or removed by hand is so found and undone.
  - Loading is one transaction of the kernel. There is no moment without rules, connections that exist live on, other
    tables are not touched, and addresses that are blocked stay blocked as long as they would have been.
  - Loads under the guard; end the role with M(kijun.baseline.guard).
options:
  changed_files:
    description:
      - Files that an earlier step of the run changed, or in check mode would have changed. One that belongs to the
        ruleset has it loaded.
    type: list
    elements: path
    default: []
  isolation:
    description:
      - What to enter into the host's record of isolations, C(/var/lib/kijun/firewall/isolation.json), once it is
        loaded. What the record's last entry says already is not entered again.
    type: dict
    suboptions:
      isolated:
        description: Whether the host is isolated from now on.
        type: bool
        required: true
      ticket:
        description: The incident or order.
        type: str
        required: true
      reason:
        description: Why.
        type: str
        required: true
      by:
        description: Who.
        type: str
        required: true
      requester:
        description: Who asked that the host is let back.
        type: str
        default: ""
  guard:
    description: Filled in by the controller's part of this step; leave it out.
    type: dict
    suboptions:
      run:
        description: The run that changes the host.
        type: str
      seconds:
        description: How long the change may stay unconfirmed, from the variable C(kijun_guard_seconds).
        type: int
attributes:
  check_mode:
    description: Says whether the file would be loaded.
    support: full
  diff_mode:
    description: Shows what in force differs from the file.
    support: full
author:
  - Kijun developers
"""

EXAMPLES = r"""
- name: Load the rules
  kijun.baseline.nftables:
    changed_files: "{{ __example_written.changed_files }}"
"""

RETURN = r"""
loaded:
  description: Whether the file was, or in check mode would be, loaded.
  returned: success
  type: bool
  sample: true
differences:
  description: What in force differed from the file.
  returned: success
  type: list
  elements: str
  sample: ["inet kijun has: chain input: tcp dport 8080 accept"]
recorded:
  description: Whether an isolation, or its end, was, or in check mode would be, entered into the host's record.
  returned: success
  type: bool
  sample: false
"""

import json
import os
import subprocess
import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.facts.host import PATH, Host
from ..module_utils.facts.nftables import (
    FILE,
    ISOLATION,
    LIST,
    NFT,
    RECORD,
    TABLE,
    Ruleset,
    differences,
    promised,
)
from ..module_utils.file_commit import write_json
from ..module_utils.guard import Guard, GuardError

PARTS = (FILE, "/etc/kijun/isolation.nft")
"""Files that make up the ruleset."""

KEPT = ("blocked4", "blocked6")
"""Sets whose elements outlive loading."""

SAVE = "".join(
    'echo "table %s"; echo "delete table %s"; %s -s -t list table %s 2>/dev/null; ' % (table, table, NFT, table)
    for table in (TABLE, ISOLATION)
)
"""Prints what loads as the tables that are in force now, whatever is in force then. What named sets hold comes and goes
by itself, and stays out: not every release of nft can load what it lists of such elements."""


def kept_elements(host: Host, found: Ruleset, wanted: Ruleset) -> str:
    """The commands that put elements of sets which live through loading into the new sets.

    Args:
        host: the host.
        found: the ruleset in force.
        wanted: the one that takes its place.
    """
    commands = []
    for name in KEPT:
        if all(_has_set(ruleset, name) for ruleset in (found, wanted)):
            for entry in json.loads(host.run(NFT, "-j", "list", "set", *TABLE.split(), name))["nftables"]:
                elements = [_element(element["elem"]) for element in entry.get("set", {}).get("elem", [])]
                commands += ["add element %s %s { %s }\n" % (TABLE, name, element) for element in elements]
    return "".join(commands)


def _has_set(ruleset: Ruleset, name: str) -> bool:
    return any(about["kind"] == "set" and about["name"] == name for about in ruleset.objects.get(TABLE, []))


def _element(about: dict[str, Any]) -> str:
    rest = max(1, int(about.get("expires", 1)))
    return "%s timeout %ds expires %ds" % (about["val"], max(rest, int(about.get("timeout", rest))), rest)


def load(text: str) -> str:
    """Load a ruleset, whole or not at all; what nft says against it, empty when it is in force."""
    done = subprocess.run(
        [NFT, "-f", "-"], input=text, capture_output=True, text=True, env={"PATH": PATH, "LC_ALL": "C"}, check=False
    )
    return (done.stderr.strip() or "exit status %d" % done.returncode) if done.returncode else ""


def to_record(host: Host, wish: dict[str, Any] | None) -> list[dict[str, Any]] | None:
    """The record of isolations as it is to be; None when it is that already.

    Args:
        host: the host.
        wish: what to enter.
    """
    if wish is None:
        return None
    events: list[dict[str, Any]] = json.loads(host.read_if_there(RECORD) or "[]")
    last = events[-1] if events else {"isolated": False}
    same = last["isolated"] == wish["isolated"]
    if same and (not last["isolated"] or (last["ticket"], last["reason"]) == (wish["ticket"], wish["reason"])):
        return None
    wish = {name: value for name, value in wish.items() if name != "requester" or value}
    return [*events, {**wish, "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}]


def main() -> None:
    """Compare, and load what differs."""
    module = AnsibleModule(
        argument_spec={
            "changed_files": {"type": "list", "elements": "path", "default": []},
            "isolation": {
                "type": "dict",
                "options": {
                    "isolated": {"type": "bool", "required": True},
                    **{name: {"type": "str", "required": True} for name in ("ticket", "reason", "by")},
                    "requester": {"type": "str", "default": ""},
                },
            },
            "guard": {"type": "dict", "options": {"run": {"type": "str"}, "seconds": {"type": "int"}}},
        },
        supports_check_mode=True,
    )
    host, guard, keeper = Host(), module.params["guard"], Guard()
    if guard and not module.check_mode:
        try:
            keeper.settle(guard["run"])
        except GuardError as error:
            module.fail_json(msg=str(error))
    told = [path for path in module.params["changed_files"] if path in PARTS]
    try:
        record = to_record(host, module.params["isolation"])
        if module.check_mode and (told or not os.path.exists(NFT)):
            found, wanted, differing = Ruleset(""), Ruleset(""), ["%s changes" % path for path in told or [FILE]]
        else:
            found, wanted = Ruleset(host.run(*LIST)), promised(host)
            differing = differences(found, wanted, [TABLE, ISOLATION]) or ["%s has changed" % path for path in told]
    except (OSError, ValueError) as error:
        module.fail_json(msg="the packet filter cannot be read: %s" % error)
    armed = bool(guard and (differing or record) and not module.check_mode)
    if not module.check_mode and (differing or record):
        try:
            if armed:
                state = [{"save": ["sh", "-c", SAVE + ":"], "load": [NFT, "-f", "-"]}]
                keeper.arm({**guard, "state": state}, [RECORD] if record else [])
            text = 'include "%s"\n' % FILE + kept_elements(host, found, wanted)
        except (GuardError, OSError) as error:
            module.fail_json(msg=str(error))
        refused = load(text) if differing else ""
        if refused:
            module.fail_json(msg="%s was not loaded: %s" % (FILE, refused), guard_armed=armed)
        if record:
            os.makedirs(os.path.dirname(RECORD), mode=0o700, exist_ok=True)
            write_json(RECORD, record)
    module.exit_json(
        changed=bool(differing or record),
        loaded=bool(differing),
        differences=differing,
        recorded=bool(record),
        guard_armed=armed,
        diff={"before": "".join("%s\n" % line for line in differing), "after": ""},
    )


if __name__ == "__main__":
    main()
