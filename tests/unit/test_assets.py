# SPDX-License-Identifier: GPL-3.0-or-later
"""The book of assets, what a machine says of itself, and what differs between the two."""

from __future__ import annotations

import datetime
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.kijun.baseline.plugins.module_utils import asset_state
from ansible_collections.kijun.baseline.plugins.module_utils.facts.host import Host
from ansible_collections.kijun.baseline.plugins.plugin_utils.assets import KINDS, Options, compare, page
from ansible_collections.kijun.baseline.plugins.plugin_utils.assets_devices import compare_devices, read_export
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger import migrate
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.book import Change
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.books.assets import AssetContext
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.engine import Ledger
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.errors import LedgerError, Refused

NOW = datetime.datetime(2026, 11, 21, 3, 0, tzinfo=datetime.UTC)
TODAY = NOW.date()
HARDWARE = {"product": "Example PC 5", "serial": "SN42", "memory_mb": "8192"}
PC: dict[str, Any] = {
    "kind": "pc",
    "host": "pc17",
    "maker": "Example",
    "serial": "SN42",
    "owner": "sales",
    "user": "operator1",
    "place": "room 3",
    "portable": True,
}
SERVER = {
    **PC,
    "kind": "server",
    "host": "web1",
    "serial": "SN1",
    "purpose": "shop",
    "holds": "orders",
    "portable": False,
}
LICENCE = {"kind": "licence", "owner": "sales", "software": "exampleoffice*", "seats": 1, "valid_until": "2027-03-31"}
COUNTED = {"counted": "found", "counted_on": "2026-11-20", "counted_by": "operator2"}
AT_OURS = {
    "place": "room 3",
    "reason": "no picture",
    "storage": "checked",
    "contractor": "a firm",
    "escort": "operator2",
}
ENTRUSTED = {
    "reason": "old",
    "disposed_on": "2026-11-20",
    "record": "ERA-8",
    "contractor": "a firm",
    "contract": "CON-7, 4 and 9",
    "contract_checked_by": "operator2",
}
OWN = {**PC, "private": True, "holds": "mail", "valid_until": "2027-03-31"}
APPROVED = ("register", "change", "accept", "dispose")


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    url = f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    migrate.upgrade(url)
    with Ledger(url) as opened:
        yield opened


def put(
    ledger: Ledger, action: str, payload: dict[str, Any] | None = None, key: str = "PC-17", approver: str = "manager1"
) -> dict[str, Any]:
    """Do something to an asset; what it is then."""
    approval = {"approver": approver, "ticket": "AST-1"} if action in APPROVED else {}
    context = AssetContext(("manager1",)) if approver == "manager9" else None
    ledger.append("assets", [Change(key, action, payload or {}, **approval)], "operator3", at=NOW, context=context)
    (state,) = ledger.find("assets", [key])
    return state.fields


def seen(chosen: list[str] | None = None, paths: list[str] | None = None, **other: Any) -> dict[str, Any]:
    """What a machine says of itself."""
    programs = {"paths": paths or [], "count": len(paths or []), "files": 0, "unfinished": []}
    return {"hardware": HARDWARE, "chosen": chosen or [], "programs": programs, **other}


def found(
    ledger: Ledger, machines: dict[str, Any], day: datetime.date = TODAY, **options: Any
) -> list[tuple[str, str, str, str]]:
    """What differs."""
    assets = [state.fields for state in ledger.states("assets")]
    return [tuple(one) for one in compare(assets, machines, day, Options(**options)).findings]  # type: ignore[misc]


