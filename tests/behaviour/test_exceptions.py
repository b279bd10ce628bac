# SPDX-License-Identifier: GPL-3.0-or-later
"""Exceptions on real hosts: who is excused is left alone and said to be, until the exception ends or is revoked."""

from __future__ import annotations

import datetime
import json
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger import migrate
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.book import Change
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.engine import Ledger
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger_entries import change_of
from kijun_hosts import ansible_playbook

from .conftest import Machine

CONTROL = "AUTH-11"
WEAKER = "sed -i 's/^ENCRYPT_METHOD.*/ENCRYPT_METHOD SHA512/' /etc/login.defs"
"""Undoes the control, as software that cannot do otherwise would ask."""

METHOD = "sed -n 's/^ENCRYPT_METHOD *//p' /etc/login.defs"
TODAY = datetime.datetime.now().astimezone().date()


def on_day(days: int) -> str:
    """The day some days from today."""
    return (TODAY + datetime.timedelta(days=days)).isoformat()


class Book:
    """A ledger of this test's own, and the runs that judge a host by it.

    Args:
        machine: the host.
        folder: where the ledger and the reports are.
    """

    def __init__(self, machine: Machine, folder: Path) -> None:
        self.machine, self.folder = machine, folder
        self.file = folder / "ledger.sqlite"
        self.url = f"sqlite:///{self.file}"
        migrate.upgrade(self.url)

    def application(self, **changed: Any) -> dict[str, Any]:
        return {
            "id": "EXC-1",
            "action": "file",
            "control": CONTROL,
            "hosts": [self.machine.name],
            "reason": "old software reads the hashes",
            "measure": "its accounts are locked to the batch host",
            "valid_until": on_day(10),
            "requester": "suzuki",
            "ticket": "REQ-1",
            **changed,
        }

    def playbook(self, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A playbook on the controller, as a person runs it."""
        url = f"kijun_ledger_url={self.url}"
        return ansible_playbook(f"playbooks/{name}.yml", "-e", url, *arguments, timeout=120)

    def enter(self, *entries: dict[str, Any]) -> None:
        """Enter changes as the module does, without a process of Ansible's."""
        changes = [change_of(number, entry, "id") for number, entry in enumerate(entries, 1)]
        with Ledger(self.url) as ledger:
            ledger.append("exceptions", changes, "clerk")

    def asks(self, *entries: dict[str, Any]) -> str:
        """Enter changes by the playbook; what was printed. They may be refused."""
        given = json.dumps({"exception_entries": entries, "kijun_exceptions_committee": ["kato", "mori"]})
        done = self.playbook("exceptions", "-e", given)
        return done.stdout + done.stderr

    def site(self) -> str:
        """Bring the host to the baseline, as far as the role of the control goes."""
        return self.machine.site("--tags", "authentication", "-e", f"kijun_ledger_url={self.url}")

    def audit(self) -> tuple[dict[str, Any], str]:
        """The evidence of the control on the host, and what was printed."""
        done = self.machine.playbook("audit", "--tags", CONTROL, "-e", f"kijun_ledger_url={self.url}")
        assert done.returncode == 0, done.stdout + done.stderr
        file = self.folder / "reports" / "latest" / "hosts" / f"{self.machine.name}.json"
        record: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))["controls"][0]
        return record, done.stdout


APPROVAL = {"id": "EXC-1", "action": "approve", "approver": "kato", "ticket": "REQ-1"}
REVOCATION = {"id": "EXC-1", "action": "revoke", "status_reason": "the software was replaced"}


@pytest.fixture
def book(machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Book]:
    monkeypatch.setenv("KIJUN_REPORT_DIR", str(tmp_path / "reports"))
    monkeypatch.delenv("KIJUN_LEDGER_URL", raising=False)
    made = Book(machine, tmp_path)
    machine.ok(WEAKER)
    yield made
    machine.ok("sed -i 's/^ENCRYPT_METHOD.*/ENCRYPT_METHOD YESCRYPT/' /etc/login.defs")


