# SPDX-License-Identifier: GPL-3.0-or-later
"""Attacks on the controls of role privileges, on hosts that the role has been applied to."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pexpect
import pytest
from ansible_collections.kijun.baseline.plugins.plugin_utils.access_document import canonical, digest
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.engine import Ledger
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.migrate import upgrade
from kijun_hosts import make_person, remove_person

from .conftest import GOOD, Machine
from .test_modules import four_runs, runs

Verdicts = Callable[..., dict[str, str]]

AUTOMATION = [{"name": "admin", "reason": "the account that Ansible logs in with"}]
SESSIONS = "/var/log/sudo-io"


def settings(**changed: Any) -> tuple[str, str]:
    """The scenario's settings with some changed, as arguments of a playbook."""
    return "-e", json.dumps({"privileges_passwordless_reasons": AUTOMATION, **changed})


def converge(machine: Machine, **changed: Any) -> str:
    """Bring the host to the role, and return what was printed."""
    done = machine.playbook("../molecule/privileges/converge", *settings(**changed))
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def install(machine: Machine, *names: str) -> None:
    """Install packages of Debian's."""
    command = f"DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install {shlex.join(names)}"
    machine.ok(f"{command} || (apt-get -qq update && {command})")


def purge(machine: Machine, *names: str) -> None:
    machine.ok(f"DEBIAN_FRONTEND=noninteractive apt-get -qq -y --autoremove purge {shlex.join(names)}")


def as_user(machine: Machine, user: str, command: str) -> Any:
    """Run a shell command as a user who has no terminal."""
    return machine.run(f"runuser -u {user} -- sh -c {shlex.quote(command)}")


def by_sudo(machine: Machine, user: str, command: str, password: str = GOOD) -> Any:
    """Run a command by sudo, giving the password on standard input."""
    return as_user(machine, user, f"printf '%s\\n' {shlex.quote(password)} | sudo -k -S -p '' {command}")


def by_su(machine: Machine, user: str, target: str) -> bool:
    """Whether a user becomes somebody whose password he knows."""
    return as_user(machine, user, f"echo {shlex.quote(GOOD)} | su {target} -c true").rc == 0


@pytest.fixture(scope="module")
def person(machine: Machine) -> Iterator[str]:
    """An administrator with a password; one for all tests, as none changes him."""
    name = "worker"
    make_person(machine, name)
    yield name
    remove_person(machine, name)


@pytest.fixture(scope="module")
def plain(machine: Machine) -> Iterator[str]:
    """Somebody who is no administrator; gone afterwards."""
    name = "visitor"
    machine.run(f"pkill -KILL -u {name}; userdel -rf {name}")
    machine.ok(f"useradd -m -s /bin/bash {name} && echo {shlex.quote(f'{name}:{GOOD}')} | chpasswd")
    yield name
    machine.run(f"rm -f /var/spool/cron/crontabs/{name}; pkill -KILL -u {name}; userdel -rf {name}")


@pytest.fixture
def drop_in(machine: Machine) -> Iterator[Callable[[str], None]]:
    """Plant a file of sudo's rules, read before ours; gone afterwards."""

    def plant(text: str) -> None:
        machine.ok(f"echo {shlex.quote(text)} > /etc/sudoers.d/planted && chmod 440 /etc/sudoers.d/planted")

    yield plant
    machine.ok("rm -f /etc/sudoers.d/planted")


def as_wanted(found: dict[str, str]) -> bool:
    """Whether all of the role's controls hold."""
    ours = {control: verdict for control, verdict in found.items() if control.startswith("PRIV-")}
    assert ours.pop("PRIV-14") == "not_applicable"  # it is recorded, and asked of no host
    return len(ours) == 13 and set(ours.values()) == {"pass"}


# --- sudo


