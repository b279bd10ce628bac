# SPDX-License-Identifier: GPL-3.0-or-later
"""Books as files: what goes out comes in again the same, and what must not come in does not."""

from __future__ import annotations

import csv
import io
import json
import re
import resource
import stat
import time
import zipfile
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import openpyxl
import pydantic
import pytest
from ansible.errors import AnsibleActionFail
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible_collections.kijun.baseline.plugins.action import ledger_export, ledger_import
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger import migrate
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.book import Action, Book, Change, State
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.books import BOOKS
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.books.accounts import AccountContext
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.engine import Ledger
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.errors import LedgerError, Refused, Stale
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.interchange import (
    export,
    importing,
    xlsx_archive,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

ACCOUNTS = BOOKS["accounts"]
TABLES = ("csv", "xlsx")
ALL = (*TABLES, "yaml", "json")
ROW = {
    "person": "Sample Person",
    "department": "総務部",
    "hosts": ["web01"],
    "justification": "運用",
    "shell": "/bin/sh",
}


class Thing(pydantic.BaseModel):
    """One of each kind of field."""

    name: str
    status: str = "there"
    note: str = ""
    shell: str = "/bin/bash"
    tags: list[str] = []
    count: int | None = None
    size: int = 5
    open: bool = True
    since: date | None = None
    times: dict[str, str] = {}


class Things(Book):
    name = "things"
    title: ClassVar = {"en": "Things", "ja": "物品"}
    model = Thing
    key = "name"
    imported = "add"
    actions: ClassVar = {
        "add": Action(before=frozenset({""}), after="there", fields=frozenset(Thing.model_fields) - {"name", "status"})
    }
    headings: ClassVar = {name: (name.title(), "和" + name) for name in Thing.model_fields}


THINGS = Things()


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    url = "sqlite:///%s" % (tmp_path / "ledger.sqlite")
    migrate.upgrade(url)
    with Ledger(url) as found:
        yield found


def adopted(ledger: Ledger, **logins: dict[str, Any]) -> None:
    changes = [
        Change(
            login, "adopt", {**ROW, "person": "Person %s" % login, **fields}, approver="Sample Manager", ticket="T-1"
        )
        for login, fields in logins.items()
    ]
    ledger.append("accounts", changes, "ops")


def heading(name: str, language: int = 1) -> str:
    return ACCOUNTS.headings[name][language]


def csv_of(path: Path, rows: list[list[str]], encoding: str = "utf-8-sig", delimiter: str = ",") -> Path:
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter).writerows(rows)
    path.write_bytes(text.getvalue().encode(encoding))
    return path


HEAD = [heading(name) for name in ("login", "person", "department", "hosts", "justification", "approver", "ticket")]
GOOD = ["tanaka", "Sample Person", "総務部", "web01; web02", "業務", "Sample Manager", "T-1"]


def xlsx_of(path: Path, rows: list[list[Any]]) -> Path:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    book.save(path)
    return path


# What goes out comes in again.

AWKWARD = [
    *(
        "=1+1",
        "'=1+1",
        "''@x",
        "+81",
        "-1",
        "@SUM(A1)",
        "＝cmd",
        "\tx",
        "00123",
        "1e5",
        "TRUE",
        "2026-11-21",
        "_x0041_",
    ),
    *("'quoted'", '""', '\'""', "'", '"', " x ", "", "[1]", "no", "~", "null", "# x", "a: b", "- x"),
    *("x,y;z", "a\r\nb", "a\nb"),
]
TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20) | st.sampled_from(AWKWARD)
THING = st.fixed_dictionaries(
    {
        "status": st.just("there"),
        "note": TEXT,
        "shell": TEXT,
        "tags": st.lists(TEXT, max_size=4),
        "count": st.none() | st.integers(-(10**14), 10**14),
        "size": st.integers(0, 9),
        "open": st.booleans(),
        "since": st.none() | st.dates(min_value=date(1000, 1, 1)).map(date.isoformat),
        "times": st.dictionaries(TEXT, TEXT, max_size=3),
    }
)


