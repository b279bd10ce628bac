# SPDX-License-Identifier: GPL-3.0-or-later
"""Review of accounts by managers; the documentation stands in plugins/modules/accounts_review.py."""

from __future__ import annotations

import datetime
import os
from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleActionFail

from ..plugin_utils import kept_files
from ..plugin_utils.accounts import review
from ..plugin_utils.ledger.book import Change
from ..plugin_utils.ledger.engine import Ledger
from ..plugin_utils.ledger.errors import LedgerError, Problem, Refused
from ..plugin_utils.ledger.event import timestamp
from ..plugin_utils.ledger_action import CHANGE_ARGUMENTS, LedgerAction

BOOK = "accounts"


class ActionModule(LedgerAction):
    """Writes sheets, reads signed ones back, and lists what is overdue."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Do what the arguments ask for."""
        variables = task_vars or {}
        result = super().run(tmp, variables)
        arguments = self.arguments(
            {
                "directory": {"type": "path"},
                "read": {"type": "list", "elements": "path", "default": []},
                "language": {"type": "str", "choices": ["en", "ja"], "default": "ja"},
                "last_logins": {"type": "dict", "default": {}},
                **CHANGE_ARGUMENTS,
            }
        )
        today = self.today()
        departments = self.variable(variables, "accounts_departments", {})
        rules = self.variable(variables, "accounts_sudo_rules", {})
        with self.ledger(arguments, variables) as ledger:
            read = _read(ledger, arguments["read"], today, departments, rules)
            changes = [change for sheet in read for change in sheet.changes]
            events = ledger.append(BOOK, changes, self.actor(arguments, variables), dry_run=self._task.check_mode)
            if events and not self._task.check_mode:
                self.tell_checkpoint(ledger, BOOK, variables, result)
            sheets = []
            if arguments["directory"] and not self._task.check_mode:
                sheets = _write(ledger, arguments, today, departments, rules)
            states = ledger.states(BOOK)
            overdue = review.overdue_in(ledger, states, today)
        result.update(
            changed=bool(events),
            sheets=sheets,
            reviewed=sorted({event.key for event in events if event.action == "review"}),
            disabled=sorted({event.key for event in events if event.action == "disable"}),
            to_change={login: wish for sheet in read for login, wish in sheet.to_change.items()},
            overdue=[entry._asdict() for entry in overdue],
        )
        return result


def _read(
    ledger: Ledger,
    paths: list[str],
    today: datetime.date,
    departments: Mapping[str, Any],
    rules: Mapping[str, str],
) -> list[review.Reviewed]:
    """Read all sheets before anything of any of them is entered."""

    def head_at(count: int) -> str | None:
        found = ledger.events(BOOK, limit=1, offset=count - 1) if count else []
        return found[0].hash.hex() if found else None

    states = ledger.states(BOOK)
    sheets, problems = [], []
    for path in paths:
        sheet = review.read_sheet(path, states, today, departments, rules, head_at)
        sheets.append(sheet)
        problems += [
            problem._replace(key="%s: %s" % (os.path.basename(path), problem.key)) for problem in sheet.problems
        ]
    seen: dict[str, Change] = {}
    for change in (change for sheet in sheets for change in sheet.changes if change.action == "review"):
        if change.key in seen:
            problems.append(Problem(change.row, change.key, "login", change.key, "stands in more than one sheet"))
        seen[change.key] = change
    if problems:
        raise Refused(problems)
    return sheets


def _write(
    ledger: Ledger,
    arguments: Mapping[str, Any],
    today: datetime.date,
    departments: Mapping[str, Any],
    rules: Mapping[str, str],
) -> list[str]:
    try:
        os.makedirs(arguments["directory"], mode=0o700, exist_ok=True)
    except OSError as error:
        raise AnsibleActionFail("%s: %s" % (arguments["directory"], error.strerror)) from None
    paths = review.write_sheets(
        ledger.states(BOOK),
        arguments["directory"],
        today,
        departments,
        arguments["language"],
        rules,
        ledger.checkpoint(BOOK),
        {login: timestamp(_moment(seconds))[:10] for login, seconds in arguments["last_logins"].items()},
    )
    kept_files.note(paths)
    return [str(path) for path in paths]


def _moment(seconds: Any) -> datetime.datetime:
    try:
        return datetime.datetime.fromtimestamp(int(seconds), datetime.UTC)
    except (ValueError, OverflowError, TypeError):
        raise LedgerError("last_logins: %r is no time in seconds" % (seconds,)) from None
