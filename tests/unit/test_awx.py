# SPDX-License-Identifier: GPL-3.0-or-later
"""What AWX is configured with: complete, in AWX's forms, due when the clauses say, and no right too many."""

from __future__ import annotations

import ast
import datetime
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import ansible
import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.kijun.baseline.plugins.lookup.awx_approver import approved_by
from dateutil.rrule import rruleset, rrulestr
from kijun_tools import awx, awx_source, tree

SOURCE = awx_source.read()
CONFIGURATION = awx.configuration(SOURCE)
TEMPLATES = {item["playbook"]: item for item in CONFIGURATION["job_templates.yml"]["controller_templates"]}
SCHEDULES = [
    pytest.param(name, key, schedule, id=f"{name}-{key}")
    for name, job in (*SOURCE.jobs.items(), *SOURCE.workflows.items())
    for key, schedule in job.get("schedules", {}).items()
]
NOT_JOBS = {"awx_configure"}
"""Playbooks that AWX does not run: it cannot be what configures it."""

MODULES = {
    "controller_organizations": "organization",
    "controller_labels": "label",
    "controller_credential_types": "credential_type",
    "controller_credentials": "credential",
    "controller_execution_environments": "execution_environment",
    "controller_projects": "project",
    "controller_teams": "team",
    "controller_templates": "job_template",
    "controller_workflows": "workflow_job_template",
    "controller_schedules": "schedule",
    "controller_roles": "role",
}


def test_what_is_made_from_it_is_up_to_date() -> None:
    assert not awx.differences(), "run make awx"


def test_every_playbook_is_a_job() -> None:
    assert set(SOURCE.jobs) | NOT_JOBS == {file.stem for file in (tree.ROOT / "playbooks").glob("*.yml")}


def test_whoever_reads_finds_both_languages_and_clauses_of_the_register() -> None:
    register = tree.register()
    for item in (*SOURCE.jobs.values(), *SOURCE.workflows.values()):
        assert set(item["title"]) == set(item["does"]) == {"en", "ja"}
        due = item.get("schedules", {}).values()
        assert set(item["clauses"]) | {clause for one in due for clause in one["clauses"]} <= set(register)
    for job in SOURCE.jobs.values():
        assert job["on_failure"]
        assert set(job["on_failure"]) <= set(SOURCE.data["failures"])
    names = [awx.name_of(item) for item in (*SOURCE.jobs.values(), *SOURCE.workflows.values())]
    assert max(Counter(names).values()) == 1


def test_every_question_is_asked_by_some_job_and_used_by_its_playbook() -> None:
    asked = {name for job in SOURCE.jobs.values() for name, _ in SOURCE.asked(job)}
    assert asked == set(SOURCE.data["questions"])
    for playbook, job in SOURCE.jobs.items():
        text = _everything_of(playbook)
        assert not [name for name, _ in SOURCE.asked(job) if name not in awx_source.CHANGES and name not in text]


def _everything_of(playbook: str) -> str:
    """The text of a playbook and of what it brings in."""
    text = (tree.ROOT / "playbooks" / f"{playbook}.yml").read_text(encoding="utf-8")
    files = re.findall(r"vars/\w+\.yml", text)
    text += "".join((tree.ROOT / "playbooks" / file).read_text(encoding="utf-8") for file in files)
    for role in set(re.findall(r"name: kijun\.baseline\.(\w+)", text)):
        for file in (tree.ROOT / "roles" / role).rglob("*.yml"):
            text += file.read_text(encoding="utf-8")
    return text


def test_jobs_that_change_hosts_ask_for_ticket_and_confirmation_and_others_do_not() -> None:
    for playbook, job in SOURCE.jobs.items():
        guarded = "environment_guard" in _with_imports(playbook)
        assert not guarded or job["effect"] == "changes", playbook
        assert (job["effect"] == "changes") == ({name for name, _ in SOURCE.asked(job)} >= set(awx_source.CHANGES))


def _with_imports(playbook: str) -> str:
    text = (tree.ROOT / "playbooks" / f"{playbook}.yml").read_text(encoding="utf-8")
    return text + "".join(_with_imports(name) for name in re.findall(r"import_playbook: (\w+)\.yml", text))


