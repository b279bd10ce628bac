# SPDX-License-Identifier: GPL-3.0-or-later
"""Reports what reconciling hosts found; the documentation stands in plugins/modules/accounts_report.py."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from typing import Any

from ansible.errors import AnsibleActionFail

from ..plugin_utils import kept_files
from ..plugin_utils.accounts import review
from ..plugin_utils.accounts.adoption import adoption
from ..plugin_utils.accounts.findings import Finding
from ..plugin_utils.accounts.pages.document import write_page
from ..plugin_utils.accounts.pages.findings_file import findings_csv
from ..plugin_utils.accounts.pages.ledger import ledger_page
from ..plugin_utils.accounts.pages.reconciliation import reconciliation_page
from ..plugin_utils.accounts.reconcile import (
    AccountUse,
    HostResult,
    Options,
    Reconciliation,
    reconcile_all,
    to_suspend,
    unreached,
)
from ..plugin_utils.ledger.book import Change, State
from ..plugin_utils.ledger.books import BOOKS
from ..plugin_utils.ledger.books.accounts import Account
from ..plugin_utils.ledger.engine import Ledger
from ..plugin_utils.ledger.errors import Refused
from ..plugin_utils.ledger.event import Event, timestamp
from ..plugin_utils.ledger.interchange.export import write_states
from ..plugin_utils.ledger_action import CHANGE_ARGUMENTS, LedgerAction

BOOK = "accounts"
PAGE = 5000
"""Events that are read at a time."""


class ActionModule(LedgerAction):
    """Brings the hosts' results together: pages, a list, proposals, an entry in the book, and suspensions."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Report them."""
        variables = task_vars or {}
        result = super().run(tmp, variables)
        arguments = self.arguments(
            {
                "plan": {"type": "dict", "required": True},
                "results": {"type": "str", "required": True},
                "options": {"type": "dict", "default": {}},
                "directory": {"type": "path", "required": True},
                "language": {"type": "str", "choices": ["en", "ja"], "default": "ja"},
                "suspend_unused": {"type": "bool", "default": False},
                **CHANGE_ARGUMENTS,
            }
        )
        plan, run = arguments["plan"], timestamp()
        answers = {h: _answer(variables, h, arguments["results"]) for h in variables["ansible_play_hosts_all"]}
        options = Options.of({**arguments["options"], "excepted": plan["excepted"]})
        found = reconcile_all((_host_result(host, answer, plan) for host, answer in answers.items()), options)
        idle = to_suspend(found) if arguments["suspend_unused"] else []
        rows = _proposals(answers, self.variable(variables, "accounts_sudo_rules", {}), options)
        table = findings_csv(found.findings, arguments["language"])
        with self.ledger(arguments, variables) as ledger:
            if not self._task.check_mode:
                self._enter(ledger, arguments, variables, result, found, idle, run, table)
                result["files"] = _write(ledger, arguments, found, idle, run, table, rows)
        result.update(
            changed=bool(idle) and not self._task.check_mode,
            run=run,
            findings={kind: count for kind, count in found.kinds.items() if count},
            worst=[entry.as_dict() for entry in found.findings[:50]],
            unreached=[host for host, _ in found.unreached],
            suspended=[login for login, _ in idle],
            adoptable=[row["login"] for row in rows],
        )
        return result

    def _enter(
        self,
        ledger: Ledger,
        arguments: Mapping[str, Any],
        variables: Mapping[str, Any],
        result: dict[str, Any],
        found: Reconciliation,
        idle: list[tuple[str, str]],
        run: str,
        table: bytes,
    ) -> None:
        """Enter the run, and suspend what nobody used."""
        actor, plan = self.actor(arguments, variables), arguments["plan"]
        if idle:
            ledger.append(BOOK, [Change(login, "suspend", {"status_reason": why}) for login, why in idle], actor)
            self.tell_checkpoint(ledger, BOOK, variables, result)
        entry = {
            "hosts": [summary.host for summary in found.hosts],
            "unreached": [host for host, _ in found.unreached],
            "findings": {kind: count for kind, count in found.kinds.items() if count},
            "accounts": found.accounts,
            "ledger_count": plan["ledger"]["count"],
            "ledger_head": plan["ledger"]["head"],
            "report": hashlib.sha256(table).hexdigest(),
            "suspended": [login for login, _ in idle],
        }
        if entry["hosts"]:
            enter_run(ledger, run, entry, actor)
            self.tell_checkpoint(ledger, "reconciliations", variables, result)


