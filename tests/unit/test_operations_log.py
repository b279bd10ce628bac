# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host tells of its operation, from its journal's records and its files."""

from __future__ import annotations

import datetime
import json
import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.kijun.baseline.plugins.module_utils import operations_log as log

SINCE = datetime.datetime(2026, 11, 25, tzinfo=datetime.UTC)
UNTIL = datetime.datetime(2026, 11, 28, tzinfo=datetime.UTC)
BOOT = "0123456789abcdef0123456789abcdef"


def record(text: str, second: int = 0, **fields: str) -> dict[str, Any]:
    at = int(SINCE.timestamp() + second) * 1_000_000
    known = {"MESSAGE": text, "__REALTIME_TIMESTAMP": str(at), "_UID": "0", "_PID": "77", "_BOOT_ID": BOOT}
    return {**known, **fields}


SSHD = {"_COMM": "sshd-session"}
SUDO = {"_COMM": "sudo", "_UID": "1000", "_CAP_EFFECTIVE": "a8a435ff"}


def test_a_login_has_its_address_and_its_logout() -> None:
    sessions, errors = log.told(
        [
            record("Accepted publickey for suzuki from 192.0.2.7 port 50000 ssh2: ED25519 SHA256:x", 1, **SSHD),
            record("pam_unix(sshd:session): session opened for user suzuki(uid=1001) by suzuki(uid=0)", 2, **SSHD),
            record("pam_unix(sshd:session): session closed for user suzuki", 60, **SSHD),
        ]
    )
    assert not errors
    login, logout = sessions
    assert (login["kind"], login["at"], login["user"], login["address"], login["method"]) == (
        "login",
        "2026-11-25T00:00:02Z",
        "suzuki",
        "192.0.2.7",
        "publickey",
    )
    assert (logout["kind"], logout["at"]) == ("logout", "2026-11-25T00:01:00Z")
    assert login["session"] == logout["session"] == "01234567-77"
    assert login["id"] != logout["id"]


@pytest.mark.parametrize(
    "forged",
    [
        {"_COMM": "sshd", "_UID": "1000", "_CAP_EFFECTIVE": "0"},
        {"_COMM": "sudo", "_UID": "1000", "_CAP_EFFECTIVE": "2000"},
        {"_COMM": "logger"},
    ],
)
def test_nobody_logs_others_in_by_writing_so(forged: dict[str, str]) -> None:
    text = "pam_unix(sshd:session): session opened for user root(uid=0) by (uid=0)"
    assert log.told([record(text, **forged)]) == ([], [])


def test_uses_of_sudo_are_counted_by_day_and_person() -> None:
    opened = "pam_unix(sudo:session): session opened for user root(uid=0) by suzuki(uid=1001)"
    records = [record(opened, second, **SUDO) for second in (1, 2, 3, 86_400 + 5)]
    records += [record("pam_unix(sudo:session): session closed for user root", 4, **SUDO)]
    sessions, _ = log.told(records)
    assert [(one["kind"], one["user"], one["target"], one["count"], one["at"][:10]) for one in sessions] == [
        ("privilege", "suzuki", "root", 3, "2026-11-25"),
        ("privilege", "suzuki", "root", 1, "2026-11-26"),
    ]
    assert sessions == log.told(records)[0], "names are stable"


def test_errors_of_a_day_are_one() -> None:
    failed = {"MESSAGE_ID": log.UNIT_FAILED, "UNIT": "app.service", "UNIT_RESULT": "exit-code", "_COMM": "systemd"}
    records = [record("app.service: Failed with result 'exit-code'.", second, **failed, _PID="1") for second in (5, 9)]
    records += [record("forged", 10, **failed)]
    records += [record("a disk is dying", 11, PRIORITY="2", _TRANSPORT="kernel", SYSLOG_IDENTIFIER="kernel", _UID="")]
    records += [record("somebody plays", 12, PRIORITY="0", _UID="1000")]
    _, errors = log.told(records)
    assert [(one.get("unit"), one.get("program"), one["count"]) for one in errors] == [
        (None, "kernel", 1),
        ("app.service", None, 2),
    ]
    assert (errors[1]["at"], errors[1]["last"]) == ("2026-11-25T00:00:05Z", "2026-11-25T00:00:09Z")