@pytest.mark.control("PRIV-01")
def test_sudo_asks_three_times_for_the_persons_own_password(machine: Machine, person: str) -> None:
    done = as_user(machine, person, "yes wrong | sudo -k -S -p 'asked ' true")
    assert done.rc == 1
    assert done.stderr.count("asked ") == 3
    assert by_sudo(machine, person, "true").rc == 0
    machine.ok(f"echo {shlex.quote('root:Hoka#no-mono9')} | chpasswd")
    try:
        assert by_sudo(machine, person, "true", "Hoka#no-mono9").rc == 1, "root's password was taken for the person's"
    finally:
        machine.ok("passwd -l root")


@pytest.mark.control("PRIV-01")
def test_an_earlier_drop_in_does_not_have_the_last_word(
    machine: Machine, person: str, drop_in: Callable[[str], None], verdicts: Verdicts
) -> None:
    drop_in("Defaults passwd_tries=9, timestamp_timeout=-1, visiblepw, rootpw, !use_pty, !log_output, !env_reset")
    done = as_user(machine, person, "yes wrong | sudo -k -S -p 'asked ' true")
    assert done.stderr.count("asked ") == 3
    assert as_wanted(verdicts("--tags", "privileges", *settings()))


@pytest.mark.control("PRIV-02")
def test_what_sudo_runs_has_a_terminal_a_path_and_an_environment_of_its_own(machine: Machine, person: str) -> None:
    machine.ok(f"printf '#!/bin/sh\\necho evil\\n' > ~{person}/id && chmod 755 ~{person}/id")
    attack = (
        f"export PATH=~{person}:$PATH LD_PRELOAD_X=evil PYTHONPATH=/tmp; echo {shlex.quote(GOOD)} | sudo -k -S -p ''"
    )
    assert "evil" not in as_user(machine, person, f"{attack} id").stdout
    assert not re.search("LD_PRELOAD_X|PYTHONPATH", as_user(machine, person, f"{attack} env").stdout)
    session = machine.terminal(person, GOOD, "echo mine=$(tty)=; sudo -k -p ask: sh -c 'echo its=$(tty)='")
    session.expect("mine=(.*?)=")
    mine = session.match.group(1)
    session.expect("ask:")
    session.sendline(GOOD)
    session.expect("its=(.*?)=")
    assert session.match.group(1) != mine, "the command could type into the person's terminal"
    session.expect(pexpect.EOF)


def test_sudo_works_for_programs_without_a_terminal(machine: Machine, person: str) -> None:
    assert by_sudo(machine, person, "id -u").stdout == "0\n"
    assert by_sudo(machine, person, "cat /etc/hostname").stdout.strip() == machine.name


PASSWORDLESS = """\
worker ALL=(root) NOPASSWD: /usr/bin/id
%operators ALL=(ALL) NOPASSWD: ALL
User_Alias ODD = #4711, other
ODD ALL = (ALL) PASSWD: /bin/ls, NOPASSWD: /usr/bin/id
Defaults:bound !authenticate
Defaults exempt_group = exempt
asked ALL = (ALL) ALL
"""


@pytest.mark.control("PRIV-03")
def test_rules_without_a_password_are_found(
    machine: Machine, drop_in: Callable[[str], None], verdicts: Verdicts, tmp_path: Path
) -> None:
    drop_in(PASSWORDLESS)
    assert verdicts("--tags", "PRIV-03", *settings())["PRIV-03"] == "fail"
    record = json.loads((tmp_path / "latest" / "hosts" / f"{machine.name}.json").read_text(encoding="utf-8"))
    found = record["controls"][0]["checks"][0]["actual"]
    assert set(found) == {"worker", "%operators", "#4711", "other", "bound", "%exempt"}
    assert found["#4711"] == ["ALL=(ALL) NOPASSWD: /usr/bin/id"]
    drop_in(PASSWORDLESS.splitlines()[0])
    excused = settings(privileges_passwordless_reasons=[*AUTOMATION, {"name": "worker", "reason": "looks at itself"}])
    assert verdicts("--tags", "PRIV-03", *excused)["PRIV-03"] == "pass"


