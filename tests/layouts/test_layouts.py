# SPDX-License-Identifier: GPL-3.0-or-later
"""The same sources audit a host alike from the checkout, in AWX's layout, and as an installed collection."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kijun_runner import copy_of_checkout
from kijun_tools import tree

ROOT = tree.ROOT
HOST = "server13"
BIN = ROOT / ".venv" / "bin"
MINUTES = 60


def environment(reports: Path, **more: str) -> dict[str, str]:
    """A clean environment: no setting of Ansible's but those given.

    Args:
        reports: where the run keeps its evidence.
        more: further variables.
    """
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "KIJUN_", "MOLECULE_"))
    }
    lab = os.environ.get("KIJUN_LAB", "5")
    return {**kept, "PATH": f"{BIN}:{kept['PATH']}", "KIJUN_LAB": lab, "KIJUN_REPORT_DIR": str(reports), **more}


def run(*command: str | Path, cwd: Path, env: dict[str, str]) -> str:
    """Run a program that must succeed.

    Returns:
        What it printed.
    """
    done = subprocess.run(
        command,
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=10 * MINUTES,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-8000:]
    return done.stdout


def record(reports: Path) -> dict[str, Any]:
    """The evidence that a run left of the host; a volatile value such as a clock's offset is left out.

    Args:
        reports: the run's KIJUN_REPORT_DIR.

    Returns:
        Control id -> verdict, and each check without its actual value.
    """
    evidence = json.loads((reports / "latest" / "hosts" / f"{HOST}.json").read_text(encoding="utf-8"))
    assert evidence["controls"], evidence.get("unaudited")
    return {
        control["id"]: {
            "verdict": control["verdict"],
            "checks": [
                {key: check[key] for key in ("fact", "op", "expected", "verdict")} for check in control["checks"]
            ],
        }
        for control in evidence["controls"]
    }


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A fresh host of the lab, removed afterwards."""
    env = environment(tmp_path_factory.mktemp("reports"))
    run(ROOT / "lab" / "lab", "up", HOST, cwd=ROOT, env=env)
    run(ROOT / "lab" / "lab", "reset", HOST, cwd=ROOT, env=env)
    yield HOST
    run(ROOT / "lab" / "lab", "down", cwd=ROOT, env=env)


@pytest.fixture(scope="module")
def from_checkout(host: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What an operator sees who audits from the checkout."""
    reports = tmp_path_factory.mktemp("checkout")
    run("ansible-playbook", "playbooks/audit.yml", "--limit", host, cwd=ROOT, env=environment(reports))
    return record(reports)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The collection's archive, built from a copy: other tests write into the checkout meanwhile."""
    folder = tmp_path_factory.mktemp("build")
    copy_of_checkout(folder / "source")
    env = environment(folder)
    run("ansible-galaxy", "collection", "build", "--output-path", folder, cwd=folder / "source", env=env)
    return next(folder.glob("kijun-baseline-*.tar.gz"))


def test_a_stock_host_fails_the_audit_from_the_checkout(from_checkout: dict[str, Any]) -> None:
    verdicts = {control["verdict"] for control in from_checkout.values()}
    assert "fail" in verdicts, "a host that no role has touched cannot pass"
    assert len(from_checkout) == len(tree.controls())


def test_awx_layout_audits_alike(host: str, from_checkout: dict[str, Any], tmp_path: Path) -> None:
    private, reports = tmp_path / "job", tmp_path / "reports"
    copy_of_checkout(private / "project")
    shutil.copytree(ROOT / "inventories" / "lab", private / "inventory")
    (private / "env").mkdir()
    # What AWX puts around a job: its own search path for collections, with ansible.cfg's after it, and the inventory's
    # variables. The keys of the lab stand for the credential that AWX hands over.
    search = f"{private}/requirements_collections:collections:~/.ansible/collections:/usr/share/ansible/collections"
    (private / "env" / "envvars").write_text(json.dumps({"ANSIBLE_COLLECTIONS_PATH": search}), encoding="utf-8")
    (private / "env" / "extravars").write_text(json.dumps({"kijun_lab_state": str(ROOT / ".lab")}), encoding="utf-8")

    arguments = ("run", private, "--playbook", "playbooks/audit.yml", "--limit", host, "--ident", "1")
    output = run("ansible-runner", *arguments, cwd=tmp_path, env=environment(reports))

    assert record(reports) == from_checkout
    events = [json.loads(file.read_text(encoding="utf-8")) for file in private.glob("artifacts/1/job_events/*.json")]
    assert any(event["event"] == "playbook_on_stats" for event in events), (
        "ansible-runner's own callback did not see the run"
    )
    assert host in output


def test_installed_collection_audits_alike(
    host: str, from_checkout: dict[str, Any], built: Path, tmp_path: Path
) -> None:
    reports, elsewhere = tmp_path / "reports", tmp_path / "elsewhere"
    elsewhere.mkdir()
    env = environment(
        reports,
        ANSIBLE_COLLECTIONS_PATH=str(tmp_path / "collections"),
        ANSIBLE_CALLBACKS_ENABLED="kijun.baseline.evidence",
    )
    run(
        "ansible-galaxy",
        "collection",
        "install",
        built,
        "-p",
        tmp_path / "collections",
        "--offline",
        cwd=elsewhere,
        env=env,
    )
    inventory = str(ROOT / "inventories" / "lab")
    run("ansible-playbook", "kijun.baseline.audit", "-i", inventory, "--limit", host, cwd=elsewhere, env=env)
    assert record(reports) == from_checkout


def test_the_built_collection_holds_what_a_run_needs_and_nothing_else(built: Path) -> None:
    with tarfile.open(built) as archive:
        names = {name.removeprefix("./") for name in archive.getnames()}
    needed = [
        "LICENSE",
        "README.md",
        "meta/runtime.yml",
        "playbooks/audit.yml",
        "playbooks/site.yml",
        "policy/clauses/SM.yml",
    ]
    needed += [f"roles/{role.name}/tasks/main.yml" for role in tree.roles()]
    needed += [str(file.relative_to(ROOT)) for file in ROOT.glob("plugins/**/*.py")]
    # What awx_configure.yml brings AWX to.
    needed += [str(file.relative_to(ROOT)) for file in ROOT.glob("awx/configuration/*.yml")]
    assert not sorted(set(needed) - names)
    top = {name.split("/")[0] for name in names}
    made_by_the_build = {"FILES.json", "MANIFEST.json"}
    texts = {"CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "README.ja.md", "README.md"}
    assert top <= made_by_the_build | texts | {"awx", "docs", "meta", "playbooks", "plugins", "policy", "roles"}
    assert not [name for name in names if name.startswith("awx/execution-environment")]
