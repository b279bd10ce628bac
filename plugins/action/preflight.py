# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller's side of kijun.baseline.preflight; its documentation stands in plugins/modules/preflight.py."""

from __future__ import annotations

import datetime
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleError

from ..plugin_utils.controls import ControlError, lists_in_sight, never_excused
from ..plugin_utils.exceptions import FACT, excused, of_host
from ..plugin_utils.exceptions_action import ExceptionsAction
from ..plugin_utils.guarded import told
from ..plugin_utils.host_python import HostPythonAction
from ..plugin_utils.limits import NoLimits, Unresolved, complaints, role_limits, shut_out
from ..plugin_utils.run_id import run_id

SHIPPED = ("host_check.py", "facts/__init__.py", "facts/environment.py", "facts/host.py", "facts/system.py")
"""What runs on the host, below plugins/module_utils."""


class ActionModule(HostPythonAction, ExceptionsAction):
    """Holds the variables against their limits, then asks the host what it is, and the book what it is excused from,
    once in a run.
    """

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Check one host's settings and the host."""
        variables = task_vars or {}
        result = super().run(tmp, variables)
        _, arguments = self.validate_argument_spec(
            {
                "roles": {"type": "list", "elements": "str", "required": True},
                "host": {"type": "bool", "default": True},
            }
        )
        wrong, settings = [], []
        for role in arguments["roles"]:
            limits = self._limits(role)
            values = {name: self._value_or_why(variables, name) for name in limits}
            wrong += complaints(role, limits, values, list(variables))
            settings.append((limits, values))
        if wrong:
            raise AnsibleActionFail("; ".join(wrong))
        if not arguments["host"]:
            return {**result, "changed": False}
        known = variables.get("ansible_facts", {}).get("kijun_host", {})
        # A cache of facts may hold an earlier run's: then the host was another, perhaps, and excused from other things.
        is_known = known.get("run") == run_id()
        if not is_known:
            answer = self.ask("host_check", SHIPPED, {"run": run_id(), "check": self._task.check_mode}, variables)
            if answer["complaint"]:
                raise AnsibleActionFail(answer["complaint"])
            if answer["taken_back"]:
                result["warnings"] = ["%s: %s" % (variables["inventory_hostname"], told(answer["taken_back"]))]
            known = {**answer["host"], "run": run_id(), "excused": []}
        wrong = [text for limits, values in settings for text in shut_out(limits, values, known.get("controller"))]
        if wrong:
            raise AnsibleActionFail("; ".join(wrong))
        exceptions = self.exceptions_in_force(variables)
        names = self._excused(exceptions, variables, known["excused"])
        if not is_known or names != known["excused"]:
            result["ansible_facts"] = {"kijun_host": {**known, "excused": names}, FACT: exceptions}
        result["changed"] = False
        return result

    def _excused(self, found: dict[str, Any], variables: dict[str, Any], before: list[str]) -> list[str]:
        """The controls that this host is excused from; said when they are others than those told of before."""
        host, day = variables["inventory_hostname"], datetime.date.fromisoformat(found["day"])
        own = of_host(found["entries"], host, variables.get("group_names", []))
        if not own:
            return []
        try:
            never = never_excused(lists_in_sight([variables], self._templar.template))
        except ControlError as error:
            raise AnsibleActionFail(str(error)) from None
        names = excused(own, day, never)
        if names and names != before:
            texts = ("%s until %s (%s)" % (name, own[name]["until"], own[name]["id"]) for name in names)
            self._display.display("%s is excused from %s" % (host, ", ".join(texts)))
        return names

    def _value_or_why(self, variables: dict[str, Any], name: str) -> Any:
        try:
            return self._templar.template(variables[name])
        except KeyError:
            return Unresolved("there is no variable %s" % name)
        except AnsibleError as error:
            return Unresolved(str(error))

    def _limits(self, role: str) -> dict[str, Any]:
        try:
            limits: dict[str, Any] = self._templar.template(role_limits(role))
        except NoLimits as error:
            raise AnsibleActionFail(str(error)) from None
        return limits
