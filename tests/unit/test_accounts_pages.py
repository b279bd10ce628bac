# SPDX-License-Identifier: GPL-3.0-or-later
"""The pages of accounts and the CSV of findings: what they hold, that nothing in them can act, and their size."""

from __future__ import annotations

import csv
import io
import json
import re
import stat
import string
from pathlib import Path
from typing import Any

import pytest
import sample_accounts as sample
from ansible_collections.kijun.baseline.plugins.plugin_utils.accounts.findings import (
    KINDS,
    NOTES,
    SEVERITIES,
    Finding,
    finding,
)
from ansible_collections.kijun.baseline.plugins.plugin_utils.accounts.pages import (
    findings_csv,
    ledger_page,
    reconciliation_page,
    write_page,
)
from ansible_collections.kijun.baseline.plugins.plugin_utils.accounts.pages import ledger as ledger_module
from ansible_collections.kijun.baseline.plugins.plugin_utils.accounts.pages import reconciliation as page_module
from ansible_collections.kijun.baseline.plugins.plugin_utils.accounts.pages.texts import TEXTS
from ansible_collections.kijun.baseline.plugins.plugin_utils.accounts.reconcile import (
    Reconciliation,
    reconcile_all,
    reconcile_host,
    unreached,
)
from ansible_collections.kijun.baseline.plugins.plugin_utils.accounts.review import Overdue
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.book import State
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.books.accounts import Account, Accounts
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.engine import Verification
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.errors import LedgerError
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.event import Event
from hypothesis import given, settings
from hypothesis import strategies as st

HEAD = "ab" * 32
HOLDS = Verification("accounts", 7, HEAD)
PAGES = Path(page_module.__file__).parent
HOSTILE = "</script><img src=x onerror=alert(1)>\u202e"


