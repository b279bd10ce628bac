# SPDX-License-Identifier: GPL-3.0-or-later
"""The report's parts without a browser: loading, comparing, JUnit, the run's directory, the words."""

from __future__ import annotations

import json
import os
import re
import resource
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import sample
import yaml
from ansible_collections.kijun.baseline.plugins.plugin_utils.report import (
    EvidenceError,
    Report,
    clause_titles,
    collection_version,
    load_run,
    unaudited_record,
    write_run,
)
from ansible_collections.kijun.baseline.plugins.plugin_utils.report.compare import change, counterparts, gone
from ansible_collections.kijun.baseline.plugins.plugin_utils.report.html import page_data, render
from ansible_collections.kijun.baseline.plugins.plugin_utils.report.junit import junit
from ansible_collections.kijun.baseline.plugins.plugin_utils.report.run import host_file
from ansible_collections.kijun.baseline.plugins.plugin_utils.report.summary import Summary, changed_things
from ansible_collections.kijun.baseline.plugins.plugin_utils.report.texts import AREAS, TEXTS
from ansible_collections.kijun.baseline.plugins.plugin_utils.report.values import LONGEST, one_line, text

ROOT = Path(__file__).parents[2]


def build(records: dict[str, Any], identifier: str = "20261121T101500Z") -> Report:
    report = Report(sample.run(identifier))
    for name, record in records.items():
        report.add(name, record)
    return report


def stock() -> Report:
    report = build(sample.stock_fleet(), "20261120T101500Z")
    report.add("time1", unaudited_record("time1", ["servers"], "unreachable: Connection refused", sample.STARTED))
    return report


# ---- model ----


def test_a_record_comes_out_as_it_went_in() -> None:
    record = sample.stock_fleet()["client12"]
    report = build({"client12": record})
    assert report.record(report.hosts["client12"]) == {**record, "run": sample.run()}


def test_totals_are_counted_not_believed() -> None:
    record = sample.stock_fleet()["client12"]
    record["totals"] = {"pass": 12, "fail": 0, "excused": 0, "not_applicable": 0, "error": 0}
    report = build({"client12": record})
    assert report.totals(report.hosts["client12"]) == {
        "pass": 0,
        "fail": 11,
        "excused": 0,
        "not_applicable": 0,
        "error": 1,
    }


def test_equal_results_are_kept_once() -> None:
    report = build({f"host{number}": sample.record(f"host{number}", []) for number in range(50)})
    assert len(report.outcomes) == 12


def test_a_later_record_of_a_host_replaces_the_earlier() -> None:
    report = build({"server12": sample.record("server12", ["fail"])})
    report.add("server12", sample.record("server12", ["pass"]))
    assert report.all_totals()["fail"] == 0


def test_a_number_that_json_lacks_becomes_text() -> None:
    record = sample.record("server12", [])
    record["controls"][0]["checks"][0]["actual"] = float("nan")
    report = build({"server12": record})
    assert report.results(report.hosts["server12"])[0]["checks"][0]["actual"] == "nan"


# ---- comparison ----


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("fail", "pass", "fixed"),
        ("error", "pass", "fixed"),
        ("fail", "excused", "changed"),
        ("fail", "error", "changed"),
        ("fail", "not_applicable", "changed"),
        ("pass", "fail", "regressed"),
        ("pass", "error", "regressed"),
        ("excused", "fail", "regressed"),
        ("excused", "pass", "changed"),
        ("fail", "fail", "unchanged"),
        (None, "pass", "new"),
    ],
)
def test_change(before: str | None, after: str, expected: str) -> None:
    assert change(before, after) == expected


def test_results_are_matched_by_control_not_by_place() -> None:
    before = build({"server12": sample.record("server12", ["fail"])})
    shuffled = sample.record("server12", [])
    shuffled["controls"].reverse()
    after = build({"server12": shuffled})
    numbers = counterparts(before, after)["server12"]
    assert [before.outcomes[number]["id"] for number in numbers if number is not None] == [
        result["id"] for result in after.results(after.hosts["server12"])
    ]


