# SPDX-License-Identifier: GPL-3.0-or-later
"""Controls on the controller: their form, which of them are for a host and a run, exceptions, the evidence record."""

from __future__ import annotations

import copy
import datetime
import json
from typing import Any

import jsonschema
import pytest
from ansible.template import is_trusted_as_template
from ansible_collections.kijun.baseline.plugins.module_utils.verdict import OPERATORS
from ansible_collections.kijun.baseline.plugins.plugin_utils.controls import (
    CHOICES,
    GROUP_OF_SCOPE,
    ControlError,
    check_controls,
    check_expectations,
    choose,
    collection_controls,
    evidence,
    lists_in_sight,
    never_excused,
    reason_not_applicable,
    with_roles,
)
from ansible_collections.kijun.baseline.plugins.plugin_utils.exceptions import of_host
from ansible_collections.kijun.baseline.plugins.plugin_utils.filled import is_template, texts
from kijun_tools import tree

TODAY = datetime.date(2026, 11, 21)
NOTHING = object()
"""Stands for a field that is left out."""


def control(name: str = "AUTH-07", **changed: Any) -> dict[str, Any]:
    fields = {
        "id": name,
        "title": {"en": "Lock", "ja": "停止"},
        "area": "authentication",
        "severity": "high",
        "scope": ["server", "client"],
        "clauses": ["SM-4.1.5-1-6"],
        "status": "automated",
        "disruption": "none",
        "expect": [{"fact": "faillock.deny", "op": "==", "value": 10}],
        **changed,
    }
    return {field: value for field, value in fields.items() if value is not NOTHING}


def expecting(**changed: Any) -> dict[str, Any]:
    fields = {"fact": "faillock.deny", "op": "==", "value": 10, **changed}
    return control(expect=[{field: value for field, value in fields.items() if value is not NOTHING}])


def check(controls: list[Any]) -> None:
    check_controls(controls)
    for entry in controls:
        check_expectations(entry)


def test_controls_of_their_form_are_taken() -> None:
    check(
        [
            control(),
            control("TIME-1", status="pending", expect=NOTHING),
            control("TIME-02", status="not_applicable", reason="no host has it", expect=[]),
            control("X2-03", applies=False, deviation="", sensitive=True),
            control(
                "X2-04", expect=[{"fact": "accounts.max_days", "op": "<=", "value": 90, "each": True, "except": []}]
            ),
            control("X2-05", expect=[{"fact": "packages.ntpsec", "op": "==", "value": None}]),
            control("X2-06", expect=[{"fact": "faillock.overrides", "op": "empty"}]),
            control("X2-07", never_excused="it is the way in"),
        ]
    )


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("text", "id must be such as AUTH-07, not None"),
        (control(7), "not 7"),  # type: ignore[arg-type]
        (control("auth-07"), "not 'auth-07'"),
        (control("AUTH"), "not 'AUTH'"),
        (control(title=NOTHING), "control AUTH-07 lacks title"),
        (control(clauses=NOTHING, area=NOTHING), "lacks area, clauses"),
        (control(severity="hihg"), "severity 'hihg' is none of low, medium, high, critical"),
        (control(status="automatic"), "status 'automatic' is none of automated, detected"),
        (control(scope=["servers"]), r"scope \['servers'\] must be of server, client"),
        (control(scope=[]), r"scope \[\] must be of server, client"),
        (control(scope="server"), "scope must be a list, not 'server'"),
        (control(clauses="SM-6-1"), "clauses must be a list, not 'SM-6-1'"),
        (control(expect={"fact": "os.id"}), "expect must be a list"),
        (control(expect=NOTHING), "is automated and expects nothing"),
        (control(status="detected", expect=[]), "is detected and expects nothing"),
        (control(aplies=False), "unknown aplies; known: id, title"),
        (control(never_excused=True), "never_excused must say why, not True"),
        (control(never_excused=" "), "never_excused must say why, not ' '"),
        (control(applies="false"), "applies must be true or false, not 'false'"),
        (control(expect=["faillock.deny == 10"]), "an expectation must have fact, op and value"),
        (expecting(fact="faillock"), "unknown fact path 'faillock'; docs/reference/facts.md"),
        (expecting(fact="weather.today"), "unknown fact path 'weather.today'"),
        (expecting(fact="files[/etc/x"), "is not a fact path"),
        (expecting(fact=NOTHING), "an empty fact path"),
        (expecting(op="="), "unknown operator '='; known: ==, !="),
        (expecting(op=NOTHING), "unknown operator None"),
        (expecting(value=NOTHING), "faillock.deny == needs a value"),
        (expecting(valeu=10), "unknown valeu; known: fact, op, value, each, except"),
        (expecting(op="matches", value="("), "'\\(' is not a regular expression"),
        (expecting(**{"except": "root"}), "except must be a list, not 'root'"),
    ],
)
def test_a_control_that_is_not_of_its_form_is_refused_with_its_name(wrong: Any, message: str) -> None:
    with pytest.raises(ControlError, match=message):
        check([control("AUTH-01"), wrong])


