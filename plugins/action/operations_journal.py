# SPDX-License-Identifier: GPL-3.0-or-later
"""Enters into the operations journal; the documentation stands in plugins/modules/operations_journal.py."""

from __future__ import annotations

import datetime
from typing import Any

from ..plugin_utils.journal.entries import asked
from ..plugin_utils.journal.words import BOOK
from ..plugin_utils.ledger_action import CHANGE_ARGUMENTS, LedgerAction
from ..plugin_utils.ledger_entries import entries_of


class ActionModule(LedgerAction):
    """Enters a list: all of it, or nothing."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Enter it."""
        variables = task_vars or {}
        result = super().run(tmp, variables)
        arguments = self.arguments({"entries": {"type": "raw", "required": True}, **CHANGE_ARGUMENTS})
        entries = entries_of(arguments["entries"])
        committee = self.variable(variables, "operations_journal_committee", [])
        with self.ledger(arguments, variables) as ledger:
            found = ledger.find(BOOK, {str(entry.get("id")) for entry in entries if entry.get("id")})
            now = datetime.datetime.now(datetime.UTC)
            wanted = asked(entries, {state.key: state for state in found}, now, committee)
            events = ledger.append(
                BOOK, wanted.changes, self.actor(arguments, variables), dry_run=self._task.check_mode
            )
            if events and not self._task.check_mode:
                self.tell_checkpoint(ledger, BOOK, variables, result)
        if wanted.differing:
            self._display.warning(
                "the operations journal says something else of %s, and nothing of it was changed"
                % ", ".join(wanted.differing[:5])
            )
        result.update(
            changed=bool(events),
            recorded=[event.key for event in events if event.action == "record"],
            resolved=[event.key for event in events if event.action != "record"],
            known=wanted.known,
            differing=wanted.differing,
        )
        return result
