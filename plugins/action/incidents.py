# SPDX-License-Identifier: GPL-3.0-or-later
"""Opens incidents for what hosts found; the documentation stands in plugins/modules/incidents.py."""

from __future__ import annotations

from typing import Any

from ..plugin_utils.incidents import BOOK, changes, incidents_of
from ..plugin_utils.ledger_action import CHANGE_ARGUMENTS, LedgerAction, plain

SAID = ("id", "status", "host", "summary", "found_at", "sha256", "host_action", "opened_at", "acknowledged_by")
"""Fields of an incident that the result has."""


class ActionModule(LedgerAction):
    """Enters finds, and lists what is not resolved."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Enter them."""
        variables = task_vars or {}
        result = super().run(tmp, variables)
        arguments = self.arguments(
            {
                "told": {"type": "dict", "default": {}},
                "hosts": {"type": "list", "elements": "str", "default": []},
                **CHANGE_ARGUMENTS,
            }
        )
        told = plain(arguments["told"])
        problems: list[str] = []
        found = incidents_of({host: str(text) for host, text in told.items()}, problems)
        with self.ledger(arguments, variables) as ledger:
            known = {state.key: state for state in ledger.find(BOOK, [str(fields["id"]) for fields in found])}
            events = ledger.append(
                BOOK,
                changes(found, known),
                self.actor(arguments, variables),
                dry_run=self._task.check_mode,
            )
            if events and not self._task.check_mode:
                self.tell_checkpoint(ledger, BOOK, variables, result)
            verification = ledger.verify(BOOK)
            waiting = [state.fields for state in ledger.states(BOOK) if state.fields["status"] != "resolved"]
        if not verification.ok:
            result.update(failed=True, msg=verification.complaint("the book of incidents"))
        result.update(
            changed=bool(events),
            opened=sorted({event.key for event in events}),
            unresolved=[{name: fields[name] for name in SAID} for fields in waiting],
            unread=sorted(set(arguments["hosts"]) - set(told)),
            problems=problems,
        )
        return result
