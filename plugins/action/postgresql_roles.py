# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller's side of kijun.baseline.postgresql_roles; its documentation stands in plugins/modules."""

from __future__ import annotations

import json
import secrets
from typing import Any

from ansible.errors import AnsibleActionFail

from ..plugin_utils.host_python import HostPythonAction
from ..plugin_utils.postgresql_roles import Wish, complaints, departures, plan, question, script

SHIPPED = ("psql.py",)
"""What runs on the host, below plugins/module_utils."""


class ActionModule(HostPythonAction):
    """Reads roles and rights, compares them here, where the passwords are, and sends what is to change."""

    _supports_diff = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Bring the roles of one host's PostgreSQL to what they should be."""
        self._variables = task_vars or {}
        result = super().run(tmp, self._variables)
        given = self._given()
        wish = Wish(given["database"], given["owner"], given["passwords"])
        wrong = complaints(wish)
        if wrong:
            raise AnsibleActionFail("; ".join(wrong))
        key = secrets.token_hex(32)
        output = self._psql(question(wish, key), False)
        state = json.loads(output[0]) if output else None
        if state and not self._task.check_mode:
            self._hold(state, given["settings"])
        steps = plan(state, json.loads(output[1]) if len(output) > 1 else None, wish, key)
        if steps and not self._task.check_mode:
            self._psql(script(steps), True)
        said = [step.what for step in steps if step.what]
        after = "".join("%s\n" % line for line in said)
        return {**result, "changed": bool(steps), "steps": said, "diff": {"before": "", "after": after}}

    def _given(self) -> dict[str, Any]:
        """The arguments. Ansible's own check of them would quote what is of the wrong type."""
        given: dict[str, Any] = {"settings": {}, **self._task.args}
        known = {"version": str, "database": str, "owner": str, "passwords": dict, "settings": dict}
        wrong = [name for name, kind in known.items() if not isinstance(given.get(name), kind)]
        wrong += sorted(set(given) - set(known))
        if wrong:
            allowed = ", ".join("%s (%s)" % (name, kind.__name__) for name, kind in known.items())
            raise AnsibleActionFail("%s: missing, unknown or of another type; allowed are %s" % (wrong[0], allowed))
        return given

    def _psql(self, sql: str, secret: bool) -> list[str]:
        """Run SQL on the host; the lines of its output. None of a server that is not installed yet, in check mode."""
        asked = {"version": self._task.args["version"], "script": sql, "secret": secret}
        answer = self.ask("psql", SHIPPED, asked, self._variables)
        if not answer["installed"] and not self._task.check_mode:
            raise AnsibleActionFail("PostgreSQL %s is not installed on this host" % asked["version"])
        if answer["problem"]:
            raise AnsibleActionFail(
                "PostgreSQL %s: %s; see journalctl -u 'postgresql@*' and /var/log/postgresql on the host"
                % (asked["version"], answer["problem"])
            )
        return list(answer["output"])

    def _hold(self, state: dict[str, Any], settings: dict[str, str]) -> None:
        found = departures(state, settings)
        if any(line.startswith("data_checksums ") for line in found):
            found.append("checksums are added while the server is stopped: pg_checksums --enable")
        if found:
            raise AnsibleActionFail("PostgreSQL does not run as it should: %s" % "; ".join(found))
