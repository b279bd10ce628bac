# SPDX-License-Identifier: GPL-3.0-or-later
"""PAM stacks: reading them through their includes, and working out what they decide.

Source: pam.conf(5) for the form and the control values; libpam's dispatcher for how results add up.
"""

from __future__ import annotations

import os
import re
from typing import Callable, NamedTuple

from .host import Host, lines

FOLDERS = ("/etc/pam.d", "/usr/lib/pam.d")
TYPES = ("auth", "account", "password", "session")

CONTROLS = {
    "required": {"success": "ok", "new_authtok_reqd": "ok", "ignore": "ignore", "default": "bad"},
    "requisite": {"success": "ok", "new_authtok_reqd": "ok", "ignore": "ignore", "default": "die"},
    "sufficient": {"success": "done", "new_authtok_reqd": "done", "default": "ignore"},
    "optional": {"success": "ok", "new_authtok_reqd": "ok", "default": "ignore"},
}
"""Control word -> result of a module -> what it does, pam.conf(5)."""

ACTION = re.compile(
    r"\s*(success|open_err|symbol_err|service_err|system_err|buf_err|perm_denied|auth_err|cred_insufficient"
    r"|authinfo_unavail|user_unknown|maxtries|new_authtok_reqd|acct_expired|session_err|cred_unavail|cred_expired"
    r"|cred_err|no_module_data|conv_err|authtok_err|authtok_recover_err|authtok_lock_busy|authtok_disable_aging"
    r"|try_again|ignore|abort|authtok_expired|module_unknown|bad_item|conv_again|incomplete|default)"
    r"\s*=\s*(ok|done|bad|die|ignore|reset|0*[1-9][0-9]*)"
)
"""A pair of a control in brackets: what a module returns, and what that does, pam.conf(5)."""

ALWAYS_BAD = {"default": "bad"}

BROKEN = "(broken line)"
"""Stands for the module of a line that libpam does not understand; it puts one there that always fails."""

DENIED = "perm_denied"
"""What libpam says where no module gives it a reason."""

DEEPEST = 16
"""Includes within includes that are followed."""


