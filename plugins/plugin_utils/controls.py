# SPDX-License-Identifier: GPL-3.0-or-later
"""Controls as the audit takes them: checked, chosen for a host and a run, and joined with what the host answered."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..module_utils.facts import known
from ..module_utils.verdict import EXCUSED, FAIL, NOT_APPLICABLE, OPERATORS, VERDICTS, split_path
from .exceptions import days_left
from .filled import is_template
from .role_files import roles_with, written

SCHEMA = "kijun.evidence/1"
AUDITED = ("automated", "detected")
"""Statuses of controls that a host can be asked about; the others are the ledgers' and the people's."""

GROUP_OF_SCOPE = {"server": "servers", "client": "clients"}
"""Scope of a control -> inventory group whose hosts it is for."""

CARRIED = ("id", "title", "area", "severity", "scope", "status", "clauses")
"""Fields of a control that its evidence repeats, so that a record can be read alone."""

FIELDS = (
    *CARRIED,
    "reason",
    "disruption",
    "expect",
    "applies",
    "applies_where",
    "deviation",
    "sensitive",
    "never_excused",
)
EXPECTATION_FIELDS = ("fact", "op", "value", "each", "except")

CHOICES = {
    "severity": ("low", "medium", "high", "critical"),
    "status": (*AUDITED, "recorded", "reported", "attested", "pending", "not_applicable"),
}
"""Field of a control -> what it may be."""


LIST_NAME = re.compile(r"[a-z].*_controls")
"""Name of a variable that holds controls."""

TOLD = ("id", "from", "until", "approver", "reason", "measure", "ticket")
"""Fields of an exception that the evidence repeats."""


class ControlError(ValueError):
    """A control or a choice of controls is not of its form; the text says which and what is allowed."""


def lists_in_sight(sources: Iterable[Mapping[str, Any]], template: Callable[[Any], Any]) -> list[Any]:
    """The controls of every list variable of controls, as they are written: their templates are not filled in.

    Args:
        sources: variables.
        template: fills in a template; asked for variables that are one themselves.

    Raises:
        ControlError: such a variable is no list, or a role that it names has no controls.
    """
    found: list[Any] = []
    for variables in sources:
        for name in sorted(filter(LIST_NAME.fullmatch, variables)):
            value = variables[name]
            value = template(value) if isinstance(value, str) else value
            if not isinstance(value, list | tuple):
                raise ControlError("%s must be a list of controls, not %r" % (name, value))
            found += with_roles(value)
    return found


def with_roles(listed: Iterable[Any]) -> list[Any]:
    """Controls, with those of a role in the place of the role's name.

    Args:
        listed: controls as they are written, a template included, and names of roles such as ``kijun.baseline.kernel``.

    Raises:
        ControlError: a role has no controls, or there is none of its name.
    """
    found: list[Any] = []
    for member in listed:
        found += role_controls(member) if isinstance(member, str) and not is_template(member) else [member]
    return found


def role_controls(name: str) -> list[Any]:
    """A role's controls, as they are written in its controls.yml. Nobody may change them.

    Args:
        name: the role's, such as ``kijun.baseline.kernel``.

    Raises:
        ControlError: it has no controls, or there is none of its name.
    """
    match = re.fullmatch(r"kijun\.baseline\.([a-z_]+)", name)
    try:
        found: list[Any] = written(match.group(1) if match else "", "controls.yml")
    except FileNotFoundError:
        known_roles = ", ".join(_roles_with_controls())
        raise ControlError("%r is no role with controls; known: %s" % (name, known_roles)) from None
    return found


def collection_controls() -> list[Any]:
    """The controls of all roles of this collection, as they are written."""
    return with_roles(_roles_with_controls())


def _roles_with_controls() -> list[str]:
    return ["kijun.baseline.%s" % name for name in roles_with("controls.yml")]


def never_excused(controls: Iterable[Any]) -> dict[str, str]:
    """Id of each control -> why it is never excused; an empty text where it can be.

    Args:
        controls: as they are written.
    """
    return {
        str(control["id"]): str(control.get("never_excused") or "")
        for control in controls
        if isinstance(control, dict) and "id" in control
    }


def check_controls(controls: list[dict[str, Any]]) -> None:
    """See that controls are of their form before any host is asked; of those that it is asked of, `check_expectations`
    looks at the rest.

    Args:
        controls: the controls, values filled in.

    Raises:
        ControlError: names the control, the field, its value and what is allowed.
    """
    seen: set[str] = set()
    for control in controls:
        name = control.get("id") if isinstance(control, dict) else None
        if not isinstance(name, str) or not re.fullmatch(r"[A-Z][A-Z0-9]*-\d+", name):
            raise ControlError("a control's id must be such as AUTH-07, not %r" % (name,))
        if name in seen:
            raise ControlError("control %s is there twice" % name)
        seen.add(name)
        _check_fields(name, control)


def check_expectations(control: dict[str, Any]) -> None:
    """See that what a control expects is of its form.

    Args:
        control: the control, values filled in.

    Raises:
        ControlError: names the control, what of it is wrong, and what is allowed.
    """
    for expectation in [*control.get("expect", []), *control.get("applies_where", [])]:
        _check_expectation(control["id"], expectation)


def _check_fields(name: str, control: dict[str, Any]) -> None:
    missing = [field for field in CARRIED if field not in control]
    if missing:
        raise ControlError("control %s lacks %s" % (name, ", ".join(missing)))
    _refuse_unknown(name, control, FIELDS)
    for field, choices in CHOICES.items():
        if control[field] not in choices:
            raise ControlError("control %s: %s %r is none of %s" % (name, field, control[field], ", ".join(choices)))
    for field in ("scope", "clauses", "expect", "applies_where"):
        if not isinstance(control.get(field, []), list):
            raise ControlError("control %s: %s must be a list, not %r" % (name, field, control[field]))
    wrong = [scope for scope in control["scope"] if scope not in GROUP_OF_SCOPE]
    if wrong or not control["scope"]:
        raise ControlError("control %s: scope %r must be of %s" % (name, control["scope"], ", ".join(GROUP_OF_SCOPE)))
    if not isinstance(control.get("applies", True), bool):
        raise ControlError("control %s: applies must be true or false, not %r" % (name, control["applies"]))
    never = control.get("never_excused", "-")
    if not isinstance(never, str) or not never.strip():
        raise ControlError("control %s: never_excused must say why, not %r" % (name, never))
    if control["status"] in AUDITED and not control.get("expect"):
        raise ControlError("control %s is %s and expects nothing" % (name, control["status"]))


def _refuse_unknown(name: str, entry: dict[str, Any], fields: tuple[str, ...]) -> None:
    unknown = [field for field in entry if field not in fields]
    if unknown:
        raise ControlError("control %s: unknown %s; known: %s" % (name, ", ".join(unknown), ", ".join(fields)))


def _check_expectation(name: str, expectation: Any) -> None:
    if not isinstance(expectation, dict):
        raise ControlError("control %s: an expectation must have fact, op and value, not %r" % (name, expectation))
    _refuse_unknown(name, expectation, EXPECTATION_FIELDS)
    try:
        segments = split_path(str(expectation.get("fact", "")))
    except ValueError as error:
        raise ControlError("control %s: %s" % (name, error)) from None
    if not known(segments):
        raise ControlError(
            "control %s: unknown fact path %r; docs/reference/facts.md lists the known ones"
            % (name, expectation["fact"])
        )
    operator, value = expectation.get("op"), expectation.get("value")
    if operator not in OPERATORS:
        raise ControlError("control %s: unknown operator %r; known: %s" % (name, operator, ", ".join(OPERATORS)))
    if "value" not in expectation and operator not in ("empty", "not empty"):
        raise ControlError("control %s: %s %s needs a value" % (name, expectation["fact"], operator))
    if not isinstance(expectation.get("except") or [], list):
        raise ControlError("control %s: except must be a list, not %r" % (name, expectation["except"]))
    if operator == "matches":
        try:
            re.compile(str(value))
        except re.error as error:
            raise ControlError("control %s: %r is not a regular expression: %s" % (name, value, error)) from None


def choose(controls: list[dict[str, Any]], chosen: Iterable[str]) -> list[dict[str, Any]]:
    """Keep the controls that a run asks for.

    Args:
        controls: all of them.
        chosen: areas, clauses and control ids (a run's tags); empty or ``all`` for every control.

    Raises:
        ControlError: one of them is neither an area, nor a clause, nor an id of any control.
    """
    names = set(chosen) - {"all", "always", "tagged", "untagged"}
    if not names:
        return controls
    labels = {c["id"]: {c["id"], c["area"], *c["clauses"]} for c in controls}
    unknown = names - set().union(*labels.values())
    if unknown:
        raise ControlError("no control has the area, clause or id %s" % ", ".join(sorted(map(repr, unknown))))
    return [c for c in controls if labels[c["id"]] & names]


def reason_not_applicable(control: dict[str, Any], groups: list[str]) -> str | None:
    """Why a control is not for a host, None when it is.

    Args:
        control: the control.
        groups: the host's inventory groups; a host in none of the groups of scopes is held to every control.
    """
    if control["status"] not in AUDITED:
        return control.get("reason") or "status: %s" % control["status"]
    if not control.get("applies", True):
        return "not asked of this host by its settings"
    own = {scope for scope, group in GROUP_OF_SCOPE.items() if group in groups}
    if own and not own & set(control["scope"]):
        return "for %s only" % ", ".join(control["scope"])
    return None


def _excuse(result: dict[str, Any], exception: dict[str, Any] | None, day: datetime.date, never: str) -> None:
    """Excuse a failure that an exception in force covers; say of one that is over, or that cannot be, that it does not.

    Args:
        result: the control's evidence.
        exception: the one filed for it on this host.
        day: the day of judgement.
        never: why the control is never excused; empty where it can be.
    """
    if exception is None:
        result["exception"] = None
        return
    left = days_left(exception, day)
    result["exception"] = {**{field: exception[field] for field in TOLD}, "days_left": left}
    if result["verdict"] != FAIL:
        return
    if never:
        result["reason"] = "exception %s does not hold, since this control is never excused: %s" % (
            exception["id"],
            never,
        )
    elif left >= 0:
        result["verdict"] = EXCUSED
        result["reason"] = "excused until {until} by {approver}: {reason}".format(**exception)
    else:
        result["reason"] = "the exception expired on %s" % exception["until"]


def evidence(
    host: str,
    groups: list[str],
    controls: list[dict[str, Any]],
    answer: dict[str, Any],
    exceptions: dict[str, dict[str, Any]],
    today: datetime.date,
) -> dict[str, Any]:
    """Join controls with a host's answer into its evidence record, see docs/evidence.md.

    Args:
        host: inventory name.
        groups: its groups.
        controls: the controls of this run, those not for this host included.
        answer: what the host's audit returned.
        exceptions: of this host, by control id, as `exceptions.of_host` gives them.
        today: the day of judgement.
    """
    judged = {entry["id"]: entry for entry in answer["controls"]}
    results = []
    for control in controls:
        found = judged.get(control["id"])
        if found is None:
            found = {"verdict": NOT_APPLICABLE, "reason": reason_not_applicable(control, groups), "checks": []}
        result = {
            **{field: control[field] for field in CARRIED},
            "verdict": found["verdict"],
            "reason": found["reason"],
            "deviation": control.get("deviation") or None,
            "checks": found["checks"],
        }
        _excuse(result, exceptions.get(control["id"]), today, control.get("never_excused", ""))
        results.append(result)
    verdicts = [result["verdict"] for result in results]
    return {
        "schema": SCHEMA,
        "host": {"name": host, "groups": sorted(groups), **{key: answer[key] for key in ("os", "kernel", "time")}},
        "totals": {verdict: verdicts.count(verdict) for verdict in VERDICTS},
        "controls": results,
        "problems": answer["problems"],
    }
