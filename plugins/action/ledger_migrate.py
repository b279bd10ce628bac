# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes a ledger's tables; the documentation stands in plugins/modules/ledger_migrate.py."""

from __future__ import annotations

import os
from typing import Any

import sqlalchemy
from ansible.errors import AnsibleActionFail

from ..plugin_utils.ledger import migrate
from ..plugin_utils.ledger.engine import REVISION
from ..plugin_utils.ledger.errors import LedgerError
from ..plugin_utils.ledger_action import URL_ARGUMENT, LedgerAction


class ActionModule(LedgerAction):
    """Brings the tables to a revision."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Bring them."""
        variables = task_vars or {}
        result = super().run(tmp, variables)
        arguments = self.arguments(
            {
                "revision": {"type": "str", "default": REVISION},
                "writer": {"type": "str"},
                "reader": {"type": "str"},
                **URL_ARGUMENT,
            }
        )
        url, revision = self.url(arguments, variables), arguments["revision"]
        try:
            before = migrate.current(url)
            changed = before != revision
            if changed and not self._task.check_mode:
                _make_directory(url)
                if (before or "") < revision:
                    migrate.upgrade(url, revision, arguments["writer"], arguments["reader"])
                else:
                    migrate.downgrade(url, revision)
        except LedgerError as error:
            raise AnsibleActionFail(str(error)) from None
        result.update(
            changed=changed,
            revision=revision,
            diff={"before": "revision %s\n" % (before or "none"), "after": "revision %s\n" % revision},
        )
        return result


def _make_directory(url: str) -> None:
    """The default ledger's directory is made with it, for its owner alone."""
    parsed = sqlalchemy.make_url(url)
    if parsed.get_backend_name() == "sqlite" and parsed.database:
        os.makedirs(os.path.dirname(os.path.abspath(parsed.database)), mode=0o700, exist_ok=True)
