# SPDX-License-Identifier: GPL-3.0-or-later
"""Real hosts held against the book of assets: unknown, then known; software and programs that nobody approved."""

from __future__ import annotations

import datetime
import email
import email.policy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kijun_hosts
import pytest
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger import migrate
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.engine import Ledger
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger_entries import change_of
from kijun_hosts import on_controller
from kijun_logs import wait_for

from .conftest import Machine

PROGRAM = "/opt/kijuntest/tool"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the reports go; a ledger of the test's own is beside it."""
    url = f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    migrate.upgrade(url)
    monkeypatch.setenv("KIJUN_LEDGER_URL", url)
    return tmp_path / "assets"


def compared(machine: Machine, place: Path, *more: str, **variables: Any) -> list[str]:
    """The lines of the findings."""
    given = {"assets_directory": str(place), "assets_language": "en", **variables}
    done = machine.playbook("assets", "-e", json.dumps(given), *more)
    assert done.returncode == 0, done.stdout + done.stderr
    if not (place / "findings.csv").exists():
        return []
    return (place / "findings.csv").read_text(encoding="utf-8-sig").splitlines()[1:]


@pytest.mark.control("AST-01", "AST-02", "AST-03")
def test_a_host_is_held_against_the_book(machine: Machine, place: Path) -> None:
    host = machine.name
    assert compared(machine, place, "--check") == [], "check mode writes nothing"
    assert compared(machine, place) == [f"Machines that are in no ledger,,{host},"]
    asset = {
        "id": "SRV-1",
        "action": "register",
        "kind": "server",
        "host": host,
        "owner": "operations",
        "place": "the lab",
        "purpose": "tests",
        "holds": "nothing",
        "approver": "manager1",
        "ticket": "AST-1",
    }
    count = {
        "id": "SRV-1",
        "action": "count",
        "counted": "found",
        "counted_on": "2026-11-20",
        "counted_by": "operator1",
    }
    with Ledger(f"sqlite:///{place.parent / 'ledger.sqlite'}") as ledger:
        ledger.append(
            "assets", [change_of(number, entry, "id") for number, entry in enumerate((asset, count), 1)], "awx"
        )
    assert compared(machine, place, assets_count_days=1800) == []
    sheet = (place / "count.csv").read_text(encoding="utf-8-sig")
    assert f"SRV-1,in_use,server,{host}" in sheet

    software = "Software that nobody approved"
    machine.ok(f"mkdir -p {Path(PROGRAM).parent} && printf '#!/bin/sh\\n' > {PROGRAM} && chmod 755 {PROGRAM}")
    try:
        settings = {"assets_count_days": 1800, "assets_approved_programs": ["/srv/*"]}
        first = compared(machine, place, assets_approved_software=["no-such-package"], **settings)
        chosen = [line.split(",")[-1] for line in first if line.startswith(software)]
        said = compared(machine, place, assets_approved_software=[*chosen[1:], "opnssh-server"], **settings)
    finally:
        machine.ok(f"rm -r {Path(PROGRAM).parent}")
    assert [line for line in said if line.startswith(software)] == [f"{software},SRV-1,{host},{chosen[0]}"]
    assert f"Programs outside packages that nobody approved,SRV-1,{host},{PROGRAM}" in said
    assert '"Approvals that no machine has anything of: misspelt, or no longer needed",,,opnssh-server' in said


def enter(*entries: dict[str, Any], **variables: Any) -> str:
    """Enter changes that are accepted; nothing, or what was said where they are refused."""
    done = on_controller("asset_entries", asset_entries=list(entries), kijun_actor="operator3", **variables)
    return "" if done.returncode == 0 else " ".join(done.stdout.split())


@pytest.mark.control("AST-07")
def test_what_is_entrusted_to_others_loses_no_information(place: Path) -> None:
    store = {"id": "NAS-1", "kind": "storage", "maker": "Example", "serial": "N1", "owner": "sales", "place": "room 3"}
    assert enter({**store, "action": "register", "approver": "manager1", "ticket": "AST-1"}) == ""
    repair = {"id": "NAS-1", "action": "repair", "place": "the maker", "reason": "a disk clicks"}
    assert "storage '': what becomes of the information on it" in enter(repair)
    comes = {**repair, "place": "room 3", "storage": "encrypted", "contractor": "a firm"}
    assert "is with the contractor who comes in (clause SM-4.6.1-2)" in enter(comes)
    assert enter({**comes, "escort": "operator2"}) == ""
    ended = {
        "id": "NAS-1",
        "action": "dispose",
        "reason": "broken",
        "disposed_on": "2026-11-20",
        "record": "ERA-8",
        "contractor": "a firm",
        "approver": "manager9",
        "ticket": "AST-2",
    }
    said = enter(ended, kijun_exceptions_committee=["manager1"])
    assert "is none of the committee (kijun_exceptions_committee): manager1 (clause SM-4.6.3-2a)" in said
    assert "names the contract, which has secrecy and forbids reuse (clause SM-4.6.3-2b)" in said
    checked = {**ended, "approver": "manager1", "contract": "CON-7", "contract_checked_by": "operator2"}
    assert enter(checked, kijun_exceptions_committee=["manager1"]) == ""


