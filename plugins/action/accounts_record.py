# SPDX-License-Identifier: GPL-3.0-or-later
"""Enters what the role accounts did on hosts; the documentation stands in plugins/modules/accounts_record.py."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleActionFail

from ..plugin_utils import kept_files
from ..plugin_utils.ledger.book import Change, State
from ..plugin_utils.ledger.engine import Ledger
from ..plugin_utils.ledger.event import timestamp
from ..plugin_utils.ledger_action import CHANGE_ARGUMENTS, LedgerAction

BOOK = "accounts"


class ActionModule(LedgerAction):
    """Activates accounts that came to be, and records passwords that were set and handed over."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Enter it."""
        variables = task_vars or {}
        result = super().run(tmp, variables)
        arguments = self.arguments(
            {
                "plan": {"type": "dict", "required": True},
                "results": {"type": "str", "required": True},
                "handover_directory": {"type": "path"},
                **CHANGE_ARGUMENTS,
            }
        )
        plan, check = arguments["plan"], self._task.check_mode
        passwords, present = _done(arguments["results"], variables, plan)
        handed = {login: plan["issued"][login] for login in sorted(passwords) if login in plan["issued"]}
        with self.ledger(arguments, variables) as ledger:
            changes = _changes(ledger, passwords, present)
            actor = self.actor(arguments, variables)
            events = ledger.append(BOOK, changes, actor, dry_run=check)
            if not check:
                files = _write(arguments["handover_directory"], handed)
                if events:
                    self.tell_checkpoint(ledger, BOOK, variables, result)
        handover = [] if check else [_shown(login, sealed, files) for login, sealed in handed.items()]
        result.update(
            changed=bool(events),
            activated=[event.key for event in events if event.action == "activate"],
            handover=handover,
        )
        if handover and not files:
            result["ansible_stats"] = {"data": {"kijun_handover": handover}, "aggregate": True, "per_host": False}
        return result


def _done(
    register: str, variables: Mapping[str, Any], plan: Mapping[str, Any]
) -> tuple[dict[str, list[str]], set[str]]:
    """What the hosts report: login -> hosts where its password was set; and the logins that some host has now."""
    passwords: dict[str, list[str]] = {}
    present: set[str] = set()
    for host in variables["ansible_play_hosts"]:  # without those whose guard took the change back
        applied = variables["hostvars"][host].get(register) or {}
        if "passwords_set" not in applied or applied.get("failed") or applied.get("unreachable"):
            continue
        present |= {
            login
            for login, overrides in plan["hosts"].get(host, {}).items()
            if overrides.get("state", plan["accounts"][login]["state"]) == "present"
        }
        for login in applied["passwords_set"]:
            passwords.setdefault(login, []).append(host)
    return passwords, present


def _changes(ledger: Ledger, passwords: Mapping[str, list[str]], present: set[str]) -> list[Change]:
    """The entries that follow; an account that changed meanwhile is entered as it is now."""
    now = timestamp()
    states: dict[str, State] = {state.key: state for state in ledger.find(BOOK, {*passwords, *present})}
    changes = []
    for login, state in sorted(states.items()):
        if login in present and state.fields["status"] == "approved":
            changes.append(Change(login, "activate", version=state.version))
        if login in passwords and state.fields["status"] in ("approved", "active"):
            issued = {**state.fields["issued"], **dict.fromkeys(passwords[login], now)}
            changes.append(Change(login, "issue", {"issued": issued}, version=state.version))
    return changes


def _write(directory: str | None, handed: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Write sealed messages, one file each, which only their owner and their recipient can read; login -> file."""
    if not directory or not handed:
        return {}
    files = {}
    try:
        os.makedirs(directory, mode=0o700, exist_ok=True)
        for login, sealed in handed.items():
            suffix = {"vault": "vault"}.get(sealed["how"], "age")
            name = "%s-%s.%s" % (login, timestamp().replace(":", ""), suffix)
            files[login] = os.path.join(directory, name)
            descriptor = os.open(files[login], os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(sealed["text"])
            kept_files.note([files[login]])
    except OSError as error:
        raise AnsibleActionFail(
            "accounts_handover_directory %s: %s; the passwords are set: reissue them" % (directory, error.strerror)
        ) from None
    return files


def _shown(login: str, sealed: Mapping[str, Any], files: Mapping[str, str]) -> dict[str, Any]:
    shown = {"login": login, **{name: sealed[name] for name in ("hosts", "how", "recipient", "text")}}
    return {**shown, "file": files[login]} if login in files else shown
