# SPDX-License-Identifier: GPL-3.0-or-later
"""A run's entry in the journal: what is known when it begins, and what it came to. Standard library alone."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..actor import VARIABLES, actor
from .redact import redacted

LONGEST_LINE = 500
LONGEST_TEXT = 4000

MOST_TASKS = 2000
"""Changes, by task and by what was changed, that an entry names."""

MOST_THINGS = 50
"""Things that a change names."""

MOST_FAILURES = 500
"""Failures that an entry names."""

ANNOUNCED = ("impact", "dangers", "way_back", "test_report", "decided_by")
"""What of a change is announced with the run, as kijun_change_NAME."""

COUNTS = {"ok": "ok", "changed": "changed", "failures": "failed", "dark": "unreachable", "skipped": "skipped"}
"""Ansible's name of a count -> the journal's."""


def line(value: Any) -> str:
    """A value as one line of visible characters, redacted, such as a text of the journal holds.

    Args:
        value: what was given; nothing for None.
    """
    if value is None:
        return ""
    return _cut(_visible(" ".join(redacted(str(value)).split())), LONGEST_LINE)


def text(value: Any) -> str:
    """A value as text of the journal, redacted; it may have several lines.

    Args:
        value: what was given; nothing for None.
    """
    return _cut(redacted(_visible(str(value), "\n\t")), LONGEST_TEXT) if value is not None else ""


def _visible(given: str, allowed: str = "") -> str:
    if given.isascii() and given.isprintable():
        return given
    return "".join(c if c.isprintable() or c in allowed else "\\u%04x" % ord(c) for c in given)


def _cut(given: str, longest: int) -> str:
    return given if len(given) <= longest else given[: longest - 1] + "…"


def who(variables: Mapping[str, Any]) -> str:
    """Who runs it, as the actions on ledgers have it.

    Args:
        variables: those in sight.
    """
    return line(actor(*(variables.get(name) for name in VARIABLES)))


def from_where(variables: Mapping[str, Any]) -> str:
    """From where it is run: the job in AWX, the address that the person is logged in from, or the terminal.

    Args:
        variables: those in sight.
    """
    job = variables.get("awx_job_id")
    if job:
        return line("AWX job %s" % job)
    remote = os.environ.get("SSH_CONNECTION", os.environ.get("SSH_CLIENT", "")).split()
    if remote:
        return line(remote[0])
    try:
        return line(os.ttyname(0))
    except OSError:
        return "no terminal"


class Checkout:
    """The git checkout that a playbook is in. Its state is asked for while the run goes on.

    Args:
        folder: the playbook's.
    """

    def __init__(self, folder: str) -> None:
        self._state: subprocess.Popen[str] | None = None
        self._found: dict[str, Any] | None = None
        root = _above(Path(folder or ".").absolute())
        if root is None:
            self._found = {}
            return
        command = ["git", "-C", str(root), "status", "--porcelain=v2", "--branch"]
        environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
        try:
            self._state = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                errors="replace",
            )
        except OSError:
            self._found = {}

    def state(self, patience: float = 5) -> dict[str, Any]:
        """``head``, ``branch`` and ``dirty``; nothing where there is no checkout or git does not say.

        Args:
            patience: seconds that git may take yet.
        """
        if self._found is None and self._state is not None:
            try:
                output, _ = self._state.communicate(timeout=patience)
            except subprocess.TimeoutExpired:
                return {}
            self._found = _git(output) if self._state.returncode == 0 else {}
        return dict(self._found or {})


def _above(folder: Path) -> Path | None:
    return next((place for place in (folder, *folder.parents) if (place / ".git").exists()), None)


def _git(output: str) -> dict[str, Any]:
    found: dict[str, Any] = {"head": "", "branch": "", "dirty": False}
    for said in output.splitlines():
        if said.startswith("# branch.oid "):
            found["head"] = said.split(" ", 2)[2]
        elif said.startswith("# branch.head "):
            found["branch"] = line(said.split(" ", 2)[2])
        elif not said.startswith("#"):
            found["dirty"] = True
    return found


def of_project(variables: Mapping[str, Any]) -> dict[str, Any]:
    """The state of the project as AWX tells it: a job has a copy of it without what git knows.

    Args:
        variables: those in sight.

    Returns:
        ``head`` and ``branch``; nothing outside AWX.
    """
    revision = line(variables.get("awx_project_revision"))
    branch = line(variables.get("awx_job_scm_branch") or variables.get("awx_project_scm_branch"))
    return {"head": revision, "branch": branch} if revision else {}


def opened(called: Mapping[str, Any], variables: Mapping[str, Any], run: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a run that begins, every one of the model's that is not its id.

    Args:
        called: how ansible-playbook was called, its command line's options by name.
        variables: those of the first play, extra variables among them.
        run: what is known besides: ``at``, ``playbook``, ``hosts``, ``versions``, ``git``, ``controller`` and
            ``emergency``.
    """
    return {
        "status": "open",
        "kind": "run",
        "hosts": sorted({line(host)[:128] for host in run["hosts"]}),
        "at": run["at"],
        "until": "",
        "seconds": 0,
        "outcome": "",
        "summary": line(run["playbook"]),
        "actor": who(variables),
        "origin": from_where(variables),
        "ticket": line(variables.get("kijun_change_ticket")),
        "implementer": line(variables.get("kijun_change_implementer")),
        "confirmer": line(variables.get("kijun_change_confirmer")),
        "about": [],
        "details": {},
        "resolved_by": "",
        "resolved_at": "",
        "resolution": "",
        "run": {
            "playbook": text(run["playbook"]),
            "inventories": [text(name) for name in _several(called.get("inventory"))],
            "tags": [text(name) for name in _several(called.get("tags"))],
            "skip_tags": [text(name) for name in _several(called.get("skip_tags"))],
            "limit": text(called.get("subset")),
            "check": bool(called.get("check")),
            "diff": bool(called.get("diff")),
            "environment": "",
            **{name: text(variables.get("kijun_change_" + name)) for name in ANNOUNCED},
            "emergency": text(run["emergency"]),
            "versions": dict(run["versions"]),
            "git": dict(run["git"]),
            "controller": dict(run["controller"]),
            "results": {},
            "changes": [],
            "failures": [],
            "left_out": 0,
            "trail": None,
        },
    }


