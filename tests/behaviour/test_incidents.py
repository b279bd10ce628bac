# SPDX-License-Identifier: GPL-3.0-or-later
"""Malware on a real host, from the find to the month's report: incident, isolation, release by a second person."""

from __future__ import annotations

import csv
import datetime
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger import migrate
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.engine import Ledger
from kijun_hosts import ROOT, Machine, ansible_playbook
from kijun_logs import wait_for

from .test_antimalware import INVENTORY, SERVER, Verdicts, make, play, quiet

SETTINGS = ("-e", "@molecule/firewall/vars/settings.yml")
FIREWALL = "molecule/firewall/converge.yml"
CUT_OFF = "nft list table inet kijun_isolation"
ODD = "/opt/odd"
NEIGHBOUR = "client13"
"""A host that is to report, and never does."""

TOMORROW = "{{ '%Y-%m-%d' | strftime(__operations_journal_now | int + 86400, utc=true) }}"
PRODUCT = {
    "product": "ClamAV",
    "action": "select",
    "product_version": "1.4",
    "criteria": ["blocks on access", "definitions from inside"],
    "alternatives": ["Product B: definitions from the cloud alone"],
    "reason": "runs without the internet",
    "selected_by": "suzuki",
    "approver": "kato",
    "ticket": "SEL-4",
}


class Desk:
    """A ledger of this test's own, and people who run playbooks with it.

    Args:
        machine: the host.
        folder: where the ledger and the reports are.
    """

    def __init__(self, machine: Machine, folder: Path) -> None:
        self.machine, self.folder = machine, folder
        self.url = f"sqlite:///{folder / 'ledger.sqlite'}"
        migrate.upgrade(self.url)

    def run(self, person: str, playbook: str, *arguments: str, **variables: Any) -> subprocess.CompletedProcess[str]:
        """Somebody runs a playbook."""
        options = () if "--limit" in arguments else ("--limit", f"{self.machine.name},localhost")
        return ansible_playbook(
            *(*INVENTORY, f"playbooks/{playbook}.yml", *SETTINGS, *options, *arguments),
            *("-e", json.dumps({"kijun_actor": person, **variables})),
            KIJUN_LEDGER_URL=self.url,
            KIJUN_REPORT_DIR=str(self.folder),
        )

    def ok(self, person: str, playbook: str, *arguments: str, **variables: Any) -> str:
        """Somebody runs a playbook that must succeed; give what it printed."""
        done = self.run(person, playbook, *arguments, **variables)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def enter(self, person: str, **entry: Any) -> None:
        """Somebody enters something about an incident."""
        self.ok(person, "incident_entries", incident_entries=[entry])

    def incidents(self) -> list[dict[str, Any]]:
        """The book, after proving that nothing in it was altered."""
        with Ledger(self.url) as ledger:
            assert ledger.verify("incidents").ok
            return [state.fields for state in ledger.states("incidents")]


@pytest.fixture
def desk(machine: Machine, tmp_path: Path) -> Iterator[Desk]:
    """A host with antimalware and a packet filter, on which nothing was found yet."""
    subprocess.run(["lab/lab", "up", SERVER], cwd=ROOT, check=True, capture_output=True, timeout=300)
    machine.inventory = INVENTORY
    if machine.run("systemctl is-active kijun-malware-watch").rc:
        done = play(machine, around=())
        assert done.returncode == 0, done.stdout + done.stderr
    if machine.run("nft list table inet kijun").rc:
        done = machine.playbook(FIREWALL)
        assert done.returncode == 0, done.stdout + done.stderr
    quiet(machine)
    machine.run("rm -f /var/lib/kijun/malware/finds.jsonl")
    yield Desk(machine, tmp_path)
    if machine.run(CUT_OFF).rc == 0:
        order = {
            "isolate": False,
            "requester": "mori",
            "kijun_actor": "sato",
            "ticket": "T",
            "reason": "the test is over",
        }
        machine.playbook("isolate", *SETTINGS, "-e", json.dumps(order))
    quiet(machine)
    machine.run(f"rm -rf {ODD} /var/lib/kijun/malware/finds.jsonl")


