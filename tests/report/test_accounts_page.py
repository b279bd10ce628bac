# SPDX-License-Identifier: GPL-3.0-or-later
"""The pages of accounts in a real headless Chromium. Screenshots are left in reports/screenshots to be looked at."""

from __future__ import annotations

import importlib.resources
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import sample_accounts as sample
import test_page as report_page
from ansible_collections.kijun.baseline.plugins.plugin_utils.accounts.findings import NOTES, Finding, finding
from ansible_collections.kijun.baseline.plugins.plugin_utils.accounts.pages import (
    ledger_page,
    reconciliation_page,
    write_page,
)
from ansible_collections.kijun.baseline.plugins.plugin_utils.accounts.pages.texts import TEXTS
from ansible_collections.kijun.baseline.plugins.plugin_utils.accounts.reconcile import (
    Reconciliation,
    reconcile_all,
    reconcile_host,
    unreached,
)
from ansible_collections.kijun.baseline.plugins.plugin_utils.accounts.review import Overdue
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.book import State
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.engine import Verification
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.event import Event
from selenium import webdriver
from selenium.webdriver.common.keys import Keys

HEAD = "ab" * 32
AT = "2026-11-21T10:00:00Z"
HOSTILE = report_page.HOSTILE
NAMES = ("reconciliation", "ledger")

browser = report_page.browser


def comparison() -> Reconciliation:
    """A dozen hosts, of which one was not reached, with findings of most kinds."""
    results = []
    for one in sample.fleet(11, 20, bad=0.12, persons=40):
        accounts = one.state["accounts"]
        robot = sample.account(sample.entry("robot", 900), 3000)
        accounts.append(robot)
        first, second = (next(iter(list(one.expected.values())[n:])) for n in (0, 1))
        first.update(state="locked", reason="suspended: leaves the company on 2026-11-20")
        second["groups"] = ["www"]
        options = {"ignored": [{"name": "robot", "reason": "runs the automation"}]}
        results.append(reconcile_host(one.host, one.expected, one.state, options))
    results.append(unreached("host0011", "unreachable: Connection timed out"))
    return reconcile_all(results)


def state(login: str, status: str = "active", version: int = 1, **changed: Any) -> State:
    fields = {
        "person": "Sample Person",
        "department": "Operations",
        "kind": "person",
        "hosts": ["web_servers", "db01.example.com"],
        "groups": ["www"],
        "sudo": ["restart-nginx"],
        "valid_from": "2026-04-01",
        "valid_until": None,
        "reviewed_at": "2026-11-02",
        "reviewed_by": "head of operations",
        "review_decision": "keep",
        "status": status,
        **changed,
    }
    return State(login, version, version, fields)


def event(sequence: int, login: str, version: int, action: str, **payload: Any) -> Event:
    return Event(sequence, "accounts", login, version, action, payload, "suzuki", "head", "CHG-1", AT)


def small_ledger() -> str:
    states = [
        state("tanaka", version=3),
        state("sato", "suspended", kind="outsourced", contractor="Example Ltd", valid_until="2027-03-31"),
        state("backup-job", kind="batch", groups=[], sudo=[], reviewed_at=None, reviewed_by="", review_decision=""),
        state("suzuki", "requested", kind="administrator", groups=["sudo"]),
    ]
    events = [
        event(1, "tanaka", 1, "request", groups=["www"], hosts=["web_servers"]),
        event(2, "sato", 1, "request", contractor="Example Ltd"),
        event(3, "tanaka", 2, "approve"),
        event(4, "tanaka", 3, "review", reviewed_by="head of operations", review_decision="keep"),
    ]
    overdue = [
        Overdue("tanaka", "Operations", "monthly", "2026-10-01", "2026-11-07", ""),
        Overdue("sato", "Operations", "yearly", "", "2026-10-31", ""),
    ]
    return ledger_page(states, events, Verification("accounts", 4, HEAD), at=AT, overdue=overdue)


