# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts of the lab as tests use them: commands as root, real logins, playbooks."""

from __future__ import annotations

import base64
import concurrent.futures
import contextlib
import hmac
import json
import os
import shlex
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import kijun_playbooks
import pexpect
import testinfra
from kijun_lab import description, identity

ROOT = Path(__file__).resolve().parents[1]
ANSIBLE_PLAYBOOK = str(Path(sys.executable).parent / "ansible-playbook")
SSH_OPTIONS = [
    *("-o", f"UserKnownHostsFile={identity.KNOWN_HOSTS}"),
    *("-o", "StrictHostKeyChecking=yes"),
    *("-o", "IdentitiesOnly=yes"),
    *("-o", "ConnectTimeout=20"),
    # A host that restarts does not say goodbye to the connections that wait for their next use.
    *("-o", "ServerAliveInterval=2"),
]
BY_PASSWORD = [
    *("-o", "PreferredAuthentications=password"),
    *("-o", "NumberOfPasswordPrompts=1"),
    *("-o", "PubkeyAuthentication=no"),
]

BASICS = ("--tags", "authentication,time_sync")
"""Arguments of site.yml for what every host has; the whole is slower, and closes what most tests come in by."""

GOOD = "Tsuru#gaOka-0!"
"""A password that the policy takes."""


