# SPDX-License-Identifier: GPL-3.0-or-later
"""Reports on the operations journal; the documentation stands in plugins/modules/operations_report.py."""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleActionFail

from ..plugin_utils import kept_files
from ..plugin_utils.accounts.pages.document import write_page
from ..plugin_utils.book_report import made_folder
from ..plugin_utils.journal.entries import asked
from ..plugin_utils.journal.opening import CURRENT
from ..plugin_utils.journal.reading import between
from ..plugin_utils.journal.report import Month, days_of, page, releases_page, sort_out, years_before
from ..plugin_utils.journal.words import BOOK, LEAST_YEARS
from ..plugin_utils.ledger.book import State
from ..plugin_utils.ledger.books import BOOKS
from ..plugin_utils.ledger.engine import Ledger, Verification
from ..plugin_utils.ledger.event import Event, timestamp
from ..plugin_utils.ledger.interchange.export import write_states
from ..plugin_utils.ledger_action import CHANGE_ARGUMENTS, LedgerAction

END = "9999-12-31T23:59:59Z"
SAID = ("id", "kind", "at", "hosts", "outcome", "summary", "actor", "ticket", "implementer", "confirmer")
"""Fields of an entry that the result has."""

RETURNED = ("releases", "failed", "unfinished", "unconfirmed", "errors_open", "restores_open", "inspections")
"""Lists that the result has."""

INSPECTION = {
    "by": {"type": "str", "required": True},
    "outcome": {"type": "str", "choices": ["accepted", "corrections_ordered"], "required": True},
    "note": {"type": "str", "default": ""},
    "orders": {"type": "list", "elements": "str", "default": []},
}


class ActionModule(LedgerAction):
    """Reads a month, writes the pages and lists, and takes an inspection down."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Report."""
        variables = task_vars or {}
        result = super().run(tmp, variables)
        self.check_settings(variables, "operations_journal")
        arguments = self.arguments(
            {
                "month": {"type": "str"},
                "backup_hosts": {"type": "list", "elements": "str", "default": []},
                "inspection": {"type": "dict", "options": INSPECTION},
                "directory": {"type": "path"},
                "language": {"type": "str", "choices": ["en", "ja"], "default": "ja"},
                **CHANGE_ARGUMENTS,
            }
        )
        today = datetime.datetime.now(datetime.UTC).date()
        month = arguments["month"] or (today.replace(day=1) - datetime.timedelta(days=1)).isoformat()[:7]
        first = _first(month)
        events: list[Event] = []
        with self.ledger(arguments, variables) as ledger:
            verification = ledger.verify(BOOK)
            found = _sorted(ledger, month, first, today, arguments)
            if arguments["inspection"]:
                events = self._inspect(ledger, found, verification, arguments, variables)
                if events and not self._task.check_mode:
                    self.tell_checkpoint(ledger, BOOK, variables, result)
                    verification = ledger.verify(BOOK)
                    found = _sorted(ledger, month, first, today, arguments)
            files = []
            if arguments["directory"] and not self._task.check_mode:
                states = between(ledger, first, END)
                files = _written(arguments, found, states, verification)
        if not verification.ok:
            result.update(failed=True, msg=verification.complaint("the operations journal"))
        # A result's own word "failed" is taken.
        lists = {"failures" if name == "failed" else name: found.lists[name] for name in RETURNED}
        said = {name: [{key: entry[key] for key in SAID} for entry in entries] for name, entries in lists.items()}
        years = int(self.variable(variables, "operations_journal_keep_years", LEAST_YEARS))
        result.update(
            changed=bool(events),
            keep_years=years,
            put_away_before=years_before(today, years).isoformat(),
            month=month,
            numbers=found.numbers(),
            backups_missing=found.backups_missing,
            log_days_missing=found.log_days_missing,
            files=files,
            **said,
        )
        return result

    def _inspect(
        self,
        ledger: Ledger,
        found: Month,
        verification: Verification,
        arguments: Mapping[str, Any],
        variables: Mapping[str, Any],
    ) -> list[Event]:
        """Take down that a person of the committee inspected the month."""
        given = arguments["inspection"]
        if given["outcome"] == "corrections_ordered" and not (given["orders"] or given["note"]):
            raise AnsibleActionFail(
                "inspection: with corrections_ordered, orders names the entries or note says what is to be corrected "
                "(clause SM-4.11-3)"
            )
        missing = sorted(set(given["orders"]) - {state.key for state in ledger.find(BOOK, given["orders"])})
        if missing:
            raise AnsibleActionFail("inspection: orders: no such entries: %s (clause SM-4.11-3)" % ", ".join(missing))
        number = len(found.lists["inspections"]) + 1
        last = found.lists["inspections"][-1] if found.lists["inspections"] else None
        if last and (last["actor"], last["outcome"], last["summary"], last["about"]) == (
            given["by"],
            given["outcome"],
            given["note"],
            sorted(given["orders"]),
        ):
            return []
        entry = {
            "id": "inspection-%s-%d" % (found.name, number),
            "kind": "inspection",
            "actor": given["by"],
            "outcome": given["outcome"],
            "summary": given["note"],
            "about": given["orders"],
            "details": {
                "month": found.name,
                "events": verification.count,
                "head": verification.head,
                **found.numbers(),
            },
        }
        committee = self.variable(variables, "operations_journal_committee", [])
        wanted = asked([entry], {}, datetime.datetime.now(datetime.UTC), committee)
        return ledger.append(BOOK, wanted.changes, self.actor(arguments, variables), dry_run=self._task.check_mode)


