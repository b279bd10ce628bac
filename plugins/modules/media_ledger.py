#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of kijun.baseline.media_ledger, which is an action plugin."""

from __future__ import annotations

DOCUMENTATION = r"""
module: media_ledger
short_description: Enter into the ledger what becomes of recording media
version_added: "0.6.0"
description:
  - Enters a batch of changes as events of the book C(media), all of them or none. It works on the controller; no host
    is asked. Run it once, with C(run_once) or on C(localhost).
  - A change that the ledger satisfies already makes no event, so that a list can be run again. Days, and who did it
    where nobody is named, the ledger notes by itself.
  - What needs an approval (C(register), C(change), C(lend)) names C(approver), somebody else than C(requester), and
    C(ticket), the application; see docs/media.md.
options:
  entries:
    description:
      - The changes in order. Each has C(id) (the name on the medium's label) and C(action).
      - C(register) enters a medium, with C(kind) (C(usb_flash), C(usb_disk), C(memory_card), C(optical), C(tape),
        C(disk) or C(other)), C(owner), C(purpose), C(place) (where it is kept, a place that locks), C(valid_until), for
        USB media C(vendor_id), C(product_id) and C(serial), and where it holds such information C(confidential),
        C(encryption) (C(luks) or C(device)) and C(key_place) (where the key is kept, another place). One that is locked
        away instead, and never lent, has C(key_holder), who holds the key of its place.
      - C(change) changes what of that may change.
      - C(lend) gives it out, with C(lent_to), C(lent_for), C(due_on) and C(hosts) (hosts or groups that take it; none
        for any).
      - C(return) takes it back, with C(scanned) and C(emptied), which must both be true.
      - C(erase) notes a verified erasure, with C(erasure) (C(overwrite), C(device_erase), C(crypto_erase), C(degauss)
        or C(destroy)), C(erasure_record) (the record's name or hash) and C(erased_by).
      - C(miss) and C(find) say that it is missing, or was found, with C(reason).
      - C(dispose) ends it, with C(erasure), C(disposed_on), C(witness), C(certificate), C(reason) and C(disposed_by).
      - C(version), where given, is the version of the medium that was seen; the batch is refused when somebody changed
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
- name: Lend a USB stick for a day
  kijun.baseline.media_ledger:
    entries:
      - id: USB-014
        action: lend
        lent_to: operator1
        lent_for: logs of the incident of that week, for the vendor
        hosts: [pc17.example.com]
        due_on: 2026-11-30
        approver: manager1
        ticket: MED-2026-031
  run_once: true
"""

RETURN = r"""
events:
  description: What was entered; nothing when the ledger said it already.
  returned: success
  type: list
  elements: dict
  sample: [{id: USB-014, action: lend, version: 2, sequence: 17}]
media:
  description: The media that changed, as they are then, by id.
  returned: success
  type: dict
checkpoint:
  description: The book's number of events and the hash of the newest one.
  returned: when something was written
  type: dict
  sample: {book: media, count: 17, head: 9f2c..., at: "2026-11-21T03:00:00Z"}
"""