class Step(NamedTuple):
    """One line of a stack.

    Attributes:
        module: file name of the module; empty for a substack.
        arguments: its arguments.
        actions: result name -> ok, done, bad, die, ignore, reset, or a number of steps to jump over.
        substack: the steps of a substack; then the others are empty.
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
    found, held, start = [], "", 0
    for number, line in enumerate(lines(text), 1):
        line, comment, _ = line.partition("#")
        line, start = line.rstrip(), start or number
        if line.endswith("\\") and not comment:
            held += line[:-1] + " "
            continue
        if (held + line).strip():
            found.append((start, (held + line).strip()))
        held, start = "", 0
    if held:  # the file ends where a line should go on
        found.append((start, "\\"))
    return found


def _words(line: str) -> list[str]:
    """Split a line; a word in brackets may hold blanks, and loses the brackets, pam.conf(5)."""
    found = re.finditer(r"\[((?:\\\]|[^\]])*)\]?|([^ \t]+)", line)
    return [match.group(1).replace("\\]", "]") if match.group(2) is None else match.group(2) for match in found]


def _actions(control: str) -> dict[str, str] | None:
    """The actions of a control, None when it is neither a known word nor pairs of result and action."""
    word = CONTROLS.get(control.lower())
    if word:
        return word
    actions: dict[str, str] = {}
    position = 0
    while control[position:].strip():
        pair = ACTION.match(control, position)
        if not pair:
            return None
        if pair.group(1) == "default":  # only results without an action take it, so the first one holds
            actions.setdefault("default", pair.group(2))
        else:
            actions[pair.group(1)] = pair.group(2)
        position = pair.end()
    return actions or None


def _module(path: str) -> str:
    """The module's name; with its path where that is not where Debian's modules lie, so that it passes for none."""
    folder, _, name = path.rpartition("/")
    return name if not folder or re.fullmatch(r"(/usr)?/lib(/[\w-]+)?/security", folder) else path


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

    def stack(self, service: str, kind: str, within: tuple[str, ...] = ()) -> list[Step]:
        """The steps of one service and type (auth, account, password, session), includes put in their place.

        Args:
            service: file name, or path.
            kind: the type.
            within: the files that include it.
        """
        file = self._file(service)
        if file is None:
            return []
        path, logical_lines = file
        steps: list[Step] = []
        for number, line in logical_lines:
            steps += self._steps(path, number, _words(line), kind, (*within, service))
        return steps

    def _steps(self, path: str, number: int, words: list[str], kind: str, within: tuple[str, ...]) -> list[Step]:
        if words[0].lower() == "@include":
            return self._included(path, number, words[1] if len(words) == 2 else "", kind, within)
        line_kind = (words[0][1:] if words[0].startswith("-") else words[0]).lower()
        if len(words) < 3 or line_kind not in TYPES:
            self.host.problem(path, number, "not a line of type, control and module: %r" % " ".join(words)[:60])
        if line_kind != kind and (line_kind in TYPES or kind != "auth"):  # what is of no type counts as auth
            return []
        if len(words) < 3 or line_kind not in TYPES:
            return [Step(BROKEN, [], (_actions(words[1]) if len(words) > 1 else None) or ALWAYS_BAD)]
        control, module = words[1], words[2]
        if control.lower() == "include":
            return self._included(path, number, module, kind, within)
        if control.lower() == "substack":
            return [Step("", [], {}, self._included(path, number, module, kind, within))]
        actions = _actions(control)
        if actions is None:
            self.host.problem(path, number, "unknown control %r" % control)
        return [Step(_module(module), words[3:], actions or ALWAYS_BAD)]

    def _included(self, path: str, number: int, name: str, kind: str, within: tuple[str, ...]) -> list[Step]:
        if not name or self._file(name) is None:
            self.host.problem(path, number, "includes %r, which is not there" % name)
            return [Step(BROKEN, [], ALWAYS_BAD)]
        if name in within or len(within) > DEEPEST:
            self.host.problem(path, number, "includes %r, which includes this" % name)
            return [Step(BROKEN, [], ALWAYS_BAD)]
        return self.stack(name, kind, within)


def flat(steps: list[Step]) -> list[Step]:
    """All steps that name a module, those of substacks in their place."""
    return [leaf for step in steps for leaf in (flat(step.substack) if step.substack is not None else [step])]


class Decision(NamedTuple):
    """What a stack decided.

    Attributes:
        result: what the application is told: success, new_authtok_reqd, or another result, all of which refuse.
        called: labels of the modules that were called, in order.
    """

    result: str
    called: list[str]

    @property
    def granted(self) -> bool:
        """Whether the application may go on without more ado."""
        return self.result == "success"


class State(NamedTuple):
    """What a stack has come to so far.

    Attributes:
        result: a result of a module that spoke.
        refused: whether a module refused, which no later one undoes; None while nobody spoke.
    """

    result: str = DENIED
    refused: bool | None = None


def decide(steps: list[Step], outcome: Callable[[Step], str]) -> Decision:
    """Work out what a stack decides, as libpam's dispatcher (pam_dispatch.c) would.

    Args:
        steps: the stack.
        outcome: what a module returns: success, ignore, auth_err, ...

    Returns:
        The decision. A stack that no module spoke for does not grant.
    """
    called: list[str] = []
    state = _walk(steps, outcome, State(), called)
    return Decision(DENIED if state.result == "success" and state.refused else state.result, called)


def _walk(steps: list[Step], outcome: Callable[[Step], str], before: State, called: list[str]) -> State:
    """Walk a stack or substack.

    A substack goes on from what the steps before it came to; its ``done``, ``die``, ``reset`` and jumps end with it.

    Args:
        steps: its steps.
        outcome: what a module returns.
        before: what the steps before it came to.
        called: labels of the modules called so far; more are added.

    Returns:
        What it came to.
    """
    state = before
    position = 0
    while position < len(steps):
        step = steps[position]
        position += 1
        if step.substack is not None:
            state = _walk(step.substack, outcome, state, called)
            continue
        called.append(step.label)
        result = DENIED if step.module == BROKEN else outcome(step)
        action = step.actions.get(result, step.actions.get("default", "bad"))
        if action.isdigit():
            position += int(action)
            if position > len(steps):  # a jump past the end
                state = State(DENIED, refused=True)
        elif action == "reset":
            state = before
        elif action in ("bad", "die"):
            state = state if state.refused else State(DENIED if result == "ignore" else result, refused=True)
        elif action in ("ok", "done") and (state.refused is None or state == State("success", refused=False)):
            state = State(result, refused=False)  # a first word, or one that outranks plain success
        if action == "die" or (action == "done" and not state.refused):
            break
    return state
