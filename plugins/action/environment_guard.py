# SPDX-License-Identifier: GPL-3.0-or-later
"""kijun.baseline.environment_guard; its documentation stands in plugins/modules/environment_guard.py."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleActionFail, AnsiblePromptInterrupt, AnsiblePromptNoninteractive
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible.utils.vars import load_extra_vars

from ..plugin_utils.journal.opening import CURRENT
from ..plugin_utils.run_id import run_id

PRODUCTION = "production"

FACT = "kijun_change"
"""The fact that says what was let pass in which run."""

REPORT_WANTED = "kijun_change_test_report_required"
"""The inventory's variable: production is changed only with the name of a test report and of who decided from it."""

NAMED = 5
"""How many hosts the question names."""

HOW = (
    "give both with the run: -e kijun_change_ticket=TICKET -e kijun_change_confirmed=true, or as survey answers "
    "(clause MR-15-6)"
)


class ActionModule(ActionBase):
    """Looks at all hosts of the play, and asks whoever runs it; no host is asked."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Let the run pass, or end it before it changes anything.

        Raises:
            AnsibleActionFail: environments are mixed or not named, or production lacks its ticket or confirmation.
        """
        variables = task_vars or {}
        result = super().run(tmp, variables)
        _, arguments = self.validate_argument_spec(
            {
                "ticket_pattern": {"type": "str", "default": "[A-Z][A-Z0-9]*-[0-9]+"},
                "timeout": {"type": "int", "default": 120},
            }
        )
        # What was given with this very run: whatever an inventory holds was not said for it.
        given = load_extra_vars(self._loader)
        if "environment_marker_name" in given:
            raise AnsibleActionFail("environment_marker_name was given with -e; the inventory says it (clause MR-15-6)")
        ticket = str(given.get("kijun_change_ticket") or "")
        confirmed = boolean(given.get("kijun_change_confirmed", False), strict=False)
        hosts = [str(name) for name in variables["ansible_play_hosts_all"]]
        names = environments(hosts, variables["hostvars"])
        if PRODUCTION in names:
            check_journal()
        if not self._task.check_mode:
            refuse_mixture(names)
            if PRODUCTION in names:
                check_ticket(ticket, arguments["ticket_pattern"])
                if boolean(self._templar.template(variables.get(REPORT_WANTED, False)), strict=False):
                    check_test_report(given)
                if not confirmed and not any(passed(variables["hostvars"][host], ticket) for host in hosts):
                    self._ask(hosts, ticket, arguments["timeout"])
        result.update(changed=False, environment=", ".join(sorted(map(str, names))), ticket=ticket)
        result["ansible_facts"] = {FACT: {"run": run_id(), "ticket": ticket, "environment": result["environment"]}}
        if ticket:
            # The run's own record: the summary prints it, and AWX keeps it with the job.
            result["ansible_stats"] = {"data": {"kijun_change_ticket": ticket}, "per_host": False, "aggregate": False}
        return result

    def _ask(self, hosts: list[str], ticket: str, timeout: int) -> None:
        """Have the person at the terminal confirm the change of production.

        Raises:
            AnsibleActionFail: nobody is there, or it was not confirmed.
        """
        named = ", ".join(hosts[:NAMED]) + (", ..." if len(hosts) > NAMED else "")
        question = "Change %s on %d hosts of PRODUCTION: %s.\nType %s to go on, anything else to stop:" % (
            *(ticket, len(hosts), named),
            PRODUCTION,
        )
        try:
            answer = self._display.prompt_until(question, seconds=timeout)
        except AnsiblePromptNoninteractive:
            raise AnsibleActionFail(
                "this run changes production, and there is no terminal to confirm it on: %s" % HOW
            ) from None
        except AnsiblePromptInterrupt:
            answer = b""
        if answer.strip() != PRODUCTION.encode():
            raise AnsibleActionFail("the change of production was not confirmed; nothing was changed")


def check_journal() -> None:
    """Refuse a run on production that does not stand in the operations journal.

    Raises:
        AnsibleActionFail: it does not.
    """
    refusal = CURRENT.refusal()
    if refusal:
        raise AnsibleActionFail(refusal)


def check_test_report(given: Mapping[str, Any]) -> None:
    """Refuse a release to production that nobody decided from a test report.

    Args:
        given: the variables that were given with the run.

    Raises:
        AnsibleActionFail: it does not name the report, or who decided.
    """
    wanted = {"kijun_change_test_report": "MR-11-1", "kijun_change_decided_by": "MR-11-2"}
    lacking = [(name, clause) for name, clause in wanted.items() if not str(given.get(name) or "").strip()]
    if lacking:
        raise AnsibleActionFail(
            "this run changes production, and the inventory asks for a test report (%s): give %s with the run"
            % (REPORT_WANTED, " and ".join("-e %s=... (clause %s)" % pair for pair in lacking))
        )


def check_ticket(ticket: str, pattern: str) -> None:
    """Refuse a change of production without a ticket.

    Raises:
        AnsibleActionFail: it has none of that form.
    """
    if not re.fullmatch(pattern, ticket):
        raise AnsibleActionFail(
            "this run changes production and its change ticket is %r; it must match %s: %s"
            % (ticket or None, pattern, HOW)
        )


def environments(hosts: list[str], hostvars: Any) -> set[str]:
    """The environments of hosts, as the inventory names them.

    Args:
        hosts: their names.
        hostvars: host -> variables.

    Raises:
        AnsibleActionFail: a host has none; it might be production.
    """
    found = {host: hostvars[host].get("environment_marker_name") for host in hosts}
    nameless = [host for host, name in found.items() if not name]
    if nameless:
        raise AnsibleActionFail(
            "environment_marker_name is not set for %s; the inventory must say which environment each host belongs to "
            "(clause MR-15-6)" % ", ".join(nameless)
        )
    return {str(name) for name in found.values()}


def refuse_mixture(names: set[str]) -> None:
    """Refuse a run on production and on something else.

    Raises:
        AnsibleActionFail: it is one.
    """
    if PRODUCTION in names and len(names) > 1:
        raise AnsibleActionFail(
            "this run has hosts of %s; production is changed by itself: choose hosts with --limit (clause MR-15-6)"
            % ", ".join(sorted(names))
        )


def passed(variables: Any, ticket: str) -> bool:
    """Whether an earlier task of this run confirmed the change."""
    before = variables.get("ansible_facts", {}).get(FACT, {})
    return bool(before.get("run") == run_id() and before.get("ticket") == ticket)
