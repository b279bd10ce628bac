# SPDX-License-Identifier: GPL-3.0-or-later
"""A PC reset for another user: a kernel of its own, whose disk is looked at behind its back when it is off."""

from __future__ import annotations

import contextlib
import datetime
import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger import migrate
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.book import Change
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.engine import Ledger
from kijun_hosts import on_controller
from kijun_lab import description, vm, vm_description
from kijun_vm import VirtualMachine, lab

TODAY = datetime.datetime.now().astimezone().date()
SOON = (TODAY + datetime.timedelta(days=7)).isoformat()
QUICK = "--batch-mode --pbkdf pbkdf2 --pbkdf-force-iterations 1000"
HEADER = 16 << 20
"""Bytes before the data of a LUKS2 volume."""

INTO_MEMORY = """set -e
mkdir -p /run/nextroot
mount -t tmpfs -o size=800M tmpfs /run/nextroot
tar --one-file-system -C / -cf - --exclude=./usr/share/doc --exclude=./usr/share/locale --exclude=./usr/share/man \
    --exclude=./var/cache --exclude=./var/lib/apt --exclude=./root/* --exclude=./boot/* . | tar -C /run/nextroot -xf -
: >/run/nextroot/etc/fstab
modprobe dm_crypt xts
"""
"""The system as it is, in memory: its disk is then free to be made anew."""


@pytest.fixture(scope="session")
def machine(request: pytest.FixtureRequest) -> Iterator[VirtualMachine]:
    """A virtual machine whose root is not encrypted."""
    lab("reset", request.param)
    yield VirtualMachine(request.param)
    lab("down")


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ledger]:
    """A ledger of the test's own."""
    url = f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    migrate.upgrade(url)
    monkeypatch.setenv("KIJUN_LEDGER_URL", url)
    with Ledger(url) as opened:
        yield opened


@pytest.fixture
def reset(machine: VirtualMachine, ledger: Ledger, tmp_path: Path) -> Any:
    """Has the PC reset. The book has it, its user still has it."""
    pc = {
        "kind": "pc",
        "host": machine.name,
        "serial": f"SN-{machine.name}",
        "owner": "sales",
        "user": "operator1",
        "place": "room 3",
    }
    ledger.append("assets", [Change("PC-1", "register", pc, approver="manager1", ticket="A-1")], "operator3")
    clients = tmp_path / "clients.yml"
    clients.write_text(f"clients: {{hosts: {{{machine.name}: }}}}\n", encoding="utf-8")

    def run(*arguments: str, is_client: bool = True, **settings: Any) -> subprocess.CompletedProcess[str]:
        given = {
            "client_reset_host": machine.name,
            "client_reset_asset": "PC-1",
            "client_reset_serial": f"SN-{machine.name}",
            "client_reset_directory": str(tmp_path / "resets"),
            "approver": "manager1",
            "ticket": "A-2",
            "kijun_ledger_syslog": False,
            "kijun_actor": "operator3",
            **settings,
        }
        more = ("-i", str(clients)) if is_client else ()
        return machine.playbook("client_reset", *more, "-e", json.dumps(given), *arguments)

    return run


def said(done: subprocess.CompletedProcess[str]) -> str:
    return " ".join(done.stdout.split())


def open_books(ledger: Ledger, host: str) -> None:
    """An account and a medium that still name the host, and an incident of it."""
    account = {
        "person": "Sample Person",
        "department": "Sales",
        "hosts": [host],
        "justification": "works there",
        "requester": "operator2",
    }
    changes = [Change("tanaka", "request", account, ticket="T-1"), Change("tanaka", "approve", {}, "manager1", "T-1")]
    ledger.append("accounts", changes, "operator3")
    medium = {
        "kind": "usb_flash",
        "vendor_id": "0951",
        "product_id": "1666",
        "serial": "0375122100009134",
        "owner": "operations",
        "purpose": "logs",
        "place": "cabinet 2",
        "valid_until": SOON,
        "requester": "operator1",
    }
    lending = {"lent_to": "operator1", "lent_for": "logs", "hosts": [host], "due_on": SOON, "requester": "operator1"}
    ledger.append(
        "media",
        [Change("USB-1", "register", medium, "manager1", "M-1"), Change("USB-1", "lend", lending, "manager1", "M-2")],
        "operator3",
    )
    incident = {"kind": "other", "host": host, "summary": "a break-in is suspected"}
    ledger.append("incidents", [Change("INC-1", "open", incident)], "operator3")


