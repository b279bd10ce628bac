# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller's side of kijun.baseline.certificates: a request says what the inventory says, not what the host says."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase

TAKEN = ("names", "usages", "days")
"""What a request says, as the task's arguments have it."""

DEFAULTS: dict[str, Any] = {"usages": ["server", "client"], "days": 90}


class ActionModule(ActionBase):
    """Asks a host, and joins its keys with what it may have signed."""

    _supports_check_mode = True
    _supports_diff = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the module on one host."""
        variables = task_vars or {}
        result = super().run(tmp, variables)
        host = variables["inventory_hostname"]
        arguments = dict(self._task.args)
        for field in ("signed", "refused"):
            given = arguments.get(field) or {}
            arguments[field] = {
                name: given["%s/%s" % (host, name)]
                for name in (wish["name"] for wish in arguments.get("wanted") or [])
                if "%s/%s" % (host, name) in given
            }
        result.update(
            self._execute_module(module_name="kijun.baseline.certificates", module_args=arguments, task_vars=variables)
        )
        wanted = {wish["name"]: {**DEFAULTS, **wish} for wish in arguments.get("wanted") or []}
        if "requests" in result:
            result["requests"] = [
                {
                    "id": "%s/%s" % (host, asked["name"]),
                    "csr": asked["csr"],
                    "why": asked["why"],
                    **{field: wanted[asked["name"]][field] for field in TAKEN},
                }
                for asked in result["requests"]
                if asked.get("name") in wanted
            ]
        return result
