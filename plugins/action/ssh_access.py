# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller's side of kijun.baseline.ssh_access; its documentation stands in plugins/modules/ssh_access.py."""

from __future__ import annotations

import ipaddress
from typing import Any

from ansible.errors import AnsibleActionFail

from ..plugin_utils.host_python import HostPythonAction

FACTS = ("__init__", "files", "host", "sshd", "sshd_match")
SHIPPED = ("ssh_access.py", "verdict.py", *("facts/%s.py" % name for name in FACTS))
"""What runs on the host, below plugins/module_utils."""


class ActionModule(HostPythonAction):
    """Refuses settings that would shut out the session that makes them."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Look at one host and the session that Ansible has there."""
        variables = task_vars or {}
        result = super().run(tmp, variables)
        names: dict[str, Any] = {"type": "list", "elements": "str", "default": []}
        _, arguments = self.validate_argument_spec(
            {
                "allowed_groups": names,
                "second_factor_groups": names,
                "networks": names,
                "root_login": {"type": "bool", "default": False},
                "rsa_bits": {"type": "int", "default": 3072},
            }
        )
        seen = self.ask("ssh_access", SHIPPED, {"rsa_bits": arguments["rsa_bits"]}, variables)
        wrong = complaints(seen, arguments)
        if wrong:
            raise AnsibleActionFail("; ".join(wrong))
        problem = seen.pop("problem")
        warnings = ["sshd takes no new connection: %s" % problem] if problem else []
        if seen["earlier"]:
            warnings.append(
                "sshd reads %s before 00-kijun.conf, so that what they set wins; the audit shows what they loosen"
                % ", ".join(seen["earlier"])
            )
        result.update(changed=False, warnings=warnings, **seen)
        return result


def complaints(seen: dict[str, Any], arguments: dict[str, Any]) -> list[str]:
    """What would shut out the session that Ansible has.

    Args:
        seen: what the host says of it; an empty login is none.
        arguments: the task's.

    Returns:
        One text for each setting: its name, its value, what is allowed and the clause.
    """
    login, groups = seen["login"], set(seen["groups"])
    if not login:
        return []
    wrong = []
    if login == "root" and not arguments["root_login"]:
        wrong.append(
            "ansible_user is 'root', who will not be let in any more; log in as an administrator who may use sudo "
            "(clause GL-2.5-2)"
        )
    elif arguments["allowed_groups"] and not groups & set(arguments["allowed_groups"]):
        wrong.append(
            "ssh_allowed_groups is %r; it must contain a group of %s, the account that Ansible logs in with, which is "
            "in %s (clause GL-2.5-2)" % (arguments["allowed_groups"], login, ", ".join(sorted(groups)))
        )
    asked = groups & set(arguments["second_factor_groups"])
    if asked:
        wrong.append(
            "ssh_second_factor_groups is %r; it must not contain a group of %s, the account that Ansible logs in with, "
            "which is in %s (clause ST-8-3)" % (arguments["second_factor_groups"], login, ", ".join(sorted(asked)))
        )
    if arguments["networks"] and not _within(seen["address"], arguments["networks"]):
        wrong.append(
            "ssh_admin_networks is %r; it must contain %s, the address that Ansible comes from (clause GL-2.5-1)"
            % (arguments["networks"], seen["address"])
        )
    return wrong


def _within(address: str, networks: list[str]) -> bool:
    one = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(one, ipaddress.IPv6Address) and one.ipv4_mapped:
        one = one.ipv4_mapped
    parsed = [ipaddress.ip_network(network, strict=False) for network in networks]
    return any(one.version == network.version and one in network for network in parsed)
