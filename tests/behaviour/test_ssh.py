# SPDX-License-Identifier: GPL-3.0-or-later
"""Attacks on the controls of role ssh, on hosts that molecule/ssh/converge.yml has applied it to."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import shlex
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pexpect
import pyrage
import pytest
from kijun_hosts import code, make_person, remove_person
from kijun_lab import identity

from .conftest import GOOD, Machine

Audit = Callable[..., dict[str, str]]
Planted = Callable[..., AbstractContextManager[None]]

CONVERGE = "../molecule/ssh/converge"
SETTINGS = "molecule/ssh/vars/settings.yml"
OURS = "/etc/ssh/sshd_config.d/00-kijun.conf"
KEY = ("-i", str(identity.USER_KEY))
RESTART = "systemctl reset-failed ssh && systemctl restart ssh"  # tests do it more often than systemd would
IDLE = 10
SECRETS = "/var/lib/kijun/second_factor"


@pytest.fixture
def audit(verdicts: Audit) -> Audit:
    """Audit with the settings that the role was applied with."""

    def by_settings(**extra: Any) -> dict[str, str]:
        return verdicts("--tags", "SSH-01," + ",".join(f"SSH-{n:02}" for n in range(2, 15)), *given(extra))

    return by_settings


@pytest.fixture
def planted(machine: Machine) -> Planted:
    """A file among sshd's drop-ins that somebody else put there; gone afterwards."""

    @contextlib.contextmanager
    def plant(text: str, name: str = "00-a.conf") -> Iterator[None]:
        path = f"/etc/ssh/sshd_config.d/{name}"
        machine.ok(f"printf %b {shlex.quote(text)} > {path} && chmod 600 {path} && sshd -t && {RESTART}")
        try:
            yield
        finally:
            machine.ok(f"rm {path} && {RESTART}")

    return plant


def given(extra: dict[str, Any]) -> list[str]:
    return ["-e", f"@{SETTINGS}", *(["-e", json.dumps(extra)] if extra else [])]


def apply(machine: Machine, **extra: Any) -> None:
    done = machine.playbook(CONVERGE, *given(extra))
    assert done.returncode == 0, done.stdout + done.stderr


def login(
    machine: Machine, user: str, *options: str, command: str = "echo welcome"
) -> subprocess.CompletedProcess[str]:
    """A login by key."""
    line = [*machine.ssh(user, "-o", "BatchMode=yes", *KEY, *options), command]
    return subprocess.run(line, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)


def welcome(done: subprocess.CompletedProcess[str]) -> bool:
    return done.stdout == "welcome\n"


@pytest.mark.control("SSH-01")
def test_root_is_refused(machine: Machine, audit: Audit, planted: Planted) -> None:
    machine.ok("install -d -m 700 /root/.ssh && install -m 600 ~admin/.ssh/authorized_keys /root/.ssh/authorized_keys")
    try:
        assert machine.logs_in_by_key("admin")
        assert not machine.logs_in_by_key("root")
        assert audit()["SSH-01"] == "pass"
        with planted("Match User root\\n PermitRootLogin yes\\n AllowGroups root\\n"):
            assert machine.logs_in_by_key("root"), "the attack itself does not work"
            assert audit()["SSH-01"] == "fail"
    finally:
        machine.ok("rm /root/.ssh/authorized_keys")


@pytest.mark.control("SSH-02")
def test_passwords_are_refused(machine: Machine, audit: Audit, planted: Planted, person: str) -> None:
    assert machine.logs_in_by_key(person)
    assert not machine.logs_in(person, GOOD)
    assert audit()["SSH-02"] == "pass"
    with planted(f"Match User {person}\\n PasswordAuthentication yes\\n"):
        assert machine.logs_in(person, GOOD), "the attack itself does not work"
        assert audit()["SSH-02"] == "fail"


