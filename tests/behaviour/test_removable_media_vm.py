# SPDX-License-Identifier: GPL-3.0-or-later
"""USB sticks at a host with a kernel of its own: those that nobody lent are refused, the others scanned, then used."""

from __future__ import annotations

import datetime
import json
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger import migrate
from kijun_hosts import on_controller
from kijun_logs import wait_for
from kijun_vm import VirtualMachine, lab, plug_stick, unplug_stick

Verdicts = Callable[..., dict[str, str]]

AUDITED = "RMED-01,RMED-02,RMED-03,RMED-04"
MANAGED = ("-e", "removable_media_managed=true")

DAY = datetime.datetime.now().astimezone().date()
LAST = (DAY + datetime.timedelta(days=7)).isoformat()
LENT, OTHERS, UNLENT, SECRET = "SN-LENT-1", "SN-OTHER-1", "SN-NOBODY", "SN-SECRET-1"
PLACE = "/media/kijun/USB-1"
SAFE = "/media/kijun/USB-3"
OPEN = "/dev/mapper/kijun-media-sda"
# It is made on the machine: what this test runs there is in its log.
PASSPHRASE = "/run/passphrase"

# The test file of the antimalware vendors, known by its hash alone, to a clamd that has nothing else.
EICAR = "275a021bbfb6489e54d471899f7db9d1663fc695ec2fe2a2c4538aabf651fd0f:68:Eicar-Test-Signature:73"
PIECES = ("X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR", "-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*")
SCANNER = f"""
export DEBIAN_FRONTEND=noninteractive
dpkg -s clamav-daemon dosfstools >/dev/null 2>&1 || {{
  apt-get -qq update && apt-get -qq install -y --no-install-recommends clamav-daemon dosfstools >/dev/null; }}
echo {EICAR} > /var/lib/clamav/test.hsb
mkdir -p /etc/systemd/system/clamav-daemon.service.d /etc/systemd/system/clamav-daemon.socket.d
# Debian's units wait for the vendor's definitions.
printf '[Unit]\nConditionPathExistsGlob=\n' | tee /etc/systemd/system/clamav-daemon.service.d/test.conf \
  > /etc/systemd/system/clamav-daemon.socket.d/test.conf
systemctl daemon-reload && systemctl restart clamav-daemon.socket clamav-daemon.service
for n in $(seq 120); do [ -S /run/clamav/clamd.ctl ] && break; sleep 1; done; [ -S /run/clamav/clamd.ctl ]
id operator1 >/dev/null 2>&1 || useradd -m operator1
"""
GADGET = "/sys/kernel/config/usb_gadget/odd"
KEYBOARD = """
modprobe libcomposite && mkdir /sys/kernel/config/usb_gadget/NAME && cd /sys/kernel/config/usb_gadget/NAME
echo 0x046d > idVendor && echo 0xc31c > idProduct && mkdir strings/0x409 && printf NAME > strings/0x409/product
mkdir functions/hid.NAME && cd functions/hid.NAME && echo 1 > protocol && echo 1 > subclass && echo 8 > report_length
echo BQEJBqEBBQcZ4CnnFQAlAXUBlQiBAsA= | base64 -d > report_desc
cd /sys/kernel/config/usb_gadget/NAME && mkdir configs/c.1 && ln -s functions/hid.NAME configs/c.1/
"""
KEYBOARDS = (
    "for f in $(grep -l 046d /sys/bus/usb/devices/*/idVendor); do ls -d ${f%id*}*:*/*/input; done 2>/dev/null; true"
)
# A stick that is a keyboard as well, as no module of its own makes it.
COMPOSITE = f"""
modprobe libcomposite && mkdir {GADGET} && cd {GADGET} && echo 0x0951 > idVendor && echo 0x1666 > idProduct
mkdir strings/0x409 && printf %s {LENT} > strings/0x409/serialnumber
mkdir functions/hid.k && cd functions/hid.k && echo 1 > protocol && echo 1 > subclass
echo 8 > report_length
echo BQEJBqEBBQcZ4CnnFQAlAXUBlQiBAsA= | base64 -d > report_desc
cd {GADGET} && mkdir functions/mass_storage.s && echo /root/stick.img > functions/mass_storage.s/lun.0/file
mkdir configs/c.1 && ln -s functions/hid.k functions/mass_storage.s configs/c.1/
echo dummy_udc.1 > UDC
"""
TAKEN_APART = f"""
cd {GADGET} && echo > UDC; rm configs/c.1/hid.k configs/c.1/mass_storage.s
rmdir configs/c.1 functions/* strings/0x409; cd / && rmdir {GADGET}
"""


