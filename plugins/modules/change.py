#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of kijun.baseline.change, which is an action plugin."""

from __future__ import annotations

DOCUMENTATION = r"""
module: change
short_description: Open, prove, end or take back a change of a host
version_added: "0.5.0"
description:
  - Asks C(kijun-change) on the host, which the role C(change) brings. What is changed between O(state=begun) and
    O(state=ended) is up to
    the playbook; see C(playbooks/change.yml).
  - A change that is not ended within O(seconds) is taken back by the host itself, also when the controller is gone
    and after the host
    lost its power.
options:
  state:
    description:
      - V(said) looks whether all is said that must be said of a change, and asks no host.
      - V(begun) takes a backup, proves that it can be read back, and opens the change. One change is open on a host
        at a time.
      - V(sound) logs in afresh, looks whether what ran before the change still runs and stays so, and runs
        O(smoke_tests).
      - V(ended) takes another backup and closes the change.
      - V(taken_back) brings files, packages and services back to where they were before the open change, and proves
        it by one more
        backup. Where the host lets nobody in, it waits until the host has done so by itself.
      - V(undone) takes back a change that was ended, O(change); what was changed since stays, or stands in the way.
    type: str
    required: true
    choices: [said, begun, sound, ended, taken_back, undone]
  ticket:
    description: The change's ticket.
    type: str
    default: ""
  ticket_pattern:
    description: What a ticket looks like, a regular expression for all of it.
    type: str
    default: "[A-Z][A-Z0-9]*-[0-9]+"
  implementer:
    description: Who carries it out.
    type: str
    default: ""
  confirmer:
    description: Who confirms it; somebody else.
    type: str
    default: ""
  impact:
    description: What it affects, in words.
    type: str
    default: ""
  dangers:
    description: What can go wrong at which step, in words.
    type: str
    default: ""
  way_back:
    description: How it is taken back, in words.
    type: str
    default: ""
  revision:
    description:
      - The project's revision that carries it out; in AWX C(awx_project_revision). It stands in the change's record.
    type: str
    default: ""
  approved_revision:
    description: The revision that was approved. A change of another one is refused.
    type: str
    default: ""
  classes:
    description: Classes of data that are backed up before and after, beside C(system). Only C(system) is put back.
    type: list
    elements: str
    default: []
  seconds:
    description: How long the change may stay open, 60 to 86400.
    type: int
    default: 3600
  stable_seconds:
    description: For how long units must be well, 0 to 3600.
    type: int
    default: 10
  login_seconds:
    description: Within which time somebody must be able to log in afresh after the change.
    type: int
    default: 120
  smoke_tests:
    description: Commands that must succeed on the host. C(name), C(command) for sh(1), and C(seconds) that it may
      take (30).
    type: list
    elements: dict
    default: []
  outcome:
    description: With O(state=sound), the outcome of M(kijun.baseline.change_run).
    type: dict
  before:
    description: With O(state=ended), the evidence of an audit before the change.
    type: dict
  after:
    description: With O(state=ended), that of an audit after it. A control that held before and does not now fails
      the change.
    type: dict
  why:
    description: With O(state=taken_back), what went wrong.
    type: str
    default: ""
  change:
    description: The change that is meant where it is not this run's own, by its id.
    type: str
    default: ""
  playbook:
    description: With O(state=said), the playbook that is to be run, which must be there.
    type: str
  over_later:
    description: With O(state=undone), also take back what was changed since.
    type: bool
    default: false
attributes:
  check_mode:
    description: Nothing is asked of the host.
    support: full
  diff_mode:
    description: Which paths were put back stands in the result.
    support: none
author:
  - Kijun developers
"""

EXAMPLES = r"""
- name: Back up before, and prove the backup
  kijun.baseline.change:
    state: begun
    ticket: CHG-1042
    implementer: operator1
    confirmer: operator2
    impact: The web service restarts; nobody is logged out
    dangers: nginx does not start with the new settings
    way_back: This playbook takes the change back by itself
"""

RETURN = r"""
id:
  description: The change's id.
  returned: always
  type: str
  sample: CHG-1042-0123456789abcdef
backups:
  description: Class of data to the snapshot from before.
  returned: O(state=begun)
  type: dict
  sample: {system: 5f1d2c}
wrong:
  description: What is not as it must be.
  returned: O(state=sound)
  type: list
  elements: str
  sample: [nginx.service ran before and is failed now]
entry:
  description: The change as the operations journal takes it.
  returned: O(state=ended), O(state=taken_back), O(state=undone)
  type: dict
  sample: {id: "change:web1:CHG-1042-0123456789abcdef", kind: change, host: web1, outcome: ok}
replaced:
  description: Paths that were put back because they were missing or had another content.
  returned: O(state=taken_back), O(state=undone)
  type: list
  elements: str
  sample: [/etc/nginx/nginx.conf]
removed:
  description: Paths that were removed.
  returned: O(state=taken_back), O(state=undone)
  type: list
  elements: str
  sample: []
attributes:
  description: Paths whose owner, mode, time or extended attributes were put back.
  returned: O(state=taken_back), O(state=undone)
  type: list
  elements: str
  sample: [/etc/nginx]
by_itself:
  description: Whether the host had taken the change back before it was asked to.
  returned: O(state=taken_back)
  type: bool
  sample: false
restart_needed:
  description: Whether what was put back counts only once the host has restarted.
  returned: O(state=taken_back), O(state=undone)
  type: bool
  sample: false
"""
