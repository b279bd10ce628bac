# SPDX-License-Identifier: GPL-3.0-or-later
"""What the journal's book, the callback and the actions must agree on. Imports nothing: every run pays for it."""

from __future__ import annotations

BOOK = "operations"
TRAILS = "work_trails"

KINDS = (
    "run",
    "change",
    "rollback",
    "backup",
    "check",
    "restore_test",
    "restore",
    "prune",
    "copy",
    "log_storage",
    "malware_state",
    "malware_scan",
    "login",
    "logout",
    "privilege",
    "error",
    "correction",
    "inspection",
    "note",
)
"""What an entry may tell of."""

RELEASES = ("change", "rollback")
"""Kinds that are releases by themselves; a run is one when it changed production."""

TIME = r"[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]Z"
"""A time as the journal has it."""

LONGEST_DETAILS = 65_536
"""Characters of an entry's details, as JSON."""

LARGEST_IN_LEDGER = 1 << 20
"""Bytes of a compressed work trail that the ledger takes."""

LEAST_YEARS = 5
"""Years that the journal is kept at least (clause SM-4.11-2)."""
