# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller's side of kijun.baseline.password_ageing: an age can lock out, so it is set under the guard."""

from __future__ import annotations

from typing import Any

from ..plugin_utils.guarded import GuardedAction
from ..plugin_utils.run_id import run_id


class ActionModule(GuardedAction):
    """Runs the module; see its documentation."""

    _requires_connection = True
    _supports_diff = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Set the ages of one host's passwords."""
        variables = task_vars or {}
        result = super().run(tmp, variables)
        arguments = dict(self._task.args)
        seconds = 0
        if arguments.get("guard") is not None:
            seconds = self.guard_seconds(variables)
            arguments["guard"] = {"run": run_id(), "seconds": seconds}
        result.update(
            self.guarded(
                variables,
                lambda: self._execute_module(
                    module_name="kijun.baseline.password_ageing", module_args=arguments, task_vars=variables
                ),
                seconds,
            )
        )
        return result
