# SPDX-License-Identifier: GPL-3.0-or-later
"""Hardware and licences: what there is, who answers for it and has it, where it is, and when it was counted."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import pydantic

from ..book import Action, Book, Change, Find, Moment, State, Touched, is_repeated, is_same_person
from ..errors import Problem
from .entrusted import DISPOSAL, wrong_disposal, wrong_repair
from .values import Date, Name, Text

CLAUSE = "SM-4.3.1-1b"
RESET_CLAUSE = "SM-4.3.3-1"

MACHINES = frozenset({"server", "pc"})
"""Kinds that Ansible reaches: they have a host."""

DEVICES = frozenset({"phone", "tablet"})
"""Kinds that a mobile device management knows."""

HANDED_ON = DEVICES | {"pc"}
"""Kinds that one person has, and the next one gets erased and set up again."""

HARDWARE = ("product", "serial", "board_serial", "processors", "memory_mb", "disks", "addresses")
"""What is noted of a machine's hardware."""


def _address(text: str) -> str:
    """One address in its shortest form: a terminal is one machine."""
    try:
        return str(ipaddress.ip_address(text)) if text else ""
    except ValueError:
        raise ValueError("must be one IP address, such as 192.0.2.17") from None


TerminalAddress = Annotated[Text, pydantic.AfterValidator(_address)]

Hardware = dict[
    Literal["product", "serial", "board_serial", "processors", "memory_mb", "disks", "addresses"],
    Annotated[str, pydantic.StringConstraints(max_length=1000)],
]


class Asset(pydantic.BaseModel):
    """One asset.

    Attributes:
        id: the number on its label; a licence's own.
        status: in_use, stored, repair, lost, or disposed.
        kind: what it is.
        host: a machine's name in the inventory.
        maker, model, serial: as they stand on it.
        owner: the department or person that answers for it.
        user: who has it.
        place: where it is.
        purpose, holds: what it is for, and what information it holds; a server has both.
        portable: whether it is carried around.
        take_out: whether it may leave the organisation's premises.
        terminal_address: what a machine operates others from; only such machines are let in to do so.
        private: whether it is a person's own, on which work data may be by an approval that ends on valid_until.
        software, seats, valid_until: of a licence: the package or program, on how many machines it may be, and the last
            day.
        hardware: what was seen of a machine's hardware, and accepted.
        approver, ticket: who approved the newest step that needs it, and the application.
        counted_on, counted_by, counted: the last physical count: day, person, and whether it was found.
        reason: why it is lost, was found, is repaired, or was disposed of.
        storage: of what is repaired: what became of the information on it.
        contractor, escort: who from outside repairs it or disposes of it, and who of us is with them when they come in.
        contract, contract_checked_by: of a disposal by a contractor: by which contract, and who read in it that it has
            secrecy and forbids reuse.
        disposed_on: the last day.
        record: what proves that its data were erased.
        last_user: who had it last since it was reset: whose data may be on it.
        reset_on, reset_by: when it was reset for another user, and who entered it.
        reset_method: crypto_erase (playbooks/client_reset.yml), or external: a person answers for it, with a reason.
        reset_record: what proves it.
        reset_of: what was destroyed, each volume a line.
    """

    model_config = pydantic.ConfigDict(extra="forbid")

    id: Name
    status: Literal["in_use", "stored", "repair", "lost", "disposed"]
    kind: Literal["server", "pc", "phone", "tablet", "network", "storage", "licence", "other"]
    host: Text = ""
    maker: Text = ""
    model: Text = ""
    serial: Text = ""
    owner: Name
    user: Text = ""
    place: Text = ""
    purpose: Text = ""
    holds: Text = ""
    portable: bool = False
    take_out: bool = False
    private: bool = False
    terminal_address: TerminalAddress = ""
    software: Text = ""
    seats: Annotated[int, pydantic.Field(ge=0, le=1000000)] = 0
    valid_until: Date | None = None
    hardware: Hardware = {}
    approver: Text = ""
    ticket: Text = ""
    counted_on: Date | None = None
    counted_by: Text = ""
    counted: Literal["", "found", "absent"] = ""
    reason: Text = ""
    storage: Literal["", "checked", "encrypted", "erased", "removed"] = ""
    contractor: Text = ""
    escort: Text = ""
    contract: Text = ""
    contract_checked_by: Text = ""
    disposed_on: Date | None = None
    record: Text = ""
    last_user: Text = ""
    reset_on: Date | None = None
    reset_by: Text = ""
    reset_method: Literal["", "crypto_erase", "external"] = ""
    reset_record: Text = ""
    reset_of: list[Text] = []

    @pydantic.model_validator(mode="after")
    def _consistent(self) -> Asset:
        if self.kind in MACHINES and not self.host:
            raise ValueError("a %s needs host: its name in the inventory" % self.kind)
        if self.kind == "server" and not (self.purpose and self.holds):
            raise ValueError("a server needs purpose and holds: what it is for, what it holds (clause SM-4.2.1-1a)")
        if self.kind == "licence" and not (self.software and self.seats):
            raise ValueError("a licence needs software and seats: for what, and on how many machines")
        if self.kind in DEVICES and not self.serial:
            raise ValueError("a %s needs serial: its management knows it by that" % self.kind)
        if self.kind != "licence" and not self.place:
            raise ValueError("place is needed: where it is kept")
        if self.take_out and not self.portable:
            raise ValueError("take_out is for what is portable")
        if self.private and not (self.kind in HANDED_ON and self.user and self.holds and self.valid_until):
            raise ValueError(
                "a private device is a pc, phone or tablet with user, holds and valid_until: whose it is, which work "
                "data may be on it, and until when (clause ST-10-3)"
            )
        if self.private and self.terminal_address:
            raise ValueError("terminal_address is for what the organisation issued (clause GL-2.3-5)")
        if self.terminal_address and self.kind not in MACHINES:
            raise ValueError("terminal_address is for a server or pc: others are not audited (clause GL-2.3-3)")
        return self


