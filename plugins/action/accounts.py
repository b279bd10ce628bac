# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller's side of kijun.baseline.accounts; its documentation stands in plugins/modules/accounts.py."""

from __future__ import annotations

import time
from typing import Any

from ansible.errors import AnsibleActionFail

from ..plugin_utils.guarded import GuardedAction
from ..plugin_utils.run_id import run_id

SHIPPED = (
    "host_accounts/*.py",
    "facts/__init__.py",
    "facts/host.py",
    "facts/accounts.py",
    "facts/files.py",
    "facts/sshd.py",
    "facts/sshd_match.py",
    "verdict.py",
    "candidate_view.py",
    "file_commit.py",
    "file_request.py",
    "file_state.py",
    "file_transaction.py",
    "guard.py",
    "guard_program.py",
)
"""What runs on the host, below plugins/module_utils."""


class ActionModule(GuardedAction):
    """Hands a host its accounts, and gives back what was done."""

    _supports_diff = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Make one host's accounts what the ledger says."""
        variables = task_vars or {}
        result = super().run(tmp, variables)
        _, arguments = self.validate_argument_spec(
            {
                "accounts": {"type": "list", "elements": "dict", "no_log": False},
                "plan": {"type": "dict", "no_log": False},
                "archive_directory": {"type": "str", "default": "/var/lib/kijun/accounts/archive"},
                "may_remove_last_administrator": {"type": "bool", "default": False},
                "guard": {"type": "dict", "options": {}},
            },
            mutually_exclusive=[["accounts", "plan"]],
            required_one_of=[["accounts", "plan"]],
        )
        guarded = arguments["guard"] is not None
        seconds = self.guard_seconds(variables) if guarded else 0
        archive = arguments["archive_directory"]
        if not archive.startswith("/") or archive == "/" or "/.." in archive:
            raise AnsibleActionFail("archive_directory is %r; an absolute path without '..' is allowed" % archive)
        accounts = arguments["accounts"]
        if accounts is None:
            accounts = accounts_of(arguments["plan"], variables["inventory_hostname"])
        asked = {
            "accounts": accounts,
            "check": self._task.check_mode,
            "diff": self._task.diff,
            "login_account": variables.get("ansible_user") or self._connection_user(),
            "archive_directory": archive,
            "may_remove_last_administrator": arguments["may_remove_last_administrator"],
            "guard": {"run": run_id(), "seconds": seconds} if guarded else None,
        }
        answer = self.guarded(variables, lambda: self._apply(asked, variables, seconds), seconds)
        if not asked["diff"]:
            answer.pop("diff", None)
        result.update(answer)
        # What was given holds hashes: it must not come back with the result (ansible-playbook -vvv shows that).
        result["invocation"] = {"module_args": {"archive_directory": archive}}
        return result

    def _apply(self, asked: dict[str, Any], variables: dict[str, Any], seconds: int) -> dict[str, Any]:
        answer = self.ask("host_accounts.apply", SHIPPED, asked, variables)
        if answer.get("failed") and answer["changed"] and answer["guard_armed"]:
            # One account's home or session failed. The others' changes stay, a leaver's lock among them. This task is
            # the host's last in the run, so it proves the access itself.
            proof = self.prove(variables, time.time() + seconds)
            answer["guard_armed"] = False
            if proof.get("failed"):
                answer["msg"] = "%s. %s" % (answer["msg"], proof["msg"])
        return answer

    def _connection_user(self) -> str | None:
        """Whom the connection logs in as; nobody for a local one."""
        return getattr(self._connection._play_context, "remote_user", None)


def accounts_of(plan: dict[str, Any], host: str) -> list[dict[str, Any]]:
    """Take one host's accounts from the plan for all.

    Args:
        plan: ``accounts`` (login -> what it must look like) and ``hosts`` (host -> list of logins, or mapping of logins
            to what differs on that host).
        host: the host's name in the inventory.

    Returns:
        The host's accounts; none where the plan does not name it.

    Raises:
        AnsibleActionFail: the plan is not of that form.
    """
    known, hosts = plan.get("accounts"), plan.get("hosts")
    if not isinstance(known, dict) or not isinstance(hosts, dict):
        raise AnsibleActionFail("plan: mappings 'accounts' and 'hosts' are needed")
    if host not in hosts:
        raise AnsibleActionFail("plan: there is no host %s in it; a host without accounts has an empty list" % host)
    chosen = hosts[host] or {}
    own = chosen if isinstance(chosen, dict) else dict.fromkeys(chosen)
    unknown = sorted(set(own) - set(known))
    if unknown:
        raise AnsibleActionFail("plan: host %s has accounts that stand nowhere: %s" % (host, ", ".join(unknown)))
    return [{"login": login, **known[login], **(own[login] or {})} for login in own]