def test_what_is_no_longer_audited_is_named() -> None:
    before = stock()
    fleet = sample.enforced_fleet()
    del fleet["client13"]
    fleet["server12"]["controls"] = [c for c in fleet["server12"]["controls"] if c["id"] != "TIME-03"]
    lost = gone(before, build(fleet))
    assert lost["server12"] == ["TIME-03"]
    assert len(lost["client13"]) == 12
    assert set(lost) == {"server12", "client13"}


# ---- values ----


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        ("", ""),
        (True, "true"),
        (0.5, "0.5"),
        ([], "[]"),
        (["a", "b"], "a, b"),
        ({"app": 99999, "ops": "x"}, "app: 99999\nops: x"),
        ({"app": None, "ops": [1]}, '{"app": null, "ops": [1]}'),
        ("a\x1b[2Jb", "a\\u001b[2Jb"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("\udcff", "\\udcff"),
        ("日本語\n2", "日本語\n2"),
    ],
)
def test_values_as_text(value: Any, expected: str | None) -> None:
    assert text(value) == expected


def test_long_values_are_cut_and_say_so() -> None:
    shown = text("x" * (LONGEST + 1))
    assert shown is not None
    assert shown.endswith(f"… ({LONGEST + 1} characters)")


def test_a_line_of_output_holds_no_line_break_and_no_escape() -> None:
    assert one_line("a\r\n\x1b]0;b\x07") == "a \\u001b]0;b\\u0007"


# ---- JUnit ----


def test_junit_counts_and_says_what_was_found() -> None:
    report = stock()
    root = ElementTree.fromstring(junit(report))
    totals = report.all_totals()
    assert root.get("tests") == str(sum(totals.values()) + 1)
    assert root.get("failures") == str(totals["fail"])
    assert root.get("errors") == str(totals["error"] + 1)
    case = root.find("testsuite[@name='server12']/testcase[@name='AUTH-07 Lock an account after ten failed logins']")
    assert case is not None
    assert case.get("classname") == "kijun.authentication"
    failure = case.find("failure")
    assert failure is not None
    assert failure.get("message") == "faillock.deny: expected == 10, actual 3"
    assert "clauses: SM-4.1.5-1-6" in (failure.text or "")


def test_a_host_that_was_not_audited_is_an_error_in_junit() -> None:
    root = ElementTree.fromstring(junit(stock()))
    error = root.find("testsuite[@name='time1']/testcase/error")
    assert error is not None
    assert error.get("message") == "not audited: unreachable: Connection refused"


def test_excused_and_not_applicable_are_skipped_with_the_reason() -> None:
    root = ElementTree.fromstring(junit(build(sample.enforced_fleet())))
    messages = [element.get("message") or "" for element in root.iter("skipped")]
    assert any(message.startswith("excused until 2026-12-31 by security committee: ") for message in messages)
    assert "not applicable: no account here logs in with a password" in messages


def test_junit_stands_hostile_text() -> None:
    record = sample.record("server12", ["fail"])
    record["controls"][0]["checks"][0]["actual"] = "]]></testcase>\x00\ufffe\udc80"
    root = ElementTree.fromstring(junit(build({'<&">\x0b': record})))
    assert root[0].get("failures") == "1"


# ---- run directory ----


