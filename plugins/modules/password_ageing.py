#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Limit the age of the passwords of existing accounts."""

from __future__ import annotations

DOCUMENTATION = r"""
module: password_ageing
short_description: Limit the age of the passwords of existing accounts
version_added: "0.1.0"
description:
  - Gives every account that logs in with a password its maximum, minimum and warning age, chage(1). login.defs(5) sets
    these for new accounts only.
  - Never touches an account without a usable password (key-only, service and locked accounts), since an expired
    password would cut those off and nobody could change it.
  - An account whose date of change is empty has no ageing at all, shadow(5); it gets today's date.
options:
  max_days:
    description: Days after which a password must be changed; V(99999) for never.
    type: int
    required: true
  min_days:
    description: Days before which it cannot be changed again.
    type: int
    required: true
  warn_days:
    description: Days of warning before it expires.
    type: int
    required: true
  exempt:
    description: Accounts that are left alone.
    type: list
    elements: str
    default: []
  first_login:
    description:
      - Accounts that must change their password at their first login. Each is asked once, which
        C(/var/lib/kijun/first_login.json) remembers, so that a later run does not ask again.
      - One that is not on the host, or has no usable password, is left for a later run.
    type: list
    elements: str
    default: []
  guard:
    description:
      - Given, as V({}), ages are set under the guard. What was there before comes back unless M(kijun.baseline.guard)
        confirms the change, or when a step after it fails.
    type: dict
    suboptions:
      run:
        description: The run that changes the host. Filled in by the controller's part of this step; leave it out.
        type: str
      seconds:
        description: How long the change may stay unconfirmed, from the variable C(kijun_guard_seconds).
        type: int
attributes:
  check_mode:
    description: Says which accounts would change.
    support: full
  diff_mode:
    description: Shows the ages before and after, never a hash.
    support: full
author:
  - Kijun developers
"""

EXAMPLES = r"""
- name: Passwords are changed every 90 days
  kijun.baseline.password_ageing:
    max_days: 90
    min_days: 0
    warn_days: 14
    exempt: [breakglass]
"""

RETURN = r"""
accounts:
  description: Accounts that were, or in check mode would be, changed, with the arguments of chage(1).
  returned: success
  type: dict
  sample: {worker: [--maxdays, "90"]}
"""

import json
import os
import subprocess
import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.facts.accounts import password_state
from ..module_utils.facts.host import Host, lines
from ..module_utils.guard import Guard, GuardError

ASKED = "/var/lib/kijun/first_login.json"
"""List of the accounts of which a change was asked."""

AGES = (("max_days", 4, "--maxdays"), ("min_days", 3, "--mindays"), ("warn_days", 5, "--warndays"))
"""Option -> field of a shadow line -> argument of chage(1)."""


def shadow() -> dict[str, list[str]]:
    """The well-formed lines of shadow(5) of accounts whose password is usable, by name; chage(1) knows no others."""
    host = Host()
    names = {line.split(":")[0] for line in lines(host.read("/etc/passwd"))}
    records = [line.split(":") for line in lines(host.read("/etc/shadow"))]
    return {r[0]: r for r in records if len(r) == 9 and r[0] in names and password_state(r[1]) == "usable"}


def asked_before() -> list[str]:
    """The accounts that earlier runs asked."""
    try:
        with open(ASKED, encoding="utf-8") as file:
            return json.load(file)
    except FileNotFoundError:
        return []


def remember(names: list[str]) -> None:
    """Write the accounts that were asked, whole or not at all."""
    os.makedirs(os.path.dirname(ASKED), mode=0o700, exist_ok=True)
    temporary = ASKED + ".new"
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(sorted(names), file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, ASKED)


def changes(record: list[str], wish: dict[str, Any], ask: bool) -> list[str]:
    """The arguments of chage(1) that an account needs; none when it is as it should be.

    Args:
        record: the fields of its shadow line.
        wish: the ages.
        ask: whether a change at the next login is asked of it now.
    """
    arguments = []
    for option, field, argument in AGES:
        if record[field] != str(wish[option]):
            arguments += [argument, str(wish[option])]
    if ask and record[2] != "0":
        arguments += ["--lastday", "0"]
    elif record[2] == "":
        arguments += ["--lastday", time.strftime("%Y-%m-%d", time.gmtime())]
    return arguments


def described(name: str, record: list[str]) -> str:
    """An account's ages, one line."""
    changed, least, most, warning = (field or "-" for field in record[2:6])
    return "%s: max %s, min %s, warn %s, changed on day %s\n" % (name, most, least, warning, changed)


def main() -> None:
    """Compare, and change what differs."""
    module = AnsibleModule(
        argument_spec={
            "max_days": {"type": "int", "required": True},
            "min_days": {"type": "int", "required": True},
            "warn_days": {"type": "int", "required": True},
            "exempt": {"type": "list", "elements": "str", "default": []},
            "first_login": {"type": "list", "elements": "str", "default": []},
            "guard": {"type": "dict", "options": {"run": {"type": "str"}, "seconds": {"type": "int"}}},
        },
        supports_check_mode=True,
    )
    wish = module.params
    if wish["guard"] and not module.check_mode:
        try:
            Guard().settle(wish["guard"]["run"])
        except GuardError as error:
            module.fail_json(msg=str(error))
    try:
        known = asked_before()
    except ValueError as error:
        module.fail_json(msg="%s: %s; it must be a list of names in JSON" % (ASKED, error))
    records = {name: record for name, record in shadow().items() if name not in wish["exempt"]}
    asked = [name for name in wish["first_login"] if name in records and name not in known]
    planned = {name: changes(record, wish, name in asked) for name, record in records.items()}
    planned = {name: arguments for name, arguments in planned.items() if arguments}
    armed = bool(wish["guard"] and planned and not module.check_mode)
    if armed:
        try:
            Guard().arm(wish["guard"], ["/etc/shadow"])
        except GuardError as error:
            module.fail_json(msg=str(error))
    if not module.check_mode:
        for name, arguments in planned.items():
            done = subprocess.run(
                ["chage", *arguments, "--", name], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
            )
            if done.returncode:
                module.fail_json(
                    msg="chage %s %s: %s" % (" ".join(arguments), name, done.stderr.strip()), guard_armed=armed
                )
        if asked:
            remember(known + asked)
    module.exit_json(
        changed=bool(planned),
        accounts=planned,
        guard_armed=armed,
        diff={
            "before": "".join(described(name, records[name]) for name in planned),
            "after": "".join("%s: chage %s\n" % (n, " ".join(a)) for n, a in planned.items()),
        },
    )


if __name__ == "__main__":
    main()
