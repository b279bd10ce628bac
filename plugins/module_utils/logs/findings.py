# SPDX-License-Identifier: GPL-3.0-or-later
"""Findings: what rules come to when records are counted together, each with the lines that it is made of.

A finding is of one rule, one group (what the rule counts by) and one hour. So whoever reads the same lines comes to the
same findings: the watcher as they arrive, the review of a whole day, and either of them again after it was killed.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from .keeper import read_json, write
from .records import Line, shown, stamp
from .rules import MOST, Rule

LINES = 20
"""Lines that a finding shows; all are counted, and can be found by their file and offset."""

CHARACTERS = 2000
"""Characters of a line that a finding shows."""

GROUPS = 50000
"""Groups of a rule that are counted at the same time; with more, those that are over go, then the oldest."""


class Event(NamedTuple):
    """A record that counts for a rule.

    Attributes:
        time: when it was received, in seconds since 1970.
        line: the line.
        known: what the rule needs to know of it.
        amount: what it adds to a rule's total, or 1.
    """

    time: float
    line: Line
    known: dict[str, str]
    amount: int


class Window:
    """Records of one group that are counted together, in the order of their receipt."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.amount = 0

    def add(self, event: Event, before: float) -> None:
        """Count a record, and forget those of before a time."""
        events = self.events
        place = len(events)
        while place and events[place - 1].time > event.time:
            place -= 1
        events.insert(place, event)
        self.amount += event.amount
        first = 0
        while events[first].time < before:
            self.amount -= events[first].amount
            first += 1
        if first:
            del events[:first]
        while len(events) > MOST:
            # Many small ones add up as well.
            events[1] = events[1]._replace(amount=events[0].amount + events[1].amount)
            del events[0]

    def is_enough(self, rule: Rule) -> bool:
        """Whether they are a finding."""
        if rule.total:
            return self.amount >= rule.total[1]
        if len(self.events) < rule.least:
            return False
        return all(len({e.known.get(name) for e in self.events}) >= count for name, count in rule.distinct.items())


