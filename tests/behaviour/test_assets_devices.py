# SPDX-License-Identifier: GPL-3.0-or-later
"""The export of a mobile device management, by the playbook that an operator runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger import migrate
from kijun_hosts import on_controller

COLUMNS = {
    "serial": "シリアル番号",
    "user": "利用者",
    "encrypted": "暗号化",
    "lock_seconds": "自動ロック(秒)",
    "cloud_sync": "クラウド同期",
}
EXPORT = """シリアル番号,端末名,利用者,暗号化,自動ロック(秒),クラウド同期
SN1,phone 1,operator1,有効,60,無効
SN2,phone 2,operator3,無効,300,有効
SN9,=cmd(),operator4,有効,30,無効
"""


@pytest.mark.control("AST-04")
def test_an_export_is_held_against_the_book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    migrate.upgrade(url)
    monkeypatch.setenv("KIJUN_LEDGER_URL", url)
    phone = {"action": "register", "kind": "phone", "owner": "sales", "place": "carried", "portable": True}
    entries = [
        {**phone, "id": f"PH-{number}", "serial": f"SN{number}", "user": f"operator{number}"} for number in range(1, 4)
    ]
    approved = [{**entry, "approver": "manager1", "ticket": "AST-1"} for entry in entries]
    done = on_controller("asset_entries", asset_entries=approved)
    assert done.returncode == 0, done.stdout
    export = tmp_path / "export.csv"
    export.write_bytes(EXPORT.encode("cp932"))
    settings = {
        "assets_devices_file": str(export),
        "assets_devices_columns": COLUMNS,
        "assets_directory": str(tmp_path / "out"),
        "assets_language": "en",
    }
    done = on_controller("assets_devices", **settings)
    assert done.returncode == 0, done.stdout
    assert (tmp_path / "out" / "devices.csv").read_text(encoding="utf-8-sig").splitlines()[1:] == [
        "Devices that are in no ledger,,SN9,operator4",
        "Devices in use that their management does not know,PH-3,SN3,operator3",
        'Devices that somebody else has,PH-2,SN2,"operator3, in the ledger operator2"',
        "Devices that are not encrypted,PH-2,SN2,",
        "Devices whose screens lock too late,PH-2,SN2,300 seconds",
        "Devices that synchronise with a cloud,PH-2,SN2,",
    ]
    assert "スマートデバイス照合結果" in (tmp_path / "out" / "devices.html").read_text(encoding="utf-8")
    # A column that is missing, and a word that nobody knows.
    for columns, words in (
        (
            {**COLUMNS, "last_seen": "最終通信"},
            "the export has no column 最終通信 (last_seen); it has シリアル番号, 端末名",
        ),
        ({"serial": "シリアル番号", "passcode": "端末名"}, "row 2: 端末名 is 'phone 1'; known are 0, 1, active"),
        ({"user": "利用者"}, "columns has no serial; it must name the heading of serial"),
    ):
        done = on_controller("assets_devices", **{**settings, "assets_devices_columns": columns})
        assert done.returncode != 0
        assert words in " ".join(done.stdout.split())
