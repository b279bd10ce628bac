# SPDX-License-Identifier: GPL-3.0-or-later
"""A PC and a user of it who installs, runs and sets what he must not; the audit sees what was undone."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pexpect
import pyrage
import pytest
from kijun_hosts import GOOD, Machine, code, make_person, remove_person
from kijun_lab import identity
from kijun_logs import wait_for

Verdicts = Callable[..., dict[str, str]]

AUDITED = "WS-01,WS-02,WS-03,WS-04,WS-05,WS-06,WS-07,WS-08,WS-12,WS-15"
INVENTORY = ("-i", "inventories/lab", "-i", "molecule/client/inventory")
PLAY = "molecule/client/converge.yml"
USER = "worker"
HOME = f"/home/{USER}"
STICK = "/media/stick"
REFUSED = ("Operation not permitted", "Permission denied")


def install(machine: Machine, *names: str) -> None:
    command = f"DEBIAN_FRONTEND=noninteractive apt-get -y -qq --no-install-recommends install {' '.join(names)}"
    machine.ok(f"{command} >/dev/null 2>&1 || (apt-get -qq update && {command})")


def apply(machine: Machine, *arguments: str, **settings: Any) -> subprocess.CompletedProcess[str]:
    """Apply the role to the host."""
    return machine.playbook(PLAY, "--skip-tags", "updates", *arguments, "-e", json.dumps(settings))


def applied(machine: Machine, *arguments: str, **settings: Any) -> str:
    """Apply the role, which must succeed, and return what was printed."""
    done = apply(machine, *arguments, **settings)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def user(machine: Machine, command: str) -> Any:
    """Run a shell command as the user, with his session's bus at hand."""
    command = f"export XDG_RUNTIME_DIR=/run/user/$(id -u); {command}"
    return machine.run(f"cd /; runuser -l {USER} -c {shlex.quote(command)}")


@pytest.fixture(scope="session")
def pc(machine: Machine) -> Iterator[Machine]:
    """A PC with the role applied, and a user at it."""
    machine.inventory = INVENTORY
    if machine.run("systemctl is-active kijun-workstation-watch.timer").rc:
        done = machine.playbook(PLAY)
        assert done.returncode == 0, done.stdout + done.stderr
    machine.ok(f"id {USER} 2>/dev/null || useradd -m -s /bin/bash {USER}")
    # Another session beside those of the tests keeps his user manager from coming and going.
    machine.ok(f"loginctl enable-linger {USER}")
    install(machine, "libglib2.0-bin", "gsettings-desktop-schemas", "dbus-user-session")
    yield machine
    machine.run(f"loginctl disable-linger {USER}; pkill -KILL -u {USER}; sleep 1; userdel -rf {USER}")


WAYS = {
    "a program copied home": "cp /usr/bin/id ~/prog; ~/prog",
    "a program in /tmp": "cp /usr/bin/id /tmp/prog; /tmp/prog",
    "a program in /var/tmp": "cp /usr/bin/id /var/tmp/prog; /var/tmp/prog",
    "a program in shared memory": "cp /usr/bin/id /dev/shm/prog; /dev/shm/prog",
    "a program on a medium": f"{STICK}/prog",
    "a script of the shell": "printf '#!/bin/sh\\nid\\n' >~/script; chmod +x ~/script; ~/script",
    "a program by the dynamic linker": "cp /usr/bin/id ~/prog; /lib64/ld-linux-x86-64.so.2 ~/prog",
    "a library that is loaded before all others": f"LD_PRELOAD={STICK}/lib.so id 2>&1 | grep -q ignored || id",
    "a library": f"""python3 -c "import ctypes; ctypes.CDLL('{STICK}/lib.so')" && id""",
    "an AppImage": f"{STICK}/Some.AppImage",
    "a script of Python": "printf 'import os\\ndef f():\\n    os.system(\"id\")\\nf()\\n' >~/s.py; python3 ~/s.py",
    "a script of Perl": "printf '#!/usr/bin/perl\\nsystem(\"id\");\\n' >~/s.pl; perl ~/s.pl",
    "pip install --user": f"python3 -m pip install --user --break-system-packages --no-index {STICK}/tool.whl && id",
    "what pip left elsewhere": f"mkdir -p ~/.local; cp -r {STICK}/local/* ~/.local; ~/.local/bin/tool",
    "a module of pip's that is a library": f"PYTHONPATH={STICK}/local/lib python3 -c 'import native' && id",
    "apt": "apt-get -y install hello && id",
    "apt by sudo": "sudo -n apt-get -y install hello && id",
    "a package unpacked at home": f"dpkg -x {STICK}/tool.deb ~/deb && ~/deb/usr/bin/tool",
    "dpkg": f"dpkg -i {STICK}/tool.deb && id",
    "flatpak": "flatpak install --user --noninteractive some.App && id",
    "snap": "snap install hello && id",
}