@pytest.mark.control("AST-06")
def test_what_speaks_against_it_is_named_and_nothing_changes(
    machine: VirtualMachine, ledger: Ledger, reset: Any
) -> None:
    host = machine.name
    open_books(ledger, host)
    before = ledger.checkpoint("assets").head
    boot = machine.ok("cat /proc/sys/kernel/random/boot_id; blkid -p /dev/vda")
    done = reset(is_client=False, client_reset_serial="SN-0", approver="Operator3")
    assert done.returncode != 0
    for words in (
        "nothing was changed",
        f"host {host} is not in the group clients",
        "asset PC-1 is in_use; it must be stored",
        "client_reset_serial is 'SN-0', which is not that of asset PC-1",
        f"account tanaka (Sample Person) is approved and names host {host}",
        f"medium USB-1 is lent to operator1 for host {host}",
        f"incident INC-1 of host {host} is open",
        f"the operations journal knows no backup of host {host}",
        "/dev/vda ext4 / is not encrypted by LUKS, so that its data would stay; by hand: start the PC from",
        "approver is 'Operator3', who runs this",
    ):
        assert words in said(done), f"{words}: {done.stdout}"
    assert machine.ok("cat /proc/sys/kernel/random/boot_id; blkid -p /dev/vda") == boot
    assert ledger.checkpoint("assets").head == before


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, 'client_reset_host is ""; it must be one host of the inventory (clause SM-4.3.3-1)'),
        ({"client_reset_host": "client13,client12"}, "it must be one host of the inventory"),
        ({"client_reset_host": "client13"}, "client_reset_asset is empty; -e client_reset_asset=... is needed"),
        (
            {"client_reset_host": "client13", "client_reset_asset": "PC-1", "client_reset_serial": "SN", "ticket": "1"},
            "approver is empty; -e approver=... is needed",
        ),
    ],
)
def test_half_a_request_is_refused(settings: dict[str, str], words: str) -> None:
    done = on_controller("client_reset", "-i", "inventories/lab", **settings)
    assert done.returncode != 0
    assert words in said(done).replace('\\"', '"'), done.stdout


PLAY = """
- hosts: all
  gather_facts: false
  become: true
  tasks:
    - kijun.baseline.luks_erase:
        volumes: {{ volumes }}
      register: erased
    - ansible.builtin.debug: {var: erased.erased}
"""


@pytest.mark.control("AST-06")
def test_keys_of_volumes_are_destroyed_in_use_or_not(machine: VirtualMachine, tmp_path: Path) -> None:
    devices = {}
    for name, kind in (("one", "luks1"), ("two", "luks2"), ("three", "luks2")):
        machine.ok(f"truncate -s 64M /root/{name}.img && losetup -f --show /root/{name}.img >/root/{name}.device")
        device = machine.ok(f"cat /root/{name}.device").strip()
        machine.ok(f"echo -n secret | cryptsetup luksFormat -q --type {kind} {QUICK} {device} - && udevadm settle")
        devices[name] = {"device": device, "uuid": machine.ok(f"cryptsetup luksUUID {device}").strip()}
    two = devices["two"]["device"]
    machine.ok(f"echo -n secret | cryptsetup open --key-file - {two} two && mkfs.ext4 -q /dev/mapper/two")
    machine.ok("mount /dev/mapper/two /mnt && echo kept >/mnt/file && sync")
    play = tmp_path / "erase.yml"

    def erase(*names: str, **other: str) -> subprocess.CompletedProcess[str]:
        volumes = [{**devices[name], **other} for name in names]
        play.write_text(PLAY.replace("{{ volumes }}", json.dumps(volumes)), encoding="utf-8")
        return machine.playbook(str(play))

    refused = erase("one", "two", uuid=devices["one"]["uuid"])
    assert "is no LUKS volume with the UUID" in said(refused)
    for name in devices:
        machine.ok(f"echo -n secret | cryptsetup open --test-passphrase --key-file - {devices[name]['device']}")

    done = erase("one", "two")
    assert done.returncode == 0, done.stdout
    # Nobody used the first one; a loop device can forget.
    assert [line.split()[-1] for line in done.stdout.splitlines() if "discarded:" in line] == ["true", "false"]
    # What is open is read on, and is whole: nothing beyond the header was written.
    machine.ok("sysctl -qw vm.drop_caches=3 && grep -q kept /mnt/file && umount /mnt && e2fsck -fn /dev/mapper/two")
    machine.ok("cryptsetup close two")
    for name in ("one", "two"):
        device = devices[name]["device"]
        machine.ok(f"! cryptsetup isLuks {device} && ! echo -n secret | cryptsetup open --key-file - {device} gone")
    assert machine.python(f"print(open({two!r}, 'rb').read({HEADER}).count(0))").strip() == str(HEADER)
    machine.ok(f"echo -n secret | cryptsetup open --test-passphrase --key-file - {devices['three']['device']}")
    machine.ok("losetup -D; rm /root/*.img /root/*.device")


