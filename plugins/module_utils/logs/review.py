# SPDX-License-Identifier: GPL-3.0-or-later
"""The review of a day that is over: every line of it once more, counted, searched by all rules, and indexed."""

from __future__ import annotations

import calendar
import heapq
import itertools
import json
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from .findings import Findings, Windows
from .index import Builder
from .keeper import read_json, write
from .records import DayFile, Line, day_files, lines, size_of, stamp
from .rules import Rules
from .series import CLAUSES, SEVERITY, TITLES, Missing, Sender

DAY = 86400
CHUNK = 1 << 20
TOGETHER = 64 << 20
"""Bytes that are read of all senders' files at a time."""


def quiet_seconds(settings: dict[str, Any]) -> float:
    """After how long without a record a host has fallen silent."""
    return 60.0 * int(settings["silent_minutes"])


class Review:
    """Reviews days.

    Args:
        store: the folder with a folder for each sender.
        state: where findings, reviews and indexes are.
        rules: the rules.
        settings: ``silent_minutes``, ``senders`` (names that are expected), ``days`` (how long records are kept).
        tell: is told of each new finding.
    """

    def __init__(
        self,
        store: str,
        state: str,
        rules: Rules,
        settings: dict[str, Any],
        tell: Callable[[dict[str, Any]], None],
    ) -> None:
        self.store, self.state, self.rules, self.settings = store, state, rules, settings
        self.tell = tell

    def due(self, today: str) -> list[str]:
        """Days that are over and have no review."""
        days = {file.day for file in day_files(self.store) if file.day < today}
        return sorted(day for day in days if not os.path.exists(self.path(day)))

    def path(self, day: str) -> str:
        """Where a day's review is."""
        return os.path.join(self.state, "reviews", day + ".json")

    def review(self, day: str) -> dict[str, Any]:
        """Review a day, and write down what came of it.

        Args:
            day: as YYYY-MM-DD.

        Returns:
            What was found: see docs/logs.md.
        """
        began = time.monotonic()
        files = [file for file in day_files(self.store) if file.day == day]
        windows, builder = Windows(), Builder(os.path.join(self.state, "index", day + ".sqlite"))
        told_already = set(os.listdir(os.path.join(self.state, "findings", day))) if self._has_findings(day) else set()
        found = Findings(
            os.path.join(self.state, "findings"),
            lambda finding: None if finding["id"] + ".json" in told_already else self.tell(finding),
            known=False,
        )
        before = self._before(day)
        senders = {
            name: Sender(before.get(name), quiet_seconds(self.settings))
            for name in sorted(before.keys() | {file.sender for file in files})
        }
        kinds: Counter[bytes] = Counter()
        start = seconds_of_day(day)
        end = start + DAY
        for line, matched in self._merged(files, senders, kinds, builder, found):
            for rule, known in matched:
                events = windows.add(rule, line, known)
                # What was complete the day before is a finding of that day.
                if events and line.received >= start:
                    found.add(rule, events)
        for name, sender in senders.items():
            self._add_missing(found, name, sender.missing(end))
            clock = sender.clock()
            silent = name in self.settings["senders"] and sender.is_silent(end)
            self._add_missing(found, name, ([clock] if clock else []) + ([sender.silence(end)] if silent else []))
        found.save()
        builder.finish()
        content = {
            "day": day,
            "made_at": stamp(time.time()),
            "seconds": round(time.monotonic() - began, 1),
            "records": sum(sender.records for sender in senders.values()),
            "kinds": {kind.decode("ascii"): count for kind, count in sorted(kinds.items())},
            "senders": {
                name: {"records": s.records, "bytes": s.bytes, "strange": s.strange, "last": stamp(s.last)}
                for name, s in senders.items()
            },
            "memory": {name: sender.memory() for name, sender in senders.items()},
        }
        os.makedirs(os.path.dirname(self.path(day)), mode=0o750, exist_ok=True)
        write(self.path(day), json.dumps(content, indent=1, sort_keys=True) + "\n")
        return content

    def remove_old(self, today: str) -> None:
        """Remove reviews, indexes and findings of days that the store need not have any more.

        Args:
            today: as YYYY-MM-DD.
        """
        last = stamp(seconds_of_day(today) - DAY * int(self.settings["days"]))[:10]
        for kind in ("reviews", "index"):
            folder = os.path.join(self.state, kind)
            for name in os.listdir(folder) if os.path.isdir(folder) else []:
                if name[:10] < last:
                    os.unlink(os.path.join(folder, name))
        folder = os.path.join(self.state, "findings")
        for name in os.listdir(folder) if os.path.isdir(folder) else []:
            if name < last:
                shutil.rmtree(os.path.join(folder, name))

    def _has_findings(self, day: str) -> bool:
        return os.path.isdir(os.path.join(self.state, "findings", day))

    def _before(self, day: str) -> dict[str, Any]:
        """What the review of an earlier day left to be known of senders."""
        folder = os.path.dirname(self.path(day))
        days = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
        earlier = [name for name in days if name.endswith(".json") and name < day]
        return dict(read_json(os.path.join(folder, earlier[-1]))["memory"]) if earlier else {}

    @staticmethod
    def _add_missing(found: Findings, name: str, missing: list[Missing]) -> None:
        for what in missing:
            add_missing(found, name, what)

    def _merged(
        self,
        files: list[DayFile],
        senders: dict[str, Sender],
        kinds: Counter[bytes],
        builder: Builder,
        found: Findings,
    ) -> Iterator[tuple[Line, list[Any]]]:
        """The lines that rules are about, of all senders, in the order of their receipt."""
        size = max(1 << 16, min(CHUNK, TOGETHER // max(1, len(files))))
        numbers = itertools.count()

        def matched(file: DayFile) -> Iterator[tuple[float, int, Line, list[Any]]]:
            sender = senders[file.sender]
            for line in lines(file, 0, 1 << 62, size):
                kinds[line.kind] += 1
                for what in sender.add(line):
                    add_missing(found, file.sender, what)
                builder.add(line)
                matches = self.rules.matches(line)
                if matches:
                    # Two that came at the same moment are told apart by the number.
                    yield line.received, next(numbers), line, matches

        yield from self._lead_in(files, size)
        for _, _, line, matches in heapq.merge(*map(matched, files)):
            yield line, matches

    def _lead_in(self, files: list[DayFile], size: int) -> Iterator[tuple[Line, list[Any]]]:
        """What matched in the last moments before a day, as far as the longest window reaches."""
        if not files or not self.rules.window:
            return
        day = files[0].day
        start = seconds_of_day(day)
        yesterday = stamp(start - 1)[:10]
        events: list[tuple[float, int, Line, list[Any]]] = []
        for file in day_files(self.store, sorted({file.sender for file in files})):
            if file.day == yesterday:
                end = size_of(file)
                for line in lines(file, max(0, end - (8 << 20)), end, size):
                    if line.received >= start - self.rules.window:
                        events += [(line.received, len(events), line, self.rules.matches(line))]
        for _, _, line, matches in sorted(event for event in events if event[3]):
            yield line, matches


def add_missing(found: Findings, name: str, what: Missing) -> None:
    """Enter that something is missing of a sender."""
    found.add_other(
        what.rule,
        SEVERITY[what.rule],
        TITLES[what.rule],
        CLAUSES[what.rule],
        {"sender": name, "slot": what.slot, "time": what.time, "text": what.text},
    )


def seconds_of_day(day: str) -> float:
    """When a day begins, in UTC, in seconds since 1970."""
    return float(calendar.timegm(time.strptime(day, "%Y-%m-%d")))
