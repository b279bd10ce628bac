# SPDX-License-Identifier: GPL-3.0-or-later
"""The main job on real hosts: audit, enforce, audit again, enforce again, attack, break, infect; it leaves reports."""

from __future__ import annotations

import argparse
import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from kijun_lab import description, hosts, identity

from . import outside_auditor
from .demo_accounts import CHECKPOINTS, HOSTS, LOGIN, ROGUE, Accounts
from .demo_change import DAMAGE, SERVICE, STATE, Change
from .demo_malware import HOST as INFECTED
from .demo_malware import Malware

ROOT = Path(__file__).resolve().parents[2]
REPORTS = ROOT / "reports" / "demo"
"""A folder of its own: `make demo-down` removes it, and nobody else's audits with it."""
INSTANCE = "0"
TARGET = "server13"
PERSON = "demo"


class DemoError(Exception):
    """Something did not come out as it should; the text says what."""


class Clock:
    """Prints headlines with the time since the start."""

    def __init__(self) -> None:
        self.started = time.monotonic()

    def headline(self, text: str) -> None:
        """Print one."""
        seconds = int(time.monotonic() - self.started)
        print(f"\n[{seconds // 60}:{seconds % 60:02d}] {text}", flush=True)


def run(*command: str, environment: dict[str, str] | None = None) -> None:
    """Run a command of the checkout with its output shown.

    Raises:
        DemoError: it failed.
    """
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **(environment or {})}, check=False)
    if done.returncode:
        raise DemoError(f"{' '.join(command)}: exit status {done.returncode}")


def playbook(name: str, *arguments: str, **environment: str) -> None:
    """Run a playbook on the whole lab."""
    run("ansible-playbook", f"playbooks/{name}.yml", *arguments, environment=environment)


def failing_playbook(name: str, *arguments: str, **environment: str) -> str:
    """Run a playbook that must fail, and give what it printed, of which the end is shown.

    Raises:
        DemoError: it did not fail.
    """
    command = ("ansible-playbook", f"playbooks/{name}.yml", *arguments)
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    said = done.stdout + done.stderr
    print(said, flush=True)
    if not done.returncode:
        raise DemoError(f"{name}.yml went well, and should not have")
    return said


def latest_run() -> Path:
    """The folder of the newest audit."""
    return (REPORTS / "latest").resolve()


def verdicts(audit: Path) -> dict[str, int]:
    """How many controls of all hosts ended how in an audit."""
    counts: dict[str, int] = {}
    for file in (audit / "hosts").glob("*.json"):
        for control in json.loads(file.read_text(encoding="utf-8"))["controls"]:
            counts[control["verdict"]] = counts.get(control["verdict"], 0) + 1
    return counts


