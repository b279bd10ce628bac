# SPDX-License-Identifier: GPL-3.0-or-later
"""What a kernel of the host's own records of what is really done, on a virtual machine. Few and fat: it is emulated."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from kijun_hosts import Machine, make_person
from kijun_lab import identity
from kijun_vm import VirtualMachine, lab

Verdicts = Callable[..., dict[str, str]]

NOTHING = "nothing changed"
ALL = tuple(f"AUD-{number:02}" for number in range(1, 15))

BY_A_PERSON = """
echo one >/srv/shared/made
cat /srv/shared/made >/dev/null
mkdir /srv/shared/folder
truncate -c -s 1 /srv/shared/there
mv /srv/shared/made /srv/shared/moved
cp /srv/shared/moved /srv/shared/copied
rm /srv/shared/moved
chmod 0600 /srv/shared/copied
cat /etc/shadow
passwd -S
true
"""
BY_AN_ADMINISTRATOR = """
useradd newcomer
usermod -aG games newcomer
touch /etc/sudoers.d/extra && rm /etc/sudoers.d/extra
touch /etc/hosts
truncate -s 0 /var/log/btmp
date -s "$(date)"
modprobe dummy && rmmod dummy
python3 -c 'import ctypes; ctypes.CDLL(None).syscall(425, 1, 0)'
mount -t vfat -o loop /root/medium /mnt && umount /mnt
auditctl -s
"""
# A medium of FAT, as USB sticks have: a boot sector and the beginnings of two tables. No program of the host makes one.
MEDIUM = """
import struct
disk = bytearray(2880 * 512)
disk[:11], disk[510:512] = b"\\xeb\\x3c\\x90MSDOS5.0", b"\\x55\\xaa"
struct.pack_into("<HBHBHHBHHHII", disk, 11, 512, 1, 1, 2, 224, 2880, 0xF0, 9, 18, 2, 0, 0)
for table in (1, 10):
    disk[table * 512 : table * 512 + 3] = b"\\xf0\\xff\\xff"