QUESTIONS = [
    pytest.param(question, id=f"{Path(playbook).stem}-{question['variable']}")
    for playbook, template in TEMPLATES.items()
    for question in template["survey_spec"].get("spec", [])
]


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_question_is_what_the_role_documents(question: dict[str, Any]) -> None:
    """AWX's own rules for a question, and the types, choices, defaults and ranges of argument_specs and limits."""
    assert question["type"] in ("text", "textarea", "integer", "multiplechoice")
    assert re.fullmatch(r"[a-z][a-z0-9_]*", question["variable"])
    assert len(question["question_name"]) <= 255
    # AWX names a job's starter and its numbers itself; nobody answers those.
    assert not question["variable"].startswith(("awx_", "tower_", "ansible_", "kijun_actor", "kijun_ledger"))
    assert question["min"] <= question["max"]
    if question["type"] == "multiplechoice":
        assert question["choices"]
        # AWX takes no other default; none at all is one.
        assert question["default"] in ("", *question["choices"])
    option = SOURCE.options.get(question["variable"])
    if option is None:
        return
    limit = SOURCE.limits.get(question["variable"], {})
    if option["type"] == "int":
        assert question["type"] == "integer"
        assert question["default"] == option["default"]
        assert question["min"] == limit.get("min", 0)
        assert not limit.get("max") or question["max"] == limit["max"]
    if option.get("choices"):
        assert question["choices"] == option["choices"]
    if option["type"] == "bool":
        assert question["choices"] == ["false", "true"]
        assert question["default"] == str(option["default"]).lower()


def test_a_variable_of_a_role_is_asked_for_as_such() -> None:
    assert not [name for name, said in SOURCE.data["questions"].items() if (name in SOURCE.options) != ("role" in said)]


def _modules() -> Iterator[tuple[str, dict[str, Any]]]:
    base = yaml.load((tree.ROOT / awx.CONFIGURATION / "base.yml").read_text(encoding="utf-8"), Loader=_Unsafe)
    for variable, objects in (*base.items(), *(pair for one in CONFIGURATION.values() for pair in one.items())):
        if variable in MODULES:
            for item in objects:
                yield MODULES[variable], item
    for workflow in CONFIGURATION["workflows.yml"]["controller_workflows"]:
        for node in workflow["simplified_workflow_nodes"]:
            yield "workflow_job_template_node", {**node, "workflow_job_template": workflow["name"]}


class _Unsafe(yaml.SafeLoader):
    """Reads what is marked for Ansible as the text that it is."""


_Unsafe.add_constructor("!unsafe", lambda loader, node: loader.construct_scalar(node))


@pytest.mark.parametrize("module", [*MODULES.values(), "workflow_job_template_node"])
def test_every_object_is_what_the_collection_of_awx_takes(module: str) -> None:
    specification = _specification(module)
    objects = [item for name, item in _modules() if name == module]
    assert objects
    for item in objects:
        item = {name: value for name, value in item.items() if name != "simplified_workflow_nodes"}
        result = ArgumentSpecValidator(specification).validate(_typed(item, specification))
        assert not result.error_messages, item.get("name")


def _typed(item: dict[str, Any], specification: dict[str, Any]) -> dict[str, Any]:
    """What expressions would give, by the type that is wanted."""
    samples = {"int": 1, "bool": True, "list": [], "dict": {}}
    made = dict(item)
    for name, option in specification.items():
        if isinstance(made.get(name), str) and made[name].startswith("{{"):
            made[name] = option["choices"][0] if "choices" in option else samples.get(option.get("type"), made[name])
    return made


def _specification(module: str) -> dict[str, Any]:
    """The argument_spec of a module of awx.awx, as it stands in the module's source."""
    file = Path(ansible.__file__).parents[1] / f"ansible_collections/awx/awx/plugins/modules/{module}.py"
    body = ast.parse(file.read_text(encoding="utf-8")).body
    constants: dict[str, Any] = {}
    for statement in body:
        if isinstance(statement, ast.Assign):
            exec(compile(ast.Module([statement], []), str(file), "exec"), constants)
    main = next(one for one in body if isinstance(one, ast.FunctionDef) and one.name == "main")
    wanted = next(
        one
        for one in main.body
        if isinstance(one, ast.Assign) and one.targets[0].id == "argument_spec"  # type: ignore[attr-defined]
    )
    specification: dict[str, Any] = eval(compile(ast.Expression(wanted.value), str(file), "eval"), constants)
    return specification