@pytest.mark.parametrize("form", ALL)
@pytest.mark.parametrize("language", ["en", "ja"])
@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(entries=st.lists(THING, max_size=4))
def test_every_value_comes_back_as_it_went_out(
    tmp_path: Path, form: str, language: str, entries: list[dict[str, Any]]
) -> None:
    keys = ["00%d" % number for number in range(len(entries))]
    states = [State(key, 1, 1, {"name": key, **entry}) for key, entry in zip(keys, entries, strict=True)]
    path = tmp_path / ("things." + form)
    assert export.write_states(str(path), THINGS, states, form, language) == len(states)
    found = importing.read(THINGS, str(path))
    assert not found.problems
    assert [(change.key, change.payload) for change in found.changes] == list(zip(keys, entries, strict=True))


@pytest.mark.parametrize("form", ALL)
def test_an_export_enters_the_same_accounts_elsewhere_and_nothing_where_it_came_from(
    ledger: Ledger, tmp_path: Path, form: str
) -> None:
    adopted(ledger, tanaka={"groups": ["www"], "valid_until": "2030-12-31", "uid": 1005}, suzuki={"mfa": True})
    path = str(tmp_path / ("a." + form))
    export.write_states(path, ACCOUNTS, ledger.states("accounts"), form, "ja")
    assert importing.import_file(ledger, "accounts", path, "ops").events == []
    url = "sqlite:///%s" % (tmp_path / "other.sqlite")
    migrate.upgrade(url)
    with Ledger(url) as other:
        assert len(importing.import_file(other, "accounts", path, "ops").events) == 2
        times = {"active_since"}  # what a ledger notes of its own
        for before, after in zip(ledger.states("accounts"), other.states("accounts"), strict=True):
            differing = {name for name in before.fields if before.fields[name] != after.fields[name]}
            assert differing <= times
            assert before.key == after.key


def test_spreadsheets_get_no_formulas(ledger: Ledger, tmp_path: Path) -> None:
    evil = ["=HYPERLINK(1)", "+1", "-1", "@SUM(1)", "＝1", "\t=1", "\r=1"]
    states = [State(str(n), 1, 1, {"name": str(n), "note": text, "tags": [text]}) for n, text in enumerate(evil)]
    export.write_states(str(tmp_path / "t.csv"), THINGS, states, "csv")
    content = (tmp_path / "t.csv").read_bytes()
    assert content.startswith(b"\xef\xbb\xbf")
    for row in list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")))[1:]:
        assert not [cell for cell in row if re.match("[=+@\t\r＝-]", cell)]
    export.write_states(str(tmp_path / "t.xlsx"), THINGS, states, "xlsx")
    with zipfile.ZipFile(tmp_path / "t.xlsx") as archive:
        assert b"<f" not in archive.read("xl/worksheets/sheet1.xml").replace(b"<formatPr", b"")


def test_a_workbook_is_as_excel_users_expect_it(ledger: Ledger, tmp_path: Path) -> None:
    adopted(ledger, tanaka={"valid_until": "2030-12-31"})
    export.write_states(str(tmp_path / "a.xlsx"), ACCOUNTS, ledger.states("accounts"), "xlsx", "ja")
    sheet = openpyxl.load_workbook(tmp_path / "a.xlsx").active
    names = [cell.value for cell in sheet[1]]
    assert names[:3] == ["ログイン名", "利用者", "部署"]
    assert sheet.title == "アカウント管理台帳"
    assert sheet.freeze_panes == "B2"
    assert sheet.auto_filter.ref.startswith("A1:") and sheet.auto_filter.ref.endswith("2")
    cells = dict(zip(names, sheet[2], strict=True))
    assert cells["有効終了日"].is_date and cells["有効終了日"].value.date() == date(2030, 12, 31)
    assert cells["ログイン名"].number_format == "@"
    widths = [sheet.column_dimensions[letter].width for letter in "ABC"]
    assert all(8 <= width <= 48 for width in widths)