PREPARE = f"""
mkdir -p {STICK}; mountpoint -q {STICK} || mount -t tmpfs -o mode=755 kijunstick {STICK}
mkdir -p {STICK}/local/bin {STICK}/local/lib {STICK}/deb/DEBIAN {STICK}/deb/usr/bin
cp /usr/bin/id {STICK}/prog; cp /usr/bin/id {STICK}/local/bin/tool; cp /usr/bin/id {STICK}/deb/usr/bin/tool
cp /lib/x86_64-linux-gnu/libz.so.1 {STICK}/lib.so
cp {STICK}/lib.so {STICK}/local/lib/native.so
printf '%s\\n' 'Package: kijuntool' 'Version: 1' 'Architecture: all' 'Maintainer: x' 'Description: x' >{STICK}/control
mv {STICK}/control {STICK}/deb/DEBIAN/control
dpkg-deb --build --root-owner-group {STICK}/deb {STICK}/tool.deb >/dev/null
# An AppImage: a program with a sign of its own in the header, and a file system behind it.
cp /usr/bin/id {STICK}/Some.AppImage
printf 'AI\\002' | dd of={STICK}/Some.AppImage bs=1 seek=8 conv=notrunc status=none
chmod -R a+rX {STICK}; chmod 755 {STICK}/Some.AppImage {STICK}/prog
"""


@pytest.fixture(scope="session")
def stick(pc: Machine) -> Iterator[Machine]:
    """A medium, mounted after all else, with what a user could bring on one."""
    pc.ok(PREPARE)
    yield pc
    pc.run(f"umount {STICK}; rmdir {STICK}")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.control("WS-04", "WS-05")
def test_a_user_neither_installs_nor_runs_what_is_not_approved(stick: Machine, way: str) -> None:
    done = user(stick, WAYS[way])
    assert "uid=" not in done.stdout, f"it ran: {done.stdout}{done.stderr}"


@pytest.mark.control("WS-04")
def test_what_is_approved_and_what_is_no_program_is_as_before(stick: Machine) -> None:
    # The attacks themselves work: for root, to whom nothing is refused.
    assert "uid=0" in stick.ok(f"{STICK}/prog && {STICK}/Some.AppImage && {STICK}/local/bin/tool")
    assert "uid=" in user(stick, "id").stdout
    assert (
        user(stick, "printf 'text\\n' >~/a.txt && printf '<html></html>' >~/a.html && cat ~/a.txt").stdout == "text\n"
    )
    stick.ok("mkdir -p /opt/kijuntest && cp /usr/bin/id /opt/kijuntest/tool && chmod -R a+rX /opt/kijuntest")
    assert "uid=" in user(stick, "/opt/kijuntest/tool").stdout
    stick.ok(f"usermod -aG src {USER}")
    try:
        assert "uid=" in user(stick, "cp /usr/bin/id ~/built && ~/built").stdout
    finally:
        stick.ok(f"gpasswd -d {USER} src")
    assert "uid=" not in user(stick, "~/built").stdout
    # It is said who was refused what.
    assert f"path={HOME}/built" in stick.ok("journalctl -b -o cat -t fapolicyd | grep perm=execute | tail -3")


