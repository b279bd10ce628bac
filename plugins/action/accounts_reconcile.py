# SPDX-License-Identifier: GPL-3.0-or-later
"""Holds one host against the account ledger; the documentation stands in plugins/modules/accounts_reconcile.py."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from ansible.errors import AnsibleActionFail

from ..plugin_utils.accounts.plan import on_host
from ..plugin_utils.accounts.reconcile import reconcile_host
from ..plugin_utils.host_python import HostPythonAction
from .accounts_state import SHIPPED


class ActionModule(HostPythonAction):
    """Asks a host once what its accounts are, and keeps of the answer only what differs from the ledger."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Reconcile one host."""
        variables = task_vars or {}
        result = super().run(tmp, variables)
        _, arguments = self.validate_argument_spec(
            {
                "plan": {"type": "dict", "required": True},
                "options": {"type": "dict", "default": {}},
                "weak_tries": {"type": "int", "default": 40},
                "weak_seconds": {"type": "float", "default": 20.0},
            }
        )
        host = variables["inventory_hostname"]
        expected = on_host(arguments["plan"], host)
        asked = {
            "weak": {"tries": arguments["weak_tries"], "seconds": arguments["weak_seconds"]}
            if arguments["weak_tries"]
            else None,
            "people": {
                login: {"person": account["person"], "department": account["department"]}
                for login, account in expected.items()
            },
        }
        answer = self.ask("host_accounts.state", SHIPPED, asked, variables)
        if "error" in answer:
            raise AnsibleActionFail(answer["error"])
        state = answer["state"]
        try:
            found = reconcile_host(
                host, expected, state, {**arguments["options"], "excepted": arguments["plan"]["excepted"]}
            )
        except ValueError as error:
            raise AnsibleActionFail(str(error)) from None
        left_out = {*expected, *(login for login, _ in found.ignored)}
        unknown = [a for a in state["accounts"] if not a.get("system") and a["name"] not in left_out]
        result.update(
            changed=False,
            reconciled=json.loads(json.dumps(dataclasses.asdict(found))),
            unregistered={
                "accounts": unknown,
                "groups": state["groups"] if unknown else {},
                "login_account": state["login_account"],
            },
            last_logins={a["name"]: a["last_login"] for a in state["accounts"] if a["last_login"]},
            untried=state["untried"],
        )
        return result
