# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller's side of kijun.baseline.nftables: rules can lock out, so they are loaded under the guard."""

from __future__ import annotations

from typing import Any

from ..plugin_utils.guarded import GuardedAction
from ..plugin_utils.run_id import run_id


class ActionModule(GuardedAction):
    """Runs the module; see its documentation."""

    _requires_connection = True
    _supports_diff = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Bring one host's packet filter to what its file says."""
        variables = task_vars or {}
        result = super().run(tmp, variables)
        seconds = self.guard_seconds(variables)
        arguments = {**self._task.args, "guard": {"run": run_id(), "seconds": seconds}}
        result.update(
            self.guarded(
                variables,
                lambda: self._execute_module(
                    module_name="kijun.baseline.nftables", module_args=arguments, task_vars=variables
                ),
                seconds,
            )
        )
        return result
