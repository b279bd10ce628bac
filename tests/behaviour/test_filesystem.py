# SPDX-License-Identifier: GPL-3.0-or-later
"""Attacks on the controls of role filesystem, on hosts that the role has been applied to.

What one audit, one inventory or one comparison can show together is done together: each takes seconds.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from .conftest import ROOT, Machine

Verdicts = Callable[..., dict[str, str]]

AUDITED = ",".join(f"FS-{number:02}" for number in range(1, 19))

SPOT = "/srv/kijun-test"
"""Where things are planted."""

INVENTORY = "/var/lib/kijun/inventory/files.json"
WATCHED = "/usr/local/bin/kijun-test-tool"
"""A program below a path of the scenario's baseline."""


def applied(machine: Machine, *arguments: str) -> str:
    """Apply the role as the scenario does."""
    done = machine.playbook("molecule/filesystem/converge.yml", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def inventory(machine: Machine) -> dict[str, Any]:
    """Make the inventory now, as its playbook does, and read it."""
    machine.ok("systemctl start kijun-file-inventory.service")
    record: dict[str, Any] = json.loads(machine.ok(f"cat {INVENTORY}"))
    return record


def compare(machine: Machine) -> dict[str, Any]:
    """Compare the host with its baseline now, as the timer does at night."""
    machine.ok("systemctl start dailyaidecheck.service")
    found: dict[str, Any] = json.loads(machine.ok("cat /var/lib/kijun/integrity/check.json"))["found"]
    return found


@pytest.fixture
def spot(machine: Machine) -> Iterator[str]:
    """A directory to plant things in; gone afterwards."""
    machine.ok(f"rm -rf {SPOT}; mkdir -p {SPOT}/pseudo {SPOT}/memory")
    yield SPOT
    machine.ok(f"umount -q {SPOT}/pseudo {SPOT}/memory; rm -rf {SPOT}")
    inventory(machine)


@pytest.mark.control("FS-01", "FS-02", "FS-03", "FS-04", "FS-05")
def test_what_is_opened_is_noticed_and_closed_again(machine: Machine, verdicts: Verdicts, person: str) -> None:
    home = f"/home/{person}"
    files = {
        "/etc/shadow": ("root:shadow", "0640"),
        "/etc/passwd-": ("root:root", "0644"),
        "/usr/local/bin": ("root:root", "0755"),
        "/etc/systemd/system/kijun-file-inventory.service": ("root:root", "0644"),
        "/etc/ssh/sshd_config": ("root:root", "0600"),
        "/var/tmp": ("root:root", "1777"),
        home: (f"{person}:{person}", "0750"),
        f"{home}/.netrc": (f"{person}:{person}", "0600"),
        f"{home}/.bashrc": (f"{person}:{person}", "0644"),
        "/var/log/kijun-test.log": ("root:root", "0640"),
    }
    machine.ok(f"touch {home}/.netrc /var/log/kijun-test.log && chown {person}: {home}/.netrc")
    # What root is led to: a link in a home that is called as a file that must be closed, and a hard link to a log.
    machine.ok(f"ln -s /etc/hostname {home}/.pgpass; chmod 644 /etc/login.defs")
    machine.ok(f"chmod 666 {' '.join(f for f in files if f not in ('/usr/local/bin', '/var/tmp', home))}")
    machine.ok(
        f"chmod 777 /usr/local/bin /var/tmp {home}; chgrp {person} /etc/shadow; chown {person} /etc/ssh/sshd_config"
    )
    try:
        before = machine.ok("stat -c '%a %U' /etc/hostname /etc/login.defs")
        seen = verdicts()
        assert {seen[f"FS-0{n}"] for n in range(1, 6)} == {"fail"}
        predicted = applied(machine, "--check")
        assert "Close what is too open" in predicted
        assert machine.ok("stat -c %a /etc/shadow").strip() == "666", "a check run changed something"
        applied(machine)
        now = {path: tuple(machine.ok(f"stat -c '%U:%G %04a' {path}").split()) for path in files}
        assert now == files
        assert machine.ok("stat -c '%a %U' /etc/hostname /etc/login.defs") == before, "a link was followed"
        seen = verdicts()
        assert {seen[f"FS-0{n}"] for n in range(1, 6)} == {"pass"}
        # What the role gives to nobody, and takes from nobody, is noticed all the same.
        machine.ok(f"chown root: {home} && touch {home}/.rhosts && chmod 600 {home}/.rhosts")
        seen = verdicts()
        assert [seen[f"FS-0{n}"] for n in range(1, 6)] == ["pass", "pass", "fail", "fail", "pass"]
        assert "nothing changed" in applied(machine), "a home directory was given away"
    finally:
        machine.ok(f"rm -f /var/log/kijun-test.log; chown {person}: {home}")


@pytest.mark.control("FS-06", "FS-07")
def test_nothing_runs_from_where_everybody_writes(machine: Machine, verdicts: Verdicts) -> None:
    places = ("/dev/shm", "/tmp")
    for place in places:
        program = f"{place}/kijun-test"
        machine.ok(f"cp /bin/true {program}")
        refused = machine.run(program)
        assert (refused.rc, "Permission denied" in refused.stderr) == (126, True)
        machine.ok(f"mount -o remount,exec {place} && {program}")
    seen = verdicts()
    assert (seen["FS-06"], seen["FS-07"]) == ("fail", "fail")
    machine.ok("mount -o remount,noexec /dev/shm; mount -o remount,noexec /tmp")
    seen = verdicts()
    assert (seen["FS-06"], seen["FS-07"]) == ("pass", "pass")
    # What the next boot would undo is noticed too, and the role puts both right.
    machine.ok("cp /etc/fstab /root/fstab && sed -i 's/,noexec//' /etc/fstab")
    seen = verdicts()
    assert (seen["FS-06"], seen["FS-07"]) == ("fail", "fail")
    machine.ok("mount -o remount,exec /dev/shm; mount -o remount,exec /tmp")
    applied(machine)
    machine.ok("cmp /etc/fstab /root/fstab && rm /root/fstab")
    for place in places:
        assert machine.run(f"{place}/kijun-test").rc == 126
        machine.ok(f"rm {place}/kijun-test")


@pytest.mark.control("FS-08", "FS-09")
def test_file_systems_for_data_get_safe_options(machine: Machine, verdicts: Verdicts) -> None:
    line = "tmpfs /var/tmp tmpfs size=10m,exec,mode=1777 0 0"
    machine.ok(
        f"cp /etc/fstab /root/fstab; echo '{line}' >> /etc/fstab; mount /var/tmp; cp /bin/true /var/tmp/kijun-test"
    )
    try:
        machine.ok("/var/tmp/kijun-test")
        seen = verdicts("-e", '{"filesystem_required_partitions": ["/var/tmp"]}')
        assert (seen["FS-08"], seen["FS-09"]) == ("fail", "pass")
        applied(machine)
        assert machine.run("/var/tmp/kijun-test").rc == 126
        assert "size=10m,mode=1777,nodev,nosuid,noexec" in machine.ok("cat /etc/fstab")
        seen = verdicts("-e", '{"filesystem_required_partitions": ["/var/tmp", "/var/log/audit"]}')
        assert (seen["FS-08"], seen["FS-09"]) == ("pass", "fail")
    finally:
        machine.ok("umount /var/tmp; mv /root/fstab /etc/fstab; systemctl daemon-reload")
    assert verdicts()["FS-09"] == "pass"


@pytest.mark.control("FS-10")
def test_new_files_of_people_are_closed(machine: Machine, verdicts: Verdicts, person: str) -> None:
    def umask() -> str:
        login = machine.ssh(person, "-o", "BatchMode=yes", "-i", str(ROOT / ".lab" / "id_ed25519"))
        command = [*login, "umask; touch made; stat -c %a made"]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=True)
        return done.stdout

    assert umask().split() == ["0027", "640"]
    assert machine.ok(f"su - {person} -c umask; su -s /bin/sh - {person} -c umask").split() == ["0027", "0027"]
    assert machine.ok(
        "useradd -m kijuntest && stat -c %a /home/kijuntest; userdel -r kijuntest 2>/dev/null"
    ).split() == ["700"]
    assert verdicts()["FS-10"] == "pass"
    machine.ok("sed -i '/nousergroups/d' /etc/pam.d/common-session; echo 'umask 002' > /etc/profile.d/zz-test.sh")
    try:
        assert umask().split()[0] != "0027", "the attack itself does not work"
        applied(machine)
        assert umask().split()[0] == "0027"
        assert verdicts()["FS-10"] == "fail", "a start file that opens new files is not noticed"
    finally:
        machine.ok("rm -f /etc/profile.d/zz-test.sh")
    machine.ok("sed -i '/nousergroups/d' /etc/pam.d/common-session")
    assert verdicts()["FS-10"] == "fail"
    applied(machine)
    assert verdicts()["FS-10"] == "pass"