def large_ledger() -> str:
    states = [state(f"user{number:05}") for number in range(10_000)]
    events = (event(n + 1, f"user{n % 10_000:05}", n // 10_000 + 1, "review", reviewed_by="x") for n in range(200_000))
    return ledger_page(states, events, Verification("accounts", 200_000, HEAD), at=AT)


def large_comparison() -> Reconciliation:
    found = [finding(f"host{n % 1000:04}", f"user{n:06}", "rights", ("groups_more", "docker")) for n in range(200_000)]
    return Reconciliation(findings=found)


def hostile() -> dict[str, str]:
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
        "hostile-reconciliation": comparison_page(found, HOSTILE),
        "hostile-ledger": ledger_page([State(HOSTILE, 1, 1, fields)], told, broken, at=HOSTILE, overdue=overdue),
    }


def comparison_page(found: Reconciliation, run: str = AT) -> str:
    return reconciliation_page(found, run=run, ledger_count=4, ledger_head=HEAD)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[report_page.Pages]:
    directory = tmp_path_factory.mktemp("accounts")
    pages = {
        "reconciliation": comparison_page(comparison()),
        "ledger": small_ledger(),
        "large-reconciliation": comparison_page(large_comparison()),
        "large-ledger": large_ledger(),
        **hostile(),
    }
    for name, content in pages.items():
        place = directory / name / "latest"
        place.mkdir(parents=True)
        write_page(place / "report.html", content)
    with report_page.Pages(Path(directory)) as served:
        Thread(target=served.serve_forever, daemon=True).start()
        yield served
        served.shutdown()


@pytest.fixture
def page(browser: webdriver.Chrome, server: report_page.Pages) -> Iterator[report_page.Page]:
    """A page; whatever a test does with it, the browser must have nothing to complain about."""
    page = report_page.Page(browser, f"http://127.0.0.1:{server.server_port}")
    page.open("ledger")
    page.run("localStorage.clear()")
    yield page
    page.command("Emulation.setScriptExecutionDisabled", value=False)
    assert page.complaints() == []


def logins(page: report_page.Page) -> list[str]:
    return [cell.text for cell in page.all("#tables section:last-of-type tbody th")]


# ---- words ----


@pytest.mark.parametrize("name", NAMES)
def test_the_language_is_switched_and_remembered(page: report_page.Page, name: str) -> None:
    page.open(name)
    assert page.one("h1").text == TEXTS["en"][name]
    page.one("[data-language=ja]").click()
    assert page.one("html").get_attribute("lang") == "ja"
    assert page.one("h1").text == TEXTS["ja"][name]
    assert page.browser.title == f"{TEXTS['ja'][name]} · {AT}"
    page.open(name)
    assert page.one("h1").text == TEXTS["ja"][name]


@pytest.mark.parametrize("language", ["en", "ja"])
@pytest.mark.parametrize("name", NAMES)
def test_no_word_of_the_other_language_is_left(page: report_page.Page, name: str, language: str) -> None:
    page.open(name, f"?lang={language}")
    other = TEXTS["ja" if language == "en" else "en"]
    visible = page.one("main").text
    assert TEXTS[language]["overview"] in visible
    for key in ("overview", "reset", "findings", "by_kind", "unreached", "status_active", "rights", "history"):
        assert other[key] not in visible.replace("Differing rights", ""), key
    own_remark, other_remark = ("groups more: ", "余分なグループ: ")[:: 1 if language == "en" else -1]
    if name == "reconciliation":
        assert own_remark in visible
        assert other_remark not in visible


# ---- what is shown and found ----


def test_the_worst_findings_stand_first_with_what_differs(page: report_page.Page) -> None:
    page.open("reconciliation")
    first = page.one("#tables section tbody tr")
    assert first.text.startswith("✕\ncritical") or first.text.startswith("✕ critical")
    assert "Leaver still active" in first.text
    assert "ledger: suspended: leaves the company on 2026-11-20" in first.text
    assert "Hosts not reached: 1." in page.one(".notice").text


def test_search_and_choice_find_findings_in_both_languages(page: report_page.Page) -> None:
    page.open("reconciliation")
    total = page.shown().split(" of ")[1]
    page.one("#choice option[value=kind_leaver]").click()
    assert len(page.all("#tables section:first-of-type tbody tr")) == 11
    page.one("#filters [type=reset]").click()
    page.search("退職 host0003", f"Rows that match: 1 of {total}")
    page.search("there is no such thing", f"Rows that match: 0 of {total}")
    assert "Nothing matches the filters." in page.one("#tables section").text
    # What was looked for stays, whatever is searched.
    assert len(page.all("#tables section:nth-of-type(2) tbody tr")) == 16


def test_an_account_unfolds_its_history(page: report_page.Page) -> None:
    page.open("ledger")
    assert "The chain holds. Events: 4." in page.one(".notice").text
    page.search("tanaka", "Rows that match: 2 of 6.")
    page.one(".history summary").click()
    page.wait(lambda: len(page.all(".history li")) == 3, lambda: "the history was not drawn")
    assert [line.text for line in page.all(".history li")] == [
        "2026-11-21 10:00:00 UTC · review · Actor: suzuki · Approver: head · Ticket: CHG-1 · "
        "Decision of review: keep · Reviewed by: head of operations",
        "2026-11-21 10:00:00 UTC · approve · Actor: suzuki · Approver: head · Ticket: CHG-1",
        "2026-11-21 10:00:00 UTC · request · Actor: suzuki · Approver: head · Ticket: CHG-1 · "
        "Groups: www · Hosts: web_servers",
    ]


def test_accounts_are_chosen_by_status(page: report_page.Page) -> None:
    page.open("ledger")
    assert logins(page) == ["backup-job", "tanaka", "suzuki", "sato"]
    page.one("#choice option[value=status_suspended]").click()
    assert logins(page) == ["sato"]


# ---- everybody can use it ----


def test_show_more_moves_the_focus_to_what_is_new(page: report_page.Page) -> None:
    page.open("large-reconciliation")
    rows = "#tables section:first-of-type tbody tr"
    assert len(page.all(rows)) == 100
    page.run("document.querySelector('.more-button').focus()")
    page.browser.switch_to.active_element.send_keys(Keys.ENTER)
    assert len(page.all(rows)) == 200
    assert page.run(f"return document.activeElement === document.querySelectorAll('{rows}')[100]")


def test_everything_is_reached_by_the_keyboard_alone(page: report_page.Page) -> None:
    page.open("ledger")
    reached = []
    for _ in range(7):
        page.browser.switch_to.active_element.send_keys(Keys.TAB)
        reached.append(page.focused())
    assert reached == ["skip script", "en", "ja", "query", "choice", "quiet", "SUMMARY"]
    page.browser.switch_to.active_element.send_keys(Keys.ENTER)
    page.wait(lambda: len(page.all(".history li")) > 0, lambda: "the history was not drawn")


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize(("width", "language"), [(1280, "en"), (1280, "ja"), (390, "ja")])
@pytest.mark.parametrize("name", NAMES)
def test_axe_finds_nothing(page: report_page.Page, name: str, width: int, language: str, dark: bool) -> None:
    page.open(name, f"?lang={language}", width=width, dark=dark)
    for summary in page.all(".history summary")[:1]:
        summary.click()
        page.wait(lambda: len(page.all(".history li")) > 0, lambda: "the history was not drawn")
    # The page's own policy lets no other script in; the audit tool is run by the browser itself.
    source = importlib.resources.files("axe_core_python").joinpath("axe.min.js").read_text(encoding="utf-8")
    page.command("Runtime.evaluate", expression=source)
    found = page.browser.execute_async_script("axe.run(document).then(arguments[arguments.length - 1])")
    page.picture(f"accounts-{name}-{width}-{language}-{'dark' if dark else 'light'}")
    assert [(rule["id"], [node["html"] for node in rule["nodes"]][:3]) for rule in found["violations"]] == []
    assert len(found["passes"]) > 20
    assert page.run("return document.documentElement.scrollWidth") <= width


# ---- nothing gets in, nothing gets out ----


@pytest.mark.parametrize("name", NAMES)
def test_hostile_text_does_nothing(page: report_page.Page, name: str) -> None:
    page.open(f"hostile-{name}")
    for summary in page.all(".history summary"):
        summary.click()
        page.wait(lambda: len(page.all(".history li")) > 0, lambda: "the history was not drawn")
    assert page.one("#tables").text.count(HOSTILE) > 5
    time.sleep(0.2)
    assert page.all("img, svg, main script") == []
    assert "caught" not in page.browser.title.replace(HOSTILE, "")


@pytest.mark.parametrize("name", NAMES)
def test_hostile_text_does_nothing_without_javascript(page: report_page.Page, name: str) -> None:
    page.command("Emulation.setScriptExecutionDisabled", value=True)
    page.open(f"hostile-{name}")
    assert HOSTILE in page.one("noscript table").text
    assert page.all("img, svg") == []


@pytest.mark.parametrize("name", NAMES)
def test_the_page_asks_for_nothing_but_itself(page: report_page.Page, server: report_page.Pages, name: str) -> None:
    page.browser.get("about:blank")
    page.command("Network.clearBrowserCache")
    page.browser.get_log("performance")
    server.requests.clear()
    page.open(name)
    page.one("[data-language=ja]").click()
    assert server.requests == [f"/{name}/latest/report.html"]
    asked = [
        entry["message"]
        for entry in page.browser.get_log("performance")
        if '"Network.requestWillBeSent"' in entry["message"]
    ]
    assert len(asked) >= 1
    assert all("report.html" in message or "about:blank" in message or '"data:,"' in message for message in asked)


# ---- paper, no script, very much ----


def test_paper_shows_the_rows_and_no_controls(page: report_page.Page) -> None:
    page.open("large-reconciliation")
    section = "#tables section:first-of-type"
    page.run(
        "addEventListener('beforeprint', () => { window.printed = ["
        f"document.querySelectorAll('{section} tbody tr').length,"
        f"document.querySelector('{section} .note:last-child').textContent]; }})"
    )
    page.run("dispatchEvent(new Event('beforeprint'))")
    assert page.run("return window.printed") == [2000, "Rows that are not printed: 8,000."]
    page.run("dispatchEvent(new Event('afterprint'))")
    page.open("ledger")
    page.command("Emulation.setEmulatedMedia", media="print")
    for selector in ("#filters", ".languages", ".skip"):
        assert not page.one(selector).is_displayed(), selector
    assert page.run("return getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    page.picture("accounts-ledger-print")


def test_without_javascript_there_are_tables_in_both_languages(page: report_page.Page) -> None:
    page.command("Emulation.setScriptExecutionDisabled", value=True)
    page.open("reconciliation")
    shown = page.one("noscript").text
    assert "critical / 重大 Leaver still active / 退職・停止者のアカウントが有効" in shown
    assert "host0011 unreachable: Connection timed out" in shown
    assert not page.one("#filters").is_displayed()
    page.picture("accounts-no-javascript")


def test_very_many_findings_open_and_filter_quickly(page: report_page.Page) -> None:
    started = time.monotonic()
    page.open("large-reconciliation")
    assert page.shown() == "Rows that match: 10,000 of 10,000."
    assert "The 10,000 worst of 200,000 findings." in page.one("#tables section .note").text
    page.search("host0432 user000432", "Rows that match: 1 of 10,000.")
    assert time.monotonic() - started < 5


def test_ten_thousand_accounts_open_and_filter_quickly(page: report_page.Page) -> None:
    started = time.monotonic()
    page.open("large-ledger")
    assert page.shown() == "Rows that match: 10,000 of 10,000."
    page.search("user09999", "Rows that match: 1 of 10,000.")
    assert logins(page) == ["user09999"]
    assert time.monotonic() - started < 5
