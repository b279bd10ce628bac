# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs of playbooks as data, and what is on a host as data."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import subprocess
import tempfile
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

from kijun_hosts import ANSIBLE_PLAYBOOK, BASICS, ROOT, Machine, ansible_playbook

TELLS_CHANGES = ("changed_files", "installed", "units", "accounts")
"""Results in which Kijun's modules say what they changed, or in check mode would change."""

WAIT_UNTIL_QUIET = """
for i in $(seq %d); do pgrep -x 'sudo|python3|apt-get|dpkg' >/dev/null || exit 0; sleep 0.2; done; exit 1
"""
"""What a killed run began on the host comes to its end there; this waits for it, at most so many fifths of a second."""

READ_HOST = r"""
import hashlib, json, os, stat
HASHED = ("/etc/", "/usr/share/pam-configs/", "/usr/local/", "/var/lib/pam/", "/var/lib/dpkg/", "/var/lib/kijun/")
SKIPPED = ("/proc", "/sys", "/dev", "/run", "/tmp", "/var/tmp", "/var/log", "/var/lib/systemd", "/var/lib/chrony")
seen = {}
for folder, folders, names in os.walk("/"):
    folders[:] = [name for name in folders if os.path.join(folder, name) not in SKIPPED]
    for path in [folder, *(os.path.join(folder, name) for name in names)]:
        info = os.lstat(path)
        facts = [oct(info.st_mode), info.st_uid, info.st_gid, info.st_size, info.st_mtime_ns]
        if stat.S_ISLNK(info.st_mode):
            facts.append(os.readlink(path))
        elif stat.S_ISREG(info.st_mode) and path.startswith(HASHED):
            with open(path, "rb") as file:
                facts.append(hashlib.sha256(file.read()).hexdigest())
        seen[path] = facts
print(json.dumps(seen))
"""
"""What is on a host's disk: names, owners, modes, times, and the contents of what configures it."""


class Run:
    """A run of a playbook that has ended.

    Args:
        done: the process, whose output is that of the callback ansible.posix.json.
    """

    def __init__(self, done: subprocess.CompletedProcess[str]) -> None:
        self.returncode = done.returncode
        start = done.stdout.find("{\n")
        assert start >= 0, done.stdout + done.stderr
        told, end = json.JSONDecoder().raw_decode(done.stdout[start:])
        # What the callback kijun.baseline.evidence printed behind it.
        self.text = done.stdout[start + end :] + done.stderr
        self.stats: dict[str, dict[str, int]] = told["stats"]
        self._tasks = [task["task"] for play in told["plays"] for task in play["tasks"]]
        self.results: dict[str, list[tuple[str, dict[str, Any]]]] = {}
        for play in told["plays"]:
            for task in play["tasks"]:
                for host, result in task["hosts"].items():
                    self.results.setdefault(host, []).append((task["task"]["name"], result))

    def seconds_in(self, name: str) -> float:
        """How long a task took; 0 when it did not run."""
        times = [task["duration"] for task in self._tasks if task["name"] == name]
        return sum((_time(one["end"]) - _time(one["start"])).total_seconds() for one in times)

    def changes(self, host: str) -> dict[str, dict[str, Any]]:
        """The tasks that changed a host, or in check mode would have, and what they say of it."""
        return {
            name: {key: result[key] for key in TELLS_CHANGES if key in result}
            for name, result in self.results[host]
            if result.get("changed")
        }

    def error(self, host: str) -> str:
        """What ended the run for a host; empty when nothing did."""
        for _name, result in self.results.get(host, []):
            if result.get("failed") or result.get("unreachable"):
                return str(result.get("msg", ""))
        return ""

    def finished(self, host: str) -> bool:
        """Whether a host came to the end of the run without an error."""
        stats = self.stats[host]
        return bool(stats["ok"]) and not stats["failures"] and not stats["unreachable"]


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def playbook(name: str, hosts: Iterable[Machine | str], *arguments: str, **variables: str) -> Run:
    """Run a playbook on hosts.

    Args:
        name: ``site`` (what every host has, or what other ``--tags`` name), ``audit`` and the like, or a path.
        hosts: where; hosts of the lab, or names in an inventory that `arguments` give.
        arguments: further arguments of ansible-playbook.
        variables: further environment variables.
    """
    source = name if name.endswith(".yml") else f"playbooks/{name}.yml"
    limit = ",".join(host if isinstance(host, str) else host.name for host in hosts)
    tags = BASICS if name == "site" and "--tags" not in arguments else ()
    given = {"ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json", **variables}
    return Run(ansible_playbook(source, "--limit", limit, *tags, *arguments, **given))


def verdicts(machine: Machine, *arguments: str) -> dict[str, str]:
    """Audit a host; control -> verdict."""
    with tempfile.TemporaryDirectory() as folder:
        run = playbook("audit", [machine], *arguments, KIJUN_REPORT_DIR=folder)
        assert run.finished(machine.name), run.text
        record = json.loads((Path(folder) / "latest" / "hosts" / f"{machine.name}.json").read_text(encoding="utf-8"))
    return {control["id"]: control["verdict"] for control in record["controls"]}


def on_disk(machine: Machine) -> dict[str, list[Any]]:
    """Path -> what it is, for everything on a host's disk but logs and what services keep for themselves."""
    # Not over SSH: nobody may be able to log in and become root just now.
    command = ["lab/lab", "exec", machine.name, "--", "python3", "-c", READ_HOST]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    seen: dict[str, list[Any]] = json.loads(done.stdout)
    assert len(seen) > 5000
    return seen


def differences(before: dict[str, Any], after: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """What is another before than after."""
    keys = sorted({*before, *after})
    return {key: (before.get(key), after.get(key)) for key in keys if before.get(key) != after.get(key)}


def states_of_units(machine: Machine) -> str:
    """Which units are enabled, and which run since when."""
    show = "systemctl show chrony.service 'kijun-*' run-faillock.mount systemd-timesyncd.service --all"
    properties = ("Id", "LoadState", "ActiveState", "UnitFileState", "ActiveEnterTimestampMonotonic")
    return machine.ok(f"{show} --property={shlex.quote(','.join(properties))}")


def descendants(pid: int) -> list[int]:
    """A process and all that it has started, whatever sessions they made for themselves."""
    parents: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parents.setdefault(int(stat.read_text().rpartition(")")[2].split()[1]), []).append(int(stat.parent.name))
    found = [pid]
    for process in found:
        found += parents.get(process, [])
    return found


def kill_all(pid: int) -> None:
    """Kill a process and all that it has started."""
    os.kill(pid, signal.SIGSTOP)  # so that it starts nothing more while it is looked at
    for process in descendants(pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def killed_after(name: str, machine: Machine, seconds: float, *arguments: str) -> bool:
    """Start a run and kill all of it on this side after some seconds; false when it had ended by itself, and well.

    Args:
        name: the playbook.
        machine: where.
        seconds: when.
        arguments: further arguments of ansible-playbook.
    """
    command = [ANSIBLE_PLAYBOOK, f"playbooks/{name}.yml", "--limit", machine.name, *arguments]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as run:
        try:
            output = run.communicate(timeout=seconds)[0]
        except subprocess.TimeoutExpired:
            kill_all(run.pid)
        else:
            assert run.returncode == 0, output
            return False
    assert run.returncode == -signal.SIGKILL
    return True
