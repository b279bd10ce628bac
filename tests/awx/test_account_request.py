# SPDX-License-Identifier: GPL-3.0-or-later
"""An account is asked for and approved as AWX's workflow does it: AWX says who approved, and answers stay text."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.engine import Ledger
from kijun_awx import WORKFLOW, Run, Store

HOSTILE = "Operates 'web' \"servers\"\nsince {{ lookup('ansible.builtin.pipe', 'id') }} {% raw %}: [x] # y"
ANSWERS = {
    "account_request_login": "operator9",
    "account_request_person": "Sample Person",
    "account_request_department": "operations",
    "account_request_kind": "person",
    "account_request_contractor": "",
    "account_request_hosts": "web1\n\n  web2 \n",
    "account_request_groups": "",
    "account_request_sudo": "",
    "account_request_ssh_keys": "",
    "account_request_valid_until": "",
    "account_request_justification": HOSTILE,
    "account_request_ticket": "REQ-1001",
}


def account(url: str) -> dict[str, Any]:
    with Ledger(url) as ledger:
        state = ledger.get("accounts", "operator9")
    return dict(state.fields) if state else {}


@pytest.mark.control("AWX-02")
def test_an_account_is_asked_for_by_one_and_approved_by_another(run: Run, url: str, store: Store) -> None:
    done = run("account_request", "requester1", ANSWERS)
    assert done.returncode == 0, done.stdout + done.stderr
    entered = account(url)
    assert entered["requester"] == "requester1"
    assert entered["hosts"] == ["web1", "web2"]
    assert entered["status"] == "requested"
    assert entered["justification"] == " ".join(HOSTILE.split())
    approval = {name: ANSWERS[name] for name in ("account_request_login", "account_request_ticket")}
    # Whoever started the workflow approved it: AWX lets them where they have that right.
    store.approve("requester1", "requester1")
    done = run("account_approval", "requester1", approval, awx_workflow_job_id=WORKFLOW)
    assert done.returncode != 0
    assert "requester1 started this workflow and approved it" in " ".join(done.stdout.split())
    # Nobody did.
    store.approve("requester1")
    done = run("account_approval", "requester1", approval, awx_workflow_job_id=WORKFLOW)
    assert done.returncode != 0
    assert "nobody approved this workflow" in " ".join(done.stdout.split())
    assert account(url)["status"] == "requested"
    store.approve("requester1", "manager1")
    done = run("account_approval", "requester1", approval, awx_workflow_job_id=WORKFLOW)
    assert done.returncode == 0, done.stdout + done.stderr
    assert account(url)["status"] == "approved"
    assert account(url)["approver"] == "manager1"


@pytest.mark.control("AWX-02")
def test_outside_of_a_workflow_nobody_approves_their_own_application(run: Run, url: str) -> None:
    assert run("account_request", "requester1", ANSWERS).returncode == 0
    approval = {name: ANSWERS[name] for name in ("account_request_login", "account_request_ticket")}
    done = run("account_approval", "requester1", approval)
    assert done.returncode != 0
    assert account(url)["status"] == "requested"
    assert run("account_approval", "manager1", approval).returncode == 0
    assert account(url)["approver"] == "manager1"


@pytest.mark.parametrize("missing", ["account_request_login", "account_request_hosts", "account_request_justification"])
def test_an_answer_that_is_missing_is_named_and_nothing_is_entered(run: Run, url: str, missing: str) -> None:
    done = run("account_request", "requester1", {**ANSWERS, missing: ""})
    assert done.returncode != 0
    assert missing.removeprefix("account_request_") in done.stdout
    assert not account(url)
