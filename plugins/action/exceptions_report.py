# SPDX-License-Identifier: GPL-3.0-or-later
"""Reports on the book of exceptions; the documentation stands in plugins/modules/exceptions_report.py."""

from __future__ import annotations

import os
from typing import Any

from ansible.errors import AnsibleActionFail

from ..plugin_utils.accounts.pages.document import write_page
from ..plugin_utils.exceptions_report import page, sort_out
from ..plugin_utils.ledger.books import BOOKS
from ..plugin_utils.ledger.interchange.export import write_states
from ..plugin_utils.ledger_action import URL_ARGUMENT, LedgerAction

BOOK = "exceptions"
SAID = ("id", "control", "hosts", "valid_until", "review_on", "approver", "reason")
"""Fields of an entry that the result has."""


class ActionModule(LedgerAction):
    """Reads the book, and writes the pages and lists."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Report."""
        variables = task_vars or {}
        result = super().run(tmp, variables)
        arguments = self.arguments(
            {
                "directory": {"type": "path"},
                "language": {"type": "str", "choices": ["en", "ja"], "default": "ja"},
                **URL_ARGUMENT,
            }
        )
        today, files = self.today(), []
        with self.ledger(arguments, variables) as ledger:
            verification = ledger.verify(BOOK)
            states = ledger.states(BOOK)
            lists = sort_out(states, today)
            if arguments["directory"] and not self._task.check_mode:
                folder = _made(arguments["directory"])
                files = [os.path.join(folder, "exceptions." + form) for form in ("html", "csv", "xlsx")]
                write_page(files[0], page(lists, verification, today))
                for path, form in zip(files[1:], ("csv", "xlsx"), strict=True):
                    write_states(path, BOOKS[BOOK], states, form, arguments["language"])
        if not verification.ok:
            reason = "the book of exceptions was altered: event %s: %s" % (verification.broken_at, verification.reason)
            result.update(failed=True, msg=reason)
        said = {name: [{key: entry[key] for key in SAID} for entry in entries] for name, entries in lists.items()}
        result.update(changed=False, files=files, **said)
        return result


def _made(directory: str) -> str:
    path = os.path.abspath(directory)
    try:
        os.makedirs(path, mode=0o700, exist_ok=True)
    except OSError as error:
        raise AnsibleActionFail("%s: %s" % (path, error.strerror)) from None
    return path