@pytest.mark.parametrize("form", [*ALL, "jsonl"])
def test_exports_are_for_their_owner_and_whole(tmp_path: Path, ledger: Ledger, form: str) -> None:
    adopted(ledger, tanaka={})
    path = tmp_path / ("out." + form)
    path.write_text("before")
    path.chmod(0o644)
    export.write_events(str(path), ACCOUNTS, ledger.events("accounts"), form)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert b"before" not in path.read_bytes()
    whole = path.read_bytes()

    class Wrong:
        def fields(self) -> dict[str, Any]:
            raise RuntimeError("half-way")

    with pytest.raises((RuntimeError, AttributeError)):
        export.write_events(str(path), ACCOUNTS, [*ledger.events("accounts"), Wrong()], form)  # type: ignore[list-item]
    assert path.read_bytes() == whole
    assert [entry.name for entry in tmp_path.iterdir() if entry.name.startswith(".")] == []


def test_a_cell_that_excel_would_cut_off_is_refused(tmp_path: Path) -> None:
    state = State("a", 1, 1, {"name": "a", "note": "x" * 40_000})
    with pytest.raises(LedgerError, match="row 2: Note: 40000 characters"):
        export.write_states(str(tmp_path / "a.xlsx"), THINGS, [state], "xlsx")
    assert list(tmp_path.iterdir()) == []


# What comes in.


@pytest.mark.parametrize(
    ("encoding", "named", "delimiter"),
    [
        ("utf-8", "utf-8", ","),
        ("utf-8-sig", "utf-8-sig", ","),
        ("utf-16", "utf-16", "\t"),
        ("utf-16", "utf-16", ","),
        ("cp932", "cp932", ","),
        ("cp932", "cp932", ";"),
    ],
)
def test_encodings_and_separators_of_excel_are_known(
    ledger: Ledger, tmp_path: Path, encoding: str, named: str, delimiter: str
) -> None:
    path = csv_of(tmp_path / "a.csv", [HEAD, GOOD], encoding, delimiter)
    found = importing.import_file(ledger, "accounts", str(path), "ops")
    assert (found.encoding, found.rows) == (named, 1)
    state = ledger.get("accounts", "tanaka")
    assert state is not None
    assert state.fields["department"] == "総務部"
    assert state.fields["hosts"] == ["web01", "web02"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"\xff\xfe\xfd", "neither UTF-8"),
        ("ログイン名,利用者\n".encode("euc_jp") + b"\xff\xff", "neither UTF-8"),
        ("ログイン名\n".encode("iso2022_jp"), "control character U\\+001B"),
        (b"login\0name\n", "control character U\\+0000"),
        (b'login\n"open', "row 2 is not of CSV's form"),
        (b'login\n"a"b\n', "row 2 is not of CSV's form"),
        (b"login\n" + b"x" * 200_000, "row 2 is not of CSV's form"),
        (b"," * 500, "columns"),
        (b"login\n" + b"a\n" * 100_001, "more than 100000 rows"),
    ],
)
def test_what_is_no_csv_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(LedgerError, match=reason):
        importing.read(ACCOUNTS, str(tmp_path / "a.csv"))


def test_headings_come_in_either_language_and_any_order(tmp_path: Path) -> None:
    names = ["Ticket", "ﾛｸﾞｲﾝ名", "HOSTS", "person", "部 署", "Justification ", "承認者"]
    path = csv_of(tmp_path / "a.csv", [names, ["T-1", "tanaka", "web01", "P", "D", "J", "M"]])
    (change,) = importing.read(ACCOUNTS, str(path)).changes
    assert change == Change(
        "tanaka",
        "adopt",
        {"hosts": ["web01"], "person": "P", "department": "D", "justification": "J"},
        approver="M",
        ticket="T-1",
        row=2,
    )


