# SPDX-License-Identifier: GPL-3.0-or-later
"""Accounts from the ledger to hosts and back: a person's whole life, what somebody did by hand, adoption and review."""

from __future__ import annotations

import datetime
import json
import re
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kijun_ledger_server as server
import openpyxl
import pexpect
import pyrage
import pytest
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.books.accounts import Accounts
from kijun_accounts import (
    BOOK,
    DAY,
    STORE,
    Office,
    Person,
    files_with,
    on_all,
    password_in,
    postgresql_office,
    processes_watched,
    sqlite_office,
)

from .conftest import ROOT, Machine

HOSTS = ("server12", "server13", "client13")
FILES = "/etc/passwd /etc/shadow /etc/group /etc/gshadow /etc/sudoers.d /home/*/.ssh /var/spool/cron/crontabs"
"""What of a host tells who may do what there."""

FIRST_CHANGE = "Bring the host's accounts to it"
"""The first task of the role that can change a host."""

CHOSEN = "Tsuru#gaOka-0!"
CHOSEN_LATER = "Kita!mura#7x-9"
"""Passwords that a person chooses."""


@pytest.fixture(scope="module")
def hosts() -> list[Machine]:
    """Three hosts of Debian 12 and 13, which have crontab(1)."""
    command = ["lab/lab", "up", *HOSTS]
    subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, check=True, capture_output=True, timeout=300)
    machines = [Machine(name) for name in HOSTS]
    install = "command -v crontab || { apt-get -q update && apt-get install -yq --no-install-recommends cron; }"
    on_all(machines, lambda machine: machine.ok(install))
    on_all(machines, clean)
    return machines


@pytest.fixture(scope="module")
def served() -> None:
    """The lab's PostgreSQL runs."""
    server.serve()


def clean(machine: Machine) -> None:
    """Leave nobody on a host but the account that Ansible logs in with, and no trace of a ledger."""
    people = "awk -F: '$3 >= 1000 && $3 < 60000 && $1 != \"admin\" {print $1}' /etc/passwd"
    machine.run(f"for name in $({people}); do pkill -KILL -u $name; crontab -r -u $name; userdel -rf $name; done")
    machine.ok(f"rm -rf {STORE} /etc/sudoers.d/kijun-accounts /home/.kijun-*")


@pytest.fixture
def office(request: pytest.FixtureRequest, hosts: list[Machine], tmp_path: Path) -> Iterator[Office]:
    """An office with an empty ledger in the database that the test names, and three empty hosts."""
    if request.param == "sqlite":
        yield sqlite_office(tmp_path, hosts)
    else:
        request.getfixturevalue("served")
        database = server.fresh_database()
        yield postgresql_office(tmp_path, hosts, database)
        server.drop_database(database)
    on_all(hosts, clean)


# --- a person's whole life


@pytest.mark.control("ACCT-01", "ACCT-03", "ACCT-04", "ACCT-05", "ACCT-06", "ACCT-07", "ACCT-09")
@pytest.mark.parametrize(
    ("office", "login"), [("sqlite", "tanaka"), ("postgresql", "suzuki")], indirect=["office"], ids=lambda name: name
)
def test_a_persons_whole_life(office: Office, login: str, tmp_path: Path) -> None:
    person = Person(tmp_path, login, "Sample Person")
    somebody_asks_and_nothing_happens_before_another_approves(office, person)
    it_is_created_on_three_hosts_in_one_run_and_no_secret_shows(office, person)
    the_first_login_forces_a_new_password(office, person)
    rights_come_and_go(office, person)
    a_password_is_reissued_after_an_identity_check_only(office, person)
    it_is_suspended_when_nobody_uses_it(office, person)
    it_comes_back_by_approval(office, person)
    the_leaver_is_out_within_one_run(office, person)
    it_is_removed_and_its_home_kept(office, person)
    the_ledger_tells_it_all(office, person)


