# SPDX-License-Identifier: GPL-3.0-or-later
"""One run of the runs of a job's slices."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from .model import EvidenceError, Report
from .run import load_run


def runs_of(directories: Sequence[Path], jobs: Iterable[int]) -> list[Path]:
    """The directories of runs that jobs of AWX left.

    :param directories: where runs are kept.
    :param jobs: the jobs' numbers, in which the directories' names end.
    :returns: one a job, in the order of the numbers.
    :raises EvidenceError: a job left none, or several; the text names it.
    """
    found = []
    for job in sorted(set(jobs)):
        there = sorted(path for directory in directories for path in directory.glob(f"*Z-{job}"))
        if len(there) != 1:
            names = ", ".join(path.name for path in there)
            raise EvidenceError(f"job {job} left {names or 'no evidence'} in {directories[0]}; it must be one run")
        found.append(there[0])
    return found


def merged(reports: Sequence[Report]) -> Report:
    """One run with the hosts of several.

    :param reports: the runs.
    :returns: a run that started with the first and finished with the last; its name has no number behind the time.
    :raises EvidenceError: there is none, they are of different playbooks or versions of Kijun, or two of them have the
        same host: then they are no slices of one job.
    """
    if not reports:
        raise EvidenceError("there is no run to make one of")
    for key in ("playbook", "version"):
        values = sorted({str(report.run[key]) for report in reports})
        if len(values) > 1:
            raise EvidenceError(f"the runs are of different {key}s: {', '.join(values)}")
    first = min(reports, key=lambda report: str(report.run["started"]))
    whole = Report(
        {
            "id": str(first.run["id"]).partition("-")[0],
            "started": first.run["started"],
            "finished": max(str(report.run["finished"]) for report in reports),
            "playbook": first.run["playbook"],
            "version": first.run["version"],
        }
    )
    for report in reports:
        twice = sorted(whole.hosts.keys() & report.hosts.keys())
        if twice:
            raise EvidenceError(f"host {twice[0]} is in two of the runs, {report.run['id']} is the second")
        for host in report.hosts.values():
            whole.add(host.name, report.record(host))
    return whole


def written_before(directories: Sequence[Path], whole: Report) -> Path | None:
    """The directory in which the same run was written before, if it was.

    :param directories: where runs are kept.
    :param whole: what `merged` made.
    """
    for path in (path for directory in directories for path in sorted(directory.glob(f"{whole.run['id']}*"))):
        # A slice's own run starts in the same second, too, and has fewer hosts.
        try:
            there = load_run(path)
        except EvidenceError:
            continue
        same = all(there.run[key] == whole.run[key] for key in ("started", "finished", "playbook", "version"))
        if same and there.hosts.keys() == whole.hosts.keys():
            return path
    return None
