# SPDX-License-Identifier: GPL-3.0-or-later
"""A PC for another user: what its disks hold, what speaks against a reset, and what the book of assets hands on."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.kijun.baseline.plugins.module_utils import client_volumes
from ansible_collections.kijun.baseline.plugins.module_utils.client_volumes import destroy, sort_out
from ansible_collections.kijun.baseline.plugins.module_utils.media_erase import EraseError, LuksHeader
from ansible_collections.kijun.baseline.plugins.plugin_utils.client_reset import (
    Books,
    Request,
    books_of,
    destroyed,
    lines,
    refusals,
)
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger import migrate
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.book import Change
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.engine import Ledger
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.errors import LedgerError, Refused
from kijun_ledgers import edited, read_rows, take_guards_off, write_rows

NOW = datetime.datetime(2026, 11, 21, 3, 0, tzinfo=datetime.UTC)
EFI = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
LUKS = {"fstype": "crypto_LUKS", "uuid": "U-1"}


def node(name: str, kind: str = "part", **other: Any) -> dict[str, Any]:
    nothing = {"vendor": None, "model": None, "serial": None, "fstype": None, "uuid": None, "parttype": None}
    return {"name": f"/dev/{name}", "type": kind, "size": 64 << 20, "ro": False, "mountpoints": [], **nothing, **other}


def laptop(*more: dict[str, Any]) -> dict[str, Any]:
    """A disk as the installer of Debian makes it: the firmware's partition, /boot, and LUKS with LVM above it."""
    root = node("mapper/pc-root", "lvm", fstype="ext4", mountpoints=["/"])
    opened = node("mapper/luks", "crypt", fstype="LVM2_member", children=[root])
    parts = [
        node("sda1", fstype="vfat", parttype=EFI, mountpoints=["/boot/efi"]),
        node("sda2", fstype="ext4", mountpoints=["/boot"]),
        node("sda3", **LUKS, children=[opened]),
    ]
    return node("sda", "disk", model="Example SSD", serial="S42", children=[*parts, *more])


def sorted_out(*devices: dict[str, Any], carried: str = "") -> dict[str, Any]:
    return sort_out(list(devices), lambda name: name == carried)


def test_a_pc_of_the_installer_is_encrypted_but_for_what_starts_it() -> None:
    found = sorted_out(laptop(), node("zram0", "disk"), node("loop0", "loop"), node("sr0", "rom"))
    assert [(one["device"], one["uuid"], one["serial"], one["in_use"]) for one in found["encrypted"]] == [
        ("/dev/sda3", "U-1", "S42", True)
    ]
    assert found["starting"] == ["/dev/sda1 vfat /boot/efi", "/dev/sda2 ext4 /boot"]
    assert found["others"] == found["media"] == []


@pytest.mark.parametrize(
    ("more", "named"),
    [
        (node("sda4", fstype="ext4", mountpoints=["/srv"]), "/dev/sda4 ext4 /srv"),
        (node("sda4", fstype="ntfs"), "/dev/sda4 ntfs"),
        # Nobody knows what is in it; and what is in a volume that is encrypted, but has no header whose keys could go.
        (node("sda4"), "/dev/sda4 with unknown content"),
        (node("sda4", children=[node("mapper/plain", "crypt", fstype="swap")]), "/dev/sda4 with unknown content"),
        # LVM below encryption: what is in its free space, nobody knows.
        (node("sda4", fstype="LVM2_member", children=[node("mapper/x", "lvm", **LUKS)]), "/dev/sda4 LVM2_member"),
        # What starts the machine, and something else.
        (node("sda4", fstype="vfat", parttype=EFI, mountpoints=["/boot", "/srv"]), "/dev/sda4 vfat /boot /srv"),
        (node("sda4", mountpoints=["/sr\x1bv"], fstype="ext4"), "/dev/sda4 ext4 /sr?v"),
    ],
)
def test_what_no_key_protects_is_named(more: dict[str, Any], named: str) -> None:
    assert sorted_out(laptop(more))["others"] == [named]