def test_an_asset_from_its_entry_to_its_end(ledger: Ledger) -> None:
    assert put(ledger, "register", PC)["status"] == "in_use"
    assert put(ledger, "observe", {"hardware": HARDWARE})["hardware"] == HARDWARE
    assert put(ledger, "count", COUNTED)["counted_by"] == "operator2"
    sent = put(ledger, "repair", {"place": "the maker", "reason": "no picture", "storage": "removed"})
    assert (sent["status"], sent["storage"]) == ("repair", "removed")
    assert put(ledger, "use", {"place": "room 4", "user": "operator1"})["user"] == "operator1"
    assert put(ledger, "lose", {"reason": "left in a train"})["status"] == "lost"
    assert put(ledger, "find", {"reason": "the railway had it", "place": "room 3"})["status"] == "stored"
    gone = put(ledger, "dispose", {"reason": "old", "disposed_on": "2026-11-20", "record": "ERA-8"})
    assert (gone["status"], gone["approver"]) == ("disposed", "manager1")
    before = ledger.checkpoint("assets").head
    put(ledger, "dispose", {"reason": "old", "disposed_on": "2026-11-20", "record": "ERA-8"}, approver="")
    assert ledger.checkpoint("assets").head == before


@pytest.mark.parametrize(
    ("action", "payload", "approver", "message"),
    [
        ("register", {**PC, "host": ""}, "manager1", "a pc needs host: its name in the inventory"),
        ("register", {**SERVER, "holds": ""}, "manager1", "a server needs purpose and holds.*SM-4.2.1-1a"),
        ("register", {**LICENCE, "seats": 0}, "manager1", "a licence needs software and seats"),
        ("register", {**PC, "kind": "phone", "serial": ""}, "manager1", "a phone needs serial"),
        ("register", {**PC, "place": ""}, "manager1", "place is needed: where it is kept"),
        (
            "register",
            {**LICENCE, "terminal_address": "192.0.2.1"},
            "manager1",
            "terminal_address is for a server or pc",
        ),
        (
            "register",
            {**PC, "terminal_address": "192.0.2.0/24"},
            "manager1",
            "must be one IP address, such as 192.0.2.17",
        ),
        ("register", {**SERVER, "take_out": True}, "manager1", "take_out is for what is portable"),
        ("register", {**PC, "kind": "laptop"}, "manager1", "kind 'laptop': Input should be"),
        ("register", PC, "Operator3", "nobody approves what they enter themselves"),
        ("count", {**COUNTED, "counted_on": "2026-11-22"}, "", "counted_on '2026-11-22': is in the future"),
        ("count", {**COUNTED, "counted": "perhaps"}, "", "counted 'perhaps': Input should be"),
        ("observe", {"hardware": {**HARDWARE, "memory_mb": "4096"}}, "", "memory_mb '4096', was '8192'.*: is not what"),
        ("observe", {"hardware": {"colour": "red"}}, "", "hardware.colour"),
        ("accept", {"hardware": HARDWARE}, "manager1", "reason '': accept needs it"),
        ("dispose", {"reason": "old", "disposed_on": "2026-11-20"}, "manager1", "its data are erased first"),
        ("dispose", {**ENTRUSTED, "contract": ""}, "manager1", "names the contract, .* forbids reuse .*SM-4.6.3-2b"),
        ("dispose", {**ENTRUSTED, "contract_checked_by": ""}, "manager1", "names who read in the contract"),
        ("dispose", ENTRUSTED, "manager9", "is none of the committee .*: manager1 .*SM-4.6.3-2a"),
        ("repair", {"place": "the maker", "reason": "no picture"}, "", "storage '': what becomes of .*SM-4.6.1-1"),
        ("repair", {**AT_OURS, "escort": ""}, "", "escort '': names who of us is with the contractor .*SM-4.6.1-2"),
        ("register", {**PC, "private": True, "holds": "mail"}, "manager1", "a private device is .*ST-10-3"),
        ("register", {**SERVER, "private": True, "valid_until": "2027-01-01"}, "manager1", "a private device is"),
        ("register", {**OWN, "valid_until": "2026-11-20"}, "manager1", "valid_until '2026-11-20': is over already"),
        ("register", {**OWN, "terminal_address": "192.0.2.1"}, "manager1", "what the organisation issued .*GL-2.3-5"),
        ("register", OWN, "", "approver '': register needs an approver"),
    ],
)
def test_what_is_not_right_is_refused(
    ledger: Ledger, action: str, payload: dict[str, Any], approver: str, message: str
) -> None:
    if action != "register":
        put(ledger, "register", PC)
        put(ledger, "observe", {"hardware": HARDWARE})
    before = ledger.checkpoint("assets").head
    with pytest.raises(Refused, match=message):
        put(ledger, action, payload, approver=approver)
    assert ledger.checkpoint("assets").head == before