@pytest.mark.control("WS-04")
def test_the_daemon_comes_back_and_a_bad_change_of_its_files_goes_at_the_next_start(pc: Machine) -> None:
    before = pc.ok("cat /run/fapolicyd.pid")
    pc.ok("kill -KILL $(cat /run/fapolicyd.pid)")
    assert wait_for(lambda: pc.run("cat /run/fapolicyd.pid").stdout not in ("", before), 20)
    pc.ok("echo 'allow perm=any all : all' >/etc/fapolicyd/compiled.rules; systemctl restart fapolicyd")
    time.sleep(1)
    assert "uid=" not in user(pc, "cp /usr/bin/id ~/prog; ~/prog").stdout


@pytest.mark.control("WS-04", "WS-12")
def test_rounds_that_come_at_the_same_time_do_not_break_each_other(pc: Machine) -> None:
    pc.ok(
        "set -e; for i in $(seq 20); do for name in workstation-settings program-rules; do "
        '/usr/local/lib/kijun/$name & pids="$pids $!"; done; done; for pid in $pids; do wait $pid; done'
    )
    assert not pc.run("ls /etc/fapolicyd/*.new").stdout
    pc.ok("grep -q . /etc/fapolicyd/compiled.rules; systemctl restart fapolicyd")


@pytest.mark.control("WS-04")
def test_a_group_that_is_gone_lets_nobody_run_anything(pc: Machine, verdicts: Verdicts) -> None:
    pc.ok("groupdel src; systemctl restart fapolicyd")
    try:
        time.sleep(1)
        assert pc.ok("systemctl is-active fapolicyd").strip() == "active"
        assert "uid=" not in user(pc, "cp /usr/bin/id ~/prog; ~/prog").stdout
        assert verdicts("--tags", "WS-04")["WS-04"] == "fail"
    finally:
        pc.ok("groupadd -g 40 src; systemctl restart fapolicyd")
    time.sleep(1)
    assert verdicts("--tags", "WS-04")["WS-04"] == "pass"


POLICY = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE policyconfig PUBLIC "-//freedesktop//DTD polkit Policy Configuration 1.0//EN"
 "http://www.freedesktop.org/software/polkit/policyconfig-1.dtd">