def test_an_array_is_one_volume_and_a_disk_may_be_one() -> None:
    array = node("md0", "raid1", **LUKS)
    halves = [
        node(name, "disk", children=[node(name + "1", fstype="linux_raid_member", children=[array])])
        for name in ("sda", "sdb")
    ]
    whole = node("sdc", "disk", fstype="crypto_LUKS", uuid="U-2")
    found = sorted_out(*halves, whole, node("sdd", "disk"), node("sde", "disk", size=0))
    assert [one["device"] for one in found["encrypted"]] == ["/dev/md0", "/dev/sdc"]
    assert found["others"] == ["/dev/sdd with unknown content"]


def test_a_medium_that_is_plugged_in_is_no_part_of_the_pc() -> None:
    found = sorted_out(laptop(), node("sdb", "disk", fstype="vfat", serial="0375\x1b"), carried="sdb")
    assert found["media"] == ["/dev/sdb (0375?)"]
    assert found["others"] == []


LUKS2 = """LUKS header information
Version:       \t2
Keyslots area: \t16744448 [bytes]

Data segments:
  0: crypt
\toffset: 16777216 [bytes]
\tlength: (whole device)

Keyslots:
  0: luks2
\tKey:        512 bits
\tArea offset:32768 [bytes]
  1: luks2
\tKey:        512 bits
Tokens:
  0: systemd-tpm2
Digests:
  0: pbkdf2
"""
LUKS1 = """LUKS header information for /dev/sdb

Version:       \t1
Payload offset:\t4096

Key Slot 0: ENABLED
\tIterations:         \t1
Key Slot 1: DISABLED
"""


def test_headers_say_how_many_keys_there_are_and_where_data_begin() -> None:
    assert LuksHeader.parsed(LUKS2) == (2, 16777216)
    assert LuksHeader.parsed(LUKS1) == (1, 4096 * 512)
    without = LUKS2.partition("  0: luks2")[0] + "Tokens:" + LUKS2.partition("Tokens:")[2]
    assert LuksHeader.parsed(without) == (0, 16777216)


@pytest.mark.parametrize(
    ("device", "uuid", "words"),
    [
        ("/dev/sdz", "U-1", "/dev/sdz: is no LUKS volume with the UUID 'U-1'; nothing was erased"),
        ("/dev/sda3", "U-2", "/dev/sda3: is no LUKS volume with the UUID 'U-2'"),
        ("/dev/sda2", "", "/dev/sda2: is no LUKS volume with the UUID ''"),
        ("/dev/sda4", "U-3", "/dev/sda4: is read-only; nothing was erased"),
    ],
)
def test_other_volumes_are_not_touched(monkeypatch: pytest.MonkeyPatch, device: str, uuid: str, words: str) -> None:
    protected = node("sda4", fstype="crypto_LUKS", uuid="U-3", ro=True)
    monkeypatch.setattr(client_volumes, "block_devices", lambda: [laptop(protected)])
    with pytest.raises(EraseError, match=words):
        destroy([{"device": device, "uuid": uuid}])


PC: dict[str, Any] = {
    "kind": "pc",
    "host": "pc17",
    "maker": "Example",
    "serial": "SN42",
    "owner": "sales",
    "user": "operator1",
    "place": "room 3",
}
ASSET = {**PC, "id": "PC-017", "status": "stored"}
REQUEST = Request("PC-017", "SN42", "pc17", is_client=True, is_controller=False, actor="op", approver="manager1")
SEEN = {"serial": "SN42", "machine_id": "1", **sorted_out(laptop())}
BACKUP = {
    "id": "B-1",
    "kind": "backup",
    "hosts": ["pc17"],
    "at": "2026-11-20T01:00:00Z",
    "outcome": "ok",
    "details": {"class": "files"},
}
TEST = {**BACKUP, "id": "T-1", "kind": "restore_test", "at": "2026-11-01T01:00:00Z"}
BOOKS = Books(ASSET, "2026-11-20", history=[BACKUP, TEST])
ACCOUNT = {"login": "tanaka", "person": "Sample Person", "status": "active", "hosts": ["pc17"]}
MEDIUM = {"id": "USB-1", "status": "lent", "lent_to": "operator1", "hosts": ["pc17"]}
INCIDENT = {"id": "pc17-1", "status": "contained", "host": "pc17"}


