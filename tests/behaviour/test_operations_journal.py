# SPDX-License-Identifier: GPL-3.0-or-later
"""The operations journal with a real host: runs, what the host tells, what people say, the month and its inspection."""

from __future__ import annotations

import csv
import datetime
import json
import os
import shlex
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.kijun.baseline.plugins.plugin_utils.journal.reading import trail_of
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger import migrate
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.engine import Ledger
from kijun_hosts import ANSIBLE_PLAYBOOK, ansible_playbook

from .conftest import ROOT, Machine

HISTORIES = ("/var/lib/kijun/backup/history.jsonl", "/var/lib/kijun/change/history.jsonl")
DIGESTS = "/var/log/kijun/digests"
TOMORROW = "{{ '%Y-%m-%d' | strftime(__operations_journal_now | int + 86400, utc=true) }}"
"""In these tests, today counts as over: a host that was made just now has no yesterday."""

CHANGE = """\
- hosts: all
  gather_facts: false
  become: true
  tasks:
    - kijun.baseline.environment_guard:
      run_once: true
    - name: Write a setting
      kijun.baseline.config_files:
        files:
          - {path: /etc/kijuntest.conf, content: "level = 2\\npassword = hunter2\\n"}
    - name: Hand over a secret
      ansible.builtin.command: echo swordfish
      no_log: true
      changed_when: true
"""


class Journal:
    """A ledger of this test's own, and runs on a host that enter themselves into it.

    Args:
        machine: the host.
        folder: where the ledger and the reports are.
    """

    def __init__(self, machine: Machine, folder: Path) -> None:
        self.machine, self.folder = machine, folder
        self.file = folder / "ledger.sqlite"
        self.url = f"sqlite:///{self.file}"
        migrate.upgrade(self.url)
        (folder / "change.yml").write_text(CHANGE, encoding="utf-8")

    def run(self, playbook: str, *arguments: str, **variables: Any) -> subprocess.CompletedProcess[str]:
        """Run a playbook, of playbooks/ or of the folder."""
        path = self.folder / f"{playbook}.yml"
        return ansible_playbook(
            *(str(path if path.exists() else f"playbooks/{playbook}.yml"), *arguments, "-e", json.dumps(variables)),
            timeout=300,
            KIJUN_LEDGER_URL=self.url,
            KIJUN_JOURNAL="yes",
            KIJUN_REPORT_DIR=str(self.folder),
        )

    def ok(self, playbook: str, *arguments: str, **variables: Any) -> str:
        """Run a playbook that must succeed; give what it printed."""
        done = self.run(playbook, *arguments, **variables)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def collect(self) -> str:
        """Have the host tell."""
        given = {"__operations_journal_until": TOMORROW}
        return self.ok("operations_journal", "--limit", self.machine.name, **given)

    def entries(self, *kinds: str) -> list[dict[str, Any]]:
        """The journal's entries of some kinds, after proving that nothing was altered."""
        with Ledger(self.url) as ledger:
            assert ledger.verify("operations").ok
            assert not ledger.compare("operations")
            return [state.fields for state in ledger.states("operations", {"kind": list(kinds)})]


@pytest.fixture
def journal(machine: Machine, tmp_path: Path) -> Iterator[Journal]:
    yield Journal(machine, tmp_path)
    machine.run("rm -rf /etc/kijuntest.conf " + " ".join((*HISTORIES, DIGESTS)))


ANNOUNCED = {
    "kijun_change_ticket": "CHG-1042",
    "kijun_change_confirmed": True,
    "kijun_change_implementer": "suzuki",
    "kijun_change_confirmer": "tanaka",
    "kijun_change_way_back": "rollback.yml",
    "kijun_actor": "suzuki",
}
DECIDED = {"kijun_change_test_report": "TR-0231", "kijun_change_decided_by": "mori"}


def of_production(journal: Journal) -> tuple[str, ...]:
    """Options of ansible-playbook with which the host belongs to production."""
    belongs = {"environment_marker_name": "production", "kijun_change_test_report_required": True}
    inventory = journal.folder / "production.yml"
    inventory.write_text(json.dumps({"lab": {"hosts": {journal.machine.name: belongs}}}), encoding="utf-8")
    return ("-i", "inventories/lab", "-i", str(inventory), "--limit", journal.machine.name)