@pytest.mark.control("AST-07")
def test_a_contractor_disposes_of_it_by_the_committees_approval(ledger: Ledger) -> None:
    put(ledger, "register", PC)
    gone = put(ledger, "dispose", ENTRUSTED)
    assert {name: gone[name] for name in ENTRUSTED} == ENTRUSTED
    assert (gone["approver"], gone["ticket"]) == ("manager1", "AST-1")


@pytest.mark.control("AST-07")
def test_what_was_said_of_one_repair_is_not_of_the_next(ledger: Ledger) -> None:
    put(ledger, "register", PC)
    assert put(ledger, "repair", AT_OURS)["escort"] == "operator2"
    put(ledger, "use", {"place": "room 3"})
    with pytest.raises(Refused, match="storage '': what becomes of the information"):
        put(ledger, "repair", {"place": "the maker", "reason": "again"})
    sent = put(ledger, "repair", {"place": "the maker", "reason": "again", "storage": "encrypted"})
    assert (sent["contractor"], sent["escort"]) == ("", "")


@pytest.mark.control("AST-08")
def test_a_private_device_whose_approval_is_over_is_named(ledger: Ledger) -> None:
    put(ledger, "register", {**OWN, "valid_until": "2026-11-21"})
    put(ledger, "count", COUNTED)
    state = {"pc17": seen()}
    assert found(ledger, state) == []
    (over,) = found(ledger, state, day=TODAY + datetime.timedelta(days=1))
    assert over == ("private_over", "PC-17", "pc17", "2026-11-21")


def test_one_machine_is_one_asset(ledger: Ledger) -> None:
    put(ledger, "register", PC)
    with pytest.raises(Refused, match="host 'pc17': is that of asset PC-17"):
        put(ledger, "register", {**PC, "serial": "SN43"}, key="PC-18")
    with pytest.raises(Refused, match="serial 'SN42': is that of asset PC-17"):
        put(ledger, "register", {**PC, "host": "pc18", "maker": "EXAMPLE"}, key="PC-18")
    put(ledger, "register", {**PC, "host": "pc18", "maker": "Other"}, key="PC-18")
    put(ledger, "dispose", {"reason": "old", "disposed_on": "2026-11-20", "record": "ERA-8"})
    assert put(ledger, "register", PC, key="PC-19")["host"] == "pc17"


def test_machines_are_held_against_the_book(ledger: Ledger) -> None:
    for key, fields in (("PC-17", PC), ("SRV-1", SERVER), ("SRV-2", {**SERVER, "host": "web2", "serial": "SN2"})):
        put(ledger, "register", fields, key=key)
        put(ledger, "count", COUNTED, key=key)
    put(ledger, "observe", {"hardware": {**HARDWARE, "memory_mb": "4096"}}, key="SRV-1")
    put(ledger, "store", {"place": "room 9"})
    assert found(ledger, {"pc17": seen(), "web1": seen(), "web9": seen(), "web8": None}) == [
        ("unknown_machine", "", "web8", ""),
        ("unknown_machine", "", "web9", "Example PC 5, SN42"),
        ("missing_machine", "SRV-2", "web2", "room 3"),
        ("not_reached", "", "web8", ""),
        ("other_status", "PC-17", "pc17", "stored"),
        ("changed_hardware", "SRV-1", "web1", "memory_mb: 8192, was 4096"),
    ]
    result = compare([one.fields for one in ledger.states("assets")], {"pc17": seen()}, TODAY, Options())
    assert result.first_seen == {"PC-17": HARDWARE}
    # Accepted by a person, it is no finding any more.
    put(ledger, "accept", {"hardware": HARDWARE, "reason": "more memory, AST-2"}, key="SRV-1")
    kinds = {kind for kind, *_ in found(ledger, {"pc17": seen(), "web1": seen(), "web2": seen()})}
    assert "changed_hardware" not in kinds


