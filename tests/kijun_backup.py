# SPDX-License-Identifier: GPL-3.0-or-later
"""The hosts of the scenario `backup`: a backup server, its clients, and where the second copy is."""

from __future__ import annotations

import json
import shlex
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kijun_hosts import Machine, ansible_playbook

INVENTORY = ("-i", "inventories/lab", "-i", "molecule/backup/inventory")
SERVER = "time1"
CLIENTS = ("server12", "server13")
PLACE = "client12"
STORE = "/srv/kijun-backup"
DATA = "/srv/data"
RESTIC = (
    'python3 -c \'import os, sys; sys.path.insert(0, "/usr/local/lib/kijun");'
    "from kijun_backup.restic import Restic; line = Restic.of_host().command(sys.argv[1:], storing=True);"
    "os.execvp(line[0], line)'"
)
"""restic with the host's own repository and key: what somebody can do who has become root on a client."""


def machine(name: str) -> Machine:
    """A host of the scenario, whose playbooks know of the backup server."""
    found = Machine(name)
    found.inventory = INVENTORY
    return found


def backup(client: Machine, *words: str, patience: int = 20) -> dict[str, Any]:
    """Run kijun-backup; its answer, or what it says when it fails: ``error`` and ``reason``."""
    done = client.run(shlex.join(["kijun-backup", "--json", "--patience", str(patience), *words]))
    assert done.stdout.strip(), done.stderr
    answer = json.loads(done.stdout.strip().splitlines()[-1])
    assert (done.rc == 0) == (not isinstance(answer, dict) or "error" not in answer or answer["error"] is None), done
    return answer


def snapshots(client: Machine, *words: str) -> list[dict[str, Any]]:
    """The client's snapshots."""
    found = backup(client, "snapshots", *words)
    assert isinstance(found, list), found
    return found


def last(client: Machine) -> dict[str, Any]:
    """The last entry of the client's history."""
    return json.loads(client.ok("tail -n 1 /var/lib/kijun/backup/history.jsonl"))


def repository(client: Machine) -> str:
    """Where the client's repository is on the server."""
    return f"{STORE}/{client.name}/repository"


def change(client: Machine, name: str = "changed", megabytes: int = 1) -> None:
    """Have something new to back up."""
    client.ok(f"mkdir -p {DATA} && head -c {megabytes}M /dev/urandom > {DATA}/{name}")


def wait_for(what: Callable[[], Any], seconds: float = 30) -> Any:
    """Ask until the answer is not empty; the last answer in any case."""
    end = time.monotonic() + seconds
    while not (answer := what()) and time.monotonic() < end:
        time.sleep(0.3)
    return answer


def play(path: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a playbook on all hosts of the scenario."""
    return ansible_playbook(*INVENTORY, path, *arguments)


def auditor(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Machine], dict[str, str]]:
    """What audits a host's backups, and tells each control's verdict."""

    def audit(host: Machine) -> dict[str, str]:
        monkeypatch.setenv("KIJUN_REPORT_DIR", str(folder))
        done = host.playbook("audit", "--tags", "backup")
        assert done.returncode == 0, done.stdout + done.stderr
        record = json.loads((folder / "latest" / "hosts" / f"{host.name}.json").read_text(encoding="utf-8"))
        return {control["id"]: control["verdict"] for control in record["controls"]}

    return audit