def changed_tasks(names: Iterable[str]) -> int:
    """Run site.yml and count the tasks that changed something, over all hosts."""
    done = subprocess.run(
        ["ansible-playbook", "playbooks/site.yml"],
        cwd=ROOT,
        env={**os.environ, "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json"},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    output = done.stdout
    if done.returncode:
        raise DemoError(f"the second run failed:\n{output}")
    stats = json.JSONDecoder().raw_decode(output[output.index("{") :])[0]["stats"]
    return sum(stats[name]["changed"] for name in names)


def logs_in(address: str, password: str) -> bool:
    """Whether the demo's person gets in with a password over SSH."""
    options = [
        f"UserKnownHostsFile={identity.KNOWN_HOSTS}",
        "StrictHostKeyChecking=yes",
        "PreferredAuthentications=password",
        "PubkeyAuthentication=no",
        "NumberOfPasswordPrompts=1",
    ]
    given = [word for option in options for word in ("-o", option)]
    command = ["sshpass", "-e", "ssh", *given, f"{PERSON}@{address}", "true"]
    done = subprocess.run(
        command, env={**os.environ, "SSHPASS": password}, stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    return done.returncode == 0


def on_target(command: str, given: str | None = None) -> None:
    """Run a shell command as root on the attacked host."""
    subprocess.run(
        ["lab/lab", "exec", TARGET, "--", "sh", "-c", command], cwd=ROOT, input=given, text=True, check=True, timeout=60
    )


def told_by_target(command: str) -> str:
    """What a shell command as root on the attacked host prints; it may fail."""
    return told_by(TARGET, command)


def told_by(host: str, command: str) -> str:
    """What a shell command as root on a host prints; it may fail."""
    done = subprocess.run(
        ["lab/lab", "exec", host, "--", "sh", "-c", command],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return done.stdout.strip()


def attack(address: str) -> None:
    """Ten wrong passwords lock an account, the right one is then refused, and an administrator lifts the lock.

    Raises:
        DemoError: one of these did not hold.
    """
    password = f"{secrets.token_urlsafe(12)}#aZ9"
    on_target(
        f"userdel -rf {PERSON} 2>/dev/null; rm -f /var/lib/faillock/{PERSON}; useradd -m -G users {PERSON}; chpasswd",
        f"{PERSON}:{password}\n",
    )
    if not logs_in(address, password):
        raise DemoError("the right password is refused before the attack")
    print("  the right password: let in")
    for attempt in range(1, 11):
        if logs_in(address, f"Guess-number-{attempt}!"):
            raise DemoError(f"wrong password {attempt} was let in")
        print(f"  wrong password {attempt:2}: refused", flush=True)
    if logs_in(address, password):
        raise DemoError("ten wrong passwords did not lock the account")
    print("  the right password: refused, the account is locked")
    on_target(f"faillock --user {PERSON} --reset")
    if not logs_in(address, password):
        raise DemoError("the administrator could not lift the lock")
    print("  an administrator lifts the lock (faillock --user demo --reset); the right password: let in")
    on_target(f"userdel -rf {PERSON} 2>/dev/null")


def outside_opinion(
    servers: list[str], before: dict[str, outside_auditor.Opinion]
) -> dict[str, outside_auditor.Opinion]:
    """Print what an auditor that knows nothing of Kijun says of the servers, beside what it said before.

    Args:
        servers: names of hosts.
        before: what this gave earlier; empty the first time.
    """
    opinions = outside_auditor.ask_all(servers)
    for host, opinion in opinions.items():
        earlier = f"{before[host].index} before, now " if host in before else ""
        print(f"  {host:9} hardening index {earlier}{opinion.index}, {len(opinion.left)} tests with suggestions")
    return opinions


def begin(clock: Clock, accounts: Accounts) -> None:
    """An account is asked for, approved, made, handed over and used.

    Raises:
        DemoError: one of these did not come out.
    """
    clock.headline("The account ledger: somebody asks for an account, and nobody has approved it yet")
    accounts.apply_for_it()
    accounts.playbook("accounts")
    if accounts.logs_in(TARGET):
        raise DemoError("an account was made that nobody approved")
    clock.headline(f"Approved: it is made on {', '.join(HOSTS)}, its initial password sealed to the person's key")
    accounts.approve()
    accounts.playbook("accounts")
    print(f"  opened with the person's key: {accounts.opened()}")
    if not all(accounts.logs_in(host) for host in HOSTS):
        raise DemoError("the person cannot log in")
    print(f"  {LOGIN} logs in on {', '.join(HOSTS)}")


def reconcile(clock: Clock, accounts: Accounts) -> None:
    """An account that somebody made by hand is found.

    Raises:
        DemoError: it is not.
    """
    clock.headline(f"Somebody makes an account by hand on {TARGET}: the reconciliation finds it")
    on_target(f"useradd -m {ROGUE}")
    accounts.playbook("accounts_audit")
    if ROGUE not in (REPORTS / "findings.csv").read_text(encoding="utf-8-sig"):
        raise DemoError("the account that somebody made by hand was not found")
    on_target(f"userdel -r {ROGUE} 2>/dev/null; ! getent passwd {ROGUE}")


def end(clock: Clock, accounts: Accounts) -> None:
    """The person leaves: closed everywhere in one run, then removed; the ledger is proven.

    Raises:
        DemoError: one of these did not come out.
    """
    clock.headline("The person leaves: closed on all hosts in one run, later removed, the home kept as an archive")
    accounts.leave()
    accounts.playbook("accounts")
    if any(accounts.logs_in(host) for host in HOSTS):
        raise DemoError("the leaver still logs in")
    print(f"  {LOGIN} is refused on {', '.join(HOSTS)}")
    accounts.remove()
    accounts.playbook("accounts")
    on_target(f"! getent passwd {LOGIN} && ls /var/lib/kijun/accounts/archive")
    clock.headline("Was the ledger altered? Verified against its checkpoints, without Ansible; then its page")
    run("tools/kijun-ledger", "verify", "--checkpoints", str(REPORTS / CHECKPOINTS))
    accounts.playbook("accounts_audit")


def break_and_take_back(clock: Clock, change: Change) -> None:
    """A change that breaks a service is taken back by itself, to the last byte.

    Raises:
        DemoError: it is not.
    """
    clock.headline(f"Backups: {TARGET} backs itself up to another host, where it can delete nothing")
    change.prepare()
    clock.headline(f"A bad change of {TARGET}: it breaks and removes the time service, and is taken back")
    before = told_by_target(STATE)
    print("\n".join(("  the change:", *(f"    {line}" for line in DAMAGE))))
    said = change.go_wrong()
    ended = json.loads(told_by_target("kijun-change status"))["last"]
    after, runs = told_by_target(STATE), told_by_target(f"systemctl is-active {SERVICE}")
    if ended["outcome"] != "rolled_back" or "taken back" not in said:
        raise DemoError(f"the change was not taken back: {ended['outcome']}")
    if after != before or runs != "active":
        raise DemoError(f"{TARGET} is not what it was: {before} before, {after} now, {SERVICE} is {runs}")
    print("  (what does not hold there yet, BKP, are the first night's backups and their proofs)")
    print(f"  every file of the system and every package, before: {before.split()[0]}")
    print(f"  and now:                                            {after.split()[0]}; {SERVICE} is {runs}")
    clock.headline("The operations journal: who ran what, what came of it, and what was taken back")
    playbook(
        "operations_report",
        "-e",
        json.dumps(
            {
                "operations_journal_directory": str(REPORTS / "operations"),
                "operations_journal_month": time.strftime("%Y-%m"),
            }
        ),
    )


def find_and_release(clock: Clock, malware: Malware) -> None:
    """Malware is blocked, becomes an incident, its host is cut off, and let back by a second person.

    Raises:
        DemoError: one of these did not come out.
    """
    clock.headline(f"Antimalware: {INFECTED} takes signed definitions from an internal server, over TLS")
    malware.prepare()
    clock.headline(f"A user of {INFECTED} is sent malware (the vendors' test file), and opens it")
    said = malware.arrives()
    print(f"  the user is told: {said}")
    # Most often it is in quarantine before anybody can open it.
    if "not permitted" not in said and "No such file" not in said:
        raise DemoError("the file was opened")
    clock.headline("The find becomes an incident; the host is cut off, scanned whole, and evidence is kept")
    incident = malware.incident()
    malware.respond(incident)
    if not malware.is_cut_off():
        raise DemoError(f"{INFECTED} is not cut off")
    clock.headline("Who cut it off does not let it back alone; another person does")
    malware.ask_for_release(incident)
    if "another person" not in " ".join(malware.is_refused(incident).split()) or not malware.is_cut_off():
        raise DemoError(f"{INFECTED} was let back by one person alone")
    malware.release(incident)
    if malware.is_cut_off():
        raise DemoError(f"{INFECTED} was not let back")
    malware.report(incident)


def demo() -> None:
    """Show the whole job.

    Raises:
        DemoError: something did not come out as it should.
    """
    clock = Clock()
    lab = description.read(int(INSTANCE))
    clock.headline("The lab: servers, clients, a time server and a database server, fresh, with real systemd and sshd")
    run("lab/lab", "reset")
    for left_over in (*REPORTS.glob("ledger.sqlite*"), *REPORTS.glob(CHECKPOINTS), *REPORTS.glob("handover/*")):
        left_over.unlink()  # of a demo before this one
    REPORTS.mkdir(parents=True, exist_ok=True)
    clock.headline("The ledger: exceptions and accounts will stand in it; now it is empty")
    playbook("ledger_migrate")
    clock.headline("Audit of the hosts as Debian installs them")
    playbook("audit")
    before = latest_run()
    if not verdicts(before).get("fail"):
        raise DemoError("the stock hosts do not fail")
    # One of each release: it takes half a minute of a processor for each.
    by_release = {host.image: host.name for host in reversed(lab.hosts.values()) if "servers" in host.groups}
    servers = sorted(by_release.values())
    clock.headline("What an outside auditor, lynis, says of the servers as Debian installs them")
    stock = outside_opinion(servers, {})
    clock.headline("Bring them to the baseline")
    playbook("site")
    clock.headline("What the outside auditor says now; docs/lynis.md has the reason for each suggestion left open")
    hardened = outside_opinion(servers, stock)
    if any(opinion.index <= stock[host].index for host, opinion in hardened.items()):
        raise DemoError("the outside auditor sees no difference")
    accounts = Accounts(REPORTS, playbook, {host.name: host.address for host in lab.hosts.values()})
    begin(clock, accounts)
    reconcile(clock, accounts)
    clock.headline("Audit again")
    playbook("audit", KIJUN_REPORT_BEFORE=str(before))
    audited = latest_run()
    after = verdicts(audited)
    if set(after) - {"pass", "not_applicable"}:
        raise DemoError(f"not everything holds: {after}")
    clock.headline("Bring them to the baseline a second time")
    changed = changed_tasks(host.name for host in lab.hosts.values() if host.groups)
    print(f"  {changed} changes")
    if changed:
        raise DemoError("the second run changed something")
    clock.headline(f"Attack: guess a password on {TARGET}")
    attack(lab.hosts[TARGET].address)
    end(clock, accounts)
    break_and_take_back(clock, Change(REPORTS, playbook, failing_playbook))
    find_and_release(clock, Malware(REPORTS, playbook, failing_playbook, told_by))
    clock.headline(f"Done: all {after['pass']} controls of six hosts hold")
    print(f"Report, before and after: {audited / 'report.html'}")
    print(f"The account ledger: {REPORTS / 'ledger.html'}; hosts against it: {REPORTS / 'reconciliation.html'}")
    print(f"The operations journal of this month: {REPORTS / 'operations'}; malware: {REPORTS / 'malware'}")
    print("The lab stays up: make lab-status, make lab-shell HOST=server13; make demo-down removes it.")


def down() -> None:
    """Remove everything that the demo made: hosts, images and reports."""
    others = [number for number in hosts.instances() if str(number) != INSTANCE]
    if others:
        run("lab/lab", "down")
        print(f"The lab's images stay: instance {', '.join(map(str, others))} uses them (lab/lab down --all).")
    else:
        run("lab/lab", "down", "--all")
    shutil.rmtree(REPORTS, ignore_errors=True)


def main() -> int:
    """The command ``tools/demo [down]``."""
    parser = argparse.ArgumentParser(prog="tools/demo", description="Show the main job on the embedded lab.")
    parser.add_argument("action", nargs="?", choices=["up", "down"], default="up")
    action = parser.parse_args().action
    os.environ.update({"KIJUN_LAB": INSTANCE, "PATH": f"{ROOT / '.venv' / 'bin'}:{os.environ['PATH']}"})
    os.environ["KIJUN_REPORT_DIR"] = str(REPORTS)
    os.environ["KIJUN_LEDGER_URL"] = f"sqlite:///{REPORTS / 'ledger.sqlite'}"
    os.environ.pop("KIJUN_REPORT_BEFORE", None)
    try:
        if action == "down":
            down()
        else:
            demo()
    except DemoError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
