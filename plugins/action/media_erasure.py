# SPDX-License-Identifier: GPL-3.0-or-later
"""Holds an erasure against the book of media, and enters it; documented in plugins/modules/media_erasure.py."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleActionFail

from ..plugin_utils.book_report import named_record, written_record
from ..plugin_utils.ledger.book import Change
from ..plugin_utils.ledger.engine import Ledger
from ..plugin_utils.ledger_action import CHANGE_ARGUMENTS, LedgerAction, plain

BOOK = "media"


class ActionModule(LedgerAction):
    """Says which device is to be erased, or enters that it was."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Look, or enter."""
        variables = task_vars or {}
        result = super().run(tmp, variables)
        self.check_settings(variables, "media")
        arguments = self.arguments(
            {
                "id": {"type": "str", "required": True},
                "serial": {"type": "str", "required": True},
                "method": {"type": "str", "choices": ["overwrite", "crypto_erase"], "default": "overwrite"},
                "erased": {"type": "dict"},
                "host": {"type": "str"},
                "directory": {"type": "path"},
                **CHANGE_ARGUMENTS,
            },
            required_by={"erased": ("host", "directory")},
        )
        actor, erased = self.actor(arguments, variables), arguments["erased"]
        with self.ledger(arguments, variables) as ledger:
            medium = self._medium(ledger, arguments)
            about = _about(medium, plain(erased), arguments["host"], actor) if erased else {}
            about = named_record(about, "ERA", str(about["ended"])) if erased else {}
            change = Change(
                key=medium["id"],
                action="erase",
                payload={"erasure": arguments["method"], "erasure_record": about.get("record", "not yet erased")},
            )
            context = self.context(variables, BOOK)
            pretend = not erased or self._task.check_mode
            path = written_record(about, arguments["directory"]) if not pretend else ""
            events = ledger.append(BOOK, [change], actor, context=context, dry_run=pretend)
            if events and not pretend:
                self.tell_checkpoint(ledger, BOOK, variables, result)
        said = {name: medium[name] for name in ("id", "kind", "vendor_id", "product_id", "serial", "confidential")}
        result.update(changed=bool(events) and not pretend, medium=said, record=about.get("record", ""), file=path)
        return result

    @staticmethod
    def _medium(ledger: Ledger, arguments: dict[str, Any]) -> dict[str, Any]:
        """The medium that the book has, whose serial is the one that was given."""
        known = next(iter(ledger.find(BOOK, [arguments["id"]])), None)
        if known is None:
            reason = "media_erase_id is %r; the book of media has no such medium: register it first (clause GL-2.4-1a)"
            raise AnsibleActionFail(reason % arguments["id"])
        medium: dict[str, Any] = known.fields
        if not medium["serial"]:
            reason = (
                "medium %s (%s) has no serial in the book, so that no host knows it: it is destroyed, or erased by "
            )
            raise AnsibleActionFail(reason % (medium["id"], medium["kind"]) + "hand (clause SM-4.6.2-3)")
        if medium["serial"] != arguments["serial"]:
            reason = "media_erase_serial is %r, which is not that of medium %s; nothing was erased (clause SM-4.6.2-3)"
            raise AnsibleActionFail(reason % (arguments["serial"], medium["id"]))
        return medium


def _about(medium: dict[str, Any], erased: dict[str, Any], host: str, actor: str) -> dict[str, Any]:
    """What proves the erasure."""
    named = ("id", "kind", "vendor_id", "product_id", "confidential", "owner", "lent_to")
    return {**{name: medium[name] for name in named}, **erased, "host": host, "erased_by": actor}
