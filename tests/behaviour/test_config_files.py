# SPDX-License-Identifier: GPL-3.0-or-later
"""The transactional file step on real hosts: real pam-auth-update, sshd and visudo, real kills."""

from __future__ import annotations

import json
import os
import random
import secrets
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kijun_hosts import ANSIBLE_PLAYBOOK, ansible_playbook

from .conftest import ROOT, Machine

SECRET = f"hush-{secrets.token_hex(8)}"
PROFILE = (
    "Name: Example\nDefault: yes\nPriority: 900\nAuth-Type: Primary\nAuth:\n\toptional pam_faildelay.so delay=1000\n"
)
TEMPLATE = "# {{ inventory_hostname }}\n{% for word in ['a', 'b'] %}\n  {{ word }}\n{% endfor %}\n\n"
WATCHED = "/etc /usr/share/pam-configs /var/lib/pam /var/cache/debconf /var/lib/kijun"

FILES: list[dict[str, Any]] = [
    {"path": "/etc/kijun-test/template.conf", "template": "example.conf.j2"},
    {"path": "/etc/kijun-test/token", "content": SECRET, "secret": True, "mode": "0600"},
    {"path": "/etc/kijun-test/below", "state": "directory", "mode": "0700"},
    {"path": "/etc/ssh/sshd_config.d/99-kijun-test.conf", "content": "LoginGraceTime 99\n"},
    {
        "path": "/etc/sudoers.d/kijun-test",
        "content": "Defaults:nobody !requiretty\n",
        "mode": "0440",
        "validate": "visudo -cf %s",
    },
    {"path": "/etc/kijun-test.defs", "settings": {"DAYS": 90, "NEW": "x"}, "separator": "\t"},
    {"path": "/usr/share/pam-configs/kijun-test", "content": PROFILE},
    {"path": "/etc/kijun-test.old", "state": "absent"},
]
GENERATED = {"/etc/pam.d/common-auth", "/var/lib/pam/auth", "/var/lib/pam/seen"}
STEP: dict[str, Any] = {
    "files": FILES,
    "generate": [
        {
            "command": ["pam-auth-update", "--package", "--enable", "kijun-test"],
            "writes": ["/etc/pam.d", "/var/lib/pam"],
            "reads": ["/usr/share/pam-configs"],
        }
    ],
    "validate": [["sshd", "-t"], ["visudo", "-c"]],
}


