# SPDX-License-Identifier: GPL-3.0-or-later
"""Playbooks as AWX runs them, in the execution environment, on real hosts: surveys, artifacts, time-outs, cancels."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.vault import VaultLib, VaultSecret
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.engine import Ledger
from kijun_awx_changes import LEDGER, backed_up, folder_with_ledger, of_change
from kijun_changes import SERVER, status
from kijun_hosts import Machine
from kijun_lab import execution_environment
from kijun_lab.podman import ENVIRONMENT
from kijun_logs import wait_for
from kijun_runner import (
    ARBITRARY_USER,
    LARGEST_ARTIFACTS,
    LARGEST_EVENT,
    Place,
    Result,
    image,
    lab_credentials,
    lab_inventory,
    run_job,
)

REPORTS = "/tmp/reports"
LATER = "sleep 300"
JINJA = "{{ lookup('ansible.builtin.pipe', 'touch /tmp/evaluated; echo evaluated') }}"
ODD_LINE = f'it\'s "quoted": {JINJA} {{% raw %}} # 基準 & <b>\\'
ODD = f'it\'s "quoted": {JINJA} {{% raw %}}\n\tnext line # 基準 & <b>\\'
"""What a survey's text can hold, in one line and in several."""

ISOLATED = pytest.mark.parametrize("place", [Place.POD, Place.NODE])


@pytest.fixture(scope="session")
def host(machine: Machine) -> Machine:
    """A host that is backed up."""
    return backed_up(machine)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that a job can write to, with a ledger in it."""
    with folder_with_ledger() as path:
        yield path


def entered(folder: Path, answers: dict[str, Any], **more: Any) -> Result:
    """Run the job that enters assets, with the ledger's address from a credential."""
    return run_job(
        "playbooks/asset_entries.yml",
        answers,
        inventory={"all": {"hosts": []}, "_meta": {"hostvars": {}}},
        credentials=lab_credentials(environment={"KIJUN_LEDGER_URL": f"sqlite:///{LEDGER}/ledger.sqlite"}),
        volumes=[(folder, LEDGER)],
        **more,
    )


def assets(folder: Path) -> dict[str, dict[str, Any]]:
    """The book of assets."""
    with Ledger(f"sqlite:///{folder}/ledger.sqlite") as ledger:
        return {state.key: dict(state.fields) for state in ledger.states("assets")}


# ---- the image ----


def in_image(*words: str) -> str:
    """What a program of the image prints, run by whoever the image says, without a network."""
    line = ["podman", "run", "--rm", "--network=none", image(), *words]
    return subprocess.run(line, env=ENVIRONMENT, check=True, capture_output=True, text=True, timeout=120).stdout


def test_the_image_holds_what_the_lock_says_and_nothing_of_this_machine() -> None:
    listed = json.loads(
        in_image("python3", "-m", "pip", "list", "--format=json", "--path=/usr/local/lib/python3.13/dist-packages")
    )
    found = {one["name"].lower().replace("_", "-"): one["version"] for one in listed}
    lines = [line for line in execution_environment.LOCKED.read_text("utf-8").splitlines() if "== 'win32'" not in line]
    wanted = dict(line.split()[0].lower().replace("_", "-").split("==") for line in lines if "==" in line)
    assert found == wanted
    assert in_image("python3", "-m", "pip", "check").startswith("No broken requirements")
    collections = re.findall(r"^([a-z]+\.[a-z]+) ", in_image("ansible-galaxy", "collection", "list"), re.MULTILINE)
    assert set(collections) == {"ansible.posix", "awx.awx", "community.general"}
    assert in_image("id", "-u").strip() == "1000"
    for program in ("ssh", "ssh-agent", "sshpass", "git", "rclone", "dumb-init", "ansible-runner"):
        assert in_image("sh", "-c", f"command -v {program}")
    # Where the build had its packages from is nobody's business.
    left = "cat /etc/pip.conf; find /mnt /output /wheels -mindepth 1; env | grep -i proxy"
    assert in_image("sh", "-c", f"({left}) 2>/dev/null; true") == ""


# ---- a job ----

PROBE = """
- name: Look around
  hosts: localhost
  gather_facts: false
  tasks:
    - name: Look who is here
      ansible.builtin.shell: |
        id -u; id -g; echo "$HOME"; touch "$HOME/mine" && echo home
        touch project.txt 2>/dev/null || echo unwritable
        touch /runner/project/playbooks/new.yml 2>/dev/null || echo unwritable
      args: {chdir: /runner/project}
      register: __probe
      changed_when: false
    - name: Hand on
      ansible.builtin.set_stats:
        data:
          seen: "{{ __probe.stdout_lines }}"
          answer: "{{ answer }}"
          template: "{{ template }}"
          secret: "{{ secret | length }}"
          who: "{{ awx_user_name }}"
"""