def test_settings_that_are_read_later_loosen_nothing(
    machine: Machine, audit: Audit, planted: Planted, person: str
) -> None:
    with planted(f"Match User {person}\\n PasswordAuthentication yes\\n PermitRootLogin yes\\n", "99-late.conf"):
        assert not machine.logs_in(person, GOOD)
        assert set(audit().values()) <= {"pass", "not_applicable"}


def forwards(machine: Machine, user: str) -> bool:
    """Whether the server hands a connection on."""
    line = machine.ssh(user, "-o", "BatchMode=yes", *KEY, "-W", "127.0.0.1:22")
    done = subprocess.run(line, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
    return done.stdout.startswith(b"SSH-2.0")


def test_groups_that_are_named_use_passwords_and_forward(machine: Machine, audit: Audit, person: str) -> None:
    groups = {"ssh_password_groups": ["typists"], "ssh_forwarding_groups": ["routed"]}
    machine.ok(f"groupadd -f typists && groupadd -f routed && usermod -aG typists,routed {person}")
    try:
        apply(machine, **groups)
        assert machine.logs_in(person, GOOD)
        assert not machine.logs_in(person, GOOD + "x")
        assert forwards(machine, person)
        assert not forwards(machine, "admin")
        seen = audit(**groups)
        assert (seen["SSH-02"], seen["SSH-09"]) == ("pass", "pass")
        seen = audit()
        assert (seen["SSH-02"], seen["SSH-09"]) == ("fail", "fail")
    finally:
        apply(machine)
        machine.ok("groupdel typists && groupdel routed")
    assert not machine.logs_in(person, GOOD)


@pytest.mark.control("SSH-03")
def test_weak_algorithms_are_refused(machine: Machine, audit: Audit, planted: Planted) -> None:
    weak = (
        ("-c", "aes128-cbc"),
        ("-c", "3des-cbc"),
        ("-c", "aes256-ctr", "-m", "hmac-sha1"),
        ("-o", "KexAlgorithms=diffie-hellman-group14-sha256"),
        ("-o", "HostKeyAlgorithms=ecdsa-sha2-nistp256"),
    )
    for options in weak:
        assert "no matching" in login(machine, "admin", *options).stderr, options
    for options in (
        ("-c", "aes256-ctr", "-m", "hmac-sha2-512-etm@openssh.com"),
        ("-o", "KexAlgorithms=curve25519-sha256"),
    ):
        assert welcome(login(machine, "admin", *options)), options
    assert re.search(r"kex: algorithm: (mlkem768x25519|sntrup761x25519)", login(machine, "admin", "-v").stderr)
    assert audit()["SSH-03"] == "pass"
    with planted("Ciphers aes128-cbc,aes256-gcm@openssh.com\\n"):
        assert welcome(login(machine, "admin", "-c", "aes128-cbc")), "the attack itself does not work"
        assert audit()["SSH-03"] == "fail"


@pytest.mark.control("SSH-03")
def test_options_of_the_running_server_are_noticed(machine: Machine, audit: Audit) -> None:
    machine.ok("cp -p /etc/default/ssh /root/ssh.default && echo SSHD_OPTS=-oMACs=+hmac-sha1 > /etc/default/ssh")
    try:
        machine.ok("systemctl restart ssh")
        assert welcome(login(machine, "admin", "-c", "aes256-ctr", "-m", "hmac-sha1")), "the attack does not work"
        assert audit()["SSH-03"] == "fail"
    finally:
        machine.ok(f"mv /root/ssh.default /etc/default/ssh && {RESTART}")


@pytest.mark.control("SSH-04")
def test_weak_host_key_is_noticed_and_renewed_when_asked(machine: Machine, audit: Audit) -> None:
    key = "/etc/ssh/ssh_host_rsa_key"
    assert audit()["SSH-04"] == "pass"
    machine.ok(f"rm -f {key}*; ssh-keygen -q -t rsa -b 2048 -N '' -f {key}")
    try:
        assert audit()["SSH-04"] == "fail"
        before = machine.ok(f"sha256sum {key}")
        apply(machine)
        assert machine.ok(f"sha256sum {key}") == before, "a host key was changed without being asked to"
        apply(machine, ssh_host_keys_renew=True)
        assert machine.ok(f"ssh-keygen -l -f {key}").startswith("4096 ")
        assert audit()["SSH-04"] == "pass"
    finally:
        machine.ok(f"rm -f {key}*; systemctl restart ssh")


@pytest.mark.control("SSH-05")
def test_only_members_of_named_groups_log_in(machine: Machine, audit: Audit, planted: Planted, person: str) -> None:
    assert machine.logs_in_by_key(person)
    machine.ok(f"gpasswd -d {person} sudo")
    assert not machine.logs_in_by_key(person)
    assert audit()["SSH-05"] == "pass"
    with planted(f"AllowGroups {person}\\n"):
        assert machine.logs_in_by_key(person), "the attack itself does not work"
        assert audit()["SSH-05"] == "fail"


@pytest.mark.control("SSH-06")
def test_only_named_networks_are_let_in(machine: Machine, audit: Audit) -> None:
    def from_elsewhere() -> bool:
        """A login from an address of the lab that is in none of the networks: the host's own."""
        options = "-i /root/lab-key -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null"
        return bool(machine.run(f"ssh {options} admin@{machine.address} echo welcome || true").stdout == "welcome\n")

    key = base64.b64encode(identity.USER_KEY.read_bytes()).decode()
    machine.ok(f"umask 077; echo {key} | base64 -d > /root/lab-key")
    try:
        assert machine.logs_in_by_key("admin")
        assert not from_elsewhere()
        assert audit()["SSH-06"] == "pass"
        machine.ok(f"sed -i '/DenyUsers/d' {OURS} && {RESTART}")
        assert from_elsewhere(), "the attack itself does not work"
        assert audit()["SSH-06"] == "fail"
        apply(machine)
        assert not from_elsewhere()
    finally:
        machine.ok("rm /root/lab-key")


@pytest.fixture
def impatient(machine: Machine) -> Iterator[None]:
    """The role with short times."""
    apply(machine, ssh_idle_seconds=IDLE, ssh_login_seconds=IDLE)
    yield
    apply(machine)


@pytest.mark.control("SSH-07", "SSH-08")
def test_idle_sessions_and_slow_logins_end(machine: Machine, audit: Audit, person: str, impatient: None) -> None:
    def terminal(user: str, *command: str) -> pexpect.spawn:
        line = [*machine.ssh(user, "-tt", *KEY), *command]
        return pexpect.spawn(line[0], line[1:], timeout=30, encoding="utf-8")

    silent = socket.create_connection((machine.address, 22))
    started = time.monotonic()
    busy, idle, sleeping = (terminal(person) for _ in range(3))
    root = terminal("admin", "sudo", "-i")  # no shell in sshd's eyes: the shell itself logs out
    for session in (busy, idle, sleeping, root):
        session.expect(r"[$#] ")
    sleeping.sendline("trap '' HUP; sleep 600")  # nothing that the shell's own timer could end
    for count in range(6):
        time.sleep(IDLE / 4)
        busy.sendline(f"echo still-{count}-here")
        busy.expect(f"still-{count}-here\r")
    for session in (idle, sleeping, root):
        session.expect(pexpect.EOF, timeout=2 * IDLE)
    assert time.monotonic() - started < 4 * IDLE
    busy.sendline("echo awake")
    busy.expect("awake\r")
    busy.close()
    silent.settimeout(2 * IDLE)
    with contextlib.suppress(ConnectionResetError):
        while silent.recv(1024):
            pass
    silent.close()
    assert audit(ssh_idle_seconds=IDLE)["SSH-07"] == "pass"
    machine.ok("sed -i s/TMOUT=10/TMOUT=0/ /etc/profile.d/kijun-idle.sh")
    assert audit(ssh_idle_seconds=IDLE)["SSH-07"] == "fail"


@pytest.mark.control("SSH-08")
def test_tries_and_waiting_logins_are_limited(machine: Machine, audit: Audit, planted: Planted, tmp_path: Path) -> None:
    wrong = []
    for count in range(6):
        key = tmp_path / f"key{count}"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
        wrong += ["-i", str(key)]

    def tries() -> subprocess.CompletedProcess[str]:
        line = machine.ssh("admin", "-o", "BatchMode=yes", *wrong, *KEY)
        return subprocess.run(
            [*line, "echo welcome"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False
        )

    assert "Too many authentication failures" in tries().stderr
    waiting = []
    try:
        for _ in range(70):
            waiting.append(socket.create_connection((machine.address, 22), timeout=20))
        answers = [first_bytes(connection) for connection in waiting]
        assert 10 <= sum(answer.startswith(b"SSH-2.0") for answer in answers) <= 60
    finally:
        for connection in waiting:
            connection.close()
    assert audit()["SSH-08"] == "pass"
    with planted("Match User admin\\n MaxAuthTries 20\\n"):
        assert welcome(tries()), "the attack itself does not work"
        assert audit()["SSH-08"] == "fail"


def first_bytes(connection: socket.socket) -> bytes:
    try:
        return connection.recv(64)
    except OSError:
        return b""


@pytest.mark.control("SSH-09")
def test_nothing_is_tunnelled(machine: Machine, audit: Audit, planted: Planted, person: str) -> None:
    assert not forwards(machine, person)
    assert audit()["SSH-09"] == "pass"
    with planted(f"Match User {person}\\n DisableForwarding no\\n AllowTcpForwarding yes\\n"):
        assert forwards(machine, person), "the attack itself does not work"
        assert audit()["SSH-09"] == "fail"


@pytest.mark.control("SSH-10")
def test_warning_is_shown_before_login(machine: Machine, audit: Audit, planted: Planted) -> None:
    shown = machine.ok("cat /etc/issue.net").strip()
    assert shown in login(machine, "nobody").stderr
    assert audit()["SSH-10"] == "pass"
    with planted("Match all\\n Banner none\\n"):
        assert shown not in login(machine, "nobody").stderr, "the attack itself does not work"
        assert audit()["SSH-10"] == "fail"


@pytest.mark.control("SSH-11")
def test_what_users_leave_lying_is_not_trusted(machine: Machine, audit: Audit, planted: Planted, person: str) -> None:
    machine.ok(f"echo PLANTED=yes > ~{person}/.ssh/environment && chown {person} ~{person}/.ssh/environment")
    assert login(machine, person, command="printenv PLANTED || echo none").stdout == "none\n"
    machine.ok(f"chmod 666 ~{person}/.ssh/authorized_keys")
    assert not machine.logs_in_by_key(person)
    assert audit()["SSH-11"] == "pass"
    with planted("StrictModes no\\nPermitUserEnvironment yes\\n"):
        assert login(machine, person, command="printenv PLANTED").stdout == "yes\n", "the attack itself does not work"
        assert audit()["SSH-11"] == "fail"


@pytest.mark.control("SSH-12")
def test_settings_and_keys_are_closed_to_others(machine: Machine, audit: Audit, person: str) -> None:
    assert machine.run(f"su {person} -c 'cat {OURS} || cat /etc/ssh/ssh_host_ed25519_key'").rc != 0
    assert audit()["SSH-12"] == "pass"
    # Not the key itself: sshd would no longer use it.
    machine.ok(f"chmod 644 {OURS}")
    assert machine.run(f"su {person} -c 'cat {OURS}'").rc == 0, "the attack itself does not work"
    assert audit()["SSH-12"] == "fail"
    apply(machine)
    assert audit()["SSH-12"] == "pass"


@pytest.mark.control("SSH-14")
def test_management_connection_is_kept_and_recorded(machine: Machine, audit: Audit, planted: Planted) -> None:
    assert machine.logs_in_by_key("admin")
    assert re.search("Accepted publickey for admin .* SHA256:", machine.ok("journalctl -o cat -t sshd -t sshd-session"))
    assert audit()["SSH-14"] == "pass"
    with planted("Match User admin\\n LogLevel QUIET\\n"):
        assert audit()["SSH-14"] == "fail"
    assert audit()["SSH-14"] == "pass"


def test_sessions_outlive_a_change(machine: Machine, person: str) -> None:
    line = machine.ssh(person, "-tt", *KEY)
    session = pexpect.spawn(line[0], line[1:], timeout=30, encoding="utf-8")
    session.expect(r"\$ ")
    before = machine.ok("systemctl show -p MainPID ssh")
    apply(machine, ssh_login_seconds=50)
    assert machine.ok("systemctl show -p MainPID ssh") != before
    session.sendline("echo still-$((40+2))")
    session.expect("still-42")
    session.close()
    apply(machine)


@pytest.mark.parametrize(
    ("variable", "value", "clause"),
    [
        ("ssh_allowed_groups", ["operators"], "GL-2.5-2"),
        ("ssh_admin_networks", ["198.51.100.0/24"], "GL-2.5-1"),
        ("ssh_second_factor_groups", ["sudo"], "ST-8-3"),
        ("ssh_idle_seconds", 0, "MR-16-6b"),
    ],
)
def test_settings_that_shut_ansible_out_are_refused_before_anything_changes(
    machine: Machine, variable: str, value: Any, clause: str
) -> None:
    before = machine.ok("sha256sum /etc/ssh/sshd_config.d/* /etc/pam.d/*; systemctl show -p MainPID ssh")
    done = machine.playbook(CONVERGE, *given({variable: value}))
    assert done.returncode != 0
    told = " ".join(done.stdout.split())
    assert f"{variable} is {value!r}" in told
    assert f"(clause {clause})" in told
    assert machine.ok("sha256sum /etc/ssh/sshd_config.d/* /etc/pam.d/*; systemctl show -p MainPID ssh") == before


@pytest.fixture
def operator(machine: Machine) -> Iterator[str]:
    """A person who must give a second factor."""
    name = "operator1"
    make_person(machine, name)
    machine.run(f"faillock --user {name} --reset")
    machine.ok(f"groupadd -f operators && usermod -aG operators {name}")
    yield name
    machine.run(f"rm -f {SECRETS}/{name}; faillock --user {name} --reset")
    remove_person(machine, name)
    machine.run("groupdel operators")


class Operator:
    """Logs in with a key and a code.

    Args:
        machine: where.
        name: who.
    """

    def __init__(self, machine: Machine, name: str) -> None:
        self.machine = machine
        self.name = name

    def gets_in(self, *answers: str, options: tuple[str, ...] = KEY, forgiven: bool = True) -> bool:
        """Whether a login succeeds that answers the server's questions in turn."""
        if forgiven:
            self._forget_earlier_tries()
        line = [*self.machine.ssh(self.name, "-o", "NumberOfPasswordPrompts=1", *options), "echo welcome"]
        session = pexpect.spawn(line[0], line[1:], timeout=30, encoding="utf-8")
        said = ""
        for answer in answers:
            if session.expect(["(?i)(verification code|password): ?", pexpect.EOF]):
                break
            session.sendline(answer)
        session.expect(pexpect.EOF)
        said += session.before or ""
        session.close()
        return "welcome" in said

    def _forget_earlier_tries(self) -> None:
        self.machine.run(f"sed -i 's/^\\(\" RATE_LIMIT 3 30\\).*/\\1/' {SECRETS}/{self.name}")


def failures(machine: Machine, name: str) -> int:
    """How many failed logins of an account count."""
    return len(re.findall(r" V$", machine.ok(f"faillock --user {name}"), re.MULTILINE))


@pytest.mark.control("SSH-13")
def test_second_factor(machine: Machine, audit: Audit, operator: str, tmp_path: Path) -> None:
    who = Operator(machine, operator)
    key = pyrage.x25519.Identity.generate()
    # Nobody who is not enrolled gets in, and the audit says who that is.
    assert not machine.logs_in_by_key(operator)
    assert not who.gets_in("123456")
    assert audit()["SSH-13"] == "fail"

    accounts = [{"login": operator, "age_key": str(key.to_public())}]
    extra = {"second_factor_accounts": accounts, "second_factor_handover_directory": str(tmp_path / "handover")}
    arguments = ("-e", json.dumps(extra), "--diff", "-vvv")
    foretold = machine.playbook("second_factor", *arguments, "--check")
    assert foretold.returncode == 0, foretold.stdout + foretold.stderr
    assert "changed=2" in foretold.stdout
    assert not (tmp_path / "handover").exists()
    done = machine.playbook("second_factor", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    (file,) = (tmp_path / "handover").iterdir()
    message = pyrage.decrypt(file.read_bytes(), [key]).decode()
    secret = re.search(r"^    ([A-Z2-7]{32})$", message, re.MULTILINE)
    recovery = re.findall(r"^    (\d{8})$", message, re.MULTILINE)
    assert secret
    assert len(recovery) == 10
    for told in (secret[1], *recovery):
        assert told not in done.stdout + done.stderr
        assert base64.b64encode(told.encode()).decode().rstrip("=") not in done.stdout
    assert machine.ok(f"stat -c '%U %a' {SECRETS}/{operator}") == "root 600\n"
    again = machine.playbook("second_factor", *arguments)
    assert "changed=0" in again.stdout, again.stdout

    assert audit()["SSH-13"] == "pass"
    assert not machine.logs_in_by_key(operator), "the key alone is enough"
    machine.ok(f"faillock --user {operator} --reset")
    assert not who.gets_in("000000")
    assert failures(machine, operator) == 1, "a wrong code is no failed login"
    right = code(secret[1])
    assert not who.gets_in(right, options=("-o", "PubkeyAuthentication=no")), "the code alone is enough"
    assert who.gets_in(right)
    assert failures(machine, operator) == 0
    assert not who.gets_in(right), "a code counts twice"
    assert who.gets_in(recovery[0])
    assert not who.gets_in(recovery[0]), "a recovery code counts twice"

    # Guessing is slowed down: the fourth try of half a minute fails, right or not.
    now = int(time.time())
    machine.ok(f"sed -i 's/^\" RATE_LIMIT.*/\" RATE_LIMIT 3 30 {now} {now} {now}/' {SECRETS}/{operator}")
    assert not who.gets_in(recovery[1], forgiven=False)
    assert who.gets_in(recovery[1])
    assert machine.logs_in_by_key("admin"), "others are asked for a code too"


@pytest.mark.control("SSH-13")
def test_way_around_the_second_factor_is_noticed(
    machine: Machine, audit: Audit, planted: Planted, operator: str
) -> None:
    machine.ok(f"install -m 600 /dev/null {SECRETS}/{operator}")
    assert audit()["SSH-13"] == "pass"
    with planted(f"Match User {operator}\\n AuthenticationMethods publickey\\n"):
        assert machine.logs_in_by_key(operator), "the attack itself does not work"
        assert audit()["SSH-13"] == "fail"
    machine.ok(f"chmod 644 {SECRETS}/{operator}")
    assert audit()["SSH-13"] == "fail"


def test_code_and_password(machine: Machine, operator: str) -> None:
    secret = base64.b32encode(bytes(range(20))).decode()
    apply(machine, ssh_password_groups=["operators"])
    try:
        machine.ok(f"umask 077; printf '%s\\n' {secret} '\" TOTP_AUTH' '\" RATE_LIMIT 3 30' > {SECRETS}/{operator}")
        who = Operator(machine, operator)
        without_key = ("-o", "PubkeyAuthentication=no")
        assert not who.gets_in(code(secret), "wrong", options=without_key)
        assert not who.gets_in("000000", GOOD, options=without_key)
        assert who.gets_in(code(secret), GOOD, options=without_key)
    finally:
        apply(machine)
