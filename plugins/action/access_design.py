# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes and enters the design of access rights; the documentation stands in plugins/modules/access_design.py."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleActionFail

from ..plugin_utils import kept_files
from ..plugin_utils.access_document import canonical, changes, design, digest, page
from ..plugin_utils.ledger.book import Change
from ..plugin_utils.ledger.interchange.files import written_whole
from ..plugin_utils.ledger_action import CHANGE_ARGUMENTS, LedgerAction

BOOK = "access_designs"
IN_FORCE = ("active", "approved")
"""Statuses of accounts that have rights."""


class ActionModule(LedgerAction):
    """Compares the design as it would be with the one in force, and enters it when somebody approved it."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Do it, once for all hosts."""
        variables = task_vars or {}
        result = super().run(tmp, variables)
        arguments = self.arguments(
            {
                "name": {"type": "str", "default": "access"},
                "rights": {"type": "str", "required": True},
                "directory": {"type": "path"},
                "approver": {"type": "str", "default": ""},
                "ticket": {"type": "str", "default": ""},
                **CHANGE_ARGUMENTS,
            }
        )
        rights = self._rights(arguments["rights"], variables)
        with self.ledger(arguments, variables) as ledger:
            accounts = [state.fields for state in ledger.states("accounts") if state.fields["status"] in IN_FORCE]
            document = design(rights, accounts)
            text = canonical(document)
            known = {state.key: state for state in ledger.find(BOOK, [arguments["name"]])}.get(arguments["name"])
            before = json.loads(known.fields["document"]) if known else None
            differs = known is None or known.fields["digest"] != digest(text)
            events = []
            if differs and (arguments["approver"] or arguments["ticket"]):
                payload = {"hosts": sorted(rights), "digest": digest(text), "document": text}
                change = Change(arguments["name"], "issue", payload, arguments["approver"], arguments["ticket"])
                actor = self.actor(arguments, variables)
                events = ledger.append(BOOK, [change], actor, dry_run=self._task.check_mode)
                if events and not self._task.check_mode:
                    self.tell_checkpoint(ledger, BOOK, variables, result)
        version = (known.version if known else 0) + len(events)
        about = {
            "Version": version if not differs or events else "draft, not approved; version %d is in force" % version,
            "SHA-256": digest(text),
        }
        paths = self._write(arguments, page(arguments["name"], document, about), text)
        differences = changes(before, document) if differs else []
        result.update(
            changed=bool(events),
            version=version,
            digest=digest(text),
            approved=not differs or bool(events),
            differences=differences,
            files=paths,
            diff={"before": "", "after": "".join("%s\n" % line for line in differences)},
        )
        return result

    def _rights(self, name: str, variables: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """What each host of the play is set to.

        Raises:
            AnsibleActionFail: a host has no such fact. A design that leaves hosts out unseen is none.
        """
        hosts = list(variables.get("ansible_play_hosts_all", []))
        found = {host: self._templar.template(variables["hostvars"][host].get(name)) for host in hosts}
        missing = [host for host, rights in found.items() if not isinstance(rights, dict)]
        if missing or not found:
            raise AnsibleActionFail("%s: %s have no such fact" % (name, ", ".join(missing) or "no hosts, which"))
        return found

    def _write(self, arguments: Mapping[str, Any], text: str, document: str) -> list[str]:
        if not arguments["directory"] or self._task.check_mode:
            return []
        paths = []
        try:
            os.makedirs(arguments["directory"], mode=0o700, exist_ok=True)
            for suffix, content in (("md", text), ("json", document)):
                path = os.path.join(arguments["directory"], "%s.%s" % (arguments["name"], suffix))
                with written_whole(path) as file:
                    file.write(content.encode())
                paths.append(path)
                kept_files.note([path])
        except OSError as error:
            raise AnsibleActionFail("%s: %s" % (error.filename, error.strerror)) from None
        return paths
