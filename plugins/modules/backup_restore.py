#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of kijun.baseline.backup_restore, which is an action plugin."""

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_restore
short_description: Restore what was backed up, beside or in place
version_added: "0.5.0"
description:
  - Asks C(kijun-restore) on the host, which the role C(change) brings beside the role C(backup).
  - Restoring in place takes one more backup before, so that it can be undone, replaces each file by one rename,
    restores owners,
    modes, access control lists and extended attributes, starts services anew whose files it replaced, and takes a
    backup after
    it that is compared with the snapshot.
options:
  state:
    description:
      - V(listed) gives the snapshots.
      - V(beside) restores into the empty folder O(to), and reads each file once more to compare it.
      - V(in_place) makes files what they were.
    type: str
    choices: [listed, beside, in_place]
    default: listed
  snapshot:
    description: The beginning of a snapshot's id, V(latest), or a time (ISO 8601, UTC unless it says another), for
      the last one that
      was taken by then.
    type: str
    default: latest
  class:
    description: The class of data. Without it, O(paths) say which snapshots come into question.
    type: str
    default: ""
  paths:
    description: Absolute paths; each with all that is below it. Without any, everything of the class.
    type: list
    elements: str
    default: []
  to:
    description: With O(state=beside), an empty folder, or one that does not exist.
    type: path
  delete:
    description: With O(state=in_place), also remove what the snapshot does not have.
    type: bool
    default: false
  leave:
    description: With O(state=in_place), patterns (C(*) for any characters) of paths that are left alone.
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    description: For O(state=in_place) a backup is taken to compare with the snapshot; the host's files are not touched.
    support: full
  diff_mode:
    description: In check mode, the paths that would be put back.
    support: partial
author:
  - Kijun developers
"""

EXAMPLES = r"""
- name: Give back a folder as it was on that evening
  kijun.baseline.backup_restore:
    state: in_place
    snapshot: 2026-11-20T18:00
    paths: [/etc/nginx]
    delete: true
"""

RETURN = r"""
snapshots:
  description: The snapshots.
  returned: O(state=listed)
  type: list
  elements: dict
  sample: [{snapshot: 5f1d2c, class: system, time: "2026-11-20T18:00:00Z", tags: [incremental], paths: [/etc], host:
    web1}]
snapshot:
  description: The snapshot that was meant.
  returned: otherwise
  type: str
  sample: 5f1d2c
count:
  description: How many paths were put back, or would be.
  returned: O(state=in_place)
  type: int
  sample: 3
replaced:
  description: Paths that were missing, or had another content or kind; the first 1000.
  returned: O(state=in_place)
  type: list
  elements: str
  sample: [/etc/nginx/nginx.conf]
removed:
  description: Paths that were removed; the first 1000.
  returned: O(state=in_place)
  type: list
  elements: str
  sample: []
attributes:
  description: Paths whose owner, mode, time or extended attributes were put back; the first 1000.
  returned: O(state=in_place)
  type: list
  elements: str
  sample: [/etc/nginx]
restarted:
  description: Units that were started anew.
  returned: O(state=in_place)
  type: list
  elements: str
  sample: [nginx.service]
restart_needed:
  description: Whether what was put back counts only once the host has restarted.
  returned: O(state=in_place)
  type: bool
  sample: false
undo:
  description: The snapshot that was taken before, with which the restore can be undone.
  returned: O(state=in_place)
  type: str
  sample: 8c0aa1
"""