def test_software_that_nobody_approved(ledger: Ledger) -> None:
    put(ledger, "register", PC)
    put(ledger, "count", COUNTED)
    machines = {"pc17": seen(["vim", "steam", "exampleoffice-7"], ["/opt/tool/run", "/home/x/game"])}
    options = {
        "approved_software": ["vim", "exampleoffice*", "firefx-esr"],
        "approved_programs": ["/opt/tool/*"],
    }
    assert found(ledger, machines, **options) == [
        ("unapproved_software", "PC-17", "pc17", "steam"),
        ("unapproved_program", "PC-17", "pc17", "/home/x/game"),
        ("idle_approval", "", "", "firefx-esr"),
    ]
    assert found(ledger, machines) == [], "what is not decided is not judged"
    many = {"paths": ["/opt/tool/run"], "count": 300, "files": 900, "unfinished": ["/srv"]}
    assert found(ledger, {"pc17": seen(programs=many)}, approved_programs=["/opt/*"]) == [
        ("unapproved_program", "PC-17", "pc17", "299 more that were not told"),
        ("not_looked_at", "PC-17", "pc17", "/srv"),
    ]


def test_licences_have_seats_and_an_end(ledger: Ledger) -> None:
    put(ledger, "register", LICENCE, key="LIC-1")
    put(ledger, "count", COUNTED, key="LIC-1")
    machines = {f"pc{number}": seen(["exampleoffice-7"]) for number in range(2)}

    def licences(day: datetime.date = TODAY) -> list[tuple[str, str]]:
        return [(kind, said) for kind, _, _, said in found(ledger, machines, day) if "licen" in kind]

    assert licences() == [("over_licensed", "exampleoffice*: 2 machines, 1 seats")]
    put(ledger, "register", {**LICENCE, "seats": 5}, key="LIC-2")
    assert licences() == []
    assert licences(datetime.date(2027, 4, 1)) == [
        ("over_licensed", "exampleoffice*: 2 machines, 0 seats"),
        ("licence_over", "exampleoffice*: over since 2027-03-31"),
        ("licence_over", "exampleoffice*: over since 2027-03-31"),
    ]


def test_what_is_carried_around_is_counted_more_often(ledger: Ledger) -> None:
    put(ledger, "register", PC)
    put(ledger, "register", SERVER, key="SRV-1")
    machines = {"pc17": seen(), "web1": seen()}
    assert found(ledger, machines) == [
        ("not_counted", "PC-17", "pc17", "never"),
        ("not_counted", "SRV-1", "web1", "never"),
    ]
    for key in ("PC-17", "SRV-1"):
        put(ledger, "count", COUNTED, key=key)
    counted = datetime.date(2026, 11, 20)
    for days, kinds in ((90, 0), (91, 1), (365, 1), (366, 2)):
        assert len(found(ledger, machines, counted + datetime.timedelta(days=days))) == kinds, days
    put(ledger, "count", {**COUNTED, "counted": "absent", "counted_on": "2026-11-21"})
    assert found(ledger, machines) == [("absent", "PC-17", "pc17", "2026-11-21")]


def test_5000_machines_are_compared_within_ten_seconds(ledger: Ledger) -> None:
    asset = put(ledger, "register", PC)
    assets = [
        {**asset, "id": f"PC-{n}", "host": f"pc{n}", "serial": str(n), "counted_on": "2026-11-20"} for n in range(5000)
    ]
    chosen = [f"package{n}" for n in range(100)]
    machines = {f"pc{n}": seen([*chosen, f"own{n}"], [f"/opt/tool{n}/run"]) for n in range(10, 5010)}
    begun = time.monotonic()
    result = compare(assets, machines, TODAY, Options(["package*"], ["/opt/*"]))
    assert time.monotonic() - begun < 10
    assert len(result.of("unapproved_software")) == 5000
    assert len(result.of("unknown_machine")) == len(result.of("missing_machine")) == 10
    assert len(result.first_seen) == 4990


