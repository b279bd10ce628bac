# SPDX-License-Identifier: GPL-3.0-or-later
"""Review of accounts by the managers of departments: sheets out, decisions back, and what is overdue."""

from __future__ import annotations

import datetime
import hashlib
import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import openpyxl
from openpyxl.styles import Alignment, Font, PatternFill, Protection
from openpyxl.utils import get_column_letter
from openpyxl.worksheet.datavalidation import DataValidation
from openpyxl.worksheet.properties import PageSetupProperties

from ..ledger.book import Change, State
from ..ledger.engine import Checkpoint, Ledger
from ..ledger.errors import LedgerError, Problem, Refused
from ..ledger.event import Event, canonical_json
from ..ledger.interchange.fields import Kind, from_text
from ..ledger.interchange.files import read_bytes, written_whole
from ..ledger.interchange.xlsx_file import open_workbook, rows_of, shown_width, text_of, unescaped

SCHEMA = "kijun.review/1"
REVIEWED = ("approved", "active", "suspended", "disabled")
"""Statuses of accounts that a review looks at: disabled ones too (SO-2.1-user-review-scope)."""

ADMIN_GROUPS = frozenset({"root", "sudo", "adm", "shadow", "disk"})
"""Groups of Debian whose members may become root, or read what is root's."""

COLUMNS = {
    "login": ("Login name", "ログイン名"),
    "person": ("Person", "利用者"),
    "kind": ("Kind", "種別"),
    "status": ("Status", "状態"),
    "hosts": ("Hosts", "対象ホスト"),
    "groups": ("Groups", "グループ"),
    "sudo": ("Sudo rules", "sudo権限"),
    "privileged": ("Privileged", "特権"),
    "justification": ("Justification", "利用目的"),
    "valid_until": ("Valid until", "有効終了日"),
    "reviewed_at": ("Last review", "前回棚卸日"),
    "last_login": ("Last login", "最終ログイン"),
    "decision": ("Decision", "判定"),
    "comment": ("Comment", "備考"),
}
FILLED = ("decision", "comment")
"""Columns that the manager fills in."""

DECISIONS = {"keep": "継続", "change": "変更", "remove": "削除"}
TEXTS = {
    "en": {
        "title": "Review of accounts",
        "department": "Department",
        "manager": "Manager",
        "made": "Made on",
        "how": "For each account, choose keep, change or remove; for change, write into the comment what is to change. "
        "Then enter your name and the date. Other cells may not be altered.",
        "name": "Name of the reviewer",
        "date": "Date of the review",
    },
    "ja": {
        "title": "アカウント棚卸表",
        "department": "部署",
        "manager": "部門長",
        "made": "作成日",
        "how": "各アカウントの判定（継続・変更・削除）を選択し、変更の場合は備考に内容を記入のうえ、"
        "確認者氏名と確認日を記入してください。その他のセルは変更しないでください。",
        "name": "確認者氏名",
        "date": "確認日",
    },
}
SIGNED = {"name": "B4", "date": "B5"}
HEADINGS_ROW = 7
HIDDEN = "kijun"
TICKET = "review-sheet:"
"""Begins the ticket of what a signed sheet brought; the sheet's SHA-256 follows."""

MONTHLY = 31
YEARLY = 365
FIRST_WEEK = 7
"""Days: the longest time between two reviews, between two signed ones, and the part of a month to review in."""


