# SPDX-License-Identifier: GPL-3.0-or-later
"""kijun.baseline.backup_restore; its documentation stands in plugins/modules/backup_restore.py."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ..plugin_utils.host_program import do

Json = dict[str, Any]

PROGRAM = "/usr/local/sbin/kijun-restore"
MARKS = {"+": "too much", "-": "missing", "M": "other content", "U": "other attributes", "T": "another kind"}
SHOWN = 200


class ActionModule(ActionBase):
    """Lists snapshots, and restores from one."""

    TRANSFERS_FILES = False
    _requires_connection = True
    _supports_check_mode = True
    _supports_diff = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Do what ``state`` says.

        Raises:
            AnsibleActionFail: an argument is wrong, or the host refuses; says why.
        """
        result = super().run(tmp, task_vars)
        _, arguments = self.validate_argument_spec(
            {
                "state": {"type": "str", "default": "listed", "choices": ["listed", "beside", "in_place"]},
                "snapshot": {"type": "str", "default": "latest"},
                "class": {"type": "str", "default": ""},
                "paths": {"type": "list", "elements": "str", "default": []},
                "to": {"type": "path"},
                "delete": {"type": "bool", "default": False},
                "leave": {"type": "list", "elements": "str", "default": []},
            }
        )
        state, paths = arguments["state"], arguments["paths"]
        if state == "beside" and not arguments["to"]:
            raise AnsibleActionFail(
                "restore_to is not set; restoring beside what is there needs an empty folder for it"
            )
        if state == "in_place" and not paths and not arguments["class"]:
            raise AnsibleActionFail(
                "neither restore_paths nor restore_class is set; say what is to be made what it was, so that nothing "
                "else is (clause SO-5.2-data-steps)"
            )
        chosen = [word for path in paths for word in ("--path", path)]
        chosen += ["--class", arguments["class"]] if arguments["class"] else []
        if state == "listed":
            result.update(changed=False, snapshots=do(self, PROGRAM, ["list", *chosen], None, "backup.yml"))
            return result
        chosen.append(arguments["snapshot"])
        if state == "beside":
            if self._task.check_mode:
                result.update(changed=True)
                return result
            result.update(
                changed=True, **do(self, PROGRAM, ["beside", *chosen, "--to", arguments["to"]], None, "backup.yml")
            )
            return result
        chosen += ["--delete"] if arguments["delete"] else []
        chosen += [word for pattern in arguments["leave"] for word in ("--leave", pattern)]
        if self._task.check_mode:
            shown: Json = do(self, PROGRAM, ["show", *chosen], None, "backup.yml")
            result.update(changed=bool(shown["count"]), **shown)
            result["diff"] = {"prepared": prepared(shown)}
            return result
        done: Json = do(self, PROGRAM, ["in-place", *chosen], None, "backup.yml")
        result.update(changed=bool(done["count"]), **done)
        return result


def prepared(shown: Json) -> str:
    """What would be put back, a line for each path.

    Args:
        shown: what ``kijun-restore show`` said.
    """
    lines = [f"{MARKS.get(letter[:1], letter):16} {path}\n" for letter, path in shown["paths"][:SHOWN]]
    more = shown["count"] - len(lines)
    return "".join(lines) + (f"... and {more} more\n" if more > 0 else "")
