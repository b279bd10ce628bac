# SPDX-License-Identifier: GPL-3.0-or-later
"""Recording media: what there is, who may use which until when, where it is kept, and how it ended."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import pydantic

from ..book import Action, Book, Change, Find, Moment, State, Touched, is_repeated, is_same_person, may_approve
from ..errors import Problem
from .entrusted import DISPOSAL, wrong_disposal
from .values import Date, FilledText, Name, Names, Text

CLAUSE = "GL-2.4-1a"

Kind = Literal["usb_flash", "usb_disk", "memory_card", "optical", "tape", "disk", "other"]

USB = frozenset({"usb_flash", "usb_disk"})
"""Kinds that a host knows by their USB descriptor."""

UsbId = Annotated[str, pydantic.StringConstraints(pattern=r"^(?:[0-9a-f]{4})?$")]
"""A vendor's or product's id as lsusb(8) shows it: four digits, hexadecimal, in small letters."""

Serial = Annotated[str, pydantic.StringConstraints(pattern=r"^[!#-\[\]-~]{0,126}$")]
"""What a USB device says its serial is: as many characters as a descriptor holds (USB 2.0, 9.6.7), visible ones of
ASCII without blanks, quotes and backslashes: no device writes anything but a name into a rule."""

Erasure = Literal["", "overwrite", "device_erase", "crypto_erase", "degauss", "destroy"]


class Medium(pydantic.BaseModel):
    """One medium.

    Attributes:
        id: the name on its label.
        status: stored, lent, missing, or disposed.
        kind: what it is.
        vendor_id, product_id, serial: how a host knows it; a USB medium has all three.
        owner: the department or person that answers for it.
        purpose: what it is for.
        confidential: whether confidential information may be on it.
        encryption: how what is on it is encrypted.
        place: where it is kept; a place that locks.
        key_place: where the key of its encryption is kept: another place.
        key_holder: who holds the key of its own place, where it is locked away instead of encrypted.
        requester, approver, ticket: who asked for it, who approved it, and the application, the newest of them.
        valid_until: the last day on which it may be lent.
        lent_to, lent_for, hosts: who has it, or had it last, for what, and the hosts or groups that take it; none: any.
        lent_on, due_on: since when, and the last day.
        returned_on: when it came back the last time.
        scanned, emptied: whether it was then scanned and found clean, and whether its data were taken off.
        erased_on, erased_by, erasure, erasure_record: the last verified erasure: day, person, method, and its record.
        used: whether it was lent since that.
        disposed_on, disposed_by, witness, certificate: how it ended: day, who did it, who saw it, proof of it.
        contractor, contract, contract_checked_by: of a disposal by somebody outside: who, by which contract, and who
            read in it that it has secrecy and forbids reuse.
        reason: why it is missing, was found, or was disposed of.
    """

    model_config = pydantic.ConfigDict(extra="forbid")

    id: Name
    status: Literal["stored", "lent", "missing", "disposed"]
    kind: Kind
    vendor_id: UsbId = ""
    product_id: UsbId = ""
    serial: Serial = ""
    owner: Name
    purpose: FilledText
    confidential: bool = False
    encryption: Literal["none", "luks", "device"] = "none"
    place: FilledText
    key_place: Text = ""
    key_holder: Text = ""
    requester: Name
    approver: Text = ""
    ticket: Text = ""
    valid_until: Date
    lent_to: Text = ""
    lent_for: Text = ""
    hosts: Names = []
    lent_on: Date | None = None
    due_on: Date | None = None
    returned_on: Date | None = None
    scanned: bool = False
    emptied: bool = False
    erased_on: Date | None = None
    erased_by: Text = ""
    erasure: Erasure = ""
    erasure_record: Text = ""
    used: bool = False
    disposed_on: Date | None = None
    disposed_by: Text = ""
    witness: Text = ""
    certificate: Text = ""
    contractor: Text = ""
    contract: Text = ""
    contract_checked_by: Text = ""
    reason: Text = ""

    @pydantic.model_validator(mode="after")
    def _consistent(self) -> Medium:
        if self.kind in USB and not (self.vendor_id and self.product_id and self.serial):
            raise ValueError("a USB medium needs vendor_id, product_id and serial: without them no host knows it")
        if self.encryption != "none" and not self.key_place:
            raise ValueError("an encrypted medium needs key_place: where its key is kept (clause SM-4.6.2-2)")
        if self.key_place and is_same_person(self.key_place, self.place):
            raise ValueError("key_place must not be where the medium itself is kept (clause SM-4.6.2-2)")
        return self


@dataclass(frozen=True)
class MediaContext:
    """What the rules of media need to know from outside.

    Attributes:
        hosts: hosts and groups of the inventory; None where they are not known.
        managers: who may approve; empty for anybody but the requester.
        max_days: the longest time for which a medium is lent, in days.
        committee: who may approve that a contractor disposes of a medium; empty for anybody but who enters it.
    """

    hosts: frozenset[str] | None = None
    managers: tuple[str, ...] = ()
    max_days: int = 31
    committee: tuple[str, ...] = ()


_THERE = frozenset({"stored", "lent", "missing"})
_DESCRIBED = frozenset(
    (
        *("kind", "vendor_id", "product_id", "serial", "owner", "purpose", "confidential", "encryption", "place"),
        *("key_place", "key_holder", "valid_until", "requester"),
    )
)
_ERASED = frozenset({"erasure", "erasure_record", "erased_by"})
_WHOM = {"lend": ("lent_on", ""), "return": ("returned_on", ""), "erase": ("erased_on", "erased_by")}
"""Action -> the field that gets the day, and the one that gets the actor where nobody is named."""


class Media(Book):
    """The book of media."""

    name = "media"
    title: ClassVar = {"en": "Recording media", "ja": "記録媒体管理台帳"}
    model = Medium
    key = "id"
    imported = "register"
    actions: ClassVar = {
        "register": Action(
            before=frozenset({""}),
            after="stored",
            fields=_DESCRIBED,
            required=("kind", "owner", "purpose", "place", "valid_until"),
            approved=True,
            done=_THERE,
            clause="ST-14-1",
        ),
        # What it is, and how a host knows it, stays.
        "change": Action(
            before=frozenset({"stored", "lent"}),
            after=None,
            fields=_DESCRIBED - {"kind", "vendor_id", "product_id", "serial"},
            approved=True,
            done=frozenset({"stored", "lent"}),
            clause="ST-14-1",
        ),
        "lend": Action(
            before=frozenset({"stored"}),
            after="lent",
            fields=frozenset({"lent_to", "lent_for", "hosts", "due_on", "requester"}),
            required=("lent_to", "lent_for", "due_on"),
            approved=True,
            done=frozenset({"lent"}),
            clause="GL-2.4-0b",
        ),
        "return": Action(
            before=frozenset({"lent"}),
            after="stored",
            fields=frozenset({"scanned", "emptied"}),
            required=("scanned", "emptied"),
            done=frozenset({"stored"}),
            clause="GL-2.4-3",
        ),
        "erase": Action(
            before=frozenset({"stored"}),
            after=None,
            fields=_ERASED,
            required=("erasure", "erasure_record"),
            done=frozenset({"stored"}),
            clause="SM-4.6.2-3",
        ),
        "miss": Action(
            before=frozenset({"stored", "lent"}),
            after="missing",
            fields=frozenset({"reason"}),
            required=("reason",),
            done=frozenset({"missing"}),
            clause="GL-2.4-1b",
        ),
        "find": Action(
            before=frozenset({"missing"}),
            after="stored",
            fields=frozenset({"reason"}),
            required=("reason",),
            done=frozenset({"stored"}),
            clause="GL-2.4-1b",
        ),
        "dispose": Action(
            before=frozenset({"stored"}),
            after="disposed",
            fields=_ERASED | {"disposed_on", "disposed_by", "witness", "certificate", "reason", *DISPOSAL},
            required=("erasure", "disposed_on", "witness", "certificate", "reason"),
            done=frozenset({"disposed"}),
            clause="GL-2.4-5",
        ),
    }
    headings: ClassVar = {
        "id": ("Medium", "媒体番号"),
        "status": ("Status", "状態"),
        "kind": ("Kind", "種別"),
        "vendor_id": ("Vendor id", "ベンダーID"),
        "product_id": ("Product id", "製品ID"),
        "serial": ("Serial", "シリアル番号"),
        "owner": ("Owner", "管理責任者"),
        "purpose": ("Purpose", "用途"),
        "confidential": ("Confidential", "機密情報の保存"),
        "encryption": ("Encryption", "暗号化"),
        "place": ("Kept at", "保管場所"),
        "key_place": ("Key kept at", "鍵の保管場所"),
        "key_holder": ("Key of the place held by", "保管場所の鍵の管理者"),
        "requester": ("Requester", "申請者"),
        "approver": ("Approver", "承認者"),
        "ticket": ("Ticket", "申請番号"),
        "valid_until": ("Valid until", "有効期限"),
        "lent_to": ("Lent to", "貸出先"),
        "lent_for": ("Lent for", "貸出目的"),
        "hosts": ("Hosts", "使用ホスト"),
        "lent_on": ("Lent on", "貸出日"),
        "due_on": ("Due on", "返却期限"),
        "returned_on": ("Returned on", "返却日"),
        "scanned": ("Scanned, clean", "ウイルス検査済"),
        "emptied": ("Emptied", "データ消去済"),
        "erased_on": ("Erased on", "完全消去日"),
        "erased_by": ("Erased by", "消去実施者"),
        "erasure": ("Method of erasure", "消去方法"),
        "erasure_record": ("Record of erasure", "消去記録"),
        "used": ("Used since erasure", "消去後の使用"),
        "disposed_on": ("Disposed of on", "廃棄日"),
        "disposed_by": ("Disposed of by", "廃棄実施者"),
        "witness": ("Witness", "立会者"),
        "certificate": ("Certificate", "廃棄証明"),
        "contractor": ("Contractor", "委託先"),
        "contract": ("Contract", "契約"),
        "contract_checked_by": ("Contract read by", "契約条項確認者"),
        "reason": ("Reason", "理由"),
    }

    def derived(self, change: Change, before: State, moment: Moment) -> dict[str, Any]:
        """Who asked and approved, on which day, and what a lending makes of what was known about its data."""
        known, given = before.fields, change.payload
        fields: dict[str, Any] = {}
        action = self.actions[change.action]
        again = is_repeated(action, change, before)
        if action.approved and not again:
            fields.update(approver=change.approver, ticket=change.ticket)
            fields["requester"] = given.get("requester") or moment.actor
        day, person = _WHOM.get(change.action, ("", ""))
        if day and not (again and known.get(day)):
            fields[day] = moment.today.isoformat()
        if person and not given.get(person):
            fields[person] = known[person] if again and known.get(person) else moment.actor
        if change.action == "lend" and not again:
            fields.update(scanned=False, emptied=False, returned_on=None, used=True)
            fields.setdefault("hosts", given.get("hosts") or [])
        if change.action == "erase" and not again:
            fields["used"] = False
        if change.action == "dispose" and given.get("contractor") and not again:
            fields.update(approver=change.approver, ticket=change.ticket)
        if change.action == "dispose":
            ended = known if known.get("status") == "disposed" else {}
            fields["disposed_by"] = given.get("disposed_by") or ended.get("disposed_by") or moment.actor
            fields["erased_by"] = given.get("erased_by") or ended.get("erased_by") or fields["disposed_by"]
            fields["erased_on"] = ended.get("erased_on") or given.get("disposed_on")
        return fields

    def check(self, change: Change, before: State, after: dict[str, Any], moment: Moment) -> Iterable[Problem]:
        """Who may approve, days that are over or too long, and what must have been done to the data."""
        context: MediaContext = moment.context or MediaContext()
        action, today = self.actions[change.action], moment.today.isoformat()
        if action.approved and change.approver and not may_approve(change.approver, context.managers):
            reason = "is none of those who may approve (kijun_media_managers): %s" % ", ".join(context.managers)
            yield change.problem("approver", change.approver, reason, "ST-14-1")
        if change.action in ("register", "change", "lend") and after["valid_until"] < today:
            yield change.problem("valid_until", after["valid_until"], "is over already", "ST-14-1")
        if change.action in ("register", "change", "lend") and after["confidential"] and after["encryption"] == "none":
            # What is lent is not locked away.
            if after["status"] == "lent":
                reason = "a medium for confidential information is encrypted before it is lent"
                yield change.problem("encryption", after["encryption"], reason, "SM-4.6.2-1")
            elif not after["key_holder"]:
                reason = "a medium for confidential information is encrypted, or locked away: by whom, says key_holder"
                yield change.problem("encryption", after["encryption"], reason, "SM-4.6.2-1")
        if change.action == "lend":
            yield from _wrong_lending(change, before, after, moment.today, context)
        if change.action == "return":
            if not after["scanned"]:
                yield change.problem("scanned", False, "it is scanned, and clean, before it is put back", "GL-2.4-2")
            if not after["emptied"]:
                yield change.problem("emptied", False, "no data stay on it: erase them first", "GL-2.4-3")
        if change.action == "dispose":
            if after["disposed_on"] > today:
                yield change.problem("disposed_on", after["disposed_on"], "is in the future", action.clause)
            if is_same_person(after["witness"], after["disposed_by"]):
                reason = "nobody witnesses what they did themselves"
                yield change.problem("witness", after["witness"], reason, "SM-4.6.3-1")
            yield from wrong_disposal(change, after, moment.actor, context.committee)

    def check_together(self, touched: Sequence[Touched], find: Find, moment: Moment) -> Iterable[Problem]:
        """No two media that are there answer to one USB descriptor: a host could not tell them apart."""
        mine = {one.change.key: one for one in touched}
        seen: dict[tuple[str, str, str], str] = {}
        for one in touched:
            name = _descriptor(one.after)
            if name is None or (one.before and _descriptor(one.before) == name):
                continue
            others = [
                state.key
                for state in find({"serial": name[2]})
                if _descriptor({**state.fields, **(mine[state.key].after if state.key in mine else {})}) == name
                and state.key != one.change.key
            ]
            if name in seen:
                others.append(seen[name])
            seen[name] = one.change.key
            if others:
                reason = "is that of medium %s: a host could not tell them apart" % sorted(others)[0]
                yield one.change.problem("serial", name[2], reason, CLAUSE)


def _descriptor(fields: dict[str, Any]) -> tuple[str, str, str] | None:
    """How a host knows a medium; None for one that it does not, or that is gone."""
    if fields.get("status") == "disposed" or not fields.get("serial"):
        return None
    return (fields["vendor_id"], fields["product_id"], fields["serial"])


def _wrong_lending(
    change: Change, before: State, after: dict[str, Any], today: datetime.date, context: MediaContext
) -> Iterable[Problem]:
    """Days that are over or too long, hosts that nothing has, and data of somebody else."""
    due, last = after["due_on"], (today + datetime.timedelta(days=context.max_days)).isoformat()
    if due < today.isoformat():
        yield change.problem("due_on", due, "is over already", "GL-2.4-0b")
    if due > after["valid_until"]:
        yield change.problem("due_on", due, "is after valid_until %s" % after["valid_until"], "GL-2.4-0b")
    if due > last:
        reason = "is more than %d days away (kijun_media_max_days)" % context.max_days
        yield change.problem("due_on", due, reason, "GL-2.4-0b")
    for host in after["hosts"]:
        if context.hosts is not None and host not in context.hosts:
            yield change.problem("hosts", host, "is no host or group of the inventory", "GL-2.4-0b")
    known = before.fields
    if known["confidential"] and known["used"] and not is_same_person(known["lent_to"], after["lent_to"]):
        reason = "confidential data of %s were on it: erase it before somebody else has it" % known["lent_to"]
        yield change.problem("lent_to", after["lent_to"], reason, "SM-4.6.2-3")


def overdue(fields: dict[str, Any], day: datetime.date) -> bool:
    """Whether a medium should have been back before a day.

    Args:
        fields: the medium's.
        day: the day.
    """
    return fields["status"] == "lent" and fields["due_on"] < day.isoformat()


def usable(fields: dict[str, Any], day: datetime.date) -> bool:
    """Whether hosts take a medium on a day: it is lent, and its time is not over.

    Args:
        fields: the medium's.
        day: the day.
    """
    return fields["status"] == "lent" and day.isoformat() <= last_day(fields)


def last_day(fields: dict[str, Any]) -> str:
    """The last day of a lending, ISO 8601: that on which it is due, or on which its approval ends.

    Args:
        fields: the medium's, which is lent.
    """
    return str(min(fields["due_on"], fields["valid_until"]))
