# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller's side of kijun.baseline.preflight; its documentation stands in plugins/modules/preflight.py."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleError

from ..plugin_utils.host_python import HostPythonAction
from ..plugin_utils.limits import Unresolved, complaints

SHIPPED = ("host_check.py", "facts/__init__.py", "facts/host.py", "facts/system.py")
"""What runs on the host, below plugins/module_utils."""


class ActionModule(HostPythonAction):
    """Holds the variables against their limits, then asks the host what it is, once in a run."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Check one host's settings and the host."""
        variables = task_vars or {}
        result = super().run(tmp, variables)
        _, arguments = self.validate_argument_spec({"roles": {"type": "list", "elements": "str", "required": True}})
        wrong = []
        for role in arguments["roles"]:
            limits = self._value(variables, "__%s_limits" % role)
            values = {name: self._value_or_why(variables, name) for name in limits}
            wrong += complaints(role, limits, values, list(variables))
        if wrong:
            raise AnsibleActionFail("; ".join(wrong))
        if "kijun_host" not in variables.get("ansible_facts", {}):
            answer = self.ask("host_check", SHIPPED, None, variables)
            if answer["complaint"]:
                raise AnsibleActionFail(answer["complaint"])
            result["ansible_facts"] = {"kijun_host": answer["host"]}
        result["changed"] = False
        return result

    def _value_or_why(self, variables: dict[str, Any], name: str) -> Any:
        try:
            return self._value(variables, name)
        except AnsibleError as error:
            return Unresolved(str(error))

    def _value(self, variables: dict[str, Any], name: str) -> Any:
        try:
            return self._templar.template(variables[name])
        except KeyError:
            raise AnsibleActionFail("there is no variable %s" % name) from None
