# SPDX-License-Identifier: GPL-3.0-or-later
"""awx_configure.yml makes what the configuration says, once, and takes away what it made itself."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from kijun_awx import TOKEN, Store
from kijun_hosts import ansible_playbook
from kijun_tools import awx, awx_source

SAID = {
    "awx_configure_token": TOKEN,
    "awx_configure_reader_token": "reader-token-1f4c",
    "awx_configure_project_url": "https://git.example.com/kijun.git",
    "awx_configure_signing_key": "-----BEGIN PGP PUBLIC KEY BLOCK-----",
    "awx_configure_image": "registry.example.com/kijun:0.6.0",
    "awx_configure_inventories_url": "https://git.example.com/inventories.git",
    "awx_configure_ledger_url": "postgresql+psycopg://kijun:ledger-secret-77@192.0.2.5/kijun",
    "awx_configure_report_store": "store:kijun/reports",
    "awx_configure_report_store_configuration": "[store]\ntype = s3\nsecret_access_key = store-secret-66\n",
    "awx_configure_vault_password": "vault-secret-88",
    "awx_configure_machine": {"username": "ansible", "ssh_key_data": "machine-secret-99"},
    "awx_configure_standing_ticket": "STD-1",
    "awx_configure_notifications": [
        {
            "name": "Kijun mail",
            "organization": "Kijun",
            "description": "Failures and approvals (Kijun)",
            "notification_type": "email",
            "notification_configuration": {"host": "mail.example.com", "recipients": ["operators@example.com"]},
        }
    ],
}
SECRETS = ("reader-token-1f4c", "ledger-secret-77", "store-secret-66", "vault-secret-88", "machine-secret-99", TOKEN)


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    store = Store()
    yield store
    store.close()


def configure(store: Store, *arguments: str, **said: Any) -> subprocess.CompletedProcess[str]:
    given = SAID | {"awx_configure_host": store.address} | said
    words = ("-i", "localhost,", "playbooks/awx_configure.yml", "-e", json.dumps(given), *arguments)
    done = ansible_playbook(*words, KIJUN_JOURNAL="no")
    assert not [secret for secret in SECRETS if secret in done.stdout + done.stderr]
    return done


def _teams_with(store: Store, item: dict[str, Any], role: str) -> set[str]:
    number = item["summary_fields"]["object_roles"][role]["id"]
    return {
        name
        for name, team in store.named("teams").items()
        if team["id"] in store.linked.get(("roles", number, "teams"), [])
    }


def test_what_is_missing_is_said_before_anything_is_made(store: Store) -> None:
    wrong = {"awx_configure_report_store": "reports", "awx_configure_report_store_configuration": ""}
    done = configure(store, awx_configure_standing_ticket="", awx_configure_image="", **wrong)
    assert done.returncode != 0
    said = " ".join(done.stdout.split())
    assert "awx_configure_image is" in said
    assert "awx_configure_standing_ticket is" in said
    assert "(clause GL-3.2-4)" in said
    assert (
        "awx_configure_report_store is 'reports'; it must be empty, or REMOTE:PATH such as store:kijun/reports"
        " (clause SM-5-1)" in said
    )
    assert "awx_configure_report_store_configuration is empty; it must be a text, not empty (clause SM-5-1)" in said
    assert not store.writes


@pytest.mark.control("AWX-01", "AWX-02")
def test_the_first_run_makes_everything(store: Store) -> None:
    done = configure(store)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    source = awx_source.read()
    assert set(store.named("job_templates")) == {awx.name_of(job) for job in source.jobs.values()}
    assert set(store.named("workflow_job_templates")) == {awx.name_of(one) for one in source.workflows.values()}
    items = (*source.jobs.values(), *source.workflows.values())
    assert len(store.named("schedules")) == sum(len(item.get("schedules", {})) for item in items)
    audit = store.named("job_templates")[awx.name_of(source.jobs["audit"])]
    assert audit["playbook"] == "playbooks/audit.yml"
    assert store.surveys[("job_templates", audit["id"])]["spec"][0]["variable"] == "kijun_audit_strict"
    due = store.named("schedules")[awx.name_of(source.workflows["audit"]) + ": daily"]
    assert due["rrule"] == "DTSTART;TZID=Asia/Tokyo:20260101T090000 RRULE:FREQ=DAILY;INTERVAL=1"
    injectors = store.named("credential_types")["Kijun ledger"]["injectors"]
    assert injectors["env"].items() >= {"KIJUN_LEDGER_URL": "{{ url }}", "KIJUN_REPORT_DIR": "{{ reports }}"}.items()
    assert injectors["file"] == {"template.authority": "{{ authority }}"}
    # Every job brings what it leaves to the store.
    kept = store.named("credentials")["Kijun report store"]["id"]
    jobs = store.named("job_templates").values()
    assert all(kept in store.linked[("job_templates", job["id"], "credentials")] for job in jobs)
    # Who may start a workflow with an approval, and who may give it, are different teams.
    change = store.named("workflow_job_templates")[awx.name_of(source.workflows["change"])]
    may = {role: _teams_with(store, change, role) for role in ("execute_role", "approval_role")}
    assert may == {"execute_role": {"System administrators"}, "approval_role": {"Approvers"}}
    nodes = store.named("workflow_job_template_nodes")
    assert store.linked[("workflow_job_template_nodes", nodes["ask"]["id"], "success_nodes")]


@pytest.mark.control("AWX-01", "AWX-02")
def test_a_second_run_changes_what_somebody_clicked_and_removes_what_we_made_and_nothing_else(store: Store) -> None:
    kijun, organization = (next(iter(store.objects[kind])) for kind in ("labels", "organizations"))
    ours = store.add("job_templates", {"name": "Kijun: a job of long ago", "organization": organization})
    store.linked[("job_templates", ours["id"], "labels")] = [kijun]
    store.add("job_templates", {"name": "Kijun: somebody else's, by its name", "organization": organization})
    # The same label in another organisation is another one's Kijun.
    other = store.add("organizations", {"name": "Another"})["id"]
    theirs = store.add("job_templates", {"name": "Kijun: another organisation's", "organization": other})
    store.linked[("job_templates", theirs["id"], "labels")] = [kijun]
    for name, description, template in (
        ("left over", "SM-5-1 (Kijun)", ours["id"]),
        ("somebody else's", "nightly", ours["id"]),
        ("another organisation's", "SM-5-1 (Kijun)", theirs["id"]),
    ):
        store.add("schedules", {"name": name, "description": description, "unified_job_template": template})
    audit = store.named("job_templates")[awx.name_of(awx_source.read().jobs["audit"])]
    audit["ask_variables_on_launch"] = True
    store.writes.clear()
    done = configure(store, "--check", "--diff")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    assert "changed=3 " in done.stdout
    assert not store.writes
    # And there is no report store any more.
    done = configure(store, awx_configure_report_store="")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    assert "Kijun report store" not in store.named("credentials")
    names = {item["id"]: name for name, item in store.named("credentials").items()}
    assert {names[number] for number in store.linked[("job_templates", audit["id"], "credentials")]} == {
        *("Kijun ledger", "Kijun machine", "Kijun vault")
    }
    assert audit["ask_variables_on_launch"] is False
    assert "Kijun: a job of long ago" not in store.named("job_templates")
    assert "Kijun: somebody else's, by its name" in store.named("job_templates")
    assert "Kijun: another organisation's" in store.named("job_templates")
    assert "another organisation's" in store.named("schedules")
    assert "left over" not in store.named("schedules")
    assert "somebody else's" in store.named("schedules")