def test_what_nothing_speaks_against_may_be_reset() -> None:
    assert refusals(REQUEST, BOOKS, SEEN) == []
    others = Books(
        ASSET,
        "2026-11-20",
        accounts=[{**ACCOUNT, "status": "disabled"}, {**ACCOUNT, "hosts": ["clients"]}],
        media=[{**MEDIUM, "status": "stored"}, {**MEDIUM, "hosts": []}],
        incidents=[{**INCIDENT, "status": "resolved"}],
        history=[BACKUP, TEST],
    )
    assert refusals(REQUEST, others, SEEN) == []
    assert refusals(replace(REQUEST, no_data="never used"), Books(ASSET, "2026-11-20"), SEEN) == []


@pytest.mark.parametrize(
    ("request_", "books", "seen", "words"),
    [
        ({"approver": "Op"}, {}, {}, "approver is 'Op', who runs this: -e approver=NAME is another person"),
        ({"is_controller": True}, {}, {}, "host pc17 is the controller itself"),
        ({"is_client": False}, {}, {}, "host pc17 is not in the group clients: a server is not reset"),
        ({"asset": "PC-018"}, {"asset": None}, {}, "client_reset_asset is 'PC-018': the book of assets has no such"),
        ({}, {"asset": {**ASSET, "kind": "tablet"}}, {}, "asset PC-017 is a tablet: only a pc is reset by this"),
        ({}, {"asset": {**ASSET, "host": "pc18"}}, {}, "client_reset_host is 'pc17', and asset PC-017 is 'pc18'"),
        *(
            ({}, {"asset": {**ASSET, "status": status}}, {}, f"asset PC-017 is {status}; it must be stored")
            for status in ("in_use", "repair", "lost", "disposed")
        ),
        ({}, {"asset": {**ASSET, "serial": ""}}, {}, "asset PC-017 has no serial in the book"),
        ({"serial": "SN43"}, {}, {}, "client_reset_serial is 'SN43', which is not that of asset PC-017"),
        ({}, {}, {"serial": ""}, "host pc17 tells no serial of its hardware"),
        ({}, {}, {"serial": "SN44"}, "host pc17 says of its hardware that its serial is 'SN44', and the book says"),
        ({}, {"accounts": [ACCOUNT]}, {}, r"account tanaka \(Sample Person\) is active and names host pc17.*GL-2.1-2"),
        ({}, {"accounts": [{**ACCOUNT, "status": "suspended"}]}, {}, "account tanaka .* is suspended and names"),
        ({}, {"media": [MEDIUM]}, {}, r"medium USB-1 is lent to operator1 for host pc17.*GL-2.4-3"),
        ({}, {"incidents": [INCIDENT]}, {}, r"incident pc17-1 of host pc17 is contained.*GL-3.1.2-4b"),
        ({}, {"history": [TEST]}, {}, "the operations journal knows no backup of host pc17; if there is nothing on it"),
        ({}, {"history": [{**BACKUP, "outcome": "failed"}, TEST]}, {}, r"class files of host pc17 \(B-1,.*is failed"),
        ({}, {"stored_on": "2026-11-22"}, {}, "is older than its return on 2026-11-22, by more than a day"),
        ({}, {"history": [BACKUP]}, {}, "class files of host pc17 was never restored for a test"),
        ({}, {"history": [BACKUP, {**TEST, "outcome": "failed"}]}, {}, "was not restored well: T-1"),
        (
            {},
            {"history": [BACKUP, TEST, {**BACKUP, "details": {"class": "mail"}}]},
            {},
            "class mail of host pc17 was never restored",
        ),
        ({}, {}, {"media": ["/dev/sdb (SN1)"]}, r"medium /dev/sdb \(SN1\) is plugged in: pull it out"),
        ({}, {}, {"others": ["/dev/sda4 ext4 /srv"]}, "/dev/sda4 ext4 /srv is not encrypted by LUKS.*by hand: start"),
        ({}, {}, {"encrypted": []}, "no disk of its own was found; by hand"),
    ],
)
def test_what_speaks_against_it_is_named(
    request_: dict[str, Any], books: dict[str, Any], seen: dict[str, Any], words: str
) -> None:
    said = refusals(replace(REQUEST, **request_), replace(BOOKS, **books), {**SEEN, **seen})
    assert len(said) == 1, said
    [line] = said
    assert line.endswith(")")
    assert "(clause " in line
    assert re.search(words, line), line