def test_wrong_headings_are_all_named(tmp_path: Path) -> None:
    path = csv_of(tmp_path / "a.csv", [["login", "Login name", "hosst", "person"], ["a", "b", "c", "d"]])
    found = importing.read(ACCOUNTS, str(path))
    assert not found.changes
    assert [str(problem) for problem in found.problems] == [
        "row 1: accounts: heading 'Login name': column 2: the heading is there twice",
        "row 1: accounts: heading 'hosst': column 3: there is no such heading",
        "row 1: accounts: heading 'Department / 部署': the column is missing",
        "row 1: accounts: heading 'Hosts / 対象ホスト': the column is missing",
        "row 1: accounts: heading 'Justification / 利用目的': the column is missing",
    ]


def test_problems_of_reading_and_of_the_book_come_in_one_list_and_nothing_is_written(
    ledger: Ledger, tmp_path: Path
) -> None:
    head = [*HEAD, heading("valid_until"), heading("uid"), heading("mfa")]
    rows = [
        head,
        [*GOOD, "2030/1/5", "1005", "はい"],
        ["", *GOOD[1:], "", "", ""],
        [],
        ["suzuki", "Other Person", "D", "web99", "J", "M", "T", "31.12.2030", "x", "maybe"],
        ["Sato'", "Third Person", "D", "web01", "J", "M", "T", "", "", ""],
        ["tanaka", "Fourth Person", "D", "web01", "J", "M", "T", "", "", "", "more"],
        ["ito", "Fifth Person", "D", "web99", "J", "", "", "2030-02-30", "", ""],
        ["kato", "Sixth Person", "D", "web99", "J", "M", "T", "", "", ""],
    ]
    context = AccountContext(hosts={"web01": frozenset({"web01"}), "web02": frozenset({"web02"})})
    with pytest.raises(Refused) as caught:
        importing.import_file(
            ledger, "accounts", str(csv_of(tmp_path / "a.csv", rows)), "ops", context=context, dry_run=False
        )
    found = [(problem.row, problem.key, problem.field) for problem in caught.value.problems]
    assert found == [
        (3, "", "login"),
        (5, "suzuki", "valid_until"),
        (5, "suzuki", "uid"),
        (5, "suzuki", "mfa"),
        (6, "Sato'", "login"),
        (7, "tanaka", "column 11"),
        (7, "tanaka", "login"),
        (8, "ito", "valid_until"),
        (9, "kato", "hosts"),
    ]
    assert ledger.events("accounts") == []


def test_rows_say_their_own_action_and_version(ledger: Ledger, tmp_path: Path) -> None:
    adopted(ledger, tanaka={}, suzuki={"groups": ["www"]})
    head = ["login", "操作", "版", "groups", "approver", "ticket", "status_reason"]
    rows = [head, ["tanaka", "suspend", "1", "", "", "", "absent"], ["suzuki", "change", "1", "", "Boss", "T-9", ""]]
    path = str(csv_of(tmp_path / "a.csv", rows))
    found = importing.import_file(ledger, "accounts", path, "ops")
    assert [(event.key, event.action) for event in found.events] == [("tanaka", "suspend"), ("suzuki", "change")]
    states = {state.key: state.fields for state in ledger.states("accounts")}
    assert states["tanaka"]["status"] == "suspended"
    assert states["suzuki"]["groups"] == []  # an empty cell takes the right away
    assert states["suzuki"]["shell"] == "/bin/sh"
    with pytest.raises(Stale, match="row 2: tanaka: version '1'"):
        importing.import_file(ledger, "accounts", path, "ops")