def test_one_id_stands_for_one_control() -> None:
    with pytest.raises(ControlError, match="control AUTH-07 is there twice"):
        check_controls([control(), control()])


def test_the_schema_and_the_check_allow_the_same() -> None:
    schema = json.loads((tree.ROOT / "docs" / "schema" / "control.schema.json").read_text(encoding="utf-8"))
    fields = schema["properties"]
    assert tuple(fields["status"]["enum"]) == CHOICES["status"]
    assert tuple(fields["severity"]["enum"]) == CHOICES["severity"]
    assert fields["scope"]["items"]["enum"] == list(GROUP_OF_SCOPE)
    assert schema["$defs"]["expectation"]["properties"]["op"]["enum"] == list(OPERATORS)
    for field in fields:
        example = control(
            status="not_applicable",
            reason="x",
            applies=True,
            applies_where=[],
            deviation="x",
            sensitive=False,
            never_excused="x",
        )
        check_controls([example])
        assert field in example, f"{field} is in the schema and not in the example"


CONTROLS = [
    control("AUTH-07"),
    control("TIME-01", area="time_sync", clauses=["SM-4.2.4-6", "SM-4.8.1-4a"]),
    control("TIME-02", area="time_sync", clauses=["SM-4.2.4-6"]),
]


@pytest.mark.parametrize(
    ("tags", "chosen"),
    [
        ([], ["AUTH-07", "TIME-01", "TIME-02"]),
        (["all"], ["AUTH-07", "TIME-01", "TIME-02"]),
        (["time_sync"], ["TIME-01", "TIME-02"]),
        (["SM-4.8.1-4a"], ["TIME-01"]),
        (["TIME-02", "authentication"], ["AUTH-07", "TIME-02"]),
        (["always", "TIME-01"], ["TIME-01"]),
    ],
)
def test_a_run_chooses_by_area_clause_or_id(tags: list[str], chosen: list[str]) -> None:
    assert [entry["id"] for entry in choose(CONTROLS, tags)] == chosen


def test_a_choice_that_chooses_nothing_is_an_error() -> None:
    with pytest.raises(ControlError, match="no control has the area, clause or id 'AUTH-99', 'tiem'"):
        choose(CONTROLS, ["TIME-01", "tiem", "AUTH-99"])
    with pytest.raises(ControlError, match="'time_sync'"):
        choose([], ["time_sync"])


@pytest.mark.parametrize(
    ("changed", "groups", "reason"),
    [
        ({}, ["servers"], None),
        ({}, [], None),
        ({"scope": ["server"]}, ["servers"], None),
        ({"scope": ["server"]}, ["clients"], "for server only"),
        ({"scope": ["server"]}, ["clients", "servers"], None),
        ({"scope": ["client"]}, ["printers"], None),
        ({"applies": True}, [], None),
        ({"applies": False}, [], "not asked of this host by its settings"),
        ({"status": "detected"}, [], None),
        ({"status": "pending"}, [], "status: pending"),
        ({"status": "not_applicable", "reason": "no such thing"}, [], "no such thing"),
    ],
)
def test_which_controls_are_for_a_host(changed: dict[str, Any], groups: list[str], reason: str | None) -> None:
    assert reason_not_applicable(control(**changed), groups) == reason


def test_lists_of_controls_are_found_by_their_names() -> None:
    variables = {
        "b_controls": [control("B-1")],
        "a_controls": "{{ made }}",
        "_c_controls": [1],
        "controls": [2],
        "x": 3,
    }
    found = lists_in_sight([variables, {"d_controls": [control("D-1")]}], lambda text: [control("A-1"), text])
    assert [entry if isinstance(entry, str) else entry["id"] for entry in found] == ["A-1", "{{ made }}", "B-1", "D-1"]
    with pytest.raises(ControlError, match="a_controls must be a list of controls, not 7"):
        lists_in_sight([{"a_controls": 7}], str)


def test_the_name_of_a_role_stands_for_its_controls() -> None:
    found = lists_in_sight([{"time_sync_controls": [control("A-1"), "kijun.baseline.time_sync"]}], str)
    assert found[1:] == tree.load(tree.ROOT / "roles/time_sync/controls.yml")
    templates = [text for text in texts(found[1:]) if is_template(text)]
    assert templates
    assert all(is_trusted_as_template(text) for text in templates), "Ansible would leave them as they are"
    with pytest.raises(ControlError, match=r"'kijun.baseline.tim_sync' is no role with controls; known: kijun\."):
        lists_in_sight([{"a_controls": ["kijun.baseline.tim_sync"]}], str)
    with pytest.raises(ControlError, match=r"'AUTH-07' is no role with controls; known: kijun\."):
        with_roles(["AUTH-07"])
    assert {entry["id"] for entry in collection_controls()} == {entry["id"] for entry in tree.controls()}


def test_which_controls_are_never_excused_is_known_from_what_is_written() -> None:
    written = [control("A-1"), control("A-2", never_excused="the way in"), "{{ text }}", {"title": "none"}]
    assert never_excused(written) == {"A-1": "", "A-2": "the way in"}


