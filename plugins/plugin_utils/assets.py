# SPDX-License-Identifier: GPL-3.0-or-later
"""Holds machines against the book of assets. Pure functions: JSON values in, findings out."""

from __future__ import annotations

import datetime
import fnmatch
import functools
import io
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from .accounts.pages.document import Column, Document, Table, render
from .accounts.pages.ledger import verified
from .ledger.books.assets import HARDWARE, MACHINES, Assets
from .ledger.engine import Verification
from .ledger.interchange.csv_file import write_csv

Fields = Mapping[str, Any]

KINDS = {
    "unknown_machine": ("Machines that are in no ledger", "台帳にない機器"),
    "missing_machine": ("Machines in use that are not in the inventory", "使用中だがインベントリにない機器"),
    "not_reached": ("Machines that did not answer", "応答のない機器"),
    "other_status": ("Machines that answer, and should not be in use", "使用中でないはずの稼働機器"),
    "changed_hardware": ("Machines whose hardware changed", "構成が変わった機器"),
    "unapproved_software": ("Software that nobody approved", "未承認のソフトウェア"),
    "unapproved_program": ("Programs outside packages that nobody approved", "パッケージ外の未承認プログラム"),
    "not_looked_at": ("Trees that were not looked through", "調査が完了しなかった領域"),
    "over_licensed": ("Licences with fewer seats than machines", "ライセンス数を超えた使用"),
    "licence_over": ("Licences that are over, of software in use", "有効期限切れで使用中のライセンス"),
    "private_over": ("Private devices whose approval is over", "承認期限を過ぎた私有端末"),
    "not_counted": ("Assets whose count is due", "棚卸期限を過ぎた資産"),
    "absent": ("Assets that the last count did not find", "棚卸で所在を確認できなかった資産"),
    "idle_approval": (
        "Approvals that no machine has anything of: misspelt, or no longer needed",
        "該当のない承認(誤記または不要)",
    ),
}
"""Kind of finding -> what it says, in the order in which a reader wants to see it."""

TITLE = ("Hardware and licences compared with the ledger", "情報機器・ライセンス照合結果")

REMINDERS = frozenset({"not_reached", "not_looked_at", "idle_approval", "not_seen", "not_told"})
"""Kinds that say that something is not known, or to be tidied up."""


class Finding(NamedTuple):
    """What differs.

    Attributes:
        kind: one of `KINDS`.
        asset: the asset; empty where there is none.
        host: the machine; empty where there is none.
        said: what it is.
    """

    kind: str
    asset: str
    host: str
    said: str


@dataclass(frozen=True)
class Options:
    """What the organisation decides.

    Attributes:
        approved_software: packages, ``*`` for any characters; None: software is not looked at.
        approved_programs: paths, ``*`` for any characters; None: programs outside packages are not looked at.
        count_days, portable_count_days: days after which an asset, and one that is carried around, is counted again.
    """

    approved_software: Sequence[str] | None = None
    approved_programs: Sequence[str] | None = None
    count_days: int = 365
    portable_count_days: int = 90


@dataclass
class Compared:
    """What came of it.

    Attributes:
        findings: what differs, by kind, asset, host.
        first_seen: asset -> hardware that is to be noted for the first time.
        machines: machines that answered.
    """

    findings: list[Finding] = field(default_factory=list)
    first_seen: dict[str, dict[str, str]] = field(default_factory=dict)
    machines: int = 0

    def of(self, kind: str) -> list[Finding]:
        """The findings of a kind."""
        return [one for one in self.findings if one.kind == kind]

    def numbers(self) -> dict[str, int]:
        """How many findings there are of each kind that there is."""
        return dict(Counter(one.kind for one in self.findings))


