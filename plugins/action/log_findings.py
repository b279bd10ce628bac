# SPDX-License-Identifier: GPL-3.0-or-later
"""Brings findings of log servers to the ledger; the documentation stands in plugins/modules/log_findings.py."""

from __future__ import annotations

import datetime
import os
from collections.abc import Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleActionFail

from ..plugin_utils import kept_files
from ..plugin_utils.accounts.pages.document import write_page
from ..plugin_utils.book_report import made_folder
from ..plugin_utils.ledger.books import BOOKS
from ..plugin_utils.ledger.interchange.export import write_states
from ..plugin_utils.ledger_action import CHANGE_ARGUMENTS, LedgerAction, plain
from ..plugin_utils.log_findings import BOOK, blocked, changes, page, together

SAID = ("id", "rule", "severity", "title_en", "title_ja", "group", "first", "last", "count", "status")
"""Fields of a finding that the result has."""


class ActionModule(LedgerAction):
    """Enters findings, and writes the report."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Enter them, and report."""
        variables = task_vars or {}
        result = super().run(tmp, variables)
        arguments = self.arguments(
            {
                "found": {"type": "dict", "required": True},
                "first": {"type": "str", "required": True},
                "last": {"type": "str", "required": True},
                "block_seconds": {"type": "int", "default": 3600},
                "directory": {"type": "path"},
                "language": {"type": "str", "choices": ["en", "ja"], "default": "ja"},
                **CHANGE_ARGUMENTS,
            }
        )
        for name in ("first", "last"):
            _check_day(name, arguments[name])
        found = plain(arguments["found"])
        entries = together({server: about.get("findings", []) for server, about in found.items()})
        with self.ledger(arguments, variables) as ledger:
            known = {state.key: state.fields for state in ledger.find(BOOK, [entry["id"] for entry in entries])}
            events = ledger.append(
                BOOK,
                changes(entries, known),
                self.actor(arguments, variables),
                dry_run=self._task.check_mode,
            )
            if events and not self._task.check_mode:
                self.tell_checkpoint(ledger, BOOK, variables, result)
            verification = ledger.verify(BOOK)
            states = [
                state
                for state in ledger.states(BOOK)
                if arguments["first"] <= state.fields["day"] <= arguments["last"] or state.fields["status"] == "open"
            ]
        files = []
        if arguments["directory"] and not self._task.check_mode:
            reviews = {
                server: [r for r in about.get("reviews", []) if arguments["first"] <= r["day"] <= arguments["last"]]
                for server, about in found.items()
            }
            files = _written(
                arguments, states, page(states, reviews, verification, arguments["first"], arguments["last"])
            )
        if not verification.ok:
            result.update(failed=True, msg=verification.complaint("the book of findings"))
        result.update(
            changed=bool(events),
            recorded=sorted({event.key for event in events}),
            open=[{name: s.fields[name] for name in SAID} for s in states if s.fields["status"] == "open"],
            blocked=blocked(entries, datetime.datetime.now(datetime.UTC), arguments["block_seconds"]),
            files=files,
        )
        return result


def _check_day(name: str, value: str) -> None:
    try:
        datetime.date.fromisoformat(value)
    except ValueError:
        raise AnsibleActionFail("%s is %r; it must be a day such as 2026-11-22" % (name, value)) from None


def _written(arguments: Mapping[str, Any], states: Sequence[Any], content: str) -> list[str]:
    """Write the report and the lists, readable by nobody else."""
    folder = made_folder(arguments["directory"])
    files = [os.path.join(folder, "log_findings." + form) for form in ("html", "csv", "xlsx")]
    write_page(files[0], content)
    for path, form in zip(files[1:], ("csv", "xlsx"), strict=True):
        write_states(path, BOOKS[BOOK], list(states), form, arguments["language"])
    kept_files.note(files)
    return files