def stage(office: Office, *entries: dict[str, Any]) -> None:
    """Enter changes, see what a check foresees, bring hosts to it, and see that a second run finds nothing to do."""
    office.enter(*entries)
    foresees = office.url.startswith("sqlite")  # which database says it makes no difference on hosts
    foreseen = office.ok("accounts", arguments=["--check", "--diff"]) if foresees else None
    done = office.ok("accounts", "accounts", arguments=["--diff"])
    assert all(done.changed[0][name] for name in HOSTS), done.output
    assert not any(done.changed[1].values()), done.output
    if foreseen:
        assert foreseen.changed[0] == done.changed[0]
        assert foreseen.diff() == done.diff() != set()


def is_there(machine: Machine, login: str) -> bool:
    return machine.run(f"getent passwd {login}").rc == 0


def somebody_asks_and_nothing_happens_before_another_approves(office: Office, person: Person) -> None:
    nobody = [False] * len(HOSTS)
    office.ok(office.entering(person.application(HOSTS)), "accounts")
    assert office.fields(person.login)["status"] == "requested"
    assert on_all(office.hosts, lambda host: is_there(host, person.login)) == nobody
    assert "SM-4.1.1-1a" in office.refused(office.entering(person.entry("approve", approver="Sample Requester")))
    for approver in (person.name, person.login, ""):
        assert "approver" in office.refuses(person.entry("approve", approver=approver))
    office.ok(office.entering(person.entry("approve")))
    with office.down():
        assert FIRST_CHANGE not in office.refused("accounts")
    assert on_all(office.hosts, lambda host: is_there(host, person.login)) == nobody


def it_is_created_on_three_hosts_in_one_run_and_no_secret_shows(office: Office, person: Person) -> None:
    foreseen = office.ok("accounts", arguments=["--check", "--diff"])
    assert on_all(office.hosts, lambda host: is_there(host, person.login)) == [False] * 3
    assert office.sealed(person.login) == []
    with processes_watched(office.hosts[0]) as shown:
        done = office.ok("accounts", "accounts", arguments=["--diff", "-vvv"])
        processes = shown()
    assert foreseen.changed[0] == done.changed[0]
    assert not any(done.changed[1].values()), done.output
    [sealed] = office.sealed(person.login)
    assert sealed.stat().st_mode & 0o777 == 0o600
    password = person.opens(sealed)
    hashes = on_all(office.hosts, lambda host: host.ok(f"getent shadow {person.login}").split(":")[1])
    assert len(set(hashes)) == 1
    assert "python3" in processes, "the run's own processes were not seen"
    journals = "\n".join(on_all(office.hosts, lambda host: host.ok("journalctl --no-pager")))
    for secret in (password, hashes[0]):
        assert secret not in done.output + foreseen.output + processes + journals + office.content()
    assert on_all(office.hosts, lambda host: files_with(host, password)) == [set()] * 3
    assert on_all(office.hosts, lambda host: files_with(host, hashes[0])) == [{"/etc/shadow"}] * 3
    assert office.fields(person.login)["status"] == "active"
    assert sorted(office.fields(person.login)["issued"]) == sorted(HOSTS)
    assert office.actions(person.login) == ["request", "approve", "activate", "issue"]


def the_first_login_forces_a_new_password(office: Office, person: Person) -> None:
    password = person.opens(office.sealed(person.login)[-1])

    def first_login(host: Machine) -> None:
        assert not host.logs_in(person.login, password), "a command ran before the password was changed"
        person.changes_password_at_login(host, password, CHOSEN)
        assert host.logs_in(person.login, CHOSEN)
        assert person.enters_by_key(host)
        assert not host.logs_in(person.login, password)

    on_all(office.hosts, first_login)


