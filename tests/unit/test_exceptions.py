# SPDX-License-Identifier: GPL-3.0-or-later
"""Which exceptions hold where: the rules of the book, reading it with and without the engine, and hosts' own."""

from __future__ import annotations

import datetime
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kijun_ledgers
import pytest
from ansible_collections.kijun.baseline.plugins.plugin_utils import exceptions
from ansible_collections.kijun.baseline.plugins.plugin_utils.exceptions_report import LISTS, REPORT, sort_out
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger import light, migrate
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.book import Change, State
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.books.exceptions import ExceptionContext
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.engine import Ledger
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.errors import Broken, Refused, Unreachable
from kijun_tools import tree

NOW = datetime.datetime(2026, 11, 21, 12, tzinfo=datetime.UTC)
TODAY = NOW.date()
FIELDS = {
    "control": "AUTH-07",
    "hosts": ["web1"],
    "reason": "old software",
    "measure": "a filter",
    "valid_until": "2026-12-31",
    "requester": "suzuki",
}
CONTEXT = ExceptionContext(
    hosts=frozenset({"web1", "web", "all"}),
    controls={"AUTH-07": "", "AUTH-09": "it opens the host"},
    committee=("kato", "森 花子"),
    max_days=90,
)


def file(key: str = "EXC-1", **changed: Any) -> Change:
    return Change(key, "file", {name: v for name, v in {**FIELDS, **changed}.items() if v is not None}, ticket="REQ-1")


def approve(key: str = "EXC-1", approver: str = "kato", ticket: str = "REQ-1") -> Change:
    return Change(key, "approve", approver=approver, ticket=ticket)


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("ledger") / "empty.sqlite"
    migrate.upgrade(f"sqlite:///{path}")
    return path.read_bytes()


@pytest.fixture
def url(empty: bytes, tmp_path: Path) -> str:
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(empty)
    return f"sqlite:///{path}"


@pytest.fixture
def enter(url: str) -> Callable[..., dict[str, Any]]:
    """Enter changes on a day; the entry EXC-1 as it is then."""

    def append(*changes: Change, days: int = 0, context: ExceptionContext = CONTEXT) -> dict[str, Any]:
        with Ledger(url) as ledger:
            at = NOW + datetime.timedelta(days=days)
            ledger.append("exceptions", changes, "clerk", at=at, context=context)
            state = ledger.get("exceptions", "EXC-1")
        return state.fields if state else {}

    return append


# ---- the book ----


def test_what_is_not_said_follows(enter: Callable[..., dict[str, Any]]) -> None:
    fields = enter(file(requester=None), approve())
    assert (fields["status"], fields["requester"], fields["approver"], fields["ticket"]) == (
        *("approved", "clerk", "kato"),
        "REQ-1",
    )
    assert (fields["valid_from"], fields["review_on"], fields["decision"]) == ("2026-11-21", "2026-12-31", "mitigate")
    assert enter(file("EXC-2", valid_until="2027-02-19"), approve("EXC-2"))["id"] == "EXC-1"


def test_the_review_is_ninety_days_on(enter: Callable[..., dict[str, Any]]) -> None:
    fields = enter(file(valid_until="2027-02-28"), context=ExceptionContext())
    assert fields["review_on"] == "2027-02-19"
    enter(approve(), context=ExceptionContext())
    review = Change("EXC-1", "review", {"reviewed_at": "2026-12-01", "reviewed_by": "mori", "review_result": "needed"})
    assert enter(review, days=10)["review_on"] == "2027-02-28"


