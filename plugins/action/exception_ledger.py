# SPDX-License-Identifier: GPL-3.0-or-later
"""Enters exceptions into the ledger; the documentation stands in plugins/modules/exception_ledger.py."""

from __future__ import annotations

from ..plugin_utils.ledger_entries import EntriesAction


class ActionModule(EntriesAction):
    """Enters a batch of changes of exceptions."""

    book = "exceptions"
    noun = "exception"
    returned = "exceptions"
