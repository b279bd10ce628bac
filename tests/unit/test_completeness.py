# SPDX-License-Identifier: GPL-3.0-or-later
"""Every clause is claimed or pending; every control is whole: expectation, proof, page."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from ansible_collections.kijun.baseline.plugins.module_utils.facts import FACTS, known
from ansible_collections.kijun.baseline.plugins.module_utils.verdict import OPERATORS, split_path
from jsonschema import Draft202012Validator
from kijun_tools import policy, tree

SCHEMA = json.loads((tree.ROOT / "docs" / "schema" / "control.schema.json").read_text(encoding="utf-8"))
CONTROLS = tree.controls()
REGISTER = tree.register()
PROOFS = tree.proofs()
PROVEN = ("automated", "detected", "recorded", "reported")
"""Statuses whose controls a test must prove; the others are people's work, planned, or no work at all."""


def by_id(control: dict[str, Any]) -> str:
    return str(control.get("id"))


def test_there_are_controls() -> None:
    assert CONTROLS, "roles/*/controls.yml hold no control"


def test_pending_lists_exactly_what_no_control_claims() -> None:
    listed = policy.listed()["pending"]
    ids = [clause for clauses in listed.values() for clause in clauses]
    claimed = tree.claimed()
    assert not [clause for clause, times in Counter(ids).items() if times > 1], "listed twice"
    assert not sorted(set(ids) - set(REGISTER)), "listed as pending and not in the register"
    assert not sorted(set(ids) & claimed), "pending and claimed by a control: run tools/policy pending"
    assert not sorted(set(REGISTER) - set(ids) - claimed), "neither claimed nor pending"
    wrong = {clause: area for area, clauses in listed.items() for clause in clauses if REGISTER[clause]["area"] != area}
    assert not wrong, "listed below another area than the register's"


def test_the_number_of_pending_clauses_only_falls() -> None:
    count = sum(map(len, policy.pending().values()))
    ceiling = policy.listed()["ceiling"]
    assert count <= ceiling, f"{count} clauses are pending and the ceiling is {ceiling}: a claim was lost"
    assert count == ceiling, f"only {count} clauses are pending: run tools/policy pending, which lowers the ceiling"


def test_control_ids_are_unique() -> None:
    assert not [identifier for identifier, times in Counter(map(by_id, CONTROLS)).items() if times > 1]


def test_schema_knows_the_operators_of_the_audit() -> None:
    assert set(SCHEMA["$defs"]["expectation"]["properties"]["op"]["enum"]) == set(OPERATORS)


@pytest.mark.parametrize("control", CONTROLS, ids=by_id)
def test_control_keeps_to_the_schema(control: dict[str, Any]) -> None:
    errors = [f"{error.json_path}: {error.message}" for error in Draft202012Validator(SCHEMA).iter_errors(control)]
    assert not errors


@pytest.mark.parametrize("control", CONTROLS, ids=by_id)
def test_control_names_clauses_and_an_area_of_the_register(control: dict[str, Any]) -> None:
    assert not sorted(set(control["clauses"]) - set(REGISTER)), "unknown clauses"
    assert control["area"] in {clause["area"] for clause in REGISTER.values()}


@pytest.mark.parametrize("control", CONTROLS, ids=by_id)
def test_control_expects_facts_that_the_audit_can_read(control: dict[str, Any]) -> None:
    for expectation in control.get("expect", []):
        fact = expectation["fact"]
        if "{{" in fact:
            assert fact.split("{{")[0].rstrip("[.") in FACTS, f"{fact}: an expression may fill in a key, not the fact"
        else:
            assert known(split_path(fact)), f"{fact}: not in plugins/module_utils/facts"


@pytest.mark.parametrize("control", CONTROLS, ids=by_id)
def test_control_is_proven(control: dict[str, Any]) -> None:
    if control["status"] in PROVEN:
        assert control["id"] in PROOFS, f'no test is marked @pytest.mark.control("{control["id"]}")'


def test_every_proof_is_of_a_control() -> None:
    assert not sorted(set(PROOFS) - set(map(by_id, CONTROLS))), "tests marked with an id that no control has"


@pytest.mark.parametrize("control", CONTROLS, ids=by_id)
def test_control_has_a_page(control: dict[str, Any]) -> None:
    assert (tree.ROOT / "docs" / "reference" / "controls" / f"{control['id']}.md").is_file(), "run make reference"


def test_conflicts_name_clauses_of_the_register() -> None:
    conflicts = tree.load(tree.ROOT / "policy" / "conflicts.yml")
    named = {value["clause"] for conflict in conflicts for value in conflict["values"]}
    assert named, "policy/conflicts.yml names no clause"
    assert not sorted(named - set(REGISTER))
