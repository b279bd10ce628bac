# SPDX-License-Identifier: GPL-3.0-or-later
"""Enters what becomes of recording media into the ledger; documented in plugins/modules/media_ledger.py."""

from __future__ import annotations

from ..plugin_utils.ledger_entries import EntriesAction


class ActionModule(EntriesAction):
    """Enters a batch of changes of media."""

    book = "media"
    noun = "medium"
    returned = "media"
