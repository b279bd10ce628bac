# SPDX-License-Identifier: GPL-3.0-or-later
"""A run's directory: written whole or not at all, and read again."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from urllib.parse import quote

from .html import render
from .junit import junit
from .model import EvidenceError, Report

# NAME_MAX is 255 bytes on Linux; ".json" and the room for a digest are taken off.
_LONGEST_NAME = 180


def write_run(directory: Path, report: Report, clauses: dict[str, str], before: Report | None = None) -> Path:
    """Write a run below ``directory`` and point ``latest`` at it.

    Everything is made under a name of its own and renamed once: a run's directory is empty or whole.
    Evidence tells an attacker where a host is weak, so directories are 0700 and files 0600.

    :param directory: where runs are kept; made when it is not there.
    :param report: the run; its ``run["id"]`` gets a number when a run of the same second is there already.
    :param clauses: clause titles by id.
    :param before: an earlier run to compare with.
    :returns: the run's directory.
    :raises OSError: when anything cannot be written; nothing of the run is left behind then.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    # mkdtemp makes the directory 0700.
    temporary = Path(tempfile.mkdtemp(prefix=".new-", dir=directory))
    target = _claim(directory, report.run["id"])
    try:
        report.run["id"] = target.name
        _fill(temporary, report, clauses, before)
        # rename(2) replaces an empty directory, which the claim is.
        temporary.rename(target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        target.rmdir()
        raise
    _point(directory / "latest", report.run["id"])
    return target


def load_run(directory: Path) -> Report:
    """Read the evidence records of a run.

    :param directory: a run's directory, or a link to one such as ``reports/latest``.
    :raises EvidenceError: when there is none, or one of its records cannot be used; the text names the file.
    """
    paths = sorted((directory / "hosts").glob("*.json"))
    if not paths:
        raise EvidenceError(f"{directory} holds no evidence (no hosts/*.json)")
    report: Report | None = None
    for path in paths:
        try:
            record = json.loads(path.read_bytes())
            run, name = record["run"], record["host"]["name"]
            report = report or Report({key: run[key] for key in ("id", "started", "finished", "playbook", "version")})
            report.add(name, record)
        except (OSError, ValueError, KeyError, TypeError, EvidenceError) as error:
            raise EvidenceError(f"{path}: {type(error).__name__}: {error}") from error
    assert report is not None  # there was at least one path
    return report


def render_run(report: Report, clauses: dict[str, str], output: Path, before: Report | None = None) -> None:
    """Render the page of a run that was loaded, and put it in place at once."""
    handle, temporary = tempfile.mkstemp(prefix=".new-", dir=output.parent)
    os.close(handle)
    try:
        _write(Path(temporary), render(report, clauses, before).encode("utf-8", "backslashreplace"))
        os.replace(temporary, output)
    except BaseException:
        os.unlink(temporary)
        raise


def host_file(name: str) -> str:
    """A file name for a host, whatever characters its name in the inventory holds."""
    safe = quote(name, safe="", errors="surrogatepass")
    if safe.startswith("."):
        safe = "%2E" + safe[1:]
    if len(safe) > _LONGEST_NAME:
        safe = safe[:100] + "-" + hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
    return safe + ".json"


def _fill(directory: Path, report: Report, clauses: dict[str, str], before: Report | None) -> None:
    """Write a run's files into an empty directory."""
    hosts = directory / "hosts"
    hosts.mkdir(mode=0o700)
    for host in report.hosts.values():
        # A lone surrogate (a byte the host's file could not be decoded from) becomes the JSON escape \udcXX.
        body = json.dumps(report.record(host), ensure_ascii=False, indent=1) + "\n"
        _write(hosts / host_file(host.name), body.encode("utf-8", "backslashreplace"))
    _write(directory / "junit.xml", junit(report))
    _write(directory / "report.html", render(report, clauses, before).encode("utf-8", "backslashreplace"))


def _write(path: Path, body: bytes) -> None:
    """Write a file that only its owner may read, from its first byte on."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(body)


def _claim(directory: Path, wanted: str) -> Path:
    """Make an empty directory of the run's id, or with a number behind it when another run of that second has it."""
    name, number = wanted, 1
    while True:
        try:
            (directory / name).mkdir(mode=0o700)
        except FileExistsError:
            number += 1
            name = f"{wanted}-{number}"
        else:
            return directory / name


def _point(link: Path, target: str) -> None:
    """Make ``link`` a symbolic link to ``target``, replacing an earlier one at once."""
    temporary = link.with_name(f".new-latest-{os.getpid()}")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target)
    temporary.replace(link)