def _first(month: str) -> str:
    try:
        return days_of(month)[0] + "T00:00:00Z"
    except ValueError:
        raise AnsibleActionFail("month is %r; it must be a month such as 2026-11 (clause SM-4.11-3)" % month) from None


def _sorted(ledger: Ledger, month: str, first: str, today: datetime.date, arguments: Mapping[str, Any]) -> Month:
    entries = [state.fields for state in between(ledger, first, END)]
    return sort_out(entries, month, today, arguments["backup_hosts"], CURRENT.run)


def _written(
    arguments: Mapping[str, Any], found: Month, states: Sequence[State], verification: Verification
) -> list[str]:
    """Write the pages and lists, readable by nobody else."""
    folder = made_folder(arguments["directory"])
    stem = os.path.join(folder, "operations-" + found.name)
    history = os.path.join(folder, "releases-" + found.name)
    mine = [state for state in states if state.fields["at"][:7] == found.name]
    ids = {entry["id"] for entry in found.lists["releases"]}
    releases = [state for state in mine if state.key in ids]
    write_page(stem + ".html", page(found, verification))
    write_states(stem + ".csv", BOOKS[BOOK], mine, "csv", arguments["language"])
    write_page(stem + ".json", _as_json(found, verification).encode())
    write_page(history + ".html", releases_page(found.lists["releases"], found.name, verification))
    write_states(history + ".csv", BOOKS[BOOK], releases, "csv", arguments["language"])
    files = [stem + ".html", stem + ".csv", stem + ".json", history + ".html", history + ".csv"]
    kept_files.note(files)
    return files


def _of_json(entry: Mapping[str, Any]) -> dict[str, Any]:
    """An entry as it stands in the journal, with the id of the run that made it, where it is a change."""
    fields = {name: value for name, value in entry.items() if name not in ("of_run", "is_told")}
    return {**fields, "of_run": entry["of_run"]["id"]} if "of_run" in entry else fields


def _as_json(found: Month, verification: Verification) -> str:
    content = {
        "month": found.name,
        "made": timestamp(),
        "ledger": {"count": verification.count, "head": verification.head, "holds": verification.ok},
        "numbers": found.numbers(),
        **{name: [_of_json(entry) for entry in entries] for name, entries in found.lists.items()},
        "backups": found.backups,
        "backups_missing": found.backups_missing,
        "log_days": found.log_days,
        "log_days_missing": found.log_days_missing,
        "sessions": [
            {"host": host, "person": person, **known, "origins": sorted(known["origins"])}
            for (host, person), known in sorted(found.sessions.items())
        ],
    }
    return json.dumps(content, ensure_ascii=False, indent=1, sort_keys=True) + "\n"
