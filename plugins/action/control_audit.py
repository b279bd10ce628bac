# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller's side of kijun.baseline.control_audit; its documentation stands in plugins/modules/control_audit.py."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

from ansible import constants as C
from ansible.errors import AnsibleActionFail

from ..plugin_utils.controls import (
    ControlError,
    check_controls,
    check_expectations,
    choose,
    collection_controls,
    evidence,
    lists_in_sight,
    reason_not_applicable,
    with_roles,
)
from ..plugin_utils.exceptions import of_host
from ..plugin_utils.exceptions_action import ExceptionsAction
from ..plugin_utils.filled import Filler, SharingFiller
from ..plugin_utils.host_python import HostPythonAction, archive
from .accounts_state import READERS

SHIPPED = (
    "audit_rules.py",
    "auditor.py",
    "certificates.py",
    "verdict.py",
    "facts/*.py",
    *("host_accounts/%s.py" % name for name in READERS),
    "malware/__init__.py",
    "malware/clamd.py",
    "malware_mirror/__init__.py",
    "removable_media/__init__.py",
    "removable_media/descriptor.py",
)
"""What runs on the host, below plugins/module_utils."""

SENT: tuple[str, ...] = ("id", "expect", "applies_where", "deviation", "sensitive")
"""Fields of a control that the host's part needs."""

FAILING = ("fail", "error")
COUNTED = ("pass", "fail", "error", "excused")

# Ansible imports this module once, and then forks a worker for each host: what is read and packed here, none of them
# reads and packs again.
collection_controls()
archive(SHIPPED)


class ActionModule(HostPythonAction, ExceptionsAction):
    """Asks the host once, and joins the answer with the controls."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Audit one host."""
        variables = task_vars or {}
        result = super().run(tmp, variables)
        _, arguments = self.validate_argument_spec(
            {"controls": {"type": "list", "elements": "raw"}, "strict": {"type": "bool", "default": False}}
        )
        host, groups = variables["inventory_hostname"], list(variables.get("group_names", []))
        try:
            controls = self._controls(arguments["controls"], variables, groups)
        except ControlError as error:
            raise AnsibleActionFail(str(error)) from None
        known = self.exceptions_in_force(variables)

        asked = [
            {key: control[key] for key in SENT if key in control}
            for control in controls
            if reason_not_applicable(control, groups) is None
        ]
        answer = self.ask("auditor", SHIPPED, asked, variables)
        exceptions, day = of_host(known["entries"], host, groups), datetime.date.fromisoformat(known["day"])
        record = evidence(host, groups, controls, answer, exceptions, day)
        result.update(changed=False, evidence=record, ansible_stats=artifacts(host, record["totals"]))
        failing = [entry["id"] for entry in record["controls"] if entry["verdict"] in FAILING]
        if arguments["strict"] and failing:
            result.update(failed=True, msg="%d controls do not hold: %s" % (len(failing), ", ".join(failing)))
        return result

    def _controls(self, given: list[Any] | None, variables: dict[str, Any], groups: list[str]) -> list[dict[str, Any]]:
        """The controls of this run, checked. What one expects is filled in only where it is asked of this host: that
        is most of what there is to fill in, and many roles are for few hosts.
        """
        apart = Filler(self._templar.template)
        # Ansible makes this folder for a run, closed to others, and removes it with the run.
        fill = SharingFiller(self._templar.template, variables, Path(C.DEFAULT_LOCAL_TMP) / "kijun-controls.json")
        written = lists_in_sight([variables], self._templar.template) if given is None else with_roles(given)
        controls = [fill.head(control) for control in written]
        check_controls(controls)
        chosen = choose(controls, variables.get("ansible_run_tags", []))
        for control in chosen:
            if reason_not_applicable(control, groups) is None:
                control["expect"] = (apart if control.get("sensitive") else fill)(control["expect"])
                check_expectations(control)
        fill.keep()
        return chosen


def artifacts(host: str, totals: dict[str, int]) -> dict[str, Any]:
    """What a host's audit adds to the run's artifacts, as ansible.builtin.set_stats has it.

    Numbers are added up over all hosts. Only hosts with findings are named: of a thousand hosts it stays some
    kilobytes, which AWX hands on to each later node of a workflow.

    Args:
        host: its name in the inventory.
        totals: verdict -> how many controls.
    """
    findings = sum(totals.get(verdict, 0) for verdict in FAILING)
    data: dict[str, Any] = {"kijun_audit_hosts": 1}
    data.update({"kijun_audit_%s" % verdict: totals.get(verdict, 0) for verdict in COUNTED})
    data["kijun_audit_findings"] = {host: findings} if findings else {}
    return {"data": data, "aggregate": True, "per_host": False}