def compare(
    assets: Iterable[Fields], machines: Mapping[str, Fields | None], day: datetime.date, options: Options
) -> Compared:
    """Hold machines against the book.

    Args:
        assets: fields of the book's entries.
        machines: host -> what it says of itself, as module_utils/asset_state has it; None for one that did not answer.
        day: the day of judgement.
        options: what the organisation decides.
    """
    there = [one for one in assets if one["status"] != "disposed"]
    by_host = {one["host"]: one for one in there if one["host"]}
    found = Compared(machines=sum(state is not None for state in machines.values()))
    for host in sorted(machines):
        _machine(found, by_host.get(host), host, machines[host])
    for asset in there:
        if asset["kind"] in MACHINES and asset["status"] == "in_use" and asset["host"] not in machines:
            found.findings.append(Finding("missing_machine", asset["id"], asset["host"], asset["place"]))
        if asset["private"] and asset["valid_until"] < day.isoformat():
            found.findings.append(Finding("private_over", asset["id"], asset["host"], asset["valid_until"]))
        _count(found, asset, day, options)
    answered = {host: state for host, state in machines.items() if state is not None}
    _software(found, by_host, answered, options)
    _licences(found, there, answered, day)
    order = {kind: number for number, kind in enumerate(KINDS)}
    found.findings.sort(key=lambda one: (order[one.kind], one.asset, one.host, one.said))
    return found


def _machine(found: Compared, asset: Fields | None, host: str, state: Fields | None) -> None:
    name = asset["id"] if asset else ""
    if asset is None:
        found.findings.append(Finding("unknown_machine", "", host, _words(state["hardware"]) if state else ""))
    if state is None:
        found.findings.append(Finding("not_reached", name, host, ""))
        return
    if asset is None:
        return
    if asset["status"] != "in_use":
        found.findings.append(Finding("other_status", name, host, asset["status"]))
    seen, known = state["hardware"], asset["hardware"]
    if not known and seen:
        found.first_seen[name] = dict(seen)
    elif known:
        for part in HARDWARE:
            if seen.get(part, "") != known.get(part, ""):
                said = "%s: %s, was %s" % (part, seen.get(part) or "nothing", known.get(part) or "nothing")
                found.findings.append(Finding("changed_hardware", name, host, said))


def _words(hardware: Fields) -> str:
    return ", ".join(filter(None, (hardware.get("product", ""), hardware.get("serial", ""))))


def _count(found: Compared, asset: Fields, day: datetime.date, options: Options) -> None:
    days = options.portable_count_days if asset["portable"] else options.count_days
    if asset["counted"] == "absent" and asset["status"] != "lost":
        found.findings.append(Finding("absent", asset["id"], asset["host"], asset["counted_on"]))
    due = (day - datetime.timedelta(days=days)).isoformat()
    if asset["status"] != "lost" and (asset["counted_on"] or "") < due:
        found.findings.append(Finding("not_counted", asset["id"], asset["host"], asset["counted_on"] or "never"))


def _software(found: Compared, by_host: Mapping[str, Fields], answered: Mapping[str, Fields], options: Options) -> None:
    for kind, patterns, things in (
        ("unapproved_software", options.approved_software, _packages),
        ("unapproved_program", options.approved_programs, _programs),
    ):
        if patterns is None:
            continue
        approving = Approving(patterns)
        for host, state in answered.items():
            name = by_host[host]["id"] if host in by_host else ""
            wrong = [thing for thing in things(state) if not approving(thing)]
            more = state["programs"]["count"] - len(state["programs"]["paths"]) if kind == "unapproved_program" else 0
            wrong += ["%d more that were not told" % more] if more else []
            found.findings += [Finding(kind, name, host, thing) for thing in wrong]
            if kind == "unapproved_program":
                unfinished = state["programs"]["unfinished"]
                found.findings += [Finding("not_looked_at", name, host, tree) for tree in unfinished]
        if answered:
            found.findings += [Finding("idle_approval", "", "", pattern) for pattern in approving.idle()]


def _packages(state: Fields) -> list[str]:
    return list(state["chosen"])


def _programs(state: Fields) -> list[str]:
    return list(state["programs"]["paths"])