def rights_come_and_go(office: Office, person: Person) -> None:
    log, secrets = "/usr/bin/tail /var/log/dpkg.log", "/usr/bin/wc -l /etc/shadow"
    stage(office, person.entry("change", groups=["adm"], sudo=["read-log"]))

    def first_rights(host: Machine) -> None:
        assert person.enters_by_key(host, "id -nG | grep -qw adm && echo welcome")
        assert person.may_sudo(host, CHOSEN, log)
        assert not person.may_sudo(host, CHOSEN, secrets)

    on_all(office.hosts, first_rights)
    stage(office, person.entry("change", groups=[], sudo=["read-secrets"], ticket="REQ-3"))

    def other_rights(host: Machine) -> None:
        assert not person.enters_by_key(host, "id -nG | grep -qw adm && echo welcome")
        assert person.may_sudo(host, CHOSEN, secrets)
        assert not person.may_sudo(host, CHOSEN, log)

    on_all(office.hosts, other_rights)


def a_password_is_reissued_after_an_identity_check_only(office: Office, person: Person) -> None:
    assert "identity_check" in office.refuses(person.entry("reissue", ticket="REQ-4"))
    stage(office, person.entry("reissue", ticket="REQ-4", identity_check="Came in person with the staff card"))
    assert office.fields(person.login)["identity_check"] == "Came in person with the staff card"
    first, second = (person.opens(sealed) for sealed in office.sealed(person.login))
    assert first != second

    def login(host: Machine) -> None:
        assert not host.logs_in(person.login, CHOSEN)
        person.changes_password_at_login(host, second, CHOSEN_LATER)
        assert host.logs_in(person.login, CHOSEN_LATER)

    on_all(office.hosts, login)


def after(days: int) -> list[str]:
    """The reconciliation as it will judge some days from now, if nothing happens until then."""
    ignored = [{"name": "admin", "reason": "the account that Ansible logs in with"}]
    options = {"unused_days": 90, "never_changed_days": 7, "ignored": ignored, "now": int(time.time()) + days * DAY}
    return ["-e", json.dumps({"__accounts_options": options})]


def it_is_suspended_when_nobody_uses_it(office: Office, person: Person) -> None:
    login = person.login
    session = person.session(office.hosts[2])
    done = office.ok("accounts_audit", arguments=[*after(91), "-e", "accounts_suspend_unused=true"])
    assert office.findings() == {("unused", "server12", login), ("unused", "server13", login)}
    assert not any(done.changed[0].values()), "it was suspended while somebody is logged in"
    session.close()
    for host in office.hosts:
        host.ok(f"echo '* * * * * date >> ticks' | crontab -u {login} -")
        assert person.enters_by_key(host, "setsid sleep 1000 </dev/null >/dev/null 2>&1 & echo welcome")
    assert office.fields(login)["status"] == "active"
    done = office.ok("accounts_audit", "accounts", arguments=[*after(91), "-e", "accounts_suspend_unused=true"])
    assert not any(done.changed[1].values()), done.output
    assert office.findings() == {("unused", host, login) for host in HOSTS}
    assert office.fields(login)["status"] == "suspended"
    assert office.fields(login)["status_reason"].startswith("unused since ")
    closed(office, person)
    for host in office.hosts:
        assert host.run(f"pgrep -u {login}").rc == 1
        assert "no crontab" in host.run(f"crontab -l -u {login}").stderr


def closed(office: Office, person: Person) -> None:
    """Nobody gets in, neither by password nor by key."""

    def attempts(host: Machine) -> None:
        assert not host.logs_in(person.login, CHOSEN_LATER)
        assert not person.enters_by_key(host)

    on_all(office.hosts, attempts)


def it_comes_back_by_approval(office: Office, person: Person) -> None:
    assert "only by approval" in office.refuses({"login": person.login, "action": "activate"})
    stage(office, person.entry("activate", ticket="REQ-5"))

    def login(host: Machine) -> None:
        assert host.logs_in(person.login, CHOSEN_LATER), "the password that the person had is gone"
        assert person.enters_by_key(host)
        assert "ticks" in host.ok(f"crontab -l -u {person.login}")

    on_all(office.hosts, login)