@ISOLATED
def test_a_job_may_write_to_its_home_alone_and_evaluates_no_answer(
    place: Place, machine: Machine, folder: Path
) -> None:
    (folder / "probe.yml").write_text(PROBE, "utf-8")
    vault = VaultLib([("default", VaultSecret(b"opens the vault"))])
    secret = vault.encrypt("twelve chars", VaultSecret(b"opens the vault")).decode()
    (folder / "vars.yml").write_text(
        "secret: !vault |\n" + "".join(f"  {line}\n" for line in secret.splitlines()), "utf-8"
    )
    probe = PROBE.replace("  gather_facts: false\n", "  gather_facts: false\n  vars_files: /probe/vars.yml\n")
    (folder / "probe.yml").write_text(probe, "utf-8")
    job = run_job(
        "/probe/probe.yml",
        {"answer": ODD},
        variables={"template": "{{ 6 * 7 }}", "answer": "the template's default"},
        inventory=lab_inventory(),
        credentials=lab_credentials(vault_password="opens the vault", become_password="nobody asks for it"),
        volumes=[(folder, "/probe")],
        isolation=place,
    )
    assert job.ok, job.stdout + job.stderr
    user = str(ARBITRARY_USER) if place is Place.POD else "0"
    home = "/runner" if place is Place.POD else "/root"
    assert job.artifacts["seen"][:6] == [user, "0", home, "home", "unwritable", "unwritable"]
    assert job.artifacts["answer"] == ODD
    assert (job.artifacts["template"], job.artifacts["secret"]) == (42, 12)
    assert job.artifacts["who"] == "awx-operator"
    assert "opens the vault" not in json.dumps(job.events)


@ISOLATED
@pytest.mark.parametrize("strict", [False, True])
def test_an_audit_comes_back_as_artifacts(machine: Machine, place: Place, strict: bool) -> None:
    job = run_job(
        "playbooks/audit.yml",
        {"kijun_audit_strict": strict},
        inventory=lab_inventory(),
        limit=machine.name,
        credentials=lab_credentials(environment={"KIJUN_REPORT_DIR": REPORTS}),
        tags="authentication",
        isolation=place,
    )
    assert job.status == ("failed" if strict else "successful"), job.stdout + job.stderr
    (evidence,) = [
        event["event_data"]["res"]["evidence"]
        for event in job.events
        if "evidence" in event.get("event_data", {}).get("res", {})
        and event["event"] in ("runner_on_ok", "runner_on_failed")
    ]
    totals = evidence["totals"]
    assert totals["fail"]
    assert job.artifacts["kijun_audit_hosts"] == 1
    for verdict in ("pass", "fail", "error", "excused"):
        assert job.artifacts[f"kijun_audit_{verdict}"] == totals[verdict]
    assert job.artifacts["kijun_audit_findings"] == {machine.name: totals["fail"] + totals["error"]}
    assert f"{REPORTS}/" in job.stdout


def test_slices_have_every_host_once_and_leave_one_report(host: Machine, folder: Path) -> None:
    whole = lab_inventory()
    inventory = {
        **whole,
        "_meta": {"hostvars": {name: whole["_meta"]["hostvars"][name] for name in (host.name, SERVER)}},
    }
    for name in set(inventory) - {"_meta"}:
        kept = [one for one in inventory[name].get("hosts", []) if one in (host.name, SERVER)]
        inventory[name] = {**inventory[name], "hosts": kept}
    seen, told = list[str](), dict[str, Any]()
    reports = lab_credentials(environment={"KIJUN_REPORT_DIR": f"{LEDGER}/reports"})
    for number in (1, 2):
        job = run_job(
            "playbooks/audit.yml",
            {},
            inventory=inventory,
            credentials=reports,
            variables={"awx_job_id": 4710 + number},
            job_slice=(number, 2),
            volumes=[(folder, LEDGER)],
            forks=1,
        )
        assert job.ok, job.stdout + job.stderr
        seen += job.artifacts["kijun_audit_findings"]
        told |= job.artifacts
        sizes = [len(json.dumps(event.get("event_data", {}).get("res", {}))) for event in job.events]
        assert max(sizes) < LARGEST_EVENT, "AWX would cut the evidence"
        assert len(json.dumps(job.artifacts)) < LARGEST_ARTIFACTS
    assert sorted(seen) == sorted([host.name, SERVER])
    # What AWX hands on of both to the job behind them: of two artifacts with one name, one.
    for jobs in ("first", "again"):
        job = run_job(
            "playbooks/audit_merge.yml", {}, inventory=inventory, credentials=reports, variables=told,
            volumes=[(folder, LEDGER)],
        )  # fmt: skip
        assert job.ok, job.stdout + job.stderr
        records = list((folder / "reports" / Path(job.artifacts["kijun_audit_run"]).name / "hosts").iterdir())
        assert sorted(path.stem for path in records) == sorted([host.name, SERVER]), jobs
    assert len([path for path in (folder / "reports").iterdir() if not path.is_symlink()]) == 3


# ---- what a survey says ----


