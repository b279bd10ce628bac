# SPDX-License-Identifier: GPL-3.0-or-later
"""Accounts on real hosts: made, logged in to, locked, brought back and removed; and what a host tells of them."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kijun_hosts import ansible_playbook
from kijun_lab import identity

from .conftest import GOOD, Machine
from .test_modules import four_runs, in_four, run, runs

LOGIN = "tanaka"
OTHER = "suzuki"
STORE = "/var/lib/kijun/accounts"
FILES = "/etc/passwd /etc/shadow /etc/group /etc/gshadow /etc/subuid /etc/subgid"
RULE = "ALL=(root) NOPASSWD: /usr/bin/id"
CRON = "/var/spool/cron/crontabs"
AT = "/var/spool/cron/atjobs"
LATER, EARLIER = "a0000107fffffff", "a0000200000001"
"""Names of at jobs that are due in 2225, and in 1970."""


def lab_key() -> str:
    """The public key that the tests log in with."""
    return " ".join(identity.USER_KEY.with_suffix(".pub").read_text().split()[:2])


def account(login: str = LOGIN, **fields: Any) -> dict[str, Any]:
    return {"login": login, "person": "Sample Person", "keys": [lab_key()], **fields}


def accounts(*entries: dict[str, Any], **options: Any) -> dict[str, Any]:
    return {"accounts": list(entries), **options}


def digest(password: str) -> str:
    """A hash of a password, as crypt(5) writes it."""
    command = ["openssl", "passwd", "-6", "-stdin"]
    return subprocess.run(command, input=password, capture_output=True, text=True, check=True).stdout.strip()


def state(machine: Machine, **arguments: Any) -> dict[str, Any]:
    """What the module accounts_state tells; each account by its name."""
    found = run(machine, "accounts_state", arguments)
    assert not found["failed"], found
    assert found["changed"] is False
    return {**found["state"], "accounts": {one["name"]: one for one in found["state"]["accounts"]}}


def clean(machine: Machine) -> None:
    for name in (LOGIN, OTHER):
        machine.run(f"pkill -KILL -u {name}; userdel -rf {name}; rm -f {CRON}/{name} /var/lib/systemd/linger/{name}")
    machine.run(f"rm -rf {STORE} /etc/sudoers.d/kijun-accounts /etc/sudoers.d/other /home/.kijun-* {AT} /home/{LOGIN}")


@pytest.fixture(autouse=True)
def fresh(machine: Machine) -> Iterator[None]:
    clean(machine)
    machine.ok("test $(awk -F: '$3 >= 1000 && $3 < 60000' /etc/passwd | wc -l) = 1")
    yield
    clean(machine)


def fields(machine: Machine, database: str, name: str = LOGIN) -> list[str]:
    return machine.ok(f"getent {database} {name}").strip().split(":")


# --- a person's life


def test_created_in_four_runs(machine: Machine) -> None:
    wish = account(groups=["adm"], sudo=[RULE], expires=40000)
    assert four_runs(machine, "accounts", accounts(wish), "created") == [LOGIN]
    uid = fields(machine, "passwd")[2]
    assert fields(machine, "passwd") == [LOGIN, "x", uid, uid, "Sample Person", f"/home/{LOGIN}", "/bin/bash"]
    assert fields(machine, "shadow")[1] == "*"
    assert fields(machine, "shadow")[3:8] == ["", "", "", "", "40000"]
    assert machine.ok(f"id -nG {LOGIN}").split() == [LOGIN, "adm"]
    assert machine.ok(f"stat -c '%a %U:%G' /home/{LOGIN} /home/{LOGIN}/.ssh /home/{LOGIN}/.ssh/authorized_keys") == (
        f"700 {LOGIN}:{LOGIN}\n700 {LOGIN}:{LOGIN}\n600 {LOGIN}:{LOGIN}\n"
    )
    assert machine.ok(f"ls -A /home/{LOGIN}").split() == [".bash_logout", ".bashrc", ".profile", ".ssh"]
    assert machine.ok("stat -c '%a %U' /etc/sudoers.d/kijun-accounts") == "440 root\n"
    assert machine.ok(f"grep -c ^{LOGIN}: /etc/subuid /etc/subgid") == "/etc/subuid:1\n/etc/subgid:1\n"
    machine.ok("pwck -rq && grpck -r && visudo -c")
    assert machine.ok(f"stat -c '%a %U' {STORE} {STORE}/ledger.json") == "700 root\n600 root\n"
    assert machine.logs_in_by_key(LOGIN, "sudo -n /usr/bin/id >/dev/null && echo welcome")
    assert not machine.logs_in_by_key(LOGIN, "sudo -n /bin/true && echo welcome")


def test_an_initial_password_is_changed_at_the_first_login(machine: Machine) -> None:
    wish = account(keys=[], password=True, password_hash=digest(GOOD))
    results = runs(machine, "accounts", *in_four(accounts(wish)))
    assert [result["passwords_set"] for result in results] == [[LOGIN], [LOGIN], [], []]
    assert [result["changed"] for result in results] == [True, True, False, False]
    assert "$6$" not in json.dumps(results)
    assert fields(machine, "shadow")[2] == "0"
    assert fields(machine, "shadow")[4] != ""
    assert state(machine)["accounts"][LOGIN]["must_change"] is True
    session = machine.terminal(LOGIN, GOOD)
    session.expect("[Cc]urrent password:")
    session.sendline(GOOD)
    session.expect("[Nn]ew password:")
    session.sendline("Niwa!kaSumi-77x")
    session.expect("[Nn]ew password:")
    session.sendline("Niwa!kaSumi-77x")
    session.expect("updated successfully")
    session.close()
    assert machine.logs_in(LOGIN, "Niwa!kaSumi-77x")
    # The ledger goes on without a hash: the person's own password stays.
    assert run(machine, "accounts", accounts({**wish, "password_hash": None}))["changed"] is False
    assert machine.logs_in(LOGIN, "Niwa!kaSumi-77x")
    assert "$" not in machine.ok(f"cat {STORE}/ledger.json")


def test_changed_in_four_runs(machine: Machine) -> None:
    run(machine, "accounts", accounts(account(groups=["adm"], sudo=[RULE])))
    wish = account(person="Other Person", groups=["users"], shell="/bin/sh", expires=40000)
    changed = four_runs(machine, "accounts", accounts(wish), "changed_accounts")
    assert changed == {LOGIN: ["person", "shell", "groups", "expires", "sudo"]}
    assert machine.ok(f"id -nG {LOGIN}").split() == [LOGIN, "users"]
    assert fields(machine, "passwd")[4:] == ["Other Person", f"/home/{LOGIN}", "/bin/sh"]
    machine.ok("test ! -e /etc/sudoers.d/kijun-accounts")
    assert machine.logs_in_by_key(LOGIN)
    assert four_runs(machine, "accounts", accounts({**wish, "keys": []}), "changed_accounts") == {LOGIN: ["keys"]}
    assert not machine.logs_in_by_key(LOGIN)


def test_a_second_file_of_keys_is_withdrawn(machine: Machine) -> None:
    run(machine, "accounts", accounts(account(keys=[])))
    machine.ok(f"install -d -m 700 -o {LOGIN} ~{LOGIN}/.ssh")
    machine.ok(f"install -m 600 -o {LOGIN} ~admin/.ssh/authorized_keys ~{LOGIN}/.ssh/authorized_keys2")
    assert machine.logs_in_by_key(LOGIN)
    assert len(state(machine)["accounts"][LOGIN]["keys"]) == 1
    assert four_runs(machine, "accounts", accounts(account(keys=[])), "changed_accounts") == {LOGIN: ["keys"]}
    assert not machine.logs_in_by_key(LOGIN)


def give_jobs(machine: Machine) -> None:
    machine.ok(f"install -d -m 1730 {CRON} && install -d -m 1770 {AT}")
    machine.ok(f"echo '* * * * * true' > {CRON}/{LOGIN}; echo true > {AT}/{LATER}; echo true > {AT}/{EARLIER}")
    machine.ok(f"chown {LOGIN} {CRON}/{LOGIN} {AT}/a*; chmod 600 {CRON}/{LOGIN} {AT}/a*")
    machine.ok(f"touch /var/lib/systemd/linger/{LOGIN}")


def test_locked_and_brought_back_in_four_runs(machine: Machine) -> None:
    wish = account(sudo=[RULE], password_hash=digest(GOOD))
    run(machine, "accounts", accounts(wish))
    machine.ok(f"chage -d $(( $(date +%s) / 86400 )) {LOGIN}")
    assert machine.logs_in(LOGIN, GOOD) and machine.logs_in_by_key(LOGIN)
    give_jobs(machine)
    open_session = subprocess.Popen(
        [
            *machine.ssh(LOGIN, "-tt", "-o", "BatchMode=yes", "-i", str(identity.USER_KEY)),
            "trap '' TERM HUP; sleep 1000",
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        machine.ok(f"until pgrep -u {LOGIN} sleep; do sleep 0.1; done")
        before = state(machine)["accounts"][LOGIN]
        assert before["sessions"] >= 1 and before["processes"] >= 1
        assert (before["cron"], before["at"]) == (True, 2)

        locked = accounts(account(state="locked"))
        assert four_runs(machine, "accounts", locked, "locked") == [LOGIN]
        open_session.wait(10)
    finally:
        open_session.kill()
    found = state(machine)["accounts"][LOGIN]
    assert (found["password"], found["expires"], found["keys"], found["sudo"]) == ("locked", 1, [], [])
    assert (found["sessions"], found["processes"], found["cron"], found["at"]) == (0, 0, False, 0)
    assert not machine.logs_in(LOGIN, GOOD) and not machine.logs_in_by_key(LOGIN)
    assert machine.ok(f"ls {STORE}/held/{LOGIN}").split() == [f"at-{LATER}", f"at-{EARLIER}", "crontab", "linger"]
    assert machine.ok(f"stat -c %a {STORE}/held {STORE}/held/{LOGIN}") == "700\n700\n"

    back = accounts(account(sudo=[RULE]))
    changed = four_runs(machine, "accounts", back, "changed_accounts")
    assert changed == {LOGIN: ["unlocked", "expires", "sudo", "keys", "at", "crontab", "linger"]}
    assert machine.logs_in(LOGIN, GOOD) and machine.logs_in_by_key(LOGIN, "sudo -n id >/dev/null; echo welcome")
    found = state(machine)["accounts"][LOGIN]
    assert (found["cron"], found["at"]) == (True, 1), "the overdue job must not run now"
    assert machine.ok(f"stat -c '%a %U' {CRON}/{LOGIN}") == f"600 {LOGIN}\n"


def test_an_account_locked_without_any_hash_gets_no_empty_password(machine: Machine) -> None:
    run(machine, "accounts", accounts(account()))
    machine.ok(f"sed -i 's/^{LOGIN}:[^:]*:/{LOGIN}:!:/' /etc/shadow")
    assert run(machine, "accounts", accounts(account()))["changed_accounts"] == {LOGIN: ["unlocked"]}
    assert fields(machine, "shadow")[1] == "*"


def test_removed_in_four_runs_and_archived(machine: Machine) -> None:
    run(machine, "accounts", accounts(account(groups=["adm"], sudo=[RULE])))
    uid = fields(machine, "passwd")[2]
    give_jobs(machine)
    home = f"/home/{LOGIN}"
    machine.ok(f"cd {home} && echo kept > work && ln -s /etc/shadow link && mkfifo pipe && mkdir d && echo x > d/y")
    machine.ok(f"echo mail > /var/mail/{LOGIN}; chown -R {LOGIN} {home}/work {home}/d /var/mail/{LOGIN}")
    gone = accounts(account(state="absent"))
    assert four_runs(machine, "accounts", gone, "removed") == [LOGIN]
    assert machine.run(f"grep {LOGIN} {FILES} /etc/sudoers.d/*").stdout == ""
    assert machine.ok("ls -A /home; ls -A /var/mail") == "admin\n"
    name = machine.ok(f"ls {STORE}/archive").strip()
    assert name.startswith(f"{LOGIN}-{uid}-") and name.endswith("Z.tar.gz")
    assert machine.ok(f"stat -c '%a %U' {STORE}/archive {STORE}/archive/{name}") == "700 root\n600 root\n"
    listed = machine.ok(f"tar -tvzf {STORE}/archive/{name}")
    for part in ("home/work", "home/link -> /etc/shadow", "home/d/y", "mail", "held/crontab", f"held/at-{LATER}"):
        assert f"{part}\n" in listed
    assert machine.ok(f"tar -xOzf {STORE}/archive/{name} home/work") == "kept\n"
    machine.ok("pwck -rq && grpck -r && visudo -c")
    # The next person does not get the id of the last one, nor what may still lie about under it.
    run(machine, "accounts", accounts(account(OTHER)))
    assert int(fields(machine, "passwd", OTHER)[2]) > int(uid)


# --- what is refused


BAD = {
    "Tanaka": "login",
    "-rf": "login",
    "a" * 33: "login",
    "tana ka": "login",
    "tanaka\n": "login",
    "t\u0430naka": "login",
    "root": "system",
    "daemon": "system",
    "nobody": "system",
    "admin": "logged in with",
}


def test_every_refusal_is_told_at_once_and_nothing_changes(machine: Machine) -> None:
    before = machine.ok(f"md5sum {FILES}")
    wrong = {
        "nogroup1": {"groups": ["no-such-group"]},
        "badshell": {"shell": "/bin/none"},
        "baduid": {"uid": 1000},
        "lowuid": {"uid": 0},
        "badkey": {"keys": ["ssh-ed25519 AAAA"]},
        "keyline": {"keys": [f"{lab_key()}\n{lab_key()}"]},
        "badrule": {"sudo": ["ALL=(root) /bin/ls\nroot ALL=ALL"]},
        "other": {"sudo": [", admin ALL=(root) ALL"]},
        "syntax": {"sudo": ["ALL=(root NOPASSWD /bin/ls"]},
        "person": {"person": "a:b"},
        "badhash": {"password_hash": "secret-in-clear"},
        "sudo": {},
        "unknown": {"colour": "red"},
    }
    entries = [*(account(login) for login in BAD), *(account(login, **more) for login, more in wrong.items())]
    for result in runs(machine, "accounts", (accounts(*entries), True), (accounts(*entries), False)):
        assert result["failed"] and result["changed"] is False
        assert "secret-in-clear" not in json.dumps(result)
        told = "\n".join(result["problems"])
        for login in BAD:
            if BAD[login] == "login":
                assert repr(login) in told
        for login in ("badkey", "keyline", "badrule", "other", "person", "badhash", "unknown"):
            assert f"{login}: " in told, told
    # What the host itself refuses comes when the forms are right.
    entries = [account(login) for login in BAD if BAD[login] != "login"]
    entries += [
        account(login, **wrong[login]) for login in ("nogroup1", "badshell", "baduid", "lowuid", "sudo", "syntax")
    ]
    result = run(machine, "accounts", accounts(*entries))
    assert result["failed"]
    told = {problem.partition(":")[0]: problem for problem in result["problems"]}
    for login, why in BAD.items():
        if why != "login":
            assert why in told[login]
    assert {"nogroup1", "badshell", "baduid", "lowuid", "sudo"} <= set(told), told
    assert machine.ok(f"md5sum {FILES}") == before
    machine.ok(f"test ! -e {STORE}/ledger.json; test ! -e /etc/sudoers.d/kijun-accounts")


def test_a_rule_that_sudo_does_not_read_is_refused(machine: Machine) -> None:
    result = run(machine, "accounts", accounts(account(sudo=["ALL=(root NOPASSWD /bin/ls"])))
    assert result["failed"] and "sudo's own reader" in result["msg"]
    assert machine.run(f"id {LOGIN}").rc != 0


def test_the_last_administrator_stays(machine: Machine) -> None:
    run(machine, "accounts", accounts(account(sudo=["ALL=(ALL:ALL) NOPASSWD: ALL"]), account(OTHER)))
    assert state(machine)["accounts"][LOGIN]["admin"] is True
    for last in ({"state": "locked"}, {"state": "absent"}, {"sudo": []}, {"sudo": [RULE], "keys": []}):
        result = run(machine, "accounts", accounts(account(**last), account(OTHER)))
        assert result["failed"] and f"{LOGIN}: no other account" in result["msg"], result
        assert machine.logs_in_by_key(LOGIN, "sudo -n true && echo welcome")
    followed = accounts(account(state="locked"), account(OTHER, groups=["sudo"]))
    assert run(machine, "accounts", followed)["locked"] == [LOGIN], "another one has taken over"
    alone = accounts(account(state="locked"), account(OTHER), may_remove_last_administrator=True)
    assert run(machine, "accounts", alone)["changed_accounts"][OTHER] == ["groups"]


@pytest.mark.parametrize("trap", ["home", ".ssh", ".ssh/authorized_keys", "foreign"])
def test_a_trap_in_a_home_is_seen_before_anything_changes(machine: Machine, trap: str) -> None:
    run(machine, "accounts", accounts(account()))
    home = f"/home/{LOGIN}"
    if trap == "foreign":
        machine.ok(f"chown admin {home}")
    else:
        place = home if trap == "home" else f"{home}/{trap}"
        machine.ok(f"mkdir -p /root/trap && mv {place} {place}.was && ln -s /root/trap {place}")
    before = machine.ok(f"md5sum {FILES}")
    for wish in (account(keys=[], shell="/bin/sh"), account(state="locked"), account(state="absent")):
        result = run(machine, "accounts", accounts(wish, account(OTHER)))
        assert result["failed"] and home in result["msg"], result
    assert machine.ok(f"md5sum {FILES}") == before
    assert machine.ok("ls -A /root/trap 2>/dev/null; rm -rf /root/trap /home/*.was") == ""


def test_another_program_holds_the_lock(machine: Machine) -> None:
    hold = (
        "import ctypes,time;c=ctypes.CDLL(None);assert c.lckpwdf()==0;open('/run/kijun-held','w').close();time.sleep(3)"
    )
    machine.ok(
        f"rm -f /run/kijun-held; python3 -c {shlex.quote(hold)} >/dev/null 2>&1 & "
        "until [ -e /run/kijun-held ]; do sleep 0.05; done"
    )
    started = float(machine.ok("cat /proc/uptime").split()[0])
    assert run(machine, "accounts", accounts(account()))["created"] == [LOGIN]
    assert float(machine.ok("rm /run/kijun-held; cat /proc/uptime").split()[0]) - started > 1.5


# --- what a host tells


def test_state_of_a_host(machine: Machine) -> None:
    run(machine, "accounts", accounts(account(password_hash=digest("Sample123")), account(OTHER, keys=[])))
    rules = f"User_Alias TEAM = {OTHER}, %adm\nCmnd_Alias IDS = /usr/bin/id, /usr/bin/true\nTEAM ALL = (root) IDS\n"
    machine.ok(f"printf %s {shlex.quote(rules)} > /etc/sudoers.d/other && chmod 440 /etc/sudoers.d/other && visudo -c")
    machine.ok(f"chage -d 20000 {LOGIN}")
    found = state(machine, weak={"tries": 40, "seconds": 20}, people={LOGIN: {"person": "Sample Person"}})
    mine, other = found["accounts"][LOGIN], found["accounts"][OTHER]
    expected = machine.ok("ssh-keygen -lf ~admin/.ssh/authorized_keys").split()[1]
    assert [key["fingerprint"] for key in mine["keys"]] == [expected]
    assert mine["weak"] == "is made from the person's name"
    assert "Sample123" not in json.dumps(found)
    assert other["sudo"] == ["ALL=(root) /usr/bin/id, /usr/bin/true"]
    assert "%adm ALL=(root) /usr/bin/id, /usr/bin/true" in found["sudo_others"]
    assert (found["login_account"], found["managed"], found["untried"]) == ("admin", [OTHER, LOGIN], 0)
    assert found["accounts"]["admin"]["admin"] is True
    assert found["accounts"]["daemon"]["system"] is True
    daemon = found["accounts"]["daemon"]
    assert daemon["last_login"] is None and daemon["last_login_source"] == "none"
    assert abs(mine["created"] - found["time"]) < 300
    assert found["problems"] == []


def test_the_last_login_is_found_wherever_it_is_written(machine: Machine) -> None:
    run(machine, "accounts", accounts(account()))
    assert machine.logs_in_by_key(LOGIN)
    without_terminal = state(machine)["accounts"][LOGIN]
    assert without_terminal["last_login_source"] == "journal"
    line = [*machine.ssh(LOGIN, "-tt", "-o", "BatchMode=yes", "-i", str(identity.USER_KEY)), "sleep 1.2"]
    subprocess.run(line, stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=60)
    found = state(machine)["accounts"][LOGIN]
    assert found["last_login_source"] == "lastlog"
    assert found["last_login"] >= without_terminal["last_login"]
    machine.ok("truncate -s 0 /var/log/lastlog")
    source = state(machine)["accounts"][LOGIN]["last_login_source"]
    assert source == ("wtmp" if machine.name == "server12" else "wtmpdb")


def test_a_short_time_leaves_hashes_untried(machine: Machine) -> None:
    run(machine, "accounts", accounts(account(password_hash=digest("Xq!9vv-Kurobe-77")), account(OTHER)))
    found = state(machine, weak={"tries": 40, "seconds": 0.01})
    assert found["untried"] == 1
    assert found["accounts"][LOGIN]["weak"] is None


def test_state_writes_nothing(machine: Machine) -> None:
    machine.ok("sync; touch /run/kijun-marker; sleep 0.05")
    state(machine, weak={})
    folders = "/etc /usr /opt /root /home /srv /var/lib /tmp /var/tmp /run/kijun"
    assert machine.run(f"find {folders} -cnewer /run/kijun-marker ! -path '/var/lib/systemd/*'").stdout == ""


def test_a_hostile_key_file_is_not_followed(machine: Machine) -> None:
    run(machine, "accounts", accounts(account()))
    machine.ok(f"ln -sf ~admin/.ssh/authorized_keys ~{LOGIN}/.ssh/authorized_keys")
    found = state(machine)["accounts"][LOGIN]
    assert found["keys"] == []
    assert "is a symbolic link" in found["unreadable_keys"]


def test_the_plan_of_all_hosts(machine: Machine) -> None:
    plan = {
        "accounts": {LOGIN: account(), OTHER: account(OTHER)},
        "hosts": {machine.name: {LOGIN: {"password_hash": digest(GOOD)}}, "elsewhere": [OTHER]},
    }
    assert four_runs(machine, "accounts", {"plan": plan}, "created") == [LOGIN]
    assert machine.run(f"id {OTHER}").rc != 0
    missing = run(machine, "accounts", {"plan": {**plan, "hosts": {}}})
    assert missing["failed"] and machine.name in missing["msg"]


# --- killed runs


KILLER = """
import os, pathlib, signal, time
def found():
    for path in pathlib.Path('/proc').glob('[0-9]*/cmdline'):
        try:
            if path.read_bytes().replace(b'\\0', b' ').strip().endswith(b'{pattern}') and int(path.parent.name) > 1:
                yield int(path.parent.name)
        except OSError:
            pass
