# SPDX-License-Identifier: GPL-3.0-or-later
"""The callback in real runs of ansible-playbook; the results it is given come from files (data/evidence)."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import sample
from jsonschema import Draft202012Validator
from kijun_store import contents, directory_store

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


# ---- the report store ----


def test_an_audit_is_brought_to_the_store_whole_and_it_is_said_where(tmp_path: Path) -> None:
    environment, far = directory_store(tmp_path)
    feed = {"good": evidence("good", []), "poor": evidence("poor", ["fail"])}
    done = play(tmp_path, "audit.yml", feed, "-e", '{"awx_job_id": 4711}', inventory="good,poor,", **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    run = (tmp_path / "reports" / "latest").readlink().name
    there = contents(far / run)
    assert there.pop("SHA256SUMS")
    assert there == contents(tmp_path / "reports" / run)
    assert done.stdout.splitlines()[-1] == f"Stored: store:kijun/reports/{run}"
    # The next one, elsewhere, is compared with it.
    (tmp_path / "elsewhere").mkdir()
    for before in ("reports/latest", f"nowhere/{run}"):
        more = {**environment, "KIJUN_REPORT_BEFORE": before, "KIJUN_LANG": "ja"}
        done = play(tmp_path / "elsewhere", "audit.yml", feed, "-e", '{"awx_job_id": 4712}', inventory="good,", **more)
        assert "保管先: store:kijun/reports/" in done.stdout
        page = (tmp_path / "elsewhere" / "reports" / "latest" / "report.html").read_text(encoding="utf-8")
        assert f'"before":{{"id":"{run}' in page
        shutil.rmtree(far / (tmp_path / "elsewhere" / "reports" / "latest").readlink().name)


def test_a_store_without_an_earlier_run_costs_only_the_comparison(tmp_path: Path) -> None:
    environment, far = directory_store(tmp_path)
    feed = {"localhost": evidence("localhost", [])}
    done = play(tmp_path, "audit.yml", feed, KIJUN_REPORT_BEFORE="reports/latest", **environment)
    assert "the report compares with no earlier run: store:kijun/reports holds no run" in done.stdout + done.stderr
    assert len(list(far.iterdir())) == 1


def test_a_store_that_cannot_be_reached_is_an_error_and_what_is_here_stays(tmp_path: Path) -> None:
    environment, _ = directory_store(tmp_path)
    (tmp_path / "far").write_text("", encoding="utf-8")
    done = play(tmp_path, "audit.yml", {"localhost": evidence("localhost", [])}, **environment)
    assert done.returncode == 0
    assert "  localhost  Pass 12" in done.stdout
    assert "what this run left was NOT kept in the report store: rclone " in done.stderr
    assert "Stored:" not in done.stdout
    assert (tmp_path / "reports" / "latest" / "report.html").is_file()


def test_a_store_that_is_none_ends_the_run_before_its_first_play(tmp_path: Path) -> None:
    environment, _ = directory_store(tmp_path)
    feed = {"localhost": evidence("localhost", [])}
    done = play(tmp_path, "audit.yml", feed, **{**environment, "KIJUN_REPORT_STORE": "reports"})
    assert done.returncode == 1
    assert "KIJUN_REPORT_STORE is 'reports'; it must be REMOTE:PATH" in done.stderr
    assert "PLAY" not in done.stdout
    assert not (tmp_path / "reports").exists()


def test_files_that_a_playbook_leaves_are_brought_to_the_store_also_where_it_fails(tmp_path: Path) -> None:
    environment, far = directory_store(tmp_path)
    base = json.dumps({"base": str(tmp_path)})
    done = play(tmp_path, "files.yml", {}, "-e", base, inventory="one,two,", **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    (run,) = (far / "cases").iterdir()
    assert re.fullmatch(r"\d{8}T\d{6}Z-[0-9a-f]{16}", run.name)
    there = contents(run)
    assert there.pop("SHA256SUMS")
    assert there == {"INC-1/one.txt": b"of one\n", "INC-1/two.txt": b"of two\n"}
    assert done.stdout.splitlines()[-1] == f"Stored: store:kijun/reports/cases/{run.name}"
    # Each run has a folder of its own, which in AWX bears the job's number.
    more = ("-e", json.dumps({"base": str(tmp_path), "awx_job_id": "4711"}), "-e", "@missing.yml")
    (tmp_path / "missing.yml").write_text("missing: \"{{ copied.dest if inventory_hostname == 'one' else 'none' }}\"\n")
    done = play(tmp_path, "files.yml", {}, *more, inventory="one,two,", **environment)
    assert done.returncode == 2
    (other,) = set((far / "cases").iterdir()) - {run}
    assert other.name.endswith("Z-4711")
    assert sorted(contents(other)) == ["INC-1/one.txt", "SHA256SUMS"]


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    (tmp_path / "site.yml").write_text(
        "- {hosts: all, gather_facts: false, tasks: [{kijun.baseline.kept_files: {files: [none.txt]}}]}\n"
    )
    done = play(tmp_path, str(tmp_path / "site.yml"), {})
    assert done.returncode == 2
    assert f"files names {tmp_path}/none.txt; it must name files of the controller" in done.stdout
    assert play(tmp_path, str(tmp_path / "site.yml"), {}, "--check").returncode == 0