def write_sheets(
    accounts: Iterable[State],
    directory: str | Path,
    today: datetime.date,
    departments: Mapping[str, Mapping[str, Any]],
    language: str,
    rules: Mapping[str, str],
    head: Checkpoint,
    last_logins: Mapping[str, str] | None = None,
) -> list[Path]:
    """Write one sheet for each department that has accounts.

    Args:
        accounts: entries of the account book.
        directory: where to; it must be there. A sheet of the same day is replaced.
        today: the day they are made.
        departments: name -> its manager's name, under ``manager``.
        language: en or ja.
        rules: name of a sudo rule -> its text.
        head: what the book's chain is now.
        last_logins: login -> day of the last login (YYYY-MM-DD), as far as known.

    Returns:
        The files, in order of departments.

    Raises:
        Refused: an account's department has no manager; nothing was written.
        LedgerError: a sheet cannot be written.
    """
    if language not in TEXTS:
        raise LedgerError("language %r is none of %s" % (language, ", ".join(TEXTS)))
    by_department: dict[str, list[State]] = {}
    for state in sorted(accounts):
        if state.fields["status"] in REVIEWED:
            by_department.setdefault(state.fields["department"], []).append(state)
    problems = [
        Problem(None, states[0].key, "department", name, "has no manager in accounts_departments", "SM-4.1.2-2")
        for name, states in sorted(by_department.items())
        if not departments.get(name, {}).get("manager")
    ]
    if problems:
        raise Refused(problems)
    paths = []
    for name, states in sorted(by_department.items()):
        rows = {state.key: _row(state, rules, (last_logins or {}).get(state.key, "")) for state in states}
        about = {
            "schema": SCHEMA,
            "book": head.book,
            "count": head.count,
            "head": head.head,
            "department": name,
            "manager": departments[name]["manager"],
            "made": today.isoformat(),
            "language": language,
        }
        path = Path(directory) / ("review-%s-%s.xlsx" % (_file_name(name), today.isoformat()))
        _write(path, about, rows, {state.key: state.version for state in states})
        paths.append(path)
    return paths


def privileged(fields: Mapping[str, Any]) -> bool:
    """Whether an account may do more than others: by its kind, a sudo rule, or a group.

    Args:
        fields: those of the account.
    """
    return fields["kind"] == "administrator" or bool(fields["sudo"]) or bool(ADMIN_GROUPS & set(fields["groups"]))


def _row(state: State, rules: Mapping[str, str], last_login: str) -> dict[str, str]:
    """What a sheet shows of an account, as text."""
    fields = state.fields
    return {
        "login": state.key,
        "person": fields["person"],
        "kind": fields["kind"],
        "status": fields["status"],
        "hosts": "\n".join(fields["hosts"]),
        "groups": "\n".join(fields["groups"]),
        "sudo": "\n".join("%s: %s" % (name, rules[name]) if name in rules else name for name in fields["sudo"]),
        "privileged": "yes" if privileged(fields) else "",
        "justification": fields["justification"],
        "valid_until": fields["valid_until"] or "",
        "reviewed_at": fields["reviewed_at"] or "",
        "last_login": last_login,
    }


def _file_name(department: str) -> str:
    """A department's name as part of a file's; two departments never share one."""
    name = re.sub(r"[^\w-]+", "_", department)[:60]
    return name if name == department else "%s-%s" % (name, hashlib.sha256(department.encode()).hexdigest()[:8])


def _digest(about: Mapping[str, Any], rows: Mapping[str, Mapping[str, str]], versions: Mapping[str, int]) -> str:
    return hashlib.sha256(canonical_json([dict(about), dict(rows), dict(versions)]).encode()).hexdigest()


def _write(
    path: Path, about: Mapping[str, Any], rows: Mapping[str, Mapping[str, str]], versions: Mapping[str, int]
) -> None:
    workbook = openpyxl.Workbook()
    sheet: Any = workbook.active
    texts = TEXTS[about["language"]]
    sheet.title = texts["title"][:31]
    _write_head(sheet, about, texts)
    _write_rows(sheet, about["language"], rows)
    _restrict(sheet, about["language"], len(rows))
    _write_hidden(workbook.create_sheet(HIDDEN), about, rows, versions)
    with written_whole(str(path)) as file:
        workbook.save(file)


def _put(sheet: Any, row: int, column: int, text: str) -> Any:
    cell = sheet.cell(row, column)
    cell.value = text_of(text, row, get_column_letter(column))
    if text:
        cell.data_type = "s"  # never a formula
    cell.number_format = "@"
    cell.alignment = Alignment(wrap_text=True, vertical="top")
    return cell


