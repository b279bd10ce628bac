# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller's side of kijun.baseline.units: a unit that does not come up takes unconfirmed changes back."""

from __future__ import annotations

from typing import Any

from ..plugin_utils.guarded import GuardedAction


class ActionModule(GuardedAction):
    """Runs the module; see its documentation."""

    _requires_connection = True
    _supports_diff = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Bring one host's units into their state."""
        variables = task_vars or {}
        result = super().run(tmp, variables)
        result.update(
            self.guarded(
                variables,
                lambda: self._execute_module(
                    module_name="kijun.baseline.units", module_args=dict(self._task.args), task_vars=variables
                ),
            )
        )
        return result
