# SPDX-License-Identifier: GPL-3.0-or-later
"""Holds the reset of a PC against the ledger, and enters it; documented in plugins/modules/client_reset.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail

from ..plugin_utils.book_report import named_record, written_record
from ..plugin_utils.client_reset import BOOK, Request, books_of, destroyed, lines, refusals
from ..plugin_utils.ledger.book import Change
from ..plugin_utils.ledger.errors import Refused
from ..plugin_utils.ledger_action import CHANGE_ARGUMENTS, LedgerAction, plain

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
            is_controller=self._is_controller(seen),
            actor=actor,
            approver=arguments["approver"],
            no_data=arguments["no_data"].strip(),
        )
        if erased:
            self._enter(request, seen, erased, arguments, variables, result)
        else:
            self._look(request, seen, arguments, variables)
            result.update(changed=False, record="", file="")
        result["volumes"] = [{"device": one["device"], "uuid": one["uuid"]} for one in seen["encrypted"]]
        return result

    def _look(
        self, request: Request, seen: dict[str, Any], arguments: dict[str, Any], variables: dict[str, Any]
    ) -> None:
        """Say everything that speaks against it, the book's own rules too."""
        with self.ledger(arguments, variables) as ledger:
            wrong = refusals(request, books_of(ledger, request), seen)
            change = _change(request, "not yet reset", lines(seen["encrypted"]) or ["nothing"], arguments)
            try:
                ledger.append(BOOK, [change], request.actor, dry_run=True)
            except Refused as error:
                # What is said already, and what to do about it, is not said twice.
                wrong += [str(problem) for problem in error.problems if not wrong or problem.field not in SAID]
        if wrong:
            raise AnsibleActionFail("nothing was changed: %s" % "; ".join(wrong))

    def _enter(
        self,
        request: Request,
        seen: dict[str, Any],
        erased: dict[str, Any],
        arguments: dict[str, Any],
        variables: dict[str, Any],
        result: dict[str, Any],
    ) -> None:
        """Write the record first: what was destroyed is destroyed, whatever the ledger says then."""
        volumes = destroyed(seen["encrypted"], erased)
        about = named_record(_about(request, volumes, erased, arguments), "RST", str(erased["ended"]))
        path = "" if self._task.check_mode else written_record(about, arguments["directory"])
        change = _change(request, about["record"], lines(volumes), arguments)
        try:
            with self.ledger(arguments, variables) as ledger:
                events = ledger.append(BOOK, [change], request.actor, dry_run=self._task.check_mode)
                if events and path:
                    self.tell_checkpoint(ledger, BOOK, variables, result)
        except AnsibleActionFail as error:
            reason = (
                "the keys are destroyed, as %s says, and the book did not take it; enter it by asset_entries.yml: %s"
            )
            raise AnsibleActionFail(reason % (path, error)) from None
        result.update(changed=bool(events) and bool(path), record=about["record"], file=path)

    def _is_controller(self, seen: dict[str, Any]) -> bool:
        """Whether the PC is the machine that this runs on."""
        try:
            own = Path("/etc/machine-id").read_text(encoding="ascii").strip()
        except OSError:
            own = ""
        return self._connection.transport == "local" or bool(own and own == seen["machine_id"])


def _change(request: Request, record: str, volumes: list[str], arguments: dict[str, Any]) -> Change:
    """The entry of the reset."""
    return Change(
        key=request.asset,
        action="reset",
        payload={"reset_method": "crypto_erase", "reset_record": record, "reset_of": volumes},
        approver=request.approver,
        ticket=arguments["ticket"],
    )


def _about(
    request: Request, volumes: list[dict[str, Any]], erased: dict[str, Any], arguments: dict[str, Any]
) -> dict[str, Any]:
    """What proves the reset."""
    return {
        **erased,
        "volumes": volumes,
        "asset": request.asset,
        "host": request.host,
        "serial": request.serial,
        "no_data": request.no_data,
        "reset_by": request.actor,
        "approver": request.approver,
        "ticket": arguments["ticket"],
        "next_step": "install it anew with encrypted disks, and run playbooks/client_baseline.yml",
    }
