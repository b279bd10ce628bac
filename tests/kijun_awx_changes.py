# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes as jobs of AWX: the host that is changed, the ledger beside it, the job."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger import migrate
from kijun_changes import SAID, SERVER, lab
from kijun_hosts import Machine
from kijun_runner import Result, lab_credentials, lab_inventory, run_job, shared_folder

BACKED_UP = "molecule/change/inventory"
"""The inventory in which `time1` keeps the backups of the others."""

LEDGER = "/ledger"
"""Where a job has the folder with the ledger."""


def backed_up(machine: Machine) -> Machine:
    """Have a host backed up, and able to be changed with a way back: brought to it by a job, too."""
    lab("up", SERVER)
    if machine.run("command -v kijun-change").rc:
        job = run_job(
            "playbooks/backup.yml",
            {},
            inventory=lab_inventory(BACKED_UP),
            limit=f"{machine.name},{SERVER},localhost",
            credentials=lab_credentials(),
        )
        assert job.ok, job.stdout + job.stderr
    return machine


@contextlib.contextmanager
def folder_with_ledger() -> Iterator[Path]:
    """A folder that a job can write to, with a ledger in it."""
    with shared_folder() as path:
        migrate.upgrade(f"sqlite:///{path}/ledger.sqlite")
        for file in path.iterdir():
            file.chmod(0o666)
        yield path


def of_change(
    playbook: str,
    answers: Mapping[str, Any],
    host: Machine,
    folder: Path,
    environment: Mapping[str, str] | None = None,
    **more: Any,
) -> Result:
    """Run a playbook about a change on a host.

    Args:
        playbook: change, rollback or another one.
        answers: of the survey, beside what every change says.
        host: the host.
        folder: see `folder_with_ledger`.
        environment: what further credentials bring.
        more: further arguments of `run_job`.
    """
    ledger = {"KIJUN_LEDGER_URL": f"sqlite:///{LEDGER}/ledger.sqlite", "KIJUN_REPORT_DIR": f"{LEDGER}/reports"}
    return run_job(
        f"playbooks/{playbook}.yml",
        {**SAID, **answers},
        inventory=lab_inventory(BACKED_UP),
        limit=host.name,
        credentials=lab_credentials(environment={**ledger, **(environment or {})}),
        volumes=[(folder, LEDGER)],
        **more,
    )
