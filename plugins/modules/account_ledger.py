#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of kijun.baseline.account_ledger, which is an action plugin."""

from __future__ import annotations

DOCUMENTATION = r"""
module: account_ledger
short_description: Enter changes of accounts into the account ledger
version_added: "0.2.0"
description:
  - Enters a batch of changes as events of the book C(accounts), all of them or none. It works on the controller; no
    host is asked. Run it once, with C(run_once) or on C(localhost).
  - A change that the ledger satisfies already makes no event, so that a list can be run again.
  - Everything is held against the rules of the book before anything is written. The error names every entry that is
    wrong, the field, its value, what is allowed and the policy clause.
options:
  entries:
    description:
      - The changes in order. Each has C(login) and C(action), and the fields that the action sets.
      - C(request) asks for an account; C(approve) by somebody else lets the role accounts create it, which enters
        C(activate). C(change) changes it, C(suspend) and C(disable) close it, C(activate) opens it again, C(remove)
        ends it. C(review) records a review, C(reissue) lets the role set a new initial password, and C(adopt) enters an
        account that hosts have already.
      - C(approve), C(change), C(reissue), C(adopt), and C(activate) of an account that was closed need C(approver) and
        C(ticket), and the approver is neither the requester nor the account's person.
      - Fields of an account are C(person), C(department), C(kind), C(contractor), C(hosts), C(groups), C(sudo),
        C(shell), C(uid), C(justification), C(requester), C(valid_from), C(valid_until), C(documentation), C(exception),
        C(ssh_keys), C(age_key), C(password) and C(mfa); docs/accounts.md explains them.
      - C(version), where given, is the version of the account that was seen; the batch is refused when somebody else
        changed it since.
      - A text that is such a list as YAML has it does as well; nothing in it is evaluated.
    type: raw
    required: true
extends_documentation_fragment:
  - kijun.baseline.ledger
  - kijun.baseline.ledger.actor
  - kijun.baseline.ledger.changes
author:
  - Kijun developers
"""

EXAMPLES = r"""
- name: Ask for an account
  kijun.baseline.account_ledger:
    entries:
      - login: operator2
        action: request
        person: Sample Person
        department: development
        hosts: [servers]
        groups: [adm]
        sudo: [restart-web]
        justification: Operates the web servers
        requester: operator1
        ticket: REQ-1001
        ssh_keys: ["{{ lookup('ansible.builtin.file', 'operator2.pub') }}"]
  run_once: true

- name: Approve it
  kijun.baseline.account_ledger:
    entries:
      - {login: operator2, action: approve, approver: manager1, ticket: REQ-1001}
  run_once: true
"""

RETURN = r"""
events:
  description: What was entered; nothing when the ledger said it already.
  returned: success
  type: list
  elements: dict
  sample: [{login: operator2, action: request, version: 1, sequence: 1}]
accounts:
  description: The accounts that changed, as they are then, by login name.
  returned: success
  type: dict
actor:
  description: Who did it, as the ledger names them.
  returned: success
  type: str
current:
  description: The entries that the list names, as they are then, whether or not they changed, by login.
  returned: success
  type: dict
checkpoint:
  description: The book's number of events and the hash of the newest one.
  returned: when something was written
  type: dict
  sample: {book: accounts, count: 1, head: 9f2c..., at: "2026-11-21T03:00:00Z"}
"""