ZONES = ("Asia/Tokyo", "Europe/Berlin")


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize(("name", "key", "schedule"), SCHEDULES)
def test_a_schedule_is_due_as_often_as_it_says(name: str, key: str, schedule: dict[str, Any], zone: str) -> None:
    often = schedule["every"] in ("minutes", "hour")
    text = awx.rrule(schedule, "20270101" if often else "20260101", zone)
    # What AWX 24.6 does not take.
    assert len(re.findall("DTSTART", text)) == 1
    assert "INTERVAL" in text
    assert not re.search(r"BYMONTHDAY=[0-9]+,|BYMONTH=[0-9]+,|BYDAY=-?[0-9]|BYYEARDAY|BYWEEKNO|COUNT|SECONDLY", text)
    start = datetime.datetime(2027, 1, 1, tzinfo=ZoneInfo(zone))
    end = datetime.datetime(*((2027, 1, 15) if often else (2028, 1, 1)), tzinfo=ZoneInfo(zone))
    rule = rrulestr(re.sub(r"DTSTART;TZID=[^:]*:", "DTSTART:", text).replace(" ", "\n"), forceset=True)
    assert isinstance(rule, rruleset)
    due = rule.between(start.replace(tzinfo=None), end.replace(tzinfo=None), inc=True)
    in_a_year = {"day": 365, "week": 52, "month": 12, "quarter": 4, "year": 1}
    minutes = {"minutes": schedule.get("step", 1), "hour": 60}
    wanted = in_a_year.get(schedule["every"]) or 14 * 24 * 60 // minutes[schedule["every"]]
    assert len([moment for moment in due if moment < end.replace(tzinfo=None)]) == wanted
    if not often:
        # The clock on the wall, in winter and in summer; no such time is one that a change of clocks leaves out.
        assert {moment.strftime("%H:%M") for moment in due} == {schedule["at"]}
        assert not [moment for moment in due if not _exists(moment, ZoneInfo(zone))]
    if schedule["every"] == "week":
        assert {moment.strftime("%a")[:2].upper() for moment in due} == {schedule["weekday"]}
    if schedule["every"] in ("month", "quarter", "year"):
        assert {moment.day for moment in due} == {schedule["day"]}
    if schedule["every"] == "quarter":
        assert {moment.month for moment in due} == {1, 4, 7, 10}


def _exists(moment: datetime.datetime, zone: ZoneInfo) -> bool:
    there = moment.replace(tzinfo=zone)
    return there.astimezone(datetime.UTC).astimezone(zone).replace(tzinfo=None) == moment


RHYTHMS = {
    "SO-2.2-daily-log-review": ("day", "09:00"),
    "SO-2.2-daily-status-check": ("day", "09:00"),
    "SO-6.1-daily-report": ("day", "09:00"),
    "SO-6.1-weekly-report": ("week", "10:00"),
    "SO-2.2-weekly-security-review": ("week", "10:00"),
    "SO-6.1-monthly-report": ("month", "14:00"),
    "SO-2.1-user-review-frequency": ("month", "14:00"),
    "SO-5.1-hardening-frequency": ("quarter", "15:00"),
    "SM-4.1.2-2": ("year", "09:00"),
    "SM-4.1.3-2": ("year", "09:00"),
    "SM-4.8.1-2": ("month", "14:00"),
    "SM-4.11-3": ("month", "14:00"),
}
"""Clause -> how often, and when, something that keeps it is due; of conflicts.yml the figure that holds."""


@pytest.mark.parametrize("clause", RHYTHMS)
def test_the_rhythm_of_a_clause_is_kept(clause: str) -> None:
    due = [
        (schedule["every"], schedule["at"])
        for item in (*SOURCE.jobs.values(), *SOURCE.workflows.values())
        for schedule in item.get("schedules", {}).values()
        # Weekly is on Mondays.
        if clause in schedule["clauses"] and schedule.get("weekday", "MO") == "MO"
    ]
    assert RHYTHMS[clause] in due