@dataclass(frozen=True)
class AssetContext:
    """What the rules of assets need to know from outside.

    Attributes:
        committee: who may approve that a contractor disposes of something; empty for anybody but who enters it.
    """

    committee: tuple[str, ...] = ()


_THERE = frozenset({"in_use", "stored", "repair", "lost"})
_CHANGED = frozenset(
    (
        *("host", "maker", "model", "serial", "owner", "user", "place", "purpose", "holds", "portable", "take_out"),
        "private",
        *("terminal_address", "software", "seats", "valid_until"),
    )
)


class Assets(Book):
    """The book of assets."""

    name = "assets"
    title: ClassVar = {"en": "Hardware and licences", "ja": "情報機器・ライセンス管理台帳"}
    model = Asset
    key = "id"
    imported = "register"
    actions: ClassVar = {
        "register": Action(
            before=frozenset({""}),
            after="in_use",
            fields=_CHANGED | {"kind"},
            required=("kind", "owner"),
            approved=True,
            done=_THERE,
            clause="SM-4.2.2-2",
        ),
        "change": Action(
            before=frozenset({"in_use", "stored", "repair"}),
            after=None,
            fields=_CHANGED,
            approved=True,
            done=frozenset({"in_use", "stored", "repair"}),
            clause=CLAUSE,
        ),
        # What a host says of itself for the first time; what it says otherwise later, a person accepts.
        "observe": Action(
            before=frozenset({"in_use", "stored", "repair"}),
            after=None,
            fields=frozenset({"hardware"}),
            required=("hardware",),
            done=frozenset({"in_use", "stored", "repair"}),
            clause=CLAUSE,
        ),
        "accept": Action(
            before=frozenset({"in_use", "stored", "repair"}),
            after=None,
            fields=frozenset({"hardware", "reason"}),
            required=("hardware", "reason"),
            approved=True,
            done=frozenset({"in_use", "stored", "repair"}),
            clause="SM-4.2.4-7-2",
        ),
        "count": Action(
            before=_THERE,
            after=None,
            fields=frozenset({"counted", "counted_by", "counted_on", "place"}),
            required=("counted", "counted_on"),
            done=_THERE,
            clause="SM-5-2a",
        ),
        "use": Action(
            before=frozenset({"stored", "repair"}),
            after="in_use",
            fields=frozenset({"user", "place"}),
            required=("place",),
            done=frozenset({"in_use"}),
            clause=CLAUSE,
        ),
        "store": Action(
            before=frozenset({"in_use", "repair"}),
            after="stored",
            fields=frozenset({"place"}),
            required=("place",),
            done=frozenset({"stored"}),
            clause=CLAUSE,
        ),
        "repair": Action(
            before=frozenset({"in_use", "stored"}),
            after="repair",
            fields=frozenset({"place", "reason", "storage", "contractor", "escort"}),
            required=("place", "reason"),
            done=frozenset({"repair"}),
            clause="SM-4.6.1-1",
        ),
        # Who had it before leaves nothing to who has it next.
        "reset": Action(
            before=frozenset({"stored"}),
            after=None,
            fields=frozenset({"reset_method", "reset_record", "reset_of", "reason"}),
            required=("reset_method", "reset_record"),
            approved=True,
            done=frozenset({"stored"}),
            clause=RESET_CLAUSE,
        ),
        "lose": Action(
            before=frozenset({"in_use", "stored", "repair"}),
            after="lost",
            fields=frozenset({"reason"}),
            required=("reason",),
            done=frozenset({"lost"}),
            clause="GL-3.1.1-1",
        ),
        "find": Action(
            before=frozenset({"lost"}),
            after="stored",
            fields=frozenset({"reason", "place"}),
            required=("reason", "place"),
            done=frozenset({"stored"}),
            clause=CLAUSE,
        ),
        "dispose": Action(
            before=frozenset({"in_use", "stored", "repair", "lost"}),
            after="disposed",
            fields=frozenset({"reason", "disposed_on", "record", *DISPOSAL}),
            required=("reason", "disposed_on"),
            approved=True,
            done=frozenset({"disposed"}),
            clause="SM-4.6.3-1",
        ),
    }
    headings: ClassVar = {
        "id": ("Asset", "資産番号"),
        "status": ("Status", "状態"),
        "kind": ("Kind", "種別"),
        "host": ("Host", "ホスト"),
        "maker": ("Maker", "メーカー"),
        "model": ("Model", "型番"),
        "serial": ("Serial", "シリアル番号"),
        "owner": ("Owner", "管理責任者"),
        "user": ("User", "利用者"),
        "place": ("Place", "設置・保管場所"),
        "purpose": ("Purpose", "用途"),
        "holds": ("Information that it holds", "保有する情報"),
        "portable": ("Portable", "可搬"),
        "take_out": ("May be taken out", "持ち出し可"),
        "private": ("A person's own", "私有"),
        "terminal_address": ("Operates from", "操作端末アドレス"),
        "software": ("Licence of", "ライセンス対象"),
        "seats": ("Seats", "ライセンス数"),
        "valid_until": ("Valid until", "有効期限"),
        "hardware": ("Hardware", "ハードウェア構成"),
        "approver": ("Approver", "承認者"),
        "ticket": ("Ticket", "申請番号"),
        "counted_on": ("Counted on", "棚卸日"),
        "counted_by": ("Counted by", "棚卸実施者"),
        "counted": ("Count", "棚卸結果"),
        "reason": ("Reason", "理由"),
        "storage": ("Information when repaired", "修理時の情報の扱い"),
        "contractor": ("Contractor", "委託先"),
        "escort": ("With the contractor", "立会者"),
        "contract": ("Contract", "契約"),
        "contract_checked_by": ("Contract read by", "契約条項確認者"),
        "disposed_on": ("Disposed of on", "廃棄日"),
        "record": ("Record of erasure", "消去記録"),
        "last_user": ("Last user since reset", "初期化後の最終利用者"),
        "reset_on": ("Reset on", "初期化日"),
        "reset_by": ("Reset by", "初期化実施者"),
        "reset_method": ("Method of reset", "初期化方法"),
        "reset_record": ("Record of reset", "初期化記録"),
        "reset_of": ("Destroyed at reset", "初期化対象"),
    }

    def derived(self, change: Change, before: State, moment: Moment) -> dict[str, Any]:
        """Who approved the newest step that needs it, who counted, and whose data may be on it."""
        known, action = before.fields, self.actions[change.action]
        again = is_repeated(action, change, before)
        fields: dict[str, Any] = {}
        if action.approved and not again:
            fields.update(approver=change.approver, ticket=change.ticket)
        if change.action == "count" and not change.payload.get("counted_by"):
            fields["counted_by"] = known["counted_by"] if again and known.get("counted_by") else moment.actor
        if change.action == "repair" and not again:
            # What was said of an earlier repair is not of this one.
            fields |= {name: change.payload.get(name, "") for name in ("storage", "contractor", "escort")}
        if change.action == "dispose" and not again:
            fields |= {name: change.payload.get(name, "") for name in DISPOSAL}
        if change.payload.get("user"):
            fields["last_user"] = change.payload["user"]
        if change.action == "reset" and not again:
            fields.update(user="", last_user="", reset_on=moment.today.isoformat(), reset_by=moment.actor)
            fields["reset_of"] = change.payload.get("reset_of", [])
        return fields

    def check(self, change: Change, before: State, after: dict[str, Any], moment: Moment) -> Iterable[Problem]:
        """Nobody approves their own, days are not in the future, what a host says is not written over, and nobody gets
        what another one's data may be on.
        """
        action, today = self.actions[change.action], moment.today.isoformat()
        if action.approved and change.approver and is_same_person(change.approver, moment.actor):
            yield change.problem(
                "approver", change.approver, "nobody approves what they enter themselves", action.clause
            )
        for name in ("counted_on", "disposed_on"):
            if name in change.payload and after[name] > today:
                yield change.problem(name, after[name], "is in the future", action.clause)
        if change.action == "observe" and before.fields["hardware"]:
            reason = "is not what stands in the ledger: somebody accepts it, or puts it right"
            yield change.problem(
                "hardware", _differing(before.fields["hardware"], after["hardware"]), reason, action.clause
            )
        gone = before.fields.get("status") == "lost"
        if change.action == "dispose" and after["kind"] in _WITH_DATA and not gone and not after["record"]:
            yield change.problem("record", "", "its data are erased first: name the record of that", action.clause)
        former = before.fields.get("last_user") or ""
        is_given = bool(change.payload.get("user")) and after["kind"] in HANDED_ON
        if is_given and former and not is_same_person(former, after["user"]):
            reason = (
                "%s had it, and it was not reset since: playbooks/client_reset.yml, or action reset with reset_method "
                "external and a reason, comes first"
            )
            yield change.problem("user", after["user"], reason % former, RESET_CLAUSE)
        if change.action == "reset":
            yield from _wrong_reset(change, after)
        if change.action == "repair":
            yield from wrong_repair(change, before.fields, after, after["kind"] in _WITH_DATA)
        if change.action == "dispose":
            committee = moment.context.committee if moment.context else ()
            yield from wrong_disposal(change, after, moment.actor, committee)
        if after["private"] and change.action in ("register", "change") and after["valid_until"] < today:
            yield change.problem("valid_until", after["valid_until"], "is over already", "ST-10-3")

    def check_together(self, touched: Sequence[Touched], find: Find, moment: Moment) -> Iterable[Problem]:
        """No two assets that are there are one machine, have one serial of one maker, or operate from one address."""
        mine = {one.change.key: one for one in touched}
        for name, of in (("host", _host), ("serial", _serial), ("terminal_address", _terminal)):
            seen: dict[Any, str] = {}
            for one in touched:
                value = of(one.after)
                if value is None or (one.before and of(one.before) == value):
                    continue
                others = [
                    state.key
                    for state in find({name: one.after[name]})
                    if state.key != one.change.key
                    and of(mine[state.key].after if state.key in mine else state.fields) == value
                ]
                others += [seen[value]] if value in seen else []
                seen[value] = one.change.key
                if others:
                    yield one.change.problem(name, one.after[name], "is that of asset %s" % sorted(others)[0], CLAUSE)


