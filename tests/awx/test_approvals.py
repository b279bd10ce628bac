# SPDX-License-Identifier: GPL-3.0-or-later
"""Where AWX says who approved, nobody can type it: for every book, as the job templates set it."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
import yaml
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.engine import Ledger
from kijun_awx import WORKFLOW, Run, Store

SOON = (datetime.datetime.now().astimezone().date() + datetime.timedelta(days=10)).isoformat()
ACCOUNT = {
    "login": "operator9",
    "action": "request",
    "person": "Sample Person",
    "department": "operations",
    "hosts": ["web1"],
    "justification": "operates the server",
    "requester": "requester1",
    "ticket": "REQ-1",
}
EXCEPTION = {
    "id": "EXC-1",
    "action": "file",
    "control": "AUTH-07",
    "hosts": ["web1"],
    "reason": "old software retries",
    "measure": "a filter",
    "valid_until": SOON,
    "requester": "requester1",
    "ticket": "REQ-1",
}
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
    "valid_until": SOON,
    "requester": "requester1",
    "ticket": "MED-1",
}
MACHINE = {
    "id": "SRV-1",
    "action": "register",
    "kind": "server",
    "host": "web1",
    "owner": "operations",
    "place": "rack 1",
    "purpose": "tests",
    "holds": "nothing",
    "ticket": "AST-1",
}
BOOKS: dict[str, tuple[str, str, str, list[dict[str, Any]]]] = {
    "accounts": ("account_ledger", "account_entries", "operator9", [
        ACCOUNT, {"login": "operator9", "action": "approve", "ticket": "REQ-1"},
    ]),
    "exceptions": ("exceptions", "exception_entries", "EXC-1", [
        EXCEPTION, {"id": "EXC-1", "action": "approve", "ticket": "REQ-1"},
    ]),
    "media": ("media_entries", "media_entries", "USB-014", [STICK]),
    "assets": ("asset_entries", "asset_entries", "SRV-1", [MACHINE]),
}  # fmt: skip
"""Book -> the playbook, its variable, the key, and the entries; the last of them needs an approval."""


@pytest.mark.control("AWX-02")
@pytest.mark.parametrize("book", BOOKS)
def test_an_entry_is_approved_by_who_approved_the_workflow(run: Run, url: str, store: Store, book: str) -> None:
    playbook, variable, key, entries = BOOKS[book]
    *before, last = entries

    def enter(wanted: list[dict[str, Any]], **own: Any) -> tuple[int, str]:
        answers = {variable: yaml.safe_dump(wanted)}
        done = run(playbook, "administrator1", answers, kijun_ledger_approvals="awx", **own)
        return done.returncode, " ".join(done.stdout.split())

    def entered() -> dict[str, Any]:
        with Ledger(url) as ledger:
            state = ledger.get(book, key)
        return dict(state.fields) if state else {}

    if before:
        # An application needs nobody's approval, in whatever job it is entered.
        assert enter(before)[0] == 0
    known = entered()
    typed = {**last, "approver": "manager1"}
    for wanted in (last, typed):
        code, said = enter([wanted])
        assert code != 0
        assert "nobody has approved it in AWX" in said
        assert "SM-4.1.1-1a" in said
    store.approve("administrator1", "manager2")
    code, said = enter([typed], awx_workflow_job_id=WORKFLOW)
    assert code != 0
    assert "is not who approved it in AWX, manager2" in said
    store.approve("administrator1", "administrator1")
    code, said = enter([last], awx_workflow_job_id=WORKFLOW)
    assert code != 0
    assert "started this workflow and approved it" in said
    assert entered() == known
    store.approve("administrator1", "manager1")
    for wanted in (last, typed):
        code, said = enter([wanted], awx_workflow_job_id=WORKFLOW)
        assert code == 0, said
    assert entered()["approver"] == "manager1"


def test_a_setting_that_is_no_way_of_approval_is_refused(run: Run, url: str) -> None:
    answers = {"account_entries": yaml.safe_dump([ACCOUNT])}
    done = run("account_ledger", "administrator1", answers, kijun_ledger_approvals="AWX")
    assert done.returncode != 0
    assert "kijun_ledger_approvals is 'AWX': must be one of: entries, awx" in " ".join(done.stdout.split())
    with Ledger(url) as ledger:
        assert ledger.get("accounts", "operator9") is None
