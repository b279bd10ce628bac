# SPDX-License-Identifier: GPL-3.0-or-later
"""The report's page in a real headless Chromium. Screenshots are left in reports/screenshots to be looked at."""

from __future__ import annotations

import base64
import importlib.resources
import time
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import sample
from ansible_collections.kijun.baseline.plugins.plugin_utils.report import (
    Report,
    clause_titles,
    unaudited_record,
    write_run,
)
from ansible_collections.kijun.baseline.plugins.plugin_utils.report.texts import TEXTS
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

SCREENSHOTS = Path(__file__).parents[2] / "reports" / "screenshots"

# Each works in a place of its own, and none may do anything.
HOSTILE = "</script><img src=x onerror=\"document.title='caught'\"><svg onload=\"document.title='caught'\">"

FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --hide-scrollbars --lang=en-US"
)


class Pages(ThreadingHTTPServer):
    """Serves the rendered runs on the loopback address, and remembers what was asked for."""

    requests: list[str]

    def __init__(self, directory: Path) -> None:
        self.requests = []
        asked = self.requests

        class Handler(SimpleHTTPRequestHandler):
            def __init__(self, *arguments: Any) -> None:
                super().__init__(*arguments, directory=str(directory))

            def end_headers(self) -> None:
                # A browser keeps a page that has not changed for long, and then asks for nothing.
                self.send_header("Cache-Control", "no-store")
                super().end_headers()

            def log_message(self, format: str, *arguments: Any) -> None:
                asked.append(self.path)

        super().__init__(("127.0.0.1", 0), Handler)


