# SPDX-License-Identifier: GPL-3.0-or-later
"""Verifies a ledger; the documentation stands in plugins/modules/ledger_verify.py."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleActionFail

from ..plugin_utils.ledger.checkpoints import read_checkpoints
from ..plugin_utils.ledger.errors import LedgerError
from ..plugin_utils.ledger_action import URL_ARGUMENT, LedgerAction

SHOWN = 20
"""How many differences the error names; the result has all."""


class ActionModule(LedgerAction):
    """Holds books against themselves and against checkpoints."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Verify them."""
        variables = task_vars or {}
        result = super().run(tmp, variables)
        arguments = self.arguments(
            {
                "books": {"type": "list", "elements": "str"},
                "checkpoints": {"type": "path"},
                "compare": {"type": "bool", "default": True},
                "tell": {"type": "bool", "default": False},
                **URL_ARGUMENT,
            }
        )
        try:
            known = read_checkpoints(arguments["checkpoints"]) if arguments["checkpoints"] else []
        except LedgerError as error:
            raise AnsibleActionFail(str(error)) from None
        books, wrong = {}, []
        with self.ledger(arguments, variables) as ledger:
            for book in arguments["books"] or sorted(ledger.books):
                found = ledger.verify(book, known)
                differences = ledger.compare(book) if found.ok and arguments["compare"] else []
                books[book] = {
                    "ok": found.ok and not differences,
                    "count": found.count,
                    "head": found.head,
                    "broken_at": found.broken_at,
                    "reason": found.reason,
                    "differences": differences,
                }
                if not found.ok:
                    wrong.append("%s: event %s: %s" % (book, found.broken_at, found.reason))
                wrong += ["%s: %s" % (book, difference) for difference in differences]
                if not wrong and arguments["tell"] and not self._task.check_mode:
                    self.tell_checkpoint(ledger, book, variables, result)
        result.update(changed=False, books=books)
        if wrong:
            more = ["and %d more" % (len(wrong) - SHOWN)] if len(wrong) > SHOWN else []
            result.update(failed=True, msg="the ledger does not hold: %s" % "; ".join(wrong[:SHOWN] + more))
        return result