@pytest.mark.control("FS-11", "FS-12")
def test_changed_program_is_found_until_the_change_is_approved(machine: Machine, verdicts: Verdicts) -> None:
    machine.ok(f"cp /bin/true {WATCHED}")
    done = machine.playbook("integrity_baseline", "-e", "ticket=CHG-7")
    assert done.returncode == 0, done.stdout + done.stderr
    assert compare(machine) == {"added": {}, "removed": {}, "changed": {}}
    seen = verdicts()
    assert (seen["FS-11"], seen["FS-12"]) == ("pass", "pass")
    # The same size, time and inode: only its content tells.
    when = machine.ok(f"stat -c %Y {WATCHED}").strip()
    machine.ok(f"printf X | dd of={WATCHED} bs=1 seek=2000 conv=notrunc status=none; touch -d @{when} {WATCHED}")
    assert list(compare(machine)["changed"]) == [WATCHED]
    assert f"changed: {WATCHED} sha512" in machine.ok("journalctl -t kijun-integrity -o cat")
    assert verdicts()["FS-12"] == "fail"
    assert machine.playbook("integrity_baseline").returncode != 0, "a baseline without a ticket was made"
    assert machine.playbook("integrity_baseline", "-e", "ticket=CHG-8").returncode == 0
    assert verdicts()["FS-12"] == "pass"
    kept = json.loads(machine.ok("cat /var/lib/kijun/integrity/baseline.json"))
    assert (kept["ticket"], kept["approved"], kept["history"][-1]["ticket"]) == (
        "CHG-8",
        {"added": 0, "removed": 0, "changed": 1},
        "CHG-7",
    )
    machine.ok(f"rm {WATCHED}")


