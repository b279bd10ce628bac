# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of what AWX runs, and the operators' runbooks."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import Any

from .awx_source import Source

NOTE = "<!-- Made by `make awx`. Do not edit. -->\n"

WEEKDAYS = {
    "MO": ("Monday", "月曜"),
    "TU": ("Tuesday", "火曜"),
    "WE": ("Wednesday", "水曜"),
    "TH": ("Thursday", "木曜"),
    "FR": ("Friday", "金曜"),
    "SA": ("Saturday", "土曜"),
    "SU": ("Sunday", "日曜"),
}

WORDS = {
    "en": {
        "title": "Runbook",
        "intro": (
            "What is done with Kijun in AWX, by whom, and what is done when it fails. What is not named here, an"
            " operator cannot start: the rights in AWX are made from the same source."
        ),
        "who": "Who may start it",
        "asks": "Asks for",
        "when": "Starts by itself",
        "fails": "When it fails",
        "clauses": "Clauses",
        "never": "never",
        "nothing": "nothing",
        "workflow_only": "nobody; workflows start it",
        "required": "required",
        "steps": "Steps",
        "approval": "Approval by",
        "workflows": "Workflows",
        "jobs": "Jobs",
        "teams": "Who may do what",
        "limit": "hosts (limit)",
        "then": "then",
        "failed": "when it failed",
        "hours": "within {} hours",
    },
    "ja": {
        "title": "運用手順書",
        "intro": (
            "AWX で行う Kijun の作業、開始できる者、失敗したときの対処を示す。"
            "AWX の権限は同じ元データから作られるため、ここにない作業をオペレーターは開始できない。"
        ),
        "who": "開始できる者",
        "asks": "入力項目",
        "when": "自動実行",
        "fails": "失敗したとき",
        "clauses": "条項",
        "never": "なし",
        "nothing": "なし",
        "workflow_only": "なし（ワークフローのみ）",
        "required": "必須",
        "steps": "手順",
        "approval": "承認:",
        "workflows": "ワークフロー",
        "jobs": "ジョブ",
        "teams": "権限",
        "limit": "対象ホスト (limit)",
        "then": "次",
        "failed": "失敗時",
        "hours": "{}時間以内",
    },
}


def told(schedule: Mapping[str, Any], language: str) -> str:
    """When a schedule is due, in words."""
    at, english = schedule["at"], language == "en"
    every = schedule["every"]
    if every == "minutes":
        return f"every {schedule['step']} minutes" if english else f"{schedule['step']}分ごと"
    if every == "hour":
        return f"each hour at {at[3:]}" if english else f"毎時{at[3:]}分"
    if every == "day":
        return f"daily {at}" if english else f"毎日 {at}"
    if every == "week":
        day = WEEKDAYS[schedule["weekday"]]
        return f"{day[0]} {at}" if english else f"毎週{day[1]} {at}"
    if every == "month":
        return f"day {schedule['day']} of each month {at}" if english else f"毎月{schedule['day']}日 {at}"
    if every == "quarter":
        months = "January, April, July, October"
        return f"day {schedule['day']} of {months} {at}" if english else f"1・4・7・10月{schedule['day']}日 {at}"
    month = datetime.date(2000, schedule["month"], 1)
    return f"{month:%B} {schedule['day']} {at}" if english else f"毎年{schedule['month']}月{schedule['day']}日 {at}"


def _asked_in_words(source: Source, asked: Sequence[tuple[str, bool]], language: str, limit: bool) -> str:
    words = WORDS[language]
    texts = [words["limit"]] if limit else []
    for name, required in asked:
        text = source.data["questions"][name]["ask"][language].replace("|", "\\|")
        texts.append(f"{text} ({words['required']})" if required else text)
    return "; ".join(texts) or words["nothing"]