def stick(machine: VirtualMachine, content: str) -> None:
    """Make a stick; what is written to the working directory is on it."""
    machine.ok(
        "rm -f /root/stick.img; truncate -s 16M /root/stick.img && mkfs.vfat /root/stick.img >/dev/null"
        f" && mount -o loop /root/stick.img /mnt && cd /mnt && {{ {content} ; }}; cd / && umount /mnt"
    )


def luks_stick(machine: VirtualMachine, content: str) -> None:
    """Make a stick that is a LUKS volume; what is written to the working directory is on it."""
    quick = "--pbkdf pbkdf2 --pbkdf-force-iterations 1000"
    machine.ok(
        f"rm -f /root/stick.img; truncate -s 32M /root/stick.img && cd / && umask 77"
        f" && {{ [ -s {PASSPHRASE} ] || head -c 15 /dev/urandom | base64 | tr -d '\\n' > {PASSPHRASE}; }}"
        f" && cryptsetup luksFormat -q --type luks2 {quick} /root/stick.img {PASSPHRASE}"
        f" && cryptsetup open --key-file {PASSPHRASE} /root/stick.img build && mkfs.vfat /dev/mapper/build >/dev/null"
        f" && mount /dev/mapper/build /mnt && cd /mnt && {{ {content} ; }}; cd / && umount /mnt"
        " && cryptsetup close build"
    )


def unlock(machine: VirtualMachine, given: str = PASSPHRASE, user: str = "operator1") -> tuple[int, str]:
    """Have somebody unlock the stick; the exit status, and what they are told."""
    done = machine.run(f"runuser -u {user} -- kijun-media-unlock USB-3 <{given}")
    return done.rc, done.stdout + done.stderr


def closed(machine: VirtualMachine) -> bool:
    """Whether nothing of the stick is open or mounted, within half a minute."""
    return wait_for(lambda: machine.run(f"[ -e {OPEN} ] || findmnt {SAFE}").rc != 0, 30)


def plug(machine: VirtualMachine, serial: str, name: str = "Stick") -> None:
    """Put the stick in, as one of that serial."""
    machine.ok("journalctl --rotate >/dev/null")
    plug_stick(machine, "/root/stick.img", serial, name, "dummy_udc.1")


def told(machine: VirtualMachine, event: str, **about: str) -> list[dict[str, Any]]:
    """What the host told of media."""
    lines = machine.ok("journalctl --no-pager -o cat SYSLOG_FACILITY=10 -t kijun-media").splitlines()
    found = [json.loads(line) for line in lines if line.startswith("{")]
    return [one for one in found if one["event"] == event and about.items() <= one.items()]


def waited(machine: VirtualMachine, event: str, **about: str) -> dict[str, Any]:
    """What the host tells of media, within a minute."""
    assert wait_for(lambda: bool(told(machine, event, **about)), 60), machine.ok(
        "journalctl --no-pager -n 40; usbguard list-devices; usbguard list-rules"
    )
    return told(machine, event, **about)[-1]


def entered(medium: str, serial: str, known: dict[str, Any] | None = None, **lent: Any) -> list[dict[str, Any]]:
    """What enters a stick, with what else is known of it, and lends it."""
    by = {"requester": "operator1", "approver": "manager1", "ticket": "MED-1"}
    about = {"kind": "usb_flash", "vendor_id": "0951", "product_id": "1666", "owner": "operations", "purpose": "logs"}
    where = {"place": "cabinet 2", "valid_until": LAST}
    lending = {"lent_to": "operator1", "lent_for": "logs", "due_on": LAST, **lent}
    return [
        {"id": medium, "action": "register", "serial": serial, **about, **where, **by, **(known or {})},
        {"id": medium, "action": "lend", **lending, **by},
    ]


@pytest.fixture(scope="session")
def machine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VirtualMachine]:
    """A virtual machine with a scanner and the role, for which one stick is lent, and another for somebody else."""
    lab("reset", request.param)
    found = VirtualMachine(request.param)
    found.ok(SCANNER)
    # One controller for the keyboard that was always there, one for what comes.
    found.ok("modprobe dummy_hcd num=2")
    found.ok(KEYBOARD.replace("NAME", "old") + "echo dummy_udc.0 > UDC")
    url = f"sqlite:///{tmp_path_factory.mktemp('media') / 'ledger.sqlite'}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KIJUN_LEDGER_URL", url)
        migrate.upgrade(url)
        others = entered("USB-2", OTHERS, hosts=["server12"])
        secret = entered("USB-3", SECRET, {"confidential": True, "encryption": "luks", "key_place": "safe 1"})
        done = on_controller("media_entries", media_entries=entered("USB-1", LENT) + others + secret)
        assert done.returncode == 0, done.stdout
        applied(found)
        yield found
    lab("down")


