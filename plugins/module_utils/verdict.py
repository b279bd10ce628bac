# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare what a host is with what it should be.

A verdict is one of pass, fail, excused, not_applicable and error. A fact that cannot be read is an error, never a pass.
Runs on the host (standard library only) so that what a host holds stays there, and on the controller in tests.
"""

from __future__ import annotations

import re
from typing import Any, Callable

PASS, FAIL, ERROR = "pass", "fail", "error"
EXCUSED, NOT_APPLICABLE = "excused", "not_applicable"
VERDICTS = (FAIL, ERROR, EXCUSED, PASS, NOT_APPLICABLE)

SHOWN = 20
"""How many offending members of a list or a mapping a record shows."""


class Unreadable:
    """Stands in a fact tree where a value could not be read.

    Args:
        why: what was tried and what came back, one line.
    """

    def __init__(self, why: str) -> None:
        self.why = why


class NotComparable(ValueError):
    """The two sides of an expectation are not of kinds that its operator compares."""


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise NotComparable("%r is not a number" % (value,))
    return value


def _members(value: Any) -> list[Any]:
    if isinstance(value, (list, tuple, set, dict)):
        return list(value)
    raise NotComparable("%r is not a list" % (value,))


def _contains(actual: Any, expected: Any) -> bool:
    return expected in actual if isinstance(actual, str) else expected in _members(actual)


def _is_empty(actual: Any) -> bool:
    return actual is None or (isinstance(actual, (str, list, tuple, set, dict)) and not actual)


OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "==": lambda a, e: bool(a == e),
    "!=": lambda a, e: bool(a != e),
    "<": lambda a, e: _number(a) < _number(e),
    "<=": lambda a, e: _number(a) <= _number(e),
    ">": lambda a, e: _number(a) > _number(e),
    ">=": lambda a, e: _number(a) >= _number(e),
    "in": lambda a, e: a in _members(e),
    "not in": lambda a, e: a not in _members(e),
    "contains": _contains,
    "excludes": lambda a, e: not _contains(a, e),
    "matches": lambda a, e: isinstance(a, str) and re.search(e, a) is not None,
    "subset": lambda a, e: all(member in _members(e) for member in _members(a)),
    "superset": lambda a, e: all(member in _members(a) for member in _members(e)),
    "empty": lambda a, e: _is_empty(a),
    "not empty": lambda a, e: not _is_empty(a),
}
"""Operator -> function of (actual, expected). ``empty`` and ``not empty`` take no expected value."""


def split_path(path: str) -> list[str]:
    """Split a fact path into its segments.

    Args:
        path: names joined by dots; a key that holds dots or slashes stands in brackets: ``files[/etc/shadow].mode``.

    Returns:
        The segments, at least one.

    Raises:
        ValueError: the path is not of that form.
    """
    segments: list[str] = []
    rest = path
    while rest:
        match = re.match((r"\[([^\]]+)\]" if rest[0] == "[" else r"([\w-]+)") + r"(?:\.(?=[\w-])|(?=\[)|\Z)", rest)
        if not match or (rest[0] == "[" and not segments):
            raise ValueError("%r is not a fact path such as files[/etc/shadow].mode" % path)
        segments.append(match.group(1))
        rest = rest[match.end() :]
    if not segments:
        raise ValueError("an empty fact path")
    return segments


def resolve(tree: Any, segments: list[str]) -> Any:
    """Follow a path through a fact tree.

    Returns:
        The value; an `Unreadable` where the tree holds one on the way, or has no such member.
    """
    for depth, segment in enumerate(segments):
        if isinstance(tree, Unreadable):
            return tree
        if not isinstance(tree, dict) or segment not in tree:
            return Unreadable("there is no fact %r in %s" % (segment, ".".join(segments[:depth]) or "the facts"))
        tree = tree[segment]
    return tree


def _offenders(actual: Any, judge: Callable[[Any], bool]) -> Any:
    """The members of a list, or the entries of a mapping, that `judge` refuses."""
    if isinstance(actual, dict):
        return {key: value for key, value in actual.items() if not judge(value)}
    return [value for value in _members(actual) if not judge(value)]


def _without(actual: Any, names: Any) -> Any:
    left_out = _members(names)
    if isinstance(actual, dict):
        return {key: value for key, value in actual.items() if key not in left_out}
    return [value for value in _members(actual) if value not in left_out]


def _shortened(value: Any) -> Any:
    if isinstance(value, (list, tuple)) and len(value) > SHOWN:
        return [*value[:SHOWN], "... and %d more" % (len(value) - SHOWN)]
    if isinstance(value, dict) and len(value) > SHOWN:
        return {**dict(list(value.items())[:SHOWN]), "...": "and %d more" % (len(value) - SHOWN)}
    if isinstance(value, str) and len(value) > 500:
        return value[:500] + "..."
    return value


def _fails_as_unset(actual: Any, operator: str) -> bool:
    return actual is None and operator in ("<", "<=", ">", ">=", "contains", "superset")


def check(expectation: dict[str, Any], facts: dict[str, Any]) -> dict[str, Any]:
    """Compare one expectation with the facts.

    Args:
        expectation: ``fact``, ``op`` and ``value``; ``each: true`` asks it of every member of a list or mapping;
            ``except`` names members that are left out first.
        facts: the fact tree.

    Returns:
        fact, op, expected, actual, verdict (pass, fail or error) and detail (text or None).
    """
    operator, expected = expectation["op"], expectation.get("value")
    judge = OPERATORS[operator]
    actual = resolve(facts, split_path(expectation["fact"]))
    each = bool(expectation.get("each"))
    result: dict[str, Any] = {
        "fact": expectation["fact"],
        "op": ("each " if each else "") + operator,
        "expected": expected,
        "actual": None,
        "verdict": ERROR,
        "detail": None,
    }
    if isinstance(actual, Unreadable):
        result["detail"] = actual.why
        return result
    try:
        if expectation.get("except"):
            actual = _without(actual, expectation["except"])
        if each:
            wrong = _offenders(actual, lambda member: not _fails_as_unset(member, operator) and judge(member, expected))
            passed = not wrong
            result["detail"] = "all %d" % len(actual) if passed else "%d of %d" % (len(wrong), len(actual))
            result["actual"] = _shortened(actual if passed else wrong)
        else:
            result["actual"] = _shortened(actual)
            passed = False if _fails_as_unset(actual, operator) else judge(actual, expected)
    except (NotComparable, TypeError, re.error) as error:
        result["actual"] = _shortened(actual)
        result["detail"] = "cannot compare: %s" % error
        return result
    result["verdict"] = PASS if passed else FAIL
    return result


def _not_here(condition: dict[str, Any]) -> str:
    """Why a control does not apply to this host, from the condition that does not hold."""
    wanted = " ".join(str(word) for word in (condition["op"], condition["expected"]) if word is not None)
    return "asked only where %s is %s; here it is %s" % (condition["fact"], wanted, condition["actual"])


def judge_control(control: dict[str, Any], facts: dict[str, Any]) -> dict[str, Any]:
    """Judge one control: each of its expectations, then the control as a whole.

    Args:
        control: id, expect, and optionally applies_where (expectations: where one does not hold, the control is not
            applicable), deviation (text: the settings themselves depart from the clause) and sensitive (true: what
            was found is not shown).
        facts: the fact tree.

    Returns:
        id, verdict, reason and checks. An error in one check outweighs its passes, a failure outweighs an error.
    """
    conditions = [check(expectation, facts) for expectation in control.get("applies_where") or []]
    for entry in conditions:
        if entry["verdict"] == FAIL:
            return {"id": control["id"], "verdict": NOT_APPLICABLE, "reason": _not_here(entry), "checks": []}
    unknown = [entry for entry in conditions if entry["verdict"] == ERROR]
    checks = unknown or [check(expectation, facts) for expectation in control["expect"]]
    verdicts = {entry["verdict"] for entry in checks}
    verdict = next((kind for kind in (FAIL, ERROR) if kind in verdicts), PASS if checks else NOT_APPLICABLE)
    if control.get("sensitive"):
        for entry in checks:
            # a comparison that failed says what was found; only its kind is told
            entry.update(actual="(not shown)", detail=entry["detail"] and entry["detail"].partition(":")[0])
    deviation = control.get("deviation") or None
    if deviation:
        verdict = FAIL
    return {"id": control["id"], "verdict": verdict, "reason": deviation, "checks": checks}
