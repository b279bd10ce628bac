# SPDX-License-Identifier: GPL-3.0-or-later
"""Reviews: what managers get, what is taken back from them, and what is overdue. Sheets are filled in by openpyxl."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from ansible_collections.kijun.baseline.plugins.plugin_utils.accounts import review
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger import migrate
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.book import Change, State
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.engine import Ledger
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.errors import LedgerError, Refused

TODAY = date(2026, 11, 5)
MADE = date(2026, 11, 2)
DEPARTMENTS = {"総務部": {"manager": "Sample Manager"}, "R&D / IT": {"manager": "Other Manager"}}
RULES = {"restart-web": "ALL=(root) /usr/bin/systemctl restart nginx"}
ROW = {"department": "総務部", "hosts": ["web01", "web02"], "justification": "=work", "valid_from": "2026-09-01"}
LAST = review.HEADINGS_ROW


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    url = "sqlite:///%s" % (tmp_path / "ledger.sqlite")
    migrate.upgrade(url)
    accounts = {
        "tanaka": {"sudo": ["restart-web"], "groups": ["www"]},
        "suzuki": {"kind": "administrator"},
        "sato": {},
        "ito": {"department": "R&D / IT"},
        "kato": {},
    }
    changes = [
        Change(login, "adopt", {**ROW, "person": "Person %s" % login, **fields}, approver="Sample Boss", ticket="T")
        for login, fields in accounts.items()
    ]
    with Ledger(url) as found:
        found.append("accounts", changes, "ops", at=datetime(2026, 11, 1, tzinfo=UTC))
        ended = [
            Change("sato", "disable", {"status_reason": "left"}),
            Change("kato", "remove", {"status_reason": "left"}),
        ]
        found.append("accounts", ended, "ops", at=datetime(2026, 11, 1, tzinfo=UTC))
        yield found


def written(ledger: Ledger, folder: Path, language: str = "ja") -> list[Path]:
    folder.mkdir(exist_ok=True)
    return review.write_sheets(
        ledger.states("accounts"),
        folder,
        MADE,
        DEPARTMENTS,
        language,
        RULES,
        ledger.checkpoint("accounts"),
        {"tanaka": "2026-10-30"},
    )


def sheet_of(paths: list[Path]) -> Path:
    return next(path for path in paths if "総務部" in path.name)


def read(ledger: Ledger, path: Path, today: date = TODAY, departments: Any = DEPARTMENTS) -> review.Reviewed:
    def head_at(sequence: int) -> str | None:
        found = ledger.events("accounts", limit=1, offset=sequence - 1)
        return found[0].hash.hex() if found else None

    return review.read_sheet(path, ledger.states("accounts"), today, departments, RULES, head_at)


def column(name: str) -> int:
    return list(review.COLUMNS).index(name) + 1


def rows(sheet: Any) -> dict[str, int]:
    return {sheet.cell(row, 1).value: row for row in range(LAST + 1, sheet.max_row + 1) if sheet.cell(row, 1).value}


def filled(path: Path, change: Callable[[Any], None] = lambda _: None, **decisions: str) -> Path:
    """Fill a sheet in as a manager does: keep all, but what is said; sign; then one change."""
    book = openpyxl.load_workbook(path)
    sheet = book.worksheets[0]
    for login, row in rows(sheet).items():
        decision, _, comment = decisions.get(login, "継続").partition(":")
        sheet.cell(row, column("decision")).value = decision
        sheet.cell(row, column("comment")).value = comment or None
    sheet[review.SIGNED["name"]] = "Sample　manager "
    sheet[review.SIGNED["date"]] = datetime(2026, 11, 4)
    change(sheet)
    book.save(path)
    return path


def test_each_department_gets_a_sheet_of_its_own(ledger: Ledger, tmp_path: Path) -> None:
    paths = written(ledger, tmp_path / "out")
    assert len(paths) == 2 and all(path.parent == tmp_path / "out" for path in paths)
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in paths)
    sheet = openpyxl.load_workbook(sheet_of(paths)).worksheets[0]
    assert list(rows(sheet)) == ["sato", "suzuki", "tanaka"], "disabled accounts are reviewed, removed ones are gone"
    assert [cell.value for cell in sheet[2]][:6] == [
        "部署",
        "総務部",
        "部門長",
        "Sample Manager",
        "作成日",
        "2026-11-02",
    ]
    shown = {name: sheet.cell(rows(sheet)["tanaka"], column(name)).value for name in review.COLUMNS}
    assert shown == {
        "login": "tanaka",
        "person": "Person tanaka",
        "kind": "person",
        "status": "active",
        "hosts": "web01\nweb02",
        "groups": "www",
        "sudo": "restart-web: ALL=(root) /usr/bin/systemctl restart nginx",
        "privileged": "yes",
        "justification": "=work",
        "valid_until": None,
        "reviewed_at": None,
        "last_login": "2026-10-30",
        "decision": None,
        "comment": None,
    }
    assert sheet.cell(rows(sheet)["tanaka"], column("justification")).data_type == "s"
    assert sheet.cell(rows(sheet)["suzuki"], column("privileged")).value == "yes"
    assert sheet.cell(rows(sheet)["sato"], column("status")).value == "disabled"


def test_only_what_is_to_be_filled_in_can_be(ledger: Ledger, tmp_path: Path) -> None:
    book = openpyxl.load_workbook(sheet_of(written(ledger, tmp_path / "out")))
    sheet = book.worksheets[0]
    assert sheet.protection.sheet
    open_cells = {cell.coordinate for row in sheet.iter_rows() for cell in row if not cell.protection.locked}
    expected = {"M%d" % row for row in range(8, 11)} | {"N%d" % row for row in range(8, 11)} | {"B4", "B5"}
    assert open_cells == expected
    (choice,) = sheet.data_validations.dataValidation
    assert choice.formula1 == '"継続,変更,削除"' and str(choice.sqref) == "M8:M10"
    assert book[review.HIDDEN].sheet_state == "veryHidden"


def test_a_department_without_manager_stops_everything(ledger: Ledger, tmp_path: Path) -> None:
    for departments in ({"総務部": {"manager": "M"}}, {**DEPARTMENTS, "R&D / IT": {"manager": ""}}):
        with pytest.raises(Refused, match=r"ito: department 'R&D / IT': has no manager.*SM-4\.1\.2-2"):
            review.write_sheets(
                ledger.states("accounts"), tmp_path, MADE, departments, "en", {}, ledger.checkpoint("accounts")
            )
    assert not list(tmp_path.glob("*.xlsx"))


@pytest.mark.parametrize("language", ["en", "ja"])
def test_a_managers_decisions_become_changes_of_the_book(ledger: Ledger, tmp_path: Path, language: str) -> None:
    path = sheet_of(written(ledger, tmp_path / "out", language))
    filled(path, tanaka="変更:no sudo any more", suzuki="Remove:left the team", sato="削除")
    found = read(ledger, path)
    assert found.problems == []
    assert (found.department, found.date, found.to_change) == ("総務部", "2026-11-04", {"tanaka": "no sudo any more"})
    events = ledger.append("accounts", found.changes, "ops")
    assert [(event.key, event.action) for event in events] == [
        ("sato", "review"),
        ("suzuki", "review"),
        ("suzuki", "disable"),
        ("tanaka", "review"),
    ]
    states = {state.key: state.fields for state in ledger.states("accounts")}
    assert states["suzuki"]["status"] == "disabled" and "left the team" in states["suzuki"]["status_reason"]
    assert states["tanaka"]["status"] == "active" and states["tanaka"]["review_decision"] == "change"
    assert states["tanaka"]["sudo"] == ["restart-web"], "rights change by an application"
    assert {states[login]["reviewed_at"] for login in ("tanaka", "suzuki", "sato")} == {"2026-11-04"}
    assert states["sato"]["review_decision"] == "remove"
    assert {event.ticket for event in events} == {review.TICKET + found.sha256}
    assert review.signed_reviews(ledger.events("accounts")) == dict.fromkeys(("tanaka", "suzuki", "sato"), "2026-11-04")
    again = read(ledger, path)
    assert again.changes == [] and {problem.field for problem in again.problems} == {"version"}


def put(name: str, login: str, value: Any) -> Callable[[Any], None]:
    def change(sheet: Any) -> None:
        sheet.cell(rows(sheet)[login], column(name)).value = value

    return change


def sign(name: Any = "Sample Manager", day: Any = datetime(2026, 11, 4)) -> Callable[[Any], None]:
    def change(sheet: Any) -> None:
        sheet["B4"], sheet["B5"] = name, day

    return change


def add_row(sheet: Any) -> None:
    for position, text in enumerate(("ghost", "Nobody"), 1):
        sheet.cell(LAST + 4, position).value = text
    sheet.cell(LAST + 4, column("decision")).value = "keep"


def remove_row(sheet: Any) -> None:
    sheet.delete_rows(rows(sheet)["suzuki"])


def copy_row(sheet: Any) -> None:
    for position in range(1, len(review.COLUMNS) + 1):
        sheet.cell(LAST + 4, position).value = sheet.cell(rows(sheet)["tanaka"], position).value


REFUSED: dict[str, tuple[Callable[[Any], None], tuple[int | None, str, str]]] = {
    "unsigned": (sign(None), (4, "signed name", "not signed")),
    "undated": (sign(day=None), (5, "signed date", "not dated")),
    "no date": (sign(day="soon"), (5, "signed date", "must be a date")),
    "formula": (sign(day="=TODAY()"), (5, "signed date", "must be a date")),
    "future": (sign(day=datetime(2026, 11, 6)), (5, "signed date", "in the future")),
    "reversed": (sign(day="2026-11-01"), (5, "signed date", "before 2026-11-02")),
    "another's": (sign("Other Manager"), (4, "signed name", "is Sample Manager")),
    "no decision": (put("decision", "tanaka", None), (10, "decision", "must be keep")),
    "wrong decision": (put("decision", "tanaka", "maybe"), (10, "decision", "must be keep")),
    "decision by formula": (put("decision", "tanaka", '="keep"'), (10, "decision", "must be keep")),
    "change without words": (put("decision", "tanaka", "変更"), (10, "comment", "what is to be changed")),
    "unknown": (add_row, (11, "login", "was not on the sheet")),
    "missing": (remove_row, (None, "login", "its row is missing")),
    "twice": (copy_row, (11, "login", "stands in row 10 already")),
    "other rights": (put("sudo", "tanaka", ""), (10, "sudo", "was altered")),
    "other status": (put("status", "sato", "removed"), (8, "status", "was altered")),
    "other login time": (put("last_login", "tanaka", "2026-11-01"), (10, "last_login", "was altered")),
    "renamed": (put("login", "tanaka", "tanaka2"), (10, "login", "was not on the sheet")),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_sheet_that_is_not_as_it_must_be_is_refused(ledger: Ledger, tmp_path: Path, what: str) -> None:
    change, (row, field, reason) = REFUSED[what]
    found = read(ledger, filled(sheet_of(written(ledger, tmp_path / "out")), change))
    assert found.changes == [] and found.to_change == {}
    assert [(problem.row, problem.field) for problem in found.problems if reason in problem.reason] == [(row, field)]


def test_sorting_and_filtering_a_sheet_is_no_alteration(ledger: Ledger, tmp_path: Path) -> None:
    def turn_round(sheet: Any) -> None:
        width = range(1, len(review.COLUMNS) + 1)
        content = [[sheet.cell(row, position).value for position in width] for row in range(8, 11)]
        for row, values in zip(range(8, 11), reversed(content), strict=True):
            for position, value in zip(width, values, strict=True):
                cell = sheet.cell(row, position)
                cell.value = value
                cell.data_type = "s" if isinstance(value, str) else cell.data_type  # "=work" is no formula

    found = read(ledger, filled(sheet_of(written(ledger, tmp_path / "out")), turn_round))
    assert found.problems == [] and len(found.changes) == 3


def test_a_stale_sheet_is_refused(ledger: Ledger, tmp_path: Path) -> None:
    path = filled(sheet_of(written(ledger, tmp_path / "out")))
    fresh = read(ledger, path)
    assert not fresh.problems
    ledger.append("accounts", [Change("tanaka", "change", {"groups": []}, approver="Boss", ticket="T")], "ops")
    found = read(ledger, path)
    assert found.changes == []
    assert [(p.row, p.key, p.field, p.value) for p in found.problems] == [(10, "tanaka", "version", "1")]
    with pytest.raises(Refused, match="version"):
        ledger.append("accounts", fresh.changes, "ops")


def test_what_happens_in_other_departments_makes_no_sheet_stale(ledger: Ledger, tmp_path: Path) -> None:
    path = filled(sheet_of(written(ledger, tmp_path / "out")))
    ledger.append("accounts", [Change("ito", "suspend", {"status_reason": "away"})], "ops")
    assert read(ledger, path).problems == []


def test_a_sheet_of_another_ledger_is_refused(ledger: Ledger, tmp_path: Path) -> None:
    path = filled(sheet_of(written(ledger, tmp_path / "out")))
    url = "sqlite:///%s" % (tmp_path / "other.sqlite")
    migrate.upgrade(url)
    with Ledger(url) as other:
        found = read(other, path)
    assert {problem.field for problem in found.problems} == {"head", "login"}


def test_a_department_whose_manager_changed_must_sign_anew(ledger: Ledger, tmp_path: Path) -> None:
    path = filled(sheet_of(written(ledger, tmp_path / "out")))
    found = read(ledger, path, departments={"総務部": {"manager": "New Manager"}})
    assert [problem.reason for problem in found.problems] == ["the manager of 総務部 is New Manager"]


def test_the_hidden_part_cannot_be_altered(ledger: Ledger, tmp_path: Path) -> None:
    path = filled(sheet_of(written(ledger, tmp_path / "out")))
    book = openpyxl.load_workbook(path)
    hidden = book[review.HIDDEN]
    assert hidden.cell(4, 1).value == "tanaka"
    hidden.cell(4, 2).value = "2"
    book.save(path)
    with pytest.raises(LedgerError, match="hidden part of the sheet was altered"):
        read(ledger, path)


def test_altering_both_parts_is_found_by_the_ledger(ledger: Ledger, tmp_path: Path) -> None:
    """Somebody who knows how the sheet is made shows fewer rights than there are, and makes the hidden part fit."""
    states = [
        State(s.key, s.version, s.sequence, {**s.fields, "sudo": []}) if s.key == "tanaka" else s
        for s in ledger.states("accounts")
    ]
    head = ledger.checkpoint("accounts")
    paths = review.write_sheets(states, tmp_path, MADE, DEPARTMENTS, "ja", RULES, head)
    found = read(ledger, filled(sheet_of(paths)))
    assert [(problem.row, problem.reason) for problem in found.problems] == [
        (10, "the sheet does not show what the ledger holds")
    ]


def test_what_is_no_review_sheet_is_refused(ledger: Ledger, tmp_path: Path) -> None:
    openpyxl.Workbook().save(tmp_path / "a.xlsx")
    (tmp_path / "b.xlsx").write_bytes(b"hello")
    book = openpyxl.Workbook()
    book.create_sheet(review.HIDDEN).append(["{}", "x"])
    book.save(tmp_path / "c.xlsx")
    for name in ("a", "b", "c", "d"):
        with pytest.raises(LedgerError, match="%s.xlsx" % name):
            read(ledger, tmp_path / (name + ".xlsx"))


def state(login: str, valid_from: str, reviewed_at: str | None, status: str = "active") -> State:
    fields = {"department": "D", "valid_from": valid_from, "reviewed_at": reviewed_at, "status": status}
    return State(login, 1, 1, fields)


@pytest.mark.parametrize(
    ("last", "today", "since"),
    [
        ("2026-10-05", "2026-11-05", None),  # the first week is not over, and 31 days neither
        ("2026-10-05", "2026-11-07", "2026-11-05"),
        ("2026-10-05", "2026-11-08", "2026-11-05"),
        ("2026-10-30", "2026-11-07", None),
        ("2026-10-30", "2026-11-08", "2026-11-07"),
        ("2026-11-01", "2026-11-30", None),
        ("2026-12-01", "2027-01-01", None),
        ("2026-12-01", "2027-01-02", "2027-01-01"),
        ("2026-01-10", "2026-11-08", "2026-02-10"),
    ],
)
def test_a_monthly_review_is_overdue_after_the_first_week_or_a_month(last: str, today: str, since: str | None) -> None:
    day = date.fromisoformat(today)
    for account in (state("a", "2020-01-01", last), state("a", last, None)):
        found = review.overdue([account], day)
        assert [entry.since for entry in found if entry.review == "monthly"] == ([since] if since else [])


@pytest.mark.parametrize(("last", "overdue"), [("2025-11-21", False), ("2025-11-20", True), ("", True)])
def test_a_signed_review_is_overdue_after_a_year(last: str, overdue: bool) -> None:
    accounts = [state("a", "2020-01-01", "2026-11-20")]
    found = review.overdue(accounts, date(2026, 11, 21), {"a": last} if last else {})
    assert [(entry.review, entry.clause) for entry in found] == ([("yearly", "SM-4.1.2-2")] if overdue else [])


def test_what_is_no_account_yet_or_any_more_is_not_reviewed() -> None:
    accounts = [
        state(status, "2020-01-01", None, status) for status in ("requested", "removed", "disabled", "suspended")
    ]
    assert [entry.login for entry in review.overdue(accounts, TODAY)] == ["disabled", "suspended"]