def asset(**more: Any) -> dict[str, Any]:
    """An asset that nothing is wrong with."""
    given = {"id": "SRV-1", "action": "register", "kind": "server", "host": "web1", "owner": "operations"}
    said = {"place": "the lab", "purpose": "tests", "holds": "nothing", "approver": "approver1", "ticket": "AST-1"}
    return {**given, **said, **more}


def test_entries_come_as_the_text_of_a_survey_and_nothing_in_them_is_evaluated(folder: Path) -> None:
    job = entered(folder, {"asset_entries": yaml.safe_dump([asset(purpose=ODD_LINE)], allow_unicode=True)})
    assert job.ok, job.stdout + job.stderr
    assert assets(folder)["SRV-1"]["purpose"] == ODD_LINE
    assert "evaluated" not in job.stdout.replace(JINJA, "")


BAD = {
    "jinja": (JINJA, "is a text, and no YAML"),
    "no YAML": ("- id: [", "is a text, and no YAML"),
    "a number": (7, "must be a list of entries"),
    "a word": ("yes", "must be a list of entries"),
    "a mapping": ({"id": "SRV-1"}, "must be a list of entries"),
    "a list of words": (["SRV-1"], "must be a list of entries"),
    "empty": ("", "must be a list of entries"),
    "missing": (None, "asset_entries"),
    "a wrong action": (yaml.safe_dump([asset(action=JINJA)]), "action"),
    "lines where one is meant": (yaml.safe_dump([asset(purpose=ODD)]), "must be one line of visible characters"),
    "a bad one beside a good one": (yaml.safe_dump([asset(), asset(id="SRV-2", kind=JINJA)]), "kind"),
}


@pytest.mark.parametrize("how", BAD)
def test_a_bad_answer_is_an_error_that_names_it_and_nothing_is_entered(folder: Path, how: str) -> None:
    answer, words = BAD[how]
    # Without isolation: what is looked at is the answer, and a third of the time is saved.
    job = run_job(
        "playbooks/asset_entries.yml",
        {} if answer is None else {"asset_entries": answer},
        inventory={"all": {"hosts": []}, "_meta": {"hostvars": {}}},
        credentials=lab_credentials(environment={"KIJUN_LEDGER_URL": f"sqlite:///{folder}/ledger.sqlite"}),
        isolation=False,
    )
    assert job.status == "failed", job.stdout + job.stderr
    assert words in job.words
    assert "Traceback" not in job.stdout
    assert assets(folder) == {}


# ---- ended in the middle of a change ----

CHANGE = """
- name: Change
  hosts: all
  gather_facts: false
  become: true
  tasks:
    - name: Half of it
      ansible.builtin.shell: "printf '%s' {{ kijun_change_impact | quote }} >/etc/kijun-half"
      changed_when: true
    - name: Take long
      ansible.builtin.command: sleep 300
      changed_when: true
"""


def changed(host: Machine, folder: Path, seconds: int, **more: Any) -> Result:
    """Run a change that takes long after its first half."""
    (folder / "slow.yml").write_text(CHANGE, "utf-8")
    answers = {"kijun_change_playbook": f"{LEDGER}/slow.yml", "kijun_change_audit": False, "kijun_change_impact": JINJA}
    answers["kijun_change_seconds"] = seconds
    return of_change("change", answers, host, folder, **more)


@contextlib.contextmanager
def as_before(host: Machine) -> Iterator[None]:
    """What a change did is not there before, and not after."""
    host.ok("test ! -e /etc/kijun-half")
    assert status(host)["open"] is None
    yield
    host.run(f"pkill -f '[{LATER[0]}]{LATER[1:]}'")
    assert status(host)["open"] is None
    assert status(host)["last"]["outcome"] == "rolled_back"
    host.ok("test ! -e /etc/kijun-half")


@pytest.mark.control("CHG-01")
def test_a_change_whose_job_times_out_is_taken_back_by_the_host(host: Machine, folder: Path) -> None:
    with as_before(host):
        job = changed(host, folder, seconds=60, job_timeout=30)
        assert (job.status, job.rc) == ("timeout", 254), job.stdout + job.stderr
        # What the survey said came to the change's own playbook as text.
        assert host.ok("cat /etc/kijun-half") == JINJA
        assert wait_for(lambda: status(host)["open"] is None, 150)


@pytest.mark.control("CHG-01")
def test_a_change_whose_job_is_cancelled_is_taken_back_by_the_next_job(host: Machine, folder: Path) -> None:
    with as_before(host):
        half = lambda: host.run("test -s /etc/kijun-half").rc == 0  # noqa: E731
        job = changed(host, folder, seconds=3600, isolation=Place.NODE, cancel=half, timeout=120)
        assert job.status == "canceled", job.stdout + job.stderr
        assert job.left == (), "keys, passwords and variables stay on no node"
        opened = status(host)["open"]
        assert opened, "nobody has taken it back yet"
        back = of_change("rollback", {"kijun_rollback_change": opened["id"]}, host, folder)
        assert back.ok, back.stdout + back.stderr