def test_a_list_that_is_run_again_enters_nothing(url: str, enter: Callable[..., dict[str, Any]]) -> None:
    extend = Change("EXC-1", "extend", {"valid_until": "2027-02-10"}, approver="kato", ticket="REQ-2")
    review = Change("EXC-1", "review", {"reviewed_at": "2026-11-21", "reviewed_by": "mori", "review_result": "needed"})
    revoke = Change("EXC-1", "revoke", {"status_reason": "over"})
    for changes in ([file(), approve()], [extend], [review], [revoke]):
        after = enter(*changes)
        with Ledger(url) as ledger:
            count = ledger.checkpoint("exceptions").count
        assert enter(*changes, days=3) == after
        with Ledger(url) as ledger:
            assert ledger.checkpoint("exceptions").count == count


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"control": "auth-7"}, "control 'auth-7': must be the id of a control, such as AUTH-07"),
        (
            {"control": "AUTH-70"},
            "control 'AUTH-70': is no control in sight; they are AUTH-07, AUTH-09",
        ),
        ({"control": "AUTH-09"}, "control 'AUTH-09': is never excused: it opens the host (clause SM-6-1)"),
        ({"hosts": []}, "hosts"),
        ({"hosts": ["web1", "web9"]}, "hosts 'web9': is no host or group of the inventory (clause SM-6-1)"),
        ({"reason": " "}, "reason ' ': file needs it (clause SM-6-1)"),
        ({"valid_until": None}, "valid_until '': file needs it (clause SM-6-1)"),
        ({"valid_until": "soon"}, "valid_until 'soon': must be a date, YYYY-MM-DD"),
        ({"valid_until": "2026-11-20", "valid_from": "2026-11-01"}, "valid_until '2026-11-20': is over already"),
        ({"valid_until": "2026-11-20"}, "valid_until 2026-11-20 is before valid_from 2026-11-21"),
        (
            {"valid_until": "2027-02-20"},
            "is 91 days from 2026-11-21; at most 90 are allowed (kijun_",
        ),
        (
            {"review_on": "2027-01-01"},
            "review_on 2027-01-01 must be from valid_from 2026-11-21 to valid_",
        ),
        ({"measure": None}, "a mitigated exception needs measure"),
        ({"decision": "accept"}, "an accepted exception needs risk"),
        ({"decision": "hope"}, "decision 'hope'"),
        ({"approver": "kato"}, "approver 'kato': file sets only"),
    ],
)
def test_a_wrong_application_is_refused(
    enter: Callable[..., dict[str, Any]], changed: dict[str, Any], told: str
) -> None:
    with pytest.raises(Refused) as refused:
        enter(file(**changed))
    assert told in str(refused.value)
    assert "EXC-1: " in str(refused.value)


@pytest.mark.parametrize("key", ["EXC 1", "-1", "a" * 65, "EXC/1"])
def test_a_wrong_id_is_refused(enter: Callable[..., dict[str, Any]], key: str) -> None:
    with pytest.raises(Refused, match="at most 64 characters, such as EXC-2026-014"):
        enter(file(key))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (approve(approver="suzuki"), "nobody approves what they themselves asked for"),
        (approve(approver="ＳＵＺＵＫＩ"), "nobody approves what they themselves asked for"),
        (approve(approver="yamada"), "is not of the committee (kijun_exceptions_committee): kato, 森 花子"),
        (approve(approver=""), "approve needs an approver"),
        (approve(ticket=""), "approve needs an application's number"),
        (
            Change("EXC-1", "extend", {"valid_until": "2027-01-01"}, approver="kato", ticket="x"),
            "extend is for an entry",
        ),
        (Change("EXC-1", "revoke"), "revoke needs it"),
    ],
)
def test_a_wrong_decision_is_refused(enter: Callable[..., dict[str, Any]], change: Change, told: str) -> None:
    enter(file())
    with pytest.raises(Refused) as refused:
        enter(change)
    assert told in str(refused.value)
    assert "SM-6-1" in str(refused.value)


def test_who_is_of_the_committee_is_known_in_any_width(enter: Callable[..., dict[str, Any]]) -> None:
    assert enter(file(), approve(approver="森　花子"))["status"] == "approved"


