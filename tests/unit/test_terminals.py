# SPDX-License-Identifier: GPL-3.0-or-later
"""Which registered terminals operations may be done from."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.kijun.baseline.plugins.plugin_utils.controls import collection_controls
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger import migrate
from ansible_collections.kijun.baseline.plugins.plugin_utils.report_store import configured
from ansible_collections.kijun.baseline.plugins.plugin_utils.terminals import Rules, judge
from kijun_hosts import on_controller
from kijun_store import directory_store

NOW = datetime.datetime(2026, 11, 21, 3, 0, tzinfo=datetime.UTC)
KNOWN = [f"AUTH-{number:02}" for number in range(10)]
RULES = Rules(days=7, severity="high", known=frozenset(KNOWN))
PC = {"id": "PC-1", "host": "pc1", "terminal_address": "192.0.2.17", "status": "in_use"}


def audited(
    reports: Path, run: str, day: str = "2026-11-20", known: list[str] = KNOWN, **verdicts: tuple[str, str]
) -> None:
    """Evidence of an audit; verdicts are severity and verdict by the control's number."""
    controls = [
        {"id": name, "severity": severity, "verdict": verdict}
        for name in known
        for severity, verdict in [verdicts.get(name.replace("-", "_"), ("high", "pass"))]
    ]
    folder = reports / run / "hosts"
    folder.mkdir(parents=True)
    record = {"host": {"name": "pc1", "time": f"{day}T03:00:00Z"}, "controls": controls}
    (folder / "pc1.json").write_text(json.dumps(record), encoding="utf-8")


def refused(reports: Path, fields: dict[str, Any] = PC, rules: Rules = RULES) -> str:
    (one,) = judge([fields], [reports], rules, NOW)
    return one.refused


def test_a_terminal_at_its_baseline_is_let_in(tmp_path: Path) -> None:
    audited(tmp_path, "1", AUTH_01=("medium", "fail"), AUTH_02=("critical", "excused"))
    (tmp_path / "latest").symlink_to("1")
    assert refused(tmp_path) == ""


def test_the_newest_whole_audit_counts(tmp_path: Path) -> None:
    audited(tmp_path, "1")
    audited(tmp_path, "2", AUTH_01=("high", "fail"), AUTH_02=("critical", "error"))
    assert refused(tmp_path) == "its audit of 2026-11-20 failed AUTH-01, AUTH-02"
    # What looked at one control alone says nothing of the others.
    audited(tmp_path, "3", known=["AUTH-03"])
    assert "failed AUTH-01" in refused(tmp_path)
    (tmp_path / "4" / "hosts").mkdir(parents=True)
    (tmp_path / "4" / "hosts" / "pc1.json").write_text("{", encoding="utf-8")
    assert "failed AUTH-01" in refused(tmp_path)
    audited(tmp_path, "5")
    assert refused(tmp_path) == ""


@pytest.mark.parametrize(
    ("fields", "day", "words"),
    [
        ({}, "2026-11-13", "its newest audit is of 2026-11-13"),
        ({"host": "pc2"}, "2026-11-20", "no audit of its whole baseline is there"),
        ({"status": "lost"}, "2026-11-20", "it is lost"),
    ],
)
def test_others_are_left_out(tmp_path: Path, fields: dict[str, str], day: str, words: str) -> None:
    audited(tmp_path, "1", day)
    assert refused(tmp_path, {**PC, **fields}) == words


def test_without_audits_a_registered_one_is_let_in(tmp_path: Path) -> None:
    assert refused(tmp_path, rules=RULES._replace(days=0)) == ""


def test_what_is_no_terminal_or_gone_is_not_told(tmp_path: Path) -> None:
    others = [{**PC, "terminal_address": ""}, {**PC, "status": "disposed"}]
    assert judge(others, [tmp_path], RULES, NOW) == []


def test_audits_that_are_in_the_report_store_alone_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment, far = directory_store(tmp_path)
    store = configured(environment)
    assert store is not None
    url = f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    migrate.upgrade(url)
    monkeypatch.setenv("KIJUN_LEDGER_URL", url)
    monkeypatch.setenv("KIJUN_REPORT_DIR", str(tmp_path / "none"))
    given = {"owner": "operations", "place": "room 3", "approver": "manager1", "ticket": "AST-1"}
    entry = {"id": "PC-1", "action": "register", "kind": "pc", "host": "pc1", "terminal_address": "192.0.2.17", **given}
    assert on_controller("asset_entries", asset_entries=[entry], kijun_actor="operator1").returncode == 0
    now = datetime.datetime.now(datetime.UTC)
    run = now.strftime("%Y%m%dT%H%M%SZ-4711")
    known = [control["id"] for control in collection_controls()]
    audited(tmp_path / "pod", run, day=now.strftime("%Y-%m-%d"), known=known)
    record = tmp_path / "pod" / run / "hosts" / "pc1.json"
    store.keep({f"{run}/hosts/pc1.json": record})
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    told = on_controller("terminals")
    assert told.returncode == 0, told.stdout
    assert "192.0.2.17" in told.stdout
    assert not (tmp_path / "none").exists()
    # Where they cannot be known, nothing is done.
    (far / run / "hosts" / "pc1.json").write_text("{}", encoding="utf-8")
    told = on_controller("terminals")
    assert told.returncode != 0
    assert "which terminals may be used cannot be known, so nothing is done: store:kijun/reports/" in " ".join(
        told.stdout.split()
    )
