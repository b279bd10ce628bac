# SPDX-License-Identifier: GPL-3.0-or-later
"""The evidence of one run in memory.

Most hosts of a fleet answer most controls alike. A distinct answer (control, verdict, expected, actual) is therefore
kept once, as an *outcome*, and a host is a list of outcome numbers: 1,000 hosts x 40 controls stay small in memory
and in the page.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..exceptions import SOON

SCHEMA = "kijun.evidence/1"

#: Worst first: the order in which a reader wants to see them.
VERDICTS = ("fail", "error", "excused", "not_applicable", "pass")

#: What a control of an evidence record must hold, and as what. ``None`` in a tuple allows null.
_CONTROL: dict[str, tuple[type | None, ...]] = {
    "id": (str,),
    "title": (dict,),
    "area": (str,),
    "severity": (str,),
    "scope": (list,),
    "status": (str,),
    "clauses": (list,),
    "verdict": (str,),
    "reason": (str, None),
    "deviation": (str, None),
    "exception": (dict, None),
    "checks": (list,),
}
_CHECK: dict[str, tuple[type | None, ...]] = {
    "fact": (str,),
    "op": (str,),
    "verdict": (str,),
    "detail": (str, None),
}
_EXCEPTION: dict[str, tuple[type | None, ...]] = {
    "until": (str,),
    "approver": (str,),
    "reason": (str,),
    "ticket": (str, None),
}
# What records of earlier versions lack.
_EXCEPTION_LATER: dict[str, tuple[type | None, ...]] = {
    "id": (str,),
    "from": (str,),
    "measure": (str,),
    "days_left": (int,),
}
_HOST: dict[str, tuple[type | None, ...]] = {
    "name": (str,),
    "groups": (list,),
    "os": (str, None),
    "kernel": (str, None),
    "time": (str, None),
}
_PROBLEM: dict[str, tuple[type | None, ...]] = {
    "file": (str,),
    "line": (int, None),
    "problem": (str,),
}


class EvidenceError(Exception):
    """A record or a run directory that cannot be used as evidence; the text says which part and why."""


@dataclass
class Host:
    """One host of a run. ``outcomes`` are numbers into :attr:`Report.outcomes`, in the record's order."""

    name: str
    groups: list[str]
    os: str | None
    kernel: str | None
    time: str | None
    problems: list[dict[str, Any]]
    unaudited: str | None
    outcomes: list[int] = field(default_factory=list)


class Ending(NamedTuple):
    """An exception that ends soon or is over.

    :param result: the control's result on one of the hosts.
    :param exception: as its evidence has it.
    :param hosts: names of the hosts.
    """

    result: dict[str, Any]
    exception: dict[str, Any]
    hosts: list[str]