@pytest.mark.control("PRIV-04")
def test_commands_and_refusals_are_logged(machine: Machine, person: str, plain: str) -> None:
    by_sudo(machine, person, "/usr/bin/id -g")
    assert by_sudo(machine, plain, "/usr/bin/id -u").rc == 1
    log = machine.ok("tail -n 40 /var/log/sudo.log")
    assert re.search(rf"{person} .*COMMAND=/usr/bin/id -g", log)
    assert re.search(
        rf"{plain} .*NOT (in sudoers|authorized).*COMMAND=/usr/bin/id -u|{plain} : user NOT in sudoers", log
    )
    assert as_user(machine, plain, "cat /var/log/sudo.log").rc != 0
    machine.ok("logrotate --debug /etc/logrotate.d/kijun-sudo")


def recorded(machine: Machine, user: str) -> list[str]:
    """Ids of a user's recorded sessions."""
    listed = machine.ok(f"sudoreplay -d {SESSIONS} -l user {user}")
    return re.findall(r"TSID=(\S+)", listed)


@pytest.mark.control("PRIV-05")
def test_a_session_at_a_terminal_is_replayed(machine: Machine, person: str) -> None:
    session = machine.terminal(person, GOOD, "sudo -k -p ask: sh -c 'echo seen-$((6 * 7))-seen'")
    session.expect("ask:")
    session.sendline(GOOD)
    session.expect("seen-42-seen")
    session.expect(pexpect.EOF)
    ids = recorded(machine, person)
    assert "seen-42-seen" in machine.ok(f"sudoreplay -d {SESSIONS} -n -m 0 {ids[-1]}")
    assert as_user(machine, person, f"ls {SESSIONS}").rc != 0
    assert machine.ok(f"find {SESSIONS} -perm /077 -o -not -user root") == ""
    assert recorded(machine, "admin") == [], "automation is recorded"


@pytest.mark.control("PRIV-05")
def test_passwords_are_not_in_the_record_of_what_was_typed(machine: Machine, person: str, plain: str) -> None:
    new = "Shin#roku-7e"
    converge(machine, privileges_record_input=True)
    try:
        session = machine.terminal(person, GOOD, f"sudo -k -p ask: sh -c 'read word; echo got-$word; passwd {plain}'")
        session.expect("ask:")
        session.sendline(GOOD)
        session.sendline("typed-word")
        session.expect("got-typed-word")
        for _ in range(2):
            session.expect("password:")
            session.sendline(new)
        session.expect(pexpect.EOF)
        read = machine.ok(f"find {SESSIONS}/{person} -name ttyin -exec zcat -f {{}} +")
        assert "typed-word" in read
        assert new not in read
        assert GOOD not in read
    finally:
        machine.ok(f"echo {shlex.quote(f'{plain}:{GOOD}')} | chpasswd")
        converge(machine)


@pytest.mark.control("PRIV-05")
def test_sessions_go_after_their_time_and_not_before(machine: Machine) -> None:
    young, old = f"{SESSIONS}/gone/00/00/01", f"{SESSIONS}/gone/00/00/02"
    machine.ok(f"rm -rf {SESSIONS}/gone && install -d -m 700 {young} {old} && touch {young}/log {old}/log")
    machine.ok(f"touch -d '-390 days' {young}/log {young} && touch -d '-401 days' {old}/log {old}")
    machine.ok(f"cat {old}/log && systemctl start systemd-tmpfiles-clean.service")
    assert machine.run(f"test -e {young}/log").rc == 0
    assert machine.run(f"test -e {old}").rc != 0
    machine.ok(f"rm -rf {SESSIONS}/gone")