def data(page: str) -> dict[str, Any]:
    """What the page's script reads."""
    (body,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    return json.loads(body)


def table(page: str, key: str) -> dict[str, Any]:
    (found,) = [one for one in data(page)["tables"] if one["key"] == key]
    return found


def compared() -> Reconciliation:
    """Two hosts and one that was not reached, with a few findings."""
    wanted = {login: sample.entry(login, number) for number, login in enumerate(("suzuki", "tanaka"))}
    good = [sample.account(entry, 1000 + number) for number, entry in enumerate(wanted.values())]
    bad = [{**good[0], "groups": ["www", "docker"]}, {**good[1], "weak": "equals the login name"}]
    robot = sample.account(sample.entry("robot", 9), 1009)
    options = {"ignored": [{"name": "robot", "reason": "runs the automation"}]}
    return reconcile_all(
        [
            reconcile_host("web01", wanted, sample.state([*good, robot]), options),
            reconcile_host("web02", wanted, sample.state(bad, problems=["/etc/sudoers.d/x: unreadable"]), options),
            unreached("web03", "unreachable: timed out"),
        ]
    )


def comparison(found: Reconciliation | None = None) -> str:
    return reconciliation_page(
        compared() if found is None else found, run="2026-11-21T10:00:00Z", ledger_count=7, ledger_head=HEAD
    )


def many(count: int) -> Reconciliation:
    """A reconciliation of that many findings."""
    found = [finding(f"host{n % 1000:04}", f"user{n:06}", "rights", ("groups_more", "docker")) for n in range(count)]
    return Reconciliation(findings=found)


def state(login: str, status: str = "active", **changed: Any) -> State:
    fields: dict[str, Any] = {
        "login": login,
        "person": "Sample Person",
        "department": "Operations",
        "kind": "person",
        "hosts": ["web01", "web02"],
        "groups": ["www"],
        "sudo": ["restart-nginx"],
        "justification": "runs the web servers",
        "requester": "suzuki",
        "valid_from": "2026-04-01",
        "valid_until": None,
        "status": status,
        "reviewed_at": "2026-11-02",
        "reviewed_by": "head of operations",
        "review_decision": "keep",
        **changed,
    }
    return State(login, 3, 3, fields)


def event(sequence: int, login: str, version: int, action: str = "request", **payload: Any) -> Event:
    return Event(
        sequence, "accounts", login, version, action, payload, "suzuki", "head", "CHG-1", "2026-11-01T09:00:00Z"
    )


# ---- words ----


def test_both_languages_say_the_same_things() -> None:
    assert TEXTS["en"].keys() == TEXTS["ja"].keys()
    for key, english in TEXTS["en"].items():
        japanese = TEXTS["ja"][key]
        assert japanese.strip(), key
        fields = [
            {name for _text, name, _spec, _conv in string.Formatter().parse(words)} for words in (english, japanese)
        ]
        assert fields[0] == fields[1], key


def test_every_key_of_the_pages_has_words() -> None:
    for page in (comparison(), full_ledger()):
        read = data(page)
        words = read["texts"]["en"]
        keys = [key for _tone, key, _number in read["tiles"]] + [key for _tone, key, _values in read["notices"]]
        keys.append(read["title"])
        for one in read["tables"]:
            keys += [one["key"], one["note"]] + [key for key, _form, _width in one["columns"]]
            for row in one["rows"]:
                keys += said(one["columns"], row)
                for detail in row[len(one["columns"]) :][:1]:
                    keys += [key for line in detail for key in said(one["details"][1], line)]
        assert set(keys) - set(words) == set()
        assert read["texts"]["ja"].keys() == words.keys()


def said(columns: list[list[str]], row: list[Any]) -> list[str]:
    """The keys of texts that a row's cells name."""
    keys = []
    for (_key, form, _width), cell in zip(columns, row, strict=False):
        if cell is None:
            continue
        if form in ("word", "badge"):
            keys.append(cell[1] if form == "badge" else cell)
        if form in ("fields", "notes"):
            keys += [f"note_{key}" if form == "notes" else key for key, _value in cell]
    return keys


def test_every_kind_status_and_action_of_the_book_has_words() -> None:
    for language in TEXTS.values():
        assert {f"action_{action}" for action in Accounts.actions} <= language.keys()
        kinds = Account.model_fields["kind"].annotation.__args__
        assert {f"account_{kind}" for kind in kinds} <= language.keys()
        statuses = Account.model_fields["status"].annotation.__args__
        assert {f"status_{status}" for status in statuses} <= language.keys()
        assert set(statuses) == set(ledger_module.STATUSES)


def test_the_script_names_no_word_that_is_missing() -> None:
    script = (PAGES / "page.js").read_text(encoding="utf-8")
    named = set(re.findall(r'say\("(\w+)"', script))
    assert len(named) > 5
    assert named <= TEXTS["en"].keys()


# ---- reconciliation ----


def test_the_page_shows_findings_worst_first_with_their_detail() -> None:
    rows = table(comparison(), "findings")["rows"]
    assert rows == [
        [
            ["fail", "critical"],
            "kind_weak",
            "web02",
            "tanaka",
            [["guessed", "equals the login name"]],
            None,
            list(KINDS["weak"].clauses),
        ],
        [
            ["error", "high"],
            "kind_rights",
            "web02",
            "suzuki",
            [["groups_more", "docker"]],
            None,
            list(KINDS["rights"].clauses),
        ],
    ]


def test_the_page_says_what_it_does_not_speak_of() -> None:
    page = comparison()
    assert data(page)["notices"] == [["error", "unreached_notice", {"count": 1}]]
    assert table(page, "unreached")["rows"] == [["web03", "unreachable: timed out"]]
    assert table(page, "ignored")["rows"] == [["robot", "runs the automation", 1]]
    assert table(page, "problems")["rows"] == [["web02", "/etc/sudoers.d/x: unreadable"]]
    assert [row[0] for row in table(page, "hosts")["rows"]] == ["web02", "web01"]


def test_the_page_names_the_ledger_that_was_compared() -> None:
    page = comparison()
    assert f"<dd>{HEAD}</dd>" in page
    assert '<dt data-text="ledger_count">Events in the ledger</dt><dd>7</dd>' in page


def test_every_kind_is_listed_also_where_there_is_none() -> None:
    rows = table(comparison(), "by_kind")["rows"]
    numbers = {row[1]: row[2] for row in rows}
    assert numbers == {f"kind_{kind}": {"weak": 1, "rights": 1}.get(kind, 0) for kind in KINDS}


def test_agreement_is_said_and_no_host_is_no_agreement() -> None:
    wanted = {"tanaka": sample.entry("tanaka", 1)}
    host = sample.state([sample.account(wanted["tanaka"])])
    agreed = comparison(reconcile_all([reconcile_host("web01", wanted, host)]))
    assert data(agreed)["notices"] == [["pass", "agree", {"hosts": 1}]]
    assert data(comparison(Reconciliation()))["notices"] == [["error", "no_host", {}]]


def test_accounts_that_the_run_suspended_are_named() -> None:
    page = reconciliation_page(
        compared(), run="x", ledger_count=1, ledger_head=HEAD, suspended=[("tanaka", "unused since 2026-08-13")]
    )
    assert table(page, "suspended_now")["rows"] == [["tanaka", "unused since 2026-08-13"]]


# ---- ledger ----


def late(login: str, review: str, last: str, since: str) -> Overdue:
    return Overdue(login, "Sales", review, last, since, "SM-4.1.2-2")


def full_ledger() -> str:
    """A ledger of one account of each status, with every action, and overdue reviews."""
    states = [state(f"user{number}", status) for number, status in enumerate(ledger_module.STATUSES)]
    events = [event(n + 1, "user0", n + 1, action, groups=["www"]) for n, action in enumerate(Accounts.actions)]
    overdue = [late("user0", "monthly", "2026-11-02", "2026-11-07"), late("user1", "yearly", "", "2026-10-01")]
    return ledger_page(states, events, HOLDS, at="2026-11-21T10:00:00Z", overdue=overdue)


def test_the_ledgers_page_shows_an_account_in_full() -> None:
    states = [state("tanaka", kind="outsourced", contractor="Example Ltd", valid_until="2027-03-31")]
    events = [event(1, "tanaka", 1, groups=["www"]), event(2, "tanaka", 2, "approve")]
    page = ledger_page(states, events, HOLDS, at="2026-11-21T10:00:00Z")
    (row,) = table(page, "account_list")["rows"]
    by = [["actor", "suzuki"], ["field_approver", "head"], ["field_ticket", "CHG-1"]]
    assert row == [
        ["pass", "status_active"],
        "tanaka",
        "Sample Person (Example Ltd)",
        "Operations",
        "account_outsourced",
        ["web01", "web02"],
        [["field_groups", "www"], ["field_sudo", "restart-nginx"]],
        "2026-04-01 – 2027-03-31",
        [
            ["field_reviewed_at", "2026-11-02"],
            ["field_reviewed_by", "head of operations"],
            ["field_review_decision", "keep"],
        ],
        [
            ["2026-11-01T09:00:00Z", "action_approve", by, None],
            ["2026-11-01T09:00:00Z", "action_request", by, [["field_groups", "www"]]],
        ],
    ]


def test_the_ledgers_page_says_whether_the_chain_holds() -> None:
    holds = data(ledger_page([], [], HOLDS, at="x"))["notices"]
    assert holds == [["pass", "chain_holds", {"count": 7}]]
    broken = Verification("accounts", 2, HEAD, 3, "its hash is another")
    assert data(ledger_page([], [], broken, at="x"))["notices"] == [
        ["fail", "chain_broken", {"number": 3, "reason": "its hash is another"}]
    ]


def test_overdue_reviews_stand_first_and_the_oldest_above() -> None:
    tables = data(full_ledger())["tables"]
    assert [one["key"] for one in tables] == ["overdue", "account_list"]
    assert tables[0]["rows"] == [
        [["fail", "review_yearly"], "user1", "Sales", "2026-10-01", None],
        [["fail", "review_monthly"], "user0", "Sales", "2026-11-07", "2026-11-02"],
    ]


def test_a_long_history_is_cut_and_says_so() -> None:
    events = [event(number, "tanaka", number, "change") for number in range(1, 201)]
    states = [State("tanaka", 200, 200, state("tanaka").fields)]
    (row,) = table(ledger_page(states, events, HOLDS, at="x"), "account_list")["rows"]
    history = row[-1]
    assert len(history) == ledger_module.EVENTS_OF_ONE + 1
    assert history[-1] == [None, "earlier_events", [["number", str(200 - ledger_module.EVENTS_OF_ONE)]], None]


# ---- size ----


def test_a_page_of_very_many_findings_stays_usable_and_says_what_it_leaves_out() -> None:
    found = many(200_000)
    page = comparison(found)
    shown = table(page, "findings")
    assert len(shown["rows"]) == page_module.FINDINGS_SHOWN
    assert (shown["total"], shown["note"]) == (200_000, "capped_findings")
    assert len(page.encode()) < 5_000_000
    assert findings_csv(found.findings).count(b"\r\n") == 200_001


def test_a_page_of_ten_thousand_accounts_holds_them_all() -> None:
    states = [state(f"user{number:05}") for number in range(10_000)]
    events = (event(n + 1, f"user{n % 10_000:05}", n // 10_000 + 1, "review", reviewed_by="x") for n in range(200_000))
    page = ledger_page(states, events, HOLDS, at="x")
    shown = table(page, "account_list")
    assert len(shown["rows"]) == 10_000
    assert shown["total"] is None
    histories = [row[-1] for row in shown["rows"]]
    assert {len(history) for history in histories} == {3}
    assert histories[0][-1][2] == [["number", "18"]]
    assert len(page.encode()) < 12_000_000


def test_many_rows_of_the_other_tables_are_cut_with_a_note() -> None:
    found = reconcile_all(unreached(f"host{number:04}", "down") for number in range(3000))
    shown = table(comparison(found), "unreached")
    assert (len(shown["rows"]), shown["total"]) == (page_module.ROWS_SHOWN, 3000)


# ---- hostile values ----


def hostile_pages() -> dict[str, str]:
    notes = tuple((code, HOSTILE) for code in NOTES)
    found = Reconciliation(
        findings=[Finding(HOSTILE, HOSTILE, "rights", "high", notes, (HOSTILE,), HOSTILE)],
        unreached=[(HOSTILE, HOSTILE)],
        ignored={(HOSTILE, HOSTILE): 1},
        problems=[(HOSTILE, HOSTILE)],
    )
    fields = dict.fromkeys(state("x").fields, HOSTILE) | {"hosts": [HOSTILE], "groups": [HOSTILE], "sudo": []}
    told = [event(1, HOSTILE, 1, HOSTILE, **{HOSTILE: HOSTILE})]
    broken = Verification("accounts", 0, HOSTILE, 1, HOSTILE)
    overdue = [Overdue(HOSTILE, HOSTILE, "monthly", HOSTILE, HOSTILE, HOSTILE)]
    return {
        "reconciliation": reconciliation_page(found, run=HOSTILE, ledger_count=1, ledger_head=HOSTILE),
        "ledger": ledger_page([State(HOSTILE, 1, 1, fields)], told, broken, at=HOSTILE, overdue=overdue),
    }


@pytest.mark.parametrize("name", ["reconciliation", "ledger"])
def test_no_value_becomes_markup_or_stays_invisible(name: str) -> None:
    page = hostile_pages()[name]
    assert "<img" not in page
    assert "\u202e" not in page
    assert page.count("</script>") == 2
    assert "</script><img src=x onerror=alert(1)>\\u202e" in json.dumps(data(page)["tables"]).replace("\\\\", "\\")


@pytest.mark.parametrize("page", [comparison(), full_ledger()], ids=["reconciliation", "ledger"])
def test_the_page_asks_for_nothing_and_allows_only_its_own_script(page: str) -> None:
    assert not re.findall(r'(?:src|href)="(?!#|data:,)', page)
    assert "url(" not in page
    assert "@import" not in page
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]+)"', page)
    assert "default-src 'none'" in policy
    assert len(re.findall(r"'sha256-[A-Za-z0-9+/]{43}='", policy)) == 2


# ---- CSV ----


def read_csv(content: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")))


def test_the_csv_holds_every_finding_in_the_readers_language() -> None:
    content = findings_csv(compared().findings, "ja")
    assert content.startswith(b"\xef\xbb\xbf")
    assert read_csv(content) == [
        ["重要度", "種別", "ホスト", "ログイン名", "内容", "起点", "条項"],
        ["重大", "弱いパスワード", "web02", "tanaka", "equals the login name", "", ", ".join(KINDS["weak"].clauses)],
        ["高", "権限の相違", "web02", "suzuki", "余分なグループ: docker", "", ", ".join(KINDS["rights"].clauses)],
    ]


def test_a_finding_that_spans_hosts_says_so_in_the_csv() -> None:
    rows = read_csv(findings_csv([finding("", "tanaka", "second_account", ("person", "x"))]))
    assert rows[1][2] == "several"


@settings(deadline=None)  # a busy machine is no failure
@given(st.sampled_from("=+-@\t\r\n＝＋－＠"), st.text(max_size=20), st.sampled_from(SEVERITIES))
def test_no_cell_is_a_formula(first: str, rest: str, severity: str) -> None:
    found = Finding(first + rest, first + rest, "weak", severity, (("guessed", first + rest),), (), first + rest)
    for row in read_csv(findings_csv([found]))[1:]:
        assert [cell for cell in row if cell[:1] in "=+-@\t\r\n＝＋－＠" and cell] == []


# ---- files ----


def test_a_page_is_written_whole_for_its_owner_alone(tmp_path: Path) -> None:
    target = tmp_path / "accounts.html"
    target.write_text("earlier", encoding="utf-8")
    write_page(target, "<p>\udc80</p>")
    assert target.read_bytes() == b"<p>\\udc80</p>"
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    write_page(target, b"\xef\xbb\xbfa")
    assert target.read_bytes() == b"\xef\xbb\xbfa"
    assert [path.name for path in tmp_path.iterdir()] == ["accounts.html"]


def test_a_page_that_cannot_be_written_leaves_the_earlier_one(tmp_path: Path) -> None:
    (tmp_path / "accounts.html").mkdir()
    with pytest.raises(LedgerError, match="cannot be written"):
        write_page(tmp_path / "accounts.html", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["accounts.html"]
