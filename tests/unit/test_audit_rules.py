# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules of the kernel's audit: as the role writes them, as auditctl of Debian 12 (3.0.9) and 13 (4.0.2) lists them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.kijun.baseline.plugins.filter.auditd import (
    CALLS_OF_32_BITS,
    MACHINES,
    OLD_CALLS,
    audit_digests,
    audit_lines,
    audit_of_files,
)
from ansible_collections.kijun.baseline.plugins.module_utils import audit_rules
from ansible_collections.kijun.baseline.plugins.module_utils.facts import audit
from ansible_collections.kijun.baseline.plugins.module_utils.facts.host import Host
from ansible_collections.kijun.baseline.plugins.plugin_utils.limits import FILE_KINDS, within
from kijun_tools import tree

HostWith = Callable[[dict[str, str]], Host]

ROLE = tree.ROOT / "roles" / "auditd"
ROLE_GROUPS = {
    key: group
    for key, group in tree.load(ROLE / "vars/main.yml")["__auditd_groups"].items()
    if "{{" not in group["rules"]
}
PEOPLE = "-F auid>=1000 -F auid!=unset"
SAME = {
    "a watch": [
        "-w /etc/pam.d/ -p wa -k kijun-a",
        "-a always,exit -F dir=/etc/pam.d -F perm=aw -F key=kijun-a",
        "-a exit,always -S all -F path=/etc/pam.d -F perm=wa -k kijun-a",
    ],
    "a watch of one kind of programs": [
        "-a always,exit -F arch=b64 -S all -F path=/etc/group -F perm=wa -F key=k",
        "-a always,exit -F arch=b64 -S open,bind,truncate,openat2 -F path=/etc/group -F perm=wa -F key=k",
    ],
    "nobody": [
        f"-a always,exit -F arch=b64 -S openat -F a2&0100 -F dir=/srv {PEOPLE} -F key=k",
        "-a always,exit -F arch=b64 -S openat -F a2&0x40 -F dir=/srv -F auid>=1000 -F auid!=-1 -F key=k",
        "-a always,exit -F arch=b64 -S openat -F a2&64 -F dir=/srv -F auid>=1000 -F auid!=4294967295 -F key=k",
    ],
    "calls by another name": [
        "-a always,exit -F arch=b64 -S 452 -S chmod -F key=k",
        "-a always,exit -F arch=b64 -S chmod,fchmodat2 -F key=k",
    ],
    "kexec_load of 32 bits": [
        "-a always,exit -F arch=b32 -S sys_kexec_load -F key=k",
        "-a always,exit -F arch=b32 -S kexec_load -F key=k",
    ],
    "a program, of which Debian 12 lists the wrong sign": [
        "-a always,exit -F arch=b64 -S adjtimex -F exe!=/usr/sbin/chronyd -F key=k",
        "-a always,exit -F arch=b64 -S adjtimex -F exe=/usr/sbin/chronyd -F key=k",
    ],
    "a kind of file": [
        "-a always,exit -F arch=b64 -S open -F filetype=block -F key=k",
        "-a always,exit -F arch=b64 -S open -F filetype=24576 -F key=k",
    ],
}
OTHER = [
    "-a always,exit -F arch=b64 -S open -F a2&0x40 -F key=k",
    "-a always,exit -F arch=b32 -S openat -F a2&0x40 -F key=k",
    "-a never,exit -F arch=b64 -S openat -F a2&0x40 -F key=k",
    "-a always,exit -F arch=b64 -S openat -F a2&0x40 -F key=j",
    "-a always,exit -F arch=b64 -S openat -F a2&0x40 -F auid>=1000 -F key=k",
]


@pytest.mark.parametrize("lines", SAME.values(), ids=SAME)
def test_a_rule_is_the_same_however_it_is_written(lines: list[str]) -> None:
    assert len({audit_rules.canonical(line) for line in lines}) == 1
    assert audit_rules.canonical(lines[0])


def test_what_differs_stays_different() -> None:
    assert len({audit_rules.canonical(line) for line in OTHER}) == len(OTHER)


@pytest.mark.parametrize(
    "line", ["-D", "-i", "-b 8192", "--backlog_wait_time 60000", "-e 2", "No rules", "", "-w", "-k x"]
)
def test_what_is_no_rule(line: str) -> None:
    assert audit_rules.canonical(line) is None


