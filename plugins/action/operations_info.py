# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the operations journal; the documentation stands in plugins/modules/operations_info.py."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleActionFail

from ..plugin_utils.journal.entries import moment
from ..plugin_utils.journal.reading import between, trail_of
from ..plugin_utils.journal.words import BOOK, KINDS
from ..plugin_utils.ledger.book import State
from ..plugin_utils.ledger.engine import Ledger
from ..plugin_utils.ledger_action import URL_ARGUMENT, LedgerAction

END = "9999-12-31T23:59:59Z"


class ActionModule(LedgerAction):
    """Reads entries, and the work trail of a run."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Read them."""
        variables = task_vars or {}
        result = super().run(tmp, variables)
        arguments = self.arguments(
            {
                "id": {"type": "str"},
                "kinds": {"type": "list", "elements": "str", "choices": list(KINDS), "default": []},
                "hosts": {"type": "list", "elements": "str", "default": []},
                "tickets": {"type": "list", "elements": "str", "default": []},
                "statuses": {"type": "list", "elements": "str", "default": []},
                "since": {"type": "str"},
                "until": {"type": "str"},
                "trail": {"type": "bool", "default": False},
                "limit": {"type": "int", "default": 100},
                **URL_ARGUMENT,
            },
            required_if=[("trail", True, ["id"])],
        )
        if arguments["limit"] < 0:
            raise AnsibleActionFail("limit is %d; it must be 0 (everything) or more" % arguments["limit"])
        since, until = (_time(name, arguments[name]) for name in ("since", "until"))
        trail = ""
        with self.ledger(arguments, variables) as ledger:
            states = _found(ledger, arguments, since, until)
            if arguments["trail"] and states:
                trail = trail_of(ledger, states[0].fields)
        newest = sorted(states, key=lambda state: (state.fields["at"], state.key), reverse=True)
        shown = newest[: arguments["limit"] or None]
        entries = [{**state.fields, "version": state.version} for state in shown]
        result.update(changed=False, entries=entries, total=len(states), trail=trail)
        return result


def _time(name: str, value: str | None) -> str:
    if not value:
        return ""
    try:
        return moment(name, value)
    except ValueError as error:
        name, _, reason = str(error).partition(": ")
        raise AnsibleActionFail("%s is %r; it %s" % (name, value, reason)) from None


def _found(ledger: Ledger, arguments: dict[str, Any], since: str, until: str) -> list[State]:
    where: dict[str, Any] = {
        field: arguments[name]
        for name, field in (("kinds", "kind"), ("hosts", "hosts"), ("tickets", "ticket"), ("statuses", "status"))
        if arguments[name]
    }
    if arguments["id"]:
        states = ledger.find(BOOK, [arguments["id"]])
    elif since:
        states = between(ledger, since, until or END)
    else:
        states = ledger.states(BOOK, where)
    return [
        state
        for state in states
        if (since or "") <= state.fields["at"] <= (until or END)
        and all(_is(state.fields[field], wanted) for field, wanted in where.items())
    ]


def _is(value: Any, wanted: list[str]) -> bool:
    return bool(set(value) & set(wanted)) if isinstance(value, list) else value in wanted