<policyconfig><action id="%s"><description>x</description><message>x</message>
<defaults><allow_any>yes</allow_any><allow_inactive>yes</allow_inactive><allow_active>yes</allow_active></defaults>
</action></policyconfig>
"""


@pytest.mark.control("WS-05")
def test_a_user_is_refused_installing_by_polkit_whatever_an_action_says(pc: Machine) -> None:
    install(pc, "polkitd")
    actions = ("org.freedesktop.packagekit.kijuntest", "org.example.kijuntest")
    for action in actions:
        pc.ok(f"cat >/usr/share/polkit-1/actions/{action}.policy <<'X'\n{POLICY % action}X")
    try:
        pc.ok("systemctl restart polkit")
        refused, granted = (user(pc, f"pkcheck --action-id {action} --process $$").rc for action in actions)
        assert (refused != 0, granted) == (True, 0)
    finally:
        pc.ok("rm -f /usr/share/polkit-1/actions/*.kijuntest.policy")


@pytest.mark.control("WS-01")
def test_a_user_cannot_change_when_his_screen_locks(pc: Machine) -> None:
    key = "org.gnome.desktop.session idle-delay"
    for before in ("", f"DCONF_PROFILE={HOME}/own ", "DCONF_PROFILE=/dev/null "):
        user(pc, "printf 'user-db:user\\n' >~/own")
        done = user(pc, f"{before}gsettings set {key} 0; {before}gsettings writable {key}; {before}gsettings get {key}")
        assert done.stdout.split("\n")[:2] == ["false", "uint32 900"], (before, done)
    # By dconf itself, below gsettings.
    assert user(pc, "dconf write /org/gnome/desktop/session/idle-delay 'uint32 0'").rc != 0
    assert user(pc, "dconf read /org/gnome/desktop/session/idle-delay").stdout == "uint32 900\n"
    assert user(pc, "gsettings get org.gnome.desktop.screensaver lock-enabled").stdout == "true\n"
    assert user(pc, "gsettings writable org.gnome.online-accounts whitelisted-providers").stdout in ("", "false\n")


@pytest.mark.control("WS-01")
def test_programs_of_a_session_do_not_read_other_settings_by_the_environment(pc: Machine) -> None:
    folder = "~/.config/environment.d"
    user(pc, f"mkdir -p {folder}; printf 'GSETTINGS_BACKEND=memory\\nKIJUNTEST=1\\n' >{folder}/x.conf")
    pc.ok(f"systemctl restart user@$(id -u {USER}).service; sleep 1")
    done = user(pc, "systemd-run --user --quiet --wait --pipe env")
    shown = done.stdout
    user(pc, f"rm -r {folder}")
    assert "KIJUNTEST=1" in shown, done
    assert "GSETTINGS_BACKEND" not in shown


@pytest.mark.control("WS-03")
def test_a_pc_that_was_away_for_sixty_days_makes_up_for_its_updates(pc: Machine, verdicts: Verdicts) -> None:
    stamp = "/var/lib/systemd/timers/stamp-apt-daily-upgrade.timer"
    timer = "apt-daily-upgrade.timer"
    pc.ok("rm -f /run/kijun/restart-told")
    pc.ok(f"systemctl stop {timer}; touch -d '60 days ago' {stamp}; systemctl start {timer}")
    begun = "systemctl show -P ActiveState apt-daily-upgrade.service"
    assert wait_for(lambda: time.time() - float(pc.ok(f"stat -c %Y {stamp}")) < 600, 60)
    assert wait_for(lambda: pc.ok(begun).strip() == "inactive", 240)
    assert verdicts("--tags", "WS-03")["WS-03"] == "pass"
    # An update that is in force after a restart is told to who is there.
    pc.ok("touch /run/reboot-required; systemctl start kijun-workstation-watch.service; rm /run/reboot-required")
    assert "told of a restart" in pc.ok("journalctl -b -o cat -u kijun-workstation-watch.service")
    pc.ok("sed -i s/Persistent=true/Persistent=false/ /etc/systemd/system/apt-daily-upgrade.timer.d/zz-kijun.conf")
    pc.ok("systemctl daemon-reload")
    assert verdicts("--tags", "WS-03")["WS-03"] == "fail"
    done = pc.playbook(PLAY, "--tags", "updates")
    assert done.returncode == 0, done.stdout
    assert verdicts("--tags", "WS-03")["WS-03"] == "pass"


@pytest.mark.control("WS-06")
def test_software_that_is_prescribed_is_there_and_software_that_is_not_approved_is_named(
    pc: Machine, verdicts: Verdicts
) -> None:
    def judged(**settings: Any) -> str:
        return verdicts("--tags", "WS-06", "-e", json.dumps(settings))["WS-06"]

    pc.run("apt-get -y -qq purge hello tree")
    applied(pc, workstation_required_software=["tree"])
    assert pc.run("tree --version").rc == 0
    assert judged(workstation_required_software=["tree"]) == "pass"
    install(pc, "hello")
    assert judged(workstation_required_software=["tree"]) == "fail"
    # A typo approves nothing.
    assert judged(workstation_required_software=["tree"], assets_approved_software=["helo*"]) == "fail"
    assert judged(workstation_required_software=["tree"], assets_approved_software=["hel*"]) == "pass"
    pc.ok("apt-get -y -qq purge hello tree >/dev/null 2>&1")
    assert judged(workstation_required_software=["tree"]) == "fail"


UNDONE = {
    "WS-01": "rm /etc/dconf/db/kijun.d/locks/00-kijun && dconf update",
    "WS-02": "systemctl stop kijun-workstation-watch.timer",
    "WS-04": "sed -i 's/permissive = 0/permissive = 1/' /etc/fapolicyd/fapolicyd.conf",
    "WS-05": "sed -i /packagekit/d /etc/polkit-1/rules.d/00-kijun-software.rules",
    "WS-08": "mkdir -p /etc/gdm3 && printf '[daemon]\\nTimedLoginEnable = true\\n' >/etc/gdm3/daemon.conf",
    "WS-12": "sed -i 's/-enable=true/-enable=false/' /etc/dconf/db/kijun-greeter.d/00-kijun && dconf update",
}


@pytest.mark.control("WS-01", "WS-02", "WS-04", "WS-05", "WS-07", "WS-08", "WS-12", "WS-13")
def test_the_audit_passes_what_holds_and_notices_what_was_undone(
    pc: Machine, verdicts: Verdicts, tmp_path: Path
) -> None:
    own = {"WS-07", *UNDONE}
    tags = ("--tags", ",".join(sorted(own)))
    pc.ok("apt-get -y -qq purge dropbox 2>/dev/null || true")
    assert verdicts(*tags) == dict.fromkeys(own, "pass")
    # The timer first: what it starts puts most of it right again.
    pc.ok("\n".join([UNDONE["WS-02"], "sleep 1", *UNDONE.values()]))
    build = "/tmp/dropbox/DEBIAN"
    fields = "Package: dropbox\\nVersion: 1\\nArchitecture: all\\nMaintainer: x\\nDescription: x\\n"
    pc.ok(f"mkdir -p {build}; printf '{fields}' >{build}/control; dpkg-deb -b /tmp/dropbox /tmp/d.deb")
    pc.ok("dpkg -i /tmp/d.deb")
    assert verdicts(*tags) == dict.fromkeys(own, "fail")
    # Whoever runs the systems reads it on a page.
    page = (tmp_path / "latest" / "report.html").read_text(encoding="utf-8")
    assert all(word in page for word in (pc.name, *own))
    pc.ok("dpkg -P dropbox")
    assert "changed" in applied(pc)
    pc.ok("systemctl start kijun-workstation-watch.service")
    time.sleep(2)
    assert verdicts(*tags) == dict.fromkeys(own, "pass")


@pytest.mark.control("WS-01", "WS-04", "WS-08")
def test_the_audit_notices_other_ways_round_as_well(pc: Machine, verdicts: Verdicts) -> None:
    tags = ("--tags", "WS-01,WS-04,WS-08")
    pc.ok("mkdir -p /opt/kijuntest; chmod 777 /opt/kijuntest")
    getty = "/etc/systemd/system/getty@tty1.service.d"
    pc.ok(f"mkdir -p {getty}; printf '[Service]\\nExecStart=-/sbin/agetty --autologin worker %%I\\n' >{getty}/x.conf")
    pc.ok(f"rm /run/dconf/user/$(id -u {USER}); ln -s {HOME}/own /run/dconf/user/$(id -u {USER})")
    try:
        assert verdicts(*tags) == {"WS-01": "fail", "WS-04": "fail", "WS-08": "fail"}
    finally:
        pc.ok(f"chmod 755 /opt/kijuntest; rm -r {getty}; systemctl daemon-reload; rm /run/dconf/user/$(id -u {USER})")
        pc.ok("systemctl start kijun-workstation-watch.service")
    assert verdicts(*tags) == {"WS-01": "pass", "WS-04": "pass", "WS-08": "pass"}


@pytest.mark.control("WS-08")
def test_a_login_screen_that_comes_later_is_installed_and_then_set(pc: Machine) -> None:
    """dpkg asks about a file of gdm3's that is there before gdm3; screens are looked at all the while."""
    state, conf = "dpkg-query -W -f '${db:Status-Status}' gdm3", "/etc/gdm3/daemon.conf"
    dpkg = "DEBIAN_FRONTEND=noninteractive dpkg --force-depends"
    pc.ok(f"rm -rf /etc/gdm3; cd /tmp && apt-get -qq download gdm3 && {dpkg} --unpack gdm3_*.deb </dev/null 2>&1")
    try:
        assert pc.ok(state) == "unpacked"
        pc.ok("systemctl start kijun-workstation-watch.service")
        assert pc.run(f"test -e {conf}").rc == 1
        pc.ok(f"{dpkg} --configure gdm3 </dev/null 2>&1")
        assert pc.ok(state) == "installed"
        pc.ok("systemctl start kijun-workstation-watch.service")
        pc.ok(f"cmp {conf} /etc/kijun/workstation/gdm.conf")
    finally:
        pc.ok(f"rm -f /tmp/gdm3_*.deb; {dpkg} --purge gdm3 </dev/null 2>&1")


