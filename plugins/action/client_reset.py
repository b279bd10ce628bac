# SPDX-License-Identifier: GPL-3.0-or-later
"""Holds the reset of a PC against the ledger, and enters it; documented in plugins/modules/client_reset.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail

from ..plugin_utils.book_report import named_record, written_record
from ..plugin_utils.client_reset import Books, Request, destroyed, lines, refusals
from ..plugin_utils.journal.words import BOOK as JOURNAL
from ..plugin_utils.ledger.book import Change
from ..plugin_utils.ledger.engine import Ledger
from ..plugin_utils.ledger.errors import Refused
from ..plugin_utils.ledger_action import CHANGE_ARGUMENTS, LedgerAction, plain

BOOK = "assets"
READ = (BOOK, "accounts", "media", "incidents", JOURNAL)
"""Books that are believed, each if its chain holds."""

SAID = ("status", "approver", "kind")
"""Fields that the book would complain about as well."""


class ActionModule(LedgerAction):
    """Says whether a PC may be reset, or enters that it was."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Look, or enter."""
        variables = task_vars or {}
        result = super().run(tmp, variables)
        arguments = self.arguments(
            {
                "asset": {"type": "str", "required": True},
                "serial": {"type": "str", "required": True},
                "host": {"type": "str", "required": True},
                "seen": {"type": "dict", "required": True},
                "approver": {"type": "str", "required": True},
                "ticket": {"type": "str", "required": True},
                "no_data": {"type": "str", "default": ""},
                "erased": {"type": "dict"},
                "directory": {"type": "path"},
                **CHANGE_ARGUMENTS,
            },
            required_by={"erased": ("directory",)},
        )
        actor, seen, erased = self.actor(arguments, variables), plain(arguments["seen"]), plain(arguments["erased"])
        request = Request(
            asset=arguments["asset"],
            serial=arguments["serial"],
            host=arguments["host"],
            is_client=arguments["host"] in variables.get("groups", {}).get("clients", ()),
            is_controller=self._is_controller(seen, variables),
            actor=actor,
            approver=arguments["approver"],
            no_data=arguments["no_data"].strip(),
        )
        pretend = not erased or self._task.check_mode
        with self.ledger(arguments, variables) as ledger:
            books = _books(ledger, request) if not erased else Books(_asset(ledger, request.asset))
            wrong = refusals(request, books, seen) if not erased else []
            volumes = destroyed(seen["encrypted"], erased) if erased else []
            about = _record(request, books, volumes, erased, actor, arguments) if erased else {}
            path = written_record(about, arguments["directory"]) if not pretend else ""
            change = Change(
                key=request.asset,
                action="reset",
                payload={
                    "reset_method": "crypto_erase",
                    "reset_record": about.get("record", "not yet reset"),
                    "reset_of": lines(volumes or seen["encrypted"]) or ["nothing"],
                },
                approver=arguments["approver"],
                ticket=arguments["ticket"],
            )
            try:
                events = ledger.append(BOOK, [change], actor, dry_run=pretend)
            except Refused as error:
                # What is said already, and what to do about it, is not said twice.
                wrong += [str(problem) for problem in error.problems if not wrong or problem.field not in SAID]
            if wrong:
                done = "the keys are destroyed, and the book did not take it" if erased else "nothing was changed"
                raise AnsibleActionFail("%s: %s" % (done, "; ".join(wrong)))
            if events and not pretend:
                self.tell_checkpoint(ledger, BOOK, variables, result)
        result.update(changed=bool(events) and not pretend, record=about.get("record", ""), file=path)
        result["volumes"] = [{"device": one["device"], "uuid": one["uuid"]} for one in seen["encrypted"]]
        return result

    def _is_controller(self, seen: dict[str, Any], variables: dict[str, Any]) -> bool:
        """Whether the PC is the machine that this runs on."""
        try:
            own = Path("/etc/machine-id").read_text(encoding="ascii").strip()
        except OSError:
            own = ""
        return self._connection.transport == "local" or bool(own and own == seen["machine_id"])


def _asset(ledger: Ledger, name: str) -> dict[str, Any] | None:
    known = ledger.get(BOOK, name)
    return known.fields if known else None


def _books(ledger: Ledger, request: Request) -> Books:
    """What the ledger says about the PC; a book that was altered says nothing."""
    for book in READ:
        verification = ledger.verify(book)
        if not verification.ok:
            raise AnsibleActionFail("nothing was changed: %s" % verification.complaint("the book of %s" % book))
    stored = ledger.events(BOOK, {"key": request.asset, "action": ["store", "find"]}, newest_first=True, limit=1)
    history = {"hosts": [request.host], "kind": ["backup", "restore_test"]}
    return Books(
        asset=_asset(ledger, request.asset),
        stored_on=stored[0].at[:10] if stored else "",
        accounts=[state.fields for state in ledger.states("accounts", {"hosts": [request.host]})],
        media=[state.fields for state in ledger.states("media", {"hosts": [request.host]})],
        incidents=[state.fields for state in ledger.states("incidents", {"host": [request.host]})],
        history=[state.fields for state in ledger.states(JOURNAL, history)],
    )


def _record(
    request: Request,
    books: Books,
    volumes: list[dict[str, Any]],
    erased: dict[str, Any],
    actor: str,
    arguments: dict[str, Any],
) -> dict[str, Any]:
    """What proves the reset."""
    asset = books.asset or {}
    said = {
        **erased,
        "volumes": volumes,
        "asset": request.asset,
        "host": request.host,
        "serial": request.serial,
        "last_user": asset.get("last_user", ""),
        "owner": asset.get("owner", ""),
        "no_data": request.no_data,
        "reset_by": actor,
        "approver": arguments["approver"],
        "ticket": arguments["ticket"],
        "next_step": "install it anew, and run playbooks/client_baseline.yml",
    }
    return named_record(said, "RST", str(erased["ended"]))