def the_leaver_is_out_within_one_run(office: Office, person: Person) -> None:
    for host in office.hosts:
        assert person.enters_by_key(host, "echo 'Plans of a leaver' > plans.txt && echo welcome")
    session = person.session(office.hosts[1])
    stage(office, person.entry("disable", status_reason="left on the last of the month"))
    session.expect(pexpect.EOF)
    closed(office, person)


def it_is_removed_and_its_home_kept(office: Office, person: Person) -> None:
    stage(office, person.entry("remove", status_reason="left; nothing is needed any more"))

    def nothing_is_left_but_the_archive(host: Machine) -> None:
        assert not is_there(host, person.login)
        host.ok(f"test ! -e /home/{person.login}")
        archives = host.ok(f"ls {STORE}/archive/{person.login}-*.tar.gz").split()
        assert len(archives) == 1
        assert host.ok(f"stat -c '%a %U' {archives[0]}") == "600 root\n"
        assert host.ok(f"tar xzOf {archives[0]} home/plans.txt") == "Plans of a leaver\n"

    on_all(office.hosts, nothing_is_left_but_the_archive)


def the_ledger_tells_it_all(office: Office, person: Person) -> None:
    with office.ledger() as ledger:
        verified = ledger.verify(BOOK)
        assert (verified.ok, verified.count) == (True, len(ledger.events(BOOK)))
        assert ledger.compare(BOOK) == []
        assert ledger.verify("reconciliations").count == 2
    assert office.fields(person.login)["status"] == "removed"
    assert office.actions(person.login) == [
        *("request", "approve", "activate", "issue", "change", "change", "reissue", "issue"),
        *("suspend", "activate", "disable", "remove"),
    ]


# --- hosts that were there before the ledger


