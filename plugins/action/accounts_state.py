# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller's side of kijun.baseline.accounts_state; its documentation stands in plugins/modules/accounts_state.py."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleActionFail

from ..plugin_utils.host_python import HostPythonAction

READERS = ("__init__", "activity", "databases", "keys", "state", "sudo", "weak")
SHIPPED = (
    *("host_accounts/%s.py" % name for name in READERS),
    "facts/__init__.py",
    "facts/host.py",
    "facts/accounts.py",
    "facts/files.py",
    "facts/sshd.py",
    "facts/sshd_match.py",
    "verdict.py",
)
"""What runs on the host, below plugins/module_utils."""


class ActionModule(HostPythonAction):
    """Asks a host once what its accounts are."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Read one host's accounts."""
        variables = task_vars or {}
        result = super().run(tmp, variables)
        _, arguments = self.validate_argument_spec(
            {
                "weak": {
                    "type": "dict",
                    "options": {
                        "tries": {"type": "int", "default": 40},
                        "seconds": {"type": "float", "default": 20.0},
                    },
                },
                "people": {"type": "dict", "default": {}},
            }
        )
        weak = arguments["weak"]
        if weak and not (0 < weak["tries"] <= 1000 and 0 < weak["seconds"] <= 3600):
            raise AnsibleActionFail(
                "weak is %r; tries from 1 to 1000 and seconds above 0 to 3600 are allowed" % (dict(weak),)
            )
        answer = self.ask("host_accounts.state", SHIPPED, {"weak": weak, "people": arguments["people"]}, variables)
        if "error" in answer:
            raise AnsibleActionFail(answer["error"])
        result.update(changed=False, state=answer["state"])
        return result