def runbook(source: Source, language: str) -> str:
    """The runbook in one language.

    Args:
        source: what it is made from.
        language: en or ja.
    """
    words, data = WORDS[language], source.data
    lines = [NOTE, f"# {words['title']}", "", words["intro"], "", f"## {words['teams']}", ""]
    lines += [f"- **{team['title'][language]}**: {team['may'][language]}" for team in data["teams"].values()]
    lines += ["", f"## {words['workflows']}", ""]
    for workflow in source.workflows.values():
        lines += _head(source, workflow, language)
        asked = _asked_in_words(source, source.asked_by_workflow(workflow), language, bool(workflow.get("limit")))
        lines += [
            f"- {words['asks']}: {asked}",
            f"- {words['when']}: {_due(workflow, language)}",
            f"- {words['steps']}:",
        ]
        titles = {node["id"]: _step(source, node, language) for node in workflow["nodes"]}
        for number, node in enumerate(workflow["nodes"], 1):
            ways = [
                f"{words[said]}: {', '.join(titles[other] for other in node[kind])}"
                for kind, said in (("success", "then"), ("always", "then"), ("failure", "failed"))
                if kind in node
            ]
            lines.append(f"  {number}. {titles[node['id']]}" + (f" ({'; '.join(ways)})" if ways else ""))
        lines.append("")
    lines += [f"## {words['jobs']}", ""]
    for job in source.jobs.values():
        lines += _head(source, job, language)
        lines.append(
            f"- {words['asks']}: {_asked_in_words(source, source.asked(job), language, job['works_on'] == 'hosts')}"
        )
        lines.append(f"- {words['when']}: {_due(job, language)}")
        lines.append(f"- {words['fails']}:")
        lines += [f"  - {data['failures'][failure][language].strip()}" for failure in job["on_failure"]]
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _due(item: Mapping[str, Any], language: str) -> str:
    """When a job or a workflow starts by itself."""
    due = [told(schedule, language) for schedule in item.get("schedules", {}).values()]
    return "; ".join(due) or WORDS[language]["never"]


def _step(source: Source, node: Mapping[str, Any], language: str) -> str:
    words = WORDS[language]
    if "approval" not in node:
        return str(source.jobs[node["job"]]["title"][language])
    team = source.data["teams"][node["approval"]]["title"][language]
    return f"{words['approval']} {team} ({words['hours'].format(node['hours'])})"


def _head(source: Source, item: Mapping[str, Any], language: str) -> list[str]:
    words = WORDS[language]
    who = (
        ", ".join(source.data["teams"][team]["title"][language] for team in source.teams(item))
        or words["workflow_only"]
    )
    return [
        f"### {item['title'][language]}",
        "",
        f"{item['does'][language]}",
        "",
        f"- {words['who']}: {who}",
        f"- {words['clauses']}: {', '.join(item['clauses'])}",
    ]


def table(source: Source) -> str:
    """The table of job templates, surveys, schedules and clauses."""
    lines = [
        NOTE,
        "# Jobs in AWX",
        "",
        "Times are those of the time zone `awx_configure_time_zone` (Asia/Tokyo).",
        "",
        "| Job template or workflow | Playbook | Who | Survey | Schedule | Clauses |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    rows = [(f"`{name}.yml`", job, source.asked(job)) for name, job in source.jobs.items()]
    rows += [("workflow", one, source.asked_by_workflow(one)) for one in source.workflows.values()]
    for playbook, item, asked in rows:
        survey = ", ".join(f"`{name}`{'*' if required else ''}" for name, required in asked) or "-"
        schedules = item.get("schedules", {}).values()
        due = "; ".join(told(schedule, "en") for schedule in schedules) or "-"
        clauses = list(dict.fromkeys([*item["clauses"], *(clause for one in schedules for clause in one["clauses"])]))
        who = ", ".join(source.teams(item)) or "workflows"
        lines.append(f"| {item['title']['en']} | {playbook} | {who} | {survey} | {due} | {', '.join(clauses)} |")
    return "\n".join([*lines, "", "`*`: must be answered.", ""])