OPERATOR, EMERGENCY = "operator1", "breakglass"
SECRET = f"/var/lib/kijun/second_factor/{OPERATOR}"
PAM_FILES = "cd /etc/pam.d && sha256sum login gdm-*"
# As gdm3 is installed: its PAM files, and no desktop.
GDM = "cd /tmp && apt-get -qq download gdm3 && dpkg-deb --fsys-tarfile gdm3_*.deb | tar -xC / ./etc/pam.d"


def lets_in(machine: Machine, service: str, name: str, *answers: str) -> bool:
    """Whether a PAM service lets somebody in who gives these answers in turn; earlier tries are forgiven."""
    forgive = f"sed -i 's/^\\(\" RATE_LIMIT 3 30\\).*/\\1/' {SECRET} 2>/dev/null"
    given = shlex.join(["printf", "%s\\n", *answers])
    return bool(machine.run(f"{forgive}; {given} | pamtester {service} {name} authenticate").rc == 0)


def at_the_console(machine: Machine, name: str, *answers: str) -> str:
    """What login(1) says at a terminal to who gives these answers in turn."""
    line = [
        *machine.ssh("admin", "-tt", "-i", str(identity.USER_KEY)),
        f"sudo systemd-run --quiet --pty --wait --collect login {name}",
    ]
    session = pexpect.spawn(line[0], line[1:], timeout=15, encoding="utf-8")
    said = ""
    for answer in answers:
        session.expect("(?i)(verification code|password): ?")
        said += str(session.after)
        session.sendline(answer)
    session.expect(r"[$#] |incorrect")
    said += session.before + str(session.after)
    session.close()
    return said