def applied(machine: VirtualMachine, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Apply the role."""
    done = machine.playbook("removable_media", *MANAGED, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(autouse=True)
def clean(machine: VirtualMachine) -> Iterator[None]:
    """Nothing is plugged in before or after."""
    machine.run("journalctl --rotate; journalctl --vacuum-time=1s")
    yield
    unplug_stick(machine)


@pytest.mark.control("RMED-01")
@pytest.mark.control("RMED-02")
def test_what_nobody_lent_is_refused(machine: VirtualMachine) -> None:
    stick(machine, "echo text > readme.txt")
    for serial in (UNLENT, OTHERS):
        plug(machine, serial, "Ev\x1b[31mil\nallow id *:*")
        refused = waited(machine, "refused", serial=serial)
        assert refused["id"] == "0951:1666"
        assert "\x1b" not in json.dumps(refused, ensure_ascii=False)
        assert machine.run("ls /dev/sd*").rc != 0
        unplug_stick(machine)
    assert machine.run("runuser -u operator1 -- usbguard list-rules").rc != 0


@pytest.mark.control("RMED-01")
def test_a_lent_stick_that_is_a_keyboard_too_is_refused(machine: VirtualMachine) -> None:
    stick(machine, "echo text > readme.txt")
    machine.ok(COMPOSITE)
    try:
        waited(machine, "refused", serial=LENT)
        assert machine.run("ls /dev/sd*").rc != 0
        assert not told(machine, "mounted")
    finally:
        machine.run(TAKEN_APART)


@pytest.mark.control("RMED-01")
def test_the_keyboard_that_was_there_stays_and_another_one_is_refused(machine: VirtualMachine) -> None:
    assert len(machine.ok(KEYBOARDS).split()) == 1
    gadget = "/sys/kernel/config/usb_gadget/new"
    machine.ok(KEYBOARD.replace("NAME", "new") + "echo dummy_udc.1 > UDC")
    try:
        assert waited(machine, "refused", name="new")["id"] == "046d:c31c"
        assert len(machine.ok(KEYBOARDS).split()) == 1
        # What usbguard begins with, it judges as well.
        machine.ok("systemctl restart usbguard.service; sleep 2")
        assert len(machine.ok(KEYBOARDS).split()) == 1
    finally:
        machine.run(f"cd {gadget} && echo > UDC; rm configs/c.1/hid.new; rmdir configs/c.1 functions/* strings/0x409")
        machine.run(f"rmdir {gadget}")


@pytest.mark.control("RMED-02")
@pytest.mark.control("RMED-03")
def test_a_lent_stick_is_scanned_and_used(machine: VirtualMachine) -> None:
    stick(machine, "echo text > readme.txt; echo old > old.txt; mkdir logs; echo one > logs/1.log")
    plug(machine, LENT)
    mounted = waited(machine, "mounted", medium="USB-1")
    assert told(machine, "scanned")[0]["files"] == 3
    assert (mounted["lent_to"], mounted["serial"], mounted["place"]) == ("operator1", LENT, PLACE)
    assert mounted["files"] == {"count": 3, "names": ["logs/1.log", "old.txt", "readme.txt"]}
    flags = machine.ok(f"findmnt -no OPTIONS {PLACE}").split(",")
    assert {"rw", "nosuid", "nodev", "noexec"} <= {flag.strip() for flag in flags}
    as_person = f"runuser -u operator1 -- sh -c 'cd {PLACE} && echo new > new.txt && rm old.txt'"
    machine.ok(as_person)
    assert machine.run(f"runuser -u nobody -- cat {PLACE}/readme.txt").rc != 0
    used = waited(machine, "used", medium="USB-1")
    assert used["added"]["names"] == ["new.txt"]
    assert used["deleted"]["names"] == ["old.txt"]
    unplug_stick(machine)
    ended = waited(machine, "unmounted", medium="USB-1")
    assert ended["in_all"]["added"]["count"] == 1
    waited(machine, "removed", medium="USB-1")
    assert machine.run(f"findmnt {PLACE}").rc != 0
    machine.ok("mount -o loop,ro /root/stick.img /mnt && grep -q new /mnt/new.txt; e=$?; umount /mnt; exit $e")


@pytest.mark.control("RMED-03")
def test_what_is_infected_or_cannot_be_scanned_is_not_mounted(machine: VirtualMachine) -> None:
    stick(machine, f"printf %s%s '{PIECES[0]}' '{PIECES[1]}' > run.com")
    plug(machine, LENT)
    assert "run.com is infected: Eicar-Test-Signature" in waited(machine, "refused", medium="USB-1")["reason"]
    assert machine.run("findmnt -l | grep /dev/sd").rc != 0
    unplug_stick(machine)
    machine.run("journalctl --rotate; journalctl --vacuum-time=1s")
    stick(machine, "echo text > readme.txt")
    machine.ok("systemctl stop clamav-daemon.service clamav-daemon.socket")
    try:
        plug(machine, LENT)
        assert waited(machine, "refused", medium="USB-1")["reason"] == "no scanner answers"
        assert machine.run("findmnt -l | grep /dev/sd").rc != 0
    finally:
        machine.ok("systemctl start clamav-daemon.service")


@pytest.mark.control("RMED-01")
def test_a_medium_whose_time_is_over_is_taken_no_more(machine: VirtualMachine) -> None:
    settings = "/etc/kijun/removable-media.json"
    machine.ok(f"cp -p {settings} /root/settings && sed -i 's/{LAST}/2020-01-01/' {settings}")
    try:
        machine.ok("systemctl start kijun-media-expire.service")
        assert LENT not in machine.ok("usbguard list-rules")
        stick(machine, "echo text > readme.txt")
        plug(machine, LENT)
        waited(machine, "refused", serial=LENT)
    finally:
        machine.ok(f"cp -p /root/settings {settings}; systemctl start kijun-media-expire.service")


@pytest.mark.control("RMED-04")
def test_what_must_be_encrypted_and_is_not_is_refused_and_stands_in_the_audit(
    machine: VirtualMachine, verdicts: Verdicts
) -> None:
    stick(machine, "echo text > readme.txt")
    plug(machine, SECRET)
    reason = "it is not encrypted: the book records it as a LUKS volume (clause SM-4.6.2-1)"
    assert waited(machine, "refused", medium="USB-3")["reason"] == reason
    assert machine.run("findmnt -l | grep /dev/sd").rc != 0
    unplug_stick(machine)
    assert verdicts(*MANAGED)["RMED-04"] == "fail"
    luks_stick(machine, "echo text > readme.txt")
    plug(machine, SECRET)
    waited(machine, "locked", medium="USB-3")
    assert unlock(machine)[0] == 0
    assert verdicts(*MANAGED)["RMED-04"] == "pass"


@pytest.mark.control("RMED-03")
@pytest.mark.control("RMED-04")
def test_an_encrypted_stick_is_opened_by_its_holder_scanned_used_and_closed(machine: VirtualMachine) -> None:
    luks_stick(machine, "echo text > readme.txt")
    plug(machine, SECRET)
    waited(machine, "locked", medium="USB-3")
    machine.ok("printf wrong >/run/wrong; : >/run/nothing")
    assert unlock(machine, "/run/nothing")[0] == 2
    assert unlock(machine, user="nobody") == (2, "no medium waits for a passphrase of yours\n")
    assert unlock(machine, "/run/wrong") == (1, "USB-3 is refused: wrong passphrase\n")
    assert waited(machine, "refused", reason="wrong passphrase")["tried_by"] == "operator1"
    assert machine.run(f"[ -e {OPEN} ]").rc != 0
    assert unlock(machine) == (0, f"USB-3 can be used: {SAFE}\n")
    mounted = waited(machine, "mounted", medium="USB-3")
    assert (mounted["place"], mounted["unlocked_by"], mounted["files"]["count"]) == (SAFE, "operator1", 1)
    assert told(machine, "scanned", medium="USB-3")[0]["files"] == 1
    assert machine.ok(f"findmnt -no SOURCE {SAFE}").strip() == OPEN
    assert "crypt" in machine.ok("dmsetup table kijun-media-sda")
    machine.ok(f"runuser -u operator1 -- sh -c 'cd {SAFE} && grep -q text readme.txt && echo secret-text > new.txt'")
    assert machine.run(f"runuser -u nobody -- cat {SAFE}/readme.txt").rc != 0
    assert waited(machine, "used", medium="USB-3")["added"]["names"] == ["new.txt"]
    machine.ok("systemctl stop kijun-media-use@sda.service")
    assert closed(machine)
    waited(machine, "unmounted", medium="USB-3")
    unplug_stick(machine)
    machine.ok(f"cryptsetup open --key-file {PASSPHRASE} /root/stick.img build && mount -o ro /dev/mapper/build /mnt")
    machine.ok("grep -q secret-text /mnt/new.txt; e=$?; umount /mnt; cryptsetup close build; exit $e")
    assert machine.run("grep -q secret-text /root/stick.img").rc != 0
    assert machine.run(f"journalctl --no-pager | grep -qF -f {PASSPHRASE}").rc != 0


@pytest.mark.control("RMED-03")
@pytest.mark.control("RMED-04")
def test_what_is_infected_within_an_encrypted_stick_is_not_mounted(machine: VirtualMachine) -> None:
    luks_stick(machine, f"printf %s%s '{PIECES[0]}' '{PIECES[1]}' > run.com")
    plug(machine, SECRET)
    waited(machine, "locked", medium="USB-3")
    status, words = unlock(machine)
    assert (status, "USB-3 is refused: run.com is infected: Eicar-Test-Signature" in words) == (1, True)
    assert "run.com is infected" in waited(machine, "refused", medium="USB-3")["reason"]
    assert closed(machine)


@pytest.mark.control("RMED-04")
def test_an_encrypted_stick_is_closed_however_its_use_ends(machine: VirtualMachine) -> None:
    luks_stick(machine, "echo text > readme.txt")

    def opened() -> None:
        machine.run("journalctl --rotate; journalctl --vacuum-time=1s")
        plug(machine, SECRET)
        waited(machine, "locked", medium="USB-3")
        assert unlock(machine)[0] == 0

    # Pulled out while a file is open: nothing can be read any more, and all is gone when the file is closed.
    opened()
    machine.ok(f"systemd-run -q --unit=reader sh -c 'exec 3<{SAFE}/readme.txt; sleep 600'; sleep 1")
    unplug_stick(machine)
    assert wait_for(lambda: "crypt" not in machine.run("dmsetup table").stdout, 60), machine.ok("dmsetup table")
    machine.ok("systemctl stop reader")
    assert closed(machine)
    # The program is killed.
    opened()
    machine.ok("systemctl kill -s KILL kijun-media-use@sda.service")
    assert closed(machine)
    unplug_stick(machine)
    # Who opened it logs out.
    login = "systemd-run -q --unit=login --uid=operator1 -p PAMName=login -p WorkingDirectory=/"
    login += " -E XDG_SESSION_CLASS=user -E XDG_SESSION_TYPE=tty sleep 600"
    machine.ok(f"{login}; sleep 2")
    machine.ok("grep -lx UID=$(id -u operator1) /run/systemd/sessions/*[0-9] | xargs grep -x CLASS=user")
    opened()
    machine.ok("systemctl stop login")
    waited(machine, "unmounted", medium="USB-3")
    assert closed(machine)


@pytest.mark.control("RMED-01")
@pytest.mark.control("RMED-02")
@pytest.mark.control("RMED-03")
@pytest.mark.control("RMED-04")
def test_the_audit_notices_what_was_undone(machine: VirtualMachine, verdicts: Verdicts) -> None:
    assert "changed=0" in applied(machine, "--diff").stdout
    good = verdicts(*MANAGED)
    assert set(good) >= set(AUDITED.split(","))
    assert {good[control] for control in AUDITED.split(",")} == {"pass"}, good
    machine.ok("usbguard append-rule 'allow with-interface one-of { 08:*:* }'")
    machine.ok("systemctl disable --now kijun-media-watch.service && rm /etc/udev/rules.d/61-kijun-media.rules")
    luks_stick(machine, "echo text > readme.txt")
    plug_stick(machine, "/root/stick.img", SECRET, controller="dummy_udc.1")
    assert wait_for(lambda: machine.run("[ -b /dev/sda ]").rc == 0, 60)
    machine.ok(f"cryptsetup open --key-file {PASSPHRASE} /dev/sda by-hand")
    bad = verdicts(*MANAGED)
    assert {bad[control] for control in AUDITED.split(",")} == {"fail"}, bad
    machine.ok("cryptsetup close by-hand")
    unplug_stick(machine)
    applied(machine)
    machine.ok("systemctl restart usbguard.service")
    again = verdicts(*MANAGED)
    assert {again[control] for control in AUDITED.split(",")} == {"pass"}, again
