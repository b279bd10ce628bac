# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller's side of kijun.baseline.control_audit; its documentation stands in plugins/modules/control_audit.py."""

from __future__ import annotations

import base64
import datetime
import functools
import io
import json
import pathlib
import zipfile
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ..plugin_utils.controls import (
    ControlError,
    check_controls,
    check_exceptions,
    choose,
    evidence,
    reason_not_applicable,
)

SHIPPED = ("auditor.py", "verdict.py", "facts/*.py")
"""What runs on the host, below plugins/module_utils."""

LAUNCHER = """\
import base64, os, sys
fd = os.memfd_create("kijun")
os.write(fd, base64.b64decode("{archive}"))
sys.path.insert(0, "/proc/self/fd/%d" % fd)
sys.dont_write_bytecode = True
from kijun.auditor import main
main({controls!r})
"""
"""Imports the archive from memory: nothing is left on the host's disk."""

SENT: tuple[str, ...] = ("id", "expect", "deviation", "sensitive")
"""Fields of a control that the host's part needs."""

FAILING = ("fail", "error")


@functools.lru_cache(maxsize=1)
def _archive() -> str:
    """The host's part as a base64 zip archive."""
    folder = pathlib.Path(__file__).resolve().parent.parent / "module_utils"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("kijun/__init__.py", "")
        for pattern in SHIPPED:
            for path in sorted(folder.glob(pattern)):
                archive.writestr("kijun/%s" % path.relative_to(folder), path.read_bytes())
    return base64.b64encode(buffer.getvalue()).decode()


class ActionModule(ActionBase):
    """Asks a host's Python once, over the connection that Ansible has, and joins the answer with the controls.

    An ordinary module would bring Ansible's own library along, four times the size of the audit, and load it on the
    host at each run; the audit needs none of it.
    """

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_diff = False

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
        answer = self._ask(asked, variables)
        today = datetime.datetime.now(datetime.UTC).date()
        record = evidence(host, groups, controls, answer, exceptions, today)
        result.update(changed=False, evidence=record)
        failing = [entry["id"] for entry in record["controls"] if entry["verdict"] in FAILING]
        if arguments["strict"] and failing:
            result.update(failed=True, msg="%d controls do not hold: %s" % (len(failing), ", ".join(failing)))
        return result

    def _ask(self, controls: list[dict[str, Any]], variables: dict[str, Any]) -> dict[str, Any]:
        """Run the host's part and return its answer.

        Raises:
            AnsibleActionFail: the host's Python did not answer; says what it printed.
        """
        python = variables.get("ansible_python_interpreter") or ""
        if not python.startswith("/"):
            python = "/usr/bin/python3"
        script = LAUNCHER.format(archive=_archive(), controls=json.dumps(controls))
        done = self._low_level_execute_command(python + " -I -S -", in_data=script.encode(), sudoable=True)
        try:
            answer: dict[str, Any] = json.loads(done["stdout"].strip().splitlines()[-1])
        except (IndexError, ValueError):
            said = (done["stderr"] or done["stdout"]).strip()[-500:]
            raise AnsibleActionFail(
                "the audit did not run with %s on this host (exit status %s): %s" % (python, done["rc"], said)
            ) from None
        return answer