@pytest.fixture
def people(pc: Machine) -> Iterator[Machine]:
    """Somebody who must give a code, somebody for emergencies, and a login screen, before the role comes."""
    install(pc, "pamtester")
    pc.ok(f"groupadd -f operators; echo {shlex.quote(f'{USER}:{GOOD}')} | chpasswd; {GDM}")
    for name in (OPERATOR, EMERGENCY):
        make_person(pc, name)
        pc.ok(f"usermod -aG operators {name}")
    yield pc
    pc.run(f"rm -f /etc/pam.d/gdm-* /tmp/gdm3_*.deb {SECRET}")
    for name in (OPERATOR, EMERGENCY):
        remove_person(pc, name)
    pc.run("groupdel operators")


@pytest.mark.control("WS-15")
def test_members_of_named_groups_give_a_code_at_the_pc(people: Machine, verdicts: Verdicts, tmp_path: Path) -> None:
    pc, tags = people, ("--tags", "WS-15")
    applied(pc, workstation_second_factor_groups=[])
    before = pc.ok(PAM_FILES)
    assert not pc.run("grep -rl kijun-workstation /etc/pam.d; dpkg -V login | grep pam.d").stdout
    assert lets_in(pc, "gdm-password", OPERATOR, GOOD), "the attack itself does not work"

    foretold = applied(pc, "--check", "--diff")
    assert "+@include kijun-workstation-code" in foretold
    assert pc.ok(PAM_FILES) == before
    applied(pc)
    # Nobody who is not enrolled gets in, and the audit says who that is.
    assert not lets_in(pc, "gdm-password", OPERATOR, GOOD, GOOD)
    assert verdicts(*tags)["WS-15"] == "fail"
    key = pyrage.x25519.Identity.generate()
    accounts = [{"login": OPERATOR, "age_key": str(key.to_public())}]
    given = {"second_factor_accounts": accounts, "second_factor_handover_directory": str(tmp_path / "handover")}
    done = pc.playbook("second_factor", "-e", json.dumps(given))
    assert done.returncode == 0, done.stdout + done.stderr
    (file,) = (tmp_path / "handover").iterdir()
    message = pyrage.decrypt(file.read_bytes(), [key]).decode()
    (secret,) = re.findall(r"^    ([A-Z2-7]{32})$", message, re.MULTILINE)
    recovery = re.findall(r"^    (\d{8})$", message, re.MULTILINE)
    assert verdicts(*tags)["WS-15"] == "pass"

    pc.ok(f"faillock --user {OPERATOR} --reset")
    screen = "gdm-password"
    assert not lets_in(pc, screen, OPERATOR, GOOD, GOOD), "the password alone is enough"
    assert not lets_in(pc, screen, OPERATOR, "000000", GOOD)
    counted = re.findall(r" V$", pc.ok(f"faillock --user {OPERATOR}"), re.MULTILINE)
    assert len(counted) == 2, "a wrong code is no failed login"
    pc.ok(f"faillock --user {OPERATOR} --reset")
    right = code(secret)
    assert not lets_in(pc, screen, OPERATOR, right, "wrong"), "the code alone is enough"
    assert not lets_in(pc, screen, OPERATOR, right, GOOD), "a code counts twice"
    assert lets_in(pc, screen, OPERATOR, code(secret, late=1), GOOD)
    assert lets_in(pc, screen, OPERATOR, recovery[0], GOOD)
    assert not lets_in(pc, screen, OPERATOR, recovery[0], GOOD), "a recovery code counts twice"
    pc.ok(f"faillock --user {OPERATOR} --reset")
    said = at_the_console(pc, OPERATOR, recovery[1], GOOD)
    assert said.lower().startswith("verification code: password: "), said
    assert f"{OPERATOR}@" in said
    assert "incorrect" in at_the_console(pc, OPERATOR, GOOD)
    # Others, and who is there for emergencies, are as they were.
    for service, name in ((screen, USER), ("login", USER), (screen, EMERGENCY), ("login", EMERGENCY)):
        assert lets_in(pc, service, name, GOOD), (service, name)
    kept = pc.ok("getent shadow root | cut -d: -f2").strip()
    pc.ok(f"usermod -aG operators root; echo {shlex.quote(f'root:{GOOD}')} | chpasswd")
    try:
        assert "root@" in at_the_console(pc, "root", GOOD)
    finally:
        pc.ok(f"gpasswd -d root operators; usermod -p {shlex.quote(kept)} root")
    # Whose finger it is, a reader says; it lets everybody in here.
    pc.ok("sed -i 's/required.*pam_fprintd.so/required pam_permit.so/' /etc/pam.d/gdm-fingerprint")
    assert [lets_in(pc, "gdm-fingerprint", name) for name in (USER, EMERGENCY, OPERATOR)] == [True, True, False]

    pc.ok("sed -i '/^@include kijun-workstation-code$/d' /etc/pam.d/gdm-password")
    assert lets_in(pc, screen, OPERATOR, GOOD), "the attack itself does not work"
    assert verdicts(*tags)["WS-15"] == "fail"


