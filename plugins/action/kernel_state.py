# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller's side of kijun.baseline.kernel_state: network settings can lock out, so they change under the guard."""

from __future__ import annotations

from typing import Any

from ..plugin_utils.guarded import GuardedAction
from ..plugin_utils.run_id import run_id


class ActionModule(GuardedAction):
    """Runs the module; see its documentation."""

    _requires_connection = True
    _supports_diff = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Bring one host's kernel to its settings."""
        variables = task_vars or {}
        result = super().run(tmp, variables)
        seconds = self.guard_seconds(variables)
        arguments = {**self._task.args, "guard": {"run": run_id(), "seconds": seconds}}
        result.update(
            self.guarded(
                variables,
                lambda: self._execute_module(
                    module_name="kijun.baseline.kernel_state", module_args=arguments, task_vars=variables
                ),
                seconds,
            )
        )
        return result
