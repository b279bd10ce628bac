# SPDX-License-Identifier: GPL-3.0-or-later
"""What a role's variables may be, held against what an operator set."""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Callable
from typing import Any

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]*\$?")
"""A login name or a host's name or address; nothing that a configuration file would read as something else."""


class Unresolved:
    """Stands for the value of a variable whose template fails; within no limit.

    Args:
        reason: why it fails.
    """

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def __repr__(self) -> str:
        return "a template that fails (%s)" % self._reason


def _whole(value: Any) -> bool:
    return not isinstance(value, bool) and (isinstance(value, int) or re.fullmatch(r"-?[0-9]+", str(value)) is not None)


def _fraction(value: Any) -> bool:
    return _whole(value) or isinstance(value, float) or re.fullmatch(r"[0-9]*\.[0-9]+", str(value)) is not None


def _network(value: Any) -> bool:
    try:
        ipaddress.ip_network(str(value))
    except ValueError:
        return False
    return True


def _source(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and isinstance(value.get("name"), str)
        and NAME.fullmatch(value["name"]) is not None
        and isinstance(value.get("nts", False), bool)
        and not value.keys() - {"name", "nts"}
    )


def _texts(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(name, str) and isinstance(text, str) and text.strip() and "\n" not in text
        for name, text in value.items()
    )


def _departments(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(name, str) and isinstance(about, dict) and set(about) == {"manager"} and about["manager"]
        for name, about in value.items()
    )


def _reasons(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(entry, dict)
        and set(entry) == {"name", "reason"}
        and all(isinstance(v, str) and v.strip() for v in entry.values())
        for entry in value
    )


TYPES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "int": ("a whole number", _whole),
    "float": ("a number", _fraction),
    "bool": ("true or false", lambda v: isinstance(v, bool) or str(v).lower() in ("true", "false", "yes", "no")),
    "str": ("a text", lambda v: isinstance(v, str)),
    "list": ("a list", lambda v: isinstance(v, list)),
    "names": (
        "a list of names",
        lambda v: isinstance(v, list) and all(isinstance(name, str) and NAME.fullmatch(name) for name in v),
    ),
    "sources": (
        "a list of time sources such as {name: time.example.com, nts: true}",
        lambda v: isinstance(v, list) and all(map(_source, v)),
    ),
    "texts": ("a dictionary of names and one-line texts", _texts),
    "departments": ("a dictionary such as {sales: {manager: NAME}}", _departments),
    "reasons": ("a list such as [{name: deploy, reason: the automation account}]", _reasons),
    "networks": ("a list of networks such as 192.0.2.0/24", lambda v: isinstance(v, list) and all(map(_network, v))),
}
"""Type of a limit -> how to say it, and what is of it."""


def allowed(limit: dict[str, Any]) -> str:
    """Say in words what a limit allows."""
    if "choices" in limit:
        return "one of %s" % ", ".join(limit["choices"])
    words = TYPES[limit["type"]][0]
    if "min" in limit:
        words += " from %s to %s" % (limit["min"], limit["max"])
    return words + (", not empty" if limit.get("nonempty") else "")


def within(value: Any, limit: dict[str, Any]) -> bool:
    """Tell whether a value is what its limit allows.

    Args:
        value: the variable's value.
        limit: ``choices``, or ``type`` with ``min`` and ``max`` for numbers and ``nonempty`` for lists.
    """
    if "choices" in limit:
        return value in limit["choices"]
    if not TYPES[limit["type"]][1](value):
        return False
    if "min" in limit and not limit["min"] <= float(value) <= limit["max"]:
        return False
    return bool(value) or not limit.get("nonempty")


def complaints(role: str, limits: dict[str, dict[str, Any]], values: dict[str, Any], present: list[str]) -> list[str]:
    """What is wrong with the variables of a role.

    Args:
        role: its name.
        limits: variable -> limit.
        values: variable -> value.
        present: names of all variables that the host has.

    Returns:
        One text for each wrong variable: its name, its value, what is allowed, and the clause; and for each variable
        that bears the role's name and that the role does not know, with the one that was perhaps meant.
    """
    wrong = [
        "%s is %r; it must be %s (clause %s)" % (name, values.get(name), allowed(limit), limit["clause"])
        for name, limit in limits.items()
        if not within(values.get(name), limit)
    ]
    for name in present:
        if name.startswith(role + "_") and name not in limits:
            meant = difflib.get_close_matches(name, limits, 1)
            hint = "; did you mean %s?" % meant[0] if meant else ""
            wrong.append("%s is not a variable of role %s%s" % (name, role, hint))
    return wrong
