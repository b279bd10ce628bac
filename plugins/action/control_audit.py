# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller's side of kijun.baseline.control_audit; its documentation stands in plugins/modules/control_audit.py."""

from __future__ import annotations

import datetime
from typing import Any

from ansible.errors import AnsibleActionFail

from ..plugin_utils.controls import (
    ControlError,
    check_controls,
    check_exceptions,
    choose,
    evidence,
    reason_not_applicable,
)
from ..plugin_utils.host_python import HostPythonAction
from .accounts_state import READERS

SHIPPED = ("auditor.py", "verdict.py", "facts/*.py", *("host_accounts/%s.py" % name for name in READERS))
"""What runs on the host, below plugins/module_utils."""

SENT: tuple[str, ...] = ("id", "expect", "deviation", "sensitive")
"""Fields of a control that the host's part needs."""

FAILING = ("fail", "error")


class ActionModule(HostPythonAction):
    """Asks the host once, and joins the answer with the controls."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Audit one host."""
        variables = task_vars or {}
        result = super().run(tmp, variables)
        _, arguments = self.validate_argument_spec(
            {
                "controls": {"type": "list", "elements": "dict", "required": True},
                "exceptions": {"type": "list", "elements": "dict", "default": []},
                "strict": {"type": "bool", "default": False},
            }
        )
        host, groups = variables["inventory_hostname"], list(variables.get("group_names", []))
        try:
            check_controls(arguments["controls"])
            exceptions = check_exceptions(arguments["exceptions"], arguments["controls"])
            controls = choose(arguments["controls"], variables.get("ansible_run_tags", []))
        except ControlError as error:
            raise AnsibleActionFail(str(error)) from None

        asked = [
            {key: control[key] for key in SENT if key in control}
            for control in controls
            if reason_not_applicable(control, groups) is None
        ]
        answer = self.ask("auditor", SHIPPED, asked, variables)
        today = datetime.datetime.now(datetime.UTC).date()
        record = evidence(host, groups, controls, answer, exceptions, today)
        result.update(changed=False, evidence=record)
        failing = [entry["id"] for entry in record["controls"] if entry["verdict"] in FAILING]
        if arguments["strict"] and failing:
            result.update(failed=True, msg="%d controls do not hold: %s" % (len(failing), ", ".join(failing)))
        return result
