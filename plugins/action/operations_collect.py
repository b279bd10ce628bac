# SPDX-License-Identifier: GPL-3.0-or-later
"""Brings what hosts tell to the journal; the documentation stands in plugins/modules/operations_collect.py."""

from __future__ import annotations

import datetime
from typing import Any

from ..plugin_utils.journal.collected import entries_of, own, spare
from ..plugin_utils.journal.entries import asked
from ..plugin_utils.journal.words import BOOK
from ..plugin_utils.ledger.engine import Ledger
from ..plugin_utils.ledger.errors import Refused
from ..plugin_utils.ledger.event import Event
from ..plugin_utils.ledger_action import CHANGE_ARGUMENTS, LedgerAction, plain


class ActionModule(LedgerAction):
    """Enters what is new."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Enter it."""
        variables = task_vars or {}
        result = super().run(tmp, variables)
        self.check_settings(variables, "operations_journal")
        arguments = self.arguments(
            {
                "read": {"type": "dict", "required": True},
                "hosts": {"type": "list", "elements": "str", "default": []},
                **CHANGE_ARGUMENTS,
            }
        )
        now = datetime.datetime.now(datetime.UTC)
        problems: list[str] = []
        entries = entries_of(plain(arguments["read"]), now, problems)
        with self.ledger(arguments, variables) as ledger:
            events = self._entered(ledger, unknown(ledger, entries), self.actor(arguments, variables), problems)
            if events and not self._task.check_mode:
                self.tell_checkpoint(ledger, BOOK, variables, result)
        counts: dict[str, int] = {}
        for event in events:
            kind = event.payload["kind"]
            counts[kind] = counts.get(kind, 0) + 1
        result.update(
            changed=bool(events),
            recorded=counts,
            known=len(entries) - len(events),
            unread=sorted(set(arguments["hosts"]) - set(arguments["read"])),
            problems=problems,
        )
        return result

    def _entered(self, ledger: Ledger, entries: list[dict[str, Any]], actor: str, problems: list[str]) -> list[Event]:
        """Enter what can be: what one host tells wrongly keeps nothing of the others out."""
        now = datetime.datetime.now(datetime.UTC)
        while True:
            try:
                changes = asked(entries, {}, now, collected=True).changes
                return ledger.append(BOOK, changes, actor, dry_run=self._task.check_mode)
            except Refused as refused:
                # Another run may have entered the same meanwhile.
                left = unknown(ledger, entries)
                if len(left) == len(entries):
                    left = _without(entries, refused, problems)
                if len(left) == len(entries):
                    raise
                entries = left


def unknown(ledger: Ledger, entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The entries that the journal does not have.

    Args:
        ledger: the ledger.
        entries: what hosts told.
    """
    ids = {str(entry["id"]) for entry in entries} | {spare(entry) for entry in entries}
    return own(entries, {state.key: state for state in ledger.find(BOOK, ids)})


def _without(entries: list[dict[str, Any]], refused: Refused, problems: list[str]) -> list[dict[str, Any]]:
    """The entries that were not refused."""
    wrong = {problem.key for problem in refused.problems}
    problems += ["not taken: %s" % (problem,) for problem in refused.problems]
    return [entry for entry in entries if str(entry["id"]) not in wrong]