@pytest.mark.control("PRIV-05")
def test_a_full_disk_stops_recording_and_only_if_asked_for_sudo(machine: Machine, person: str) -> None:
    full = f"mount -t tmpfs -o size=4k,mode=700 full {SESSIONS} && head -c 8192 /dev/zero > {SESSIONS}/full; true"
    machine.ok(full)
    try:
        assert by_sudo(machine, person, "id -u").stdout == "0\n"
    finally:
        machine.ok(f"umount {SESSIONS}")
    converge(machine, privileges_require_recording=True)
    try:
        machine.ok(full)
        assert by_sudo(machine, person, "id -u").stdout != "0\n"
        assert machine.ok("id -u") == "0\n", "the account that Ansible logs in with was cut off"
    finally:
        machine.ok(f"umount {SESSIONS}")
        converge(machine)


# --- what stops the role before it changes anything


@pytest.mark.control("PRIV-13")
def test_a_broken_drop_in_stops_the_role_and_is_told(
    machine: Machine, drop_in: Callable[[str], None], verdicts: Verdicts
) -> None:
    drop_in("this is = broken")
    before = machine.ok("sha256sum /etc/sudoers.d/zz-kijun-privileges")
    done = machine.playbook("../molecule/privileges/converge", *settings(privileges_sudo_timeout=3))
    assert done.returncode != 0
    assert "/etc/sudoers.d/planted" in done.stdout
    assert machine.ok("sha256sum /etc/sudoers.d/zz-kijun-privileges") == before
    seen = verdicts("--tags", "privileges", *settings())
    assert seen["PRIV-13"] == "fail"
    assert seen["PRIV-01"] == "error", "what cannot be read is no pass"
    assert seen["PRIV-08"] == "pass"
    drop_in("Defaults no_such_option")
    assert verdicts("--tags", "PRIV-13", *settings())["PRIV-13"] == "fail"
    machine.ok("rm /etc/sudoers.d/planted")
    assert verdicts("--tags", "PRIV-13", *settings())["PRIV-13"] == "pass"


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"privileges_session_days": 365}, "from 366 to 3660"),
        ({"privileges_sudo_timeout": -1}, "from 0 to 15"),
        ({"privileges_passwordless_reasons": [{"name": "admin"}]}, "reason"),
        ({"privileges_unrecorded": [{"name": "a b", "reason": "x"}]}, "of accounts"),
        ({"privileges_utilities": ["weapons"]}, "compilers"),
        ({"privileges_utilities": ["/usr/bin/sudo"]}, "needed for logging in"),
        ({"privileges_utilities_group": "no_such"}, "no group no_such"),
    ],
)
def test_bad_settings_change_nothing(machine: Machine, wrong: dict[str, Any], told: str) -> None:
    done = machine.playbook("../molecule/privileges/converge", *settings(**wrong))
    assert done.returncode != 0
    assert told in " ".join(done.stdout.split())
    assert "changed=0" in done.stdout


def test_an_ansible_that_becomes_root_by_su_is_not_shut_out(machine: Machine) -> None:
    machine.ok(f"sed -i /pam_wheel/d /etc/pam.d/su && echo {shlex.quote(f'root:{GOOD}')} | chpasswd")
    try:
        by_su = settings(ansible_become_method="su", ansible_become_password=GOOD)
        done = machine.playbook("../molecule/privileges/converge", *by_su)
        assert done.returncode != 0
        assert "must be another, such as sudo" in " ".join(done.stdout.split())
        assert "changed=0" in done.stdout
        assert machine.run("grep pam_wheel /etc/pam.d/su").rc != 0
    finally:
        machine.ok("passwd -l root")
        converge(machine)


# --- su