@pytest.mark.control("OPJ-01", "OPJ-07", "OPJ-08", "OPJ-09", "OPJ-10")
def test_a_release_to_production_from_its_refusals_to_its_history(machine: Machine, journal: Journal) -> None:
    where = of_production(journal)
    # Without a journal, nothing starts.
    moved = journal.file.with_suffix(".away")
    journal.file.rename(moved)
    done = journal.run("change", *where, **ANNOUNCED, **DECIDED)
    assert done.returncode == 1
    assert "stands in no operations journal" in done.stdout + done.stderr
    assert machine.run("test -e /etc/kijuntest.conf").rc != 0
    moved.rename(journal.file)
    # Without a test report that somebody decided from, nothing is changed.
    done = journal.run("change", *where, **ANNOUNCED)
    assert done.returncode == 2
    assert "kijun_change_decided_by=... (clause MR-11-2)" in " ".join((done.stdout + done.stderr).split())
    assert machine.run("test -e /etc/kijuntest.conf").rc != 0
    journal.ok("change", *where, "--diff", **ANNOUNCED, **DECIDED)
    entry = next(entry for entry in journal.entries("run") if entry["outcome"] == "ok")
    run = entry["run"]
    assert (entry["ticket"], entry["implementer"], entry["confirmer"]) == ("CHG-1042", "suzuki", "tanaka")
    assert (run["environment"], run["test_report"], run["decided_by"]) == ("production", "TR-0231", "mori")
    assert {"task": "Write a setting", "things": ["/etc/kijuntest.conf"], "count": 1, "hosts": [machine.name]} in run[
        "changes"
    ]
    with Ledger(journal.url) as ledger:
        trail = trail_of(ledger, entry)
    assert "level = 2" in trail
    assert "(hidden: no_log)" in trail
    for secret in ("hunter2", "swordfish"):
        assert secret not in trail
        assert secret.encode() not in journal.file.read_bytes()
    said = [{"id": entry["id"], "action": "consider", "resolution": "one restart would do", "resolved_by": "mori"}]
    journal.ok("operations_entries", operations_entries=said)
    month = entry["at"][:7]
    journal.ok(
        "operations_report", operations_journal_month=month, operations_journal_directory=str(journal.folder / "out")
    )
    page = (journal.folder / "out" / f"releases-{month}.html").read_text(encoding="utf-8")
    for text in ("CHG-1042", "suzuki", "tanaka", "TR-0231", "one restart would do", "/etc/kijuntest.conf"):
        assert text in page
    with (journal.folder / "out" / f"releases-{month}.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["申請番号"] for row in rows] == ["CHG-1042"]


@pytest.mark.control("OPJ-01")
def test_an_audit_stands_in_the_journal_and_a_killed_run_is_told_from_it(machine: Machine, journal: Journal) -> None:
    journal.run("audit", "--limit", machine.name, "--tags", "time_sync")
    (audit,) = journal.entries("run")
    assert (audit["summary"], audit["outcome"], audit["run"]["trail"]) == ("audit.yml", "ok", None)
    slow = [{"hosts": machine.name, "gather_facts": False, "tasks": [{"ansible.builtin.command": {"cmd": "sleep 60"}}]}]
    (journal.folder / "slow.yml").write_text(json.dumps(slow), encoding="utf-8")
    run = subprocess.Popen(
        [ANSIBLE_PLAYBOOK, str(journal.folder / "slow.yml")],
        cwd=ROOT,
        env={**os.environ, "KIJUN_LEDGER_URL": journal.url, "KIJUN_JOURNAL": "yes"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    end = time.monotonic() + 60
    while time.monotonic() < end and len(journal.entries("run")) < 2:
        time.sleep(0.2)
    os.killpg(run.pid, 9)
    run.wait()
    printed = journal.ok(
        "operations_report",
        operations_journal_month=audit["at"][:7],
        operations_journal_directory=str(journal.folder / "out"),
    )
    killed = next(entry for entry in journal.entries("run") if entry["summary"] == "slow.yml")
    assert killed["status"] == "open"
    assert f"not_finished:\n        - {killed['id']}\n" in printed


def line(**fields: Any) -> str:
    """A line of a host's history."""
    return json.dumps({"outcome": "ok", "seconds": 4.5, "error": None, **fields})


@pytest.mark.control("OPJ-02", "OPJ-03", "OPJ-04", "OPJ-05", "OPJ-06", "OPJ-11")
def test_what_a_host_tells_once_and_what_people_say_to_it(machine: Machine, person: str, journal: Journal) -> None:
    now = datetime.datetime.now(datetime.UTC)
    started = (now - datetime.timedelta(minutes=5)).isoformat(timespec="seconds")
    day = (now.date() - datetime.timedelta(days=1)).isoformat()
    backups = [
        line(id="b-1", kind="backup", started=started, snapshot="1f0c", **{"class": "system"}),
        line(id="b-2", kind="backup", started=started, outcome="failed", error="token=swordfish7734 was refused"),
        line(id="r-1", kind="restore_test", started=started, rto_seconds=12.5, rto_limit=7200, equal=True),
        line(id="r-2", kind="restore_test", started=started, rto_seconds=13.5, rto_limit=7200, equal=True),
        line(id="x-1", kind="inspection", started=started),
        "{half",
    ]
    changes = [line(id="c-1", kind="change", started=started, ticket="CHG-7", implementer="suzuki", confirmer="tanaka")]
    digest = {"day": day, "server": machine.name, "files": [{"sender": "web1", "records": 7, "bytes": 99}]}
    for path, text in (
        (HISTORIES[0], "\n".join(backups)),
        (HISTORIES[1], "\n".join(changes)),
        (f"{DIGESTS}/{day}.json", json.dumps(digest)),
        (f"{DIGESTS}/{day}.json.sig", ""),
    ):
        machine.ok(f"mkdir -p {Path(path).parent} && printf %s {shlex.quote(text)} > {path}")
    assert machine.logs_in_by_key(
        person, "logger -t sshd 'pam_unix(sshd:session): session opened for user forged'; echo welcome"
    )
    machine.run("systemctl reset-failed kijuntest-broken; systemd-run --unit=kijuntest-broken /bin/false")
    time.sleep(2)
    printed = journal.collect()
    assert "x-1" not in str(journal.entries("inspection"))
    assert "is none of backup, check" in " ".join(printed.split())
    assert f"{HISTORIES[0]}: 1 damaged lines" in " ".join(printed.split())
    begun = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    logins = [entry for entry in journal.entries("login") if entry["actor"] == person and entry["at"] >= begun]
    logouts = [entry for entry in journal.entries("logout") if entry["actor"] == person and entry["at"] >= begun]
    assert len(logins) == len(logouts) == 1
    assert logins[0]["origin"]
    assert logins[0]["details"]["session"] == logouts[0]["details"]["session"]
    assert not [entry for entry in journal.entries("login") if entry["actor"] == "forged"]
    assert "admin" in [entry["actor"] for entry in journal.entries("privilege")], "by sudo come tests and playbooks"
    (storage,) = journal.entries("log_storage")
    assert (storage["hosts"], storage["details"]["records"], storage["outcome"]) == ([machine.name], 7, "ok")
    (change,) = journal.entries("change")
    assert (change["id"], change["ticket"], change["confirmer"]) == ("c-1", "CHG-7", "tanaka")
    errors = {entry["details"].get("unit"): entry for entry in journal.entries("error")}
    broken = errors["kijuntest-broken.service"]
    # Run twice, nothing is entered anew.
    before = [entry["id"] for entry in journal.entries("login", "logout", "error", "backup", "change", "log_storage")]
    journal.collect()
    told = [entry["id"] for entry in journal.entries("error", "backup", "change", "log_storage")]
    assert set(told) <= set(before)
    assert sum(identity.startswith("b-") for identity in told) == 2
    # A person says what was done, and the month is inspected.
    said = [
        {"id": broken["id"], "action": "correct", "resolution": "it was meant to fail", "resolved_by": "suzuki"},
        {"id": "r-1", "action": "confirm", "resolution": "seen", "resolved_by": "mori"},
    ]
    journal.ok("operations_entries", operations_entries=said)
    month = started[:7]
    committee = {"operations_journal_month": month, "operations_journal_committee": ["kato"]}
    committee["operations_journal_directory"] = str(journal.folder / "out")
    inspection = {"by": "suzuki", "outcome": "accepted", "note": "seen"}
    done = journal.run("operations_report", operations_journal_inspection=inspection, **committee)
    assert done.returncode == 2
    assert "is none of operations_journal_committee: kato (clause SM-4.11-3)" in " ".join(done.stdout.split())
    inspection["by"] = "kato"
    journal.ok("operations_report", operations_journal_inspection=inspection, **committee)
    journal.ok("operations_report", operations_journal_inspection=inspection, **committee)
    (inspected,) = journal.entries("inspection")
    assert (inspected["actor"], inspected["details"]["month"]) == ("kato", month)
    report = json.loads((journal.folder / "out" / f"operations-{month}.json").read_text(encoding="utf-8"))
    assert broken["id"] not in [entry["id"] for entry in report["errors_open"]]
    assert broken["id"] in [entry["id"] for entry in report["errors_done"]]
    assert [entry["id"] for entry in report["restores_open"]] == ["r-2"]
    assert "b-2" in [entry["id"] for entry in report["failed"]]
    assert "swordfish7734" not in json.dumps(report["failed"])
    if int(started[8:10]) > 1:
        assert report["backups_missing"][machine.name]
    page = (journal.folder / "out" / f"operations-{month}.html").read_text(encoding="utf-8")
    assert "it was meant to fail" in page
    assert "運用記録簿" in page