def test_a_run_is_private_complete_and_readable_again(tmp_path: Path) -> None:
    previous = os.umask(0)
    try:
        written = write_run(tmp_path / "reports", stock(), {})
    finally:
        os.umask(previous)
    assert sorted(path.name for path in written.iterdir()) == ["hosts", "junit.xml", "report.html"]
    assert {path.name for path in (written / "hosts").iterdir()} == {f"{name}.json" for name in sample.HOSTS}
    for path in [tmp_path / "reports", written, *written.rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
    assert (tmp_path / "reports" / "latest").readlink() == Path(written.name)
    again = load_run(tmp_path / "reports" / "latest")
    assert again.run == stock().run
    assert {name: again.record(host) for name, host in again.hosts.items()} == {
        name: stock().record(host) for name, host in stock().hosts.items()
    }


def test_two_runs_of_one_second_are_both_kept(tmp_path: Path) -> None:
    names = [write_run(tmp_path, build(sample.enforced_fleet()), {}).name for _ in range(3)]
    assert names == ["20261121T101500Z", "20261121T101500Z-2", "20261121T101500Z-3"]
    assert (tmp_path / "latest").readlink() == Path(names[-1])
    assert load_run(tmp_path / names[-1]).run["id"] == names[-1]


def test_a_run_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    write_run(tmp_path, stock(), {})
    before = sorted(tmp_path.iterdir())
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    # The host records fit, the page does not: as on a disk that fills up on the way.
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            write_run(tmp_path, build(sample.enforced_fleet()), {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert sorted(tmp_path.iterdir()) == before
    assert (tmp_path / "latest").readlink() == Path("20261120T101500Z")


@pytest.mark.parametrize(
    "name",
    ["../../etc/passwd", "..", ".", "a/b", "</script><img src=x onerror=alert(1)>", "基準" * 60, "\udcff", "a\x00b"],
)
def test_every_host_name_has_a_file_of_its_own_below_hosts(name: str, tmp_path: Path) -> None:
    written = write_run(tmp_path, build({name: sample.record("x", []), "b": sample.record("b", [])}), {})
    assert len(list((written / "hosts").iterdir())) == 2
    assert (written / "hosts" / host_file(name)).is_file()


def test_names_that_are_cut_stay_apart() -> None:
    assert host_file("基準" * 60 + "a") != host_file("基準" * 60 + "b")
    assert len(host_file("基準" * 600)) < 255


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_text("{", encoding="utf-8"),
        lambda path: path.write_text("[]", encoding="utf-8"),
        lambda path: path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), "schema": "x"})),
    ],
)
def test_a_record_that_cannot_be_used_is_named(tmp_path: Path, spoil: Any) -> None:
    written = write_run(tmp_path, stock(), {})
    spoil(written / "hosts" / "client12.json")
    with pytest.raises(EvidenceError, match=r"client12\.json"):
        load_run(written)


def test_a_directory_without_evidence_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EvidenceError, match="holds no evidence"):
        load_run(tmp_path)


# ---- page and words ----


def test_the_page_names_nothing_outside_itself() -> None:
    page = render(stock(), clause_titles())
    for reference in ("http:", "https:", "//cdn", "@import", "url("):
        assert reference not in page.lower()


def test_hostile_text_cannot_leave_its_place_in_the_page() -> None:
    hostile = "</script><img src=x onerror=alert(1)><!--<script>"
    record = sample.record("server12", ["fail"])
    record["controls"][0]["checks"][0]["actual"] = hostile
    record["controls"][0]["reason"] = hostile
    page = render(build({hostile: record}), {})
    assert "<img" not in page
    assert page.count("</script") == 2
    assert page.count("<script") == 2


def test_the_titles_of_the_clauses_a_page_names_are_in_it() -> None:
    data = page_data(stock(), sample.CLAUSES, None)
    assert data["clauses"] == sample.CLAUSES


def test_both_languages_say_the_same_things() -> None:
    assert TEXTS["en"].keys() == TEXTS["ja"].keys()
    for key, english in TEXTS["en"].items():
        placeholders = [set(re.findall(r"{\w+}", words)) for words in (english, TEXTS["ja"][key])]
        assert placeholders[0] == placeholders[1], key


def test_every_area_of_the_register_has_a_name_in_both_languages() -> None:
    files = sorted((ROOT / "policy" / "clauses").glob("*.yml"))
    clauses = [clause for path in files for clause in yaml.safe_load(path.read_text(encoding="utf-8"))]
    assert {clause["area"] for clause in clauses} == set(AREAS)
    assert clause_titles() == {clause["id"]: clause["title"] for clause in clauses}


def test_the_version_is_read_from_an_installed_collection_too(tmp_path: Path) -> None:
    (tmp_path / "MANIFEST.json").write_text('{"collection_info": {"version": "9.8.7"}}', encoding="utf-8")
    assert collection_version(tmp_path) == "9.8.7"
    assert collection_version() == yaml.safe_load((ROOT / "galaxy.yml").read_text(encoding="utf-8"))["version"]


def test_the_summary_of_an_audit_names_what_failed_and_ends_with_the_totals() -> None:
    lines = Summary("en").audit(stock())
    assert [state for _, state in lines] == ["bad"] * 6
    server13, *_, time1, totals = [text for text, _ in lines]
    assert server13.split("\n")[1].strip() == "not met: AUTH-07 Lock an account after ten failed logins"
    assert "Not audited: unreachable: Connection refused" in time1
    assert totals == "Totals: 5 hosts, results: Fail 34, Error 3, Pass 11, Not audited: 1"