@pytest.mark.control("PRIV-06")
def test_su_is_for_root_and_members_of_its_group(machine: Machine, person: str, plain: str, verdicts: Verdicts) -> None:
    assert not by_su(machine, plain, person), "somebody who knows the password got through"
    assert not by_su(machine, person, plain), "an administrator is no member, either"
    assert machine.run(f"su {plain} -c true").rc == 0
    assert machine.run(f"su - {plain} -c true").rc == 0
    machine.ok(f"usermod -aG kijun-su {plain}")
    assert by_su(machine, plain, person)
    assert verdicts("--tags", "PRIV-06", *settings())["PRIV-06"] == "fail"
    assert verdicts("--tags", "PRIV-06", *settings(privileges_su_users=[plain]))["PRIV-06"] == "pass"
    machine.ok(f"gpasswd -d {plain} kijun-su")


# --- utilities


def runs_it(machine: Machine, user: str, program: str) -> bool:
    return as_user(machine, user, f"{program} --version >/dev/null").rc == 0


@pytest.mark.control("PRIV-07")
def test_utilities_are_for_administrators_and_upgrades_keep_it(
    machine: Machine, person: str, plain: str, verdicts: Verdicts
) -> None:
    for program in ("dmesg", "unshare", "mount"):
        assert not runs_it(machine, plain, program)
        assert runs_it(machine, person, program)
    machine.ok("test -u /usr/bin/mount")
    machine.run("dpkg-statoverride --remove /usr/bin/make")
    install(machine, "make")
    try:
        assert runs_it(machine, plain, "make")
        assert verdicts("--tags", "PRIV-07", *settings())["PRIV-07"] == "fail"
        converge(machine)
        assert not runs_it(machine, plain, "make")
        assert runs_it(machine, person, "make")
        machine.ok("apt-get -qq -y install --reinstall make")
        assert not runs_it(machine, plain, "make"), "the package's own mode came back"
        machine.ok("chmod 755 /usr/bin/make")
        assert verdicts("--tags", "PRIV-07", *settings())["PRIV-07"] == "fail"
        converge(machine)
        assert not runs_it(machine, plain, "make")
        allowed = {"privileges_utilities_open": [{"name": "/usr/bin/make", "reason": "the developers build here"}]}
        converge(machine, **allowed)
        assert runs_it(machine, plain, "make"), "what is asked for no more was not taken back"
        assert not runs_it(machine, plain, "dmesg")
        assert verdicts("--tags", "PRIV-07", *settings(**allowed))["PRIV-07"] == "pass"
        assert "make" not in machine.ok("dpkg-statoverride --list")
    finally:
        purge(machine, "make")
        converge(machine)


@pytest.mark.control("PRIV-07")
def test_a_reinstalled_package_of_the_base_system_keeps_to_the_list(machine: Machine, plain: str) -> None:
    # Debian 12's package has it below /bin, and dpkg heeds an entry by that name only.
    machine.ok(
        "apt-get -qq -y install --reinstall mount || (apt-get -qq update && apt-get -qq -y install --reinstall mount)"
    )
    assert not runs_it(machine, plain, "mount")
    assert machine.ok("stat -c '%U %G %a' /usr/bin/mount") == "root sudo 4750\n"


def test_stat_overrides_in_four_runs(machine: Machine) -> None:
    machine.run("groupdel builders; rm -rf /opt/tool*")
    machine.ok("install -m 755 /bin/true /opt/tool1 && install -m 4755 /bin/true /opt/tool2 && ln -s tool1 /opt/tool3")
    wish = {
        "sets": [{"name": "test", "paths": ["/opt/tool*", "/opt/absent"], "group": "builders"}],
        "groups": ["builders"],
    }
    done = four_runs(machine, "stat_overrides", wish, told="overrides")
    assert done == {"/opt/tool1": "root builders 0750", "/opt/tool2": "root builders 4750"}
    assert machine.ok("stat -c '%G %a' /opt/tool1 /opt/tool2") == "builders 750\nbuilders 4750\n"
    wish["sets"] = [{"name": "test", "paths": ["/opt/tool2"], "group": "root", "mode": "0700"}]
    done = four_runs(machine, "stat_overrides", wish, told="overrides")
    assert done == {"/opt/tool1": "taken back", "/opt/tool2": "root root 0700"}
    assert machine.ok("stat -c '%G %a' /opt/tool1 /opt/tool2") == "root 755\nroot 700\n"
    other = {"sets": [{"name": "other", "paths": []}]}
    assert [result["changed"] for result in runs(machine, "stat_overrides", (other, False))] == [False]
    wish["sets"] = [{"name": "test", "paths": []}]
    assert four_runs(machine, "stat_overrides", wish, told="overrides") == {"/opt/tool2": "taken back"}
    assert machine.ok("stat -c '%G %a' /opt/tool2") == "root 4755\n"
    assert "/opt" not in machine.ok("dpkg-statoverride --list")
    machine.ok("rm /opt/tool*; groupdel builders")


