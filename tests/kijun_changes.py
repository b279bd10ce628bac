# SPDX-License-Identifier: GPL-3.0-or-later
"""The hosts of the scenario `change`, and what their files are, down to the last byte."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kijun_hosts import ANSIBLE_PLAYBOOK, ROOT, Machine
from kijun_lab import description, identity
from kijun_lab.podman import ENVIRONMENT

INVENTORY = ("-i", "inventories/lab", "-i", "molecule/change/inventory")
SERVER = "time1"

SAID = {
    "kijun_change_ticket": "CHG-1042",
    "kijun_change_implementer": "operator1",
    "kijun_change_confirmer": "operator2",
    "kijun_change_impact": "the web server restarts",
    "kijun_change_dangers": "it may not start",
    "kijun_change_way_back": "taken back by itself",
    "kijun_change_stable_seconds": 2,
}

# Every path of the class `system`, with everything that belongs to it; not what is never put back, and not the times
# of folders, which change with each file.
MANIFEST = """
import fnmatch, hashlib, json, os, stat, sys
sys.path.insert(0, "/usr/local/lib/kijun")
from kijun_backup.change import NEVER
about = next(c for c in json.load(open("/etc/kijun/backup.json"))["classes"] if c["name"] == "system")
never = [*NEVER, *about.get("exclude", []), "/etc/kijun/backup", "/etc/kijun/backup/*"]
found = {}
def note(path):
    if any(fnmatch.fnmatch(path, one) for one in never):
        return
    info = os.lstat(path)
    kind = stat.S_IFMT(info.st_mode)
    entry = [kind, stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid]
    if kind != stat.S_IFDIR:
        entry.append(info.st_mtime_ns)
    if kind == stat.S_IFREG:
        entry.append(hashlib.sha256(open(path, "rb").read()).hexdigest())
    if kind == stat.S_IFLNK:
        entry.append(os.readlink(path))
    names = os.listxattr(path, follow_symlinks=False)
    entry.append({name: os.getxattr(path, name, follow_symlinks=False).hex() for name in names})
    found[os.fsencode(path).decode("latin-1")] = entry
    if kind == stat.S_IFDIR:
        for name in os.listdir(path):
            note(os.path.join(path, name))
for root in about["paths"]:
    if os.path.lexists(root):
        note(root)
print(json.dumps(found))
"""


def machine(name: str) -> Machine:
    """A host of the scenario, whose playbooks know of the backup server."""
    found = Machine(name)
    found.inventory = INVENTORY
    return found


def manifest(host: Machine) -> dict[str, Any]:
    """Every path that a change is taken back with: its kind, mode, owner, time, content's hash and attributes."""
    done = subprocess.run(
        [*host.ssh("admin", "-i", str(identity.USER_KEY)), "sudo python3 -I -"],
        input=MANIFEST,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Paths that are not the same any more."""
    return sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))


def written(folder: Path, name: str, tasks: list[dict[str, Any]], hosts: str = "all") -> str:
    """An operator's own playbook.

    Args:
        folder: where it is written.
        name: its name, without ending.
        tasks: what it does.
        hosts: on which hosts.
    """
    path = folder / f"{name}.yml"
    play = {"name": name, "hosts": hosts, "gather_facts": False, "become": True, "tasks": tasks}
    path.write_text(json.dumps([play]), "utf-8")
    return str(path)


def shell(line: str) -> dict[str, Any]:
    """A task that runs a line of shell."""
    return {"name": line[:60], "ansible.builtin.shell": line, "changed_when": True}


def arguments(playbook: str, **more: Any) -> list[str]:
    """What change.yml is given.

    Args:
        playbook: the change.
        more: further variables; None leaves one of `SAID` out.
    """
    given = {**SAID, "kijun_change_playbook": playbook, **more}
    return ["-e", json.dumps({name: value for name, value in given.items() if value is not None})]


def started(host: str, playbook: str, **more: Any) -> subprocess.Popen[str]:
    """change.yml, running."""
    return subprocess.Popen(
        [ANSIBLE_PLAYBOOK, *INVENTORY, "playbooks/change.yml", "--limit", host, *arguments(playbook, **more)],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def status(host: Machine) -> dict[str, Any]:
    """The open change of a host, and the last one that ended."""
    found: dict[str, Any] = json.loads(host.ok("kijun-change status"))
    return found


def snapshots(host: Machine, tag: str) -> list[dict[str, Any]]:
    """Snapshots of a host with a tag."""
    found: list[dict[str, Any]] = json.loads(host.ok(shlex.join(["kijun-backup", "snapshots", "--tag", tag, "--json"])))
    return found


def lab(*words: str) -> None:
    """Have the lab do something."""
    subprocess.run([sys.executable, "lab/lab", *words], cwd=ROOT, check=True, capture_output=True, timeout=300)


def power_cut(host: str) -> None:
    """Kill everything on a host at once, and start it again."""
    name = description.read(description.instance_number()).hosts[host].container
    for words in (("kill", "--signal", "KILL", name), ("start", name)):
        subprocess.run(["podman", *words], env=ENVIRONMENT, check=True, capture_output=True, timeout=60)
    lab("up", host)