def test_a_field_that_an_action_does_not_set_may_only_be_what_it_is(ledger: Ledger, tmp_path: Path) -> None:
    row = [*GOOD, "disabled"]
    path = csv_of(tmp_path / "a.csv", [[*HEAD, "status"], row])
    with pytest.raises(Refused, match="row 2: tanaka: status 'disabled': adopt sets only"):
        importing.import_file(ledger, "accounts", str(path), "ops")
    csv_of(path, [[*HEAD, "status"], [*GOOD, "active"]])
    assert importing.import_file(ledger, "accounts", str(path), "ops").events


# Workbooks that are not what they seem.


def sheet_parts(tmp_path: Path) -> dict[str, bytes]:
    path = xlsx_of(tmp_path / "good.xlsx", [HEAD, GOOD])
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(path: Path, parts: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return path


LAUGHS = (
    b'<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">'
    b'<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;">]>'
)
SHEET = "xl/worksheets/sheet1.xml"


def with_doctype(content: bytes, encoding: str = "utf-8") -> bytes:
    body = content.decode().split("?>", 1)[-1]
    text = LAUGHS.decode().replace("?>", ' encoding="%s"?>' % encoding, 1) + body
    return text.encode(encoding)


def many_parts(parts: dict[str, bytes]) -> dict[str, bytes]:
    return {**parts, **{"xl/media/%d.png" % number: b"" for number in range(600)}}


DAMAGE: dict[str, tuple[Callable[[dict[str, bytes]], dict[str, bytes]], str]] = {
    "entities": (lambda parts: {**parts, SHEET: with_doctype(parts[SHEET])}, "document type"),
    "entities in UTF-16": (lambda parts: {**parts, SHEET: with_doctype(parts[SHEET], "utf-16")}, "document type"),
    "entities in the styles": (
        lambda parts: {**parts, "xl/styles.xml": with_doctype(parts["xl/styles.xml"])},
        "document type",
    ),
    "prolog without end": (
        lambda parts: {**parts, SHEET: b"<!--" + b"x" * 200_000 + b"-->" + parts[SHEET]},
        "document type",
    ),
    "macros": (lambda parts: {**parts, "xl/vbaProject.bin": b"x"}, "macros"),
    "macro sheet": (lambda parts: {**parts, "xl/macrosheets/sheet1.xml": b"<a/>"}, "macros"),
    "object": (lambda parts: {**parts, "xl/embeddings/oleObject1.bin": b"x"}, "objects"),
    "macro type": (
        lambda parts: {
            **parts,
            "[Content_Types].xml": parts["[Content_Types].xml"].replace(b"sheet.main", b"sheet.macroEnabled.main"),
        },
        "macros",
    ),
    "many parts": (many_parts, "500 parts"),
    "bomb": (
        lambda parts: {**parts, "xl/media/a.png": b"\0" * (xlsx_archive.MAX_UNPACKED + 1)},
        "unpacks to more than",
    ),
    "no workbook": (lambda parts: {"[Content_Types].xml": parts["[Content_Types].xml"]}, "no workbook"),
    "no sheet": (lambda parts: {name: text for name, text in parts.items() if name != SHEET}, "visible sheet"),
    "cut off": (lambda parts: {**parts, SHEET: parts[SHEET][:-200]}, "no XLSX file"),
    "no XML": (lambda parts: {**parts, SHEET: b"hello"}, "no XLSX file"),
    "no number": (lambda parts: {**parts, SHEET: parts[SHEET].replace(b'r="A2"', b'r="??"')}, "no XLSX file"),
    "empty sheet": (
        lambda parts: {**parts, SHEET: re.sub(rb"<sheetData>.*</sheetData>", b"<sheetData/>", parts[SHEET])},
        "sheet is empty",
    ),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_harmful_and_damaged_workbooks_are_refused(tmp_path: Path, what: str) -> None:
    damage, reason = DAMAGE[what]
    path = packed(tmp_path / "bad.xlsx", damage(sheet_parts(tmp_path)))
    with pytest.raises(LedgerError, match=reason):
        importing.read(ACCOUNTS, str(path))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "no XLSX file"),
        (b"PK\x03\x04 not really", "no XLSX file"),
        (b"login,person\n", "no XLSX file"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "Excel 97 or encrypted"),
    ],
)
def test_what_is_no_workbook_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "bad.xlsx").write_bytes(content)
    with pytest.raises(LedgerError, match=reason):
        importing.read(ACCOUNTS, str(tmp_path / "bad.xlsx"))


