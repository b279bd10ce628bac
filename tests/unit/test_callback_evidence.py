# SPDX-License-Identifier: GPL-3.0-or-later
"""The callback in real runs of ansible-playbook; the results it is given come from files (data/evidence)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import sample
from jsonschema import Draft202012Validator

ROOT = Path(__file__).parents[2]
PLAYBOOKS = Path(__file__).parent / "data" / "evidence"
SCHEMA = json.loads((ROOT / "docs" / "schema" / "evidence-1.schema.json").read_text(encoding="utf-8"))


def play(
    directory: Path,
    playbook: str,
    feed: dict[str, Any],
    *arguments: str,
    inventory: str = "localhost,",
    **environment: str,
) -> subprocess.CompletedProcess[str]:
    """Run a playbook of data/evidence in ``directory``; ``feed`` is what the task returns for each host."""
    (directory / "feed").mkdir(exist_ok=True)
    (directory / "ansible.cfg").touch()
    for name, result in feed.items():
        (directory / "feed" / f"{name}.json").write_text(json.dumps(result), encoding="utf-8")
    command = [
        Path(sys.executable).with_name("ansible-playbook"),
        "-i",
        inventory,
        "-c",
        "local",
        PLAYBOOKS / playbook,
        *arguments,
    ]
    settings = {
        "ANSIBLE_CONFIG": str(directory / "ansible.cfg"),
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections"),
        "ANSIBLE_CALLBACKS_ENABLED": "kijun.baseline.evidence",
        "ANSIBLE_HOME": str(directory / "home"),
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_DEPRECATION_WARNINGS": "1",
        "FEED": str(directory / "feed"),
    }
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("ANSIBLE_", "KIJUN_"))}
    return subprocess.run(
        command,
        cwd=directory,
        env={**kept, **settings, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def evidence(name: str, verdicts: list[str]) -> dict[str, Any]:
    return {"changed": False, "evidence": sample.record(name, verdicts)}


def test_an_audit_leaves_evidence_of_every_host(tmp_path: Path) -> None:
    feed = {"good": evidence("good", []), "poor": evidence("poor", ["fail"] * 5)}
    done = play(tmp_path, "audit.yml", feed, inventory="good,poor,mute,")
    assert done.returncode == 2, done.stdout + done.stderr
    latest = tmp_path / "reports" / "latest"
    assert sorted(path.name for path in latest.iterdir()) == ["hosts", "junit.xml", "report.html"]
    records = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in (latest / "hosts").iterdir()}
    assert set(records) == {"good", "poor", "mute"}
    for record in records.values():
        Draft202012Validator(SCHEMA).validate(record)
        assert record["run"]["id"] == latest.readlink().name
        assert record["run"]["playbook"] == "audit.yml"
        assert record["run"]["finished"] >= record["run"]["started"]
    assert records["poor"]["controls"] == feed["poor"]["evidence"]["controls"]
    assert records["mute"]["unaudited"].endswith("the audit did not run on this host")
    assert ElementTree.parse(latest / "junit.xml").getroot().get("errors") == "1"


def test_in_awx_a_run_bears_its_jobs_number(tmp_path: Path) -> None:
    feed = {"good": evidence("good", []), "poor": evidence("poor", [])}
    # Two plays' worth of batches: the number is there once.
    done = play(tmp_path, "audit.yml", feed, "-e", '{"awx_job_id": 4711, "batch": 1}', inventory="good,poor,")
    assert done.returncode == 0, done.stdout + done.stderr
    run = (tmp_path / "reports" / "latest").readlink().name
    assert run.endswith("Z-4711")
    for path in (tmp_path / "reports" / run / "hosts").iterdir():
        Draft202012Validator(SCHEMA).validate(json.loads(path.read_text(encoding="utf-8")))


def test_the_summary_is_short_and_says_where_the_report_is(tmp_path: Path) -> None:
    done = play(
        tmp_path,
        "audit.yml",
        {"good": evidence("good", []), "poor": evidence("poor", ["fail"] * 5)},
        inventory="good,poor,",
    )
    assert done.returncode == 0
    run = (tmp_path / "reports" / "latest").readlink().name
    assert done.stdout.split("KIJUN AUDIT")[1].splitlines()[1:] == [
        "  good  Pass 12",
        "  poor  Fail 5, Pass 7",
        "      not met: AUTH-01 Require passwords of at least eight characters; AUTH-02 Require a capital, a small and "
        "a special character; AUTH-03 Refuse words of a dictionary and the user's own name; 2 more",
        "Totals: 2 hosts, results: Fail 5, Pass 19",
        f"Report: {tmp_path}/reports/{run}/report.html",
    ]
    assert "WARNING" not in done.stderr + done.stdout
    assert "DEPRECAT" not in done.stderr + done.stdout


def test_a_task_that_fails_with_evidence_still_leaves_it(tmp_path: Path) -> None:
    strict = {**evidence("localhost", ["fail"]), "failed": True, "msg": "1 controls do not hold: AUTH-01"}
    done = play(tmp_path, "audit.yml", {"localhost": strict})
    assert done.returncode == 2
    record = json.loads((tmp_path / "reports" / "latest" / "hosts" / "localhost.json").read_text(encoding="utf-8"))
    assert record["totals"]["fail"] == 1
    assert "unaudited" not in record


def test_hosts_whose_turn_never_came_are_not_forgotten(tmp_path: Path) -> None:
    done = play(tmp_path, "audit.yml", {"a": evidence("a", [])}, "-e", "batch=1", inventory="a,b,c,")
    assert done.returncode == 2
    records = {
        path.stem: json.loads(path.read_text(encoding="utf-8"))
        for path in (tmp_path / "reports/latest/hosts").iterdir()
    }
    assert records["b"]["unaudited"].endswith("the audit did not run on this host")
    assert records["c"]["unaudited"] == "the run ended before the host's turn came"


def test_an_audit_in_which_no_host_answers_leaves_that_in_evidence(tmp_path: Path) -> None:
    inventory = tmp_path / "hosts.yml"
    inventory.write_text(
        "servers: {hosts: {far: {ansible_connection: ssh, ansible_host: 127.0.0.1, ansible_port: 1}}}\n",
        encoding="utf-8",
    )
    done = play(tmp_path, "unreachable.yml", {}, inventory=str(inventory))
    assert done.returncode == 4, done.stdout + done.stderr
    record = json.loads((tmp_path / "reports" / "latest" / "hosts" / "far.json").read_text(encoding="utf-8"))
    Draft202012Validator(SCHEMA).validate(record)
    assert record["unaudited"].startswith("unreachable: ")
    assert record["host"]["groups"] == ["servers"]


def test_evidence_that_is_not_evidence_leaves_the_host_unaudited_and_the_others_whole(tmp_path: Path) -> None:
    broken = evidence("broken", [])
    broken["evidence"]["controls"][0]["verdict"] = "splendid"
    done = play(tmp_path, "audit.yml", {"good": evidence("good", []), "broken": broken}, inventory="broken,good,")
    assert done.returncode == 0
    records = {
        path.stem: json.loads(path.read_text(encoding="utf-8"))
        for path in (tmp_path / "reports/latest/hosts").iterdir()
    }
    assert "verdict 'splendid' is none of" in records["broken"]["unaudited"]
    assert records["good"]["totals"]["pass"] == 12


def test_a_second_audit_is_compared_with_the_first(tmp_path: Path) -> None:
    play(tmp_path, "audit.yml", {"localhost": evidence("localhost", ["fail"])})
    first = (tmp_path / "reports" / "latest").readlink().name
    done = play(tmp_path, "audit.yml", {"localhost": evidence("localhost", [])}, KIJUN_REPORT_BEFORE="reports/latest")
    assert done.returncode == 0
    page = (tmp_path / "reports" / "latest" / "report.html").read_text(encoding="utf-8")
    assert f'"before":{{"id":"{first}"' in page


def test_an_earlier_run_that_cannot_be_read_costs_only_the_comparison(tmp_path: Path) -> None:
    done = play(tmp_path, "audit.yml", {"localhost": evidence("localhost", [])}, KIJUN_REPORT_BEFORE="nowhere")
    assert done.returncode == 0
    assert "the report compares with no earlier run" in done.stdout + done.stderr
    assert (tmp_path / "reports" / "latest" / "report.html").exists()


def test_a_directory_that_cannot_be_written_is_an_error_and_the_summary_stays(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    done = play(tmp_path, "audit.yml", {"localhost": evidence("localhost", [])}, KIJUN_REPORT_DIR="file/reports")
    assert done.returncode == 0
    assert "  localhost  Pass 12" in done.stdout
    assert "the evidence of this audit was NOT kept: [Errno 20] Not a directory" in done.stderr
    assert "Report:" not in done.stdout


@pytest.mark.parametrize(
    ("language", "line"),
    [("en", "Totals: 1 hosts, 1 changed, 0 failed"), ("ja", "合計: ホスト 1 台、変更あり 1 台、失敗 0 台")],
)
def test_a_run_that_changes_hosts_leaves_a_summary_and_no_file(tmp_path: Path, language: str, line: str) -> None:
    feed = {"localhost": {"changed": True, "changed_files": ["/etc/chrony/chrony.conf"]}}
    done = play(tmp_path, "site.yml", feed, KIJUN_LANG=language)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Put the configuration in place (/etc/chrony/chrony.conf)" in done.stdout
    # The rescued failure did not end the run, and is no failure of the host.
    assert done.stdout.rstrip().splitlines()[-1] == line
    assert not (tmp_path / "reports").exists()


def test_a_failed_host_is_named_with_its_error(tmp_path: Path) -> None:
    done = play(tmp_path, "site.yml", {"a": {"changed": False}}, inventory="a,b,")
    assert done.returncode == 2
    summary = done.stdout.split("KIJUN")[1]
    assert "  a  nothing changed\n" in summary
    assert (
        "  b  nothing changed\n      failed: Put the configuration in place: the audit did not run on this host\n"
        in summary
    )
