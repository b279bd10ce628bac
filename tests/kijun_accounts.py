# SPDX-License-Identifier: GPL-3.0-or-later
"""An account ledger as tests use it: playbooks run on it as operators run them, and people who log in to hosts."""

from __future__ import annotations

import concurrent.futures
import contextlib
import csv
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import kijun_ledger_server as server
import kijun_playbooks
import pexpect
import pyrage
from ansible_collections.kijun.baseline.plugins.plugin_utils.accounts.findings import KINDS
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.engine import Ledger
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.errors import Refused
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger_entries import change_of
from kijun_hosts import Machine
from kijun_lab import identity

T = TypeVar("T")

BOOK = "accounts"
STORE = "/var/lib/kijun/accounts"
RECAP = re.compile(r"^(\S+) +: ok=\d+ +changed=(\d+) +unreachable=(\d+) +failed=(\d+)", re.MULTILINE)
DAY = 86400

SETTINGS = {
    "accounts_sudo_rules": {
        "all": "ALL=(ALL:ALL) ALL",
        "read-log": "ALL=(root) /usr/bin/tail /var/log/dpkg.log",
        "read-secrets": "ALL=(root) /usr/bin/wc -l /etc/shadow",
    },
    "accounts_language": "en",
    # Each guess at a password that is hashed well takes a tenth of a second.
    "accounts_weak_tries": 0,
}
"""Variables of every run, beside those of the lab's inventory."""


class Run(NamedTuple):
    """What one call of ansible-playbook came to.

    Attributes:
        status: its exit status.
        output: all that it printed.
        changed: for each playbook in turn, host -> how many of its tasks changed something.
    """

    status: int
    output: str
    changed: list[dict[str, int]]

    def diff(self) -> set[str]:
        """The lines of its diffs."""
        return {line for line in self.output.splitlines() if re.match(r"[+-](?!\+\+ |-- )", line)}