@pytest.mark.control("EXC-01")
def test_an_approved_exception_holds_until_it_is_revoked(book: Book, machine: Machine) -> None:
    assert "changed=1" in book.asks(book.application())
    assert book.audit()[0]["verdict"] == "fail", "what was only asked for excuses"
    assert "changed=1" in book.asks(APPROVAL)

    printed = book.site()
    assert f"{machine.name} is excused from {CONTROL} until {on_day(10)} (EXC-1)" in printed
    assert machine.ok(METHOD).strip() == "SHA512", "the role did not leave it alone"
    found, printed = book.audit()
    assert found["verdict"] == "excused"
    assert found["reason"] == f"excused until {on_day(10)} by kato: old software reads the hashes"
    assert found["exception"]["days_left"] == 10
    assert f"Exception EXC-1 of {CONTROL} ends on {on_day(10)}: {machine.name}" in printed

    assert "changed=1" in book.asks(REVOCATION)
    assert "is excused from" not in book.site()
    assert machine.ok(METHOD).strip() == "YESCRYPT", "the role did not enforce again"
    assert book.audit()[0]["verdict"] == "pass"


@pytest.mark.control("EXC-01")
def test_an_exception_that_is_over_excuses_nothing(book: Book, machine: Machine) -> None:
    begun = datetime.datetime.now().astimezone() - datetime.timedelta(days=40)
    fields = {**book.application(valid_from=on_day(-40), valid_until=on_day(-1))}
    payload = {name: value for name, value in fields.items() if name not in ("id", "action", "ticket")}
    with Ledger(book.url) as ledger:
        filed, approved = Change("EXC-1", "file", payload), Change("EXC-1", "approve", approver="kato", ticket="REQ-1")
        ledger.append("exceptions", [filed, approved], "clerk", at=begun)
    found, printed = book.audit()
    assert (found["verdict"], found["reason"]) == ("fail", f"the exception expired on {on_day(-1)}")
    assert f"Exception EXC-1 of {CONTROL} ended on {on_day(-1)}: {machine.name}" in printed
    assert "is excused from" not in book.site()
    assert machine.ok(METHOD).strip() == "YESCRYPT"


def test_an_exception_is_for_the_hosts_that_it_names(book: Book, machine: Machine) -> None:
    other = "server13" if machine.name == "server12" else "server12"
    book.enter(book.application(hosts=[other]), APPROVAL)
    assert book.audit()[0]["verdict"] == "fail"
    book.enter(REVOCATION, book.application(id="EXC-2", hosts=["servers"]), {**APPROVAL, "id": "EXC-2"})
    assert book.audit()[0]["verdict"] == "excused"


def test_a_pam_profile_stays_as_it_is_enabled_or_not(book: Book, machine: Machine) -> None:
    """The shared PAM files are made anew as a whole; the part of an excused control comes out as it went in."""
    history = "grep -c pam_pwhistory /etc/pam.d/common-password; true"
    book.site()
    assert machine.ok(history).strip() == "1"
    book.enter(book.application(control="AUTH-05"), APPROVAL)
    book.site()
    assert machine.ok(history).strip() == "1", "the role took it away"
    machine.ok("DEBIAN_FRONTEND=noninteractive pam-auth-update --package --disable kijun-pwhistory")
    assert machine.ok(history).strip() == "0"
    book.site()
    assert machine.ok(history).strip() == "0", "the role put it back"
    book.enter(REVOCATION)
    book.site()
    assert machine.ok(history).strip() == "1"


