# SPDX-License-Identifier: GPL-3.0-or-later
"""Steps under the guard, seen from the controller: armed with them, and taken back at once when one of them fails.

What hangs unconfirmed on a host is remembered in its fact ``kijun_guard``: run, pending and until (the controller's
clock, seconds since 1970). The action guard ends it. See docs/decisions/0009-guard.md.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure, AnsibleError

from .host_python import HostPythonAction
from .run_id import run_id

Json = dict[str, Any]

SHIPPED = (
    *("guard.py", "guard_program.py", "file_commit.py", "file_state.py"),
    *("host_accounts/__init__.py", "host_accounts/homes.py", "host_accounts/keys.py"),
)
"""What runs on the host, below plugins/module_utils."""

SECONDS = 120
"""How long a change may stay unconfirmed, where kijun_guard_seconds says nothing else."""

SHORTEST, LONGEST = 10, 3600
"""What kijun_guard_seconds may be: a login takes its time, and so does an unlucky one's patience."""

GRACE = 60
"""Seconds that a host has, after its timer ran out, to bring everything back and let us in."""

PAUSE = 8
"""Seconds between two attempts to log in: so few a minute that no firewall takes them for an attack."""


STRANGE = {
    "foreign": "another run is changing this host; what this run changed was taken back when that one began",
    "none": "the host's guard knows nothing of this run's change any more; run it again to see what is there",
}
"""Answers that a confirmation should never get, in words."""


class Gone(Exception):
    """The host does not let us in; the text is what the last attempt met."""


