# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs of AWX that end, begin or are changed at the worst moment: a change cancelled in each of its phases, two jobs at
the same time, a project that is updated in the middle."""

from __future__ import annotations

import concurrent.futures
import json
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.engine import Ledger
from kijun_awx_changes import LEDGER, backed_up, folder_with_ledger, of_change
from kijun_changes import SERVER, differing, machine, manifest, status
from kijun_hosts import Machine
from kijun_logs import wait_for
from kijun_runner import Result, copy_of_checkout, lab_credentials, lab_inventory, revision, run_job

HALF, WHOLE = "/etc/kijun-half", "/etc/kijun-whole"
HOLD = "/run/kijun-hold"
"""While this is there, the change stays in the middle of being applied, or its smoke test in that of looking."""

FAULT = "/run/kijun-fault"
"""While this is there, the smoke test fails."""

CHANGE = f"""
- name: Change
  hosts: all
  gather_facts: false
  become: true
  tasks:
    - name: Change in two steps
      ansible.builtin.shell: echo half >{HALF}; while test -e {HOLD}-apply; do sleep 0.2; done; echo whole >{WHOLE}
      changed_when: true
"""
SMOKE = {"name": "it works", "command": f"while test -e {HOLD}-verify; do sleep 0.2; done; test ! -e {FAULT}"}
FAST = {"kijun_change_smoke_tests": [SMOKE], "kijun_change_audit": False, "kijun_change_stable_seconds": 0}
JOURNAL = {"KIJUN_JOURNAL": "yes"}

# Lets the time that a change may stay open pass at once: its beginning is put back. The host's clock stays.
PASSED = """
import fcntl, json
with open("/run/kijun-change.lock", "a") as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    with open("/var/lib/kijun/change/open.json") as file:
        change = json.load(file)
    change["uptime"] -= change["seconds"]
    with open("/var/lib/kijun/change/open.json", "w") as file:
        json.dump(change, file)
"""

LEFT = (
    "find /var/lib/kijun/change /var/lib/kijun/config_files /var/lib/kijun/guard -name '*.part' -o -name '*.new'"
    " -o -name open.json -o -path '*/scratch/*' -o -path '*/pending/*' 2>/dev/null;"
    " find /root/.ansible/tmp /home/admin/.ansible/tmp /tmp /var/tmp -mindepth 1 -maxdepth 1 \\( -name 'ansible*'"
    " -o -name 'kijun*' -o -name 'restic*' \\) 2>/dev/null;"
    " flock --nonblock /run/kijun-change.lock true || echo /run/kijun-change.lock is held"
)
"""Says what an ended change left behind: half-written files, temporary ones, locks."""


@pytest.fixture(scope="session")
def host(machine: Machine) -> Machine:
    """A host that is backed up."""
    return backed_up(machine)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder that all jobs share, with a ledger in it."""
    with folder_with_ledger() as path:
        (path / "change.yml").write_text(CHANGE, "utf-8")
        yield path


def changed(host: Machine, folder: Path, answers: dict[str, Any] | None = None, **more: Any) -> Result:
    """Carry out the change in two steps as a job."""
    given = {**FAST, "kijun_change_playbook": f"{LEDGER}/change.yml", **(answers or {})}
    environment = {**JOURNAL, **more.pop("environment", {})}
    return of_change("change", given, host, folder, environment, **more)


def journal(folder: Path, **where: Any) -> list[dict[str, Any]]:
    """Entries of the operations journal."""
    with Ledger(f"sqlite:///{folder}/ledger.sqlite") as ledger:
        return [dict(state.fields) for state in ledger.states("operations", where)]


def phase_of(host: Machine) -> str:
    """The phase of the host's open change; empty where none is."""
    return str((status(host)["open"] or {}).get("phase", ""))


# ---- ended in each phase ----


@dataclass(frozen=True)
class Phase:
    """Where a change is ended, and what becomes of it.

    Attributes:
        task: it is ended when this task of change.yml begins; or when ``reached`` says so.
        reached: asked of the host and of the ledger's folder.
        kill: the pod is killed at once; else it is asked to end, and killed when its grace is over.
        before: files that are there while it runs.
        answers: what the change says besides.
        workflow: whether it is a workflow's job, which asks AWX who approved it.
        opens: whether it stays open on the host, so that the host takes it back by itself.
        outcome: what the host's history says in the end; None where it says nothing.
    """

    task: str = ""
    reached: Callable[[Machine, Path], bool] | None = None
    kill: bool = False
    before: tuple[str, ...] = ()
    answers: dict[str, Any] = field(default_factory=dict)
    workflow: bool = False
    opens: bool = True
    outcome: str | None = "rolled_back"