@pytest.mark.parametrize(
    ("by", "name"), [("by (uid=0)", "root"), ("by (uid=4000000001)", "uid 4000000001"), ("", "uid unknown")]
)
def test_who_used_sudo_without_a_terminal_is_looked_up(by: str, name: str) -> None:
    (entry,), _ = log.told([record(f"pam_unix(sudo:session): session opened for user root(uid=0) {by}", **SUDO)])
    assert entry["user"] == name


@pytest.mark.parametrize("broken", [{"MESSAGE": None}, {"MESSAGE": [1, 2]}, {"__REALTIME_TIMESTAMP": "x"}])
def test_records_that_cannot_be_read_are_passed_over(broken: dict[str, Any]) -> None:
    assert log.told([{**record("x", **SSHD), **broken}]) == ([], [])


def test_history_from_a_day_on_and_what_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    good = {"id": "b2", "kind": "backup", "started": "2026-11-26T01:00:00+00:00", "outcome": "ok"}
    lines = [
        json.dumps({**good, "id": "b1", "started": "2026-11-24T23:00:00Z"}),
        json.dumps(good),
        '{"id": "half',
        "[]",
        json.dumps({**good, "started": "2026-11-26T01:00:00"}),
        json.dumps({**good, "id": ""}),
        "x" * 70_000,
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    problems: list[str] = []
    assert log.history_of(str(path), SINCE, problems) == [good]
    assert problems == [f"{path}: 5 damaged lines"]
    assert log.history_of(str(tmp_path / "none"), SINCE, problems) == []


def test_days_that_a_log_server_closed(tmp_path: Path) -> None:
    files = [{"sender": "web1", "file": "a", "records": 5, "bytes": 10}, {"sender": "web1", "records": 1, "bytes": 2}]
    for day, content in (("2026-11-26", {"day": "2026-11-26", "files": files}), ("2026-11-27", {"day": "x"})):
        path = tmp_path / f"{day}.json"
        path.write_text(json.dumps(content), encoding="utf-8")
        os.utime(path, (UNTIL.timestamp(), UNTIL.timestamp()))
    (tmp_path / "2026-11-26.json.sig").touch()
    problems: list[str] = []
    (found,) = log.days_kept(str(tmp_path), SINCE, problems)
    assert (found["day"], found["senders"], found["records"], found["bytes"], found["signed"]) == (
        "2026-11-26",
        1,
        6,
        12,
        True,
    )
    assert found["closed"] == "2026-11-28T00:00:00Z"
    assert len(problems) == 1
    assert log.days_kept(str(tmp_path), UNTIL + datetime.timedelta(days=1), []) == []


def test_a_host_without_a_journal_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    problems: list[str] = []
    assert list(log.journal(SINCE, UNTIL, problems)) == []
    assert problems == ["journalctl: No such file or directory"]


def test_how_antimalware_stands_and_its_last_full_scan(tmp_path: Path) -> None:
    path, problems = tmp_path / "state.json", list[str]()
    assert log.malware_of(str(path), problems) == {"malware_states": [], "malware_scans": []}
    scan = {"started": "2026-11-22T02:00:00Z", "finished": "2026-11-22T04:00:00Z", "files": 90, "with": "1.4 x"}
    state = {
        "update": {"ok": "2026-11-26T01:00:00Z", "error": None},
        "definitions": {"version": 3},
        "last_full_scan": scan,
    }
    path.write_text(json.dumps(state), encoding="utf-8")
    told = log.malware_of(str(path), problems)
    (stood,), (scanned,) = told["malware_states"], told["malware_scans"]
    assert (stood["ok"], stood["version"], stood["scan_started"]) == (state["update"]["ok"], 3, scan["started"])
    assert (scanned["files"], scanned["finished"], scanned["unread"]) == (90, scan["finished"], None)
    assert "with" not in scanned
    path.write_text(json.dumps({"update": {}}), encoding="utf-8")
    assert log.malware_of(str(path), problems)["malware_scans"] == []
    assert not problems
    for wrong in ("", "[]", '{"update": [1]}'):
        path.write_text(wrong, encoding="utf-8")
        assert log.malware_of(str(path), problems) == {"malware_states": [], "malware_scans": []}
    assert len(problems) == 3