def test_a_schedule_answers_what_must_be_answered() -> None:
    items = [(job, SOURCE.asked(job)) for job in SOURCE.jobs.values()]
    items += [(workflow, SOURCE.asked_by_workflow(workflow)) for workflow in SOURCE.workflows.values()]
    for item, questions in items:
        needed = {name for name, required in questions if required}
        asked = {name for name, _ in questions}
        for schedule in item.get("schedules", {}).values():
            answers = set(schedule.get("answers", {}))
            # What a survey has a default for is answered by it.
            assert needed <= answers
            assert answers <= asked


def test_no_job_is_ended_while_a_step_of_it_may_still_work() -> None:
    """A task that may work for long says so by `async`, which no time-out of its job is shorter than."""
    found = 0
    for playbook in SOURCE.jobs:
        text = _with_files_of_roles(playbook)
        seconds = [int(number) for number in re.findall(r"async: .*?(\d{2,})", text)]
        hours = [SOURCE.options[name]["default"] for name in re.findall(r"async: .*?(\w+_hours)", text)]
        longest = max([*seconds, *(3600 * number for number in hours)], default=0)
        assert TEMPLATES[f"playbooks/{playbook}.yml"]["timeout"] > longest, playbook
        found += bool(longest)
    assert found >= 4


def _with_files_of_roles(playbook: str) -> str:
    """A playbook, and those files of roles' tasks that it names; main.yml is not among them."""
    text = (tree.ROOT / "playbooks" / f"{playbook}.yml").read_text(encoding="utf-8")
    for name in set(re.findall(r"tasks_from: (\w+)", text)):
        for role in set(re.findall(r"name: kijun\.baseline\.(\w+)", text)):
            path = tree.ROOT / "roles" / role / "tasks" / f"{name}.yml"
            text += path.read_text(encoding="utf-8") if path.exists() else ""
    return text


def test_a_job_that_changes_is_not_started_twice_at_the_same_time() -> None:
    """AWX has the second one wait; only what reads may run beside itself."""
    for playbook, template in TEMPLATES.items():
        assert not template["allow_simultaneous"] or SOURCE.jobs[Path(playbook).stem]["effect"] == "reads"


RIGHTS = CONFIGURATION["roles.yml"]["controller_roles"]


def test_nobody_has_a_right_but_those_five_kinds() -> None:
    assert {(entry["team"], entry["role"]) for entry in RIGHTS} == {
        ("Requesters", "execute"),
        ("Requesters", "use"),
        ("Operators", "execute"),
        ("Operators", "use"),
        ("System administrators", "execute"),
        ("System administrators", "use"),
        ("Approvers", "execute"),
        ("Approvers", "use"),
        ("Approvers", "approval"),
        ("Auditors", "auditor"),
    }
    assert all("user" not in entry and "users" not in entry for entry in RIGHTS)


def test_whoever_starts_a_workflow_does_not_approve_it() -> None:
    for workflow in SOURCE.workflows.values():
        approvers = {node["approval"] for node in workflow["nodes"] if "approval" in node}
        # Reading needs no approval: a workflow that does nothing else has none.
        effects = {SOURCE.jobs[node["job"]]["effect"] for node in workflow["nodes"] if "job" in node}
        assert bool(approvers) == (effects != {"reads"})
        assert not approvers & set(SOURCE.teams(workflow))


def test_what_needs_approval_is_started_by_its_workflow_alone() -> None:
    behind = {
        node["job"]
        for workflow in SOURCE.workflows.values()
        for place, node in enumerate(workflow["nodes"])
        if "job" in node and any("approval" in before for before in workflow["nodes"][:place])
    }
    alone = {"account_approval", "change", "client_reset", "ledger_import", "malware_products", "rollback"}
    assert alone <= behind
    for name in ("account_request", *alone):
        assert not SOURCE.teams(SOURCE.jobs[name])


def test_what_writes_takes_approvals_from_awx_and_can_ask_it() -> None:
    """Clause SM-4.1.1-1a: who starts a job does not type who approved."""
    for name, job in SOURCE.jobs.items():
        given = TEMPLATES[f"playbooks/{name}.yml"]["extra_vars"]
        assert (given.get("kijun_ledger_approvals") == "awx") == (job["effect"] != "reads")
    for workflow in SOURCE.workflows.values():
        waits = False
        for node in workflow["nodes"]:
            waits = waits or "approval" in node
            job = SOURCE.jobs[node["job"]] if "job" in node else {}
            # An approval is entered by the step behind it, or is what a step that changes hosts is confirmed by.
            if (
                waits
                and (job.get("effect") == "enters" or (job and not node.get("standing")))
                and job["effect"] != "reads"
            ):
                assert "awx" in job["credentials"]