def is_half_done(host: Machine, folder: Path) -> bool:
    return host.run(f"test -s {HALF}").rc == 0


def is_being_looked_at(host: Machine, folder: Path) -> bool:
    return host.run(f"pgrep -f 'test ! -e {FAULT[:-1]}[{FAULT[-1]}]'").rc == 0


PHASES = {
    # AWX is asked who approved it, and does not answer.
    "approval": Phase("Read who approved it in AWX", workflow=True, opens=False, outcome=None),
    "audit": Phase("Audit before", kill=True, answers={"kijun_change_audit": True}, opens=False, outcome=None),
    "backup": Phase(reached=lambda host, _: phase_of(host) == "preparing", kill=True),
    "apply": Phase(reached=is_half_done, before=(f"{HOLD}-apply",)),
    "between": Phase("Prove that the host is sound and lets us in", kill=True),
    "verify": Phase(reached=is_being_looked_at, before=(f"{HOLD}-verify",)),
    "rollback": Phase(
        reached=lambda host, _: phase_of(host) == "rolling_back", kill=True, before=(FAULT,), opens=False
    ),
}


@pytest.fixture(scope="module")
def silent(host: Machine) -> Iterator[str]:
    """An address in the lab that takes connections and never answers."""
    server = machine(SERVER)
    listens = 'import socket, time; s = socket.create_server(("", 8052)); time.sleep(900)'
    server.ok(f"systemd-run --quiet --collect --unit=kijun-silent python3 -c '{listens}'")
    yield f"http://{server.address}:8052"
    server.ok("systemctl stop kijun-silent")


@pytest.fixture(scope="module")
def untouched(host: Machine) -> dict[str, Any]:
    """What every file of the host is before the first change."""
    host.ok(f"rm -f {HALF} {WHOLE} {HOLD}-* {FAULT}")
    assert status(host)["open"] is None
    return manifest(host)


@pytest.fixture(scope="module")
def killed(folder: Path) -> list[str]:
    """Runs that were ended in the middle, which the report names."""
    return []


def wait_until_taken_back(host: Machine, opens: bool) -> None:
    """Let the time pass, and wait for the host to take the change back, which nobody helps it with."""
    assert wait_for(lambda: phase_of(host) != "preparing", 60)
    if opens:
        assert phase_of(host) in ("open", "rolling_back")
        host.python(PASSED)
        # Its timer does that, every 30 s.
        host.ok("systemctl start kijun-change-watch.service")
    assert wait_for(lambda: status(host)["open"] is None, 60)


@pytest.mark.control("CHG-01")
@pytest.mark.parametrize("name", PHASES)
def test_a_change_that_is_ended_in_any_phase_leaves_the_host_as_it_was(
    host: Machine, folder: Path, silent: str, untouched: dict[str, Any], killed: list[str], name: str
) -> None:
    phase = PHASES[name]
    earlier = status(host)["last"]
    awx = {"CONTROLLER_HOST": silent, "CONTROLLER_OAUTH_TOKEN": "reads", "CONTROLLER_VERIFY_SSL": "false"}
    host.ok(f"touch {' '.join(phase.before)}" if phase.before else "true")
    try:
        job = changed(
            host,
            folder,
            phase.answers,
            environment=awx if phase.workflow else {},
            variables={"awx_workflow_job_id": 4711} if phase.workflow else {},
            cancel_at=phase.task,
            cancel=(lambda: phase.reached(host, folder)) if phase.reached else None,
            kill=phase.kill,
            timeout=180,
        )
        assert not job.ok, job.stdout + job.stderr
        assert job.status == ("error" if phase.kill else "canceled"), job.stdout + job.stderr
    finally:
        host.run(f"rm -f {HOLD}-*")
    wait_until_taken_back(host, phase.opens)
    host.run(f"rm -f {FAULT}")
    # Nobody is locked out, no half of it stays, nothing is left over.
    assert host.logs_in_by_key("admin")
    host.ok(f"test ! -e {HALF} && test ! -e {WHOLE}")
    assert differing(untouched, manifest(host)) == []
    assert host.ok(LEFT) == ""
    last = status(host)["last"]
    if phase.outcome is None:
        assert last == earlier
    else:
        assert last != earlier
        assert last["outcome"] == phase.outcome
    # The run itself stands in the journal as one that did not end.
    runs = {entry["id"] for entry in journal(folder, kind="run", status="open")}
    assert runs - set(killed)
    killed.extend(sorted(runs - set(killed)))