class GuardedAction(HostPythonAction):
    """An action whose step on the host can cut access to it.

    Attributes:
        refusal: what the last login that was refused met; empty when none was.
    """

    refusal = ""

    def guard_seconds(self, variables: Json) -> int:
        """How long the change may stay unconfirmed.

        Args:
            variables: the task's; kijun_guard_seconds counts.

        Raises:
            AnsibleActionFail: it is no whole number from 10 to 3600.
        """
        given = self._templar.template(variables.get("kijun_guard_seconds", SECONDS))
        try:
            seconds = int(given)
        except (TypeError, ValueError):
            seconds = 0
        if not SHORTEST <= seconds <= LONGEST:
            raise AnsibleActionFail(
                f"kijun_guard_seconds is {given!r}; a whole number from {SHORTEST} to {LONGEST} "
                "is allowed (clause SM-4.2.3-2)"
            )
        return seconds

    def guarded(self, variables: Json, step: Callable[[], Json], seconds: int = 0) -> Json:
        """Carry out a step on the host; what it and the steps before it changed comes back when it fails.

        Args:
            variables: the task's.
            step: does it; its result has ``guard_armed`` when it armed the guard.
            seconds: what it was armed with; 0 for a step that arms nothing.

        Returns:
            The step's result, in which a failure tells what was taken back.
        """
        hangs = pending(variables)
        try:
            result = step()
        except AnsibleError as error:  # the host is not reached any more, or refuses to let us become root
            if self._task.check_mode or not (hangs or (seconds and isinstance(error, AnsibleConnectionFailure))):
                raise
            met = " ".join(str(error).split())
            report = self._taken_back(variables, f"a step met: {met}", self._latest(hangs, seconds))
            if report is None:
                raise
            return {"failed": True, "msg": f"{met}. {report}", **forgotten()}
        # A module that was killed does not say whether it had armed the guard.
        armed = result.pop("guard_armed", bool(seconds))
        if result.get("failed") and (armed or hangs) and not self._task.check_mode:
            report = self._taken_back(variables, str(result.get("msg")), self._latest(hangs, seconds))
            if report:
                result["msg"] = f"{result.get('msg')}. {report}"
            result.update(forgotten())
        elif armed:
            fact = {"run": run_id(), "pending": True, "until": time.time() + seconds}
            result["ansible_facts"] = {"kijun_guard": fact}
        return result

    def run_module(self, name: str, arguments: Json, variables: Json, always: bool = False) -> Json:
        """Run a module on the host, under the guard where the task gives ``guard``.

        Args:
            name: the module's full name.
            arguments: the module's; which run it is, and for how long the guard waits, is filled in.
            variables: the task's.
            always: whether it is guarded in any case.
        """
        seconds = 0
        if always or arguments.get("guard") is not None:
            seconds = self.guard_seconds(variables)
            arguments["guard"] = {**(arguments.get("guard") or {}), "run": run_id(), "seconds": seconds}
        return self.guarded(
            variables,
            lambda: self._execute_module(module_name=name, module_args=arguments, task_vars=variables),
            seconds,
        )

    def prove(self, variables: Json, until: float) -> Json:
        """Log in afresh and confirm what this run changed, or wait for the host to take it back.

        Args:
            variables: the task's.
            until: when the host's timer has run out, seconds since 1970.

        Returns:
            confirmed and taken_back; failed and msg when the change does not stand.
        """
        try:
            answer = self.ask_afresh({"do": "confirm", "run": run_id()}, variables, until + GRACE)
        except Gone as error:
            raise AnsibleActionFail(
                f"the host has not let us in since the change, {GRACE} s after its guard was to take that back: "
                f"{error}. Look at its console: journalctl -u 'kijun-guard*'"
            ) from None
        if answer["state"] == "confirmed":
            return {"confirmed": True, **forgotten()}
        if answer["state"] == "taken back":
            report = answer["report"]
            met = f"No login was possible: {self.refusal}. " if self.refusal else ""
            return {"failed": True, "taken_back": report["restored"], "msg": met + told(report), **forgotten()}
        return {"failed": True, "msg": STRANGE[answer["state"]], **forgotten()}

    @staticmethod
    def _latest(hangs: Json | None, seconds: int) -> float:
        """When the host's timer has run out at the latest."""
        return max(time.time() + seconds, hangs["until"] if hangs else 0)

    def _taken_back(self, variables: Json, reason: str, until: float) -> str | None:
        """Have the host take this run's changes back, and say what they were; None when there were none.

        Args:
            variables: the task's.
            reason: for the report.
            until: when the host's timer does it by itself.
        """
        try:
            answer = self.ask_afresh({"do": "take_back", "run": run_id(), "reason": reason}, variables, until + GRACE)
        except Gone as error:
            return f"The host does not let us in since ({error}); its guard takes the change back by itself"
        return told(answer["report"]) if answer["report"] else None

    def ask_afresh(self, asked: Json, variables: Json, until: float) -> Json:
        """Log in over a new connection, become root as always, and ask the host's guard; again and again until then.

        Args:
            asked: see guard_program.
            variables: the task's.
            until: when to give up, seconds since 1970.

        Raises:
            Gone: no login was possible.
        """
        while True:
            try:
                self.forget_connection()
                return self.ask("guard_program", SHIPPED, asked, variables)
            except (AnsibleConnectionFailure, AnsibleActionFail) as error:
                self.refusal = " ".join(str(error).split())
                if time.time() + PAUSE > until:
                    raise Gone(self.refusal) from None
                time.sleep(PAUSE)

    def forget_connection(self) -> None:
        """Let go of a connection that is kept open, so that the next one is a login of its own."""
        try:
            self._connection.reset()
        except AttributeError:  # a connection that is none, such as local, has nothing to let go of
            pass
        except AnsibleError as error:
            self._display.vvv(f"the connection could not be ended: {error}")


class GuardedModule(GuardedAction):
    """An action that does nothing but run its module on the host.

    Attributes:
        MODULE: the module's full name.
        ALWAYS: whether it arms the guard in any case; else only where the task gives ``guard``.
    """

    MODULE = ""
    ALWAYS = False
    _requires_connection = True
    _supports_diff = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the module on one host."""
        variables = task_vars or {}
        result = super().run(tmp, variables)
        result.update(self.run_module(self.MODULE, dict(self._task.args), variables, self.ALWAYS))
        return result


def pending(variables: Json) -> Json | None:
    """What this run left unconfirmed on the host: until; None when nothing."""
    fact = (variables.get("ansible_facts") or {}).get("kijun_guard") or {}
    return fact if fact.get("pending") and fact.get("run") == run_id() else None


def forgotten() -> Json:
    """The part of a result that says that nothing hangs any more."""
    return {"ansible_facts": {"kijun_guard": {"run": run_id(), "pending": False}}}


def told(report: Json) -> str:
    """A report of the host's guard, in words.

    Args:
        report: restored, failures, reason, time.
    """
    files = ", ".join(report["restored"]) or "no file (none had changed yet)"
    text = f"Taken back at {report['time']}, because {report['reason']}: {files}"
    if report["failures"]:
        text += ". Not brought back: " + "; ".join(report["failures"])
    return text
