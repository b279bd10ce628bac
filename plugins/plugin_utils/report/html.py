# SPDX-License-Identifier: GPL-3.0-or-later
"""The report as one HTML file that asks for nothing else.

The page carries the evidence as JSON and builds its views in the browser, a part at a time. Values come from the
audited hosts and are hostile until shown otherwise: the JSON cannot end its own element, the script makes text nodes
only (Trusted Types forbid it anything else), and the Content-Security-Policy allows just the page's own style and
script, by their digests.
"""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ..exceptions import SOON
from .compare import CHANGES, change_table, counterparts, gone
from .model import VERDICTS, Ending, Report
from .texts import AREAS, TEXTS
from .values import check_line, text, visible

_PAGE = Path(__file__).parent / "page"

#: The page without JavaScript names at most this many findings; the rest stands in the JSON records.
STATIC_FINDINGS = 500

#: The table of exceptions that end names at most this many hosts of each.
ENDING_HOSTS = 20

# Inside a script element only "<" matters; the others are escaped so that the data is also harmless elsewhere.
_JSON_ESCAPES = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def render(report: Report, clauses: dict[str, str], before: Report | None = None) -> str:
    """The page of a run.

    :param clauses: clause titles by id.
    :param before: an earlier run to compare with.
    :returns: HTML; may hold lone surrogates inside the JSON (encode with ``backslashreplace``).
    """
    environment = Environment(loader=FileSystemLoader(_PAGE), autoescape=True, undefined=StrictUndefined)
    environment.filters["moment"] = lambda time: time.replace("T", " ").replace("Z", " UTC")
    style = (_PAGE / "report.css").read_text(encoding="utf-8")
    script = (_PAGE / "report.js").read_text(encoding="utf-8")
    return environment.get_template("report.html.j2").render(
        run={key: visible(str(value)) for key, value in report.run.items()},
        words=TEXTS["en"],
        japanese=TEXTS["ja"],
        style=Markup(style),
        script=Markup(script),
        style_digest=digest(style),
        script_digest=digest(script),
        data=embedded_json(page_data(report, clauses, before)),
        totals=report.all_totals(),
        static=_static(report),
        ending=[_ended(ending) for ending in report.ending()],
    )


def page_data(report: Report, clauses: dict[str, str], before: Report | None) -> dict[str, Any]:
    """What the page's script reads. Texts are ready to show; equal results are stored once."""
    pool = _Pool()
    earlier = counterparts(before, report) if before else {}
    lost = gone(before, report) if before else {}
    hosts = []
    for host in report.hosts.values():
        entry: dict[str, Any] = {
            "name": visible(host.name),
            "groups": [visible(group) for group in host.groups],
            "os": text(host.os),
            "kernel": text(host.kernel),
            "time": text(host.time),
            "unaudited": text(host.unaudited),
            "problems": [[visible(p["file"]), p["line"], visible(p["problem"])] for p in host.problems],
            "results": [pool.number(report, number) for number in host.outcomes],
        }
        if before:
            entry["before"] = [None if n is None else pool.number(before, n) for n in earlier[host.name]]
        hosts.append(entry)
    named = {clause for control in pool.controls for clause in control["clauses"]}
    return {
        "run": report.run,
        "before": before.run if before else None,
        "gone": {visible(name): ids for name, ids in lost.items()},
        "verdicts": VERDICTS,
        "soon": SOON,
        "changes": CHANGES,
        "changeTable": change_table(),
        "texts": TEXTS,
        "areas": AREAS,
        "clauses": {clause: clauses[clause] for clause in sorted(named) if clause in clauses},
        "controls": pool.controls,
        "outcomes": pool.outcomes,
        "hosts": hosts,
    }