def test_stat_overrides_puts_back_what_an_administrator_had_entered(machine: Machine) -> None:
    machine.ok("install -m 755 /bin/true /opt/tool && dpkg-statoverride --update --add root adm 0710 /opt/tool")
    wish = {"sets": [{"name": "test", "paths": ["/opt/tool"], "group": "sudo"}]}
    gone = {"sets": [{"name": "test", "paths": []}]}
    assert [r["changed"] for r in runs(machine, "stat_overrides", (wish, False), (wish, False), (gone, False))] == [
        True,
        False,
        True,
    ]
    assert machine.ok("dpkg-statoverride --list /opt/tool").split() == ["root", "adm", "710", "/opt/tool"]
    machine.ok("dpkg-statoverride --remove /opt/tool; rm /opt/tool")


@pytest.mark.parametrize(
    ("wish", "told"),
    [
        ({"sets": [{"name": "a", "paths": ["/usr/bin/sudo"]}]}, "needed for logging in"),
        ({"sets": [{"name": "a", "paths": ["relative"]}]}, "no absolute path"),
        ({"sets": [{"name": "a", "paths": [], "group": "no_such"}]}, "no group no_such"),
        ({"sets": [{"name": "a", "paths": [], "mode": "rwx"}]}, "octal"),
        ({"sets": [{"name": "a", "paths": ["/usr/bin/chage"], "group": "sudo"}]}, "set-group-id"),
        ({"sets": [], "groups": ["Bad Name"]}, "small letters"),
    ],
)
def test_stat_overrides_refuses_and_changes_nothing(machine: Machine, wish: dict[str, Any], told: str) -> None:
    result = runs(machine, "stat_overrides", (wish, False))[0]
    assert result["failed"]
    assert told in result["msg"]
    assert result["msg"].endswith("nothing was changed")


# --- cron and at


@pytest.mark.control("PRIV-08")
def test_cron_and_at_are_for_those_who_are_listed(machine: Machine, plain: str, verdicts: Verdicts) -> None:
    install(machine, "cron", "at")
    try:
        converge(machine)
        crontab, at = "echo '@daily true' | crontab -", "echo true | at now + 1 day"
        assert as_user(machine, plain, crontab).rc != 0
        assert as_user(machine, plain, at).rc != 0
        assert machine.run(crontab + " && crontab -r").rc == 0, "root has no crontab"
        assert as_user(machine, plain, "ls /etc/cron.d").rc != 0
        listed = {"privileges_cron_users": [plain], "privileges_at_users": [plain]}
        converge(machine, **listed)
        assert as_user(machine, plain, crontab).rc == 0
        assert as_user(machine, plain, at).rc == 0
        assert verdicts("--tags", "PRIV-08", *settings(**listed))["PRIV-08"] == "pass"
        converge(machine)
        assert verdicts("--tags", "PRIV-08", *settings())["PRIV-08"] == "fail", (
            "jobs of somebody not listed go on unseen"
        )
        machine.ok(f"rm /var/spool/cron/crontabs/{plain} && atrm $(atq | cut -f1)")
        assert verdicts("--tags", "PRIV-08", *settings())["PRIV-08"] == "pass"
    finally:
        purge(machine, "cron", "at")
        converge(machine)


