# SPDX-License-Identifier: GPL-3.0-or-later
"""Holds machines against the book of assets; the documentation stands in plugins/modules/assets_reconcile.py."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleActionFail

from ..plugin_utils import kept_files
from ..plugin_utils.accounts.pages.document import write_page
from ..plugin_utils.assets import Options, compare, page, table
from ..plugin_utils.book_report import made_folder
from ..plugin_utils.ledger.book import Change
from ..plugin_utils.ledger.books import BOOKS
from ..plugin_utils.ledger.interchange.export import write_states
from ..plugin_utils.ledger_action import CHANGE_ARGUMENTS, LedgerAction

BOOK = "assets"


class ActionModule(LedgerAction):
    """Compares, notes hardware that was seen for the first time, and writes the page and the lists."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Reconcile."""
        variables = task_vars or {}
        result = super().run(tmp, variables)
        arguments = self.arguments(
            {
                "results": {"type": "str", "required": True},
                "approved_software": {"type": "list", "elements": "str"},
                "approved_programs": {"type": "list", "elements": "str"},
                "count_days": {"type": "int", "default": 365},
                "portable_count_days": {"type": "int", "default": 90},
                "directory": {"type": "path"},
                "language": {"type": "str", "choices": ["en", "ja"], "default": "ja"},
                **CHANGE_ARGUMENTS,
            }
        )
        self.check_settings(variables, "assets")
        options = _options(arguments)
        machines = _seen(arguments["results"], variables)
        day, files = self.today(), []
        with self.ledger(arguments, variables) as ledger:
            verification = ledger.verify(BOOK)
            states = ledger.states(BOOK)
            found = compare((state.fields for state in states), machines, day, options)
            version = {state.key: state.version for state in states}
            changes = [
                Change(name, "observe", {"hardware": hardware}, version=version[name])
                for name, hardware in sorted(found.first_seen.items())
            ]
            events = ledger.append(
                BOOK, changes, self.actor(arguments, variables), dry_run=self._task.check_mode or not verification.ok
            )
            if events and verification.ok and not self._task.check_mode:
                self.tell_checkpoint(ledger, BOOK, variables, result)
            if arguments["directory"] and not self._task.check_mode:
                folder = made_folder(arguments["directory"])
                files = [os.path.join(folder, name) for name in ("assets.html", "findings.csv", "count.csv")]
                write_page(files[0], page(found, verification, day))
                write_page(files[1], table(found, arguments["language"]))
                write_states(files[2], BOOKS[BOOK], states, "csv", arguments["language"])
                kept_files.note(files)
        if not verification.ok:
            result.update(failed=True, msg=verification.complaint("the book of assets"))
        result.update(
            changed=bool(events),
            findings=[one._asdict() for one in found.findings],
            numbers=found.numbers(),
            machines=found.machines,
            first_seen=sorted(found.first_seen),
            files=files,
        )
        return result


def _options(arguments: Mapping[str, Any]) -> Options:
    """What the organisation decides.

    Raises:
        AnsibleActionFail: a number of days is not what it may be; what is carried around is counted no later.
    """
    most = arguments["count_days"]
    if not 1 <= most <= 1830:
        raise AnsibleActionFail("count_days is %d; it must be from 1 to 1830 (clause SM-5-2a)" % most)
    if not 1 <= arguments["portable_count_days"] < most:
        raise AnsibleActionFail(
            "portable_count_days is %d; it must be from 1 to less than count_days, %d: what is carried around is"
            " counted more often (clause SM-5-2b)" % (arguments["portable_count_days"], most)
        )
    return Options(
        arguments["approved_software"], arguments["approved_programs"], most, arguments["portable_count_days"]
    )


def _seen(register: str, variables: Mapping[str, Any]) -> dict[str, Any]:
    """What each host of the play told; None of one that did not answer."""
    seen = {}
    for host in variables["ansible_play_hosts_all"]:
        told = variables["hostvars"][host].get(register) or {}
        seen[host] = None if told.get("failed") or told.get("unreachable") else told.get("state")
    return seen