def _several(value: Any) -> list[Any]:
    if not value:
        return []
    return list(value) if isinstance(value, (list, tuple, set, frozenset)) else [value]


class Outcomes:
    """What a run comes to, as it goes on."""

    def __init__(self) -> None:
        self._changes: dict[tuple[str, tuple[str, ...], int], list[str]] = {}
        self._failures: list[dict[str, str]] = []
        self._left_out = 0
        self.environments: set[str] = set()

    def change(self, host: str, task: str, things: Sequence[str]) -> None:
        """Note what a task changed on a host.

        Args:
            host: the host.
            task: the task.
            things: what it says it changed.
        """
        named = tuple(text(thing) for thing in things[:MOST_THINGS])
        key = (text(task) or "-", named, len(things))
        if key not in self._changes and len(self._changes) >= MOST_TASKS:
            self._left_out += 1
            return
        self._changes.setdefault(key, []).append(line(host)[:128])

    def failure(self, host: str, task: str, message: str) -> None:
        """Note what failed on a host.

        Args:
            host: the host.
            task: the task.
            message: what it said.
        """
        if len(self._failures) >= MOST_FAILURES:
            self._left_out += 1
            return
        self._failures.append({"host": line(host)[:128], "task": text(task) or "-", "message": text(message)})

    def closed(
        self,
        opening: Mapping[str, Any],
        counts: Mapping[str, Mapping[str, int]],
        *,
        until: str,
        seconds: int,
        outcome: str = "",
        git: Mapping[str, Any] | None = None,
        trail: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """The fields that the run's end sets.

        Args:
            opening: the fields that it was opened with.
            counts: Ansible's name of a count -> host -> how many tasks.
            until: when it ended.
            seconds: how long it took.
            outcome: how it ended, where its counts do not say it.
            git: the state of its checkout, where it is known better by now.
            trail: the work trail's entry.
        """
        hosts = sorted({host for numbers in counts.values() for host in numbers})
        results = {
            line(host)[:128]: {ours: int(counts.get(theirs, {}).get(host, 0)) for theirs, ours in COUNTS.items()}
            for host in hosts
        }
        failed = any(result["failed"] for result in results.values())
        unreachable = any(result["unreachable"] for result in results.values())
        run = {
            **opening["run"],
            "environment": ", ".join(sorted(self.environments)),
            "results": results,
            "changes": [
                {"task": task, "things": list(things), "count": count, "hosts": sorted(set(names))}
                for (task, things, count), names in self._changes.items()
            ],
            # What a rescue section dealt with did not end the run for its host; it stands in the trail.
            "failures": [one for one in self._failures if _ended(results.get(one["host"], {}))],
            "left_out": self._left_out,
            "trail": dict(trail) if trail else None,
        }
        if git:
            run["git"] = dict(git)
        return {
            "status": "finished",
            "hosts": sorted({*opening["hosts"], *results}),
            "until": max(until, opening["at"]),
            "seconds": max(0, seconds),
            "outcome": outcome or ("failed" if failed else "unreachable" if unreachable else "ok"),
            "run": run,
        }


def _ended(result: Mapping[str, int]) -> bool:
    return bool(result.get("failed") or result.get("unreachable") or not result)


def name_of(at: str, identity: str) -> str:
    """A run's id, such as run-20261121T030000Z-1f0c2f6f2f7b0a4c.

    Args:
        at: when it began, as the journal has times.
        identity: what no other run at that second has.
    """
    return "run-%s-%s" % (at.replace("-", "").replace(":", ""), identity)


def told(entry: str, fields: Mapping[str, Any], marks: Iterable[Any]) -> dict[str, Any]:
    """A run's entry in short, as the machine's log gets it.

    Args:
        entry: its id.
        fields: its fields.
        marks: what the books' chains are after it.
    """
    run = fields["run"]
    return {
        "id": entry,
        "status": fields["status"],
        "at": fields["at"],
        "until": fields.get("until", ""),
        "outcome": fields.get("outcome", ""),
        "playbook": run["playbook"][:200],
        "actor": fields.get("actor", ""),
        "origin": fields.get("origin", ""),
        "ticket": fields.get("ticket", ""),
        "environment": run["environment"][:100],
        "hosts": len(fields["hosts"]),
        "changed": sum(1 for result in run["results"].values() if result["changed"]),
        "check": run["check"],
        "emergency": run["emergency"][:200],
        "chains": {mark.book: [mark.count, mark.head] for mark in marks},
    }