def test_everything_is_named_at_once() -> None:
    books = replace(BOOKS, accounts=[ACCOUNT], media=[MEDIUM], incidents=[INCIDENT], history=[])
    assert len(refusals(replace(REQUEST, serial="x"), books, {**SEEN, "others": ["/dev/sdb ext4"]})) == 6


def test_the_record_names_each_volume_with_its_disk() -> None:
    erased = {"volumes": [{"device": "/dev/sda3", "uuid": "U-1", "keys": 2}]}
    volumes = destroyed(SEEN["encrypted"], erased)
    assert volumes[0]["serial"] == "S42"
    assert lines(volumes) == ["/dev/sda3, LUKS U-1, on Example SSD S42"]


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    url = f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    migrate.upgrade(url)
    with Ledger(url) as opened:
        opened.append("assets", [Change("PC-017", "register", PC, approver="manager1", ticket="A-1")], "op", at=NOW)
        yield opened


def enter(ledger: Ledger, action: str, approver: str = "manager1", **payload: Any) -> dict[str, Any]:
    """Do something to the PC; what it is then."""
    approval = {"approver": approver, "ticket": "A-2"} if action in ("change", "reset") else {}
    ledger.append("assets", [Change("PC-017", action, payload, **approval)], "operator3", at=NOW)
    (state,) = ledger.find("assets", ["PC-017"])
    return state.fields


RESET = {"reset_method": "crypto_erase", "reset_record": "RST-1", "reset_of": ["/dev/sda3, LUKS U-1, on S42"]}
EXTERNAL = {"reset_method": "external", "reset_record": "CERT-1", "reason": "its disk was not encrypted: overwritten"}


@pytest.mark.control("AST-06")
@pytest.mark.parametrize("how", [RESET, EXTERNAL], ids=["destroyed", "external"])
def test_a_pc_goes_to_another_user_after_a_reset_alone(ledger: Ledger, how: dict[str, Any]) -> None:
    words = r"operator1 had it, and it was not reset since: playbooks/client_reset.yml.*SM-4.3.3-1"
    with pytest.raises(Refused, match=words):
        enter(ledger, "change", user="operator2")
    enter(ledger, "store", place="cabinet")
    with pytest.raises(Refused, match=words):
        enter(ledger, "use", user="operator2", place="room 4")
    # Nor by way of nobody.
    enter(ledger, "use", place="room 4")
    enter(ledger, "change", user="")
    with pytest.raises(Refused, match=words):
        enter(ledger, "change", user="operator2")
    assert enter(ledger, "change", user="Operator1")["user"] == "Operator1"
    with pytest.raises(Refused, match="reset is for an entry that is stored"):
        enter(ledger, "reset", **how)
    enter(ledger, "store", place="cabinet")
    done = enter(ledger, "reset", **how)
    assert (done["user"], done["last_user"], done["reset_by"], done["reset_on"]) == ("", "", "operator3", "2026-11-21")
    assert (done["status"], done["approver"], done["reset_of"]) == ("stored", "manager1", how.get("reset_of", []))
    before = ledger.checkpoint("assets").head
    assert enter(ledger, "reset", **how) == done
    assert ledger.checkpoint("assets").head == before
    assert enter(ledger, "use", user="operator2", place="room 4")["last_user"] == "operator2"
    with pytest.raises(Refused, match="operator2 had it"):
        enter(ledger, "change", user="operator1")


@pytest.mark.parametrize(
    ("payload", "approver", "words"),
    [
        (RESET, "Operator3", "nobody approves what they enter themselves"),
        (RESET, "", "reset needs an approver"),
        ({**EXTERNAL, "reason": ""}, "manager1", "who resets it otherwise says how, and why so"),
        ({**RESET, "reset_of": []}, "manager1", "crypto_erase says which volumes were destroyed"),
        ({**RESET, "reset_record": " "}, "manager1", "reset needs it"),
        ({**RESET, "reset_method": "shoot"}, "manager1", "reset_method 'shoot'"),
        ({**RESET, "user": "operator2"}, "manager1", "reset sets only"),
    ],
)
def test_a_wrong_reset_is_refused(ledger: Ledger, payload: dict[str, Any], approver: str, words: str) -> None:
    enter(ledger, "store", place="cabinet")
    with pytest.raises(Refused, match=words):
        enter(ledger, "reset", approver, **payload)


