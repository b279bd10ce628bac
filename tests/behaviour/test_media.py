# SPDX-License-Identifier: GPL-3.0-or-later
"""Recording media by the playbooks that an operator runs: entered, lent, taken back, erased, ended, reported on."""

from __future__ import annotations

import csv
import datetime
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger import migrate
from kijun_hosts import on_controller

TODAY = datetime.datetime.now().astimezone().date()
SOON = (TODAY + datetime.timedelta(days=7)).isoformat()
STICK = {
    "id": "USB-1",
    "action": "register",
    "kind": "usb_flash",
    "vendor_id": "0951",
    "product_id": "1666",
    "serial": "0375122100009134",
    "owner": "operations",
    "purpose": "logs for the vendor",
    "place": "cabinet 2",
    "confidential": True,
    "encryption": "luks",
    "key_place": "safe 1",
    "valid_until": SOON,
    "requester": "operator1",
    "approver": "manager1",
    "ticket": "MED-1",
}
LEND = {
    "id": "USB-1",
    "action": "lend",
    "lent_to": "operator1",
    "lent_for": "an incident",
    "due_on": SOON,
    "requester": "operator1",
    "approver": "manager1",
    "ticket": "MED-2",
}
BACK = {"id": "USB-1", "action": "return", "scanned": True, "emptied": True}


@pytest.fixture(autouse=True)
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ledger of the test's own."""
    url = f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    migrate.upgrade(url)
    monkeypatch.setenv("KIJUN_LEDGER_URL", url)


def enter(*entries: dict[str, Any]) -> str:
    """Enter changes that are accepted; nothing, or what was said where they are refused."""
    done = on_controller("media_entries", media_entries=list(entries))
    return "" if done.returncode == 0 else " ".join(done.stdout.split())


@pytest.mark.control("MED-01", "MED-02", "MED-03")
def test_a_medium_as_an_operator_enters_it(tmp_path: Path) -> None:
    assert "nobody approves what they themselves asked for (clause ST-14-1)" in enter(
        {**STICK, "approver": "operator1"}
    )
    assert "must not be where the medium itself is kept (clause SM-4.6.2-2)" in enter(
        {**STICK, "key_place": "cabinet 2"}
    )
    assert enter(STICK, LEND) == ""
    assert "no data stay on it: erase them first (clause GL-2.4-3)" in enter({**BACK, "emptied": False})
    assert enter(BACK) == ""
    other = {**LEND, "lent_to": "operator2"}
    assert "data of operator1 were on it: erase it before somebody else has it (clause SM-4.6.2-3)" in enter(other)
    settings = {"media_directory": str(tmp_path / "media"), "media_language": "en"}
    done = on_controller("media_report", **settings)
    assert done.returncode == 0, done.stdout
    assert "Confidential, used, and not erased since" in (tmp_path / "media" / "media.html").read_text(encoding="utf-8")
    erased = {"id": "USB-1", "action": "erase", "erasure": "overwrite", "erasure_record": "ERA-1"}
    ended = {
        "id": "USB-1",
        "action": "dispose",
        "erasure": "destroy",
        "disposed_on": TODAY.isoformat(),
        "disposed_by": "operator1",
        "witness": "operator2",
        "certificate": "CERT-1",
        "reason": "worn out",
    }
    assert "nobody witnesses what they did themselves (clause SM-4.6.3-1)" in enter({**ended, "witness": "operator1"})
    assert "by the committee's approval alone" in enter({**ended, "contractor": "a firm"})
    assert enter(erased, ended) == ""
    assert on_controller("media_report", **settings).returncode == 0
    assert "USB-1,disposed,usb_flash,0951" in (tmp_path / "media" / "media.csv").read_text(encoding="utf-8-sig")


@pytest.mark.control("MED-05")
def test_confidential_media_are_encrypted_or_locked_away(tmp_path: Path) -> None:
    plain = {**STICK, "encryption": "none", "key_place": ""}
    assert "encrypted, or locked away: by whom, says key_holder (clause SM-4.6.2-1)" in enter(plain)
    assert enter({**plain, "key_holder": "manager2"}) == ""
    assert "is encrypted before it is lent (clause SM-4.6.2-1)" in enter(LEND)
    settings = {"media_directory": str(tmp_path / "media"), "media_language": "en"}
    assert on_controller("media_report", **settings).returncode == 0
    with (tmp_path / "media" / "media.csv").open(encoding="utf-8-sig", newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["Kept at"], row["Key of the place held by"]) == ("cabinet 2", "manager2")


def test_what_a_form_asks_for_is_text_and_stays_text(tmp_path: Path) -> None:
    # As AWX hands on what somebody typed: one text, marked as unsafe.
    typed = yaml.safe_dump([{**STICK, "purpose": '{{ 7 * 7 }} of "it\'s"'}], allow_unicode=True)
    given = tmp_path / "extravars"
    given.write_text(f"media_entries: !unsafe {json.dumps(typed)}\n", encoding="utf-8")
    done = on_controller("media_entries", "-e", f"@{given}")
    assert done.returncode == 0, done.stdout
    settings = {"media_directory": str(tmp_path / "media"), "media_language": "en"}
    assert on_controller("media_report", **settings).returncode == 0
    with (tmp_path / "media" / "media.csv").open(encoding="utf-8-sig", newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["Purpose"] == '{{ 7 * 7 }} of "it\'s"'
    done = on_controller("media_entries", media_entries="USB-1")
    assert done.returncode != 0
    assert "must be a list of entries, each with its fields" in " ".join(done.stdout.split())
