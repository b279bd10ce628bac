#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of kijun.baseline.asset_ledger, which is an action plugin."""

from __future__ import annotations

DOCUMENTATION = r"""
module: asset_ledger
short_description: Enter into the ledger what becomes of hardware and licences
version_added: "0.6.0"
description:
  - Enters a batch of changes as events of the book C(assets), all of them or none. It works on the controller; no host
    is asked. Run it once, with C(run_once) or on C(localhost).
  - A change that the ledger satisfies already makes no event, so that a list can be run again.
  - What needs an approval (C(register), C(change), C(accept), C(reset), C(dispose)) names C(approver), somebody else
    than who enters it, and C(ticket), the application; see docs/assets.md.
options:
  entries:
    description:
      - The changes in order. Each has C(id) (the number on the asset's label) and C(action).
      - C(register) enters an asset, with C(kind) (C(server), C(pc), C(phone), C(tablet), C(network), C(storage),
        C(licence) or C(other)), C(owner), C(place), C(host) for a server or PC, C(purpose) and C(holds) for a server,
        C(serial) for a phone or tablet, C(software) and C(seats) for a licence, and where it applies C(maker),
        C(model), C(user), C(portable), C(take_out) and C(valid_until).
      - C(change) changes what of that may change.
      - C(accept) says that changed C(hardware) is right, with C(reason).
      - C(count) enters a physical count, with C(counted) (C(found) or C(absent)), C(counted_on), and C(counted_by) and
        C(place).
      - C(use), C(store) and C(repair) say where it is, with C(place); C(use) may say C(user), who has it.
      - C(reset) says that a stored PC, phone or tablet was erased for another user, with C(reset_method) and
        C(reset_record). C(crypto_erase) is what C(playbooks/client_reset.yml) enters, with C(reset_of). For
        C(external), C(reason) says how and why. Without it, nobody else becomes its C(user).
      - C(lose) and C(find) say that it is lost, or was found, with C(reason).
      - C(dispose) ends it, with C(reason), C(disposed_on) and C(record) (of the erasure of its data).
      - C(version), where given, is the version of the asset that was seen; the batch is refused when somebody changed
        it since.
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
- name: Enter a physical count
  kijun.baseline.asset_ledger:
    entries:
      - {id: PC-017, action: count, counted: found, counted_on: 2026-11-20, counted_by: operator1}
  run_once: true
"""

RETURN = r"""
events:
  description: What was entered; nothing when the ledger said it already.
  returned: success
  type: list
  elements: dict
  sample: [{id: PC-017, action: count, version: 2, sequence: 17}]
assets:
  description: The assets that changed, as they are then, by id.
  returned: success
  type: dict
checkpoint:
  description: The book's number of events and the hash of the newest one.
  returned: when something was written
  type: dict
  sample: {book: assets, count: 17, head: 9f2c..., at: "2026-11-21T03:00:00Z"}
"""
