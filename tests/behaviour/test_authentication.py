# SPDX-License-Identifier: GPL-3.0-or-later
"""Attacks on the controls of role authentication, on hosts that the role has been applied to."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Callable

import pexpect
import pytest
from kijun_lab import description

from .conftest import GOOD, ROOT, Machine, together

Verdicts = Callable[..., dict[str, str]]

AUDITED = "authentication,time_sync"

WRONG = "Not-the-1!"


def by_ssh(machine: Machine, user: str, password: str) -> bool:
    return machine.logs_in(user, password)


def by_su(machine: Machine, user: str, password: str) -> bool:
    machine.run("id asker || useradd -m asker")
    return machine.run(f"echo {shlex.quote(password)} | runuser -u asker -- su {user} -c true").rc == 0


def by_sudo(machine: Machine, user: str, password: str) -> bool:
    return machine.run(f"echo {shlex.quote(password)} | runuser -u {user} -- sudo -k -S true").rc == 0


WAYS = pytest.mark.parametrize("enter", [by_ssh, by_su, by_sudo], ids=["ssh", "su", "sudo"])


def fail(machine: Machine, user: str, times: int) -> None:
    """Make that many failed logins, by su, which is the quickest."""
    assert not any(together(lambda: by_su(machine, user, WRONG), times))


def sets(machine: Machine, user: str, password: str) -> bool:
    """Whether passwd takes a password, root asking: the checks bind root, too."""
    return machine.run(f"printf '%s\\n%s\\n' {shlex.quote(password)} {shlex.quote(password)} | passwd {user}").rc == 0


def not_held(found: dict[str, str]) -> dict[str, str]:
    """What of site.yml's controls does not hold. Accounts are the ledger's, which this scenario has none of."""
    ours = {control: verdict for control, verdict in found.items() if control.startswith(("AUTH-", "TIME-"))}
    return {control: verdict for control, verdict in ours.items() if verdict not in ("pass", "not_applicable")}


@WAYS
@pytest.mark.control("AUTH-07")
def test_nine_failures_do_not_lock_and_ten_do(machine: Machine, person: str, enter: Callable[..., bool]) -> None:
    assert enter(machine, person, GOOD)
    assert not any(together(lambda: enter(machine, person, WRONG), 9))
    assert enter(machine, person, GOOD), "nine failures locked the account"
    assert not any(together(lambda: enter(machine, person, WRONG), 10))
    assert not enter(machine, person, GOOD), "ten failures did not lock the account"
    machine.ok(f"faillock --user {person} --reset")
    assert enter(machine, person, GOOD), "the administrator could not lift the lock"


@pytest.mark.control("AUTH-08")
def test_lock_holds_in_every_way_in_and_across_a_restart(machine: Machine, person: str) -> None:
    fail(machine, person, 10)
    assert not any(enter(machine, person, GOOD) for enter in (by_ssh, by_su, by_sudo))
    subprocess.run(["lab/lab", "reboot", machine.name], cwd=ROOT, check=True, capture_output=True, timeout=60)
    assert not by_ssh(machine, person, GOOD), "a restart lifted the lock"
    machine.ok(f"faillock --user {person} --reset")
    assert by_ssh(machine, person, GOOD)


@pytest.mark.control("AUTH-07")
def test_failures_weeks_apart_count(machine: Machine, person: str) -> None:
    fail(machine, person, 9)
    # The tally as it is six days later, when the daily timer has run: records of 64 bytes that end in the time.
    machine.python(
        "import struct, time\n"
        f"path = '/var/lib/faillock/{person}'\n"
        "data = bytearray(open(path, 'rb').read())\n"
        "for place in range(56, len(data), 64): struct.pack_into('=Q', data, place, int(time.time()) - 30 * 86400)\n"
        "open(path, 'r+b').write(data)\n"
    )
    machine.ok("systemctl start kijun-faillock-keep.service")
    fail(machine, person, 1)
    assert not by_ssh(machine, person, GOOD), "failures of a month ago were forgotten"


@pytest.mark.control("AUTH-07")
def test_a_success_clears_the_count_and_root_is_not_locked(machine: Machine, person: str) -> None:
    fail(machine, person, 9)
    assert by_su(machine, person, GOOD)
    fail(machine, person, 9)
    assert by_su(machine, person, GOOD), "failures before a success counted"
    machine.ok(f"echo {shlex.quote(f'root:{GOOD}')} | chpasswd")
    try:
        fail(machine, "root", 11)
        assert by_su(machine, "root", GOOD), "root's way in at the console is locked"
    finally:
        machine.ok("passwd -l root && rm -f /var/lib/faillock/root")


@pytest.mark.control("AUTH-06", "AUTH-07")
def test_key_login_is_cut_neither_by_a_lock_nor_by_age(machine: Machine, person: str) -> None:
    fail(machine, person, 10)
    machine.ok(f"chage -d 2020-01-01 {person}")
    assert not machine.logs_in(person, GOOD)
    assert machine.logs_in_by_key(person)
    assert machine.logs_in_by_key("admin")
    fail(machine, person, 1)
    machine.ok(f"test $(faillock --user {person} | grep -c V) -ge 10")


@pytest.mark.control("AUTH-07")
def test_break_glass_account_never_locks_nor_ages(machine: Machine, person: str, verdicts: Verdicts) -> None:
    settings = f'{{"authentication_break_glass_accounts": ["{person}"]}}'
    machine.ok(f"chage -M 99999 {person}")
    machine.site("-e", settings)
    try:
        fail(machine, person, 12)
        assert by_ssh(machine, person, GOOD)
        assert "99999" in machine.ok(f"grep ^{person}: /etc/shadow")
        seen = verdicts("-e", settings)
        assert (seen["AUTH-06"], seen["AUTH-07"]) == ("pass", "pass")
    finally:
        machine.site()
    fail(machine, person, 10)
    assert not by_ssh(machine, person, GOOD), "no longer exempt, it still does not lock"


@pytest.mark.control("AUTH-01", "AUTH-02", "AUTH-03", "AUTH-04")
@pytest.mark.parametrize(
    ("password", "taken"),
    [
        ("password1", False),  # a dictionary word, no capital, no special character
        ("KitamuraYokoha7", False),  # no special character
        ("Kita!mura#7xY", False),  # thirteen characters
        ("kita!mura#7xyo", False),  # no capital
        ("KITA!MURA#7XYO", False),  # no small letter
        ("Administrator!!", False),  # a dictionary word in disguise
        ("Kita!Worker#7xY", False),  # the user's name
        ("Kita!muuuura#7x", False),  # one character four times in a row
        ("Kita!1234mura#x", False),  # a sequence of four
        ("Kita!mura#7xYo", True),
        ("Yo#koh@Ma-Kitam", True),  # no digit: none is asked for
    ],
)
def test_passwd_takes_good_passwords_only(machine: Machine, person: str, password: str, taken: bool) -> None:
    assert sets(machine, person, password) is taken
    assert machine.logs_in(person, password) is taken


@pytest.mark.control("AUTH-04", "AUTH-11")
def test_user_changes_the_password_at_a_terminal(machine: Machine, person: str) -> None:
    session = machine.terminal(person, GOOD, "passwd")
    session.expect("urrent.*:")
    session.sendline(GOOD)
    session.expect("New password:")
    session.sendline("password1")
    session.expect("BAD PASSWORD")
    session.expect("New password:")
    session.sendline("Kita!mura#7xYo")
    session.expect("[Rr]etype.*:")
    session.sendline("Kita!mura#7xYo")
    session.expect("updated successfully")
    session.expect(pexpect.EOF)
    assert machine.logs_in(person, "Kita!mura#7xYo")
    assert machine.ok(f"getent shadow {person}").split(":")[1].startswith("$y$")


@pytest.mark.control("AUTH-05")
def test_each_of_the_last_passwords_is_refused(machine: Machine, person: str) -> None:
    used = [f"{place}-tO#ku-{place[::-1]}" for place in (
        "sapporo", "aomori", "morioka", "sendai", "akita", "yamagata", "mito", "chiba", "kofu", "nagano", "gifu",
        "otsu", "nara", "nagoya", "kanazawa", "fukui", "toyama", "niigata", "maebashi", "urawa", "wakayama", "kobe",
        "okayama", "tottori", "matsue",
    )]  # fmt: skip
    for password in used:
        assert sets(machine, person, password), password
    assert [password for password in used[1:] if sets(machine, person, password)] == []
    assert machine.logs_in(person, used[-1])
    assert sets(machine, person, used[0]), "the one before the last 24 is refused"


@pytest.mark.control("AUTH-05")
def test_nobody_runs_through_the_history_in_a_day(machine: Machine, person: str) -> None:
    machine.ok(f"chage -m $(awk '$1 == \"PASS_MIN_DAYS\" {{print $2}}' /etc/login.defs) {person}")
    session = machine.terminal(person, GOOD, "passwd")
    session.expect("urrent.*:")
    session.sendline(GOOD)
    session.expect("must wait longer")
    session.close()
    machine.ok(f"chage -d 0 {person}")
    change_at_login(machine, person, "Kita!mura#7xYo")
    assert machine.logs_in(person, "Kita!mura#7xYo"), "a change that is asked for is refused"


@pytest.mark.control("AUTH-06", "AUTH-10")
def test_expired_password_must_be_changed(machine: Machine, person: str) -> None:
    machine.ok(f"chage -M 90 -d $(date -d '100 days ago' +%F) {person}")
    assert not machine.logs_in(person, GOOD), "a command ran before the password was changed"
    change_at_login(machine, person, "Kita!mura#7xYo")
    assert machine.logs_in(person, "Kita!mura#7xYo")


@pytest.mark.control("AUTH-06")
def test_a_password_long_expired_opens_nothing_and_keys_still_do(machine: Machine, person: str) -> None:
    machine.ok(f"chage -M 90 -d $(date -d '140 days ago' +%F) {person}")
    session = machine.terminal(person, GOOD)
    session.expect("has expired; please contact")
    session.expect(pexpect.EOF)
    assert machine.logs_in_by_key(person, "echo welcome"), "a password that nobody uses shuts out whoever has a key"


def change_at_login(machine: Machine, user: str, new: str) -> None:
    """Log in at a terminal where a change is forced, and make it."""
    session = machine.terminal(user, GOOD)
    session.expect("urrent.*:")
    session.sendline(GOOD)
    session.expect("New password:")
    session.sendline(new)
    session.expect("[Rr]etype.*:")
    session.sendline(new)
    session.expect(["updated successfully", pexpect.EOF])
    session.close()


@pytest.mark.control("AUTH-10")
def test_first_login_asks_for_a_new_password_once(machine: Machine, person: str) -> None:
    settings = ("-e", f'{{"authentication_first_login_accounts": ["{person}"]}}')
    machine.run("rm -f /var/lib/kijun/first_login.json")
    machine.site(*settings)
    assert not machine.logs_in(person, GOOD)
    change_at_login(machine, person, "Kita!mura#7xYo")
    assert machine.logs_in(person, "Kita!mura#7xYo")
    machine.site(*settings)
    assert machine.logs_in(person, "Kita!mura#7xYo"), "it was asked a second time"


@pytest.mark.control("AUTH-06")
def test_ages_of_accounts_that_are_there_already(machine: Machine, person: str, verdicts: Verdicts) -> None:
    machine.run("userdel -rf service")
    machine.ok("useradd -M service")  # no password: key-only and service accounts are like this
    machine.ok(f"chage -M 99999 {person} && chage -M 99999 -E -1 service")
    machine.ok(f"sed -i -E 's/^({person}:[^:]*:)[0-9]+:/\\1:/' /etc/shadow")
    assert verdicts()["AUTH-06"] == "fail"
    machine.site()
    fields = machine.ok(f"getent shadow {person}").split(":")
    assert fields[4] == "90"
    assert fields[2], "without a date of change there is no ageing"
    assert machine.ok("getent shadow service").split(":")[4] == "99999", "an account without a password was aged"
    assert verdicts()["AUTH-06"] == "pass"


@pytest.mark.control("AUTH-09")
def test_nobody_gets_in_without_a_password(machine: Machine, person: str, verdicts: Verdicts) -> None:
    machine.ok(f"passwd -d {person}")
    assert not by_ssh(machine, person, "")
    assert not by_su(machine, person, "")
    assert verdicts()["AUTH-09"] == "fail"


@pytest.mark.control("AUTH-12")
def test_malformed_lines_are_told_and_the_audit_goes_on(machine: Machine, verdicts: Verdicts) -> None:
    machine.ok("cp -a /etc/passwd /root/passwd && cp -a /etc/shadow /root/shadow && cp -a /etc/pam.d/su /root/su")
    try:
        machine.ok("echo broken:x:1 >> /etc/passwd; echo half:$ >> /etc/shadow; echo nonsense >> /etc/pam.d/su")
        seen = verdicts("--tags", "all")
        assert seen["AUTH-12"] == "fail"
        assert seen["AUTH-05"] == "pass"
    finally:
        machine.ok("mv /root/passwd /etc/passwd; mv /root/shadow /etc/shadow; mv /root/su /etc/pam.d/su")
    assert verdicts()["AUTH-12"] == "pass"


UNDONE: tuple[dict[str, str], ...] = (
    {
        "AUTH-01": "sed -i 's/^minlen.*/minlen = 6/' /etc/security/pwquality.conf",
        "AUTH-05": "sed -i 's/remember=24/remember=2/' /etc/pam.d/common-password",
        "AUTH-06": "sed -i 's/^PASS_MAX_DAYS.*/PASS_MAX_DAYS 99999/' /etc/login.defs",
        "AUTH-08": "sed -i 's/^unlock_time.*/unlock_time = 60/' /etc/security/faillock.conf",
        "AUTH-09": "sed -i 's/pam_unix.so/pam_unix.so nullok/' /etc/pam.d/common-auth",
        "AUTH-10": "sed -i 's/new_authtok_reqd=done/new_authtok_reqd=ignore/' /etc/pam.d/common-account",
        "AUTH-12": "chmod 644 /etc/shadow",
    },
    {
        "AUTH-02": "sed -i 's/^ocredit.*/ocredit = 1/' /etc/security/pwquality.conf",
        "AUTH-11": "sed -i 's/yescrypt/md5/' /etc/pam.d/common-password",
    },
    {
        "AUTH-03": "sed -i 's/^dictcheck.*/dictcheck = 0/' /etc/security/pwquality.conf",
        "AUTH-07": "sed -i '1i auth sufficient pam_unix.so' /etc/pam.d/common-auth",
    },
    {"AUTH-04": "sed -i 's/^password.*pam_pwquality/#&/' /etc/pam.d/common-password"},
)
"""Control -> how somebody undoes it by hand; what is done at a time is done to different files."""


@pytest.mark.control(*(control for group in UNDONE for control in group))
def test_audit_notices_what_is_undone_and_the_role_mends_it(machine: Machine, verdicts: Verdicts) -> None:
    machine.site()
    assert not_held(verdicts()) == {}
    undone: set[str] = set()
    for group in UNDONE:
        for command in group.values():
            machine.ok(command)
        undone |= group.keys()
        # Those alone: nothing else fails on account of them, before its own turn comes.
        assert not_held(verdicts()) == dict.fromkeys(undone, "fail")
    machine.ok("chmod 640 /etc/shadow")  # the one that no role mends by itself: its owner is shadow's own package
    machine.site()
    assert not_held(verdicts()) == {}


@pytest.mark.control("AUTH-02", "AUTH-06")
def test_profile_nist_is_reported_as_a_deviation(machine: Machine, verdicts: Verdicts) -> None:
    seen = verdicts("-e", "authentication_profile=nist")
    assert (seen["AUTH-02"], seen["AUTH-06"]) == ("fail", "fail")


def test_the_lab_is_the_one_that_was_asked_for(machine: Machine) -> None:
    assert machine.address.split(".")[2] == str(description.instance_number())
