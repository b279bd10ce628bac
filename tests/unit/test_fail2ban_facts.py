# SPDX-License-Identifier: GPL-3.0-or-later
"""What fail2ban is said to do, from what the servers of Debian 12 (1.0.2) and 13 (1.1.0) really answer."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.kijun.baseline.plugins.module_utils.facts import fail2ban as reader
from ansible_collections.kijun.baseline.plugins.module_utils.facts.fail2ban import fail2ban
from ansible_collections.kijun.baseline.plugins.module_utils.facts.host import Host

VARIABLES = Path(__file__).parents[2] / "roles" / "firewall" / "vars" / "main.yml"
ANSWER = {
    "maxretry": 10,
    "findtime": 60,
    "bantime": 600,
    "ignoreip": ["127.0.0.0/8", "::1", "192.0.2.2"],
    "ignorecommand": "",
    "ignoreregex": [],
    "journalmatch": [["_SYSTEMD_UNIT=ssh.service", "_UID=0"], ["_COMM=sshd", "_UID=0"]],
    "ban": ["nft add element"],
}


class Answering(Host):
    """A host whose fail2ban answers something."""

    def __init__(self, answer: Any) -> None:
        super().__init__()
        self.answer = answer

    def run(self, *command: str) -> str:
        return json.dumps(self.answer)


def test_settings_of_jails_are_told_and_others_have_none() -> None:
    found = fail2ban(Answering({"sshd": ANSWER}), {"sshd", "web"})
    assert found["sshd"] == {**ANSWER, "journalmatch": "_SYSTEMD_UNIT=ssh.service _UID=0 + _COMM=sshd _UID=0"}
    assert set(found["web"]) == set(ANSWER)
    assert set(found["web"].values()) == {None}


def test_jail_without_exemptions_and_matches_has_empty_ones() -> None:
    found = fail2ban(Answering({"sshd": {**ANSWER, "ignoreip": None, "journalmatch": None}}), {"sshd"})
    assert (found["sshd"]["ignoreip"], found["sshd"]["journalmatch"]) == ([], "")


def test_server_that_does_not_run_counts_nothing() -> None:
    assert fail2ban(Answering(None), {"sshd"})["sshd"]["maxretry"] is None


def test_question_is_answered_where_fail2ban_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "PYTHON", sys.executable)
    assert fail2ban(Host(), {"sshd"})["sshd"]["maxretry"] is None


LIBRARY = """\
ANSWERS = %r
class CSocket:
    def __init__(self, path):
        pass
    def send(self, words):
        answer = ANSWERS.get(" ".join(words))
        return (1, "unknown") if answer is None else (0, answer)
"""


def test_question_asks_what_the_server_knows(tmp_path: Path) -> None:
    package = tmp_path / "fail2ban" / "client"
    package.mkdir(parents=True)
    answers = {"status sshd": [], "get sshd actions": ["ours"], "get sshd action ours actionban": "nft add element"}
    answers.update({"get sshd " + name: ANSWER[name] for name in reader.SETTINGS})
    (package / "csocket.py").write_text(LIBRARY % answers, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", reader.ASK, "/nowhere", ",".join(reader.SETTINGS), "sshd", "web"],
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == {"sshd": ANSWER}


def address(line: str) -> str | None:
    """The address that a line of sshd's is counted for."""
    for rule in yaml.safe_load(VARIABLES.read_text(encoding="utf-8"))["__firewall_failed_logins"]:
        rule = rule.replace("<F-USER>", "(?P<user>").replace("</F-USER>", ")")
        found = re.search(rule.replace("<HOST>", "(?P<host>[0-9a-f.:]+)"), line)
        if found:
            return found["host"]
    return None


@pytest.mark.parametrize(
    "line",
    [
        "Failed password for root from 192.0.2.9 port 50122 ssh2",
        "Failed password for invalid user x from 192.0.2.9 port 50122 ssh2",
        "Failed password for invalid user x y from 192.0.2.1 port 1 ssh2 from 192.0.2.9 port 50122 ssh2",
        "Failed password for invalid user  from 192.0.2.9 port 50122 ssh2",
        "error: PAM: Authentication failure for kato from 192.0.2.9",
        "error: PAM: Authentication failure for illegal user x from 192.0.2.1 from 192.0.2.9",
        "error: PAM: User not known to the underlying authentication module for illegal user x from 192.0.2.9",
    ],
)
def test_each_failed_login_is_counted_for_the_address_it_came_from(line: str) -> None:
    assert address(line) == "192.0.2.9"


@pytest.mark.parametrize(
    "line",
    [
        "Invalid user x from 192.0.2.9 port 50122",
        "Failed publickey for kato from 192.0.2.9 port 50122 ssh2: ED25519 SHA256:abc",
        "Failed keyboard-interactive/pam for kato from 192.0.2.9 port 50122 ssh2",
        "Failed none for invalid user x from 192.0.2.9 port 50122 ssh2",
        "pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=192.0.2.9  user=kato",
        "Connection closed by authenticating user kato 192.0.2.9 port 50122 [preauth]",
        "error: maximum authentication attempts exceeded for root from 192.0.2.9 port 50122 ssh2 [preauth]",
        "Accepted password for kato from 192.0.2.9 port 50122 ssh2",
    ],
)
def test_what_only_goes_along_with_a_failed_login_is_not_counted(line: str) -> None:
    assert address(line) is None