class Machine:
    """A host of the lab: commands run there as root over SSH, logins and audits from here.

    Args:
        name: its name in the lab.
    """

    def __init__(self, name: str) -> None:
        lab = description.read(description.instance_number())
        self.name = name
        self.address = lab.hosts[name].address
        self.testinfra = testinfra.get_host(
            f"ssh://admin@{self.address}?sudo=true",
            ssh_identity_file=str(identity.USER_KEY),
            ssh_extra_args=shlex.join(SSH_OPTIONS),
        )

    def run(self, command: str) -> Any:
        """Run a shell command as root; its result has rc, stdout and stderr."""
        return self.testinfra.run(command)

    def ok(self, command: str) -> str:
        """Run a shell command as root that must succeed, and return its output."""
        done = self.run(command)
        assert done.rc == 0, f"{self.name}: {command}\n{done.stdout}{done.stderr}"
        return done.stdout

    def python(self, source: str) -> str:
        """Run Python source as root, and return its output."""
        return self.ok(f"python3 -c {shlex.quote(source)}")

    def ssh(self, user: str, *options: str) -> list[str]:
        """The command line of an SSH login."""
        return ["ssh", *SSH_OPTIONS, *options, f"{user}@{self.address}"]

    def logs_in(self, user: str, password: str, command: str = "echo welcome") -> bool:
        """Whether a login by password over SSH succeeds and runs a command that prints `welcome`."""
        line = ["sshpass", "-e", *self.ssh(user, *BY_PASSWORD), command]
        done = subprocess.run(
            line,
            env={**os.environ, "SSHPASS": password},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.stdout == "welcome\n"

    def logs_in_by_key(self, user: str, command: str = "echo welcome") -> bool:
        """Whether a login by the lab's key succeeds and runs a command that prints `welcome`."""
        line = [*self.ssh(user, "-o", "BatchMode=yes", "-i", str(identity.USER_KEY)), command]
        done = subprocess.run(line, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
        return done.stdout == "welcome\n"

    def terminal(self, user: str, password: str, command: str = "") -> pexpect.spawn:
        """A login at a terminal, past the password prompt."""
        line = [*self.ssh(user, "-tt", *BY_PASSWORD), *([command] if command else [])]
        session = pexpect.spawn(line[0], line[1:], timeout=30, encoding="utf-8")
        session.expect("[Pp]assword:")
        session.sendline(password)
        return session

    inventory: tuple[str, ...] = ()
    """Options of ansible-playbook that name the inventory, where it is not the project's own."""

    def playbook(self, name: str, *arguments: str, timeout: int = 600) -> subprocess.CompletedProcess[str]:
        """Run a playbook on this host.

        Args:
            name: of playbooks/, without its ending; or a path that has one.
            arguments: further arguments.
            timeout: seconds that it may take.
        """
        path = name if name.endswith(".yml") else f"playbooks/{name}.yml"
        return ansible_playbook(*self.inventory, path, "--limit", self.name, *arguments, timeout=timeout)

    def site(self, *arguments: str) -> str:
        """Bring the host to what every host has, or to what other ``--tags`` name; return what was printed."""
        done = self.playbook("site", *(() if "--tags" in arguments else BASICS), *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


def make_person(machine: Machine, name: str) -> None:
    """Make a person with a good password, a key, and the right to sudo."""
    machine.run(f"pkill -KILL -u {name}; userdel -rf {name}")
    machine.run(f"faillock --user {name} --reset; rm -f /var/lib/faillock/{name}")
    machine.run(f"sed -i /^{name}:/d /etc/security/opasswd")
    machine.ok(f"useradd -m -s /bin/bash -G sudo {name} && install -d -m 700 -o {name} ~{name}/.ssh")
    machine.ok(f"install -m 600 -o {name} ~admin/.ssh/authorized_keys ~{name}/.ssh/authorized_keys")
    # May change it at once, for the tests' sake.
    machine.ok(f"echo {shlex.quote(f'{name}:{GOOD}')} | chpasswd && chage -m 0 {name}")
    # One password a call: sudo would count the end of its input as a second wrong one.
    machine.ok(f"echo 'Defaults:{name} passwd_tries=1' > /etc/sudoers.d/{name} && chmod 440 /etc/sudoers.d/{name}")


def remove_person(machine: Machine, name: str) -> None:
    """Remove a person and all that tells of them."""
    machine.run(f"pkill -KILL -u {name}; userdel -rf {name}; rm -f /var/lib/faillock/{name} /etc/sudoers.d/{name}")


def code(secret: str, late: int = 0) -> str:
    """The time-based code of RFC 6238 of now, or of some half minutes later."""
    counter = struct.pack(">Q", int(time.time()) // 30 + late)
    digest = hmac.digest(base64.b32decode(secret), counter, "sha1")
    offset = digest[-1] & 0x0F
    number = struct.unpack(">I", digest[offset : offset + 4])[0] & 0x7FFFFFFF
    return f"{number % 1_000_000:06}"


def together(attempt: Callable[[], bool], times: int) -> list[bool]:
    """Make several attempts, eight at a time: a refused one waits for seconds."""
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        return [future.result() for future in [pool.submit(attempt) for _ in range(times)]]


@contextlib.contextmanager
def mail_server(machine: Machine, domain: str) -> Iterator[None]:
    """Have a real mail server on a host that takes mail for root of a domain, from the lab's network.

    Args:
        machine: the host; Postfix is gone from it afterwards.
        domain: for which it takes mail.
    """
    choice = f"postfix postfix/main_mailer_type select Internet Site\npostfix postfix/mailname string {domain}\n"
    machine.ok(f"printf {shlex.quote(choice)} | debconf-set-selections")
    machine.ok("DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends postfix >/dev/null 2>&1")
    network = machine.address.rpartition(".")[0] + ".0/24"
    settings = f"inet_interfaces=all inet_protocols=ipv4 mydestination={domain},localhost"
    machine.ok(f"postconf -e {settings} mynetworks={network},127.0.0.0/8; systemctl restart postfix")
    try:
        yield
    finally:
        machine.run("DEBIAN_FRONTEND=noninteractive apt-get purge -qq -y postfix >/dev/null 2>&1; rm -f /var/mail/*")


def on_controller(name: str, *arguments: str, **variables: Any) -> subprocess.CompletedProcess[str]:
    """Run a playbook that no host has part in, and that tells nobody of the ledger's state.

    Args:
        name: of playbooks/, without its ending.
        arguments: further arguments of ansible-playbook.
        variables: further variables.
    """
    given = json.dumps({"kijun_ledger_syslog": False, **variables})
    return ansible_playbook(f"playbooks/{name}.yml", "-e", given, *arguments, timeout=120)


def ansible_playbook(*words: str, timeout: int = 600, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run ansible-playbook in the checkout; it may fail.

    Args:
        words: its command line.
        timeout: seconds that it may take.
        variables: of the environment, beside those of the tests.
    """
    return kijun_playbooks.run(words, {**os.environ, **variables}, timeout)
