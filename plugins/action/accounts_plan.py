# SPDX-License-Identifier: GPL-3.0-or-later
"""Works out what the ledger wants of hosts; the documentation stands in plugins/modules/accounts_plan.py."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleActionFail

from ..plugin_utils.accounts.handover import HandoverError, Issue, issue_password
from ..plugin_utils.accounts.plan import make_plan
from ..plugin_utils.ledger_action import URL_ARGUMENT, LedgerAction

BOOK = "accounts"
SHOWN = 20
"""How many differences the error names."""


class ActionModule(LedgerAction):
    """Reads the account book once for all hosts of the run."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Read it."""
        variables = task_vars or {}
        result = super().run(tmp, variables)
        arguments = self.arguments({"issue": {"type": "bool", "default": False}, **URL_ARGUMENT})
        rules = self.variable(variables, "accounts_sudo_rules", {})
        today = self.today()
        with self.ledger(arguments, variables) as ledger:
            found = ledger.verify(BOOK)
            if not found.ok:
                raise AnsibleActionFail("the ledger does not hold: event %s: %s" % (found.broken_at, found.reason))
            # Whoever may write events may also write entries: what hosts get must follow from the events.
            if differences := ledger.compare(BOOK):
                raise AnsibleActionFail("the ledger does not hold: %s" % "; ".join(differences[:SHOWN]))
            states = ledger.states(BOOK)
        try:
            plan = make_plan(
                states,
                list(variables["ansible_play_hosts_all"]),
                self.context(variables),
                rules,
                today,
                self._issue(today) if arguments["issue"] else None,
            )
        except HandoverError as error:
            raise AnsibleActionFail(str(error)) from None
        if plan["unknown_rules"]:
            named = ["%s: %s" % (login, ", ".join(names)) for login, names in sorted(plan["unknown_rules"].items())]
            raise AnsibleActionFail(
                "accounts_sudo_rules lacks rules that the ledger names: %s; define them, or change the accounts"
                % "; ".join(named)
            )
        result.update(changed=False, plan={**plan, "ledger": {"count": found.count, "head": found.head}})
        return result

    def _issue(self, today: datetime.date) -> Callable[[Mapping[str, Any], list[str]], Issue]:
        """How this run makes initial passwords: one for each account that lacks one on a host of the run."""
        vault, name = self._vault()
        if self._task.check_mode:  # nobody gets it, so that one does for all
            one: list[Issue] = []

            def predicted(fields: Mapping[str, Any], hosts: list[str]) -> Issue:
                if not one:
                    one.append(issue_password(fields, hosts, today, vault, name))
                return one[0]

            return predicted
        return lambda fields, hosts: issue_password(fields, hosts, today, vault, name)

    def _vault(self) -> tuple[Callable[[bytes], bytes] | None, str]:
        """Encryption by the vault whose password this run was given, for people who have no key."""
        library = self._loader._vault
        secrets = getattr(library, "secrets", None)
        if not secrets:
            return None, "vault"
        name, secret = secrets[0]
        return lambda clear: bytes(library.encrypt(clear, secret=secret, vault_id=name)), "vault %s" % name
