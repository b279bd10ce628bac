#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of kijun.baseline.accounts_state, which is an action plugin."""

from __future__ import annotations

DOCUMENTATION = r"""
module: accounts_state
short_description: Read a host's accounts, who may do what, and who used them when
version_added: "0.1.0"
description:
  - Reads passwd, shadow, group, sudoers, the keys that sshd takes, the last logins, sessions, processes, crontabs and
    at jobs, in one call. It changes nothing and writes nothing on the host.
  - No hash and no password leaves the host.
options:
  weak:
    description: Try each usable password hash with a short list of likely passwords; not done where it is not given.
    type: dict
    suboptions:
      tries:
        description: Guesses an account at most, 1 to 1000.
        type: int
        default: 40
      seconds:
        description: Time that it may take in all, up to 3600. Hashes not tried to the end are counted in C(untried).
        type: float
        default: 20
  people:
    description: Login name to C(person) and C(department), whose words are tried as passwords.
    type: dict
    default: {}
extends_documentation_fragment:
  - kijun.baseline.reads_only
author:
  - Kijun developers
"""

EXAMPLES = r"""
- name: Read the accounts, and look for weak passwords
  kijun.baseline.accounts_state:
    weak: {tries: 40, seconds: 20}
    people:
      operator2: {person: Sample Person, department: Sales}
  register: found
"""

RETURN = r"""
state:
  description: The host's accounts.
  returned: success
  type: dict
  contains:
    time:
      description: When it was read, in seconds since 1970.
      type: int
    accounts:
      description:
        - C(name), C(uid), C(gid), C(gecos), C(home), C(home_exists), C(shell), C(groups) (supplementary ones).
        - C(password) (V(usable), V(locked), V(none), V(empty)), C(scheme), C(password_changed) and C(expires) (days
          since 1970 or null), C(must_change), C(weak) (what is wrong with the password, or null).
        - C(keys) (C(type), C(fingerprint), C(comment)), C(unreadable_keys) (why some could not be read, or null).
        - C(sudo) (rules that name the account, aliases resolved), C(admin) (may run everything as root).
        - C(last_login) (seconds since 1970 or null), C(last_login_source) (V(lastlog), V(wtmpdb), V(wtmp), V(journal),
          V(none)), C(created) (seconds since 1970 or null).
        - C(sessions), C(processes), C(cron), C(at); C(system) is true for accounts of the system.
      type: list
      elements: dict
    groups:
      description: Group to C(gid) and C(members).
      type: dict
    sudo_others:
      description: Sudo rules for groups, ids and everybody.
      type: list
      elements: str
    uid_min:
      description: First user id of people, login.defs(5).
      type: int
    uid_max:
      description: Last user id of people.
      type: int
    managed:
      description: Accounts that the module accounts was given last.
      type: list
      elements: str
    login_account:
      description: The account that this run logged in with.
      type: str
    untried:
      description: Hashes that were not tried to the end for lack of time.
      type: int
    problems:
      description: What could not be read or is malformed.
      type: list
      elements: str
  sample: {time: 1790000000, accounts: [], groups: {}, uid_min: 1000, uid_max: 60000, problems: []}
"""
