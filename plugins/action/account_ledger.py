# SPDX-License-Identifier: GPL-3.0-or-later
"""Enters changes of accounts into the ledger; the documentation stands in plugins/modules/account_ledger.py."""

from __future__ import annotations

from ..plugin_utils.ledger_entries import EntriesAction


class ActionModule(EntriesAction):
    """Enters a batch of changes of accounts."""

    book = "accounts"
    noun = "account"
    returned = "accounts"
