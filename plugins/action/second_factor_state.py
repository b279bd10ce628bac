# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller's side of kijun.baseline.second_factor_state; see plugins/modules/second_factor_state.py."""

from __future__ import annotations

from typing import Any

from ..plugin_utils.host_python import HostPythonAction

FACTS = ("__init__", "files", "host", "sshd", "sshd_match")
SHIPPED = ("second_factor_state.py", "verdict.py", *("facts/%s.py" % name for name in FACTS))
"""What runs on the host, below plugins/module_utils."""


class ActionModule(HostPythonAction):
    """Looks who has a second factor on one host."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Look."""
        variables = task_vars or {}
        result = super().run(tmp, variables)
        _, arguments = self.validate_argument_spec({"logins": {"type": "list", "elements": "str", "required": True}})
        seen = self.ask("second_factor_state", SHIPPED, arguments["logins"], variables)
        result.update(changed=False, **seen)
        return result
