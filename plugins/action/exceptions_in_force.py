# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the exceptions for all hosts at once; documentation stands in plugins/modules/exceptions_in_force.py."""

from __future__ import annotations

import datetime
from typing import Any

from ..plugin_utils.exceptions import FACT, SOON, days_left
from ..plugin_utils.exceptions_action import ExceptionsAction


class ActionModule(ExceptionsAction):
    """Reads the book, on the controller."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True
    _supports_diff = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Read it."""
        variables = task_vars or {}
        result = super().run(tmp, variables)
        _, arguments = self.validate_argument_spec({"url": {"type": "str", "no_log": True}})
        found = self.read_exceptions(variables, arguments["url"])
        left = {entry["id"]: days_left(entry, datetime.date.fromisoformat(found["day"])) for entry in found["entries"]}
        result.update(
            changed=False,
            ansible_facts={FACT: found},
            in_force=sorted(name for name, days in left.items() if days >= 0),
            expiring=sorted(name for name, days in left.items() if 0 <= days <= SOON),
            expired=sorted(name for name, days in left.items() if days < 0),
        )
        return result