class Step:
    """Runs the step on one host from a playbook of its own."""

    def __init__(self, machine: Machine, folder: Path) -> None:
        self.machine = machine
        self.folder = folder
        (folder / "templates").mkdir()
        (folder / "templates/example.conf.j2").write_text(TEMPLATE)

    def words(self, step: dict[str, Any], *options: str) -> list[str]:
        play = {
            "hosts": self.machine.name,
            "become": True,
            "gather_facts": False,
            "tasks": [{"name": "Step", "kijun.baseline.config_files": step}],
        }
        playbook = self.folder / "step.yml"
        playbook.write_text(yaml.safe_dump([play]))
        return [str(playbook), "-i", "inventories/lab", *options]

    def run(self, step: dict[str, Any], *options: str) -> dict[str, Any]:
        """Run the step; return its result."""
        callback = "ansible.posix.json"
        done = ansible_playbook(*self.words(step, *options), timeout=120, ANSIBLE_STDOUT_CALLBACK=callback)
        start = done.stdout.find("{\n")
        assert start >= 0, done.stdout + done.stderr
        printed, _end = json.JSONDecoder().raw_decode(done.stdout, start)  # other callbacks print around it
        result: dict[str, Any] = printed["plays"][0]["tasks"][0]["hosts"][self.machine.name]
        return result

    def kill_after(self, seconds: float, step: dict[str, Any]) -> None:
        """Start the step, and kill ansible-playbook, its connection and the module on the host after a while."""
        process = subprocess.Popen(
            [ANSIBLE_PLAYBOOK, *self.words(step)],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        time.sleep(seconds)
        os.killpg(process.pid, 9)
        process.wait()
        # The oldest one is the module; a younger one is its committing child, which is to carry on.
        self.machine.run("pkill -KILL -o -x python3")

    def state(self) -> str:
        """A sum of every name, owner, mode and content that the step could touch."""
        listing = f"find {WATCHED} -printf '%p %y %u %g %m %l\\n' | sort"
        contents = f"find {WATCHED} -type f -print0 | sort -z | xargs -0 sha256sum"
        return self.machine.ok(f"mkdir -p /var/lib/kijun; {listing}; {contents}")


@pytest.fixture
def step(machine: Machine, tmp_path: Path) -> Iterator[Step]:
    machine.ok("printf 'DAYS 5\\nOTHER 1\\nDAYS 6\\n' > /etc/kijun-test.defs; echo old > /etc/kijun-test.old")
    yield Step(machine, tmp_path)
    machine.ok(
        "rm -rf /etc/kijun-test* /etc/ssh/sshd_config.d/99-kijun-test.conf /etc/sudoers.d/kijun-test; "
        "DEBIAN_FRONTEND=noninteractive pam-auth-update --package --remove kijun-test; "
        "rm -f /usr/share/pam-configs/kijun-test"
    )


def test_check_run_check_run(step: Step) -> None:
    everything = {entry["path"] for entry in FILES} | GENERATED
    untouched = step.state()
    foreseen = step.run(STEP, "--check", "--diff")
    assert step.state() == untouched
    done = step.run(STEP, "--diff")
    assert foreseen["changed"] and done["changed"]
    assert set(foreseen["changed_files"]) == set(done["changed_files"]) == everything
    assert foreseen["files"] == done["files"] and foreseen["diff"] == done["diff"]
    assert SECRET not in json.dumps([foreseen, done])

    machine = step.machine
    assert machine.ok("cat /etc/kijun-test/template.conf") == f"# {machine.name}\n  a\n  b\n\n"
    assert machine.ok("stat -c '%U %a' /etc/kijun-test/token") == "root 600\n"
    assert machine.ok("cat /etc/kijun-test.defs") == "DAYS\t90\nOTHER 1\nNEW\tx\n"
    assert "pam_faildelay.so" in machine.ok("cat /etc/pam.d/common-auth")
    assert "logingracetime 99" in machine.ok("sshd -T")
    assert machine.run("test -e /etc/kijun-test.old").rc != 0
    assert machine.ok(f"cat {done['backups']['/etc/kijun-test.old']}") == "old\n"

    after = step.state()
    for options in (["--check"], []):
        again = step.run(STEP, *options)
        assert not again["changed"] and again["changed_files"] == [] and again["generation"] is None
    assert step.state() == after
    # The name of the command that reads the journal must not hold the secret: sudo logs that.
    assert SECRET not in machine.ok("journalctl --no-pager")


def test_a_candidate_that_breaks_the_whole_is_refused(step: Step) -> None:
    untouched = step.state()
    for entry, command in (
        ({"path": "/etc/ssh/sshd_config.d/99-kijun-test.conf", "content": "NoSuchOption yes\n"}, "sshd -t"),
        ({"path": "/etc/sudoers.d/kijun-test", "content": "nonsense\n", "mode": "0440"}, "visudo -c"),
    ):
        others = [other for other in FILES if other["path"] != entry["path"]]
        refused = step.run({**STEP, "files": [*others, entry]})
        assert refused["failed"] and command in refused["msg"] and entry["path"] in refused["msg"]
    assert step.state() == untouched


def test_a_killed_run_leaves_all_old_or_all_new(step: Step) -> None:
    machine, picks = step.machine, random.Random(7)
    names = [f"/etc/kijun-test/{number}.conf" for number in range(20)]

    def transaction(text: str) -> dict[str, Any]:
        return {"files": [{"path": name, "content": text} for name in names], "validate": [["sshd", "-t"]]}

    step.run(transaction("0"))
    for old, new in zip("0123", "1234", strict=True):
        step.kill_after(picks.uniform(0.5, 1.2), transaction(new))
        machine.ok("flock /run/kijun/config_files.lock true")  # the committing child, if any, has it till it ends
        found = machine.ok(f"cat {' '.join(names)}")
        assert found in (old * 20, new * 20)
        step.run(transaction(new))
        assert machine.ok(f"cat {' '.join(names)}") == new * 20
        assert machine.ok("find /etc -name '.kijun-*'") == ""
