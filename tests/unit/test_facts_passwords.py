# SPDX-License-Identifier: GPL-3.0-or-later
"""Effective settings of pam_faillock, pam_pwquality and pam_pwhistory: files, drop-ins, arguments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.kijun.baseline.plugins.module_utils.facts import pam
from ansible_collections.kijun.baseline.plugins.module_utils.facts.host import Host

HostWith = Callable[[dict[str, str]], Host]
PamTree = Callable[..., dict[str, str]]

FAILLOCK = "/etc/security/faillock.conf"
PWQUALITY = "/etc/security/pwquality.conf"
PWHISTORY = "/etc/security/pwhistory.conf"


@pytest.fixture
def read(host_with: HostWith, pam_tree: PamTree) -> Callable[..., dict[str, Any]]:
    def settings(fact: str, files: dict[str, str] | None = None, release: int = 13, **changed: str) -> dict[str, Any]:
        host = host_with({**pam_tree(release, **changed), **(files or {})})
        found: dict[str, Any] = getattr(pam, fact)(host, set())
        return found

    return settings


def test_faillock_without_a_file_has_its_defaults(read: Callable[..., dict[str, Any]]) -> None:
    found = read("faillock")
    assert [found[key] for key in ("deny", "fail_interval", "unlock_time")] == [3, 900, 600]
    assert found["dir"] == "/var/run/faillock"
    assert (found["even_deny_root"], found["overrides"]) == (None, [])


@pytest.mark.parametrize(
    ("line", "key", "value"),
    [
        ("deny = 10", "deny", 10),
        ("deny=10", "deny", 10),
        ("  deny  =10  # ten", "deny", 10),
        ("deny 10", "deny", 10),
        ("deny\t10", "deny", 10),
        ("deny = 3\ndeny = 10", "deny", 10),
        ("#deny = 10", "deny", 3),
        ("deny = ten", "deny", "ten"),
        ("unlock_time = never", "unlock_time", 0),
        ("root_unlock_time = never", "root_unlock_time", 0),
        ("unlock_time = 0", "unlock_time", 0),
        ("even_deny_root", "even_deny_root", True),
        ("  local_users_only # all others", "local_users_only", True),
        ("admin_group = users", "admin_group", "users"),
        ("dir = /var/lib/faillock\r", "dir", "/var/lib/faillock"),
        ("", "deny", 3),
    ],
)
def test_lines_of_faillock_conf(read: Callable[..., dict[str, Any]], line: str, key: str, value: Any) -> None:
    assert read("faillock", {FAILLOCK: line})[key] == value


def test_arguments_that_override_faillock_conf_are_told(read: Callable[..., dict[str, Any]]) -> None:
    lines = "auth required pam_faillock.so preauth deny=99 conf=/tmp/x\nauth required pam_unix.so\n"
    found = read("faillock", sshd=lines + "auth required pam_faillock.so authsucc\n")
    assert found["overrides"] == ["sshd: conf=/tmp/x", "sshd: deny=99"]


def test_pwquality_without_a_file_has_its_defaults(read: Callable[..., dict[str, Any]]) -> None:
    found = read("pwquality")
    assert [found[key] for key in ("minlen", "dictcheck", "usercheck", "gecoscheck", "enforcing")] == [8, 1, 1, 0, 1]
    assert (found["enforce_for_root"], found["overrides"]) == (None, [])


def test_the_main_file_of_pwquality_overrides_its_drop_ins(read: Callable[..., dict[str, Any]]) -> None:
    found = read(
        "pwquality",
        {
            f"{PWQUALITY}.d/20-last.conf": "minlen = 20\nucredit = -1\nlcredit = -2\n",
            f"{PWQUALITY}.d/10-first.conf": "minlen = 10\nucredit = 5\nenforce_for_root\n",
            f"{PWQUALITY}.d/99-not.txt": "minlen = 99\n",
            PWQUALITY: "minlen = 15\n",
        },
    )
    assert [found[key] for key in ("minlen", "ucredit", "lcredit", "enforce_for_root")] == [15, -1, -2, True]


def test_arguments_that_override_pwquality_conf_are_told(read: Callable[..., dict[str, Any]]) -> None:
    found = read("pwquality", passwd="password required pam_pwquality.so retry=3 minlen=1 use_authtok\n")
    assert found["overrides"] == ["passwd: minlen=1"]


def test_pwhistory_is_what_the_weakest_line_says(read: Callable[..., dict[str, Any]]) -> None:
    assert read("pwhistory") == {"remember": 12, "files": ["/etc/security/opasswd"], "enforce_for_root": True}
    found = read("pwhistory", passwd="password requisite pam_pwhistory.so remember=3 file=/dev/null\n")
    assert found == {"remember": 3, "files": ["/dev/null", "/etc/security/opasswd"], "enforce_for_root": False}


def test_without_pwhistory_in_any_stack_nothing_is_remembered(host_with: HostWith, pam_tree: PamTree) -> None:
    found = pam.pwhistory(host_with(pam_tree(13, "stock")), set())
    assert found == {"remember": None, "files": [], "enforce_for_root": False}


def test_pwhistory_conf_counts_where_the_release_has_it(read: Callable[..., dict[str, Any]]) -> None:
    files = {PWHISTORY: "remember = 24\nenforce_for_root\n", "/etc/own.conf": "remember = 48\nfile = /x\n"}
    bare = "password requisite pam_pwhistory.so\n"
    own = "password requisite pam_pwhistory.so conf=/etc/own.conf\n"
    assert read("pwhistory", files, 13, common_password=bare)["remember"] == 24
    assert read("pwhistory", files, 13, common_password=bare)["enforce_for_root"] is True
    assert read("pwhistory", files, 12, common_password=bare)["remember"] == 10
    assert read("pwhistory", files, 12, common_password=bare)["enforce_for_root"] is False
    assert read("pwhistory", files, 13, common_password=own)["remember"] == 48
    assert read("pwhistory", files, 13, common_password=own)["files"] == ["/x"]