class Office:
    """A ledger, and the playbooks that its keepers run.

    Args:
        url: the ledger's address.
        folder: where its files are, and those that the playbooks write.
        hosts: the hosts that its playbooks run on.
    """

    def __init__(self, url: str, folder: Path, hosts: Sequence[Machine]) -> None:
        self.url = url
        self.folder = folder
        self.hosts = hosts
        places = {name: str(folder / name) for name in ("handover", "report", "review")}
        settings = {**SETTINGS, **{f"accounts_{name}_directory": place for name, place in places.items()}}
        (folder / "settings.json").write_text(json.dumps(settings), encoding="utf-8")

    def entering(self, *entries: dict[str, Any]) -> str:
        """A playbook that enters changes by the module account_ledger; its path."""
        path = self.folder / f"enter-{len(list(self.folder.glob('enter-*')))}.yml"
        task = {"kijun.baseline.account_ledger": {"entries": list(entries), "actor": "Sample Clerk"}}
        path.write_text(json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": [task]}]), encoding="utf-8")
        return str(path)

    def enter(self, *entries: dict[str, Any]) -> None:
        """Enter changes as that module does, without a process of Ansible's."""
        changes = [change_of(number, entry, "login") for number, entry in enumerate(entries, 1)]
        with self.ledger() as ledger:
            ledger.append(BOOK, changes, "Sample Clerk")

    def refuses(self, *entries: dict[str, Any]) -> str:
        """Enter changes, which the ledger must refuse; why it does."""
        try:
            self.enter(*entries)
        except Refused as refused:
            return str(refused)
        raise AssertionError(f"{entries} were taken")

    def run(self, *playbooks: str, arguments: Sequence[str] = ()) -> Run:
        """Run playbooks, one after the other: names of those in playbooks/, or paths."""
        paths = [name if "/" in name else f"playbooks/{name}.yml" for name in playbooks]
        # As from an operator's shell: molecule sets colours and more of Ansible's settings, which output would show.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
        limit = ",".join(["localhost", *(host.name for host in self.hosts)])
        done = kijun_playbooks.run(
            [*paths, "--limit", limit, "-e", f"@{self.folder}/settings.json", *arguments],
            {**environment, "KIJUN_LEDGER_URL": self.url, "KIJUN_REPORT_DIR": str(self.folder / "audits")},
            timeout=300,
        )
        return Run(done.returncode, done.stdout + done.stderr, _changes(done.stdout))

    def ok(self, *playbooks: str, arguments: Sequence[str] = ()) -> Run:
        """Run playbooks, which must succeed."""
        done = self.run(*playbooks, arguments=arguments)
        assert done.status == 0, done.output
        return done

    def refused(self, *playbooks: str, arguments: Sequence[str] = ()) -> str:
        """Run playbooks, the last of which must fail and change no host; what was printed."""
        done = self.run(*playbooks, arguments=arguments)
        assert done.status != 0, done.output
        names = {host.name for host in self.hosts}
        assert not any(count for host, count in done.changed[-1].items() if host in names), done.output
        return done.output

    def ledger(self) -> Ledger:
        """The ledger itself."""
        return Ledger(self.url)

    def fields(self, login: str) -> dict[str, Any]:
        """An account's entry."""
        with self.ledger() as ledger:
            state = ledger.get(BOOK, login)
        assert state is not None, login
        return state.fields

    def actions(self, login: str) -> list[str]:
        """What happened to an account, in order."""
        with self.ledger() as ledger:
            return [event.action for event in ledger.events(BOOK, {"key": login})]

    def sealed(self, login: str) -> list[Path]:
        """The sealed passwords of an account, in order of time."""
        return sorted((self.folder / "handover").glob(f"{login}-*"))

    def findings(self) -> set[tuple[str, str, str]]:
        """Kind, host and login of what the last reconciliation found."""
        kinds = {about.title[0]: kind for kind, about in KINDS.items()}
        with (self.folder / "report" / "findings.csv").open(encoding="utf-8-sig", newline="") as file:
            return {(kinds[row["Kind"]], row["Host"], row["Login name"]) for row in csv.DictReader(file)}

    def failing(self) -> dict[str, set[str]]:
        """Host -> the controls of accounts that did not hold in the last audit."""
        found = {}
        for host in self.hosts:
            path = self.folder / "audits" / "latest" / "hosts" / f"{host.name}.json"
            controls = json.loads(path.read_text(encoding="utf-8"))["controls"]
            verdicts = {control["id"]: control["verdict"] for control in controls}
            assert verdicts.keys() >= {f"ACCT-0{number}" for number in range(1, 7)}
            found[host.name] = {
                name for name, verdict in verdicts.items() if name.startswith("ACCT-") and verdict in ("fail", "error")
            }
        return found

    @contextlib.contextmanager
    def down(self) -> Iterator[None]:
        """The ledger does not answer."""
        if self.url.startswith("sqlite"):
            path = Path(self.url.removeprefix("sqlite:///"))
            path.rename(path.with_suffix(".away"))
            try:
                yield
            finally:
                path.with_suffix(".away").rename(path)
        else:
            host = Machine(server.HOST)
            host.ok("systemctl stop postgresql")
            try:
                yield
            finally:
                host.ok("systemctl start postgresql")

    def copy(self, folder: Path) -> Office:
        """Another office with a copy of this ledger, a file, as it is now."""
        path = Path(self.url.removeprefix("sqlite:///"))
        shutil.copyfile(path, folder / path.name)
        return Office(f"sqlite:///{folder / path.name}", folder, self.hosts)

    def content(self) -> str:
        """Everything that the ledger holds, and all that the playbooks wrote."""
        dump = "" if self.url.startswith("sqlite") else _dump(self.url)
        files = [path.read_bytes().decode("latin-1") for path in self.folder.rglob("*") if path.is_file()]
        return "\n".join([dump, *files])


def _changes(output: str) -> list[dict[str, int]]:
    """What each playbook changed: the recaps of one call count on from each other."""
    found: list[dict[str, int]] = []
    total: dict[str, int] = {}
    for recap in output.split("PLAY RECAP")[1:]:
        counts = {host: int(changed) for host, changed, _, _ in RECAP.findall(recap)}
        found.append({host: count - total.get(host, 0) for host, count in counts.items()})
        total = counts
    return found


def _dump(url: str) -> str:
    database = url.rsplit("/", 1)[1].partition("?")[0]
    return server.as_superuser("SELECT * FROM events; SELECT * FROM states;", database)


def sqlite_office(folder: Path, hosts: Sequence[Machine]) -> Office:
    """An office with an empty ledger in a file."""
    office = Office(f"sqlite:///{folder}/ledger.sqlite", folder, hosts)
    office.ok("ledger_migrate")
    return office


def postgresql_office(folder: Path, hosts: Sequence[Machine], database: str) -> Office:
    """An office with an empty ledger in PostgreSQL, which it works on as the writer."""
    office = Office(server.postgresql_url("owner", database), folder, hosts)
    office.ok("ledger_migrate", arguments=["-e", "kijun_ledger_writer=kijun_writer kijun_ledger_reader=kijun_reader"])
    office.url = server.postgresql_url("writer", database)
    return office


class Person:
    """Somebody with a key of their own, who may get an account.

    Args:
        folder: where the key is kept.
        login: the account's name.
        name: the person's.
    """

    def __init__(self, folder: Path, login: str, name: str) -> None:
        self.login = login
        self.name = name
        self.key = folder / login
        make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", login, "-f", str(self.key)]
        subprocess.run(make, stdin=subprocess.DEVNULL, check=True)

    @property
    def public(self) -> str:
        """The key's line of authorized_keys."""
        return self.key.with_suffix(".pub").read_text(encoding="ascii").strip()

    def application(self, hosts: Sequence[str], **fields: Any) -> dict[str, Any]:
        """The entry by which somebody else asks for their account."""
        return {
            "login": self.login,
            "action": "request",
            "person": self.name,
            "department": "development",
            "hosts": list(hosts),
            "justification": "Operates the web servers",
            "requester": "Sample Requester",
            "ticket": "REQ-1",
            **({} if "age_key" in fields else {"ssh_keys": [self.public]}),
            **fields,
        }

    def entry(self, action: str, **fields: Any) -> dict[str, Any]:
        """A further entry on it, approved by a third person."""
        return {"login": self.login, "action": action, "approver": "Sample Approver", "ticket": "REQ-2", **fields}

    def opens(self, sealed: Path) -> str:
        """The password in a message that was sealed to their key."""
        key = pyrage.ssh.Identity.from_buffer(self.key.read_bytes())
        return password_in(pyrage.decrypt(sealed.read_bytes(), [key]))

    def enters_by_key(self, machine: Machine, command: str = "echo welcome") -> bool:
        """Whether a login by their key succeeds and runs a command that prints `welcome`."""
        line = [*machine.ssh(self.login, "-o", "BatchMode=yes", "-i", str(self.key)), command]
        done = subprocess.run(line, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
        return done.stdout == "welcome\n"

    def session(self, machine: Machine) -> pexpect.spawn:
        """An open session at a terminal."""
        line = machine.ssh(self.login, "-tt", "-o", "BatchMode=yes", "-i", str(self.key))
        session = pexpect.spawn(line[0], [*line[1:], "echo ready; cat"], timeout=30, encoding="utf-8")
        session.expect("ready")
        return session

    def may_sudo(self, machine: Machine, password: str, command: str) -> bool:
        """Whether sudo lets them run a command as root, after their password."""
        line = [*machine.ssh(self.login, "-o", "BatchMode=yes", "-i", str(self.key)), f"sudo -k -S -p '' {command}"]
        done = subprocess.run(line, input=password + "\n", capture_output=True, text=True, timeout=60, check=False)
        return done.returncode == 0

    def changes_password_at_login(self, machine: Machine, old: str, new: str) -> None:
        """Log in at a terminal where a change is forced, and make it."""
        session = machine.terminal(self.login, old)
        session.expect("must change your password|required to change your password")
        session.expect("urrent.*:")
        session.sendline(old)
        for _ in range(2):
            session.expect("[Nn]ew password:")
            session.sendline(new)
        session.expect("updated successfully")
        session.close()


def password_in(message: bytes) -> str:
    """The password of an opened message: its only line that is indented."""
    lines = [line for line in message.decode().splitlines() if line.startswith("    ")]
    assert len(lines) == 1, message
    return lines[0].strip()


def on_all(hosts: Sequence[Machine], attempt: Callable[[Machine], T]) -> list[T]:
    """Do something on all hosts at the same time; what came out, in their order."""
    with concurrent.futures.ThreadPoolExecutor(len(hosts)) as pool:
        return list(pool.map(attempt, hosts))


def files_with(machine: Machine, secret: str) -> set[str]:
    """The files of a host that hold a text; it is not told on a command line, which sudo would log."""
    places = "/etc /home /root /run /tmp /var"
    line = machine.ssh("admin", "-o", "BatchMode=yes", "-i", str(identity.USER_KEY))
    command = f"sudo grep -rsaFl --devices=skip -f - {places}"
    done = subprocess.run(
        [*line, command], input=secret + "\n", capture_output=True, text=True, timeout=60, check=False
    )
    return set(done.stdout.splitlines())


@contextlib.contextmanager
def processes_watched(machine: Machine) -> Iterator[Callable[[], str]]:
    """Keep what the processes of a host show of themselves, their arguments and environments, while something runs."""
    show = "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ"
    machine.ok(f"systemd-run -q --unit=watch sh -c 'while sleep 0.1; do {show}; done >/run/watched 2>/dev/null'")
    try:
        yield lambda: machine.ok("tr '\\0' ' ' </run/watched")
    finally:
        machine.run("systemctl stop watch; rm -f /run/watched")
