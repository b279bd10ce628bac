# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes what AWX is configured with, the table of jobs and the runbooks, from awx/jobs.yml and the roles."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from . import awx_pages, tree
from .awx_source import LANGUAGES, Source, read

CONFIGURATION = Path("awx/configuration")
HEAD = "# SPDX-License-Identifier: GPL-3.0-or-later\n# Made by `make awx` from awx/jobs.yml. Do not edit.\n---\n"
LABEL = "kijun"
"""What job templates and workflows are labelled with, so that they are known as ours."""

MARK = "(Kijun)"
"""The end of every description that is ours; objects that have no label are known by it."""

ORGANIZATION = "{{ awx_configure_organization }}"
PROJECT = "Kijun"
ENVIRONMENT = "Kijun"
CREDENTIALS = {
    "machine": "Kijun machine",
    "ledger": "Kijun ledger",
    "vault": "Kijun vault",
    "awx": "Kijun AWX",
}
"""Credential of jobs.yml -> its name in AWX."""

REPORTS = "{{ awx_configure_reports }}"
"""Where jobs leave files; what is mounted there outlives them."""

STANDING = {"kijun_change_ticket": "{{ awx_configure_standing_ticket }}", "kijun_change_confirmed": "true"}
"""What those answers are where nobody is asked."""

TYPES = {"text": "text", "lines": "textarea", "int": "integer", "choice": "multiplechoice", "bool": "multiplechoice"}
"""Type of a question in jobs.yml -> AWX's."""

LONGEST = 1024
"""Characters of an answer where neither the question nor the role says how many."""


class _Indented(yaml.SafeDumper):
    """Indents lists, as the project's YAML is."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:
        return True


def name_of(item: Mapping[str, Any]) -> str:
    """The name in AWX of a job or a workflow, in both languages: names are what people look for."""
    return f"Kijun: {item['title']['en']} ({item['title']['ja']})"


def described(item: Mapping[str, Any]) -> str:
    """The description in AWX of a job, a workflow or a team."""
    said = item.get("does") or item["may"]
    return f"{said['en']} / {said['ja']} {MARK}"


def question(source: Source, name: str, required: bool, root: Path = tree.ROOT) -> dict[str, Any]:
    """One question of a survey, in AWX's form.

    Args:
        source: where it is described.
        name: the variable that is asked for.
        required: whether it must be answered.
        root: the checkout.

    Returns:
        The entry of a ``survey_spec``.

    Raises:
        ValueError: it is about a role's variable that there is not.
    """
    said = source.data["questions"][name]
    asked = {
        "question_name": " / ".join(said["ask"][language] for language in LANGUAGES),
        "question_description": "",
        "required": required,
        "variable": name,
    }
    if "role" not in said:
        kind, choices, default = said["type"], said.get("choices", []), said.get("default")
        low, high = 0, said.get("max", LONGEST)
    else:
        if name not in source.options:
            raise ValueError(f"{name}: no role documents it in its argument_specs")
        option, limit = source.options[name], source.limits.get(name, {})
        kind = {"bool": "bool", "int": "int"}.get(option["type"], "choice" if option.get("choices") else "text")
        choices, default = option.get("choices", []), option.get("default")
        low, high = limit.get("min", 0), limit.get("max", LONGEST)
        asked["question_description"] = _plain(option["description"])
    if kind == "role":
        kind, choices = "choice", [f"kijun.baseline.{role.name}" for role in tree.roles(root)]
    if kind == "bool":
        choices, default = ["false", "true"], str(bool(default)).lower()
    if kind == "int":
        return {**asked, "type": "integer", "min": low, "max": high, "default": default, "choices": []}
    text = kind in ("text", "lines")
    return {
        **asked,
        "type": TYPES[kind],
        "min": int(required) if text else 0,
        "max": high if text else LONGEST,
        # Nothing is proposed where nothing is meant: what must be chosen is chosen by somebody.
        "default": str(default) if default is not None else "",
        "choices": list(choices),
    }


def _plain(description: str | Sequence[str]) -> str:
    text = description if isinstance(description, str) else " ".join(description)
    return re.sub(r"\b[A-Z]\(([^)]*)\)", r"\1", text)


def survey(source: Source, asked: Sequence[tuple[str, bool]], root: Path = tree.ROOT) -> dict[str, Any]:
    """A survey in AWX's form; empty where nothing is asked."""
    spec = [question(source, name, required, root) for name, required in asked]
    return {"name": "", "description": "", "spec": spec} if spec else {}