class Report:
    """The evidence of all hosts of one run.

    :param run: ``id``, ``started``, ``finished`` (RFC 3339, UTC, or None while the run goes on), ``playbook``,
        ``version``.
    """

    def __init__(self, run: dict[str, Any]) -> None:
        self.run = run
        self.hosts: dict[str, Host] = {}
        self.outcomes: list[dict[str, Any]] = []
        self._numbers: dict[str, int] = {}

    def add(self, name: str, record: dict[str, Any]) -> None:
        """Take in a host's record; a later record of the same host replaces the earlier one.

        :param name: the host's name in the inventory (the record's own name is not trusted for it).
        :param record: an evidence record, see docs/schema/evidence-1.schema.json.
        :raises EvidenceError: when the record lacks a part or holds it in another shape. Nothing is taken in then.
        """
        if not isinstance(record, dict) or record.get("schema") != SCHEMA:
            raise EvidenceError(f"the record of {name} is not of schema {SCHEMA}")
        host = _shaped(record.get("host"), _HOST, f"host of {name}")
        problems = [_shaped(item, _PROBLEM, f"problem of {name}") for item in _list(record, "problems", name)]
        unaudited = record.get("unaudited")
        if not isinstance(unaudited, (str, type(None))):
            raise EvidenceError(f"the record of {name}: unaudited is neither text nor absent")
        self.hosts[name] = Host(
            name=name,
            groups=[str(group) for group in host["groups"]],
            os=host["os"],
            kernel=host["kernel"],
            time=host["time"],
            problems=problems,
            unaudited=unaudited,
            outcomes=[self._number(control, name) for control in _list(record, "controls", name)],
        )

    def _number(self, control: Any, name: str) -> int:
        """The number of a control's outcome; checked in full only when it is seen for the first time."""
        try:
            key = json.dumps(control, sort_keys=True, allow_nan=False)
        except ValueError:
            control = _plain(control)
            key = json.dumps(control, sort_keys=True)
        number = self._numbers.get(key)
        if number is None:
            _check_control(control, name)
            number = self._numbers[key] = len(self.outcomes)
            self.outcomes.append(control)
        return number

    def results(self, host: Host) -> list[dict[str, Any]]:
        """A host's control results, in the record's order."""
        return [self.outcomes[number] for number in host.outcomes]

    def totals(self, host: Host) -> dict[str, int]:
        """How many controls of a host came to each verdict."""
        counts = dict.fromkeys(("pass", "fail", "excused", "not_applicable", "error"), 0)
        for result in self.results(host):
            counts[result["verdict"]] += 1
        return counts

    def all_totals(self) -> dict[str, int]:
        """The verdicts of all hosts together."""
        counts = dict.fromkeys(VERDICTS, 0)
        for host in self.hosts.values():
            for verdict, number in self.totals(host).items():
                counts[verdict] += number
        return counts

    def ending(self) -> list[Ending]:
        """The exceptions that end within :data:`SOON` days or are over, and have something to excuse; first the ones
        that are over the longest.
        """
        found: dict[tuple[str, str, str], Ending] = {}
        for host in self.hosts.values():
            for result in self.results(host):
                exception = result["exception"]
                # Of records of earlier versions nobody knows when they were judged.
                if not exception or exception.get("days_left", SOON + 1) > SOON:
                    continue
                if result["verdict"] in ("fail", "excused"):
                    key = (exception["until"], exception["id"], result["id"])
                    found.setdefault(key, Ending(result, exception, [])).hosts.append(host.name)
        return [found[key] for key in sorted(found)]

    def record(self, host: Host) -> dict[str, Any]:
        """The evidence record of a host as it is kept on disk, with the run it belongs to."""
        record = {
            "schema": SCHEMA,
            "run": self.run,
            "host": {
                "name": host.name,
                "groups": host.groups,
                "os": host.os,
                "kernel": host.kernel,
                "time": host.time,
            },
            "totals": self.totals(host),
            "controls": self.results(host),
            "problems": host.problems,
        }
        if host.unaudited is not None:
            record["unaudited"] = host.unaudited
        return record


def unaudited_record(name: str, groups: list[str], why: str, time: str) -> dict[str, Any]:
    """The record of a host that could not be audited: absence of evidence is written down, never passed over.

    :param why: the error, as the operator would read it.
    :param time: when it was found out, RFC 3339 in UTC.
    """
    return {
        "schema": SCHEMA,
        "host": {"name": name, "groups": groups, "os": None, "kernel": None, "time": time},
        "totals": {"pass": 0, "fail": 0, "excused": 0, "not_applicable": 0, "error": 0},
        "controls": [],
        "problems": [],
        "unaudited": why,
    }


def _check_control(control: Any, name: str) -> None:
    """Refuse a control result that the report could not show; its text may come from a hostile host."""
    _shaped(control, _CONTROL, f"a control of {name}")
    where = f"control {control['id']} of {name}"
    if control["verdict"] not in VERDICTS:
        raise EvidenceError(f"{where}: verdict {control['verdict']!r} is none of {', '.join(VERDICTS)}")
    if not all(isinstance(control["title"].get(language), str) for language in ("en", "ja")):
        raise EvidenceError(f"{where}: the title lacks en or ja")
    if not all(isinstance(item, str) for item in control["scope"] + control["clauses"]):
        raise EvidenceError(f"{where}: scope and clauses must be lists of text")
    if control["exception"] is not None:
        later = {key: kind for key, kind in _EXCEPTION_LATER.items() if key in control["exception"]}
        _shaped(control["exception"], {**_EXCEPTION, **later}, f"exception of {where}")
    for check in control["checks"]:
        _shaped(check, _CHECK, f"a check of {where}")
        if not {"expected", "actual"} <= check.keys():
            raise EvidenceError(f"a check of {where}: expected or actual is missing")


def _list(record: dict[str, Any], key: str, name: str) -> list[Any]:
    """A member of a record that must be a list."""
    value = record.get(key)
    if not isinstance(value, list):
        raise EvidenceError(f"the record of {name}: {key} is not a list")
    return value


def _shaped(value: Any, shape: dict[str, tuple[type | None, ...]], where: str) -> dict[str, Any]:
    """The mapping itself when each member that ``shape`` names is there and of an allowed type."""
    if not isinstance(value, dict):
        raise EvidenceError(f"{where} is not a mapping")
    for key, allowed in shape.items():
        types = tuple(type(None) if kind is None else kind for kind in allowed)
        if key not in value or not isinstance(value[key], types):
            raise EvidenceError(f"{where}: {key} is missing or of the wrong type")
    return value


def _plain(value: Any) -> Any:
    """The value with numbers JSON has no form for (NaN, infinity) as text: browsers refuse them."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
