# SPDX-License-Identifier: GPL-3.0-or-later
"""The published schema takes real records, and refuses each way in which one can be wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sample
from ansible_collections.kijun.baseline.plugins.plugin_utils.report import EvidenceError, Report, unaudited_record
from jsonschema import Draft202012Validator, ValidationError

SCHEMA = json.loads(
    (Path(__file__).parents[2] / "docs" / "schema" / "evidence-1.schema.json").read_text(encoding="utf-8")
)
VALIDATOR = Draft202012Validator(SCHEMA)

Mutation = Callable[[dict[str, Any]], object]


def kept(record: dict[str, Any]) -> dict[str, Any]:
    return {**record, "run": sample.run()}


def objects(node: Any, path: str = "$") -> list[tuple[str, dict[str, Any]]]:
    """Every object of the schema that describes an object of the record."""
    found = []
    if isinstance(node, dict):
        if node.get("type") == "object" and "properties" in node:
            found.append((path, node))
        for key, value in node.items():
            found += objects(value, f"{path}/{key}")
    elif isinstance(node, list):
        for index, value in enumerate(node):
            found += objects(value, f"{path}/{index}")
    return found


def test_the_schema_is_a_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize(("path", "node"), objects(SCHEMA), ids=[path for path, _ in objects(SCHEMA)])
def test_every_object_is_closed(path: str, node: dict[str, Any]) -> None:
    assert node["additionalProperties"] is False
    assert set(node["required"]) >= set(node["properties"]) - {"run", "unaudited"}


@pytest.mark.parametrize("fleet", [sample.stock_fleet, sample.enforced_fleet])
def test_records_are_valid_as_returned_and_as_kept(fleet: Callable[[], dict[str, Any]]) -> None:
    for record in fleet().values():
        VALIDATOR.validate(record)
        VALIDATOR.validate(kept(record))


def test_the_record_of_a_host_that_was_not_audited_is_valid() -> None:
    VALIDATOR.validate(kept(unaudited_record("time1", ["servers"], "unreachable: Connection refused", sample.STARTED)))


def remove(path: str) -> Mutation:
    def mutate(record: dict[str, Any]) -> None:
        *parents, last = path.split(".")
        node: Any = record
        for part in parents:
            node = node[int(part)] if part.isdigit() else node[part]
        del node[last]

    return mutate


MUTATIONS: dict[str, Mutation] = {
    **{
        f"without {path}": remove(path)
        for path in (
            "schema",
            "host",
            "totals",
            "controls",
            "problems",
            "host.name",
            "host.os",
            "totals.error",
            "run.finished",
            "controls.0.id",
            "controls.0.title.ja",
            "controls.0.verdict",
            "controls.0.checks",
            "controls.0.exception",
            "controls.0.checks.0.actual",
            "controls.0.checks.0.expected",
            "controls.0.checks.0.verdict",
            "problems.0.line",
        )
    },
    "another schema": lambda record: record.update(schema="kijun.evidence/2"),
    "a key too many": lambda record: record.update(password="x"),
    "a key too many in a control": lambda record: record["controls"][0].update(password="x"),
    "a key too many in a check": lambda record: record["controls"][0]["checks"][0].update(password="x"),
    "an unknown verdict": lambda record: record["controls"][0].update(verdict="ok"),
    "an unknown severity": lambda record: record["controls"][0].update(severity="urgent"),
    "a check not applicable": lambda record: record["controls"][0]["checks"][0].update(verdict="not_applicable"),
    "a negative total": lambda record: record["totals"].update(fail=-1),
    "a local time": lambda record: record["host"].update(time="2026-11-21T19:15:00+09:00"),
    "excused without an exception": lambda record: record["controls"][0].update(verdict="excused", exception=None),
    "unaudited with controls": lambda record: record.update(unaudited="unreachable"),
    "unaudited without a reason": lambda record: record.update(unaudited="", controls=[]),
    "a line that is text": lambda record: record["problems"][0].update(line="7"),
    "clauses as text": lambda record: record["controls"][0].update(clauses="ST-8-1"),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_wrong_record_is_refused(name: str) -> None:
    record = kept(sample.stock_fleet()["client12"])
    VALIDATOR.validate(record)
    MUTATIONS[name](record)
    with pytest.raises(ValidationError):
        VALIDATOR.validate(record)


# What would break the report is refused there too, so that one hostile record cannot cost the evidence of the others.
@pytest.mark.parametrize(
    "name",
    [name for name in MUTATIONS if name.startswith("without ") and "totals" not in name and "run" not in name]
    + ["another schema", "an unknown verdict", "clauses as text"],
)
def test_the_report_refuses_what_it_cannot_show(name: str) -> None:
    record = kept(sample.stock_fleet()["client12"])
    MUTATIONS[name](record)
    report = Report(sample.run())
    with pytest.raises(EvidenceError):
        report.add("client12", record)
    assert not report.hosts