def _write_head(sheet: Any, about: Mapping[str, Any], texts: Mapping[str, str]) -> None:
    _put(sheet, 1, 1, texts["title"]).font = Font(bold=True, size=14)
    sheet["A1"].alignment = Alignment(wrap_text=False)
    for column, (label, value) in enumerate(
        (
            (texts["department"], about["department"]),
            (texts["manager"], about["manager"]),
            (texts["made"], about["made"]),
        )
    ):
        _put(sheet, 2, 2 * column + 1, label).font = Font(bold=True)
        _put(sheet, 2, 2 * column + 2, value)
    _put(sheet, 3, 1, texts["how"])
    sheet.merge_cells(start_row=3, start_column=1, end_row=3, end_column=len(COLUMNS))
    sheet.row_dimensions[3].height = 32
    for name, place in SIGNED.items():
        _put(sheet, sheet[place].row, 1, texts[name]).font = Font(bold=True)
        _open_cell(sheet[place])
    sheet[SIGNED["name"]].number_format = "@"
    sheet[SIGNED["date"]].number_format = "yyyy-mm-dd"


def _open_cell(cell: Any) -> None:
    """Mark a cell as one to fill in."""
    cell.protection = Protection(locked=False)
    cell.fill = PatternFill("solid", fgColor="FFF2CC")


def _write_rows(sheet: Any, language: str, rows: Mapping[str, Mapping[str, str]]) -> None:
    place = tuple(TEXTS).index(language)
    for column, (name, headings) in enumerate(COLUMNS.items(), 1):
        cell = _put(sheet, HEADINGS_ROW, column, headings[place])
        cell.font, cell.fill = Font(bold=True), PatternFill("solid", fgColor="D9E1F2")
        widest = max(map(shown_width, [headings[place], *(row.get(name, "") for row in rows.values())]))
        sheet.column_dimensions[get_column_letter(column)].width = min(max(widest + 2, 12), 40)
    for number, row in enumerate(rows.values(), HEADINGS_ROW + 1):
        for column, name in enumerate(COLUMNS, 1):
            cell = _put(sheet, number, column, row.get(name, ""))
            if name in FILLED:
                _open_cell(cell)


def _restrict(sheet: Any, language: str, count: int) -> None:
    """Lock what is not to be filled in, and offer what can be chosen."""
    last = HEADINGS_ROW + count
    decision = get_column_letter(tuple(COLUMNS).index("decision") + 1)
    words = DECISIONS if language == "en" else DECISIONS.values()
    choice = DataValidation(type="list", formula1='"%s"' % ",".join(words), allow_blank=True, showErrorMessage=True)
    choice.add("%s%d:%s%d" % (decision, HEADINGS_ROW + 1, decision, last))
    sheet.add_data_validation(choice)
    sheet.freeze_panes = "B%d" % (HEADINGS_ROW + 1)
    sheet.auto_filter.ref = "A%d:%s%d" % (HEADINGS_ROW, get_column_letter(len(COLUMNS)), last)
    sheet.protection.sheet = True
    sheet.protection.formatColumns = sheet.protection.formatRows = sheet.protection.autoFilter = False
    sheet.page_setup.orientation, sheet.page_setup.fitToHeight = "landscape", 0
    sheet.sheet_properties.pageSetUpPr = PageSetupProperties(fitToPage=True)
    sheet.print_title_rows = "%d:%d" % (HEADINGS_ROW, HEADINGS_ROW)


def _write_hidden(
    sheet: Any, about: Mapping[str, Any], rows: Mapping[str, Mapping[str, str]], versions: Mapping[str, int]
) -> None:
    sheet.sheet_state = "veryHidden"
    sheet.protection.sheet = True
    _put(sheet, 1, 1, canonical_json(dict(about)))
    _put(sheet, 1, 2, _digest(about, rows, versions))
    for number, (login, row) in enumerate(rows.items(), 2):
        _put(sheet, number, 1, login)
        _put(sheet, number, 2, str(versions[login]))
        _put(sheet, number, 3, canonical_json(dict(row)))


@dataclass
class Reviewed:
    """What a sheet came to.

    Attributes:
        department: whose sheet it is.
        reviewer: who signed.
        date: the day signed, YYYY-MM-DD.
        changes: for the account book; none where there are problems.
        problems: why the sheet is refused.
        to_change: login -> what the manager wants changed; an application must follow.
        sha256: of the file, in hexadecimal.
    """

    department: str = ""
    reviewer: str = ""
    date: str = ""
    changes: list[Change] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    to_change: dict[str, str] = field(default_factory=dict)
    sha256: str = ""