def rrule(
    schedule: Mapping[str, Any],
    first: str = "{{ awx_configure_schedules_from }}",
    zone: str = "{{ awx_configure_time_zone }}",
) -> str:
    """When a schedule is due, as AWX's API takes it.

    Args:
        schedule: ``every`` (minutes, hour, day, week, month, quarter, year), ``at``, and what its rhythm needs.
        first: the first day, YYYYMMDD.
        zone: the time zone, as the IANA names it.

    Returns:
        A rule of RFC 5545. AWX takes one DTSTART, an INTERVAL, one BYMONTHDAY, one BYMONTH and no numbered BYDAY.
    """
    at = schedule["at"].replace(":", "") + "00"
    rules = {
        "minutes": f"FREQ=MINUTELY;INTERVAL={schedule.get('step', 1)}",
        "hour": "FREQ=HOURLY;INTERVAL=1",
        "day": "FREQ=DAILY;INTERVAL=1",
        "week": f"FREQ=WEEKLY;INTERVAL=1;BYDAY={schedule.get('weekday')}",
        "month": f"FREQ=MONTHLY;INTERVAL=1;BYMONTHDAY={schedule.get('day')}",
        "quarter": f"FREQ=MONTHLY;INTERVAL=3;BYMONTHDAY={schedule.get('day')}",
        "year": f"FREQ=YEARLY;INTERVAL=1;BYMONTH={schedule.get('month')};BYMONTHDAY={schedule.get('day')}",
    }
    return f"DTSTART;TZID={zone}:{first}T{at} RRULE:{rules[schedule['every']]}"


def directories(source: Source, playbook: str, root: Path = tree.ROOT) -> dict[str, str]:
    """Where a playbook leaves files, by the variables that say so: the project of a job can only be read.

    Args:
        source: where the roles' variables are.
        playbook: the playbook's name.
        root: the checkout.
    """
    text = (root / "playbooks" / f"{playbook}.yml").read_text(encoding="utf-8")
    found = dict(re.findall(r"(\w+_directory) \| default\('(\w[\w/]*)'\)", text))
    for role in re.findall(r"name: kijun\.baseline\.(\w+)", text):
        for name, option in source.options.items():
            if name.startswith(f"{role}_") and name.endswith("_directory") and str(option["default"])[:1].isalpha():
                found[name] = option["default"]
    return {name: f"{REPORTS}/{default.removeprefix('reports/')}" for name, default in sorted(found.items())}


def job_template(source: Source, playbook: str, root: Path = tree.ROOT) -> dict[str, Any]:
    """A job template, as awx.awx.job_template takes it.

    Args:
        source: where it is described.
        playbook: the playbook's name, which is the job's.
        root: the checkout.
    """
    job = source.jobs[playbook]
    hosts = job["works_on"] == "hosts"
    # A medium's host is named by an answer; it is in the inventory of hosts.
    reaches = hosts or job["effect"] == "changes"
    credentials = ["ledger", "vault"] + (["machine"] if reaches else []) + job.get("credentials", [])
    asked = source.asked(job)
    return {
        "name": name_of(job),
        "description": described(job),
        "organization": ORGANIZATION,
        "job_type": "run",
        # What a ledger takes by approval alone was approved in AWX, whatever an answer says.
        "extra_vars": directories(source, playbook, root)
        | ({"kijun_ledger_approvals": "awx"} if job["effect"] != "reads" else {}),
        # Also for what works on the controller alone: ledgers hold entries against the inventory's hosts.
        "inventory": "{{ awx_configure_inventory }}",
        "project": PROJECT,
        "playbook": f"playbooks/{playbook}.yml",
        "execution_environment": ENVIRONMENT,
        "credentials": "{{ %s + __awx_configure_store }}" % [CREDENTIALS[name] for name in credentials],
        "forks": "{{ awx_configure_forks }}",
        "timeout": job.get("minutes", 120) * 60,
        "diff_mode": job["effect"] == "changes",
        "job_slice_count": "{{ awx_configure_slices }}" if job.get("sliced") else 1,
        "allow_simultaneous": job["effect"] == "reads" and not job.get("schedules"),
        "ask_inventory_on_launch": True,
        "ask_limit_on_launch": hosts,
        "ask_job_type_on_launch": job["effect"] != "reads",
        "ask_variables_on_launch": False,
        "survey_enabled": bool(asked),
        "survey_spec": survey(source, asked, root),
        "labels": [LABEL],
        "notification_templates_error": "{{ __awx_configure_notify }}",
    }


def workflow_template(source: Source, name: str, root: Path = tree.ROOT) -> dict[str, Any]:
    """A workflow, as awx.awx.workflow_job_template takes it.

    Args:
        source: where it is described.
        name: the workflow's.
        root: the checkout.
    """
    workflow = source.workflows[name]
    return {
        "name": name_of(workflow),
        "description": described(workflow),
        "organization": ORGANIZATION,
        "inventory": "{{ awx_configure_inventory }}",
        "ask_inventory_on_launch": True,
        "ask_limit_on_launch": bool(workflow.get("limit")),
        "ask_variables_on_launch": False,
        "allow_simultaneous": True,
        "survey_enabled": True,
        "survey_spec": survey(source, source.asked_by_workflow(workflow), root),
        "labels": [LABEL],
        "notification_templates_error": "{{ __awx_configure_notify }}",
        "notification_templates_approvals": "{{ __awx_configure_notify }}",
        "simplified_workflow_nodes": [_node(source, node) for node in workflow["nodes"]],
    }


