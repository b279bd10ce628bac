# SPDX-License-Identifier: GPL-3.0-or-later
"""One report of the audits of a job's slices: every host once, or nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import sample
from ansible_collections.kijun.baseline.plugins.plugin_utils.report import (
    EvidenceError,
    Report,
    clause_titles,
    load_run,
    unaudited_record,
    write_run,
)
from ansible_collections.kijun.baseline.plugins.plugin_utils.report.merge import merged, runs_of, written_before
from ansible_collections.kijun.baseline.plugins.plugin_utils.report_store import configured
from kijun_store import contents, directory_store
from kijun_tools import tree

PLAYBOOK = Path(sys.executable).with_name("ansible-playbook")
SECOND = "20261121T101500Z"


def slice_of(*hosts: str, job: int = 4711, **run: Any) -> Report:
    """The run of one slice."""
    report = Report({**sample.run(f"{SECOND}-{job}"), **run})
    for name in hosts:
        report.add(name, sample.stock_fleet()[name])
    return report


def test_one_run_has_the_hosts_of_all_slices() -> None:
    late = slice_of("client13", job=4712, started="2026-11-21T10:15:02Z", finished="2026-11-21T10:20:00Z")
    late.add("time1", unaudited_record("time1", ["servers"], "unreachable: Connection refused", sample.STARTED))
    whole = merged([late, slice_of("server12", "server13")])
    assert sorted(whole.hosts) == ["client13", "server12", "server13", "time1"]
    assert whole.hosts["time1"].unaudited == "unreachable: Connection refused"
    assert whole.run["id"] == SECOND
    assert whole.run["started"] == sample.STARTED
    assert whole.run["finished"] == "2026-11-21T10:20:00Z"
    assert whole.all_totals()["fail"] == sum(
        one.all_totals()["fail"] for one in (late, slice_of("server12", "server13"))
    )


@pytest.mark.parametrize(
    ("reports", "said"),
    [
        ([], "no run"),
        ([slice_of("server12"), slice_of("server12", job=4712)], "host server12 is in two"),
        ([slice_of("server12"), slice_of("server13", version="0.0.1")], "different versions"),
        ([slice_of("server12"), slice_of("server13", playbook="site.yml")], "different playbooks"),
    ],
)
def test_what_are_no_slices_of_one_job_is_refused(reports: list[Report], said: str) -> None:
    with pytest.raises(EvidenceError, match=said):
        merged(reports)


def merge(directory: Path, *jobs: int, check: bool = False, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the playbook as the job behind the slices, which AWX gives their artifacts."""
    told = {f"kijun_audit_job_{job}": str(job) for job in jobs}
    return subprocess.run(
        [PLAYBOOK, "-i", "localhost,", "playbooks/audit_merge.yml", "-e", json.dumps(told), *(["--check"] * check)],
        cwd=tree.ROOT,
        env={**os.environ, "KIJUN_REPORT_DIR": str(directory), "KIJUN_JOURNAL": "no", **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_playbook_makes_one_run_and_a_second_time_none(tmp_path: Path) -> None:
    for job, hosts in ((4711, ("server12", "client12")), (4712, ("server13", "client13"))):
        write_run(tmp_path, slice_of(*hosts, job=job), clause_titles())
    # An earlier audit, and another job's slice, are none of this.
    write_run(tmp_path, slice_of("server12", job=99), clause_titles())
    done = merge(tmp_path, 4711, 4712, check=True)
    assert done.returncode == 0, done.stdout
    assert "changed=1" in done.stdout
    assert not (tmp_path / SECOND).exists()
    done = merge(tmp_path, 4711, 4712)
    assert done.returncode == 0, done.stdout
    assert sorted(load_run(tmp_path / SECOND).hosts) == ["client12", "client13", "server12", "server13"]
    assert (tmp_path / "latest").resolve() == tmp_path / SECOND
    assert (tmp_path / SECOND / "report.html").stat().st_mode & 0o077 == 0
    there = sorted(tmp_path.iterdir())
    done = merge(tmp_path, 4711, 4712)
    assert "changed=0" in done.stdout
    assert sorted(tmp_path.iterdir()) == there


def test_slices_that_share_no_directory_are_fetched_from_the_store_and_the_one_run_goes_there(tmp_path: Path) -> None:
    environment, far = directory_store(tmp_path)
    store = configured(environment)
    assert store is not None
    for job, hosts in ((4711, ("server12", "client12")), (4712, ("server13",)), (99, ("server12",))):
        run = write_run(tmp_path / f"pod{job}", slice_of(*hosts, job=job), clause_titles())
        store.keep({f"{run.name}/{path.relative_to(run)}": path for path in run.rglob("*") if path.is_file()})
    slices = contents(far)
    # In check mode nothing is written, neither here nor there.
    assert merge(tmp_path / "pod1", 4711, 4712, check=True, **environment).returncode == 0
    assert not (tmp_path / "pod1").exists()
    done = merge(tmp_path / "pod1", 4711, 4712, **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    here = tmp_path / "pod1" / SECOND
    assert sorted(load_run(here).hosts) == ["client12", "server12", "server13"]
    there = contents(far / SECOND)
    assert there.pop("SHA256SUMS")
    assert there == contents(here)
    everything = contents(far)
    assert {name: everything[name] for name in slices} == slices
    # Again in another pod: it is there already.
    done = merge(tmp_path / "pod2", 4711, 4712, **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "changed=0" in done.stdout
    assert f"run: store:kijun/reports/{SECOND}" in done.stdout
    assert contents(far) == everything
    # A slice that was cut off on its way is none.
    (far / f"{SECOND}-4712" / "SHA256SUMS").unlink()
    done = merge(tmp_path / "pod3", 4711, 4712, **environment)
    assert done.returncode != 0
    assert f"store:kijun/reports/{SECOND}-4712 is not whole" in " ".join(done.stdout.split())


def test_one_run_that_was_not_brought_to_the_store_is_brought_there_later(tmp_path: Path) -> None:
    environment, far = directory_store(tmp_path)
    for job, host in ((4711, "server12"), (4712, "server13")):
        write_run(tmp_path / "here", slice_of(host, job=job), clause_titles())
    assert merge(tmp_path / "here", 4711, 4712).returncode == 0
    assert not far.exists()
    done = merge(tmp_path / "here", 4711, 4712, **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "changed=0" in done.stdout
    assert (far / SECOND / "SHA256SUMS").is_file()


def test_a_slice_without_evidence_is_named_and_nothing_is_written(tmp_path: Path) -> None:
    write_run(tmp_path, slice_of("server12"), clause_titles())
    done = merge(tmp_path, 4711, 4712)
    assert done.returncode != 0
    assert "job 4712 left no evidence" in " ".join(done.stdout.split())
    assert not (tmp_path / SECOND).exists()
    assert "no job told of an audit" in " ".join(merge(tmp_path).stdout.split())


def test_what_was_written_before_is_known(tmp_path: Path) -> None:
    whole = merged([slice_of("server12"), slice_of("server13", job=4712)])
    assert written_before([tmp_path], whole) is None
    write_run(tmp_path, slice_of("server12"), clause_titles())
    assert written_before([tmp_path], whole) is None
    path = write_run(tmp_path, whole, clause_titles())
    assert written_before([tmp_path], whole) == path


def test_a_job_number_is_a_whole_one(tmp_path: Path) -> None:
    write_run(tmp_path, slice_of("server12", job=14711), clause_titles())
    with pytest.raises(EvidenceError, match="job 4711 left no evidence"):
        runs_of([tmp_path], [4711])
