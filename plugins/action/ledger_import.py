# SPDX-License-Identifier: GPL-3.0-or-later
"""Enters a file into a book of the ledger; the documentation stands in plugins/modules/ledger_import.py."""

from __future__ import annotations

import os
from typing import Any

import yaml

from ..plugin_utils.ledger.errors import Refused
from ..plugin_utils.ledger.interchange.importing import import_file
from ..plugin_utils.ledger_action import CHANGE_ARGUMENTS, LedgerAction

FORMATS = ("csv", "xlsx", "yaml", "json")


class ActionModule(LedgerAction):
    """Enters every row of the file, or none."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Import."""
        variables = task_vars or {}
        result = super().run(tmp, variables)
        arguments = self.arguments(
            {
                "path": {"type": "path", "required": True},
                "book": {"type": "str", "default": "accounts"},
                "format": {"type": "str", "choices": list(FORMATS)},
                "action": {"type": "str", "default": ""},
                "approver": {"type": "str", "default": ""},
                "ticket": {"type": "str", "default": ""},
                **CHANGE_ARGUMENTS,
            }
        )
        with self.ledger(arguments, variables) as ledger:
            try:
                found = import_file(
                    ledger,
                    arguments["book"],
                    os.path.abspath(arguments["path"]),
                    self.actor(arguments, variables),
                    form=arguments["format"],
                    action=arguments["action"],
                    approver=arguments["approver"],
                    ticket=arguments["ticket"],
                    context=self.context(variables, arguments["book"]),
                    dry_run=self._task.check_mode,
                )
            except Refused as refused:
                problems = [problem._asdict() for problem in refused.problems]
                result.update(failed=True, changed=False, problems=problems, msg=str(refused))
                return result
            if found.events and not self._task.check_mode:
                self.tell_checkpoint(ledger, arguments["book"], variables, result)
        after: dict[str, dict[str, Any]] = {}
        for event in found.events:
            after.setdefault(event.key, {}).update(event.payload)
        result.update(
            changed=bool(found.events),
            rows=found.rows,
            encoding=found.encoding,
            added=[key for key in sorted(after) if key not in found.before],
            updated=[key for key in sorted(after) if key in found.before],
        )
        if self._task.diff:
            known = {key: state.fields for key, state in found.before.items()}
            result["diff"] = [_diff(key, known.get(key, {}), after[key]) for key in sorted(after)]
        return result


def _diff(key: str, before: dict[str, Any], after: dict[str, Any]) -> dict[str, str]:
    return {
        "before_header": key,
        "after_header": key,
        "before": _text({name: before[name] for name in after if name in before}),
        "after": _text(after),
    }


def _text(fields: dict[str, Any]) -> str:
    return yaml.safe_dump(fields, allow_unicode=True, sort_keys=False) if fields else ""