@pytest.mark.control("AST-08")
def test_work_data_on_a_private_device_need_an_approval_that_ends(machine: Machine, place: Path) -> None:
    now = datetime.datetime.now().astimezone()
    today = now.date()
    own = {
        "id": "PRV-1",
        "action": "register",
        "kind": "phone",
        "serial": "P1",
        "owner": "sales",
        "user": "operator1",
        "place": "with its user",
        "holds": "mail",
        "private": True,
        "valid_until": today.isoformat(),
        "approver": "manager1",
        "ticket": "AST-3",
    }
    assert "register needs an approver" in enter({**own, "approver": ""})
    assert "until when (clause ST-10-3)" in enter({**own, "valid_until": None})
    assert "is over already (clause ST-10-3)" in enter({**own, "valid_until": "2026-11-20"})
    assert enter(own) == ""
    words = "Private devices whose approval is over"
    settings: dict[str, Any] = {"assets_count_days": 1800, "assets_portable_count_days": 1700}
    assert not [line for line in compared(machine, place, **settings) if line.startswith(words)]
    # One that was approved a month ago, until yesterday.
    over = (today - datetime.timedelta(days=1)).isoformat()
    with Ledger(f"sqlite:///{place.parent / 'ledger.sqlite'}") as ledger:
        old = change_of(1, {**own, "id": "PRV-2", "serial": "P2", "valid_until": over}, "id")
        ledger.append("assets", [old], "operator3", at=now - datetime.timedelta(days=30))
    assert f"{words},PRV-2,,{over}" in compared(machine, place, **settings)


@pytest.fixture
def mail_server(machine: Machine) -> Iterator[Machine]:
    """A real mail server on the host; its root is the security manager."""
    with kijun_hosts.mail_server(machine, "example.com"):
        yield machine


@pytest.mark.control("AST-09")
def test_a_loss_is_told_at_once(mail_server: Machine, place: Path) -> None:
    known = {"kind": "phone", "owner": "sales", "user": "operator1", "place": "with its user", "holds": "顧客の連絡先"}
    for number in (1, 2, 3):
        entry = {**known, "id": f"PH-{number}", "serial": f"P{number}", "action": "register"}
        assert enter({**entry, "approver": "manager1", "ticket": "AST-4"}) == ""
    lost = {"action": "lose", "reason": "left in a train"}
    said = enter({**lost, "id": "PH-1"})
    assert "PH-1: the loss is entered, and the security manager was not told of it: nobody is named" in said
    where = {"assets_mail_to": ["root@example.com"], "assets_mail_from": "kijun@example.com"}
    assert "it must be a list of mail addresses" in enter({**lost, "id": "PH-2"}, assets_mail_to=["root\nBcc: x@y"])
    said = enter({**lost, "id": "PH-2"}, **where, assets_mail_server=mail_server.address, assets_mail_port=1)
    assert "Tell root@example.com by another way, now (clause ST-9-4)" in said
    assert enter({**lost, "id": "PH-3"}, **where, assets_mail_server=mail_server.address) == ""
    assert wait_for(lambda: mail_server.run("test -s /var/mail/root").rc == 0, 20)
    raw = mail_server.ok("cat /var/mail/root")
    (message,) = (email.message_from_string(part, policy=email.policy.default) for part in [raw])
    assert message["Subject"] == "[Kijun] 紛失・盗難 / Lost: PH-3"
    body = message.get_content() if not message.is_multipart() else message.get_body().get_content()
    for words in ("left in a train", "operator1", "顧客の連絡先", "entered by: operator3"):
        assert words in body
    # Entered again, it is no news.
    assert enter({**lost, "id": "PH-3"}, **where, assets_mail_server=mail_server.address, assets_mail_port=1) == ""


def test_wrong_settings_are_refused(machine: Machine, place: Path) -> None:
    for given, words in (
        ({"assets_portable_count_days": 365}, "portable_count_days is 365; it must be from 1 to less than"),
        ({"assets_count_days": 0}, "assets_count_days is 0; it must be a whole number from 2 to 1830 (clause SM-5-2a)"),
        ({"assets_trees": ["home"]}, "assets_trees is ['home']; it must be a list of absolute paths"),
        ({"assets_approved_software": ["vim; rm"]}, "it must be a list of packages, in whose names * stands for"),
    ):
        done = machine.playbook("assets", "-e", json.dumps({"assets_directory": str(place), **given}))
        assert done.returncode != 0
        assert words in " ".join(done.stdout.split()), done.stdout
        assert not place.exists()
