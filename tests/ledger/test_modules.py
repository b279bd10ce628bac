# SPDX-License-Identifier: GPL-3.0-or-later
"""Every module on ledgers, four times as ansible-playbook has it work: predicted, done, then nothing to do twice."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger import migrate
from kijun_hosts import ansible_playbook

from .conftest import Place, execute, guarded

REQUEST = {
    "login": "tanaka",
    "action": "request",
    "person": "Sample Person",
    "department": "development",
    "hosts": ["servers"],
    "justification": "operates the servers",
    "requester": "suzuki",
    "ticket": "REQ-1",
}
APPROVE = {"login": "tanaka", "action": "approve", "approver": "kato", "ticket": "REQ-1"}
EXCEPTION = {
    "id": "EXC-1",
    "action": "file",
    "control": "AUTH-07",
    "hosts": ["servers"],
    "reason": "old software retries",
    "measure": "a filter",
    "valid_until": (datetime.datetime.now().astimezone().date() + datetime.timedelta(days=10)).isoformat(),
    "requester": "suzuki",
    "ticket": "REQ-1",
}
IN_TEN_DAYS = EXCEPTION["valid_until"]
STICK = {
    "id": "USB-014",
    "action": "register",
    "kind": "usb_flash",
    "vendor_id": "0951",
    "product_id": "1666",
    "serial": "0375122100009134",
    "owner": "operations",
    "purpose": "logs for the vendor",
    "place": "cabinet 2",
    "valid_until": IN_TEN_DAYS,
    "requester": "suzuki",
    "approver": "kato",
    "ticket": "MED-1",
}
LEND = {
    "id": "USB-014",
    "action": "lend",
    "lent_to": "suzuki",
    "lent_for": "an incident",
    "hosts": ["servers"],
    "due_on": IN_TEN_DAYS,
    "requester": "suzuki",
    "approver": "kato",
    "ticket": "MED-2",
}
APPROVE_EXCEPTION = {"id": "EXC-1", "action": "approve", "approver": "kato", "ticket": "REQ-1"}
PRODUCT = {
    "product": "ClamAV",
    "action": "select",
    "product_version": "1.4",
    "criteria": ["blocks on access"],
    "alternatives": ["Product B: definitions from the cloud alone"],
    "reason": "runs without the internet",
    "selected_by": "suzuki",
    "selected_on": (datetime.datetime.now(datetime.UTC).date() - datetime.timedelta(days=400)).isoformat(),
    "approver": "kato",
    "ticket": "SEL-4",
}
INCIDENT = {"id": "pc17-1", "action": "open", "kind": "malware", "host": "pc17", "summary": "password=swordfish7734"}
CHECKED, DONE = True, False


def four_runs(url: str, folder: Path, module: str, arguments: dict[str, Any]) -> list[dict[str, Any]]:
    """A module's results: in check mode, for real, in check mode, for real. Each task has a process of its own; one run
    has all four, since what takes time is how Ansible begins."""
    return outcomes(url, folder, *((module, arguments, check) for check in (CHECKED, DONE, CHECKED, DONE)))


def outcome(
    url: str, folder: Path, module: str, arguments: dict[str, Any], check: bool = DONE, **variables: Any
) -> dict[str, Any]:
    """The result of one task on the controller."""
    return outcomes(url, folder, (module, arguments, check), **variables)[0]


def outcomes(
    url: str, folder: Path, *calls: tuple[str, dict[str, Any], bool], **variables: Any
) -> list[dict[str, Any]]:
    """The results of tasks on the controller: each a module, its arguments, and whether it is in check mode."""
    play = folder / "play.json"
    tasks = [
        {
            f"kijun.baseline.{module}": {**arguments, "url": url},
            "check_mode": check,
            "diff": True,
            "ignore_errors": True,
            "vars": variables,
        }
        for module, arguments, check in calls
    ]
    play.write_text(json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": tasks}]), encoding="utf-8")
    words = (str(play), "-e", "kijun_ledger_syslog=false")
    done = ansible_playbook(*words, timeout=120, ANSIBLE_STDOUT_CALLBACK="ansible.posix.json")
    try:
        report = json.JSONDecoder().raw_decode(done.stdout[done.stdout.index("{") :])[0]
    except ValueError:
        raise AssertionError(done.stdout + done.stderr) from None
    results: list[dict[str, Any]] = [task["hosts"]["localhost"] for task in report["plays"][0]["tasks"]]
    assert len(results) == len(calls), done.stdout + done.stderr
    return results


def changed(results: list[dict[str, Any]]) -> list[bool]:
    assert not [result["msg"] for result in results if result.get("failed")]
    return [result["changed"] for result in results]


@pytest.fixture
def file(tmp_path: Path) -> str:
    """A ledger in a file, for what the database makes no difference to."""
    url = f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    migrate.upgrade(url)
    return url


def test_ledger_migrate(nowhere: Place, tmp_path: Path) -> None:
    results = four_runs(nowhere.owner, tmp_path, "ledger_migrate", {})
    assert changed(results) == [True, True, False, False]
    assert results[1]["diff"] == results[0]["diff"]


def test_account_ledger(url: str, tmp_path: Path) -> None:
    results = four_runs(url, tmp_path, "account_ledger", {"entries": [REQUEST, APPROVE]})
    assert changed(results) == [True, True, False, False]
    assert results[0]["events"] == results[1]["events"]
    assert results[0]["diff"] == results[1]["diff"]
    assert results[1]["accounts"]["tanaka"]["status"] == "approved"
    assert "checkpoint" not in results[0]
    assert results[1]["checkpoint"]["count"] == 2


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({**REQUEST, "hosts": ["web09"]}, "hosts 'web09'"),
        ({**REQUEST, "sudo": ["everything"]}, "sudo 'everything'"),
        ({**REQUEST, "department": "none"}, "department 'none'"),
        ({**REQUEST, "login": "Tanaka"}, "login 'Tanaka'"),
        ({**REQUEST, "no_such": 1}, "no_such '1'"),
        ({**APPROVE, "approver": "suzuki"}, "approver 'suzuki'"),
        ({"login": "tanaka", "action": "activate"}, "status 'requested'"),
    ],
)
def test_account_ledger_refuses_and_writes_nothing(file: str, tmp_path: Path, entry: dict[str, Any], said: str) -> None:
    url = file
    first = REQUEST if entry["action"] != "request" else {**REQUEST, "login": "sato", "person": "Another"}
    entered = {"entries": [first, entry]}
    result, info = outcomes(url, tmp_path, ("account_ledger", entered, DONE), ("account_ledger_info", {}, DONE))
    assert result["failed"]
    assert f"row 2: {entry['login']}: {said}" in result["msg"]
    assert info["total"] == 0


def test_a_change_that_saw_an_older_version_is_refused(url: str, tmp_path: Path) -> None:
    changed([outcome(url, tmp_path, "account_ledger", {"entries": [REQUEST, APPROVE]})])
    result = outcome(url, tmp_path, "account_ledger", {"entries": [{**APPROVE, "approver": "sato", "version": 1}]})
    assert result["failed"]
    assert "the entry has version 2 by now" in result["msg"]


def test_account_ledger_info(url: str, tmp_path: Path) -> None:
    changed([outcome(url, tmp_path, "account_ledger", {"entries": [REQUEST, APPROVE]})])
    question = {"where": {"status": "approved", "hosts": "servers"}, "query": "[].login", "history": {"key": "tanaka"}}
    results = four_runs(url, tmp_path, "account_ledger_info", question)
    assert changed(results) == [False] * 4
    assert all(result["entries"] == ["tanaka"] and result["total"] == 1 for result in results)
    assert [event["action"] for event in results[0]["events"]] == ["approve", "request"]
    wrong = ({"query": "[?"}, {"where": {"colour": 1}})
    no_query, no_field = outcomes(url, tmp_path, *(("account_ledger_info", given, DONE) for given in wrong))
    assert no_query["failed"]
    assert "has no field 'colour'" in no_field["msg"]


def test_ledger_verify_and_its_checkpoints(url: str, tmp_path: Path) -> None:
    changed([outcome(url, tmp_path, "account_ledger", {"entries": [REQUEST, APPROVE]})])
    results = four_runs(url, tmp_path, "ledger_verify", {"books": ["accounts"]})
    assert changed(results) == [False] * 4
    assert all(result["books"]["accounts"]["count"] == 2 for result in results)
    file = tmp_path / "checkpoints"
    file.write_text(f"kijun-ledger checkpoint book=accounts count=3 head={'0' * 64} at=2026-01-01T00:00:00Z\n")
    result = outcome(url, tmp_path, "ledger_verify", {"checkpoints": str(file)})
    assert result["failed"]
    assert "event 3" in result["msg"]


@pytest.mark.parametrize("form", ["csv", "xlsx", "yaml", "json"])
def test_ledger_export_and_import(file: str, tmp_path: Path, form: str) -> None:
    url = file
    changed([outcome(url, tmp_path, "account_ledger", {"entries": [REQUEST, APPROVE]})])
    table = tmp_path / f"accounts.{form}"
    assert changed(four_runs(url, tmp_path, "ledger_export", {"path": str(table)})) == [True, True, False, False]
    changed([outcome(url, tmp_path, "account_ledger", {"entries": [{"login": "tanaka", "action": "activate"}]})])
    outcome(url, tmp_path, "ledger_export", {"path": str(table)})
    other = f"sqlite:///{tmp_path / 'other.sqlite'}"
    changed([outcome(other, tmp_path, "ledger_migrate", {})])
    given = {"path": str(table), "approver": "kato", "ticket": "REQ-2"}
    assert changed(four_runs(other, tmp_path, "ledger_import", given)) == [True, True, False, False]
    entry = outcome(other, tmp_path, "account_ledger_info", {})["entries"][0]
    assert (entry["login"], entry["status"], entry["person"]) == ("tanaka", "active", "Sample Person")


def test_accounts_review(url: str, tmp_path: Path) -> None:
    entries = [REQUEST, APPROVE, {"login": "tanaka", "action": "activate"}]
    changed([outcome(url, tmp_path, "account_ledger", {"entries": entries})])
    results = four_runs(url, tmp_path, "accounts_review", {"directory": str(tmp_path / "sheets")})
    assert changed(results) == [False] * 4, "writing a sheet enters nothing"
    assert [len(result["sheets"]) for result in results] == [0, 1, 0, 1]


def test_exception_ledger(url: str, tmp_path: Path) -> None:
    results = four_runs(url, tmp_path, "exception_ledger", {"entries": [EXCEPTION, APPROVE_EXCEPTION]})
    assert changed(results) == [True, True, False, False]
    assert results[0]["events"] == results[1]["events"]
    assert results[0]["diff"] == results[1]["diff"]
    assert results[1]["exceptions"]["EXC-1"]["status"] == "approved"
    assert "checkpoint" not in results[0]
    assert results[1]["checkpoint"]["count"] == 2


def test_exceptions_in_force(url: str, tmp_path: Path) -> None:
    changed([outcome(url, tmp_path, "exception_ledger", {"entries": [EXCEPTION, APPROVE_EXCEPTION]})])
    results = [outcome(url, tmp_path, "exceptions_in_force", {}, check) for check in (CHECKED, DONE, CHECKED, DONE)]
    assert changed(results) == [False] * 4
    for result in results:
        assert (result["in_force"], result["expiring"], result["expired"]) == (["EXC-1"], ["EXC-1"], [])
        fact = result["ansible_facts"]["kijun_exceptions_in_force"]
        assert [entry["hosts"] for entry in fact["entries"]] == [["servers"]]
    assert len({result["ansible_facts"]["kijun_exceptions_in_force"]["run"] for result in results}) == 4


def test_an_altered_book_of_exceptions_excuses_nobody(place: Place, tmp_path: Path) -> None:
    changed([outcome(place.url, tmp_path, "exception_ledger", {"entries": [EXCEPTION]})])
    if place.is_sqlite:
        # Of a ledger in a file only the events count: an entry that no event made is not there.
        execute(place.owner, "UPDATE states SET fields = json_set(fields, '$.status', 'approved')")
        assert outcome(place.url, tmp_path, "exceptions_in_force", {})["in_force"] == []
        execute(place.owner, *guarded(place, False))
        execute(place.owner, "UPDATE events SET record = replace(record, 'requested', 'approved')")
        execute(place.owner, *guarded(place, True))
    else:
        execute(place.owner, "UPDATE states SET fields = jsonb_set(fields, '{status}', '\"approved\"')")
    result = outcome(place.url, tmp_path, "exceptions_in_force", {})
    assert result["failed"]
    assert "which exceptions are in force cannot be known, so nothing is done: the book exceptions: " in result["msg"]


def test_exceptions_report(url: str, tmp_path: Path) -> None:
    changed([outcome(url, tmp_path, "exception_ledger", {"entries": [EXCEPTION, APPROVE_EXCEPTION]})])
    place = tmp_path / "report"
    results = four_runs(url, tmp_path, "exceptions_report", {"directory": str(place), "language": "en"})
    assert changed(results) == [False] * 4, "a report enters nothing"
    assert [len(result["files"]) for result in results] == [0, 3, 0, 3]
    assert [entry["id"] for entry in results[0]["expiring"]] == ["EXC-1"]
    assert results[0]["waiting"] == results[0]["expired"] == results[0]["due"] == []
    assert "EXC-1" in (place / "exceptions.csv").read_text(encoding="utf-8")


def test_media_ledger(url: str, tmp_path: Path) -> None:
    results = four_runs(url, tmp_path, "media_ledger", {"entries": [STICK, LEND]})
    assert changed(results) == [True, True, False, False]
    assert [event["action"] for event in results[1]["events"]] == ["register", "lend"]
    assert results[1]["media"]["USB-014"]["status"] == "lent"
    assert "lent_for: an incident" in results[0]["diff"][0]["after"]


def test_media_ledger_holds_the_organisations_settings(url: str, tmp_path: Path) -> None:
    entries = {"entries": [STICK]}
    result = outcome(url, tmp_path, "media_ledger", entries, kijun_media_managers=["mori"])
    assert result["failed"]
    assert "is none of those who may approve (kijun_media_managers): mori (clause ST-14-1)" in result["msg"]
    result = outcome(url, tmp_path, "media_ledger", entries, kijun_media_max_days=0)
    assert "kijun_media_max_days is 0; it must be a whole number from 1 to 366" in result["msg"]
    result = outcome(url, tmp_path, "media_ledger", {"entries": [STICK, {**LEND, "hosts": ["pc17"]}]})
    assert "hosts 'pc17': is no host or group of the inventory (clause GL-2.4-0b)" in result["msg"]
    assert outcome(url, tmp_path, "media_report", {})["stored"] == [], "nothing of a refused batch is entered"


def test_media_report(url: str, tmp_path: Path) -> None:
    changed([outcome(url, tmp_path, "media_ledger", {"entries": [STICK, LEND]})])
    place = tmp_path / "report"
    results = four_runs(url, tmp_path, "media_report", {"directory": str(place), "language": "en"})
    assert changed(results) == [False] * 4, "a report enters nothing"
    assert [len(result["files"]) for result in results] == [0, 3, 0, 3]
    assert [entry["id"] for entry in results[0]["lent"]] == ["USB-014"]
    assert results[0]["overdue"] == results[0]["missing"] == results[0]["stored"] == []
    assert "0375122100009134" in (place / "media.csv").read_text(encoding="utf-8")


def test_asset_ledger(url: str, tmp_path: Path) -> None:
    asset = {"id": "PC-17", "action": "register", "kind": "pc", "host": "pc17", "owner": "sales", "place": "room 3"}
    entries = [
        {**asset, "approver": "kato", "ticket": "AST-1"},
        {"id": "PC-17", "action": "count", "counted": "found", "counted_on": "2026-11-20"},
    ]
    results = four_runs(url, tmp_path, "asset_ledger", {"entries": entries})
    assert changed(results) == [True, True, False, False]
    assert results[1]["assets"]["PC-17"]["counted"] == "found"


def test_the_book_of_exceptions_is_exported_and_imported(file: str, tmp_path: Path) -> None:
    changed([outcome(file, tmp_path, "exception_ledger", {"entries": [EXCEPTION]})])
    table = str(tmp_path / "exceptions.xlsx")
    book = {"book": "exceptions", "path": table}
    assert changed(four_runs(file, tmp_path, "ledger_export", book)) == [True, True, False, False]
    other = f"sqlite:///{tmp_path / 'other.sqlite'}"
    changed([outcome(other, tmp_path, "ledger_migrate", {})])
    assert changed(four_runs(other, tmp_path, "ledger_import", book)) == [True, True, False, False]
    entry = outcome(other, tmp_path, "account_ledger_info", {"book": "exceptions"})["entries"][0]
    assert (entry["id"], entry["status"], entry["hosts"]) == ("EXC-1", "requested", ["servers"])


def test_malware_product_ledger(url: str, tmp_path: Path) -> None:
    results = four_runs(url, tmp_path, "malware_product_ledger", {"entries": [PRODUCT]})
    assert changed(results) == [True, True, False, False]
    assert results[0]["events"] == results[1]["events"]
    assert results[0]["diff"] == results[1]["diff"]
    assert results[1]["products"]["ClamAV"]["approver"] == "kato"
    assert results[3]["current"]["ClamAV"] == results[1]["products"]["ClamAV"]
    assert "checkpoint" not in results[0]
    assert results[1]["checkpoint"]["count"] == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"approver": "SUZUKI"}, "approver 'SUZUKI': nobody approves what they did themselves"),
        ({"criteria": "all"}, "criteria 'all'"),
        ({"selected_on": "yesterday"}, "selected_on 'yesterday': must be a date"),
        ({"review_on": "2099-01-01"}, "review_on '2099-01-01'"),
        ({"no_such": 1}, "no_such '1'"),
    ],
)
def test_malware_product_ledger_refuses_and_writes_nothing(
    file: str, tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    result = outcome(file, tmp_path, "malware_product_ledger", {"entries": [{**PRODUCT, **change}]})
    assert result["failed"]
    assert said in result["msg"]
    assert outcome(file, tmp_path, "account_ledger_info", {"book": "malware_products"})["entries"] == []


def test_a_release_by_who_asked_is_refused_and_writes_nothing(url: str, tmp_path: Path) -> None:
    contain = {"id": "pc17-1", "action": "contain", "containment": "isolated"}
    ask = {"id": "pc17-1", "action": "request_release", "release_reason": "clean"}
    release = {"id": "pc17-1", "action": "release", "host": "pc17", "release_note": "seen"}
    entered = outcomes(
        url,
        tmp_path,
        ("incident_ledger", {"entries": [INCIDENT, contain, ask], "actor": "kato"}, DONE),
        ("incident_ledger", {"entries": [release], "actor": "KATO"}, CHECKED),
        ("incident_ledger", {"entries": [release], "actor": "KATO"}, DONE),
        ("incident_ledger", {"entries": [release], "actor": "sato"}, DONE),
    )
    assert [result.get("failed", False) for result in entered] == [False, True, True, False]
    for result in entered[1:3]:
        assert "released_by 'KATO': who asks that a host is let back does not let it back" in result["msg"]
        assert "SM-4.5.4-1" in result["msg"]
    assert entered[3]["incidents"]["pc17-1"]["released_by"] == entered[3]["actor"] == "sato"


def test_malware_report(url: str, tmp_path: Path) -> None:
    month = datetime.datetime.now(datetime.UTC).date().isoformat()[:7]
    changed(
        outcomes(
            url,
            tmp_path,
            ("incident_ledger", {"entries": [INCIDENT]}, DONE),
            ("malware_product_ledger", {"entries": [PRODUCT]}, DONE),
        )
    )
    place = tmp_path / "report"
    asked = {"month": month, "directory": str(place), "language": "en", "hosts": ["pc18"]}
    results = four_runs(url, tmp_path, "malware_report", asked)
    assert changed(results) == [False] * 4, "a report enters nothing"
    assert [len(result["files"]) for result in results] == [0, 4, 0, 4]
    for result in results:
        assert [find["id"] for find in result["finds"]] == result["unresolved"] == ["pc17-1"]
        assert (result["silent"], result["reviews_overdue"]) == (["pc18"], ["ClamAV"])
    for path in results[1]["files"]:
        text = Path(path).read_text(encoding="utf-8")
        assert "swordfish7734" not in text
        assert Path(path).stat().st_mode & 0o777 == 0o600
    (empty,) = outcomes(url, tmp_path, ("malware_report", {}, DONE))
    assert (empty["finds"], empty["silent"], empty["files"], empty["numbers"]["finds"]) == ([], [], [], 0)


@pytest.mark.parametrize("month", ["2026-13", "November", "2999-01", "2026-1", "2026-11-01"])
def test_a_report_on_no_month_is_refused(file: str, tmp_path: Path, month: str) -> None:
    result = outcome(file, tmp_path, "malware_report", {"month": month, "directory": str(tmp_path / "report")})
    assert result["failed"]
    assert f"month is {month!r}; it must be a month that has begun, such as 2026-11" in result["msg"]
    assert not (tmp_path / "report").exists()


def test_an_altered_book_of_incidents_fails_the_report(place: Place, tmp_path: Path) -> None:
    changed([outcome(place.url, tmp_path, "incident_ledger", {"entries": [INCIDENT]})])
    execute(place.owner, *guarded(place, False))
    execute(place.owner, "UPDATE events SET record = replace(record, 'pc17', 'pc18')")
    execute(place.owner, *guarded(place, True))
    result = outcome(place.url, tmp_path, "malware_report", {"directory": str(tmp_path / "report")})
    assert result["failed"]
    assert "incidents was altered: event 1: " in result["msg"]
    assert list((tmp_path / "report").iterdir()), "what is wrong is shown as well"


def test_nothing_that_a_module_says_shows_the_password_of_the_database(place: Place, tmp_path: Path) -> None:
    url = place.url.replace("sqlite:///", "sqlite:///missing/") if place.is_sqlite else place.url.replace("@", "x@", 1)
    result = outcome(url, tmp_path, "account_ledger_info", {})
    assert result["failed"]
    assert "cannot be used" in result["msg"]
    if not place.is_sqlite:
        assert url.split(":")[2].split("@")[0] not in json.dumps(result)