def test_requesters_start_one_workflow_and_nothing_else() -> None:
    assert not [name for name, job in SOURCE.jobs.items() if "requesters" in SOURCE.teams(job)]
    assert [name for name, one in SOURCE.workflows.items() if "requesters" in SOURCE.teams(one)] == ["account_request"]


def test_an_operator_starts_nothing_that_the_runbook_does_not_give_them() -> None:
    """Clause SM-4.11-1, on the data: rights and runbooks name the same jobs."""
    may = {
        name
        for entry in RIGHTS
        if entry["team"] == "Operators"
        for name in (*entry.get("job_templates", []), *entry.get("workflows", []))
    }
    for language, who, heading in (("en", "Who may start it", "Operators"), ("ja", "開始できる者", "オペレーター")):
        suffix = "" if language == "en" else ".ja"
        text = (tree.ROOT / f"docs/awx/runbook{suffix}.md").read_text(encoding="utf-8")
        told = {
            re.split(r"\n", part, maxsplit=1)[0]
            for part in re.split(r"\n### ", text)[1:]
            if heading in re.search(rf"- {who}: (.*)", part).group(1).split(", ")  # type: ignore[union-attr]
        }
        named = {
            item["title"][language]
            for item in (*SOURCE.jobs.values(), *SOURCE.workflows.values())
            if awx.name_of(item) in may
        }
        assert told == named
    changing = {
        name for name, job in SOURCE.jobs.items() if job["effect"] == "changes" and "operators" in SOURCE.teams(job)
    }
    assert changing == {"accounts_audit", "malware_response", "removable_media"}


def test_nobody_gives_a_job_variables_beside_the_survey() -> None:
    templates = [*TEMPLATES.values(), *CONFIGURATION["workflows.yml"]["controller_workflows"]]
    assert not [item["name"] for item in templates if item["ask_variables_on_launch"]]
    open_prompts = {"ask_inventory_on_launch", "ask_limit_on_launch", "ask_job_type_on_launch"}
    for item in templates:
        assert {name for name, value in item.items() if name.startswith("ask_") and value is True} <= open_prompts


def test_steps_lead_to_steps() -> None:
    for workflow in SOURCE.workflows.values():
        seen = [node["id"] for node in workflow["nodes"]]
        for place, node in enumerate(workflow["nodes"]):
            for kind in ("success", "failure", "always"):
                # Only forward: a workflow ends.
                assert set(node.get(kind, [])) <= set(seen[place + 1 :])
            answers = set(node.get("answers", {})) | (set(awx_source.CHANGES) if node.get("standing") else set())
            assert (
                answers <= {name for name, _ in SOURCE.asked(SOURCE.jobs[node["job"]])}
                if "job" in node
                else not answers
            )


def approval(status: str, name: str, finished: str = "2026-11-20T01:00:00Z") -> dict[str, Any]:
    return {"status": status, "finished": finished, "summary_fields": {"approved_or_denied_by": {"username": name}}}


def test_the_approver_is_who_approved_last() -> None:
    given = [approval("successful", "manager2", "2026-11-21T00:00:00Z"), approval("successful", "manager1")]
    assert approved_by(given, "operator1") == "manager2"


@pytest.mark.parametrize(
    ("given", "started_by", "said"),
    [
        ([], "operator1", "nobody approved"),
        ([approval("failed", "manager1")], "operator1", "nobody approved"),
        ([approval("pending", "")], "operator1", "nobody approved"),
        ([{"status": "successful", "summary_fields": {}}], "operator1", "nobody approved"),
        ([approval("successful", "operator1")], "operator1", "another person"),
        ([approval("successful", "Operator1")], "operator1", "another person"),
        ([approval("successful", "manager1"), approval("successful", "operator1")], "operator1", "another person"),
    ],
)
def test_what_is_no_approval_by_another_person_is_refused(
    given: list[dict[str, Any]], started_by: str, said: str
) -> None:
    with pytest.raises(Exception, match=said):
        approved_by(given, started_by)