open("/root/medium", "wb").write(disk)
"""

# Key -> what its records tell of; all of the texts stand in one event.
EVENTS = {
    "kijun-logon": ['name="/var/log/btmp"', 'AUID="admin"'],
    "kijun-accounts": ['comm="useradd"', 'name="/etc/passwd"'],
    "kijun-rights": ['name="/etc/sudoers.d/extra"', "nametype=DELETE"],
    "kijun-permissions": ['comm="chmod"', 'name="/srv/shared/copied"', 'AUID="worker"'],
    "kijun-file-create": ['name="/srv/shared/folder"', 'AUID="worker"'],
    "kijun-file-read": ['comm="cat"', 'name="/srv/shared/made"'],
    "kijun-file-write": ['comm="truncate"', 'name="/srv/shared/there"'],
    "kijun-file-move": ['name="/srv/shared/made"', 'name="/srv/shared/moved"'],
    "kijun-file-delete": ['comm="rm"', 'name="/srv/shared/moved"'],
    "kijun-media": ['comm="mount"', 'name="/mnt"', 'AUID="admin"'],
    "kijun-denied": ['comm="cat"', 'name="/etc/shadow"', "success=no", 'AUID="worker"'],
    "kijun-privileged": ['comm="passwd"', 'EUID="root"', 'AUID="worker"'],
    "kijun-system": ['comm="touch"', 'name="/etc/hosts"'],
    "kijun-time": ['comm="date"', 'AUID="admin"'],
    "kijun-modules": ['comm="modprobe"', "SYSCALL=finit_module"],
    "kijun-kernel": ["SYSCALL=io_uring_setup", 'AUID="admin"'],
    "kijun-audit": ['exe="/usr/sbin/auditctl"', 'AUID="admin"'],
    "kijun-usage": ['exe="/usr/bin/mkdir"', 'a1="/srv/shared/folder"', 'AUID="worker"'],
}
BY_GROUP = {
    "groupadd": ['comm="usermod"', 'name="/etc/group"'],
    "copied from": ['comm="cp"', 'name="/srv/shared/moved"'],
    "copied to": ['comm="cp"', 'name="/srv/shared/copied"'],
    "made": ['name="/srv/shared/made"', "nametype=CREATE"],
}
KEY_OF = {
    "groupadd": "kijun-accounts",
    "copied from": "kijun-file-read",
    "copied to": "kijun-file-create",
    "made": "kijun-file-create",
}

UNDONE = [
    # By hand, and what the audit says of it.
    ("auditctl -D -k kijun-time", {"AUD-05", "AUD-12"}),
    ("auditctl -A never,exit -S all -F auid=1000", {"AUD-05"}),
    ("auditctl -e 0", {"AUD-01", "AUD-05"}),
    ("sed -i /kijun-media/d /etc/audit/rules.d/audit.rules", {"AUD-05", "AUD-09"}),
    ("sed -i 's/^active = yes/active = no/' /etc/audit/plugins.d/syslog.conf", {"AUD-04"}),
    ("sed -i 's/^max_log_file = .*/max_log_file = 9999/' /etc/audit/auditd.conf", {"AUD-03"}),
]


@pytest.fixture(scope="session")
def machine(request: pytest.FixtureRequest) -> VirtualMachine:
    """A fresh virtual machine."""
    lab("reset", request.param)
    return VirtualMachine(request.param)


@pytest.fixture(scope="module")
def as_client(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """Arguments by which the machine is a PC too."""
    file: Path = tmp_path_factory.mktemp("inventory") / "clients.ini"
    file.write_text(f"[clients]\n{machine.name}\n", encoding="utf-8")
    return ("-i", str(file))


def role(machine: Machine, *arguments: str) -> str:
    """Apply the role; return what was printed."""
    done = machine.playbook("molecule/auditd/converge.yml", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def said(text: str) -> list[str]:
    """What a run says of the machine."""
    return re.findall(r"^  vm\d+  (.*)", text, re.MULTILINE)


def events(records: str) -> list[str]:
    """The events among records, each with all that it consists of."""
    found: dict[str, list[str]] = {}
    for line in records.split("\n"):  # what is written out stands behind a separator that is a line's end to Python
        match = re.search(r"msg=audit\(([0-9.:]+)\)", line)
        if match:
            found.setdefault(match.group(1), []).append(line)
    return ["\n".join(lines) for lines in found.values()]


@pytest.fixture(scope="module")
def told(machine: Machine, as_client: tuple[str, ...]) -> list[str]:
    """What four runs of the role say: check, run, check, run."""
    machine.ok("mkdir -p -m 1777 /srv/shared && touch /srv/shared/there && chmod 0666 /srv/shared/there")
    return [role(machine, *as_client, *more) for more in (["--check"], [], ["--check"], [])]


@pytest.fixture(scope="module")
def recorded(machine: Machine, told: list[str]) -> dict[str, list[str]]:
    """Key -> its events, of what people did; and "journal", all that went there."""
    make_person(machine, "worker")
    login = machine.ssh("worker", "-o", "BatchMode=yes", "-i", str(identity.USER_KEY))
    done = subprocess.run([*login, "sh"], input=BY_A_PERSON, capture_output=True, text=True, timeout=300, check=False)
    assert "/etc/shadow: Permission denied" in done.stderr
    machine.python(MEDIUM)
    machine.ok(f"set -e\n{BY_AN_ADMINISTRATOR}")
    found = {}
    for key in EVENTS:
        found[key] = events(machine.ok(f"ausearch --input-logs -k {key} --raw"))
    found["logins"] = events(machine.ok("ausearch --input-logs -m USER_LOGIN,USER_START --raw"))
    found["journal"] = events(machine.ok("journalctl -o cat _SYSTEMD_UNIT=auditd.service"))
    found["double"] = machine.ok("journalctl -o cat _TRANSPORT=audit --since '-2min' | head -3").splitlines()
    return found


@pytest.mark.control("AUD-01", "AUD-02", "AUD-03", "AUD-05")
def test_a_check_tells_the_truth_and_a_second_run_changes_nothing(told: list[str]) -> None:
    lines = [said(text) for text in told]
    assert lines[0] == lines[1] != [NOTHING]
    assert lines[2] == lines[3] == [NOTHING]


@pytest.mark.parametrize("what", [*EVENTS, *BY_GROUP])
@pytest.mark.control("AUD-06", "AUD-07", "AUD-08", "AUD-09", "AUD-10", "AUD-11", "AUD-12", "AUD-13", "AUD-14")
def test_what_is_done_is_recorded_and_goes_to_the_journal(recorded: dict[str, list[str]], what: str) -> None:
    key, texts = KEY_OF.get(what, what), EVENTS.get(what) or BY_GROUP[what]
    for place in (key, "journal"):
        fitting = [e for e in recorded[place] if f'key="{key}"' in e and all(text in e for text in texts)]
        assert fitting, f"{place}: no event of {key} has {texts}"


@pytest.mark.control("AUD-04", "AUD-06")
def test_logins_are_recorded_and_nothing_comes_twice(recorded: dict[str, list[str]]) -> None:
    assert any('acct="worker"' in event and "res=success" in event for event in recorded["logins"])
    assert recorded["double"] == []


@pytest.mark.control(*ALL)
def test_the_audit_passes_what_holds_and_notices_what_is_undone(
    machine: Machine, verdicts: Verdicts, recorded: dict[str, list[str]], as_client: tuple[str, ...]
) -> None:
    asked = ("--tags", ",".join(ALL), *as_client)
    assert verdicts(*asked) == dict.fromkeys(ALL, "pass")
    expected = set()
    for command, controls in UNDONE:
        machine.ok(command)
        expected |= controls
    assert {control for control, verdict in verdicts(*asked).items() if verdict != "pass"} == expected
    foreseen = said(role(machine, *as_client, "--check"))
    assert said(role(machine, *as_client)) == foreseen != [NOTHING]
    assert verdicts(*asked) == dict.fromkeys(ALL, "pass")


@pytest.mark.control("AUD-01", "AUD-04", "AUD-05")
def test_a_locked_audit_takes_new_rules_at_the_next_start_and_the_role_says_so(
    machine: Machine, verdicts: Verdicts, recorded: dict[str, list[str]], as_client: tuple[str, ...]
) -> None:
    locked = (*as_client, "-e", '{"auditd_immutable": true}')
    assert said(role(machine, *locked, "--check")) == said(role(machine, *locked)) != [NOTHING]
    machine.ok("! auditctl -D")
    assert said(role(machine, *locked)) == [NOTHING]
    # Other rules are written, and wait.
    others = (*locked, "-e", '{"auditd_watched_trees": [{"path": "/opt", "kinds": ["delete"]}]}')
    texts = [role(machine, *others, *more) for more in (["--check"], [], ["--check"], [])]
    for text in texts:
        assert "a restart of the host is needed, and left to you: the audit is locked until then" in " ".join(
            text.split()
        )
    assert [said(text) == [NOTHING] for text in texts] == [False, False, True, True]
    asked = ("--tags", "AUD-01,AUD-04,AUD-05,AUD-08", *others)
    assert {c for c, verdict in verdicts(*asked).items() if verdict != "pass"} == {"AUD-05", "AUD-08"}
    lab("reboot", machine.name)
    assert verdicts(*asked) == dict.fromkeys(("AUD-01", "AUD-04", "AUD-05", "AUD-08"), "pass")
    assert said(role(machine, *others)) == [NOTHING]
