# SPDX-License-Identifier: GPL-3.0-or-later
"""kijun.baseline.change_run; its documentation stands in plugins/modules/change_run.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.vars import load_extra_vars

from ..plugin_utils.change import shown
from ..plugin_utils.child_run import Secrets, find_playbook, run_playbook, vault_secrets


class ActionModule(ActionBase):
    """Runs a playbook on the hosts of the batch, and says how it ended on each."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True
    _supports_diff = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run it.

        Raises:
            AnsibleActionFail: there is no such playbook.
        """
        variables = task_vars or {}
        result = super().run(tmp, variables)
        _, arguments = self.validate_argument_spec(
            {
                "playbook": {"type": "str", "required": True},
                "hosts": {"type": "list", "elements": "str", "required": True},
                "variables": {"type": "dict", "default": {}},
            }
        )
        playbook = find_playbook(arguments["playbook"], Path(self._loader.get_basedir()))
        context_ = self._play_context
        become = getattr(self._connection, "become", None)
        secrets = Secrets(
            extra={**load_extra_vars(self._loader), **arguments["variables"]},
            connection=context_.password or None,
            become=become.get_option("become_pass", playcontext=context_) if become else None,
            vault=vault_secrets(self._loader),
        )
        ended = run_playbook(
            str(playbook),
            arguments["hosts"],
            secrets,
            lambda line: self._display.display("  | " + line),
            {},
            check=self._task.check_mode,
            diff=self._task.diff,
        )
        changed = any(host["changed"] for host in ended.hosts.values())
        result.update(
            changed=changed, status=ended.status, outcome=ended.hosts, said=shown(ended.hosts, arguments["hosts"])
        )
        return result