class _Sheet(NamedTuple):
    """A sheet's content: what was hidden in it, the signature, and the rows by their number."""

    about: dict[str, Any]
    shown: dict[str, dict[str, str]]
    versions: dict[str, int]
    signed: dict[str, str]
    rows: dict[int, dict[str, str]]


def read_sheet(
    path: str | Path,
    accounts: Iterable[State],
    today: datetime.date,
    departments: Mapping[str, Mapping[str, Any]],
    rules: Mapping[str, str],
    head_at: Callable[[int], str | None],
) -> Reviewed:
    """Read a sheet that a manager filled in.

    Args:
        path: the file.
        accounts: entries of the account book as they are now.
        today: the day it is read.
        departments: as for `write_sheets`.
        rules: as for `write_sheets`.
        head_at: gives the hash (hexadecimal) of the event of a number, None where there is none.

    Returns:
        The changes: each account is reviewed, and those to be removed are disabled too. Where anything is wrong with
        the sheet there are problems, and no changes.

    Raises:
        LedgerError: the file cannot be read, or is no sheet of `write_sheets`.
    """
    content = read_bytes(str(path))
    try:
        sheet = _parsed(content)
    except LedgerError as error:
        raise LedgerError("%s: %s" % (path, error)) from None
    found = Reviewed(sheet.about["department"], sheet.signed["name"], sha256=hashlib.sha256(content).hexdigest())
    reader = _Reader(found, sheet, {state.key: state for state in accounts}, rules)
    reader.check_signature(today, departments)
    reader.check_origin(head_at)
    for number, row in sheet.rows.items():
        reader.take(number, row)
    reader.check_complete()
    if found.problems:
        found.changes, found.to_change = [], {}
    return found


def _parsed(content: bytes) -> _Sheet:
    workbook = open_workbook(content)
    sheets = {sheet.title: sheet for sheet in workbook.worksheets}
    hidden = sheets.pop(HIDDEN, None)
    if hidden is None or len(sheets) != 1:
        raise LedgerError("this is no review sheet: it needs its own sheet and the hidden one %r" % HIDDEN)
    about, shown, versions = _hidden(hidden)
    signed, rows = {"name": "", "date": ""}, {}
    for number, cells in enumerate(rows_of(sheets.popitem()[1]), 1):
        texts = [_text(cell) for cell in cells]
        for name, place in SIGNED.items():
            if int(place[1:]) == number and len(texts) > 1:
                signed[name] = texts[1].strip()
        if number > HEADINGS_ROW and any(texts):
            texts += [""] * (len(COLUMNS) - len(texts))
            rows[number] = dict(zip(COLUMNS, texts, strict=False))
            rows[number]["more"] = "".join(texts[len(COLUMNS) :])
    return _Sheet(about, shown, versions, signed, rows)


def _text(cell: Any) -> str:
    value = cell.value
    if value is None:
        return ""
    if cell.data_type in ("f", "e"):
        return "(a formula or an error)"
    if isinstance(value, datetime.datetime):
        return value.date().isoformat() if value.time() == datetime.time() else value.isoformat()
    return unescaped(str(value))


def _hidden(sheet: Any) -> tuple[dict[str, Any], dict[str, dict[str, str]], dict[str, int]]:
    rows = [[_text(cell) for cell in cells] for cells in rows_of(sheet)]
    try:
        about = json.loads(rows[0][0])
        shown = {row[0]: json.loads(row[2]) for row in rows[1:]}
        versions = {row[0]: int(row[1]) for row in rows[1:]}
        whole = about["schema"] == SCHEMA and rows[0][1] == _digest(about, shown, versions)
    except (ValueError, LookupError, TypeError) as error:
        raise LedgerError("this is no review sheet: its hidden part is damaged (%s)" % error) from None
    if not whole:
        raise LedgerError("the hidden part of the sheet was altered")
    return about, shown, versions


