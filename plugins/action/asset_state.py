# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller's side of kijun.baseline.asset_state; see plugins/modules/asset_state.py."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleActionFail

from ..plugin_utils.host_python import HostPythonAction

SHIPPED = ("asset_state.py", "verdict.py", *("facts/%s.py" % name for name in ("__init__", "host", "packages")))
"""What runs on the host, below plugins/module_utils."""


class ActionModule(HostPythonAction):
    """Looks what one machine is made of, and what is on it."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Look."""
        variables = task_vars or {}
        result = super().run(tmp, variables)
        _, arguments = self.validate_argument_spec(
            {
                "trees": {"type": "list", "elements": "str", "default": []},
                "seconds": {"type": "float", "default": 20.0},
            }
        )
        for tree in arguments["trees"]:
            if not tree.startswith("/") or ".." in tree.split("/"):
                raise AnsibleActionFail("trees has %r; it must be an absolute path (clause SM-4.2.3-1)" % tree)
        if not 0 < arguments["seconds"] <= 600:
            raise AnsibleActionFail("seconds is %s; it must be above 0, and 600 at most" % arguments["seconds"])
        result.update(changed=False, state=self.ask("asset_state", SHIPPED, arguments, variables))
        return result
