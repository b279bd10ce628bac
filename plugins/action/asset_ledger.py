# SPDX-License-Identifier: GPL-3.0-or-later
"""Enters what becomes of hardware and licences into the ledger; documented in plugins/modules/asset_ledger.py."""

from __future__ import annotations

from ..plugin_utils.ledger_entries import EntriesAction


class ActionModule(EntriesAction):
    """Enters a batch of changes of assets."""

    book = "assets"
    noun = "asset"
    returned = "assets"