WRONG = [
    ("workstation_lock_minutes", 16, "SM-4.3.1-7a"),
    ("workstation_lock_minutes", "soon", "SM-4.3.1-7a"),
    ("workstation_program_paths", ["opt/tool"], "SM-4.3.1-3b"),
    ("workstation_program_groups", ["developers"], "SM-4.3.1-3b"),
    ("workstation_program_groups", [{"name": "%srcs", "reason": "a typo"}], "SM-4.3.1-3b"),
    ("workstation_required_software", "tree", "SM-4.3.1-3a"),
    ("workstation_firmware_attested_on", "2026-13-40", "SM-4.3.2-1"),
    ("workstation_second_factor_groups", "operators", "SM-4.3.1-2"),
    ("workstation_second_factor_services", ["sshd"], "SM-4.3.1-2"),
    ("workstation_second_factor_services", ["other/x"], "SM-4.3.1-2"),
    ("workstation_second_factor_services", ["passwd"], "SM-4.3.1-2"),
]


@pytest.mark.parametrize(("name", "value", "clause"), WRONG)
def test_a_wrong_setting_is_refused_before_anything_changes(pc: Machine, name: str, value: Any, clause: str) -> None:
    done = apply(pc, **{name: value})
    assert done.returncode != 0
    said = " ".join((done.stdout + done.stderr).split())
    assert name in said
    assert f"(clause {clause})" in said
    assert "nothing changed" in said


def test_a_second_run_changes_nothing(pc: Machine) -> None:
    assert "nothing changed" in applied(pc)
    assert "nothing changed" in applied(pc, "--check")
