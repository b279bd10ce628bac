# SPDX-License-Identifier: GPL-3.0-or-later
"""The run as JUnit XML, which CI systems show by themselves: a suite for each host, a case for each control."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree

from .model import Host, Report
from .values import check_line, visible

# Characters XML 1.0 cannot hold in any form (its production 2, Char).
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(report: Report) -> bytes:
    """The whole run as one ``testsuites`` document in UTF-8."""
    root = ElementTree.Element("testsuites", name=f"Kijun {report.run['id']}")
    for host in report.hosts.values():
        _suite(root, report, host)
    for key in ("tests", "failures", "errors", "skipped"):
        root.set(key, str(sum(int(suite.get(key, "0")) for suite in root)))
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)


def _suite(root: ElementTree.Element, report: Report, host: Host) -> None:
    """A host's suite. A host without evidence is one case in error, so that no CI system takes it for a pass."""
    totals = report.totals(host)
    results = report.results(host)
    unaudited = host.unaudited is not None
    suite = ElementTree.SubElement(
        root,
        "testsuite",
        name=_xml(host.name),
        tests=str(len(results) + unaudited),
        failures=str(totals["fail"]),
        errors=str(totals["error"] + unaudited),
        skipped=str(totals["excused"] + totals["not_applicable"]),
    )
    if host.time:
        suite.set("timestamp", _xml(host.time))
    for result in results:
        _case(suite, result)
    if host.unaudited is not None:
        case = ElementTree.SubElement(suite, "testcase", classname="kijun", name="audit")
        ElementTree.SubElement(case, "error", message=_xml(f"not audited: {host.unaudited}"))


def _case(suite: ElementTree.Element, result: dict[str, Any]) -> None:
    """A control's case: failures and errors say what was expected and what was found."""
    name = _xml(f"{result['id']} {result['title']['en']}")
    case = ElementTree.SubElement(suite, "testcase", classname=_xml(f"kijun.{result['area']}"), name=name)
    verdict = result["verdict"]
    if verdict in ("fail", "error"):
        missed = [check_line(check) for check in result["checks"] if check["verdict"] != "pass"]
        lines = [line for line in (result["reason"], result["deviation"], *missed) if line]
        element = ElementTree.SubElement(case, "failure" if verdict == "fail" else "error")
        element.set("message", _xml(lines[0] if lines else verdict))
        element.text = _xml("\n".join([*lines, f"clauses: {', '.join(result['clauses'])}"]))
    elif verdict != "pass":
        ElementTree.SubElement(case, "skipped", message=_xml(_why_skipped(result)))


def _why_skipped(result: dict[str, Any]) -> str:
    """Why a control does not count: its exception, or the reason it does not apply."""
    exception = result["exception"]
    if result["verdict"] == "excused" and exception:
        return f"excused until {exception['until']} by {exception['approver']}: {exception['reason']}"
    return f"{result['verdict'].replace('_', ' ')}: {result['reason'] or 'no reason was given'}"


def _xml(value: str) -> str:
    """Text that XML can hold."""
    return _NOT_XML.sub("\ufffd", visible(value))