@pytest.mark.control("CHG-01")
@pytest.mark.control("OPJ-01")
def test_a_change_whose_record_is_not_written_is_collected_and_the_same_change_goes_on(
    host: Machine, folder: Path, untouched: dict[str, Any], killed: list[str]
) -> None:
    ledger: list[sqlite3.Connection] = []

    def reached() -> bool:
        """The ledger is busy from when the change is looked at; the host has ended it, and the job waits to write."""
        if not ledger and is_being_looked_at(host, folder):
            ledger.append(sqlite3.connect(folder / "ledger.sqlite", isolation_level=None))
            ledger[0].execute("BEGIN IMMEDIATE")
            host.ok(f"rm {HOLD}-verify")
        return bool(ledger) and not phase_of(host)

    host.ok(f"touch {HOLD}-verify")
    try:
        job = changed(host, folder, cancel=reached, timeout=180)
    finally:
        for connection in ledger:
            connection.close()
        host.run(f"rm -f {HOLD}-*")
    assert job.status == "canceled", job.stdout + job.stderr
    last = status(host)["last"]
    assert last["outcome"] == "ok"
    assert [host.ok(f"cat {path}") for path in (HALF, WHOLE)] == ["half\n", "whole\n"]
    assert [entry for entry in journal(folder, kind="change") if last["change"] in entry["id"]] == []
    killed.extend(entry["id"] for entry in journal(folder, kind="run", status="open") if entry["id"] not in killed)

    # The same change once more goes to its end, and is entered by itself.
    job = changed(host, folder)
    assert job.ok, job.stdout + job.stderr
    assert [host.ok(f"cat {path}") for path in (HALF, WHOLE)] == ["half\n", "whole\n"]
    assert host.ok(LEFT) == ""

    # What hosts tell is entered once, also by two jobs that are due at the same moment.
    done = both(lambda: of_change("operations_journal", {}, host, folder))
    assert [job.status for job in done] == ["successful", "successful"], done[0].stdout + done[1].stdout
    history = json.loads(host.ok("kijun-change history"))
    entered = {entry["id"]: entry["outcome"] for entry in journal(folder, kind="change")}
    assert entered == {entry["id"]: entry["outcome"] for entry in history}

    # The report names what did not end, and nothing else.
    done = both(lambda: report(folder))
    assert [job.status for job in done] == ["successful", "successful"], done[0].stdout + done[1].stdout
    (written,) = (folder / "reports" / "operations").glob("operations-*.json")
    found = json.loads(written.read_text("utf-8"))
    assert sorted(entry["id"] for entry in found["unfinished"]) == sorted(killed)
    host.ok(f"rm {HALF} {WHOLE}")


def both(job: Callable[[], Result]) -> list[Result]:
    """Have two jobs done at the same time."""
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        return [future.result() for future in [pool.submit(job) for _ in range(2)]]


def report(folder: Path) -> Result:
    """Report on this month's operations."""
    month = max(entry["at"] for entry in journal(folder))[:7]
    return run_job(
        "playbooks/operations_report.yml",
        {"operations_journal_month": month, "operations_journal_directory": f"{LEDGER}/reports/operations"},
        inventory=lab_inventory(),
        credentials=lab_credentials(environment={"KIJUN_LEDGER_URL": f"sqlite:///{LEDGER}/ledger.sqlite"}),
        volumes=[(folder, LEDGER)],
    )


# ---- two at the same time ----

GUARDED = """
- name: Change what could cut access, in two steps
  hosts: all
  gather_facts: false
  become: true
  tasks:
    - name: One file
      kijun.baseline.config_files:
        files: [{path: /etc/kijun-half, content: "{{ who }}\\n"}]
        guard: {}
    - name: Take some time
      ansible.builtin.command: sleep 4
      changed_when: false
    - name: Another file
      kijun.baseline.config_files:
        files: [{path: /etc/kijun-whole, content: "{{ who }}\\n"}]
        guard: {}
    - name: Confirm
      kijun.baseline.guard:
"""


