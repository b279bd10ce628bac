# SPDX-License-Identifier: GPL-3.0-or-later
"""Enters what people do about incidents into the ledger; documented in plugins/modules/incident_ledger.py."""

from __future__ import annotations

from ..plugin_utils.ledger_entries import EntriesAction


class ActionModule(EntriesAction):
    """Enters a batch of changes of incidents."""

    book = "incidents"
    noun = "incident"
    returned = "incidents"