def exception(**changed: Any) -> dict[str, Any]:
    return {
        "id": "EXC-1",
        "control": "AUTH-07",
        "hosts": ["servers"],
        "from": "2026-01-01",
        "until": "2026-12-31",
        "approver": "the owner",
        "reason": "a migration",
        "measure": "a filter",
        "ticket": "T-1",
        "review_on": "2026-06-30",
        **changed,
    }


def answer(**verdicts: str) -> dict[str, Any]:
    judged = [
        {"id": name.replace("_", "-"), "verdict": verdict, "reason": None, "checks": []}
        for name, verdict in verdicts.items()
    ]
    return {"os": "Debian", "kernel": "6.1", "time": "2026-11-21T10:00:00Z", "controls": judged, "problems": []}


def record(controls: list[dict[str, Any]], found: dict[str, Any], *exceptions: dict[str, Any]) -> dict[str, Any]:
    filed = of_host(exceptions, "server12", ["servers", "lab"])
    return evidence("server12", ["servers", "lab"], controls, found, filed, TODAY)


def test_evidence_is_what_its_schema_says() -> None:
    schema = json.loads((tree.ROOT / "docs" / "schema" / "evidence-1.schema.json").read_text(encoding="utf-8"))
    controls = [*CONTROLS, control("X-1", applies=False), control("X-2", status="pending", expect=NOTHING)]
    made = record(controls, answer(AUTH_07="fail", TIME_01="pass", TIME_02="error"), exception())
    whole = {
        **made,
        "run": {
            "id": "20261121T100000Z",
            "started": "2026-11-21T10:00:00Z",
            "finished": "2026-11-21T10:00:01Z",
            "playbook": "audit.yml",
            "version": "0.1.0",
        },
    }
    errors = [error.message for error in jsonschema.Draft202012Validator(schema).iter_errors(whole)]
    assert errors == []
    assert made["totals"] == {"fail": 0, "error": 1, "excused": 1, "pass": 1, "not_applicable": 2}
    assert made["host"]["groups"] == ["lab", "servers"]


@pytest.mark.parametrize(
    ("verdict", "until", "expected", "reason"),
    [
        ("fail", "2026-12-31", "excused", "excused until 2026-12-31 by the owner: a migration"),
        ("fail", "2026-11-21", "excused", "excused until 2026-11-21 by the owner: a migration"),
        ("fail", "2026-11-20", "fail", "the exception expired on 2026-11-20"),
        ("pass", "2026-12-31", "pass", None),
        ("pass", "2026-11-20", "pass", None),
        ("error", "2026-12-31", "error", None),
    ],
)
def test_an_exception_excuses_a_failure_until_its_day(
    verdict: str, until: str, expected: str, reason: str | None
) -> None:
    made = record([control()], answer(AUTH_07=verdict), exception(until=until))["controls"][0]
    assert (made["verdict"], made["reason"]) == (expected, reason)
    assert made["exception"]["until"] == until


@pytest.mark.parametrize(("until", "left"), [("2026-12-05", 14), ("2026-11-21", 0), ("2026-11-20", -1)])
def test_the_evidence_says_how_long_an_exception_lasts(until: str, left: int) -> None:
    made = record([control()], answer(AUTH_07="fail"), exception(until=until))["controls"][0]["exception"]
    assert made == {
        **{field: exception()[field] for field in ("id", "from", "approver", "reason", "measure", "ticket")},
        "until": until,
        "days_left": left,
    }


@pytest.mark.parametrize(("verdict", "said"), [("fail", True), ("pass", False), ("error", False)])
def test_a_control_that_is_never_excused_fails_and_says_so(verdict: str, said: bool) -> None:
    made = record([control(never_excused="it is the way in")], answer(AUTH_07=verdict), exception())["controls"][0]
    assert made["verdict"] == verdict
    assert made["exception"]["id"] == "EXC-1"
    words = "exception EXC-1 does not hold, since this control is never excused: it is the way in"
    assert made["reason"] == (words if said else None)


def test_an_exception_excuses_its_own_control_alone() -> None:
    made = record(CONTROLS, answer(AUTH_07="fail", TIME_01="fail", TIME_02="fail"), exception())
    assert [entry["verdict"] for entry in made["controls"]] == ["excused", "fail", "fail"]
    assert [entry["exception"] is None for entry in made["controls"]] == [False, True, True]


def test_a_deviation_is_told_and_its_reason_kept() -> None:
    found = answer(AUTH_07="fail")
    found["controls"][0]["reason"] = "by choice"
    made = record([control(deviation="by choice")], found)["controls"][0]
    assert (made["deviation"], made["reason"], made["verdict"]) == ("by choice", "by choice", "fail")


def test_joining_leaves_the_controls_as_they_are() -> None:
    before = copy.deepcopy(CONTROLS)
    record(CONTROLS, answer(AUTH_07="fail", TIME_01="pass", TIME_02="pass"), exception())
    assert before == CONTROLS