def test_a_sheet_that_claims_to_be_huge_is_read_by_what_it_holds(tmp_path: Path) -> None:
    parts = sheet_parts(tmp_path)
    parts[SHEET] = re.sub(rb'<dimension ref="[^"]*"', b'<dimension ref="A1:XFD1048576"', parts[SHEET])
    found = importing.read(ACCOUNTS, str(packed(tmp_path / "big.xlsx", parts)))
    assert [change.key for change in found.changes] == ["tanaka"]


def test_links_to_other_files_are_not_followed(tmp_path: Path) -> None:
    parts = sheet_parts(tmp_path)
    relation = (
        b'<Relationship Id="rId99" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/externalLink"'
        b' Target="externalLinks/externalLink1.xml"/></Relationships>'
    )
    name = "xl/_rels/workbook.xml.rels"
    parts[name] = parts[name].replace(b"</Relationships>", relation)
    parts["xl/externalLinks/externalLink1.xml"] = b"<externalLink/>"
    found = importing.read(ACCOUNTS, str(packed(tmp_path / "linked.xlsx", parts)))
    assert [change.key for change in found.changes] == ["tanaka"]


def test_cells_of_the_wrong_kind_are_named_by_row(tmp_path: Path) -> None:
    head = [*HEAD, heading("valid_until"), heading("status_reason")]
    rows: list[list[Any]] = [
        head,
        [*GOOD, date(2030, 12, 31), ""],
        [123, *GOOD[1:], None, None],
        ["a1", *GOOD[1:], "=TODAY()", None],
        ["a2", *GOOD[1:], 45000.5, None],
        ["a3", "=cmd", *GOOD[2:], None, 7],
        [None] * 9,
        ["a4", *GOOD[1:], None, 1042],
    ]
    found = importing.read(ACCOUNTS, str(xlsx_of(tmp_path / "a.xlsx", rows)))
    assert [(problem.row, problem.field) for problem in found.problems] == [
        (4, heading("valid_until")),
        (6, heading("person")),
        (3, "login"),
        (5, "valid_until"),
    ]
    assert "formula" in found.problems[0].reason
    assert [(change.key, change.row) for change in found.changes] == [("tanaka", 2), ("a4", 8)]
    assert found.changes[0].payload["valid_until"] == "2030-12-31"
    assert found.changes[1].payload["status_reason"] == "1042"


