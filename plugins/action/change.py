# SPDX-License-Identifier: GPL-3.0-or-later
"""kijun.baseline.change; its documentation stands in plugins/modules/change.py."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure

from ..plugin_utils import change as about
from ..plugin_utils.child_run import find_playbook
from ..plugin_utils.guarded import GRACE, PAUSE, GuardedAction
from ..plugin_utils.host_program import Busy, do
from ..plugin_utils.run_id import run_id

Json = dict[str, Any]

PROGRAM = "/usr/local/sbin/kijun-change"
WATCHED = 60
"""Seconds that the host's own timer needs at most to notice that a change's time is over."""

TAKING_BACK = 1800
"""Seconds that taking back may take where the host does it by itself and cannot be asked meanwhile."""


class ActionModule(GuardedAction):
    """Opens, proves, ends and takes back a change of one host."""

    _requires_connection = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Do what ``state`` says.

        Raises:
            AnsibleActionFail: an argument is wrong, or the host refuses; says why.
        """
        variables = task_vars or {}
        result = super().run(tmp, variables)
        _, arguments = self.validate_argument_spec(
            {
                "state": {
                    "type": "str",
                    "required": True,
                    "choices": ["said", "begun", "sound", "ended", "taken_back", "undone"],
                },
                **{name: {"type": "str", "default": ""} for name in ("ticket", *about.TEXTS, *about.REVISIONS)},
                "ticket_pattern": {"type": "str", "default": about.TICKET},
                "classes": {"type": "list", "elements": "str", "default": []},
                "seconds": {"type": "int", "default": 3600},
                "stable_seconds": {"type": "int", "default": 10},
                "login_seconds": {"type": "int", "default": 120},
                "smoke_tests": {"type": "list", "elements": "dict", "default": []},
                "outcome": {"type": "dict"},
                "before": {"type": "dict"},
                "after": {"type": "dict"},
                "why": {"type": "str", "default": ""},
                "change": {"type": "str", "default": ""},
                "playbook": {"type": "str"},
                "over_later": {"type": "bool", "default": False},
            }
        )
        try:
            about.check(arguments, arguments["ticket_pattern"])
        except about.SaidWrong as error:
            raise AnsibleActionFail(f"{error}; nothing was changed") from None
        if arguments["playbook"]:
            find_playbook(arguments["playbook"], Path(self._loader.get_basedir()))
        self.id = f"{arguments['ticket']}-{run_id()}"
        result.update(changed=False, id=self.id, host=variables["inventory_hostname"])
        if self._task.check_mode and arguments["state"] == "sound":
            wrong = about.of_host(arguments["outcome"], variables["inventory_hostname"])
            result.update(failed=bool(wrong), msg="; ".join(wrong) or "it would be carried out", wrong=wrong)
        elif arguments["state"] != "said" and not self._task.check_mode:
            step = {
                "begun": self._begin,
                "sound": self._prove_sound,
                "ended": self._end,
                "taken_back": self._take_back,
                "undone": self._undo,
            }[arguments["state"]]
            result.update(step(arguments, variables))
        elif arguments["state"] != "said":
            result.update(changed=True, begun=arguments["state"] == "begun")
        return result

    def _begin(self, arguments: Json, variables: Json) -> Json:
        opened = self._do(["begin"], self._said(arguments, variables))
        return {"changed": True, "begun": True, "backups": opened["before"]}

    def _prove_sound(self, arguments: Json, variables: Json) -> Json:
        """Log in afresh and look; what is wrong fails the task."""
        wrong = about.of_host(arguments["outcome"], variables["inventory_hostname"])
        if not wrong:
            asked = {"tests": arguments["smoke_tests"], "stable": arguments["stable_seconds"]}
            try:
                self._do(["hold", self.id], {"seconds": arguments["login_seconds"]})
                self.forget_connection()
                wrong = self._do(["check", self.id], asked)["unwell"]
            except AnsibleConnectionFailure as error:  # a host that is unreachable would not come to its rescue
                wrong = [f"nobody is let in any more: {' '.join(str(error).split())}"]
        if not wrong and arguments["before"] and arguments["after"]:
            wrong = [
                f"{control} held before and does not"
                for control in about.worse(arguments["before"], arguments["after"])
            ]
        return {"failed": True, "msg": "; ".join(wrong), "wrong": wrong} if wrong else {"wrong": []}

    def _end(self, arguments: Json, variables: Json) -> Json:
        if arguments["before"] and arguments["after"]:
            fallen = about.worse(arguments["before"], arguments["after"])
            if fallen:
                return {"failed": True, "msg": f"controls held before the change and do not now: {', '.join(fallen)}"}
        try:
            return self._told(self._do(["end", self.id]), variables)
        except AnsibleConnectionFailure as error:
            return {"failed": True, "msg": f"the connection was lost while the change was ended: {error}"}

    def _undo(self, arguments: Json, variables: Json) -> Json:
        asked = {**self._said(arguments, variables), "over_later": arguments["over_later"]}
        return self._told(self._do(["undo", arguments["change"]], asked), variables)

    def _take_back(self, arguments: Json, variables: Json) -> Json:
        """Take back now; or, where the host lets nobody in, wait until it has done so by itself."""
        change = arguments["change"] or self.id
        until = time.time() + arguments["seconds"] + WATCHED + TAKING_BACK + GRACE
        while True:
            try:
                status = self._do(["status"])
                if (status["open"] or {}).get("id") == change:
                    return self._told(
                        self._do(["roll-back", change, "--why", arguments["why"] or "it failed"]), variables
                    )
                last = status["last"] or {}
                if last.get("change") == change:
                    return self._told(last, variables, by_itself=True)
                return {"msg": "nothing of this change is on this host", "entry": None}
            except AnsibleConnectionFailure as error:
                if time.time() + PAUSE > until:
                    raise AnsibleActionFail(
                        f"the host lets nobody in, and has not taken the change back by itself by now: {error}. "
                        "Look at its console: journalctl -u kijun-change-watch"
                    ) from None
                self._display.display(f"  | {variables['inventory_hostname']}: waits for it to let us in ({error})")
                time.sleep(PAUSE)
                self.forget_connection()
            except Busy:
                time.sleep(PAUSE)  # the host does it by itself at this moment

    def _told(self, ended: Json, variables: Json, by_itself: bool = False) -> Json:
        back = ended.get("put_back") or {}
        return {
            "changed": True,
            "entry": about.entry(variables["inventory_hostname"], ended),
            "msg": about.summary(ended),
            "by_itself": by_itself,
            "restart_needed": bool(ended.get("restart_needed")),
            **{name: back.get(name, []) for name in ("replaced", "removed", "attributes")},
        }

    def _said(self, arguments: Json, variables: Json) -> Json:
        """What kijun-change is told of a change that begins."""
        names = ("ticket", *about.TEXTS, *about.REVISIONS, "classes", "seconds")
        said = {name: arguments[name] for name in names}
        return {**said, "id": self.id, "host": variables["inventory_hostname"], "clock": time.time()}

    def _do(self, words: list[str], asked: Json | None = None) -> Json:
        """Have kijun-change do something on the host."""
        answer: Json = do(self, PROGRAM, words, asked, "backup.yml", become_fails=False)
        return answer