@pytest.mark.parametrize(
    ("line", "silences"),
    [
        ("-a never,task", True),
        ("-a exit,never -S all -F auid=1000", True),
        ("-a always,exclude -F msgtype=BPF", True),
        ("-a never,exclude -F msgtype=BPF", True),
        ("-a never,user -F uid=0", True),
        ("-a never,filesystem -F fstype=debugfs", True),
        ("-a always,exit -S execve -F key=never", False),
    ],
)
def test_rules_that_silence(line: str, silences: bool) -> None:
    rule = audit_rules.canonical(line)
    assert rule
    assert audit_rules.is_silencing(rule) is silences


def test_settings_of_files_and_the_last_one_counts() -> None:
    lines = ["-D", "-b 8192", "-f 1", "-e 1", "-e 2", "--backlog_wait_time 60000", "-b many"]
    wanted = audit_rules.settings_of(lines)
    assert wanted == {"backlog_limit": 8192, "failure": 1, "enabled": 2, "backlog_wait_time": 60000}
    now = {**wanted, "enabled": 1, "lost": 3}
    assert audit_rules.differences(wanted, now) == {"enabled": [1, 2]}


STATUS = "enabled 1\nfailure 1\npid 7\nbacklog_limit 8192\nlost 2\nbacklog 0\nloginuid_immutable 0 unlocked\n"


class Answering(Host):
    """A host whose auditctl says what a test has it say."""

    rules = ""
    state = STATUS

    def run(self, *command: str) -> str:
        return {"-l": self.rules, "-s": self.state}[command[1]]


@pytest.fixture
def answering(host_with: HostWith) -> Callable[[dict[str, str], str], Host]:
    def make(files: dict[str, str], rules: str) -> Host:
        host = Answering(host_with(files).root)
        host.rules = rules
        return host

    return make


FILE = """\
# why
-D
-f 1
-a always,exit -F arch=b64 -S settimeofday -F key=kijun-time
-a always,exit -F arch=b64 -S all -F dir=/srv/none -F perm=wa -F key=kijun-time
-a always,exit -F arch=b64 -S all -F path=/etc/none/x -F perm=wa -F key=kijun-a
-a always,exit -F arch=b64 -S all -F path=/etc/audit/x -F perm=wa -F key=kijun-a
-e 1
"""
LOADED = "-a always,exit -F arch=b64 -S settimeofday -F key=kijun-time\n"


def test_what_the_kernel_lacks_and_has_too_much(answering: Callable[..., Host]) -> None:
    files = {
        audit_rules.RULES_FILE: FILE,
        "/etc/audit/rules.d/zz.rules": "-f 2\n",
        "/etc/audit/rules.d/x.bak": "-w /x\n",
    }
    files["/etc/audit/plugins.d/syslog.conf"] = "# active = no\nactive = yes\n"
    files["/etc/audit/auditd.conf"] = "#num_logs = 3\nnum_logs = 8\ndisk_full_action = ROTATE\n"
    seen = audit.audit(answering(files, LOADED + "-a never,task\n"), set())
    assert seen["missing"] == ["always,exit all arch=b64 key=kijun-a path=/etc/audit/x perm=aw"]
    assert seen["foreign"] == seen["silencing"] == ["never,task all"]
    assert seen["unset"] == {"failure": [1, 2]}
    assert (seen["enabled"], seen["lost"], seen["kept"], seen["to_journal"]) == (1, 2, True, True)
    assert (seen["settings"]["num_logs"], seen["settings"]["disk_full_action"]) == (8, "ROTATE")
    assert seen["settings"]["write_logs"] is None


def test_rules_by_key(answering: Callable[..., Host]) -> None:
    seen = audit.audit_keys(answering({audit_rules.RULES_FILE: FILE}, ""), {"kijun-time", "kijun-none"})
    assert seen["kijun-none"] == {"written": None, "missing": [], "unwatchable": []}
    assert seen["kijun-time"]["missing"] == ["always,exit settimeofday arch=b64 key=kijun-time"]
    assert seen["kijun-time"]["unwatchable"] == ["always,exit all arch=b64 key=kijun-time path=/srv/none perm=aw"]
    assert " " in seen["kijun-time"]["written"]


def test_a_host_without_audit_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "_is_there", lambda host: False)
    seen = audit.audit(Host("/nowhere"), set())
    assert seen["present"] is False
    assert seen["kept"] is False
    assert seen["missing"] is None  # which is no empty list, and still nothing that a control passes by itself
    assert seen["enabled"] is None