def test_an_approval_comes_before_the_end_and_an_extension_counts_from_its_day(
    enter: Callable[..., dict[str, Any]],
) -> None:
    enter(file())
    with pytest.raises(Refused, match="is over already"):
        enter(approve(), days=60)
    enter(approve())
    late = Change("EXC-1", "extend", {"valid_until": "2027-04-30"}, approver="kato", ticket="REQ-2")
    with pytest.raises(Refused, match="at most 90 are allowed"):
        enter(late)
    fields = enter(late, days=80)
    assert (fields["valid_until"], fields["review_on"]) == ("2027-04-30", "2027-04-30")


def test_a_review_lies_not_in_the_future(enter: Callable[..., dict[str, Any]]) -> None:
    enter(file(), approve())
    review = Change("EXC-1", "review", {"reviewed_at": "2026-11-22", "reviewed_by": "mori", "review_result": "needed"})
    with pytest.raises(Refused, match="is in the future"):
        enter(review)


# ---- reading ----


def test_only_what_is_approved_and_has_begun_is_read(url: str, enter: Callable[..., dict[str, Any]]) -> None:
    enter(file(), approve(), file("EXC-2", control="AUTH-07"), file("EXC-3"), approve("EXC-3"))
    enter(Change("EXC-3", "revoke", {"status_reason": "over"}))
    enter(file("EXC-4", valid_from="2026-11-22"), approve("EXC-4"))
    assert [entry["id"] for entry in exceptions.read(url, TODAY)] == ["EXC-1"]
    told = exceptions.read(url, TODAY)[0]
    assert told == {
        **{name: FIELDS[name] for name in ("control", "hosts", "reason", "measure")},
        "id": "EXC-1",
        "approver": "kato",
        "ticket": "REQ-1",
        "review_on": "2026-12-31",
        "from": "2026-11-21",
        "until": "2026-12-31",
    }
    assert [entry["id"] for entry in exceptions.read(url, datetime.date(2027, 1, 1))] == ["EXC-4"]


def test_a_ledger_that_nobody_made_has_no_exceptions_and_is_not_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert exceptions.read("sqlite:///ledger/kijun.sqlite", TODAY) == []
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(Unreachable, match="there is no such file"):
        exceptions.read("sqlite:///other/kijun.sqlite", TODAY)


def test_reading_a_ledger_in_a_file_loads_no_engine(url: str) -> None:
    module = "ansible_collections.kijun.baseline.plugins.plugin_utils.exceptions"
    source = (
        f"import datetime, sys; from {module} import read; read({url!r}, datetime.date.today()); "
        "print([name for name in ('sqlalchemy', 'pydantic') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", source],
        env={"PYTHONPATH": str(tree.ROOT / "collections")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "[]\n", done.stderr


def test_the_light_reader_says_what_the_engine_says(url: str) -> None:
    with Ledger(url) as ledger:
        kijun_ledgers.fill(ledger)
        for book in ledger.books:
            assert light.entries(url, book) == [state.fields for state in ledger.states(book)]


@pytest.mark.parametrize("mutation", kijun_ledgers.MUTATIONS, ids=lambda mutation: mutation.__name__.strip("_"))
@pytest.mark.parametrize("number", [1, 3, 10])
def test_the_light_reader_refuses_what_was_altered(url: str, mutation: Callable[..., Any], number: int) -> None:
    with Ledger(url) as ledger:
        kijun_ledgers.fill(ledger)
    tampered = mutation(kijun_ledgers.read_rows(url), "accounts", number, 5)
    kijun_ledgers.take_guards_off(url)
    kijun_ledgers.write_rows(url, tampered.rows)
    for book in ("accounts", "reconciliations"):
        if book in tampered.broken:
            with pytest.raises(Broken, match=f"the book {book}: "):
                light.entries(url, book)
        else:
            assert light.entries(url, book)


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        (
            "UPDATE alembic_version SET version_num = '0001'",
            "revision 0001, not 0002; run playbooks/ledger_mig",
        ),
        ("DROP TABLE alembic_version", "revision none"),
        ("DROP TABLE heads", "no such table: heads"),
    ],
)
def test_the_light_reader_says_what_is_no_ledger_of_this_version(url: str, statement: str, told: str) -> None:
    with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
        connection.execute(statement)
    connection.close()
    with pytest.raises(Unreachable, match=told):
        light.entries(url, "exceptions")