class _Reader:
    """Holds a sheet against the ledger, and makes changes of its rows.

    Args:
        found: what it comes to.
        sheet: the sheet.
        states: entries of the account book by login.
        rules: name of a sudo rule -> its text.
    """

    def __init__(self, found: Reviewed, sheet: _Sheet, states: Mapping[str, State], rules: Mapping[str, str]) -> None:
        self.found = found
        self.sheet = sheet
        self.states = states
        self.rules = rules
        self.seen: dict[str, int] = {}

    def check_signature(self, today: datetime.date, departments: Mapping[str, Mapping[str, Any]]) -> None:
        """The department's manager signed, on a day between the sheet's making and today."""
        name, date = self.sheet.signed["name"], self.sheet.signed["date"]
        manager = str(departments.get(self.found.department, {}).get("manager") or "")
        if not name:
            self._complain(4, "signed name", "", "the sheet is not signed", "SM-4.1.2-2")
        elif _plain(name) != _plain(manager):
            reason = "the manager of %s is %s" % (self.found.department, manager or "not known")
            self._complain(4, "signed name", name, reason, "SM-4.1.2-2")
        try:
            day = from_text(date, Kind("date", True, None))
        except ValueError as error:
            self._complain(5, "signed date", date, str(error))
            return
        made = self.sheet.about["made"]
        if day is None:
            self._complain(5, "signed date", "", "the sheet is not dated", "SM-4.1.2-2")
        elif day > today.isoformat():
            self._complain(5, "signed date", day, "is in the future")
        elif day < made:
            self._complain(5, "signed date", day, "is before %s, when the sheet was made" % made)
        else:
            self.found.date = day

    def check_origin(self, head_at: Callable[[int], str | None]) -> None:
        """The sheet is of this ledger."""
        about = self.sheet.about
        if about["count"] and head_at(about["count"]) != about["head"]:
            self._complain(None, "head", about["head"][:16], "event %d of this ledger is another" % about["count"])

    def take(self, number: int, row: Mapping[str, str]) -> None:
        """One row of the sheet."""
        login, before = row["login"], len(self.found.problems)
        shown = self.sheet.shown.get(login)
        if shown is None:
            self._complain(number, "login", login, "was not on the sheet", key=login)
            return
        if login in self.seen:
            self._complain(number, "login", login, "stands in row %d already" % self.seen[login], key=login)
            return
        self.seen[login] = number
        self._check_unaltered(number, row, shown)
        state = self._current(number, login, shown)
        decision = _decision(row["decision"])
        if decision is None:
            allowed = "must be keep, change or remove (継続, 変更, 削除)"
            self._complain(number, "decision", row["decision"], allowed, key=login)
        elif decision == "change" and not row["comment"].strip():
            self._complain(number, "comment", "", "say what is to be changed", key=login)
        if state is not None and decision is not None and len(self.found.problems) == before:
            self._enter(number, state, decision, row["comment"].strip())

    def _check_unaltered(self, number: int, row: Mapping[str, str], shown: Mapping[str, str]) -> None:
        for name, text in {**shown, "more": ""}.items():
            if _lines(row.get(name, "")) != _lines(text):
                self._complain(number, name, row.get(name, "")[:80], "was altered; it was %r" % text, key=row["login"])

    def _current(self, number: int, login: str, shown: Mapping[str, str]) -> State | None:
        """The account, when it still is what the sheet shows."""
        state, version = self.states.get(login), self.sheet.versions[login]
        if state is None:
            self._complain(number, "login", login, "is not in the ledger", key=login)
        elif state.version != version or state.fields["department"] != self.found.department:
            reason = "the sheet is stale: the account has version %d by now; write a new sheet" % state.version
            self._complain(number, "version", str(version), reason, key=login)
        elif _without_rules(_row(state, self.rules, shown["last_login"])) != _without_rules(shown):
            self._complain(number, "login", login, "the sheet does not show what the ledger holds", key=login)
        else:
            return state
        return None

    def _enter(self, number: int, state: State, decision: str, comment: str) -> None:
        fields = {"reviewed_at": self.found.date, "reviewed_by": self.found.reviewer, "review_decision": decision}
        signed = {"approver": self.found.reviewer, "ticket": TICKET + self.found.sha256}
        common: dict[str, Any] = {"version": state.version, "row": number, **signed}
        self.found.changes.append(Change(state.key, "review", fields, **common))
        if decision == "change":
            self.found.to_change[state.key] = comment
        if decision == "remove" and state.fields["status"] != "disabled":
            reason = "review of %s by %s: remove" % (self.found.date, self.found.reviewer)
            reason += ": " + comment if comment else ""
            self.found.changes.append(Change(state.key, "disable", {"status_reason": reason[:500]}, **common))

    def check_complete(self) -> None:
        """Every account of the sheet is still on it."""
        for login in self.sheet.shown:
            if login not in self.seen:
                self._complain(None, "login", login, "its row is missing", "SO-2.1-user-review-scope", key=login)

    def _complain(
        self, row: int | None, name: str, value: str, reason: str, clause: str = "", key: str | None = None
    ) -> None:
        self.found.problems.append(Problem(row, key or self.found.department, name, value, reason, clause))


