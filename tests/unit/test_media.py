# SPDX-License-Identifier: GPL-3.0-or-later
"""The book of media: who may have which until when, what must have been done to the data, and the report on it."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger import migrate
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.book import Change
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.books.media import MediaContext, overdue, usable
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.engine import Ledger
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.errors import Refused
from ansible_collections.kijun.baseline.plugins.plugin_utils.media_report import LISTS, REPORT, sort_out

NOW = datetime.datetime(2026, 11, 21, 3, 0, tzinfo=datetime.UTC)
TODAY = NOW.date()
STICK: dict[str, Any] = {
    "kind": "usb_flash",
    "vendor_id": "0951",
    "product_id": "1666",
    "serial": "0375122100009134",
    "owner": "operations",
    "purpose": "logs for the vendor",
    "place": "cabinet 2",
    "valid_until": "2027-03-31",
}
SECRET = {**STICK, "confidential": True, "encryption": "luks", "key_place": "safe 1"}
LENT = {"lent_to": "operator1", "lent_for": "an incident", "due_on": "2026-11-30"}
BACK = {"scanned": True, "emptied": True}
ERASED = {"erasure": "overwrite", "erasure_record": "ERA-7"}
GONE = {
    "erasure": "destroy",
    "disposed_on": "2026-11-20",
    "disposed_by": "operator1",
    "witness": "operator2",
    "certificate": "CERT-9",
    "reason": "worn out",
}
ENTRUSTED = {**GONE, "contractor": "a firm", "contract": "CON-7", "contract_checked_by": "operator2"}


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    url = f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    migrate.upgrade(url)
    with Ledger(url) as opened:
        yield opened


def put(
    ledger: Ledger,
    action: str,
    payload: dict[str, Any] | None = None,
    key: str = "USB-1",
    approver: str = "manager1",
    ticket: str = "MED-1",
    days: int = 0,
    context: MediaContext | None = None,
) -> dict[str, Any]:
    """Do something to a medium; what it is then."""
    asks = action in ("register", "change", "lend") or (payload or {}).get("contractor")
    approval = {"approver": approver, "ticket": ticket} if asks else {}
    change = Change(key, action, payload or {}, **approval)
    ledger.append("media", [change], "operator3", at=NOW + datetime.timedelta(days=days), context=context)
    (state,) = ledger.find("media", [key])
    return state.fields


def test_a_medium_from_its_entry_to_its_end(ledger: Ledger) -> None:
    known = put(ledger, "register", STICK)
    assert (known["status"], known["requester"], known["approver"]) == ("stored", "operator3", "manager1")
    lent = put(ledger, "lend", {**LENT, "hosts": ["pc17"]})
    assert (lent["status"], lent["lent_on"], lent["hosts"]) == ("lent", "2026-11-21", ["pc17"])
    back = put(ledger, "return", BACK, days=3)
    assert (back["status"], back["returned_on"], back["lent_to"]) == ("stored", "2026-11-24", "operator1")
    assert put(ledger, "miss", {"reason": "not in the cabinet"})["status"] == "missing"
    assert put(ledger, "find", {"reason": "in another cabinet"})["status"] == "stored"
    erased = put(ledger, "erase", ERASED, days=4)
    assert (erased["erased_on"], erased["erased_by"], erased["used"]) == ("2026-11-25", "operator3", False)
    gone = put(ledger, "dispose", GONE)
    assert (gone["status"], gone["erased_on"], gone["erased_by"]) == ("disposed", "2026-11-20", "operator1")
    assert put(ledger, "dispose", {name: GONE[name] for name in GONE if name != "disposed_by"}, days=5) == gone
    with pytest.raises(Refused, match="lend is for an entry that is stored"):
        put(ledger, "lend", LENT)


@pytest.mark.control("MED-03")
def test_a_contractor_disposes_of_it_by_the_committees_approval(ledger: Ledger) -> None:
    put(ledger, "register", STICK, approver="manager2")
    gone = put(ledger, "dispose", ENTRUSTED)
    assert {name: gone[name] for name in ENTRUSTED} == ENTRUSTED
    assert (gone["approver"], gone["ticket"]) == ("manager1", "MED-1")
    assert put(ledger, "dispose", ENTRUSTED, approver="", days=5) == gone


def test_a_list_that_is_run_again_changes_nothing_and_the_next_lending_is_another(ledger: Ledger) -> None:
    for _ in range(2):
        put(ledger, "register", STICK)
    for _ in range(2):
        put(ledger, "lend", LENT)
    assert ledger.checkpoint("media").count == 2
    put(ledger, "return", BACK)
    again = put(ledger, "lend", LENT, approver="manager2", days=1)
    assert (again["approver"], again["lent_on"], again["returned_on"]) == ("manager2", "2026-11-22", None)
    assert (again["scanned"], again["emptied"]) == (False, False), (
        "what was true of the last lending is not of this one"
    )


def test_what_is_locked_away_need_not_be_encrypted_and_is_never_lent(ledger: Ledger) -> None:
    tape = {**STICK, "kind": "tape", "confidential": True, "key_holder": "manager1"}
    assert put(ledger, "register", tape)["key_holder"] == "manager1"
    with pytest.raises(Refused, match=r"by whom, says key_holder .*SM-4\.6\.2-1"):
        put(ledger, "change", {"key_holder": ""})
    with pytest.raises(Refused, match="is encrypted before it is lent"):
        put(ledger, "lend", LENT)
    put(ledger, "change", {"encryption": "luks", "key_place": "safe 1"})
    put(ledger, "lend", LENT)
    with pytest.raises(Refused, match="is encrypted before it is lent"):
        put(ledger, "change", {"encryption": "none", "key_place": ""})


@pytest.mark.parametrize(
    ("action", "payload", "given", "message"),
    [
        ("register", {**STICK, "serial": ""}, {}, "a USB medium needs vendor_id, product_id and serial"),
        ("register", {**STICK, "serial": 'x" allow id *:*'}, {}, "serial .*String should match pattern"),
        ("register", {**STICK, "serial": "\x1b[2J"}, {}, "serial .*String should match pattern"),
        ("register", {**STICK, "vendor_id": "951"}, {}, "vendor_id '951': String should match pattern"),
        ("register", {**STICK, "valid_until": "2026-11-20"}, {}, "valid_until '2026-11-20': is over already"),
        (
            "register",
            {**SECRET, "encryption": "none"},
            {},
            "encrypted, or locked away: by whom, says key_holder .*SM-4.6.2-1",
        ),
        (
            "lend",
            LENT,
            {"first": {**SECRET, "encryption": "none", "key_place": "", "key_holder": "manager1"}},
            "is encrypted before it is lent .*SM-4.6.2-1",
        ),
        ("register", {**SECRET, "key_place": ""}, {}, "needs key_place: where its key is kept .*SM-4.6.2-2"),
        ("register", {**SECRET, "key_place": "Cabinet 2"}, {}, "must not be where the medium itself is kept"),
        ("register", STICK, {"approver": "operator3"}, "nobody approves what they themselves asked for"),
        ("register", STICK, {"approver": ""}, "approver '': register needs an approver .*ST-14-1"),
        ("register", STICK, {"ticket": ""}, "ticket '': register needs an application's number"),
        ("register", STICK, {"approver": "manager9"}, "is none of those who may approve .*: manager1, manager2"),
        ("lend", {**LENT, "due_on": "2026-11-20"}, {}, "due_on '2026-11-20': is over already"),
        ("lend", {**LENT, "due_on": "2026-12-30"}, {}, r"is more than 31 days away \(kijun_media_max_days\)"),
        ("lend", {**LENT, "due_on": "2027-04-01"}, {}, "is after valid_until 2027-03-31"),
        ("lend", {**LENT, "hosts": ["pc18"]}, {}, "hosts 'pc18': is no host or group of the inventory"),
        ("lend", {**LENT, "lent_to": " "}, {}, "lent_to ' ': lend needs it .*GL-2.4-0b"),
        ("lend", LENT, {"approver": "operator3"}, "nobody approves what they themselves asked for"),
        ("dispose", {**GONE, "witness": "Operator1"}, {}, "nobody witnesses what they did themselves .*SM-4.6.3-1"),
        ("dispose", {**GONE, "disposed_on": "2026-11-22"}, {}, "disposed_on '2026-11-22': is in the future"),
        ("dispose", {**GONE, "certificate": ""}, {}, "certificate '': dispose needs it .*GL-2.4-5"),
        ("dispose", {**GONE, "erasure": "quick"}, {}, "erasure 'quick': Input should be"),
        ("dispose", ENTRUSTED, {"approver": ""}, "by the committee's approval alone.*SM-4.6.3-2a"),
        ("dispose", ENTRUSTED, {"approver": "operator3"}, "nobody approves what they enter themselves .*SM-4.6.3-2a"),
        ("dispose", ENTRUSTED, {"approver": "manager9"}, "is none of the committee .*: manager1 .*SM-4.6.3-2a"),
        ("dispose", {**ENTRUSTED, "contract": ""}, {}, "contract '': .*SM-4.6.3-2b"),
        ("destroy", {}, {}, "action 'destroy': known are register, change, lend, return, erase"),
    ],
)
def test_what_is_not_right_is_refused(
    ledger: Ledger, action: str, payload: dict[str, Any], given: dict[str, Any], message: str
) -> None:
    context = MediaContext(frozenset({"pc17"}), ("manager1", "manager2"), committee=("manager1",))
    first = given.pop("first", STICK)
    if action != "register":
        put(ledger, "register", first)
    before = ledger.checkpoint("media").head
    with pytest.raises(Refused, match=message):
        put(ledger, action, payload, context=context, **given)
    assert ledger.checkpoint("media").head == before


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        ({**BACK, "scanned": False}, "it is scanned, and clean, before it is put back .*GL-2.4-2"),
        ({**BACK, "emptied": False}, "no data stay on it: erase them first .*GL-2.4-3"),
        ({"scanned": True}, "emptied '': return needs it"),
    ],
)
def test_a_medium_comes_back_clean_and_empty(ledger: Ledger, payload: dict[str, Any], message: str) -> None:
    put(ledger, "register", STICK)
    put(ledger, "lend", LENT)
    with pytest.raises(Refused, match=message):
        put(ledger, "return", payload)


def test_confidential_data_are_erased_before_somebody_else_has_the_medium(ledger: Ledger) -> None:
    put(ledger, "register", SECRET)
    put(ledger, "lend", LENT)
    put(ledger, "return", BACK)
    other = {**LENT, "lent_to": "operator2"}
    with pytest.raises(Refused, match=r"data of operator1 were on it: erase it .*SM-4.6.2-3"):
        put(ledger, "lend", other)
    assert put(ledger, "lend", LENT)["lent_to"] == "operator1", "the same person goes on"
    put(ledger, "return", BACK)
    put(ledger, "erase", ERASED)
    assert put(ledger, "lend", other)["lent_to"] == "operator2"


def test_two_media_of_one_serial_are_refused(ledger: Ledger) -> None:
    put(ledger, "register", STICK)
    with pytest.raises(Refused, match="is that of medium USB-1: a host could not tell them apart"):
        put(ledger, "register", STICK, key="USB-2")
    approved = {"approver": "manager1", "ticket": "MED-2"}
    twice = [Change(name, "register", {**STICK, "serial": "77"}, **approved) for name in ("USB-3", "USB-4")]
    with pytest.raises(Refused, match="is that of medium USB-3"):
        ledger.append("media", twice, "operator3", at=NOW)
    # Another maker counts as well; and a serial is free once its medium is gone.
    put(ledger, "register", {**STICK, "vendor_id": "0781"}, key="USB-5")
    put(ledger, "dispose", GONE)
    assert put(ledger, "register", STICK, key="USB-2")["status"] == "stored"
    assert put(ledger, "change", {"place": "cabinet 3"}, key="USB-2")["place"] == "cabinet 3"


def test_hosts_take_what_is_lent_until_its_day_is_over(ledger: Ledger) -> None:
    fields = put(ledger, "register", STICK)
    assert not usable(fields, TODAY)
    fields = put(ledger, "lend", LENT)
    last, after = datetime.date(2026, 11, 30), datetime.date(2026, 12, 1)
    assert [usable(fields, day) for day in (TODAY, last, after)] == [True, True, False]
    assert [overdue(fields, day) for day in (TODAY, last, after)] == [False, False, True]


def test_the_report_names_what_somebody_must_do(ledger: Ledger) -> None:
    for number, fields in enumerate((STICK, SECRET, STICK, STICK, STICK)):
        key = f"M-{number}"
        put(ledger, "register", {**fields, "serial": str(number)}, key=key)
        if number < 3:
            put(ledger, "lend", LENT, key=key)
    put(ledger, "return", BACK, key="M-1")
    put(ledger, "miss", {"reason": "nobody knows"}, key="M-3")
    put(ledger, "dispose", GONE, key="M-4")
    found = sort_out(ledger.states("media"), datetime.date(2026, 12, 1))
    assert {name: [fields["id"] for fields in entries] for name, entries in found.items()} == {
        "overdue": ["M-0", "M-2"],
        "missing": ["M-3"],
        "over": [],
        "to_erase": ["M-1"],
        "lent": ["M-0", "M-2"],
        "stored": ["M-1"],
    }
    later = sort_out(ledger.states("media"), datetime.date(2027, 4, 1))
    assert [fields["id"] for fields in later["over"]] == ["M-3", "M-0", "M-1", "M-2"]
    page = REPORT.page(found, ledger.verify("media"), TODAY)
    assert "記録媒体管理台帳" in page
    assert all(name in page for name in LISTS)