@pytest.mark.control("INC-01", "INC-02", "INC-03", "INC-04", "INC-05")
def test_a_find_from_the_host_to_the_months_report(desk: Desk) -> None:
    machine, folder = desk.machine, desk.folder
    make(machine, f"os.makedirs({ODD!r}, exist_ok=True)\nopen('{ODD}/e.com', 'w').write(eicar)")
    assert machine.run(f"kijun-malware scan {ODD}").rc == 2
    # The find is one incident, however often it is read.
    for _ in range(2):
        desk.ok("awx", "incidents")
    (incident,) = desk.incidents()
    assert (incident["host"], incident["path"], incident["status"]) == (machine.name, f"{ODD}/e.com", "open")
    assert (incident["host_action"], incident["opened_by"]) == ("quarantined", "awx")
    identity = incident["id"]
    desk.enter("kato", id=identity, action="acknowledge", note="the colleague was called")

    # Cut off, looked at, scanned; the evidence is kept.
    about = {"response_host": machine.name, "response_incident": identity, "ticket": "INC-17"}
    desk.ok(
        "kato",
        "malware_response",
        response_isolate=True,
        response_directory=str(folder / "evidence"),
        reason="malware was found",
        **about,
    )
    assert machine.run(CUT_OFF).rc == 0
    (incident,) = desk.incidents()
    assert (incident["status"], incident["contained_by"]) == ("contained", "kato")
    evidence = json.loads((folder / "evidence" / identity / "evidence.json").read_text(encoding="utf-8"))
    assert evidence["status"]["definitions"]["version"]
    assert evidence["scanned"]["rc"] in (0, 2)
    assert json.loads(evidence["scanned"]["said"])["files"] > 1000
    assert [find["path"] for find in evidence["finds"]][:1] == [f"{ODD}/e.com"]
    assert evidence["elsewhere"][machine.name][0]["sha256"] == incident["sha256"]

    # Nobody lets it back alone, unasked, or by another host's incident; nothing changes then.
    before = machine.ok("nft -s -t list ruleset")

    def refused(person: str, words: str, **other: Any) -> None:
        done = desk.run(person, "malware_release", **{**about, "reason": "scanned, clean", **other})
        assert done.returncode != 0
        assert words in " ".join((done.stdout + done.stderr).split())
        assert machine.ok("nft -s -t list ruleset") == before
        assert desk.incidents()[0]["released_at"] == ""

    refused("sato", "nobody has asked for it")
    desk.enter("kato", id=identity, action="request_release", release_reason="the scan found nothing more")
    refused("Kato", "another person does")
    refused("sato", "-e ticket=... and -e reason=... are all needed", reason=" ")
    refused("sato", "and isolate is false", isolate=True)
    refused("sato", 'one of those of --limit, now "elsewhere"', response_host="elsewhere")
    desk.ok("sato", "malware_release", reason="scanned, clean", **about)
    assert machine.run(CUT_OFF).rc != 0
    (incident,) = desk.incidents()
    assert (incident["release_requested_by"], incident["released_by"]) == ("kato", "sato")
    event = json.loads(machine.ok("cat /var/lib/kijun/firewall/isolation.json"))[-1]
    assert (event["isolated"], event["by"], event["requester"]) == (False, "sato", "kato")
    # Run again, nothing is done anew.
    assert "changed=0 " in desk.ok("sato", "malware_release", reason="scanned, clean", **about)
    # Isolated again without the incident, it is not let back by who once asked, though the ledger is satisfied.
    desk.ok("mori", "isolate", isolate=True, ticket="INC-18", reason="something else")
    done = desk.run("kato", "malware_release", reason="scanned, clean", **about)
    assert done.returncode != 0
    assert "another person than who does it, kato" in " ".join((done.stdout + done.stderr).split())
    assert machine.run(CUT_OFF).rc == 0
    desk.ok("sato", "isolate", isolate=False, requester="mori", ticket="INC-18", reason="it was nothing")
    seen = {"attended": "mori, at once", "reach": "a test file, which does nothing"}
    ended = {**seen, "cause": "the test put it there", "measure": "none is needed", "outside": False}
    desk.enter("mori", id=identity, action="resolve", **ended)

    # The month: the host reports once a day, its neighbour never does.
    for _ in range(2):
        desk.ok("awx", "operations_journal", __operations_journal_until=TOMORROW)
    desk.ok("suzuki", "malware_products", malware_product_entries=[PRODUCT])
    month = datetime.datetime.now(datetime.UTC).strftime("%Y-%m")
    hosts = ("--limit", f"{machine.name},{NEIGHBOUR}")
    out = {"incidents_month": month, "incidents_directory": str(folder / "out")}
    desk.ok("mori", "malware_report", *hosts, **out)
    written = {path.name: path.read_bytes() for path in (folder / "out").iterdir()}
    assert set(written) == {f"malware-{month}.{form}" for form in ("html", "csv", "json")} | {
        f"malware-hosts-{month}.csv"
    }
    desk.ok("mori", "malware_report", *hosts, **out)
    assert written == {path.name: path.read_bytes() for path in (folder / "out").iterdir()}
    report = json.loads(written[f"malware-{month}.json"])
    (find,) = report["finds"]
    assert (find["id"], find["path"], find["resolved_by"]) == (identity, f"{ODD}/e.com", "mori")
    assert (report["unresolved"], report["silent"], report["reviews_overdue"]) == ([], [NEIGHBOUR], [])
    told = report["hosts"][machine.name]
    assert (len(told["days"]), told["behind_hours"], told["scans"]) == (1, 0, 1)
    assert told["files"] > 1000
    assert told["last_update"]
    with (folder / "out" / f"malware-{month}.csv").open(encoding="utf-8-sig", newline="") as file:
        assert [row["インシデント番号"] for row in csv.DictReader(file)] == [identity]
    done = desk.run("mori", "malware_report", *hosts, **{**out, "incidents_month": "2026-13"})
    assert done.returncode != 0
    assert "clause SM-4.5.3-2" in " ".join((done.stdout + done.stderr).split())