def test_a_cached_fact_of_an_earlier_run_excuses_nobody(
    book: Book, machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANSIBLE_CACHE_PLUGIN", "jsonfile")
    monkeypatch.setenv("ANSIBLE_CACHE_PLUGIN_CONNECTION", str(tmp_path / "facts"))
    book.enter(book.application(), APPROVAL)
    book.site()
    book.audit()
    cached = json.loads((tmp_path / "facts" / f"s1_{machine.name}").read_text(encoding="utf-8"))
    assert CONTROL in json.dumps(cached), "nothing was cached, so that this proves nothing"
    book.enter(REVOCATION)
    assert book.audit()[0]["verdict"] == "fail"
    book.site()
    assert machine.ok(METHOD).strip() == "YESCRYPT"


def test_a_ledger_that_does_not_answer_or_was_edited_ends_the_run_before_anything_changes(
    book: Book, machine: Machine
) -> None:
    book.enter(book.application())
    with sqlite3.connect(book.file) as connection:
        for word in ("update", "delete"):
            connection.execute(f"DROP TRIGGER events_no_{word}")
        connection.execute("UPDATE events SET record = replace(record, 'requested', 'approved')")
    connection.close()
    for url, said in ((book.url, "the chain of hashes"), (f"sqlite:///{book.folder}/none", "there is no such file")):
        for name in ("audit", "site"):
            done = machine.playbook(name, "--tags", "authentication", "-e", f"kijun_ledger_url={url}")
            assert done.returncode != 0
            assert "which exceptions are in force cannot be known, so nothing is done" in done.stdout + done.stderr
            assert said in done.stdout + done.stderr
            assert "changed=0" in done.stdout
    assert machine.ok(METHOD).strip() == "SHA512"


@pytest.mark.control("EXC-01")
def test_applications_that_break_the_rules_are_refused(book: Book) -> None:
    wrong = {
        "is never excused": {"control": "AUTH-09"},
        "is no control in sight": {"control": "AUTH-99"},
        "is no host or group of the inventory": {"hosts": ["web09"]},
        "at most 365 are allowed": {"valid_until": on_day(400)},
        "is over already": {"valid_from": on_day(-9), "valid_until": on_day(-1)},
        "needs measure": {"measure": ""},
    }
    entries = [book.application(id=f"EXC-{row}", **changed) for row, changed in enumerate(wrong.values(), 1)]
    printed = " ".join(book.asks(book.application(id="EXC-0"), *entries).split())
    for row, said in enumerate(wrong, 1):
        told = printed[printed.index(f"row {row + 1}: EXC-{row}") :].partition(" row ")[0]
        assert said in told
        assert "SM-6-1" in told
    with Ledger(book.url) as ledger:
        assert ledger.count("exceptions") == 0, "a batch is entered whole or not at all"
    book.enter(book.application(), book.application(id="EXC-2", requester="kato"))
    printed = " ".join(book.asks({**APPROVAL, "approver": "x"}, {**APPROVAL, "id": "EXC-2"}).split())
    assert "is not of the committee (kijun_exceptions_committee): kato, mori" in printed
    assert "nobody approves what they themselves asked for" in printed


@pytest.mark.control("EXC-02")
def test_an_accepted_risk_is_listed_when_its_review_is_due(book: Book, tmp_path: Path) -> None:
    accepted = {"decision": "accept", "risk": "hashes of this host are guessed faster", "measure": ""}
    book.enter(book.application(**accepted, valid_from=on_day(-1), review_on=TODAY.isoformat()), APPROVAL)
    place = tmp_path / "report"
    arguments = ("-e", f"exceptions_report_directory={place}", "-e", "exceptions_language=en")

    def due() -> list[str]:
        done = book.playbook("exceptions_report", *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        page = (place / "exceptions.html").read_text(encoding="utf-8")
        assert "hashes of this host are guessed faster" in page
        assert "hashes of this host are guessed faster" in (place / "exceptions.csv").read_text(encoding="utf-8")
        with Ledger(book.url) as ledger:
            return [state.key for state in ledger.states("exceptions") if state.fields["review_on"] <= on_day(0)] + (
                ["said"] if "due_for_review: []" not in done.stdout else []
            )

    assert due() == ["EXC-1", "said"]
    review = {"id": "EXC-1", "action": "review", "reviewed_at": TODAY.isoformat(), "reviewed_by": "mori"}
    assert "changed=1" in book.asks({**review, "review_result": "the software's next version needs no exception"})
    assert due() == []
