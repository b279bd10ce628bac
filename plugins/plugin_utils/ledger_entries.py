# SPDX-License-Identifier: GPL-3.0-or-later
"""The actions that enter a list of changes into a book have this in common."""

from __future__ import annotations

import datetime
from typing import Any, ClassVar

import yaml
from ansible.errors import AnsibleActionFail

from .ledger.book import Change
from .ledger.books import BOOKS
from .ledger.engine import Ledger
from .ledger_action import CHANGE_ARGUMENTS, LedgerAction

ABOUT = ("action", "approver", "ticket", "version")
"""What of an entry is not a field of the book's, beside its key."""


class EntriesAction(LedgerAction):
    """Enters a batch: all of it, or nothing.

    Attributes:
        book: the book.
        noun: what its entries are called, in a diff.
        returned: under which name the entries that changed are returned.
    """

    book: ClassVar[str]
    noun: ClassVar[str]
    returned: ClassVar[str]

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Enter it."""
        variables = task_vars or {}
        result = super().run(tmp, variables)
        arguments = self.arguments(
            {
                "entries": {"type": "raw", "required": True},
                **CHANGE_ARGUMENTS,
            }
        )
        key = BOOKS[self.book].key
        changes = [change_of(number, entry, key) for number, entry in enumerate(entries_of(arguments["entries"]), 1)]
        context = self.context(variables, self.book)
        actor = self.actor(arguments, variables)
        with self.ledger(arguments, variables) as ledger:
            before = _fields(ledger, self.book, changes)
            events = ledger.append(
                self.book,
                changes,
                actor,
                context=context,
                dry_run=self._task.check_mode,
            )
            if events and not self._task.check_mode:
                self.tell_checkpoint(ledger, self.book, variables, result)
        after = {name: dict(fields) for name, fields in before.items()}
        for event in events:
            after[event.key].update(event.payload)
        result.update(
            changed=bool(events),
            events=[{key: e.key, "action": e.action, "version": e.version, "sequence": e.sequence} for e in events],
            diff=[
                _diff("%s %s" % (self.noun, name), before[name], after[name])
                for name in sorted(after)
                if before[name] != after[name]
            ],
        )
        result.update(current=after, actor=actor)
        result[self.returned] = {name: after[name] for name in sorted({event.key for event in events})}
        return result


def entries_of(value: Any) -> list[dict[str, Any]]:
    """The entries of a task.

    Args:
        value: a list of dictionaries, or a text that is one as YAML has it, which is what a form can ask for. Nothing
            in it is evaluated.

    Raises:
        AnsibleActionFail: it is neither.
    """
    if isinstance(value, str):
        try:
            value = yaml.safe_load(value)
        except yaml.YAMLError as error:
            reason = " ".join(str(error).split())[:300]
            raise AnsibleActionFail("entries: is a text, and no YAML: %s" % reason) from None
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        reason = "must be a list of entries, each with its fields, or a text that is one as YAML has it"
        raise AnsibleActionFail("entries: %r: %s" % (str(value)[:80], reason))
    return [{str(name): field for name, field in entry.items()} for entry in value]


def change_of(number: int, entry: dict[str, Any], key: str) -> Change:
    """One entry of the task as the ledger takes it.

    Args:
        number: which one it is, from 1.
        entry: the book's key and action, optionally approver, ticket and version, and the entry's fields.
        key: the book's key, such as login.

    Raises:
        AnsibleActionFail: key or action is missing, or version is no number.
    """
    for name in (key, "action"):
        if not isinstance(entry.get(name), str) or not entry[name]:
            raise AnsibleActionFail("entry %d: %s %r: must be a text, and is needed" % (number, name, entry.get(name)))
    version = entry.get("version")
    if version is not None and (isinstance(version, bool) or not str(version).isdecimal()):
        raise AnsibleActionFail("entry %d: version %r: must be a whole number" % (number, version))
    return Change(
        key=str(entry[key]),
        action=str(entry["action"]),
        payload={str(name): _plain(value) for name, value in entry.items() if name != key and name not in ABOUT},
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


def _fields(ledger: Ledger, book: str, changes: list[Change]) -> dict[str, dict[str, Any]]:
    keys = sorted({change.key for change in changes})
    known = {state.key: state.fields for state in ledger.find(book, keys)}
    return {key: known.get(key, {}) for key in keys}


def _diff(header: str, before: dict[str, Any], after: dict[str, Any]) -> dict[str, str]:
    names = [name for name in after if before.get(name, ...) != after[name]]
    return {
        "before_header": header,
        "after_header": header,
        "before": _text({name: before[name] for name in names if name in before}),
        "after": _text({name: after[name] for name in names}),
    }


def _text(fields: dict[str, Any]) -> str:
    return yaml.safe_dump(fields, allow_unicode=True, sort_keys=False) if fields else ""