def test_which_sheet_is_meant_must_be_clear(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    book.active.append(HEAD)
    book.create_sheet("other").append(["x"])
    book.save(tmp_path / "a.xlsx")
    with pytest.raises(LedgerError, match="one visible sheet; it has 'Sheet', 'other'"):
        importing.read(ACCOUNTS, str(tmp_path / "a.xlsx"))
    book["other"].sheet_state = "hidden"
    book.save(tmp_path / "a.xlsx")
    assert not importing.read(ACCOUNTS, str(tmp_path / "a.xlsx")).problems


# YAML and JSON.

ENTRY = {"login": "tanaka", "person": "P", "department": "D", "hosts": ["web01"], "justification": "J"}


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.yml", "- &a [*a]", "anchors"),
        ("a.yml", "- &a {login: x}\n- *a\n", "anchors"),
        ("a.yml", "- !!python/object/apply:os.system [id]", "tag|list of entries"),
        ("a.yml", "- {login: !!python/name:os.system x}", "tag"),
        ("a.yml", "- {login: a, login: b}", "same name twice"),
        ("a.yml", "[" * 5000, "YAML"),
        ("a.yml", "- {login: a}\n---\n- {login: b}", "YAML"),
        ("a.yml", "login: a", "list of entries"),
        ("a.yml", "- \x00", "YAML"),
        ("a.json", "[{", "JSON"),
        ("a.json", "[" * 100_000, "JSON"),
        ("a.json", '[{"login": "a", "login": "b"}]', "same name twice"),
        ("a.json", '[{"login": 1.5}]', "no whole number"),
        ("a.json", '[{"login": NaN}]', "no whole number"),
        ("a.json", '{"login": "a"}', "list of entries"),
        ("a.json", "[1]", "list of entries"),
        ("a.jsonl", "{}", "for verifying"),
        ("a.doc", "x", "no known format"),
    ],
)
def test_what_is_no_list_of_entries_is_refused(tmp_path: Path, name: str, content: str, reason: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(LedgerError, match=reason):
        importing.read(ACCOUNTS, str(tmp_path / name))


def test_yaml_does_not_guess_what_a_text_means(tmp_path: Path) -> None:
    text = "- {name: 00123, note: no, open: off, since: 2030-01-05, tags: [1.10, 0x1f], size: 7}\n"
    (tmp_path / "t.yml").write_text(text)
    found = importing.read(THINGS, str(tmp_path / "t.yml"))
    assert [str(problem) for problem in found.problems] == [
        "row 1: 00123: open 'off': must be yes or no (はい or いいえ)"
    ]
    (tmp_path / "t.yml").write_text(text.replace("off", "no"))
    (change,) = importing.read(THINGS, str(tmp_path / "t.yml")).changes
    assert change.key == "00123"
    expected = {"note": "no", "open": False, "since": "2030-01-05", "tags": ["1.10", "0x1f"], "size": 7}
    assert change.payload == expected


def test_json_with_a_wrong_type_is_named(tmp_path: Path) -> None:
    entries = [ENTRY, {**ENTRY, "login": "b", "hosts": {"x": 1}, "mfa": 1, "nonsense": 1}]
    (tmp_path / "a.json").write_text(json.dumps(entries))
    found = importing.read(ACCOUNTS, str(tmp_path / "a.json"))
    assert [problem.field for problem in found.problems] == ["heading"]
    del entries[1]["nonsense"]
    (tmp_path / "a.json").write_text(json.dumps(entries))
    found = importing.read(ACCOUNTS, str(tmp_path / "a.json"))
    assert [(problem.row, problem.field, problem.reason) for problem in found.problems] == [
        (2, "hosts", "must be a list"),
        (2, "mfa", "must be true or false"),
    ]


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    for path in (tmp_path / "none.csv", Path("/dev/zero")):
        with pytest.raises(LedgerError, match=str(path)):
            importing.read(ACCOUNTS, str(path), form="csv")
    with pytest.raises(LedgerError, match="cannot be written"):
        export.write_states(str(tmp_path / "no" / "a.csv"), ACCOUNTS, [], "csv")


# Large books.


def test_ten_thousand_accounts_go_out_and_in_within_bounds(ledger: Ledger, tmp_path: Path) -> None:
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl x"
    fields = {"groups": ["www", "adm"], "ssh_keys": [key], "valid_until": "2031-03-31"}
    adopted(ledger, **{"u%05d" % number: fields for number in range(10_000)})
    path = str(tmp_path / "a.xlsx")
    states = ledger.states("accounts")
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.process_time()
    export.write_states(path, ACCOUNTS, states, "xlsx", "ja")
    exported = time.process_time()
    url = "sqlite:///%s" % (tmp_path / "other.sqlite")
    migrate.upgrade(url)
    with Ledger(url) as other:
        assert len(importing.import_file(other, "accounts", path, "ops").events) == 10_000
    imported = time.process_time()
    assert exported - started < 10
    assert imported - exported < 15
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 400 * 1024, "KiB"


# The modules.


def run(plugin: Any, url: str, check: bool = False, **arguments: Any) -> dict[str, Any]:
    variables = {"kijun_ledger_url": url, "kijun_ledger_syslog": False, "groups": {"all": ["web01", "web02"]}}
    variables["kijun_actor"] = "ops"
    loader = DataLoader()
    task = SimpleNamespace(args=arguments, async_val=0, check_mode=check, diff=True, collections=[])
    action = plugin.ActionModule(
        task=task,
        connection=SimpleNamespace(_shell=SimpleNamespace(tmpdir=None)),
        play_context=SimpleNamespace(),
        loader=loader,
        templar=Templar(loader=loader, variables=variables),
        shared_loader_obj=None,
    )
    found: dict[str, Any] = action.run(task_vars=variables)
    return found


@pytest.mark.parametrize("form", [*ALL, "jsonl"])
def test_an_export_says_in_check_mode_what_it_does_and_a_second_changes_nothing(
    ledger: Ledger, tmp_path: Path, form: str
) -> None:
    adopted(ledger, tanaka={})
    path = tmp_path / ("out." + form)
    foreseen = run(ledger_export, ledger.url, check=True, path=str(path))
    assert foreseen["changed"] and not path.exists()
    done = run(ledger_export, ledger.url, path=str(path))
    assert done["changed"] and done["count"] == 1
    assert done["diff"] == foreseen["diff"]
    before = path.stat()
    time.sleep(1.1)  # a workbook bears the second at which it was written
    assert not run(ledger_export, ledger.url, check=True, path=str(path))["changed"]
    again = run(ledger_export, ledger.url, path=str(path))
    assert not again["changed"] and "diff" not in again
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    adopted(ledger, suzuki={})
    assert run(ledger_export, ledger.url, path=str(path))["changed"]


def test_an_export_that_others_can_read_is_closed(ledger: Ledger, tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    run(ledger_export, ledger.url, path=str(path))
    path.chmod(0o644)
    assert run(ledger_export, ledger.url, path=str(path))["changed"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_an_import_says_in_check_mode_what_it_does_and_a_second_changes_nothing(ledger: Ledger, tmp_path: Path) -> None:
    path = str(csv_of(tmp_path / "a.csv", [HEAD, GOOD], "cp932"))
    foreseen = run(ledger_import, ledger.url, check=True, path=path)
    assert foreseen["changed"] and ledger.events("accounts") == []
    done = run(ledger_import, ledger.url, path=path)
    assert (done["changed"], done["added"], done["updated"], done["encoding"]) == (True, ["tanaka"], [], "cp932")
    assert done["checkpoint"]["count"] == 1
    (shown,) = done["diff"]
    assert shown["before"] == "" and "department: 総務部" in shown["after"]
    assert foreseen["diff"][0]["after_header"] == "tanaka"
    for check in (True, False):
        again = run(ledger_import, ledger.url, check=check, path=path)
        assert not again["changed"] and again["diff"] == []
    assert len(ledger.events("accounts")) == 1


def test_a_refused_import_lists_its_rows(ledger: Ledger, tmp_path: Path) -> None:
    rows = [HEAD, GOOD, ["suzuki", "Other", "D", "web99", "J", "Sample Manager", "T"], ["", *GOOD[1:]]]
    path = str(csv_of(tmp_path / "a.csv", rows))
    found = run(ledger_import, ledger.url, path=path)
    assert found["failed"] and not found["changed"]
    assert [(problem["row"], problem["field"]) for problem in found["problems"]] == [(3, "hosts"), (4, "login")]
    assert "row 3: suzuki: hosts 'web99'" in found["msg"]
    assert ledger.events("accounts") == []
    with pytest.raises(AnsibleActionFail, match="no book 'nothing'"):
        run(ledger_import, ledger.url, path=path, book="nothing")
    with pytest.raises(AnsibleActionFail, match="no book 'nothing'"):
        run(ledger_export, ledger.url, path=str(tmp_path / "x.csv"), book="nothing")
