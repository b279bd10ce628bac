# SPDX-License-Identifier: GPL-3.0-or-later
"""Queries the account ledger; the documentation stands in plugins/modules/account_ledger_info.py."""

from __future__ import annotations

from typing import Any

import jmespath
from ansible.errors import AnsibleActionFail

from ..plugin_utils.ledger_action import URL_ARGUMENT, LedgerAction


class ActionModule(LedgerAction):
    """Reads entries, and what happened to them."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Read them."""
        variables = task_vars or {}
        result = super().run(tmp, variables)
        arguments = self.arguments(
            {
                "book": {"type": "str", "default": "accounts"},
                "where": {"type": "dict", "default": {}},
                "query": {"type": "str"},
                "history": {"type": "dict"},
                "limit": {"type": "int", "default": 100},
                "offset": {"type": "int", "default": 0},
                **URL_ARGUMENT,
            }
        )
        page = {"limit": arguments["limit"] or None, "offset": arguments["offset"]}
        if arguments["limit"] < 0 or arguments["offset"] < 0:
            raise AnsibleActionFail("limit and offset must not be below 0 (limit 0: everything)")
        with self.ledger(arguments, variables) as ledger:
            book, where = arguments["book"], arguments["where"]
            states = ledger.states(book, where, **page)
            entries: Any = [{**state.fields, "version": state.version} for state in states]
            total = ledger.count(book, where)
            events = []
            if arguments["history"] is not None:
                events = [
                    {**event.fields(), "hash": event.hash.hex()}
                    for event in ledger.events(book, arguments["history"], newest_first=True, **page)
                ]
        if arguments["query"]:
            try:
                entries = jmespath.search(arguments["query"], entries)
            except jmespath.exceptions.JMESPathError as error:
                raise AnsibleActionFail("query %r: %s" % (arguments["query"], error)) from None
        result.update(changed=False, entries=entries, total=total, events=events)
        return result