def encrypt(machine: VirtualMachine) -> str:
    """Have the system run from memory, and make its disk one encrypted volume with a user's data; its UUID."""
    machine.ok(INTO_MEMORY)
    with contextlib.suppress(RuntimeError):  # the connection is lost
        machine.run("systemctl --no-block soft-reboot")
    for _ in range(60):
        time.sleep(3)
        with contextlib.suppress(RuntimeError):
            if machine.run("findmnt -no FSTYPE /").stdout.strip() == "tmpfs":
                break
    machine.ok("[ $(findmnt -no FSTYPE /) = tmpfs ] && wipefs -qa /dev/vda")
    machine.ok(f"echo -n secret | cryptsetup luksFormat -q --type luks2 {QUICK} /dev/vda - && udevadm settle")
    machine.ok("echo -n secret | cryptsetup open --key-file - /dev/vda home && mkfs.ext4 -q /dev/mapper/home")
    machine.ok("mount /dev/mapper/home /srv && echo 'what nobody else may read' >/srv/file && sync && udevadm settle")
    return machine.ok("cryptsetup luksUUID /dev/vda").strip()


@pytest.mark.control("AST-06")
def test_a_pc_is_reset_and_handed_on(machine: VirtualMachine, ledger: Ledger, reset: Any, tmp_path: Path) -> None:
    if machine.run("systemctl --help | grep -q soft-reboot").rc != 0:
        pytest.skip("this release's systemd knows no soft-reboot, by which the machine's disk is freed to be encrypted")
    uuid = encrypt(machine)
    host = machine.name
    ledger.append("assets", [Change("PC-1", "store", {"place": "cabinet 1"})], "operator3")
    refused = reset("--check")
    assert f"the operations journal knows no backup of host {host}" in said(refused)
    at = f"{TODAY.isoformat()}T00:00:00Z"
    told = {"hosts": [host], "at": at, "outcome": "ok", "details": {"class": "files"}}
    kinds = ("backup", "restore_test")
    ledger.append("operations", [Change(kind, "record", {"kind": kind, **told}) for kind in kinds], "operator3")
    wrong = reset(client_reset_serial="SN-0")
    assert "client_reset_serial is 'SN-0', which is not that of asset PC-1 (clause SM-4.3.3-1)" in said(wrong)
    would = reset("--check")
    assert would.returncode == 0, would.stdout
    assert uuid in would.stdout
    machine.ok("echo -n secret | cryptsetup open --test-passphrase --key-file - /dev/vda && grep -q nobody /srv/file")
    assert not (tmp_path / "resets").exists()

    done = reset()
    assert done.returncode == 0, done.stdout
    [record] = (tmp_path / "resets").iterdir()
    about = json.loads(record.read_text(encoding="utf-8"))
    [volume] = about["volumes"]
    assert (volume["uuid"], volume["keys"], volume["read_back"]) == (uuid, 1, HEADER)
    assert (about["host"], about["reset_by"], about["approver"], about["ticket"]) == (
        host,
        "operator3",
        "manager1",
        "A-2",
    )
    [state] = ledger.find("assets", ["PC-1"])
    assert (state.fields["reset_record"], state.fields["reset_method"]) == (about["record"], "crypto_erase")
    assert uuid in state.fields["reset_of"][0]
    given = {"user": "operator2", "place": "room 4"}
    ledger.append("assets", [Change("PC-1", "use", given)], "operator3")

    [instance] = vm.instances(vm_description.read(description.instance_number()), [host])
    assert not vm.is_running(instance), "it is off"
    disk = tmp_path / "disk"
    subprocess.run(["qemu-img", "convert", "-O", "raw", instance.disk, disk], check=True)
    with disk.open("rb") as file:
        assert file.read(HEADER).count(0) == HEADER
        assert any(file.read(HEADER)), "the rest is what nobody has a key to"
    disk.unlink()