# ---- hosts ----


def entry(key: str, until: str, *hosts: str, control: str = "AUTH-07") -> dict[str, Any]:
    return {"id": key, "control": control, "hosts": list(hosts), "until": until}


def test_a_host_has_its_own_its_groups_and_everybodys() -> None:
    entries = [
        entry("E-1", "2026-12-01", "web1", control="A-1"),
        entry("E-2", "2026-12-01", "web", "db", control="A-2"),
        entry("E-3", "2026-12-01", "all", control="A-3"),
        entry("E-4", "2026-12-01", "web2", "mail", control="A-4"),
    ]
    assert sorted(exceptions.of_host(entries, "web1", ["web", "servers"])) == ["A-1", "A-2", "A-3"]
    assert sorted(exceptions.of_host(entries, "db1", ["db"])) == ["A-2", "A-3"]


@pytest.mark.parametrize("order", [1, -1])
def test_of_two_the_one_that_lasts_longer_holds(order: int) -> None:
    entries = [entry("E-1", "2026-12-01", "web1"), entry("E-2", "2027-01-01", "web")][::order]
    assert exceptions.of_host(entries, "web1", ["web"])["AUTH-07"]["id"] == "E-2"


def test_who_is_excused() -> None:
    entries = [
        entry("E-1", "2026-11-21", "all", control="A-1"),
        entry("E-2", "2026-11-20", "all", control="A-2"),
        entry("E-3", "2026-12-31", "all", control="A-3"),
    ]
    own = exceptions.of_host(entries, "web1", [])
    assert exceptions.excused(own, TODAY, {}) == ["A-1", "A-3"]
    assert exceptions.excused(own, TODAY, {"A-1": "", "A-3": "the way in"}) == ["A-1"]


# ---- the report ----


def test_the_report_sorts_out(url: str, enter: Callable[..., dict[str, Any]]) -> None:
    ends = {"EXC-1": "2026-12-05", "EXC-2": "2026-12-06", "EXC-3": "2026-11-21"}
    enter(*(file(key, valid_until=end) for key, end in ends.items()), *map(approve, ends))
    enter(file("EXC-4", valid_until="2026-11-20", valid_from="2026-11-01"), approve("EXC-4"), days=-5)
    enter(file("EXC-5"), file("EXC-6", valid_from="2026-11-25"), approve("EXC-6"))
    enter(file("EXC-7", reason="<b>bold</b>", review_on="2026-11-21"), approve("EXC-7"))
    with Ledger(url) as ledger:
        states, verification = ledger.states("exceptions"), ledger.verify("exceptions")
    lists = sort_out(states, TODAY)
    assert {name: [fields["id"] for fields in lists[name]] for name in LISTS} == {
        "expired": ["EXC-4"],
        "expiring": ["EXC-3", "EXC-1"],
        "due": ["EXC-3", "EXC-7"],
        "waiting": ["EXC-5"],
        "in_force": ["EXC-3", "EXC-1", "EXC-2", "EXC-7"],
    }
    html = REPORT.page(lists, verification, TODAY)
    assert "例外承認台帳" in html
    assert "<b>bold</b>" not in html
    assert "EXC-6" not in html, "it has not begun"


def test_an_empty_book_has_a_report(url: str) -> None:
    with Ledger(url) as ledger:
        verification = ledger.verify("exceptions")
    lists = sort_out(list[State](), TODAY)
    assert not any(lists.values())
    assert "Exceptions" in REPORT.page(lists, verification, TODAY)