@pytest.mark.control("ACCT-01", "ACCT-05")
@pytest.mark.parametrize("office", ["sqlite"], indirect=True)
def test_an_existing_host_is_adopted_and_a_weak_password_found(office: Office, tmp_path: Path) -> None:
    host = office.hosts[2]
    office.hosts = [host]
    person = Person(tmp_path, "tanaka", "Sample Person")
    host.ok("useradd -m -s /bin/bash -G adm -c 'Sample Person' tanaka")
    host.ok("useradd -m -s /bin/sh -e 2099-12-31 -c 'Another Person' suzuki")
    host.ok(f"printf '%s\\n' 'tanaka:{CHOSEN}' suzuki:suzuki1 | chpasswd")
    put_key(host, person)
    trying = ["-e", "accounts_weak_tries=40"]

    office.ok("accounts_audit", arguments=trying)
    unknown = {("unregistered", host.name, "tanaka"), ("unregistered", host.name, "suzuki")}
    assert office.findings() == {*unknown, ("weak", host.name, "suzuki")}
    host.ok(f"echo 'suzuki:{CHOSEN_LATER}' | chpasswd")
    before = content(host)
    sheet = tmp_path / "report" / "adoption.xlsx"
    bring_in = tmp_path / "import.yml"
    task = {"kijun.baseline.ledger_import": {"path": str(sheet), "actor": "Sample Clerk"}}
    bring_in.write_text(json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": [task]}]))
    assert "justification" in office.refused(str(bring_in))
    complete(sheet, "tanaka", department="development")
    complete(sheet, "suzuki", department="operations")

    done = office.ok(str(bring_in), "accounts", "accounts_audit", "accounts", arguments=trying)
    assert office.findings() == set()
    assert not any(done.changed[3].values())
    assert content(host) == before
    assert host.logs_in("tanaka", CHOSEN)
    assert person.enters_by_key(host)
    assert office.sealed("tanaka") == []
    assert office.fields("suzuki")["valid_until"] == "2099-12-30"
    assert office.fields("suzuki")["approver"] == "Sample Approver"
    office.ok("audit")
    assert office.failing() == {host.name: set()}


def put_key(machine: Machine, person: Person) -> None:
    """Let a person's key in, by hand."""
    folder = f"/home/{person.login}/.ssh"
    machine.ok(f"install -d -m 700 -o {person.login} -g {person.login} {folder}")
    machine.ok(f"echo '{person.public}' > {folder}/authorized_keys")
    machine.ok(f"chown {person.login}: {folder}/authorized_keys && chmod 600 {folder}/authorized_keys")


def complete(sheet: Path, login: str, **values: str) -> None:
    """Fill in what a proposal of an adoption leaves to people."""
    given = {
        "justification": "Operates the web servers",
        "requester": "Sample Requester",
        "approver": "Sample Approver",
        "ticket": "REQ-9",
        "valid_from": "2020-04-01",
        **values,
    }
    workbook = openpyxl.load_workbook(sheet)
    [table] = workbook.worksheets
    rows = list(table.iter_rows())
    titles = {Accounts.headings[name][0]: name for name in given}
    columns = {titles[cell.value]: cell.column for cell in rows[0] if cell.value in titles}
    [row] = [cells[0].row for cells in rows[1:] if login in [cell.value for cell in cells]]
    for name, value in given.items():
        table.cell(row, columns[name]).value = value
    workbook.save(sheet)


# --- what somebody did by hand, and what is refused


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("staff")


@pytest.fixture(scope="module")
def people(folder: Path) -> dict[str, Person]:
    names = {"kato": "Kato Sample", "sato": "Sato Sample", "ueda": "Ueda Sample", "mori": "Mori Sample"}
    return {login: Person(folder, login, name) for login, name in names.items()}


@pytest.fixture(scope="module")
def staff(hosts: list[Machine], folder: Path, people: dict[str, Person]) -> Iterator[Office]:
    """An office with an administrator, two members of staff and a leaver; the hosts are as its ledger says."""
    office = sqlite_office(folder, hosts)
    mori = pyrage.x25519.Identity.generate()
    fields: dict[str, dict[str, Any]] = {
        "kato": {"kind": "administrator", "sudo": ["all"], "department": "operations"},
        "mori": {"age_key": str(mori.to_public())},
    }
    asked = [person.application(HOSTS, **fields.get(login, {})) for login, person in people.items()]
    approved = [person.entry("approve") for person in people.values()]
    office.ok(
        office.entering(*asked, *approved),
        "accounts",
        office.entering(people["ueda"].entry("disable", status_reason="left on the last of the month")),
        "accounts",
    )
    [sealed] = office.sealed("mori")
    assert len(password_in(pyrage.decrypt(sealed.read_bytes(), [mori]))) == 16
    yield office
    on_all(hosts, clean)


@pytest.mark.control("ACCT-01", "ACCT-03", "ACCT-05")
def test_what_somebody_did_by_hand_is_found_and_closed(staff: Office, people: dict[str, Person]) -> None:
    server12, server13, client13 = staff.hosts
    staff.ok("audit")
    assert staff.failing() == {name: set() for name in HOSTS}

    server12.ok("useradd -m mallory")
    server13.ok("usermod -U -e '' ueda && chage -d $(date +%F) ueda")
    put_key(server13, people["ueda"])
    assert people["ueda"].enters_by_key(server13)
    client13.ok("usermod -aG sudo sato")
    staff.ok("audit", "accounts_audit")
    assert staff.failing() == {"server12": {"ACCT-01"}, "server13": {"ACCT-03"}, "client13": {"ACCT-05"}}
    assert staff.findings() == {
        ("unregistered", "server12", "mallory"),
        ("leaver", "server13", "ueda"),
        ("rights", "client13", "sato"),
    }

    staff.ok("accounts")
    assert not people["ueda"].enters_by_key(server13)
    assert client13.ok("id -nG sato") == "sato\n"
    assert is_there(server12, "mallory"), "nothing that is not in the ledger is touched"
    server12.ok("userdel -r mallory")


@pytest.mark.control("ACCT-02", "ACCT-04", "ACCT-06")
def test_shared_keys_disuse_and_passwords_never_changed_are_found(staff: Office, people: dict[str, Person]) -> None:
    server12, server13, client13 = staff.hosts
    server12.ok(f"echo '{people['sato'].public}' >> ~kato/.ssh/authorized_keys")
    server13.ok(f"echo 'sato:{CHOSEN}' | chpasswd")
    # As if the password had been set, and the account been made, that long ago.
    remember(server13, "mori", "issued", 8)
    remember(client13, "mori", "since", 91)
    client13.ok("mv /home/mori /home/away")  # when it was made, the file system tells, and nobody can alter that
    try:
        staff.ok("audit", "accounts_audit", arguments=after(8))
        assert staff.failing() == {"server12": {"ACCT-02", "ACCT-05"}, "server13": {"ACCT-06"}, "client13": {"ACCT-04"}}
    finally:
        client13.ok("mv /home/away /home/mori")
        remember(client13, "mori", "since", 0)
    assert staff.findings() == {
        ("shared", "server12", "kato"),
        ("rights", "server12", "kato"),
        *(("never_changed", host, login) for host in HOSTS for login in ("kato", "mori")),
        *(("never_changed", host, "sato") for host in ("server12", "client13")),
    }

    server13.ok("chage -d $(date +%F) mori")
    staff.ok("accounts", "audit")
    assert staff.failing() == {name: set() for name in HOSTS}


def remember(machine: Machine, login: str, what: str, days: int) -> None:
    """Let the host remember a day of an account as so many days ago."""
    machine.python(
        "import json, time\n"
        f"record = json.load(open('{STORE}/ledger.json'))\n"
        f"record['accounts']['{login}']['{what}'] = int(time.time() // 86400) - {days}\n"
        f"json.dump(record, open('{STORE}/ledger.json', 'w'))\n"
    )


@pytest.mark.control("ACCT-07")
@pytest.mark.parametrize(
    "attack",
    [
        "UPDATE events SET record = replace(record, 'Sample Approver', 'Other Approver') WHERE sequence = 5",
        "UPDATE states SET fields = replace(fields, '\"sudo\": []', '\"sudo\": [\"all\"]') WHERE key = 'sato'",
    ],
    ids=["event", "entry"],
)
def test_an_altered_ledger_is_refused(staff: Office, tmp_path: Path, attack: str) -> None:
    office = staff.copy(tmp_path)
    with sqlite3.connect(tmp_path / "ledger.sqlite") as database:
        database.executescript("DROP TRIGGER events_no_update")
        assert database.execute(attack).rowcount == 1
    staff.hosts[0].ok("usermod -aG adm sato")
    try:
        refusal = office.refused("accounts")
        assert "the ledger does not hold" in refusal
        assert FIRST_CHANGE not in refusal
        assert "adm" in staff.hosts[0].ok("id -nG sato"), "a host was changed"
    finally:
        staff.hosts[0].ok("gpasswd -d sato adm")


@pytest.mark.control("ACCT-01")
def test_system_and_login_accounts_and_the_last_administrator_stay(
    staff: Office, people: dict[str, Person], tmp_path: Path
) -> None:
    office = staff.copy(tmp_path)
    asked = [
        {**people["sato"].application(hosts), "login": login, "person": login}
        for login, hosts in (("admin", ["server12"]), ("backupd", ["server13"]))
    ]
    approved = [people["sato"].entry("approve", login=entry["login"]) for entry in asked]
    office.enter(*asked, *approved, people["kato"].entry("change", hosts=["server12", "server13"]))
    staff.hosts[1].ok("useradd --system backupd")
    before = on_all(staff.hosts, content)
    said = " ".join(office.refused("accounts").split())
    after_it = on_all(staff.hosts, content)
    staff.hosts[1].ok("userdel backupd")
    assert "admin: is the account that this run is logged in with, which is never touched" in said
    assert "backupd: is an account of the system, which is never touched" in said
    assert "kato: no other account could log in and become root by sudo after this" in said
    assert after_it == before


def content(machine: Machine) -> str:
    """Who may do what on a host, as a digest."""
    return machine.ok(f"find {FILES} -type f -exec sha256sum {{}} +")


# --- what the ledger itself refuses


@pytest.mark.control("ACCT-08")
def test_a_jobs_account_without_documentation_is_refused(
    staff: Office, people: dict[str, Person], tmp_path: Path
) -> None:
    application = people["sato"].application(["servers"], kind="batch", ssh_keys=[])
    job = {**application, "login": "nightly", "person": "Sato Sample"}
    for kind in ("batch", "service"):
        assert "GL-2.1-7" in staff.refuses({**job, "kind": kind})
    office = staff.copy(tmp_path)
    office.enter({**job, "documentation": "Operations handbook, chapter 7"})
    assert office.fields("nightly")["documentation"] == "Operations handbook, chapter 7"


@pytest.mark.control("ACCT-10")
def test_managers_review_accounts_and_sign(staff: Office, people: dict[str, Person], tmp_path: Path) -> None:
    office = staff.copy(tmp_path)
    known = {**people["sato"].application(HOSTS), "login": "abe", "person": "Abe Sample", "password": False}
    office.enter({**known, "action": "adopt", "approver": "Sample Approver", "valid_from": "2020-04-01"})
    done = office.ok("accounts_review")
    assert set(re.findall(r"department: (\w+)\s+last: ''\s+login: (\w+)\s+review: (\w+)", done.output)) == {
        ("development", "abe", "monthly"),
        ("development", "abe", "yearly"),
    }
    sheets = sorted((tmp_path / "review").iterdir())
    assert [sheet.name.split("-")[1] for sheet in sheets] == ["development", "operations"]
    reading = ["-e", json.dumps({"accounts_review_read": [str(sheets[0])]})]

    decide(sheets[0], "", {"abe": "keep", "mori": "remove", "sato": "keep", "ueda": "keep"})
    assert "the sheet is not signed" in office.refused("accounts_review", arguments=reading)
    assert office.fields("mori")["status"] == "active"

    decide(sheets[0], "Sample Manager", {})
    done = office.ok("accounts_review", arguments=reading)
    assert "overdue: []" in done.output
    for login in ("abe", "mori", "sato", "ueda"):
        assert office.fields(login)["reviewed_by"] == "Sample Manager"
        assert office.fields(login)["reviewed_at"] == datetime.date.today().isoformat()
    assert office.fields("mori")["status"] == "disabled"
    assert "remove" in office.fields("mori")["status_reason"]
    foreseen = office.ok("accounts", arguments=["--check", "--diff"])
    assert sum(line.startswith("+mori:") and "password locked" in line for line in foreseen.output.splitlines()) == 3

    assert "the sheet is stale" in " ".join(office.refused("accounts_review", arguments=reading).split())


def decide(sheet: Path, manager: str, decisions: dict[str, str]) -> None:
    """Fill a review's sheet in, and sign it where a name is given."""
    workbook = openpyxl.load_workbook(sheet)
    table = workbook.worksheets[0]
    [heading] = [cell for row in table.iter_rows() for cell in row if cell.value == "Decision"]
    for row in range(heading.row + 1, table.max_row + 1):
        if table.cell(row, 1).value in decisions:
            table.cell(row, heading.column).value = decisions[table.cell(row, 1).value]
    if manager:
        table["B4"], table["B5"] = manager, datetime.date.today()
    workbook.save(sheet)
