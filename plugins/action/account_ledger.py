# SPDX-License-Identifier: GPL-3.0-or-later
"""Enters changes of accounts into the ledger; the documentation stands in plugins/modules/account_ledger.py."""

from __future__ import annotations

import datetime
from typing import Any

import yaml
from ansible.errors import AnsibleActionFail

from ..plugin_utils.ledger.book import Change
from ..plugin_utils.ledger.engine import Ledger
from ..plugin_utils.ledger_action import CHANGE_ARGUMENTS, LedgerAction

BOOK = "accounts"
ABOUT = ("login", "action", "approver", "ticket", "version")
"""What of an entry is not a field of the account."""


class ActionModule(LedgerAction):
    """Enters a batch: all of it, or nothing."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Enter it."""
        variables = task_vars or {}
        result = super().run(tmp, variables)
        arguments = self.arguments(
            {"entries": {"type": "list", "elements": "dict", "required": True}, **CHANGE_ARGUMENTS}
        )
        changes = [change_of(number, entry) for number, entry in enumerate(arguments["entries"], 1)]
        with self.ledger(arguments, variables) as ledger:
            before = _fields(ledger, changes)
            events = ledger.append(
                BOOK,
                changes,
                self.actor(arguments, variables),
                context=self.context(variables),
                dry_run=self._task.check_mode,
            )
            if events and not self._task.check_mode:
                self.tell_checkpoint(ledger, BOOK, variables, result)
        after = {key: dict(fields) for key, fields in before.items()}
        for event in events:
            after[event.key].update(event.payload)
        result.update(
            changed=bool(events),
            events=[{"login": e.key, "action": e.action, "version": e.version, "sequence": e.sequence} for e in events],
            accounts={key: after[key] for key in sorted({event.key for event in events})},
            diff=[_diff(key, before[key], after[key]) for key in sorted(after) if before[key] != after[key]],
        )
        return result


def change_of(number: int, entry: dict[str, Any]) -> Change:
    """One entry of the task as the ledger takes it.

    Args:
        number: which one it is, from 1.
        entry: login, action, optionally approver, ticket and version, and the account's fields.

    Raises:
        AnsibleActionFail: login or action is missing, or version is no number.
    """
    for name in ("login", "action"):
        if not isinstance(entry.get(name), str) or not entry[name]:
            raise AnsibleActionFail("entry %d: %s %r: must be a text, and is needed" % (number, name, entry.get(name)))
    version = entry.get("version")
    if version is not None and (isinstance(version, bool) or not str(version).isdecimal()):
        raise AnsibleActionFail("entry %d: version %r: must be a whole number" % (number, version))
    return Change(
        key=str(entry["login"]),
        action=str(entry["action"]),
        payload={str(name): _plain(value) for name, value in entry.items() if name not in ABOUT},
        approver=str(entry.get("approver") or ""),
        ticket=str(entry.get("ticket") or ""),
        version=None if version is None else int(version),
        row=number,
    )


def _plain(value: Any) -> Any:
    """A value without what Ansible and YAML add to it: tags, and dates where a text was meant."""
    if isinstance(value, datetime.date):
        return value.isoformat()[:10]
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    return str(value) if isinstance(value, str) else value


def _fields(ledger: Ledger, changes: list[Change]) -> dict[str, dict[str, Any]]:
    logins = sorted({change.key for change in changes})
    known = {state.key: state.fields for state in ledger.find(BOOK, logins)}
    return {login: known.get(login, {}) for login in logins}


def _diff(login: str, before: dict[str, Any], after: dict[str, Any]) -> dict[str, str]:
    names = [name for name in after if before.get(name, ...) != after[name]]
    return {
        "before_header": "account %s" % login,
        "after_header": "account %s" % login,
        "before": _text({name: before[name] for name in names if name in before}),
        "after": _text({name: after[name] for name in names}),
    }


def _text(fields: dict[str, Any]) -> str:
    return yaml.safe_dump(fields, allow_unicode=True, sort_keys=False) if fields else ""