def _wrong_reset(change: Change, after: dict[str, Any]) -> Iterable[Problem]:
    """What is not handed on, and words that a person owes."""
    if after["kind"] not in HANDED_ON:
        reason = "reset is for a pc, phone or tablet, which one person has; other assets end with dispose"
        yield change.problem("kind", after["kind"], reason, RESET_CLAUSE)
    if after["reset_method"] == "external" and not change.payload.get("reason"):
        reason = "who resets it otherwise says how, and why so"
        yield change.problem("reason", "", reason, RESET_CLAUSE)
    if after["reset_method"] == "crypto_erase" and not after["reset_of"]:
        reason = "crypto_erase says which volumes were destroyed; playbooks/client_reset.yml enters that"
        yield change.problem("reset_of", "", reason, RESET_CLAUSE)


_WITH_DATA = frozenset({"server", "pc", "phone", "tablet", "storage"})


def _host(fields: dict[str, Any]) -> str | None:
    return None if fields.get("status") == "disposed" else fields.get("host") or None


def _terminal(fields: dict[str, Any]) -> str | None:
    return None if fields.get("status") == "disposed" else fields.get("terminal_address") or None


def _serial(fields: dict[str, Any]) -> tuple[str, str] | None:
    if fields.get("status") == "disposed" or not fields.get("serial"):
        return None
    return (fields["maker"].casefold(), fields["serial"])


def _differing(known: dict[str, str], seen: dict[str, str]) -> str:
    """What of a machine's hardware is another."""
    names = [name for name in HARDWARE if known.get(name, "") != seen.get(name, "")]
    return ", ".join("%s %r, was %r" % (name, seen.get(name, ""), known.get(name, "")) for name in names)
