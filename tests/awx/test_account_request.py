# SPDX-License-Identifier: GPL-3.0-or-later
"""An account is asked for and approved as AWX's workflow does it: AWX says who approved, and answers stay text."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.engine import Ledger
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.migrate import upgrade
from kijun_awx import TOKEN, Store
from kijun_hosts import ansible_playbook

Run = Callable[..., subprocess.CompletedProcess[str]]
WORKFLOW = 17
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


class Unsafe(str):
    """A survey's answer, as AWX writes it into a job's variables."""


class Dumper(yaml.SafeDumper):
    """Marks answers, so that Ansible evaluates nothing in them."""


Dumper.add_representer(Unsafe, lambda dumper, text: dumper.represent_scalar("!unsafe", str(text), style='"'))


@pytest.fixture
def url(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path}/ledger.sqlite"
    upgrade(url)
    return url


@pytest.fixture
def store() -> Iterator[Store]:
    store = Store()
    yield store
    store.close()


@pytest.fixture
def run(tmp_path: Path, url: str, store: Store) -> Run:
    """Runs a playbook as AWX does, started by somebody, with a survey's answers."""

    def run(playbook: str, user: str, answers: dict[str, Any], **own: Any) -> subprocess.CompletedProcess[str]:
        file = tmp_path / "extravars"
        given = {name: Unsafe(value) for name, value in answers.items()}
        file.write_text(yaml.dump({**given, "awx_user_name": user, **own}, Dumper=Dumper), encoding="utf-8")
        inventory = tmp_path / "hosts.yml"
        inventory.write_text("all: {hosts: {web1: {}, web2: {}}}\n", encoding="utf-8")
        return ansible_playbook(
            *("-i", str(inventory), f"playbooks/{playbook}.yml", "-e", f"@{file}"),
            KIJUN_LEDGER_URL=url,
            KIJUN_JOURNAL="no",
            CONTROLLER_HOST=store.address,
            CONTROLLER_OAUTH_TOKEN=TOKEN,
        )

    return run


def approved_by(store: Store, started: str, *approvers: str) -> None:
    """Have the workflow started by one and approved by others."""
    path = f"workflow_jobs/{WORKFLOW}"
    store.answers[path] = {
        "id": WORKFLOW,
        "type": "workflow_job",
        "summary_fields": {"created_by": {"username": started}},
    }
    nodes = [{"id": 1, "summary_fields": {"job": {"id": 21, "type": "job"}}}]
    for number, name in enumerate(approvers, 31):
        nodes.append({"id": number, "summary_fields": {"job": {"id": number, "type": "workflow_approval"}}})
        store.answers[f"workflow_approvals/{number}"] = {
            "id": number,
            "type": "workflow_approval",
            "status": "successful",
            "finished": f"2026-11-20T01:00:{number}Z",
            "summary_fields": {"approved_or_denied_by": {"username": name}},
        }
    store.answers[f"{path}/workflow_nodes"] = {"count": len(nodes), "next": None, "previous": None, "results": nodes}


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
    approved_by(store, "requester1", "requester1")
    done = run("account_approval", "requester1", approval, awx_workflow_job_id=WORKFLOW)
    assert done.returncode != 0
    assert "requester1 started this workflow and approved it" in " ".join(done.stdout.split())
    # Nobody did.
    approved_by(store, "requester1")
    done = run("account_approval", "requester1", approval, awx_workflow_job_id=WORKFLOW)
    assert done.returncode != 0
    assert "nobody approved this workflow" in " ".join(done.stdout.split())
    assert account(url)["status"] == "requested"
    approved_by(store, "requester1", "manager1")
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