def test_the_page_shows_every_kind_that_there_is(ledger: Ledger) -> None:
    put(ledger, "register", {**PC, "place": "<script>alert(1)</script>"})
    result = compare([one.fields for one in ledger.states("assets")], {"web9": None}, TODAY, Options())
    shown = page(result, ledger.verify("assets"), TODAY)
    assert "<script>alert(1)" not in shown
    for kind in ("unknown_machine", "missing_machine", "not_reached", "not_counted"):
        assert KINDS[kind][0] in shown
        assert KINDS[kind][1] in shown


def tree(root: Path, **files: str) -> Host:
    """A host whose files are below a folder."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return Host(str(root))


MACHINE = {
    "sys/class/dmi/id/sys_vendor": "Example\n",
    "sys/class/dmi/id/product_name": "PC 5\n",
    "sys/class/dmi/id/product_serial": "SN42\x1b[2J\n",
    "sys/class/dmi/id/board_serial": "Default string\n",
    "proc/cpuinfo": "processor\t: 0\nmodel name\t: Example  CPU\n\nprocessor\t: 1\nmodel name\t: Example  CPU\n",
    "proc/meminfo": "MemTotal:        8050000 kB\n",
    "sys/block/sda/size": "1953525168\n",
    "sys/block/sda/removable": "0\n",
    "sys/block/sda/device/model": "DISK 1\n",
    "sys/block/sda/device/wwid": "naa.5000\n",
    "sys/block/sdb/size": "60000\n",
    "sys/block/sdb/removable": "1\n",
    "sys/block/loop0/size": "9\n",
    "sys/class/net/eth0/address": "52:54:00:00:00:01\n",
    "sys/class/net/eth0/addr_assign_type": "0\n",
    "sys/class/net/eth0/device/vendor": "0x1\n",
    "sys/class/net/veth0/address": "52:54:00:00:00:02\n",
}


def test_what_a_machine_is_made_of(tmp_path: Path) -> None:
    host = tree(tmp_path, **MACHINE)
    assert asset_state.hardware(host) == {
        "product": "Example PC 5",
        "serial": "SN42 [2J",
        "processors": "2 x Example CPU",
        "memory_mb": "7936",
        "disks": "DISK 1 1000 GB naa.5000",
        "addresses": "52:54:00:00:00:01",
    }
    assert asset_state.hardware(tree(tmp_path, **{"run/systemd/container": "podman"})) == {}


def test_programs_outside_packages(tmp_path: Path) -> None:
    host = tree(tmp_path, **{"home/a/run": "", "home/a/.hidden/tool": "", "home/a/text": "", "opt/x": ""})
    for name in ("home/a/run", "home/a/.hidden/tool", "opt/x"):
        (tmp_path / name).chmod(0o755)
    (tmp_path / "home/link").symlink_to("/usr/bin")
    (tmp_path / "home/a/loop").symlink_to(".")
    found = asset_state.programs(host, ["/home", "/nowhere"], 20)
    assert found == {"paths": ["/home/a/.hidden/tool", "/home/a/run"], "count": 2, "files": 5, "unfinished": []}
    (tmp_path / "home/a/\x1b[2J\udcff".encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")).touch(
        0o700
    )
    shown = asset_state.programs(host, ["/home"], 20)["paths"]
    assert json.dumps(shown)
    assert asset_state.programs(host, ["/home"], 0)["unfinished"] == ["/home"]


PHONE = {"kind": "phone", "serial": "SN1", "owner": "sales", "user": "Operator1", "place": "carried", "portable": True}


def listed(*devices: dict[str, Any], **changed: Any) -> list[dict[str, Any]]:
    """Devices of an export."""
    right = {"user": "operator1", "encrypted": True, "passcode": True, "security_chip": True, "lock_seconds": 60}
    right |= {"cloud_sync": False, "last_seen": "2026-11-20", **changed}
    return [{"row": number, "serial": "sn1", **right, **device} for number, device in enumerate(devices, 2)]


@pytest.mark.parametrize(
    ("changed", "kind", "said"),
    [
        ({"encrypted": False}, "not_encrypted", ""),
        ({"passcode": False}, "no_passcode", ""),
        ({"security_chip": False}, "no_chip", ""),
        ({"cloud_sync": True}, "cloud_sync", ""),
        ({"lock_seconds": 61}, "slow_lock", "61 seconds"),
        ({"lock_seconds": 0}, "slow_lock", "never"),
        ({"user": "operator2"}, "other_user", "operator2, in the ledger Operator1"),
        ({"last_seen": "2026-10-21"}, "not_seen", "2026-10-21"),
        ({"encrypted": None, "user": None}, "not_told", "user, encrypted"),
    ],
)
def test_what_is_wrong_with_a_device(ledger: Ledger, changed: dict[str, Any], kind: str, said: str) -> None:
    asset = put(ledger, "register", {**PHONE, "take_out": True}, key="PH-1")
    assert compare_devices([asset], listed({}), TODAY).findings == []
    found = compare_devices([asset], listed(changed), TODAY)
    assert [tuple(one) for one in found.findings] == [(kind, "PH-1", "sn1", said)]


def test_devices_and_the_book_know_the_same_ones(ledger: Ledger) -> None:
    assets = [put(ledger, "register", {**PHONE, "serial": f"SN{n}"}, key=f"PH-{n}") for n in range(1, 4)]
    assets[1] = put(ledger, "lose", {"reason": "left in a train"}, key="PH-2")
    devices = listed({}, {"serial": "SN2"}, {"serial": "SN9"}, {"serial": "SN9"})
    found = compare_devices(assets, devices, TODAY)
    assert found.machines == 3
    assert [tuple(one) for one in found.findings] == [
        ("unknown_device", "", "SN9", "operator1"),
        ("missing_device", "PH-3", "SN3", "Operator1"),
        ("other_status", "PH-2", "SN2", "lost"),
        ("listed_twice", "", "SN9", "row 5"),
    ]


@pytest.mark.parametrize(
    ("text", "columns", "message"),
    [
        ("Serial\nSN1\n", {"serial": "Serial", "user": "User"}, r"has no column User \(user\); it has Serial"),
        ("Serial\nSN1\n", {"serial": "Serial", "colour": "C"}, "columns has colour; it must name"),
        ("Serial\nSN1\n", {}, "columns has no serial"),
        (
            "Serial,Lock\nSN1,soon\n",
            {"serial": "Serial", "lock_seconds": "Lock"},
            "row 2: Lock is 'soon'; it must be a",
        ),
        (
            "Serial,Seen\nSN1,20th\n",
            {"serial": "Serial", "last_seen": "Seen"},
            "row 2: Seen is '20th'; it must be a date",
        ),
        ("Serial,Enc\nSN1,so\n", {"serial": "Serial", "encrypted": "Enc"}, "row 2: Enc is 'so'; known are"),
        ("Serial,User\n,x\n", {"serial": "Serial", "user": "User"}, "row 2: Serial is empty"),
        ("", {"serial": "Serial"}, "the file is empty"),
        ("Serial\nSN\x001\n", {"serial": "Serial"}, "control character U\\+0000"),
    ],
)
def test_an_export_that_is_not_understood_is_refused(text: str, columns: dict[str, str], message: str) -> None:
    with pytest.raises(LedgerError, match=message):
        read_export(text.encode(), columns)


def test_an_export_is_read_whatever_program_made_it() -> None:
    columns = {"serial": "serial number", "encrypted": "暗号化", "last_seen": "Seen", "lock_seconds": "Lock"}
    text = "Serial Number\t暗号化\tSeen\tLock\nSN1\tはい\t2026/11/20 09:00\t60\nSN2\t\t\t\n"
    expected = [
        {"row": 2, "serial": "SN1", "encrypted": True, "last_seen": "2026-11-20", "lock_seconds": 60},
        {"row": 3, "serial": "SN2", "encrypted": None, "last_seen": None, "lock_seconds": None},
    ]
    for content in (
        text.encode(),
        text.encode("utf-16"),
        text.encode("cp932"),
        text.replace("\t", ";").encode("utf-8-sig"),
    ):
        assert read_export(content, columns) == expected