while not list(found()):
    time.sleep(0.002)
began = time.monotonic()
while list(found()) and time.monotonic() - began < {seconds}:
    time.sleep(0.002)
for pid in list(found()):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
print(time.monotonic() - began)
"""
"""Waits for the host's part to begin; kills it when it runs for too long; says how long it ran."""

PERSONS = [f"person{number}" for number in range(20)]


def test_killed_runs_leave_old_or_new_and_the_next_completes(machine: Machine, tmp_path: Path) -> None:
    """Kill the host's Python at many moments: the files agree with each other, and a second run finishes the rest."""
    wishes = accounts(*(account(name, sudo=[RULE], groups=["adm"]) for name in PERSONS))
    task = {"kijun.baseline.accounts": wishes}
    play = tmp_path / "play.yml"
    play.write_text(json.dumps([{"hosts": machine.name, "become": True, "gather_facts": False, "tasks": [task]}]))
    seen = []
    try:
        late = kill_during(machine, play, 1000)
        remove_all(machine)
        early = 0.0
        # Nearer and nearer to the moment at which the new files come into force.
        for number in range(8):
            moment = (early + late) / 2 if number else 0.02
            kill_during(machine, play, moment)
            seen.append(int(machine.ok("grep -c ^person /etc/passwd; true")))
            early, late = (moment, late) if seen[-1] == 0 else (early, moment)
            # A journal may be waiting: the next run goes forward or back before it does anything.
            result, again = runs(machine, "accounts", (wishes, False), (wishes, False))
            assert not result["failed"], result
            assert again["changed"] is False
            machine.ok("pwck -rq && grpck -r && visudo -c")
            check = "test -s /home/$n/.ssh/authorized_keys && id -nG $n | grep -q adm || exit 1"
            machine.ok(f"for n in {' '.join(PERSONS)}; do {check}; done")
            assert machine.run("ls -A /home | grep kijun").stdout == ""
            remove_all(machine)
    finally:
        remove_all(machine)
    assert set(seen) <= {0, 20}, f"some accounts without the others: {seen}"
    print(f"\n{machine.name}: accounts right after the kills: {seen}")


def kill_during(machine: Machine, play: Path, seconds: float) -> float:
    """Run a play and kill the host's Python some seconds after it began, its children included.

    Returns:
        How long it ran.
    """
    script = KILLER.format(pattern="python3 -I -S -", seconds=seconds)
    command = f"sudo python3 -c {shlex.quote(script)}"
    by_key = ("-o", "BatchMode=yes", "-i", str(identity.USER_KEY))
    line = [*machine.ssh("admin", *by_key), command]
    with subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as killer:
        ansible_playbook(str(play), timeout=120)
        length = float(killer.communicate(timeout=60)[0])
    machine.ok("until flock -n /run/kijun/config_files.lock true; do sleep 0.05; done")
    return length


def remove_all(machine: Machine) -> None:
    machine.run(f"for n in {' '.join(PERSONS)}; do userdel -rf $n; done; rm -rf {STORE} /etc/sudoers.d/kijun-accounts")
