# SPDX-License-Identifier: GPL-3.0-or-later
"""Issues second factors on the controller; the documentation stands in plugins/modules/second_factor_issue.py."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleActionFail

from ..module_utils.facts.sshd import SECRETS
from ..plugin_utils import kept_files
from ..plugin_utils.accounts.handover import HandoverError
from ..plugin_utils.accounts.second_factor import SecondFactor, issue
from ..plugin_utils.ledger.event import timestamp
from ..plugin_utils.ledger_action import URL_ARGUMENT, LedgerAction
from ..plugin_utils.limits import NAME

KEYS = {
    "login": {"type": "str", "required": True},
    "ssh_keys": {"type": "list", "elements": "str", "default": [], "no_log": False},
    "age_key": {"type": "str", "default": "", "no_log": False},
}
NAMES: dict[str, Any] = {"type": "list", "elements": "str", "default": []}


class ActionModule(LedgerAction):
    """Makes secrets for accounts that lack one, seals them, and says which files hosts get."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Issue."""
        variables = task_vars or {}
        result = super().run(tmp, variables)
        arguments = self.arguments(
            {
                "accounts": {"type": "list", "elements": "dict", "options": KEYS, "default": []},
                "renew": NAMES,
                "withdraw": NAMES,
                "states": {"type": "str", "required": True},
                "handover_directory": {"type": "path", "required": True},
                **URL_ARGUMENT,
            }
        )
        check = self._task.check_mode
        states = _states(arguments["states"], variables)
        wanted = _wanted(arguments, states)
        keys = self._keys(arguments, variables, list(wanted))
        try:
            issued = {login: issue(login, keys[login], hosts, self.today()) for login, hosts in wanted.items()}
        except HandoverError as error:
            raise AnsibleActionFail("%s; nothing was changed" % error) from None
        files = {} if check else _write(arguments["handover_directory"], issued)
        result.update(
            changed=bool(issued),
            host_files=_host_files(arguments["withdraw"], states, wanted, issued),
            handover=[
                {"login": login, "hosts": wanted[login], "recipient": made.sealed.recipient, "file": files.get(login)}
                for login, made in issued.items()
            ],
        )
        return result

    def _keys(self, arguments: Mapping[str, Any], variables: Mapping[str, Any], logins: list[str]) -> dict[str, Any]:
        """Login -> what its message is sealed to: the task's keys, or else the account ledger's."""
        keys = {entry["login"]: entry for entry in arguments["accounts"] if entry["ssh_keys"] or entry["age_key"]}
        rest = [login for login in logins if login not in keys]
        if rest:
            with self.ledger(arguments, variables) as ledger:
                keys.update({state.key: state.fields for state in ledger.find("accounts", rest)})
            unknown = sorted(set(rest) - set(keys))
            if unknown:
                raise AnsibleActionFail(
                    "%s: not in the account ledger, and no ssh_keys or age_key is given" % ", ".join(unknown)
                )
        return keys


def _states(register: str, variables: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Host -> what second_factor_state said of it; of hosts that answered."""
    told = {host: variables["hostvars"][host].get(register) or {} for host in variables["ansible_play_hosts"]}
    return {host: state for host, state in told.items() if "enrolled" in state}


def _wanted(arguments: Mapping[str, Any], states: Mapping[str, Mapping[str, Any]]) -> dict[str, list[str]]:
    """Login -> hosts that get a secret: those that have the account and no secret, or, renewed, all that have it.

    Raises:
        AnsibleActionFail: a name is none, or no host has the account.
    """
    logins = [entry["login"] for entry in arguments["accounts"]]
    for login in (*logins, *arguments["renew"], *arguments["withdraw"]):
        if not NAME.fullmatch(login):
            raise AnsibleActionFail("%r is no login name" % login)
    wanted = {}
    for login in dict.fromkeys(logins):
        hosts = [host for host, state in states.items() if login in state["present"]]
        if not hosts:
            raise AnsibleActionFail("second_factor_accounts: no host of this run has the account %s" % login)
        lacking = [h for h in hosts if login not in states[h]["enrolled"] or login in arguments["renew"]]
        if lacking and login not in arguments["withdraw"]:
            wanted[login] = lacking
    return wanted


def _host_files(
    withdrawn: Sequence[str],
    states: Mapping[str, Mapping[str, Any]],
    wanted: Mapping[str, list[str]],
    issued: Mapping[str, SecondFactor],
) -> dict[str, list[dict[str, Any]]]:
    """Host -> entries for config_files."""
    found: dict[str, list[dict[str, Any]]] = {}
    for host, state in states.items():
        gone = [{"path": "%s/%s" % (SECRETS, n), "state": "absent"} for n in withdrawn if n in state["enrolled"]]
        made = [
            {"path": "%s/%s" % (SECRETS, login), "content": issued[login].file, "mode": "0600", "secret": True}
            for login, hosts in wanted.items()
            if host in hosts
        ]
        folder = [{"path": SECRETS, "state": "directory", "mode": "0700"}] if made else []
        found[host] = folder + made + gone
    return found


def _write(directory: str, issued: Mapping[str, SecondFactor]) -> dict[str, str]:
    """Write sealed messages, one file each; login -> file."""
    files = {}
    try:
        for login, made in issued.items():
            os.makedirs(directory, mode=0o700, exist_ok=True)
            name = "%s-second-factor-%s.age" % (login, timestamp().replace(":", ""))
            files[login] = os.path.join(directory, name)
            descriptor = os.open(files[login], os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(made.sealed.text)
            kept_files.note([files[login]])
    except OSError as error:
        raise AnsibleActionFail(
            "second_factor_handover_directory %s: %s; no host was changed" % (directory, error.strerror)
        ) from None
    return files