@pytest.mark.control("FS-11")
def test_baseline_that_somebody_rewrote_is_noticed(machine: Machine, verdicts: Verdicts) -> None:
    machine.ok(
        "aide --config=/etc/aide/aide.conf --init >/dev/null && mv /var/lib/aide/aide.db.new /var/lib/aide/aide.db"
    )
    assert verdicts()["FS-11"] == "fail"
    # One that is gone is made by the role, and the old one's digest is kept.
    machine.ok("rm /var/lib/aide/aide.db && systemctl stop kijun-integrity-baseline.service")
    assert verdicts()["FS-11"] == "fail"
    applied(machine)
    machine.ok(
        "for i in $(seq 60); do grep -q '\"made\"' /var/lib/kijun/integrity/baseline.json && break; sleep 1; done"
    )
    assert verdicts()["FS-11"] == "pass"
    assert len(json.loads(machine.ok("cat /var/lib/kijun/integrity/baseline.json"))["history"]) >= 1


@pytest.mark.control("FS-14", "FS-15", "FS-16", "FS-17")
def test_what_gives_rights_away_is_found_and_gone_when_removed(machine: Machine, verdicts: Verdicts, spot: str) -> None:
    kinds = ("privileged", "capabilities", "unowned", "writable_files", "open_directories")
    clean = inventory(machine)["found"]
    assert not {kind: found for kind, found in clean.items() if kind != "privileged" and found}
    seen = verdicts()
    assert {seen[f"FS-{n}"] for n in range(14, 18)} == {"pass"}
    machine.ok(
        f"cd {spot}; cp /bin/true suid; chmod 4755 suid; cp /bin/true sgid; chmod 2755 sgid; "
        "cp /bin/true able; setcap cap_net_raw,cap_sys_admin+ep able; "
        "touch nobodys; chown 54321 nobodys; ln -s nowhere link; chown -h 54321 link; "
        "touch open; chmod 666 open; mkdir anybodys; chmod 777 anybodys; "
        # In sight, and no finding: a sticky directory, a socket, a link.
        "mkdir sticky; chmod 1777 sticky; ln -s /etc/shadow shadow; "
        # A path that is longer than the kernel takes, and a program in memory.
        "mount -t tmpfs tmpfs memory; cp /bin/true memory/suid; chmod 4755 memory/suid"
    )
    found = inventory(machine)["found"]
    added = {kind: {path: what for path, what in found[kind].items() if path not in clean[kind]} for kind in kinds}
    assert added == {
        "privileged": {f"{spot}/suid": "4755 0:0", f"{spot}/sgid": "2755 0:0", f"{spot}/memory/suid": "4755 0:0"},
        "capabilities": {f"{spot}/able": "cap_net_raw,cap_sys_admin=ep"},
        "unowned": {f"{spot}/nobodys": "user 54321", f"{spot}/link": "user 54321"},
        "writable_files": {f"{spot}/open": "0666"},
        "open_directories": {f"{spot}/anybodys": "0777"},
    }
    seen = verdicts()
    assert {seen[f"FS-{n}"] for n in range(14, 18)} == {"fail"}
    machine.ok(f"umount {spot}/memory; rm -rf {spot}/*")
    assert {kind: inventory(machine)["found"][kind] for kind in kinds} == {kind: clean[kind] for kind in kinds}
    seen = verdicts()
    assert {seen[f"FS-{n}"] for n in range(14, 18)} == {"pass"}