def test_two_changes_and_an_audit_at_the_same_time(host: Machine, folder: Path) -> None:
    before = len(json.loads(host.ok("kijun-change history")))
    known = {entry["id"] for entry in journal(folder, kind="change")}
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        changes = [pool.submit(changed, host, folder) for _ in range(2)]
        audit = pool.submit(of_change, "audit", {}, host, folder, tags="authentication").result()
        done = sorted((future.result() for future in changes), key=lambda job: job.ok)
    assert audit.ok, audit.stdout + audit.stderr
    assert [job.ok for job in done] == [False, True], done[0].stdout + done[1].stdout
    assert re.search(r"is open on this host since|is begun, ended or taken back at this moment", done[0].words)
    assert len(json.loads(host.ok("kijun-change history"))) == before + 1
    (entry,) = [entry for entry in journal(folder, kind="change") if entry["id"] not in known]
    assert entry["outcome"] == "ok"
    host.ok(f"rm {HALF} {WHOLE}")


def test_two_jobs_that_could_cut_access_never_leave_half_of_each(host: Machine, folder: Path) -> None:
    (folder / "guarded.yml").write_text(GUARDED, "utf-8")

    def job(who: str) -> Result:
        return run_job(
            f"{LEDGER}/guarded.yml",
            {"who": who},
            inventory=lab_inventory(),
            limit=host.name,
            credentials=lab_credentials(),
            volumes=[(folder, LEDGER)],
        )

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        done = dict(zip(("one", "other"), pool.map(job, ("one", "other")), strict=True))
    ok = [who for who, result in done.items() if result.ok]
    printed = "".join(result.stdout for result in done.values())
    there = [host.run(f"cat {path}").stdout.strip() for path in (HALF, WHOLE)]
    assert there[0] == there[1], printed
    assert there[0] in (ok or [""]), printed
    for who, result in done.items():
        assert who in ok or "another run" in result.words, result.stdout
    host.run(f"rm -f {HALF} {WHOLE}")


def test_two_reconciliations_at_the_same_time_are_entered_once_each(host: Machine, folder: Path) -> None:
    answers = {"accounts_report_directory": f"{LEDGER}/reports/accounts", "accounts_suspend_unused": "true"}
    done = both(lambda: of_change("accounts_audit", answers, host, folder))
    assert [job.status for job in done] == ["successful", "successful"], done[0].stdout + done[1].stdout
    with Ledger(f"sqlite:///{folder}/ledger.sqlite") as ledger:
        assert all(ledger.verify(book).ok for book in ("accounts", "operations", "reconciliations"))
        # Two that began in the same second and found the same are one.
        assert ledger.count("reconciliations") in (1, 2)
    page = (folder / "reports" / "accounts" / "reconciliation.html").read_text("utf-8")
    assert page.rstrip().endswith("</html>")


# ---- a project that is updated in the middle ----


def test_a_job_goes_on_with_the_project_that_it_began_with(host: Machine, folder: Path, tmp_path: Path) -> None:
    fetched = tmp_path / "project"
    copy_of_checkout(fetched)
    updated: list[bool] = []

    def update() -> bool:
        """AWX updates the project while the change is carried out: nothing of what the job began with is there."""
        if not updated and is_half_done(host, folder):
            for path in fetched.iterdir():
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
            updated.append(True)
            host.ok(f"rm {HOLD}-apply")
        return False

    host.ok(f"touch {HOLD}-apply")
    job = changed(host, folder, project_folder=fetched, cancel=update)
    assert updated
    assert job.ok, job.stdout + job.stderr
    last = status(host)["last"]
    assert (last["outcome"], last["revision"]) == ("ok", revision())
    (entry,) = [entry for entry in journal(folder, kind="change") if last["change"] in entry["id"]]
    assert entry["details"]["revision"] == revision()
    # git tells nothing of a copy that AWX made: AWX does.
    runs = [entry["run"]["git"] for entry in journal(folder, kind="run")]
    assert runs[-1] == {"head": revision(), "branch": "v0.6.0"}
    host.ok(f"rm {HALF} {WHOLE}")


@pytest.mark.control("CHG-02")
def test_what_was_approved_of_another_revision_is_refused(host: Machine, folder: Path) -> None:
    looked = of_change("audit", {}, host, folder, tags="authentication", revision_told="a" * 40)
    assert looked.ok, looked.stdout + looked.stderr
    assert looked.artifacts["kijun_audit_revision"] == "a" * 40
    # A workflow hands it on, behind an approval.
    last = status(host)["last"]
    job = changed(host, folder, looked.artifacts, revision_told="b" * 40)
    assert job.status == "failed"
    assert f"revision {'a' * 40} of the project was looked at and approved, and this job has {'b' * 40}" in job.words
    assert status(host) == {"open": None, "last": last}
    host.ok(f"test ! -e {HALF}")