# --- polkit, root, system accounts


@pytest.mark.control("PRIV-09")
def test_rules_of_polkit_that_give_rights_away_are_found(machine: Machine, verdicts: Verdicts) -> None:
    install(machine, "polkitd")
    try:
        assert verdicts("--tags", "PRIV-09", *settings())["PRIV-09"] == "pass"
        rule = "/etc/polkit-1/rules.d/10-planted.rules"
        machine.ok(
            f"echo 'polkit.addRule(function(a, s) {{ return polkit.Result.YES; }});' > {rule} && chmod 644 {rule}"
        )
        assert verdicts("--tags", "PRIV-09", *settings())["PRIV-09"] == "fail"
        reason = settings(privileges_polkit_rules=[{"name": rule, "reason": "kiosk"}])
        assert verdicts("--tags", "PRIV-09", *reason)["PRIV-09"] == "pass"
        machine.ok(f"echo 'polkit.addAdminRule(function(a, s) {{ return [\"unix-user:visitor\"]; }});' > {rule}")
        assert verdicts("--tags", "PRIV-09", *settings())["PRIV-09"] == "fail"
        machine.ok(f"echo '// polkit.Result.YES' > {rule}")
        assert verdicts("--tags", "PRIV-09", *settings())["PRIV-09"] == "pass"
        machine.ok(f"chmod 666 {rule}")
        assert verdicts("--tags", "PRIV-09", *settings())["PRIV-09"] == "fail"
    finally:
        machine.run("rm -f /etc/polkit-1/rules.d/10-planted.rules")
        purge(machine, "polkitd")


@pytest.mark.control("PRIV-10")
def test_what_root_makes_is_roots(machine: Machine, plain: str) -> None:
    machine.ok("rm -f /opt/made; su - root -c 'touch /opt/made'")
    assert as_user(machine, plain, "cat /opt/made").rc != 0
    assert as_user(machine, plain, "ls /root").rc != 0
    assert machine.ok(f"su - {plain} -c umask").strip() != "0027", "others' defaults are their own"
    machine.ok("rm /opt/made")


@pytest.mark.control("PRIV-11")
def test_accounts_of_the_system_that_can_be_logged_in_to_are_found(machine: Machine, verdicts: Verdicts) -> None:
    machine.ok("usermod -s /bin/bash games")
    try:
        assert verdicts("--tags", "PRIV-11", *settings())["PRIV-11"] == "fail"
        reason = settings(privileges_system_shells=[{"name": "games", "reason": "the example"}])
        assert verdicts("--tags", "PRIV-11", *reason)["PRIV-11"] == "pass"
        machine.ok("usermod -s /usr/sbin/nologin games && passwd -d games")
        assert verdicts("--tags", "PRIV-11", *settings())["PRIV-11"] == "fail"
    finally:
        machine.ok("usermod -s /usr/sbin/nologin -p '*' games")
    assert verdicts("--tags", "PRIV-11", *settings())["PRIV-11"] == "pass"


@pytest.mark.control("PRIV-12")
def test_side_doors_to_roots_shell_are_found(
    machine: Machine, plain: str, drop_in: Callable[[str], None], verdicts: Verdicts
) -> None:
    drop_in(f"{plain} ALL=(root) /bin/bash")
    assert by_sudo(machine, plain, "/bin/bash -c id").rc == 0
    assert verdicts("--tags", "PRIV-12", *settings())["PRIV-12"] == "fail"
    drop_in(f"{plain} ALL=(root) /usr/bin/systemctl restart example.service")
    assert verdicts("--tags", "PRIV-12", *settings())["PRIV-12"] == "pass"