@pytest.mark.control("FS-18")
def test_file_that_is_not_what_its_package_brought_is_found(machine: Machine, verdicts: Verdicts) -> None:
    check = "systemctl start kijun-package-check.service"
    machine.ok(f"{check}; cp -p /usr/bin/cksum /root/cksum; echo >> /usr/bin/cksum")
    try:
        assert verdicts()["FS-18"] == "pass", "it was found before it was looked for"
        assert machine.run(check).rc != 0
        assert verdicts()["FS-18"] == "fail"
        assert "/usr/bin/cksum" in machine.ok("journalctl -u kijun-package-check.service -n 20 -o cat")
    finally:
        machine.ok("mv /root/cksum /usr/bin/cksum")
    machine.ok(check)
    assert verdicts()["FS-18"] == "pass"
    machine.ok("systemctl stop kijun-package-check.timer")
    assert verdicts()["FS-18"] == "fail"
    applied(machine)
    assert verdicts()["FS-18"] == "pass"


@pytest.mark.control("FS-14")
def test_known_program_that_others_can_write_to_is_noticed(machine: Machine, verdicts: Verdicts) -> None:
    machine.ok("chmod g+w /usr/bin/chfn")
    try:
        assert verdicts()["FS-14"] == "fail"
    finally:
        machine.ok("chmod 4755 /usr/bin/chfn")
    assert verdicts()["FS-14"] == "pass"


@pytest.mark.control("FS-13")
def test_inventory_stays_on_local_file_systems_and_says_what_it_could_not_read(
    machine: Machine, verdicts: Verdicts, spot: str
) -> None:
    machine.ok(f"mount -t proc proc {spot}/pseudo; mkdir {spot}/memory/x")
    assert machine.ok(f"find {spot}/pseudo/self/ -maxdepth 1 -perm -0002 -type f"), "nothing there could be found"
    record = inventory(machine)
    assert record["skipped"][f"{spot}/pseudo"] == "proc"
    assert not [path for listed in record["found"].values() for path in listed if path.startswith(f"{spot}/pseudo")]
    assert verdicts()["FS-13"] == "pass"
    # Deeper than a path may be long, where something could be hidden.
    machine.python(
        f"import os\nos.chdir('{spot}/memory')\nfor n in range(40):\n os.mkdir('d' * 200)\n os.chdir('d' * 200)"
    )
    assert inventory(machine)["found"]["unread"]
    assert verdicts()["FS-13"] == "fail"
    machine.python(f"import shutil, sys\nsys.setrecursionlimit(5000)\nshutil.rmtree('{spot}/memory')")
    inventory(machine)
    assert verdicts()["FS-13"] == "pass"


@pytest.mark.control("FS-13")
def test_inventory_that_is_old_or_made_with_other_settings_is_noticed(machine: Machine, verdicts: Verdicts) -> None:
    machine.ok(f'sed -i -E \'s/"time": [0-9]+/"time": 1000000000/\' {INVENTORY}')
    assert verdicts()["FS-13"] == "fail"
    inventory(machine)
    assert verdicts()["FS-13"] == "pass"
    machine.ok('sed -i \'s,"/proc","/proc"\\, "/srv",\' /etc/kijun/file-inventory.json')
    assert verdicts()["FS-13"] == "fail"
    stamp = machine.ok(f"stat -c %i {INVENTORY}")
    applied(machine)
    machine.ok(f"for i in $(seq 30); do [ $(stat -c %i {INVENTORY}) != {stamp.strip()} ] && break; sleep 1; done")
    assert verdicts()["FS-13"] == "pass"
    assert machine.playbook("file_inventory").returncode == 0


def test_program_that_needs_no_rights_of_its_own_loses_them(machine: Machine) -> None:
    applied(machine, "-e", '{"filesystem_suid_removed": ["/usr/bin/chfn"]}')
    assert machine.ok("stat -c %a /usr/bin/chfn").strip() == "755"
    assert "/usr/bin/chfn" in machine.ok("dpkg-statoverride --list")
    machine.ok("dpkg-statoverride --remove /usr/bin/chfn; chmod 4755 /usr/bin/chfn")


def test_bad_settings_stop_the_host_before_anything_changes(machine: Machine) -> None:
    wrong = {
        "filesystem_umask": "0022",
        "filesystem_tmp_size": "lots",
        "filesystem_excluded": ["srv"],
        "filesystem_suid_allowed": ["/bin/x"],
    }
    done = machine.playbook("molecule/filesystem/converge.yml", "-e", json.dumps(wrong), timeout=300)
    assert done.returncode != 0
    for name in wrong:
        assert f"{name} is" in done.stdout + done.stderr
    assert "changed=0" in done.stdout