def _without_rules(row: Mapping[str, str]) -> dict[str, str]:
    """A row without the texts of its sudo rules, which may be worded anew while the account stays as it is."""
    names = [line.split(": ")[0] for line in row["sudo"].split("\n")]
    return {**row, "sudo": "\n".join(names)}


def _plain(name: str) -> str:
    """A name as compared: width, case and blanks do not matter."""
    return "".join(unicodedata.normalize("NFKC", name).split()).casefold()


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.rstrip().splitlines()]


def _decision(text: str) -> str | None:
    words = {**{word: word for word in DECISIONS}, **{ja: word for word, ja in DECISIONS.items()}}
    return words.get(_plain(text))


class Overdue(NamedTuple):
    """A review that was not done in time.

    Attributes:
        login: the account.
        department: whose manager is asked.
        review: monthly or yearly.
        last: day of the last such review; nothing where there was none.
        since: the day by which it was due.
        clause: the policy clause.
    """

    login: str
    department: str
    review: str
    last: str
    since: str
    clause: str


def signed_reviews(events: Iterable[Event]) -> dict[str, str]:
    """The last review that each account got by a signed sheet: login -> day.

    Args:
        events: those of action ``review`` of the account book, in order.
    """
    return {
        event.key: event.payload.get("reviewed_at", event.at[:10])
        for event in events
        if event.action == "review" and event.ticket.startswith(TICKET)
    }


def overdue(accounts: Iterable[State], today: datetime.date, signed: Mapping[str, str] | None = None) -> list[Overdue]:
    """What reviews are overdue: the monthly one, which belongs into a month's first week, and the yearly signed one.

    An account counts as reviewed on the day from which it is valid: it was approved then.

    Args:
        accounts: entries of the account book.
        today: the day.
        signed: see `signed_reviews`; None leaves the yearly review out.

    Returns:
        In order of departments, then logins.
    """
    found = []
    for state in accounts:
        if state.fields["status"] not in REVIEWED:
            continue
        last = state.fields["reviewed_at"] or ""
        since = _monthly_due(_day(last or state.fields["valid_from"]), today)
        if since:
            found.append(_overdue(state, "monthly", last, since, "SO-2.1-user-review-frequency"))
        if signed is None:
            continue
        last = signed.get(state.key, "")
        due = _day(last or state.fields["valid_from"]) + datetime.timedelta(days=YEARLY)
        if today > due:
            found.append(_overdue(state, "yearly", last, due, "SM-4.1.2-2"))
    return sorted(found, key=lambda entry: (entry.department, entry.login, entry.review))


def overdue_in(ledger: Ledger, accounts: Iterable[State], today: datetime.date) -> list[Overdue]:
    """What reviews of a ledger are overdue, monthly and yearly.

    Args:
        ledger: the ledger.
        accounts: entries of its account book.
        today: the day.
    """
    return overdue(accounts, today, signed_reviews(ledger.events("accounts", {"action": "review"})))


def _monthly_due(last: datetime.date, today: datetime.date) -> datetime.date | None:
    """The day by which the monthly review was due, when it was not done; None when nothing is overdue."""
    first_week_ends = today.replace(day=FIRST_WEEK)
    due = last + datetime.timedelta(days=MONTHLY)
    if today > first_week_ends and last < today.replace(day=1):
        return min(due, first_week_ends)
    return due if today > due else None


def _overdue(state: State, review: str, last: str, since: datetime.date, clause: str) -> Overdue:
    return Overdue(state.key, state.fields["department"], review, last, since.isoformat(), clause)


def _day(text: str) -> datetime.date:
    return datetime.date.fromisoformat(text[:10])
