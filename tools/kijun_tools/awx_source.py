# SPDX-License-Identifier: GPL-3.0-or-later
"""awx/jobs.yml as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import tree

SOURCE = Path("awx/jobs.yml")
LANGUAGES = ("en", "ja")

CHANGES = ("kijun_change_ticket", "kijun_change_confirmed")
"""What every job that changes hosts asks for; see kijun.baseline.environment_guard."""


@dataclass(frozen=True)
class Source:
    """awx/jobs.yml, and what the roles say of the variables that it asks for.

    Attributes:
        data: the file.
        options: variable -> its entry in the argument_specs of the role that has it.
        limits: variable -> what the role's limits.yml allows.
    """

    data: dict[str, Any]
    options: dict[str, dict[str, Any]]
    limits: dict[str, dict[str, Any]]

    @property
    def jobs(self) -> dict[str, dict[str, Any]]:
        """The jobs, by the name of their playbook."""
        jobs: dict[str, dict[str, Any]] = self.data["jobs"]
        return jobs

    @property
    def workflows(self) -> dict[str, dict[str, Any]]:
        """The workflows, by name."""
        workflows: dict[str, dict[str, Any]] = self.data["workflows"]
        return workflows

    def asked(self, job: Mapping[str, Any]) -> list[tuple[str, bool]]:
        """The variables that a job asks for, and whether each must be answered."""
        given = [
            (item, False) if isinstance(item, str) else (item["name"], bool(item.get("required")))
            for item in job.get("survey", [])
        ]
        return given + [(name, False) for name in CHANGES if job["effect"] == "changes"]

    def asked_by_workflow(self, workflow: Mapping[str, Any]) -> list[tuple[str, bool]]:
        """The variables that a workflow asks for: those of the job whose survey it has, and some of its own."""
        own = [(name, False) for name in workflow.get("also", [])]
        return self.asked({**self.jobs[workflow["survey_of"]], "effect": "reads"}) + own

    def teams(self, item: Mapping[str, Any]) -> list[str]:
        """Who may start a job or a workflow; administrators may start what operators may."""
        given = list(item["teams"])
        return given + (["administrators"] if "operators" in given and "administrators" not in given else [])


def read(root: Path = tree.ROOT) -> Source:
    """The source, from a checkout.

    Args:
        root: the checkout.
    """
    options: dict[str, dict[str, Any]] = {}
    limits: dict[str, dict[str, Any]] = {}
    for role in tree.roles(root):
        options.update(role.options())
        limits.update(role.limits())
    return Source(tree.load(root / SOURCE), options, limits)