WATCHED = [{"path": "/srv/FILES", "kinds": ["delete"]}, {"path": "/opt", "kinds": ["read"]}]
GROUPS: dict[str, dict[str, Any]] = {
    "a": {"rules": "-F path=/etc/passwd -F perm=wa\n\n  -S stime -F exe!=/x\n"},
    "b": {"rules": "-S execve -C uid!=euid -F euid=0 by-people"},
    "c": {"rules": audit_of_files(WATCHED, "delete")},
    "d": {"rules": audit_of_files(WATCHED, "move")},
}


def test_lines_for_each_kind_of_programs() -> None:
    assert audit_lines(GROUPS, "x86_64") == [
        "-a always,exit -F arch=b64 -S all -F path=/etc/passwd -F perm=wa -F key=a",
        "-a always,exit -F arch=b32 -S all -F path=/etc/passwd -F perm=wa -F key=a",
        "-a always,exit -F arch=b32 -S stime -F exe!=/x -F key=a",
        f"-a always,exit -F arch=b64 -S execve -C uid!=euid -F euid=0 {PEOPLE} -F key=b",
        f"-a always,exit -F arch=b32 -S execve -C uid!=euid -F euid=0 {PEOPLE} -F key=b",
        f"-a always,exit -F arch=b64 -S unlink,unlinkat,rmdir -F dir=/srv/FILES {PEOPLE} -F key=c",
        f"-a always,exit -F arch=b32 -S unlink,unlinkat,rmdir -F dir=/srv/FILES {PEOPLE} -F key=c",
    ]


@pytest.mark.parametrize("kind", FILE_KINDS)
def test_every_kind_of_deed_has_a_rule(kind: str) -> None:
    text = audit_of_files([{"path": "/srv", "kinds": list(FILE_KINDS)}], kind)
    assert all(line.endswith(" -F dir=/srv by-people") for line in text.split("\n"))
    assert audit_lines({"k": {"rules": text}}, "aarch64")


def test_a_newer_architecture_has_no_old_calls() -> None:
    lines = audit_lines({**GROUPS, **ROLE_GROUPS}, "aarch64")
    assert f"-a always,exit -F arch=b64 -S unlinkat -F dir=/srv/FILES {PEOPLE} -F key=c" in lines
    calls = {call for line in lines for call in line.split(" -S ")[1].split()[0].split(",")}
    assert {"openat", "fchmodat", "init_module", "execve"} <= calls
    assert not calls & (OLD_CALLS | CALLS_OF_32_BITS)
    assert not [line for line in lines if "b32" in line]


def test_digests_tell_machines_and_nothing_apart() -> None:
    assert audit_digests("", "d") == [None, None]
    digests = audit_digests(GROUPS["c"]["rules"], "c")
    assert [text.split()[0] for text in digests if text] == list(MACHINES)
    own = [line for line in audit_lines(GROUPS, "x86_64") if line.endswith("key=c")]
    assert audit_rules.digest("x86_64", own) == digests[0]


def test_every_group_of_the_role_is_asked_by_its_control() -> None:
    """What the role has recorded and what its controls expect are written in two places; they are the same."""
    controls = tree.load(ROLE / "controls.yml")
    for key, group in tree.load(ROLE / "vars/main.yml")["__auditd_groups"].items():
        facts = {f"audit_keys[{key}].written", f"audit_keys[{key}].missing"}
        asking = {c["id"] for c in controls if facts <= {e["fact"] for e in c["expect"]}}
        assert asking == {group["control"]}, key


TREES = {"type": "watched_trees"}


@pytest.mark.parametrize(
    ("value", "good"),
    [
        ([], True),
        ([{"path": "/srv/share", "kinds": ["read"]}, {"path": "/home", "kinds": ["create", "move"]}], True),
        ([{"path": "/srv", "kinds": []}], False),
        ([{"path": "/srv", "kinds": ["gossip"]}], False),
        ([{"path": "/srv", "kinds": ["read", "read"]}], False),
        ([{"path": "/srv", "kinds": "read"}], False),
        ([{"path": "/srv"}], False),
        ([{"path": "srv", "kinds": ["read"]}], False),
        ([{"path": "/", "kinds": ["read"]}], False),
        ([{"path": "/srv/../etc", "kinds": ["read"]}], False),
        ([{"path": "/a b", "kinds": ["read"]}], False),
        ([{"path": "/srv\n-D", "kinds": ["read"]}], False),
        ([{"path": "/srv -F key=x", "kinds": ["read"]}], False),
        ([{"path": "/srv", "kinds": ["read"]}, {"path": "/srv", "kinds": ["move"]}], False),
        ({"path": "/srv", "kinds": ["read"]}, False),
    ],
)
def test_directories_that_are_watched(value: Any, good: bool) -> None:
    assert within(value, TREES) is good