class Page:
    """The page in a browser, with the few gestures the tests make."""

    def __init__(self, browser: webdriver.Chrome, address: str) -> None:
        self.browser = browser
        self.address = address

    def open(self, name: str, suffix: str = "", width: int = 1280, height: int = 900, dark: bool = False) -> None:
        self.command(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.command("Emulation.setEmulatedMedia", media="", features=[scheme])
        self.browser.get("about:blank")
        self.browser.get(f"{self.address}/{name}/latest/report.html{suffix}")

    def command(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self.browser.execute_cdp_cmd(method, parameters)

    def all(self, selector: str) -> list[Any]:
        return self.browser.find_elements(By.CSS_SELECTOR, selector)

    def one(self, selector: str) -> Any:
        return self.browser.find_element(By.CSS_SELECTOR, selector)

    def run(self, script: str, *arguments: Any) -> Any:
        return self.browser.execute_script(script, *arguments)

    def groups(self) -> list[str]:
        return self.run(
            "return [...document.querySelectorAll('[role=tabpanel]:not([hidden]) .group > summary .name')]"
            ".map(e => e.textContent)"
        )

    def shown(self) -> str:
        return self.run("return document.getElementById('shown').textContent")

    def search(self, words: str, expected: str) -> None:
        """Type into the search field, and wait for the line of counts to say what is expected."""
        # clear() makes no input event, which is what a person's hand makes.
        self.one("#query").send_keys(Keys.CONTROL, "a", Keys.NULL, Keys.BACKSPACE, words)
        self.wait(lambda: self.shown() == expected, lambda: self.shown())

    def wait(self, condition: Any, said: Any) -> None:
        end = time.monotonic() + 5
        while not condition():
            assert time.monotonic() < end, said()
            time.sleep(0.02)

    def unfold(self, *summaries: Any) -> None:
        """Open groups, and wait until they are drawn: the browser tells the page of it a moment later."""
        for summary in summaries:
            summary.click()
        opened = "document.querySelectorAll('.group[open] > .body').length"
        self.wait(lambda: self.run(f"return {opened}") >= len(summaries), lambda: "the groups were not drawn")

    def focused(self) -> str:
        return self.run(
            "const e = document.activeElement; return e.id || e.dataset.language || e.className || e.tagName"
        )

    def complaints(self) -> list[str]:
        return [entry["message"] for entry in self.browser.get_log("browser")]

    def picture(self, name: str) -> None:
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        height = self.run("return document.documentElement.scrollHeight")
        width = self.run("return innerWidth")
        clip = {"x": 0, "y": 0, "width": width, "height": min(height, 2200), "scale": 1}
        image = self.command("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)["data"]
        (SCREENSHOTS / f"{name}.png").write_bytes(base64.b64decode(image))


def build(records: dict[str, Any], identifier: str) -> Report:
    report = Report(sample.run(identifier))
    for name, record in records.items():
        report.add(name, record)
    return report


def hostile_report() -> Report:
    record = sample.record("x", ["fail", "not_applicable"])
    record["host"].update(os=HOSTILE, kernel=HOSTILE, groups=[HOSTILE])
    record["controls"][0].update(
        id=HOSTILE, title={"en": HOSTILE, "ja": HOSTILE}, area=HOSTILE, clauses=[HOSTILE], reason=HOSTILE
    )
    record["controls"][0]["checks"][0].update(
        fact=HOSTILE, op=HOSTILE, expected=HOSTILE, actual=HOSTILE, detail=HOSTILE
    )
    record["problems"] = [{"file": HOSTILE, "line": 1, "problem": HOSTILE}]
    return build({HOSTILE: record}, "20261121T101500Z")


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rendered runs: stock (one host not audited), compared (with stock), hostile, large."""
    directory = tmp_path_factory.mktemp("runs")
    stock = build(sample.stock_fleet(), "20261120T101500Z")
    stock.add("time1", unaudited_record("time1", ["servers"], "unreachable: Connection refused", sample.STARTED))
    write_run(directory / "stock", stock, clause_titles())
    write_run(directory / "compared", build(sample.enforced_fleet(), "20261121T101500Z"), clause_titles(), before=stock)
    write_run(directory / "hostile", hostile_report(), {HOSTILE: HOSTILE})
    write_run(directory / "large", build(sample.large_fleet(), "20261121T101500Z"), clause_titles())
    return directory


@pytest.fixture(scope="session")
def server(runs: Path) -> Iterator[Pages]:
    with Pages(runs) as pages:
        Thread(target=pages.serve_forever, daemon=True).start()
        yield pages
        pages.shutdown()


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for flag in [*FLAGS.split(), f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))
    yield driver
    driver.quit()


@pytest.fixture
def page(browser: webdriver.Chrome, server: Pages) -> Iterator[Page]:
    """A page; whatever a test does with it, the browser must have nothing to complain about."""
    page = Page(browser, f"http://127.0.0.1:{server.server_port}")
    page.open("stock")
    page.run("localStorage.clear()")
    yield page
    page.command("Emulation.setScriptExecutionDisabled", value=False)
    assert page.complaints() == []


# ---- languages ----


def test_the_page_starts_in_the_browsers_language(page: Page) -> None:
    page.open("stock")
    assert page.one("html").get_attribute("lang") == "en"
    assert page.one("h1").text == TEXTS["en"]["title"]
    assert page.browser.title == "Security baseline audit · 20261120T101500Z"


@pytest.mark.parametrize("suffix", ["?lang=ja", "#lang=ja"])
def test_the_address_chooses_the_language(page: Page, suffix: str) -> None:
    page.open("stock", suffix)
    assert page.one("html").get_attribute("lang") == "ja"
    assert page.one("h1").text == TEXTS["ja"]["title"]
    assert "認証" not in page.groups()
    page.one("#tab-area").click()
    assert page.groups() == ["認証", "時刻同期"]


def test_an_unknown_language_is_passed_over(page: Page) -> None:
    page.open("stock", "?lang=constructor")
    assert page.one("html").get_attribute("lang") == "en"


def test_the_chosen_language_is_remembered_and_nothing_is_lost_by_choosing(page: Page) -> None:
    page.open("compared")
    page.search("AUTH-07", "Showing 5 results on 5 hosts.")
    page.unfold(page.one(".group > summary"))
    page.one("[data-language=ja]").click()
    assert page.shown() == "5 台のホスト、5 件の結果を表示しています。"
    assert "連続10回の認証失敗でアカウントを停止する" in page.one(".group[open] table").text
    assert page.focused() == "ja"
    assert [button.get_attribute("aria-pressed") for button in page.all("[data-language]")] == ["false", "true"]
    page.open("compared")
    assert page.one("html").get_attribute("lang") == "ja"


@pytest.mark.parametrize("language", ["en", "ja"])
def test_no_word_of_the_other_language_is_left(page: Page, language: str) -> None:
    page.open("compared", f"?lang={language}")
    other = TEXTS["ja" if language == "en" else "en"]
    visible = page.one("main").text
    for key in ("overview", "verdicts", "pass", "fail", "by_area", "reset", "expected", "unchanged", "search"):
        assert other[key] not in visible, key


# ---- views ----


def test_hosts_are_shown_worst_first_with_what_was_not_audited(page: Page) -> None:
    page.open("stock")
    assert page.groups() == ["client12", "client13", "server12", "server13", "time1"]
    assert page.all(".group")[4].text.split("\n") == ["time1", "unreachable: Connection refused", "?", "Not audited"]
    assert page.shown() == "Showing 48 results on 5 hosts."


def test_a_host_shows_failures_first_and_expected_beside_actual(page: Page) -> None:
    page.open("stock")
    page.unfold(page.all(".group > summary")[3])
    headings = [cell.text for cell in page.all(".group[open] thead th")]
    assert headings == ["Verdict", "Control", "Setting", "Expected", "Actual"]
    verdicts = [cell.text.replace("\n", " ") for cell in page.all(".group[open] td.verdict")]
    assert verdicts == ["✕ Fail"] + ["✓ Pass"] * 11
    first = page.one(".group[open] tbody")
    assert [cell.text for cell in first.find_elements(By.CSS_SELECTOR, "td.value-cell")] == [
        "faillock.deny",
        "10",
        "✕ 3",
        "faillock.unlock_time",
        "0",
        "✕ 600",
    ]


def test_lines_that_could_not_be_read_are_shown(page: Page) -> None:
    page.open("stock")
    page.unfold(page.all(".group > summary")[0])
    assert "/etc/passwd 7 6 fields where 7 belong" in page.one(".group[open]").text


def test_areas_gather_hosts_that_answer_alike(page: Page) -> None:
    page.open("stock")
    page.one("#tab-area").click()
    assert page.groups() == ["Authentication", "Time synchronisation"]
    page.unfold(page.one("#view-area .group > summary"))
    first = page.one("#view-area .group[open] tbody")
    assert "4 · client12, client13, server12, server13" in first.text
    assert "time1" in page.one(".unaudited-list").text


def test_clauses_are_shown_with_their_titles(page: Page) -> None:
    page.open("stock", "?lang=ja")
    page.one("#tab-clause").click()
    assert page.groups()[0] == "ST-8-1"
    about = page.one("#view-clause .about")
    assert about.text == sample.CLAUSES["ST-8-1"]
    # The register has its titles in English only; a screen reader is told so.
    assert about.get_attribute("lang") == "en"


def test_two_runs_are_compared(page: Page) -> None:
    page.open("compared")
    tiles = [tile.text.replace("\n", " ") for tile in page.all("#overview .compared + .tiles .tile")]
    assert tiles == ["1 ↓ Regressed", "33 ↑ Fixed", "2 ~ Changed", "12 + New", "12 = Unchanged"]
    page.one("#change option[value=regressed]").click()
    assert page.groups() == ["server13"]
    page.unfold(page.one(".group > summary"))
    assert [cell.text for cell in page.all(".group[open] thead th")] == [
        "Verdict",
        "Control",
        "Setting",
        "Expected",
        "Before",
        "Now",
    ]
    assert page.one(".group[open] td.verdict").text.split("\n") == ["✕", "Fail", "↓", "Regressed", "was: Pass"]
    assert [cell.text for cell in page.all(".group[open] tbody tr:first-child td.value-cell")] == [
        "pwquality.ucredit",
        "≤ -1",
        "-1",
        "✕ 0",
    ]


# ---- filters ----


def test_search_finds_hosts_controls_clauses_settings_and_values(page: Page) -> None:
    page.open("stock")
    page.search("server12", "Showing 12 results on 1 hosts.")
    page.search("auth-07", "Showing 4 results on 4 hosts.")
    page.search("SM-4.1.5-1-6 client", "Showing 2 results on 2 hosts.")
    page.search("停止する", "Showing 4 results on 4 hosts.")
    page.search("debian.pool", "Showing 3 results on 3 hosts.")
    page.search("there is no such thing", "Showing 0 results on 0 hosts.")
    assert page.one("#view-host").text == "Nothing matches the filters."


def test_verdicts_filter_and_reset_brings_everything_back(page: Page) -> None:
    page.open("compared")
    for kind in ("pass", "fail", "error", "not_applicable"):
        page.one(f"#verdicts input[value={kind}]").click()
    assert page.shown() == "Showing 1 results on 1 hosts."
    assert page.groups() == ["client12"]
    page.one("#filters [type=reset]").click()
    assert page.shown() == "Showing 60 results on 5 hosts."
    assert all(box.is_selected() for box in page.all("#verdicts input"))


# ---- keyboard and screen readers ----


def test_tabs_are_worked_with_arrow_keys(page: Page) -> None:
    page.open("stock")
    page.run("document.getElementById('tab-host').focus()")
    expected = [
        (Keys.ARROW_RIGHT, "area"),
        (Keys.END, "clause"),
        (Keys.ARROW_RIGHT, "host"),
        (Keys.ARROW_LEFT, "clause"),
        (Keys.HOME, "host"),
    ]
    for key, view in expected:
        page.browser.switch_to.active_element.send_keys(key)
        assert page.focused() == f"tab-{view}"
        assert [tab.get_attribute("aria-selected") for tab in page.all("[role=tab]")].count("true") == 1
        assert page.one(f"#view-{view}").is_displayed()
        assert page.one(f"#tab-{view}").get_attribute("tabindex") == "0"


def test_everything_is_reached_by_the_keyboard_alone(page: Page) -> None:
    page.open("stock")
    reached = []
    for _ in range(16):
        page.browser.switch_to.active_element.send_keys(Keys.TAB)
        reached.append(page.focused())
        assert page.run(
            "const focused = document.activeElement;"
            "return getComputedStyle(focused).outlineStyle !== 'none' || focused.matches('.skip')"
        )
    assert reached[:4] == ["skip script", "en", "ja", "query"]
    assert "tab-host" in reached
    assert "tab-area" not in reached
    page.run("document.querySelector('.group > summary').focus()")
    page.browser.switch_to.active_element.send_keys(Keys.ENTER)
    assert len(page.all(".group[open]")) == 1


def test_the_skip_link_leads_to_the_results(page: Page) -> None:
    page.open("stock")
    page.browser.switch_to.active_element.send_keys(Keys.TAB)
    page.picture("skip-link")
    page.browser.switch_to.active_element.send_keys(Keys.ENTER)
    assert page.focused() == "results"


def test_show_more_moves_the_focus_to_what_is_new(page: Page) -> None:
    page.open("large")
    assert len(page.all(".group")) == 100
    page.run("document.querySelector('.more-button').focus()")
    page.browser.switch_to.active_element.send_keys(Keys.ENTER)
    assert len(page.all(".group")) == 200
    assert page.run("return document.activeElement === document.querySelectorAll('.group > summary')[100]")


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize(("width", "language"), [(1280, "en"), (390, "ja")])
@pytest.mark.parametrize("view", ["host", "area", "clause"])
def test_axe_finds_nothing(page: Page, view: str, width: int, language: str, dark: bool) -> None:
    page.open("compared", f"?lang={language}", width=width, dark=dark)
    page.one(f"#tab-{view}").click()
    page.unfold(*page.all(f"#view-{view} .group > summary")[:3])
    page.run("document.getElementById('tab-host').blur()")
    # The page's own policy lets no other script in; the audit tool is run by the browser itself.
    source = importlib.resources.files("axe_core_python").joinpath("axe.min.js").read_text(encoding="utf-8")
    page.command("Runtime.evaluate", expression=source)
    found = page.browser.execute_async_script("axe.run(document).then(arguments[arguments.length - 1])")
    page.picture(f"{view}-{width}-{language}-{'dark' if dark else 'light'}")
    assert [(rule["id"], [node["html"] for node in rule["nodes"]][:3]) for rule in found["violations"]] == []
    assert len(found["passes"]) > 20
    assert page.run("return document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("view", ["host", "area"])
def test_no_cell_covers_another(page: Page, view: str, width: int) -> None:
    page.open("compared", width=width)
    page.one(f"#tab-{view}").click()
    page.unfold(page.one(f"#view-{view} .group > summary"))
    boxes = page.run(
        "return [...document.querySelectorAll('.group[open] tbody :is(td, th)')]"
        ".map((cell) => cell.getBoundingClientRect())"
        ".map((box) => [box.left, box.top, box.right, box.bottom])"
    )
    assert len(boxes) > 50
    for number, (left, top, right, bottom) in enumerate(boxes):
        for other in boxes[number + 1 :]:
            apart = other[0] >= right - 1 or other[2] <= left + 1 or other[1] >= bottom - 1 or other[3] <= top + 1
            assert apart, (boxes[number], other)


# ---- nothing gets in, nothing gets out ----


@pytest.mark.parametrize("view", ["host", "area", "clause"])
def test_hostile_text_does_nothing(page: Page, view: str) -> None:
    page.open("hostile")
    page.one(f"#tab-{view}").click()
    page.unfold(*page.all(f"#view-{view} .group > summary"))
    assert page.groups()[0] in (HOSTILE, HOSTILE.replace("_", " "))
    assert HOSTILE in page.one(f"#view-{view} table").text
    time.sleep(0.2)
    assert page.all("img, svg, main script") == []
    assert "caught" not in page.browser.title.replace(HOSTILE, "")


def test_hostile_text_does_nothing_without_javascript(page: Page) -> None:
    page.command("Emulation.setScriptExecutionDisabled", value=True)
    page.open("hostile")
    assert HOSTILE in page.one("noscript table").text
    assert page.all("img, svg") == []


def test_the_page_asks_for_nothing_but_itself(page: Page, server: Pages) -> None:
    page.browser.get("about:blank")
    page.browser.get_log("performance")
    server.requests.clear()
    page.open("compared")
    for view in ("area", "clause"):
        page.one(f"#tab-{view}").click()
        page.unfold(page.one(f"#view-{view} .group > summary"))
    assert server.requests == ["/compared/latest/report.html"]
    asked = [
        entry["message"]
        for entry in page.browser.get_log("performance")
        if '"Network.requestWillBeSent"' in entry["message"]
    ]
    assert len(asked) >= 1
    assert all("report.html" in message or "about:blank" in message or '"data:,"' in message for message in asked)


def test_the_policy_stops_a_script_that_got_in(page: Page) -> None:
    page.open("stock")
    page.run(
        "const script = document.createElement('script');"
        "try { script.textContent = 'document.title = \"caught\"'; document.body.append(script); } catch { }"
    )
    assert page.browser.title != "caught"
    assert any("Trusted" in message or "Content Security Policy" in message for message in page.complaints())


# ---- paper, no script, many hosts ----


def test_paper_shows_everything_and_no_controls(page: Page) -> None:
    page.open("compared")
    page.search("AUTH-07", "Showing 5 results on 5 hosts.")
    page.run(
        "addEventListener('beforeprint', () => { window.printed = [document.querySelectorAll('.group').length,"
        " document.querySelectorAll('.group[open] table.results').length]; })"
    )
    page.command("Page.printToPDF")
    assert page.run("return window.printed") == [5, 5]
    assert page.all(".group[open]") == []
    page.command("Emulation.setEmulatedMedia", media="print")
    for selector in ("#filters", ".tabs", ".languages", ".skip"):
        assert not page.one(selector).is_displayed(), selector
    page.run("dispatchEvent(new Event('beforeprint'))")
    assert page.run("return getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    page.picture("print")
    page.run("dispatchEvent(new Event('afterprint'))")


def test_without_javascript_there_are_tables_in_both_languages(page: Page) -> None:
    page.command("Emulation.setScriptExecutionDisabled", value=True)
    page.open("stock")
    rows = [row.text for row in page.all("noscript table:first-of-type tbody tr")]
    assert rows[0] == "time1 Not audited 未監査: unreachable: Connection refused"
    assert rows[-1].startswith("server13 Debian GNU/Linux 13 (trixie) 1 0 0 0 11 AUTH-07")
    finding = page.one("noscript a")
    target = page.one(f"noscript tr[id='{finding.get_attribute('href').split('#')[1]}']")
    assert finding.text in target.text
    assert "faillock.deny: expected == 10, actual 3" in page.one("noscript").text
    assert not page.one("#filters").is_displayed()
    page.picture("no-javascript")


def test_a_thousand_hosts_open_and_filter_quickly(page: Page) -> None:
    started = time.monotonic()
    page.open("large")
    assert page.shown() == "Showing 40,000 results on 1,000 hosts."
    assert time.monotonic() - started < 5
    started = time.monotonic()
    page.search("host0432 AUTH-07", "Showing 3 results on 1 hosts.")
    page.search("", "Showing 40,000 results on 1,000 hosts.")
    page.one("#tab-area").click()
    page.unfold(page.one("#view-area .group > summary"))
    assert time.monotonic() - started < 5
    page.picture("large-area")
