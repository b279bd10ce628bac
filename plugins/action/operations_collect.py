# SPDX-License-Identifier: GPL-3.0-or-later
"""Brings what hosts tell to the operations journal; the documentation stands in plugins/modules/operations_collect.py."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import Any

from ..plugin_utils.journal.collected import entries_of, own, spare
from ..plugin_utils.journal.entries import asked
from ..plugin_utils.journal.words import BOOK
from ..plugin_utils.ledger_action import CHANGE_ARGUMENTS, LedgerAction


class ActionModule(LedgerAction):
    """Enters what is new."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Enter it."""
        variables = task_vars or {}
        result = super().run(tmp, variables)
        arguments = self.arguments(
            {
                "read": {"type": "dict", "required": True},
                "hosts": {"type": "list", "elements": "str", "default": []},
                **CHANGE_ARGUMENTS,
            }
        )
        now = datetime.datetime.now(datetime.UTC)
        problems: list[str] = []
        entries = entries_of(_plain(arguments["read"]), now, problems)
        with self.ledger(arguments, variables) as ledger:
            ids = {str(entry["id"]) for entry in entries} | {spare(entry) for entry in entries}
            known = {state.key: state for state in ledger.find(BOOK, ids)}
            wanted = asked(own(entries, known), {}, now)
            events = ledger.append(
                BOOK, wanted.changes, self.actor(arguments, variables), dry_run=self._task.check_mode
            )
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


def _plain(value: Any) -> Any:
    """What Ansible hands over, as plain types."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, str):
        return str(value)
    return [_plain(item) for item in value] if isinstance(value, Sequence) else value