def ending(*days: int | None) -> Report:
    """A run in which each host has an exception that ends after some days; None: a record of an earlier version."""
    records = {}
    for number, left in enumerate(days):
        record = sample.record(f"host{number}", ["excused" if left is None or left >= 0 else "fail"])
        exception = {**sample.control(0, "excused")["exception"], "days_left": left, "reason": "<b>old</b>"}
        if left is None:
            exception = {key: exception[key] for key in ("until", "approver", "reason", "ticket")}
        record["controls"][0]["exception"] = exception
        records[record["host"]["name"]] = record
    return build(records)


@pytest.mark.parametrize(
    ("days", "hosts"), [((14, 0, -1), [["host0", "host1", "host2"]]), ((15,), []), ((None,), []), ((), [])]
)
def test_exceptions_that_end_within_fourteen_days_or_are_over_are_found(
    days: tuple[int | None, ...], hosts: list[list[str]]
) -> None:
    assert [entry.hosts for entry in ending(*days).ending()] == hosts


def test_the_summary_and_the_page_list_exceptions_that_end() -> None:
    report = ending(3)
    lines = Summary("en").audit(report)
    identifier = sample.control(0, "excused")["id"]
    assert (f"Exception EXC-2026-014 of {identifier} ends on 2026-12-31: host0", "changed") in lines
    assert (f"Exception EXC-2026-014 of {identifier} ended on 2026-12-31: host0", "bad") in Summary("en").audit(
        ending(-3)
    )
    assert f"例外 EXC-2026-014（{identifier}）は" in Summary("ja").audit(report)[-2][0].replace("(", "（").replace(
        ")", "）"
    )
    page = render(report, {})
    assert '<table id="ending">' in page
    assert "<b>old</b>" not in page
    assert '<table id="ending">' not in render(ending(15), {})


def test_the_summary_speaks_japanese() -> None:
    lines = [text for text, _ in Summary("ja").audit(stock())]
    assert "AUTH-07 連続10回の認証失敗でアカウントを停止する" in lines[0]
    assert lines[-1].startswith("合計: ホスト 5 台")


def test_the_summary_of_a_change_names_tasks_and_what_they_changed() -> None:
    lines = Summary("en").changes(
        ["a", "b", "c"],
        {"a": [("files", ["/etc/1", "/etc/2", "/etc/3", "/etc/4"]), ("units", [])]},
        {"c": "no space left"},
    )
    assert lines == [
        ("  b  nothing changed", "ok"),
        ("  a  changed 2: files (/etc/1, /etc/2, /etc/3 +1); units", "changed"),
        ("  c  nothing changed\n      failed: no space left", "bad"),
        ("Totals: 3 hosts, 1 changed, 1 failed", "bad"),
    ]


def test_what_a_task_changed_is_read_from_lists_only() -> None:
    result = {"changed_files": ["/etc/a"], "packages": ["chrony"], "units": "chrony.service"}
    assert changed_things(result) == ["/etc/a", "chrony"]


# ---- size and speed ----


def test_a_thousand_hosts_stay_small_and_quick(tmp_path: Path) -> None:
    fleet = sample.large_fleet()
    started = time.process_time()
    report = build(fleet)
    written = write_run(tmp_path, report, sample.CLAUSES)
    assert time.process_time() - started < 10
    assert (written / "report.html").stat().st_size < 2_000_000


# ---- command ----


def test_the_command_renders_a_kept_run_again(tmp_path: Path) -> None:
    before = write_run(tmp_path / "reports", stock(), {})
    after = write_run(tmp_path / "reports", build(sample.enforced_fleet()), {})
    command = [sys.executable, "-m", "kijun_tools.report", "reports/latest", "--before", str(before), "-o", "page.html"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tools")}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout == "page.html\n", done.stderr
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert before.name in page
    assert after.name in page
    assert stat.S_IMODE((tmp_path / "page.html").stat().st_mode) == 0o600


def test_the_command_names_what_it_cannot_read(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "kijun_tools.report", str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tools")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"kijun-report: {tmp_path} holds no evidence")