class _Pool:
    """Controls and outcomes of one or two runs, each distinct one once."""

    def __init__(self) -> None:
        self.controls: list[dict[str, Any]] = []
        self.outcomes: list[dict[str, Any]] = []
        self._control_numbers: dict[str, int] = {}
        self._outcome_numbers: dict[tuple[int, int], int] = {}

    def number(self, report: Report, number: int) -> int:
        """The page's number for an outcome of a report."""
        key = (id(report), number)
        if key not in self._outcome_numbers:
            self._outcome_numbers[key] = len(self.outcomes)
            self.outcomes.append(self._outcome(report.outcomes[number]))
        return self._outcome_numbers[key]

    def _outcome(self, result: dict[str, Any]) -> dict[str, Any]:
        """A result as the page shows it: the control's number, the verdict, and the texts."""
        exception = result["exception"]
        return {
            "control": self._control(result),
            "verdict": result["verdict"],
            "reason": text(result["reason"]),
            "deviation": text(result["deviation"]),
            "exception": {key: text(value) for key, value in exception.items()} if exception else None,
            "checks": [
                [
                    visible(check["fact"]),
                    visible(check["op"]),
                    text(check["expected"]),
                    text(check["actual"]),
                    check["verdict"],
                    text(check["detail"]),
                ]
                for check in result["checks"]
            ],
        }

    def _control(self, result: dict[str, Any]) -> int:
        """The number of the control a result is about."""
        control = {
            "id": visible(result["id"]),
            "title": {language: visible(result["title"][language]) for language in ("en", "ja")},
            "area": visible(result["area"]),
            "severity": visible(result["severity"]),
            "clauses": [visible(clause) for clause in result["clauses"]],
        }
        key = json.dumps(control, sort_keys=True)
        if key not in self._control_numbers:
            self._control_numbers[key] = len(self.controls)
            self.controls.append(control)
        return self._control_numbers[key]


def _static(report: Report) -> dict[str, Any]:
    """The tables for a browser without JavaScript: each host's verdicts, and the findings they point at."""
    findings: dict[int, dict[str, Any]] = {}
    rows: list[dict[str, Any]] = []
    for host in report.hosts.values():
        bad = [number for number in host.outcomes if report.outcomes[number]["verdict"] in ("fail", "error")]
        for number in bad:
            if number not in findings:
                findings[number] = _finding(report.outcomes[number])
            findings[number]["hosts"] += 1
        rows.append(
            {
                "name": visible(host.name),
                "os": text(host.os) or "",
                "unaudited": text(host.unaudited),
                "totals": report.totals(host),
                "findings": [(number, visible(report.outcomes[number]["id"])) for number in bad],
            }
        )
    rows.sort(key=lambda row: (row["unaudited"] is None, -len(row["findings"]), row["name"]))
    shown = sorted(findings.items(), key=lambda item: (item[1]["verdict"] != "fail", item[1]["id"]))[:STATIC_FINDINGS]
    return {"hosts": rows, "findings": dict(shown), "omitted": max(0, len(findings) - STATIC_FINDINGS)}


def _ended(ending: Ending) -> dict[str, Any]:
    """An exception that ends soon or is over, for its table."""
    exception, hosts = ending.exception, ending.hosts
    return {
        "id": visible(exception["id"]),
        "control": visible(ending.result["id"]),
        "title": {language: visible(ending.result["title"][language]) for language in ("en", "ja")},
        "hosts": [visible(name) for name in hosts[:ENDING_HOSTS]],
        "more": max(0, len(hosts) - ENDING_HOSTS),
        "over": exception["days_left"] < 0,
        **{key: visible(exception[key]) for key in ("until", "approver", "reason")},
    }


def _finding(result: dict[str, Any]) -> dict[str, Any]:
    """A failed result for the static tables."""
    notes = [result["reason"], result["deviation"]]
    notes += [check_line(check) for check in result["checks"] if check["verdict"] != "pass"]
    return {
        "id": visible(result["id"]),
        "title": result["title"],
        "verdict": result["verdict"],
        "notes": [visible(note) for note in notes if note],
        "hosts": 0,
    }


def embedded_json(data: dict[str, Any]) -> Markup:
    """Data as JSON that can stand in a script element.

    Args:
        data: what the page's script reads.
    """
    body = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    for character, escape in _JSON_ESCAPES.items():
        body = body.replace(character, escape)
    return Markup(body)


def digest(source: str) -> str:
    """A source's digest as Content-Security-Policy writes it.

    Args:
        source: the text of a style or script.
    """
    return "sha256-" + base64.b64encode(hashlib.sha256(source.encode("utf-8")).digest()).decode("ascii")