class Windows:
    """Counts records, a rule and a group at a time.

    It does not matter that records of different senders come a little out of order, as they are sorted within a window.
    """

    def __init__(self) -> None:
        self._groups: dict[str, dict[tuple[str, ...], Window]] = {}

    def add(self, rule: Rule, line: Line, known: dict[str, str]) -> list[Event]:
        """Count a record.

        Args:
            rule: the rule that it counts for.
            line: the record's line.
            known: what the rule knows of it.

        Returns:
            The records that are a finding now, this one among them; none while they are too few.
        """
        event = Event(line.received, line, known, self._amount(rule, known))
        if not rule.seconds:
            return [event]
        groups = self._groups.setdefault(rule.id, {})
        key = group_of(rule, known)
        window = groups.get(key)
        if window is None:
            if len(groups) >= GROUPS:
                self._thin_out(rule, groups, event.time)
            window = groups[key] = Window()
        window.add(event, event.time - rule.seconds)
        return list(window.events) if window.is_enough(rule) else []

    @staticmethod
    def _amount(rule: Rule, known: dict[str, str]) -> int:
        if not rule.total:
            return 1
        text = known.get(rule.total[0], "")
        return int(text) if text.isdecimal() and len(text) < 19 else 0

    @staticmethod
    def _thin_out(rule: Rule, groups: dict[tuple[str, ...], Window], now: float) -> None:
        for key in [key for key, window in groups.items() if window.events[-1].time < now - rule.seconds]:
            del groups[key]
        if len(groups) >= GROUPS:
            for key in list(groups)[: GROUPS // 2]:
                del groups[key]


def group_of(rule: Rule, known: dict[str, str]) -> tuple[str, ...]:
    """The values that a rule counts by."""
    return tuple(known.get(name, "") for name in rule.by)


def identity(rule: str, group: tuple[str, ...], slot: str) -> str:
    """A finding's name, which follows from what it is about.

    Args:
        rule: the rule's id.
        group: the values that it counts by.
        slot: the hour, or whatever else sets it apart from others of its kind.
    """
    return hashlib.sha256(json.dumps([rule, group, slot]).encode("utf-8", "surrogateescape")).hexdigest()[:20]


class Findings:
    """The findings of a stretch of time, and their files.

    Args:
        folder: where they are kept: DAY/ID.json.
        tell: is told of a finding that was not there before.
        known: whether to go on with those that the folder has; else they are made anew, and replace those there.
    """

    def __init__(self, folder: str, tell: Callable[[dict[str, Any]], None], known: bool) -> None:
        self.folder, self.tell, self._known = folder, tell, known
        self._open: dict[str, dict[str, Any]] = {}
        self._changed: set[str] = set()

    def add(self, rule: Rule, events: list[Event]) -> None:
        """Add records to the finding of their rule, group and hour. What it has already is not counted again.

        Args:
            rule: the rule.
            events: the records, the newest last.
        """
        last = events[-1]
        group = group_of(rule, last.known)
        slot = stamp(last.time)[:13]
        about = {
            "rule": rule.id,
            "severity": rule.severity,
            "title": rule.title,
            "clauses": rule.clauses,
            "group": {name: shown(text.encode("utf-8", "surrogateescape"), 200) for name, text in zip(rule.by, group)},
            "blocks": rule.blocks,
        }
        self._enter(identity(rule.id, group, slot), slot[:10], about, events)

    def add_other(
        self, rule: str, severity: str, title: dict[str, str], clauses: list[str], what: dict[str, Any]
    ) -> None:
        """Add a finding that no rule makes: something that is missing.

        Args:
            rule: what kind of finding it is.
            severity: how bad.
            title: what it is called, by language.
            clauses: the clauses behind it.
            what: ``sender``, ``slot`` (what sets it apart), ``time`` (when), and ``text``.
        """
        about = {
            "rule": rule,
            "severity": severity,
            "title": title,
            "clauses": clauses,
            "group": {"sender": what["sender"]},
            "blocks": False,
        }
        name = identity(rule, (what["sender"],), what["slot"])
        finding = self._finding(name, stamp(what["time"])[:10], about)
        if finding["lines"] != [what["text"]]:
            finding.update(first=stamp(what["time"]), last=stamp(what["time"]), count=1, lines=[what["text"]])
            self._changed.add(name)
            self._tell_if_new(name)

    def _enter(self, name: str, day: str, about: dict[str, Any], events: list[Event]) -> None:
        finding = self._finding(name, day, about)
        seen, new = finding["seen"], 0
        for event in events:
            file = event.line.file.name
            if event.line.offset <= seen.get(file, -1):
                continue
            seen[file] = event.line.offset
            new += 1
            finding["count"] += 1
            finding["first"] = min(finding["first"] or stamp(event.time), stamp(event.time))
            finding["last"] = max(finding["last"], stamp(event.time))
            if len(finding["lines"]) < LINES:
                finding["lines"].append(shown(event.line.text, CHARACTERS))
            address = event.known.get("address")
            if address and len(finding["addresses"]) < MOST and address not in finding["addresses"]:
                finding["addresses"].append(address)
        if new:
            self._changed.add(name)
            self._tell_if_new(name)

    def _finding(self, name: str, day: str, about: dict[str, Any]) -> dict[str, Any]:
        if name not in self._open:
            path = self._path(day, name)
            if self._known and os.path.exists(path):
                self._open[name] = {**read_json(path), "new": False}
            else:
                empty = {"first": "", "last": "", "count": 0, "lines": [], "addresses": [], "seen": {}}
                self._open[name] = {"id": name, "day": day, **about, **empty, "new": True}
        return self._open[name]

    def _tell_if_new(self, name: str) -> None:
        finding = self._open[name]
        if finding["new"]:
            finding["new"] = False
            self.tell(finding)

    def _path(self, day: str, name: str) -> str:
        return os.path.join(self.folder, day, name + ".json")

    def save(self) -> None:
        """Write down those that changed."""
        for name in sorted(self._changed):
            finding = {key: value for key, value in self._open[name].items() if key != "new"}
            path = self._path(finding["day"], name)
            os.makedirs(os.path.dirname(path), mode=0o750, exist_ok=True)
            if not self._known and os.path.exists(path) and read_json(path)["count"] > finding["count"]:
                continue
            write(path, json.dumps(finding, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
        self._changed.clear()

    def forget(self, before: str) -> None:
        """Keep no more in memory what is of days before that one."""
        for name in [name for name, finding in self._open.items() if finding["day"] < before]:
            del self._open[name]


def stored(folder: str, since: str = "") -> Iterator[dict[str, Any]]:
    """Findings that are written down, the oldest day first.

    Args:
        folder: where.
        since: the first day, as YYYY-MM-DD.
    """
    days = sorted(day for day in os.listdir(folder) if day >= since) if os.path.isdir(folder) else []
    for day in days:
        for name in sorted(os.listdir(os.path.join(folder, day))):
            if name.endswith(".json"):
                finding = read_json(os.path.join(folder, day, name))
                yield {key: value for key, value in finding.items() if key != "seen"}