UNDONE: tuple[dict[str, str], ...] = (
    {
        "PRIV-01": "sed -i s/passwd_tries=3/passwd_tries=30/ /etc/sudoers.d/zz-kijun-privileges",
        "PRIV-02": "echo 'Defaults:admin !use_pty' > /etc/sudoers.d/zzz && chmod 440 /etc/sudoers.d/zzz",
        "PRIV-06": "sed -i /pam_wheel/d /etc/pam.d/su",
        "PRIV-07": "chmod 755 /usr/bin/dmesg",
        "PRIV-08": "rm /etc/cron.allow",
        "PRIV-10": "chmod 755 /root",
    },
    {"PRIV-04": "echo 'Defaults !logfile' > /etc/sudoers.d/zzz"},
    {"PRIV-05": "echo 'Defaults !log_output' > /etc/sudoers.d/zzz"},
    {"PRIV-13": "chmod 660 /etc/sudoers.d/zz-kijun-privileges"},
)
"""Control -> how somebody undoes it by hand; what is done at a time is done to different files."""


@pytest.mark.control(*(control for group in UNDONE for control in group))
def test_audit_notices_what_is_undone_and_the_role_mends_it(machine: Machine, verdicts: Verdicts) -> None:
    converge(machine)
    assert as_wanted(verdicts("--tags", "privileges", *settings()))
    later = [control for group in UNDONE for control in group]
    tags = ",".join(later)
    for group in UNDONE:
        for command in group.values():
            machine.ok(command)
        later = [control for control in later if control not in group]
        seen = verdicts("--tags", tags, *settings())
        assert {control: seen[control] for control in group} == dict.fromkeys(group, "fail")
        # Nothing fails on account of them before its own turn comes.
        assert {control: seen[control] for control in later} == dict.fromkeys(later, "pass")
    machine.ok("rm /etc/sudoers.d/zzz")  # somebody else's file, which no role removes
    converge(machine)
    assert as_wanted(verdicts("--tags", "privileges", *settings()))


# --- the design of access rights


@pytest.mark.control("PRIV-14")
def test_each_version_of_the_design_is_approved_and_kept(machine: Machine, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/ledger.sqlite"
    upgrade(url)
    page = tmp_path / "out" / "access.md"

    def run(**variables: Any) -> tuple[int, str]:
        given = {"kijun_ledger_url": url, "kijun_actor": "operator", "access_design_directory": str(page.parent)}
        done = machine.playbook("access_design", "-e", json.dumps({**given, **variables}))
        return done.returncode, done.stdout + done.stderr

    def events() -> list[Any]:
        with Ledger(url) as ledger:
            return list(ledger.events("access_designs"))

    approved = {"access_design_approver": "Sample Manager", "access_design_ticket": "CHG-1"}
    code, told = run()
    assert code == 0, told
    assert events() == [], "a design that nobody approved is in force"
    assert "draft" in page.read_text(encoding="utf-8")
    code, told = run(**{**approved, "access_design_approver": "operator"})
    assert code != 0
    assert "nobody approves what they themselves asked for" in told
    assert run(**approved)[0] == 0
    assert run(**{**approved, "access_design_ticket": "CHG-9"})[0] == 0
    assert len(events()) == 1, "nothing had changed, and a version was entered"
    code, told = run(privileges_cron_users=["batch"], **{**approved, "access_design_ticket": "CHG-2"})
    assert code == 0
    assert f"{machine.name} privileges_cron_users" in told
    found = events()
    assert [(event.approver, event.ticket) for event in found] == [
        ("Sample Manager", "CHG-1"),
        ("Sample Manager", "CHG-2"),
    ]
    document = json.loads(page.with_suffix(".json").read_text(encoding="utf-8"))
    assert document["hosts"][0]["hosts"] == [machine.name]
    assert document["hosts"][0]["settings"]["privileges_cron_users"] == ["batch"]
    assert digest(canonical(document)) == found[-1].payload["digest"]
