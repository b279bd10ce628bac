# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads which media hosts take; documented in plugins/modules/media_allowed.py."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleActionFail

from ..plugin_utils.ledger.books.media import USB, last_day, usable
from ..plugin_utils.ledger_action import URL_ARGUMENT, LedgerAction
from ..plugin_utils.ledger_address import is_absent

BOOK = "media"


class ActionModule(LedgerAction):
    """Reads the book, once for all hosts."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Read it."""
        variables = task_vars or {}
        result = super().run(tmp, variables)
        arguments = self.arguments({"hosts": {"type": "list", "elements": "str", "required": True}, **URL_ARGUMENT})
        allowed: dict[str, list[dict[str, Any]]] = {host: [] for host in arguments["hosts"]}
        if not is_absent(self.url(arguments, variables)):
            today = self.today()
            groups = {name: set(hosts) for name, hosts in variables.get("groups", {}).items()}
            with self.ledger(arguments, variables) as ledger:
                verification = ledger.verify(BOOK)
                if not verification.ok:
                    raise AnsibleActionFail("%s; nothing is done" % verification.complaint("the book of media"))
                for state in ledger.states(BOOK):
                    medium = state.fields
                    if medium["kind"] not in USB or not usable(medium, today):
                        continue
                    for host in allowed:
                        if _is_for(host, medium["hosts"], groups):
                            allowed[host].append(_told(medium))
        result.update(changed=False, media=allowed)
        return result


def _is_for(host: str, named: list[str], groups: dict[str, set[str]]) -> bool:
    """Whether a medium is for a host: it is named, or one of its groups is; or none is."""
    return not named or host in named or any(host in groups.get(name, ()) for name in named)


def _told(medium: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": medium["id"],
        "vendor_id": medium["vendor_id"],
        "product_id": medium["product_id"],
        "serial": medium["serial"],
        "person": medium["lent_to"],
        "until": last_day(medium),
        "confidential": medium["confidential"],
        "encryption": medium["encryption"],
    }