def test_a_server_is_nobodys_to_hand_on(ledger: Ledger) -> None:
    server = {**PC, "kind": "server", "host": "web1", "serial": "SN1", "purpose": "shop", "holds": "orders"}
    first = Change("SRV-1", "register", server, approver="manager1", ticket="A-1")
    ledger.append("assets", [first, Change("SRV-1", "store", {"place": "rack"})], "op", at=NOW)
    ledger.append("assets", [Change("SRV-1", "use", {"user": "operator2", "place": "rack"})], "op", at=NOW)
    ledger.append("assets", [Change("SRV-1", "store", {"place": "rack"})], "op", at=NOW)
    with pytest.raises(Refused, match="reset is for a pc, phone or tablet"):
        ledger.append("assets", [Change("SRV-1", "reset", RESET, approver="manager1", ticket="A-2")], "op", at=NOW)


def fill(ledger: Ledger) -> None:
    """What still counts on the PC, and on another one; and its backups."""
    soon = (NOW.date() + datetime.timedelta(days=7)).isoformat()
    account = {"person": "P", "department": "Sales", "justification": "works there", "requester": "suzuki"}
    medium = {
        "kind": "usb_flash",
        "vendor_id": "0951",
        "product_id": "1666",
        "owner": "operations",
        "purpose": "logs",
        "place": "cabinet 2",
        "valid_until": soon,
        "requester": "operator1",
    }
    lending = {"lent_to": "operator1", "lent_for": "logs", "due_on": soon, "requester": "operator1"}
    for host in ("pc17", "pc18"):
        changes = [Change("of-" + host, "request", {**account, "person": "of " + host, "hosts": [host]}, ticket="T-1")]
        ledger.append("accounts", changes, "op", at=NOW)
        stick = {**medium, "serial": "SN-" + host}
        changes = [
            Change("USB-" + host, "register", stick, "manager1", "M-1"),
            Change("USB-" + host, "lend", {**lending, "hosts": [host]}, "manager1", "M-2"),
        ]
        ledger.append("media", changes, "op", at=NOW)
        incident = {"kind": "other", "host": host, "summary": "a break-in is suspected"}
        ledger.append("incidents", [Change("INC-" + host, "open", incident)], "op", at=NOW)
        for kind in ("backup", "restore_test"):
            told = {"kind": kind, "hosts": [host], "at": BACKUP["at"], "outcome": "ok", "details": {"class": "files"}}
            ledger.append("operations", [Change(f"{kind}-{host}", "record", told)], "op", at=NOW)


def test_books_tell_what_is_about_the_pc_alone(ledger: Ledger) -> None:
    fill(ledger)
    enter(ledger, "store", place="cabinet")
    books = books_of(ledger, REQUEST)
    assert books.stored_on == NOW.date().isoformat()
    said = refusals(REQUEST, books, SEEN)
    assert [line.split()[:2] for line in said] == [
        ["account", "of-pc17"],
        ["medium", "USB-pc17"],
        ["incident", "INC-pc17"],
    ]
    [unknown] = refusals(replace(REQUEST, asset="PC-18"), replace(books_of(ledger, REQUEST), **NOTHING), SEEN)
    assert "the book of assets has no such asset" in unknown


NOTHING: dict[str, Any] = {"asset": None, "accounts": (), "media": (), "incidents": ()}


@pytest.mark.parametrize("book", ["assets", "accounts", "media", "incidents", "operations"])
def test_a_book_that_was_altered_is_not_believed(ledger: Ledger, book: str) -> None:
    fill(ledger)
    take_guards_off(ledger.url)
    rows = read_rows(ledger.url)
    mine = rows.of(book)
    write_rows(ledger.url, rows.with_book(book, [edited(mine[0], actor="mallory"), *mine[1:]]))
    with pytest.raises(LedgerError, match=f"nothing was changed: the book of {book} was altered"):
        books_of(ledger, REQUEST)