class Approving:
    """Looks whether names fit one of some patterns, and keeps in mind which patterns none did.

    Args:
        patterns: ``*`` stands for any characters.
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        self._patterns = [(pattern, re.compile(fnmatch.translate(pattern))) for pattern in patterns]
        self._idle = dict.fromkeys(patterns)
        self._fitting = functools.lru_cache(maxsize=None)(self._fits)

    def __call__(self, name: str) -> bool:
        """Whether a name fits."""
        return self._fitting(name)

    def idle(self) -> list[str]:
        """The patterns that fitted nothing."""
        return sorted(self._idle)

    def _fits(self, name: str) -> bool:
        fitting = [pattern for pattern, expression in self._patterns if expression.match(name)]
        for pattern in fitting:
            self._idle.pop(pattern, None)
        return bool(fitting)


def _licences(found: Compared, there: Iterable[Fields], answered: Mapping[str, Fields], day: datetime.date) -> None:
    licences: dict[str, list[Fields]] = defaultdict(list)
    for asset in there:
        if asset["kind"] == "licence" and asset["status"] == "in_use":
            licences[asset["software"]].append(asset)
    if not licences:
        return
    having: dict[str, list[str]] = defaultdict(list)
    for host, state in answered.items():
        for thing in {*state["chosen"], *state["programs"]["paths"]}:
            having[thing].append(host)
    for software, entries in licences.items():
        fits = re.compile(fnmatch.translate(software)).match
        hosts = sorted({host for thing, hosts in having.items() if fits(thing) for host in hosts})
        holding = [one for one in entries if (one["valid_until"] or "9999") >= day.isoformat()]
        seats = sum(one["seats"] for one in holding)
        if len(hosts) > seats:
            said = "%s: %d machines, %d seats" % (software, len(hosts), seats)
            found.findings.append(Finding("over_licensed", entries[0]["id"], "", said))
        if hosts:
            found.findings += [
                Finding("licence_over", one["id"], "", "%s: over since %s" % (software, one["valid_until"]))
                for one in entries
                if one not in holding
            ]


def page(
    found: Compared,
    verification: Verification,
    day: datetime.date,
    kinds: Mapping[str, tuple[str, str]] = KINDS,
    title: tuple[str, str] = TITLE,
) -> str:
    """The findings as HTML.

    Args:
        found: what came of comparing.
        verification: how verifying the book's chain ended.
        day: the day of judgement.
        kinds: kind of finding -> what it says.
        title: of the page.
    """
    columns = (Column("field_id", "name"), Column("what"), Column("said", "text", "wide"))
    numbers = found.numbers()
    tones = {kind: "error" if kind in REMINDERS else "fail" for kind in kinds}
    return render(
        Document(
            key="assets_compared",
            stem=day.isoformat(),
            facts=[
                ("read_at", day.isoformat()),
                ("machines", str(found.machines)),
                ("ledger_count", str(verification.count)),
                ("ledger_head", verification.head),
            ],
            tiles=[(tones[kind] if kind in numbers else "", kind, numbers.get(kind, 0)) for kind in kinds],
            notices=[verified(verification)],
            tables=[
                Table(kind, columns, [[one.asset or None, one.host, one.said] for one in found.of(kind)])
                for kind in kinds
                if kind in numbers
            ],
            words={
                **kinds,
                "assets_compared": title,
                "machines": ("Machines and devices that were compared", "照合した機器"),
                "what": ("Host or serial", "ホスト・シリアル番号"),
                "said": ("What differs", "内容"),
                "field_id": Assets.headings["id"],
            },
        )
    )


def table(found: Compared, language: str, kinds: Mapping[str, tuple[str, str]] = KINDS) -> bytes:
    """The findings as CSV.

    Args:
        found: what came of comparing.
        language: en or ja.
        kinds: kind of finding -> what it says.
    """
    column = ("en", "ja").index(language)
    headings = (
        ("Finding", "区分"),
        ("Asset", "資産番号"),
        ("Host or serial", "ホスト・シリアル番号"),
        ("What differs", "内容"),
    )
    rows = [(kinds[one.kind][column], one.asset, one.host, one.said) for one in found.findings]
    content = io.BytesIO()
    write_csv(content, [words[column] for words in headings], rows)
    return content.getvalue()
