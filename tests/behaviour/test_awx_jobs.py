# SPDX-License-Identifier: GPL-3.0-or-later
"""Every job of AWX, run as AWX runs it: with what its survey proposes, and with what people should not answer."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kijun_awx_changes import folder_with_ledger
from kijun_hosts import Machine
from kijun_lab import identity
from kijun_runner import Result, lab_credentials, lab_inventory, run_job
from kijun_tools import awx, awx_source

SOURCE = awx_source.read()
TEMPLATES = {item["playbook"]: item for item in awx.configuration(SOURCE)["job_templates.yml"]["controller_templates"]}
LEDGER = "/ledger"
REPORTS = f"{LEDGER}/reports"
URL = f"sqlite:///{LEDGER}/ledger.sqlite"
TEXTS = {
    name: [
        variable
        for variable, _ in SOURCE.asked(job)
        if awx.question(SOURCE, variable, True)["type"] in ("text", "textarea")
    ]
    for name, job in SOURCE.jobs.items()
}

ANSWERS: dict[str, dict[str, str]] = {
    "account_request": {
        "account_request_login": "operator9",
        "account_request_person": "Sample Person",
        "account_request_department": "operations",
        "account_request_hosts": "server13",
        "account_request_justification": "operates the server",
        "account_request_ticket": "REQ-1001",
    },
    "account_approval": {"account_request_login": "operator9", "account_request_ticket": "REQ-1001"},
    "log_search": {"log_user": "operator1"},
    "evidence_export": {"case": "INC-2026-007", "log_user": "operator1"},
    "integrity_baseline": {"ticket": "CHG-1"},
    "isolate": {"ticket": "INC-17", "reason": "a break-in is suspected"},
    "role": {"kijun_role": "kijun.baseline.time_sync"},
}
"""What is answered where a survey proposes nothing."""

REFUSED = {
    # Outside of its workflow.
    "account_approval": "nobody has approved it in AWX",
    "account_ledger": "entries",
    "antimalware": "antimalware_definitions_url is empty",
    "asset_entries": "entries",
    # Nothing ran before it.
    "audit_merge": "no job told of an audit",
    "assets_devices": "cannot be read",
    "certificates": "certificates_authority_host",
    "change": "kijun_change_",
    "client_reset": "client_reset_host",
    "exceptions": "entries",
    "file_inventory": "kijun-file-inventory.service",
    "incident_entries": "entries",
    "ledger_import": "no known format",
    "log_findings": "entries",
    "logging": "certificates_authority_host",
    "malware_products": "entries",
    "malware_release": "response_host",
    "malware_response": "response_host",
    "media_entries": "entries",
    "media_erase": "media_erase_host",
    "operations_entries": "entries",
    "recover": "recover_until",
    "restore": "run playbooks/backup.yml first",
    "rollback": "kijun_change_",
    "terminals": "no terminal may be used",
}
"""What says no to an answer that was made up, or in an inventory that says nothing of it; and words of what it says."""

UNCLEAR = ("Traceback", "unexpected", "object has no attribute", "is undefined", "Unhandled")
"""What no message about an answer may say."""


@pytest.fixture(scope="session")
def folder() -> Iterator[Path]:
    """A folder that jobs can write to, with a ledger in it."""
    with folder_with_ledger() as path:
        yield path


def answered(name: str) -> dict[str, str]:
    """What a survey proposes, and something of the right form where it proposes nothing and wants an answer."""
    given = {}
    for variable, required in SOURCE.asked(SOURCE.jobs[name]):
        asked = awx.question(SOURCE, variable, required)
        given[variable] = str(asked["default"]) or ("x" if required else "")
    if name == "account_request":
        # What the account's password is sealed to, as it is handed over.
        given["account_request_ssh_keys"] = identity.USER_KEY.with_suffix(".pub").read_text(encoding="ascii")
    return given | ANSWERS.get(name, {})


def run(machine: Machine, folder: Path, name: str, answers: dict[str, Any]) -> Result:
    """Run a job; what changes hosts, as a check."""
    job = SOURCE.jobs[name]
    inventory = copy.deepcopy(lab_inventory())
    # Jobs come from addresses of their own.
    networks = [f"{inventory['all']['vars']['kijun_lab_network']}.0/24"]
    own = dict.fromkeys(("firewall_management_networks", "firewall_never_blocked", "ssh_admin_networks"), networks)
    inventory["lab"]["vars"].update(own)
    template = TEMPLATES[f"playbooks/{name}.yml"]
    return run_job(
        f"playbooks/{name}.yml",
        answers,
        inventory=inventory,
        limit=f"{machine.name},localhost" if job["works_on"] == "hosts" else "",
        credentials=lab_credentials(environment={"KIJUN_LEDGER_URL": URL, "KIJUN_REPORT_DIR": REPORTS}),
        variables={key: value.replace(awx.REPORTS, REPORTS) for key, value in template["extra_vars"].items()},
        check=job["effect"] == "changes",
        volumes=[(folder, LEDGER)],
    )


@pytest.mark.parametrize("name", SOURCE.jobs)
def test_a_job_runs_with_what_its_survey_proposes(machine: Machine, folder: Path, name: str) -> None:
    result = run(machine, folder, name, answered(name))
    assert not [word for word in UNCLEAR if word in result.stdout], result.stdout
    if name in REFUSED:
        assert result.status == "failed", result.stdout
        assert REFUSED[name] in result.words
    else:
        assert result.ok, result.stdout + result.stderr


@pytest.mark.parametrize("name", [name for name, texts in TEXTS.items() if texts])
def test_what_is_answered_stays_text(machine: Machine, folder: Path, name: str) -> None:
    """Everything that can be text is quotes, lines and Jinja: it is refused in clear words, or does no harm."""
    jinja = "{{ lookup('ansible.builtin.pipe', 'touch /ledger/evaluated') }}"
    odd = f'it\'s "odd": {jinja} {{% raw %}}\n\t- 基準 & <b> # \\'
    result = run(machine, folder, name, answered(name) | dict.fromkeys(TEXTS[name], odd))
    assert not (folder / "evaluated").exists()
    assert not [word for word in UNCLEAR if word in result.stdout], result.stdout
    assert result.status in ("failed", "successful")