@pytest.mark.control("AMW-07")
def test_a_host_cuts_itself_off_where_a_find_asks_for_it(desk: Desk, verdicts: Verdicts) -> None:
    machine = desk.machine
    asked = ("-e", json.dumps({"antimalware_isolate": "any"}))
    try:
        done = play(machine, *asked)
        assert done.returncode == 0, done.stdout + done.stderr
        assert verdicts("--tags", "AMW-07", *asked) == {"AMW-07": "pass"}
        assert machine.run(CUT_OFF).rc != 0
        make(machine, f"os.makedirs({ODD!r}, exist_ok=True)\nopen('{ODD}/e.com', 'w').write(eicar)")
        assert machine.run(f"kijun-malware scan {ODD}").rc == 2
        assert wait_for(lambda: machine.run(CUT_OFF).rc == 0, 30)
        event = json.loads(machine.ok("cat /var/lib/kijun/firewall/isolation.json"))[-1]
        (find,) = json.loads(machine.ok("kijun-malware finds"))
        assert (event["isolated"], event["by"], event["ticket"]) == (True, "kijun-malware", find["id"])
        # Loaded anew, as at a start, it still is.
        machine.ok("nft -f /etc/nftables.conf")
        assert machine.run(CUT_OFF).rc == 0
        desk.ok("sato", "isolate", isolate=False, requester="mori", ticket="INC-19", reason="looked at")
        assert machine.run(CUT_OFF).rc != 0
        # What it was let back after asks for nothing any more.
        machine.ok("systemctl restart kijun-malware-isolate.service && sleep 3")
        assert machine.run(CUT_OFF).rc != 0
        machine.ok("systemctl disable --quiet --now kijun-malware-isolate.service")
        assert verdicts("--tags", "AMW-07", *asked) == {"AMW-07": "fail"}
    finally:
        done = play(machine)
    assert done.returncode == 0, done.stdout + done.stderr
    assert machine.run("systemctl is-active kijun-malware-isolate.service").rc != 0
