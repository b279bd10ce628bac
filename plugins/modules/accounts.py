#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of kijun.baseline.accounts, which is an action plugin."""

from __future__ import annotations

DOCUMENTATION = r"""
module: accounts
short_description: Make a host's accounts what the account ledger says
version_added: "0.1.0"
description:
  - Creates, changes, locks and removes accounts with their groups, sudo rules, SSH keys, expiry and initial password,
    all in one call.
  - The files of accounts and the sudo rules are worked out whole, checked by visudo, pwck and grpck, and put in place
    together or not at all, under the lock that passwd(1) and useradd(8) take. A run that was killed is finished by the
    next one.
  - Accounts that are not in the list are left alone. Those of the system, and the one that Ansible logs in with, are
    refused. So is what would leave no account that can log in and become root.
  - All problems of all accounts are told at once, before anything changes.
options:
  accounts:
    description: The host's accounts. Either this or O(plan) is needed.
    type: list
    elements: dict
    suboptions:
      login:
        description: Login name; a small letter or underscore, then up to 31 of C(a-z0-9_-).
        type: str
        required: true
      state:
        description:
          - V(present) is there and can be used.
          - V(locked) cannot be used; password locked, expired, keys and sudo rules withdrawn, crontab and at jobs held
            back, sessions and processes ended. V(present) undoes it.
          - V(absent) is gone; home and mail are archived first.
        type: str
        choices: [present, locked, absent]
        default: present
      person:
        description: Who it belongs to; the first part of the account's comment.
        type: str
        default: ''
      kind:
        description: What it is for. The passwords of V(service) and V(batch) never expire.
        type: str
        default: person
      uid:
        description: User id of a new account; the next free one where it is not given. It is never changed.
        type: int
      home:
        description: Home directory of a new account; C(/home/LOGIN) where it is not given. It is never changed.
        type: str
      shell:
        description: Login shell; it must be on the host.
        type: str
        default: /bin/bash
      groups:
        description: All its supplementary groups; they must be on the host.
        type: list
        elements: str
        default: []
      sudo:
        description: All its sudo rules, as in C(ALL=(root) /usr/bin/systemctl restart nginx).
        type: list
        elements: str
        default: []
      keys:
        description: All its SSH public keys, as lines of authorized_keys.
        type: list
        elements: str
        default: []
      expires:
        description: Day on which it expires, in days since 1970; never where it is not given.
        type: int
      password:
        description: Whether it may have a password. Without, the one that it has is withdrawn, locked or not.
        type: bool
        default: true
      password_hash:
        description: Hash of a new password, which must be changed at the first login. The present one stays without it.
        type: str
      reason:
        description: Why it is in this state; for people, and not used.
        type: str
  plan:
    description: The accounts of all hosts, of which this host's are taken. Either this or O(accounts) is needed.
    type: dict
    suboptions:
      accounts:
        description: Login name to account, as in O(accounts).
        type: dict
        required: true
      hosts:
        description: Host to a list of login names, or to a mapping of login names to what differs on that host.
        type: dict
        required: true
  archive_directory:
    description: Where homes are archived before they are removed, as C(LOGIN-UID-TIME.tar.gz), for root only.
    type: str
    default: /var/lib/kijun/accounts/archive
  may_remove_last_administrator:
    description: Allow what leaves no account but root and Ansible's own that can log in and become root.
    type: bool
    default: false
  guard:
    description:
      - Given, as V({}), accounts are changed under the guard. Account files and keys come back as they were unless
        M(kijun.baseline.guard) confirms the change; sessions that were ended, and homes that were archived, do not.
    type: dict
attributes:
  check_mode:
    description: Says what would be done.
    support: full
  diff_mode:
    description: Shows each account before and after, never a hash.
    support: full
author:
  - Kijun developers
"""

EXAMPLES = r"""
- name: Give a person an account, and lock another's
  kijun.baseline.accounts:
    accounts:
      - login: operator2
        person: Sample Person
        groups: [adm]
        sudo: ["ALL=(root) /usr/bin/systemctl restart nginx"]
        keys: ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEXAMPLEEXAMPLEEXAMPLEEXAMPLEEXAMPLEEXAMPLE12 operator2"]
      - login: operator1
        state: locked
"""

RETURN = r"""
created:
  description: Accounts that were, or in check mode would be, created. The other lists are to be read in the same way.
  returned: success
  type: list
  elements: str
  sample: [operator2]
changed_accounts:
  description: Account to what changed of it.
  returned: success
  type: dict
  sample: {operator1: [password, expires, keys]}
locked:
  description: Accounts that were locked.
  returned: success
  type: list
  elements: str
removed:
  description: Accounts that were archived and removed.
  returned: success
  type: list
  elements: str
passwords_set:
  description: Accounts whose password was set.
  returned: success
  type: list
  elements: str
sessions_ended:
  description: Account to the number of its processes that were ended.
  returned: success
  type: dict
  sample: {operator1: 3}
files:
  description: Files that were put in place together.
  returned: success
  type: list
  elements: str
finished:
  description: Files that a killed run had prepared and this one put in place.
  returned: success
  type: list
  elements: str
problems:
  description:
    - What was refused, all of it (nothing was changed then), or what failed of single accounts' homes and sessions.
  returned: always
  type: list
  elements: str
"""
