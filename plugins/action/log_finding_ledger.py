# SPDX-License-Identifier: GPL-3.0-or-later
"""Enters what people say of findings into the ledger; documented in plugins/modules/log_finding_ledger.py."""

from __future__ import annotations

from ..plugin_utils.ledger_entries import EntriesAction


class ActionModule(EntriesAction):
    """Enters a batch of changes of findings."""

    book = "log_findings"
    noun = "finding"
    returned = "findings"
