# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller's side of kijun.baseline.guard; its documentation stands in plugins/modules/guard.py."""

from __future__ import annotations

from typing import Any

from ..plugin_utils.guarded import GuardedAction, pending


class ActionModule(GuardedAction):
    """Logs in afresh, and lets the host's guard go of what was changed; or waits until it has taken that back."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Prove one host's access."""
        variables = task_vars or {}
        result = super().run(tmp, variables)
        self.validate_argument_spec({})
        hangs = pending(variables)
        result.update(changed=False, confirmed=False, taken_back=[])
        if hangs is not None and not self._task.check_mode:
            result.update(self.prove(variables, hangs["until"]))
        return result