def _node(source: Source, node: Mapping[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {"identifier": node["id"]}
    if "approval" in node:
        team = source.data["teams"][node["approval"]]
        made["approval_node"] = {
            "name": f"{team['title']['en']} ({team['title']['ja']})",
            "description": described(team),
            "timeout": node["hours"] * 3600,
        }
    else:
        made |= {"unified_job_template": name_of(source.jobs[node["job"]]), "lookup_organization": ORGANIZATION}
        if source.jobs[node["job"]]["effect"] == "changes" and node.get("standing"):
            made["extra_data"] = STANDING
        if "answers" in node:
            made["extra_data"] = {**made.get("extra_data", {}), **node["answers"]}
    return made | {f"{kind}_nodes": node[kind] for kind in ("success", "failure", "always") if kind in node}


def schedules(source: Source) -> list[dict[str, Any]]:
    """Every schedule, as awx.awx.schedule takes it."""
    found = []
    for job in (*source.jobs.values(), *source.workflows.values()):
        for name, schedule in job.get("schedules", {}).items():
            answers = dict(schedule.get("answers", {}))
            if job.get("effect") == "changes":
                answers |= STANDING
            found.append(
                {
                    "name": f"{name_of(job)}: {name}",
                    "description": f"{', '.join(schedule['clauses'])} {MARK}",
                    "unified_job_template": name_of(job),
                    "organization": ORGANIZATION,
                    "rrule": rrule(schedule),
                    "extra_data": answers,
                    "enabled": True,
                }
            )
    return found


def teams(source: Source) -> list[dict[str, Any]]:
    """Every team, as awx.awx.team takes it."""
    return [
        {"name": team["title"]["en"], "description": described(team), "organization": ORGANIZATION}
        for team in source.data["teams"].values()
    ]


def roles(source: Source) -> list[dict[str, Any]]:
    """Who may do what, as awx.awx.role takes it; a team has no right beside these."""
    granted = []
    for key, team in source.data["teams"].items():
        given = {"team": team["title"]["en"]}
        jobs = [name_of(job) for job in source.jobs.values() if key in source.teams(job)]
        workflows = [name_of(workflow) for workflow in source.workflows.values() if key in source.teams(workflow)]
        approves = [
            name_of(workflow)
            for workflow in source.workflows.values()
            if any(node.get("approval") == key for node in workflow["nodes"])
        ]
        if jobs:
            granted.append({**given, "role": "execute", "job_templates": jobs})
        if workflows:
            granted.append({**given, "role": "execute", "workflows": workflows})
        if approves:
            granted.append({**given, "role": "approval", "workflows": approves})
        if jobs or workflows:
            granted.append(
                {
                    **given,
                    "role": "use",
                    "inventories": "{{ awx_configure_inventories | map(attribute='name') | list }}",
                }
            )
        if key == "auditors":
            granted.append({**given, "role": "auditor", "organizations": [ORGANIZATION]})
    return granted


def configuration(source: Source, root: Path = tree.ROOT) -> dict[str, dict[str, Any]]:
    """What awx/configuration holds: file -> variable -> objects.

    Args:
        source: where it is described.
        root: the checkout.
    """
    return {
        "teams.yml": {"controller_teams": teams(source)},
        "job_templates.yml": {"controller_templates": [job_template(source, name, root) for name in source.jobs]},
        "workflows.yml": {"controller_workflows": [workflow_template(source, name, root) for name in source.workflows]},
        "schedules.yml": {"controller_schedules": schedules(source)},
        "roles.yml": {"controller_roles": roles(source)},
    }


def files(root: Path = tree.ROOT) -> dict[Path, str]:
    """Every file that is made, relative to the checkout.

    Args:
        root: the checkout.
    """
    source = read(root)
    made = {
        CONFIGURATION / name: HEAD
        + yaml.dump(content, Dumper=_Indented, sort_keys=False, allow_unicode=True, width=140)
        for name, content in configuration(source, root).items()
    }
    made[Path("docs/awx/jobs.md")] = awx_pages.table(source)
    made[Path("docs/awx/runbook.md")] = awx_pages.runbook(source, "en")
    made[Path("docs/awx/runbook.ja.md")] = awx_pages.runbook(source, "ja")
    return made


def differences(root: Path = tree.ROOT) -> list[str]:
    """The files that are missing, or are not what would be made now.

    Args:
        root: the checkout.
    """
    return [
        str(path)
        for path, text in files(root).items()
        if not (root / path).is_file() or (root / path).read_text(encoding="utf-8") != text
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command ``tools/awx``."""
    parser = argparse.ArgumentParser(
        prog="tools/awx", description="Write awx/configuration, and docs/awx's table and runbooks."
    )
    parser.add_argument("--check", action="store_true", help="write nothing; fail where a file is out of date")
    if parser.parse_args(arguments).check:
        wrong = differences()
        for late in wrong:
            print(f"{late} is out of date: run `make awx`", file=sys.stderr)
        return 1 if wrong else 0
    for path, text in files().items():
        (tree.ROOT / path).parent.mkdir(parents=True, exist_ok=True)
        (tree.ROOT / path).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
