# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs that start from a process that has loaded Ansible already are runs like any other."""

from __future__ import annotations

import concurrent.futures
import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import kijun_playbooks
import pytest

DEBUG = "ansible.builtin.debug"


def run(folder: Path, *tasks: dict[str, Any], timeout: float = 60, **variables: str) -> Any:
    play = folder / "play.json"
    plays = [{"hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": tasks}]
    play.write_text(json.dumps(plays), "utf-8")
    return kijun_playbooks.run([str(play), "-i", "localhost,"], {**os.environ, **variables}, timeout)


def test_it_ends_as_the_program_does(tmp_path: Path) -> None:
    good = run(tmp_path, {DEBUG: {"msg": "{{ lookup('env', 'KIJUN_SAID') }}"}}, KIJUN_SAID="said")
    bad = run(tmp_path, {"ansible.builtin.fail": {"msg": "no more"}})
    wrong = kijun_playbooks.run([str(tmp_path / "none.yml")], os.environ, 60)
    assert (good.returncode, bad.returncode, wrong.returncode) == (0, 2, 1)
    assert "said" in good.stdout and "no more" in bad.stdout and "none.yml" in wrong.stderr


def test_settings_of_ansible_are_the_callers(tmp_path: Path) -> None:
    task = {DEBUG: {"msg": "said"}}
    printed = run(tmp_path, task, ANSIBLE_STDOUT_CALLBACK="ansible.posix.json").stdout
    assert '"msg": "said"' in printed and '"plays"' in printed
    assert '"plays"' not in run(tmp_path, task).stdout


def test_each_has_a_temporary_folder_of_its_own_and_removes_it(tmp_path: Path) -> None:
    before = set(Path.home().glob(".ansible/tmp/ansible-local-*"))

    def one(seconds: int) -> subprocess.CompletedProcess[str]:
        folder = tmp_path / str(seconds)
        folder.mkdir()
        # What it copies lies in that folder, after others have ended and removed theirs.
        copy = {"ansible.builtin.copy": {"content": "said", "dest": str(folder / "copied"), "mode": "0600"}}
        return run(folder, {"ansible.builtin.pause": {"seconds": seconds}}, copy)

    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        done = list(pool.map(one, (1, 2, 3)))
    assert [each.returncode for each in done] == [0, 0, 0], [each.stdout + each.stderr for each in done]
    assert [(tmp_path / str(seconds) / "copied").read_text("utf-8") for seconds in (1, 2, 3)] == ["said"] * 3
    # That of the process that has loaded Ansible is there until the tests end.
    assert len(set(Path.home().glob(".ansible/tmp/ansible-local-*")) - before) <= 1


def test_one_that_takes_too_long_is_killed(tmp_path: Path) -> None:
    began = time.monotonic()
    with pytest.raises(subprocess.TimeoutExpired):
        run(tmp_path, {"ansible.builtin.pause": {"seconds": 30}}, timeout=3)
    assert time.monotonic() - began < 15
