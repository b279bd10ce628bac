# SPDX-License-Identifier: GPL-3.0-or-later
"""PAM stacks: reading them through their includes, and working out what they decide.

Source: pam.conf(5) for the form and the control values; libpam's dispatcher for how results add up.
"""

from __future__ import annotations

import os
import re
from typing import Callable, NamedTuple

from .host import Host

FOLDERS = ("/etc/pam.d", "/usr/lib/pam.d")
TYPES = ("auth", "account", "password", "session")

CONTROLS = {
    "required": {"success": "ok", "new_authtok_reqd": "ok", "ignore": "ignore", "default": "bad"},
    "requisite": {"success": "ok", "new_authtok_reqd": "ok", "ignore": "ignore", "default": "die"},
    "sufficient": {"success": "done", "new_authtok_reqd": "done", "default": "ignore"},
    "optional": {"success": "ok", "new_authtok_reqd": "ok", "default": "ignore"},
}
"""Control word -> result of a module -> what it does, pam.conf(5)."""

DENIED = "denied"

DEEPEST = 16
"""Includes within includes that are followed."""


class Step(NamedTuple):
    """One line of a stack.

    Attributes:
        module: file name of the module; empty for a substack.
        arguments: its arguments.
        actions: result name -> ok, done, bad, die, ignore, reset, or a number of steps to jump over.
        substack: the steps of a substack, which decides as one.
    """

    module: str
    arguments: list[str]
    actions: dict[str, str]
    substack: list[Step] | None = None

    @property
    def label(self) -> str:
        """The module, with its step where it is pam_faillock."""
        role = [a for a in self.arguments if a in ("preauth", "authfail", "authsucc")]
        return " ".join([self.module] + (role if self.module == "pam_faillock.so" else []))


def _logical_lines(text: str) -> list[tuple[int, str]]:
    """Lines joined where one ends in a backslash, without comments, with the number of their first line."""
    lines, held, start = [], "", 0
    for number, line in enumerate(text.splitlines(), 1):
        line = line.split("#", 1)[0].rstrip()
        start = start or number
        if line.endswith("\\"):
            held += line[:-1] + " "
            continue
        if (held + line).strip():
            lines.append((start, (held + line).strip()))
        held, start = "", 0
    if held.strip():
        lines.append((start, held.strip()))
    return lines


def _words(text: str) -> list[str]:
    """Split a line's arguments; one in brackets may hold blanks, pam.conf(5)."""
    return [word.strip("[]") if word.startswith("[") else word for word in re.findall(r"\[(?:\\.|[^\]])*\]|\S+", text)]


def _actions(control: str) -> dict[str, str] | None:
    """The actions of a control, None when it is neither a known word nor well-formed brackets."""
    if not control.startswith("["):
        return CONTROLS.get(control.lower())
    actions = {}
    for pair in control.strip("[]").split():
        result, separator, action = pair.partition("=")
        if not separator or not re.fullmatch(r"ok|done|bad|die|ignore|reset|\d+", action):
            return None
        actions[result] = action
    return actions


class Reader:
    """Reads services of a host, each file once.

    Args:
        host: the host.
    """

    def __init__(self, host: Host) -> None:
        self.host = host
        self._texts: dict[str, tuple[str, list[tuple[int, str]]] | None] = {}

    def _file(self, service: str) -> tuple[str, list[tuple[int, str]]] | None:
        if service not in self._texts:
            self._texts[service] = None
            for folder in FOLDERS:
                path = service if service.startswith("/") else os.path.join(folder, service)
                try:
                    self._texts[service] = (path, _logical_lines(self.host.read(path)))
                    break
                except (FileNotFoundError, IsADirectoryError):
                    continue
        return self._texts[service]

    def services(self) -> list[str]:
        """The services that have a file of their own; Debian's shared ``common-*`` files are none."""
        names: set[str] = set()
        for folder in FOLDERS:
            try:
                names.update(os.listdir(self.host.path(folder)))
            except FileNotFoundError:
                continue
        return sorted(n for n in names if not n.startswith("common-") and re.fullmatch(r"[\w-]+", n))

    def stack(self, service: str, kind: str, depth: int = 0) -> list[Step]:
        """The steps of one service and type (auth, account, password, session), includes put in their place."""
        file = self._file(service)
        if file is None or depth > DEEPEST:
            return []
        path, lines = file
        steps: list[Step] = []
        for number, line in lines:
            steps += self._steps(path, number, line, kind, depth)
        return steps

    def _steps(self, path: str, number: int, line: str, kind: str, depth: int) -> list[Step]:
        if line.startswith("@include"):
            words = line.split()
            return self._included(path, number, words[1] if len(words) == 2 else "", kind, depth)
        match = re.match(r"-?(\S+)\s+(\[[^\]]*\]|\S+)\s+(\S+)\s*(.*)$", line)
        if not match or match.group(1).lower() not in TYPES:
            self.host.problem(path, number, "not a line of type, control and module: %r" % line[:60])
            return []
        line_kind, control, module, rest = match.groups()
        if line_kind.lower() != kind:
            return []
        if control == "include":
            return self._included(path, number, module, kind, depth)
        if control == "substack":
            inner = self._included(path, number, module, kind, depth)
            return [Step("", [], CONTROLS["required"], inner)]
        actions = _actions(control)
        if actions is None:
            self.host.problem(path, number, "unknown control %r" % control)
            # libpam takes a line it does not understand for one that always fails
            actions = {"default": "bad"}
        return [Step(os.path.basename(module), _words(rest), actions)]

    def _included(self, path: str, number: int, name: str, kind: str, depth: int) -> list[Step]:
        if not name or self._file(name) is None:
            self.host.problem(path, number, "includes %r, which is not there" % name)
            return []
        return self.stack(name, kind, depth + 1)


def flat(steps: list[Step]) -> list[Step]:
    """All steps that name a module, those of substacks in their place."""
    return [leaf for step in steps for leaf in (flat(step.substack) if step.substack is not None else [step])]


class Decision(NamedTuple):
    """What a stack decided.

    Attributes:
        result: what the application is told: success, new_authtok_reqd, or denied.
        called: labels of the modules that were called, in order.
    """

    result: str
    called: list[str]

    @property
    def granted(self) -> bool:
        """Whether the application may go on without more ado."""
        return self.result == "success"


def decide(steps: list[Step], outcome: Callable[[Step], str]) -> Decision:
    """Work out what a stack decides, as libpam's dispatcher would.

    Args:
        steps: the stack.
        outcome: what a module returns: success, ignore, auth_err, ...

    Returns:
        The decision. A stack that no module spoke for does not grant.
    """
    status: str | None = None
    called: list[str] = []
    position = 0
    while position < len(steps):
        step = steps[position]
        position += 1
        if step.substack is not None:
            inner = decide(step.substack, outcome)
            called += inner.called
            result = inner.result if inner.result != DENIED else "auth_err"
        else:
            called.append(step.label)
            result = outcome(step)
        action = step.actions.get(result, step.actions.get("default", "bad"))
        if action.isdigit():
            position += int(action)
            if position > len(steps):  # a jump past the end is an error, which denies
                return Decision(DENIED, called)
        elif action == "reset":
            status = None
        elif action in ("bad", "die"):
            status = DENIED
        elif action in ("ok", "done") and status in (None, "success"):
            status = result  # a first word, or one that outranks plain success
        if action == "die" or (action == "done" and status != DENIED):
            break
    return Decision(status or DENIED, called)