def enter_run(ledger: Ledger, run: str, entry: Mapping[str, Any], actor: str) -> str:
    """Enter a run by the time at which it began; where another one, of other hosts, say, began in the same second, by
    that and a number.

    Args:
        ledger: the ledger.
        run: the time.
        entry: the run's fields.
        actor: who reconciles.

    Returns:
        The name by which it is entered.
    """
    number, name = 1, run
    while True:
        try:
            ledger.append("reconciliations", [Change(name, "record", dict(entry))], actor)
            return name
        except Refused:
            if ledger.get("reconciliations", name) is None:
                raise
            number += 1
            name = "%s-%d" % (run, number)


def _answer(variables: Mapping[str, Any], host: str, register: str) -> Mapping[str, Any]:
    answer: Mapping[str, Any] = variables["hostvars"][host].get(register) or {}
    return answer


def _host_result(host: str, answer: Mapping[str, Any], plan: Mapping[str, Any]) -> HostResult:
    """A host's result, out of the JSON that it travelled in."""
    if "reconciled" not in answer:
        why = str(answer.get("msg") or "it was not asked")
        return unreached(host, why, plan["hosts"].get(host, {}))
    fields = dict(answer["reconciled"])
    fields["findings"] = [Finding(*_tuples(entry)) for entry in fields["findings"]]
    fields["uses"] = [AccountUse(*_tuples(entry)) for entry in fields["uses"]]
    fields["ignored"] = [(login, reason) for login, reason in fields["ignored"]]
    return HostResult(**fields)


def _tuples(entry: Any) -> list[Any]:
    """JSON has no tuples; what was one is one again, so that findings can be compared."""
    return [tuple(tuple(x) if isinstance(x, list) else x for x in v) if isinstance(v, list) else v for v in entry]


def _proposals(
    answers: Mapping[str, Mapping[str, Any]], rules: Mapping[str, str], options: Options
) -> list[dict[str, Any]]:
    states = [(host, answer["unregistered"]) for host, answer in answers.items() if "unregistered" in answer]
    return adoption(states, rules, ignored=options.ignored)


def _write(
    ledger: Ledger,
    arguments: Mapping[str, Any],
    found: Reconciliation,
    idle: list[tuple[str, str]],
    run: str,
    table: bytes,
    rows: list[dict[str, Any]],
) -> dict[str, str]:
    """Write the pages and lists; what each is -> its file."""
    directory, ledger_of_run = arguments["directory"], arguments["plan"]["ledger"]
    files = {
        "reconciliation": os.path.join(directory, "reconciliation.html"),
        "findings": os.path.join(directory, "findings.csv"),
        "ledger": os.path.join(directory, "ledger.html"),
    }
    try:
        os.makedirs(directory, mode=0o700, exist_ok=True)
    except OSError as error:
        raise AnsibleActionFail("accounts_report_directory %s: %s" % (directory, error.strerror)) from None
    page = reconciliation_page(
        found, run=run, ledger_count=ledger_of_run["count"], ledger_head=ledger_of_run["head"], suspended=idle
    )
    write_page(files["reconciliation"], page)
    write_page(files["findings"], table)
    write_page(files["ledger"], page_of_ledger(ledger))
    proposal = os.path.join(directory, "adoption.xlsx")
    if rows:
        write_states(proposal, BOOKS[BOOK], map(_state, rows), "xlsx", arguments["language"])
        files["adoption"] = proposal
    elif os.path.exists(proposal):
        os.unlink(proposal)  # an earlier run's proposal, which was followed
    kept_files.note(files.values())
    return files


def page_of_ledger(ledger: Ledger) -> str:
    """The account book's page.

    Args:
        ledger: the ledger.
    """
    states = ledger.states(BOOK)
    late = review.overdue_in(ledger, states, LedgerAction.today())
    return ledger_page(states, _all_events(ledger), ledger.verify(BOOK), at=timestamp(), overdue=late)


def _all_events(ledger: Ledger) -> Iterator[Event]:
    for offset in range(0, ledger.checkpoint(BOOK).count, PAGE):
        yield from ledger.events(BOOK, limit=PAGE, offset=offset)


def _state(row: Mapping[str, Any]) -> State:
    """A proposal as an entry of the book that is not there yet: what only people know is empty."""
    fields = {
        name: row.get(name) or (None if field.is_required() else field.get_default())
        for name, field in Account.model_fields.items()
    }
    return State(row["login"], 0, 0, {**fields, "password": row["password"]})
