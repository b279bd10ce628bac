# SPDX-License-Identifier: GPL-3.0-or-later
"""The watch over records as they arrive: the rules and findings of the review of a day, within seconds."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from .findings import Findings, Windows
from .keeper import read_json, write
from .records import DayFile, Line, day_files, day_of, lines, size_of, stamp
from .review import DAY, add_missing, quiet_seconds
from .rules import LONGEST_WINDOW, Rules
from .series import SETTLED, Sender

PAUSE = 1.0
"""Seconds between two looks."""

AT_ONCE = 16 << 20
"""Bytes that are read in one look."""

CHUNK = 1 << 18
SAVED = 10.0
"""Seconds between two notes of how far it has read."""

MARK = 600.0
"""Seconds between the places that it can go back to."""

SHARE = 1 << 16
"""Bytes that are read of each file in one look, however many files there are: no sender keeps another one waiting."""


class Mark(NamedTuple):
    """A place that the watch can go back to.

    Attributes:
        time: when it was there, in seconds since 1970.
        offsets: how far each file had been read.
        senders: what was known of each sender.
    """

    time: float
    offsets: dict[str, int]
    senders: dict[str, Any]


class Watch:
    """Reads what arrives.

    Killed at any moment and started again it goes back as far as the longest window, and comes to the same findings:
    records that a finding has already are not counted twice.

    Args:
        store: the folder with a folder for each sender.
        state: where findings and its own notes are.
        rules: the rules.
        settings: ``silent_minutes``, ``senders`` (names that are expected) and ``rules_hash``.
        tell: is told of each new finding.
        now: the time, in seconds since 1970.
    """

    def __init__(
        self,
        store: str,
        state: str,
        rules: Rules,
        settings: dict[str, Any],
        tell: Callable[[dict[str, Any]], None],
        now: Callable[[], float] = time.time,
    ) -> None:
        self.store, self.state, self.rules, self.settings, self.now = store, state, rules, settings, now
        self.findings = Findings(os.path.join(state, "findings"), tell, known=True)
        self.windows = Windows()
        self.notes = os.path.join(state, "watch.json")
        self.offsets: dict[str, int] = {}
        self.senders: dict[str, Sender] = {}
        # Of a first watch: the beginning of this day.
        self.marks = [Mark(now(), {}, {})]
        self.began = self._saved = now()
        self.records = 0
        self.behind = 0
        """Bytes that were there and not read after the last look."""
        self._files: list[DayFile] = []
        self._first_day = day_of(now())
        self._listed = 0.0
        self._go_back()

    def _go_back(self) -> None:
        """Go on where an earlier watch was as long ago as the longest window."""
        with contextlib.suppress(FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
            marks = [Mark(float(m), dict(o), dict(s)) for m, o, s in read_json(self.notes)["marks"]]
            back = next((mark for mark in reversed(marks) if mark.time <= marks[-1].time - LONGEST_WINDOW), marks[0])
            quiet = quiet_seconds(self.settings)
            self.senders = {name: Sender(known, quiet, self.began) for name, known in back.senders.items()}
            self.offsets = dict(back.offsets)
            self._first_day = min([name.partition("/")[2][:10] for name in back.offsets] + [day_of(back.time)])
            self.marks = [mark for mark in marks if mark.time <= back.time]

    def look(self) -> int:
        """Read what came, and enter what it shows.

        Returns:
            How many lines were read.
        """
        now = self.now()
        if not self._files or now - self._listed >= 5:
            self._list(now)
        grown = [(file, self.offsets.get(file.name, 0), size_of(file)) for file in self._files]
        grown = [(file, start, size) for file, start, size in grown if size > start]
        share = max(SHARE, AT_ONCE // max(1, len(grown)))
        self.behind, read = 0, []
        for file, start, size in grown:
            end = start
            with contextlib.suppress(FileNotFoundError, ValueError):
                for line in lines(file, start, min(start + share, size), CHUNK):
                    read.append(line)
                    end = line.offset + len(line.text) + 1
            if size - start > share:
                self.behind += size - end
            self.offsets[file.name] = end
        read.sort(key=_received)
        for line in read:
            self._take(line)
        self.records += len(read)
        for name, sender in self.senders.items():
            for what in sender.missing(now - SETTLED):
                add_missing(self.findings, name, what)
            if name in self.settings["senders"] and sender.is_silent(now) and not self.behind:
                add_missing(self.findings, name, sender.silence(now))
        self.findings.save()
        if now - self._saved >= SAVED or not os.path.exists(self.notes):
            self.save(now)
        return len(read)

    def _list(self, now: float) -> None:
        """Which files there are to read: those of days that were not read to their end, and of today."""
        self._listed = now
        kept = day_of(now - DAY)
        known = [file for file in day_files(self.store) if file.day >= self._first_day]
        self._files = [file for file in known if self.offsets.get(file.name, 0) < size_of(file) or file.day > kept]
        # Of the day before last, nothing more comes once it has been read.
        self._first_day = min([file.day for file in self._files] + [max(kept, self._first_day)])
        wanted = {file.name for file in known if file.day >= kept} | {file.name for file in self._files}
        self.offsets = {name: offset for name, offset in self.offsets.items() if name in wanted}
        self.findings.forget(kept)
        for name in {*self.settings["senders"], *(file.sender for file in self._files)} - self.senders.keys():
            self.senders[name] = Sender(None, quiet_seconds(self.settings), self.began)

    def _take(self, line: Line) -> None:
        name = line.file.sender
        for what in self.senders[name].add(line):
            add_missing(self.findings, name, what)
        for rule, known in self.rules.matches(line):
            events = self.windows.add(rule, line, known)
            if events:
                self.findings.add(rule, events)

    def save(self, now: float) -> None:
        """Note how far it has read, and how it is."""
        self._saved = now
        here = Mark(now, dict(self.offsets), {name: sender.memory() for name, sender in self.senders.items()})
        write(self.notes, json.dumps({"marks": [*self.marks, here]}))
        if now - self.marks[-1].time >= MARK:
            self.marks.append(here)
            while len(self.marks) > 1 and self.marks[1].time < now - LONGEST_WINDOW - MARK:
                del self.marks[0]
        status = {
            "time": int(now),
            "since": stamp(self.began),
            "records": self.records,
            "behind": self.behind,
            "rules_hash": self.settings.get("rules_hash", ""),
            "silent": sorted(
                name for name, s in self.senders.items() if name in self.settings["senders"] and s.is_silent(now)
            ),
        }
        write(os.path.join(self.state, "watch-status.json"), json.dumps(status, indent=1, sort_keys=True) + "\n")

    def run(self) -> None:
        """Look again and again; does not return."""
        while True:
            if not self.look() or not self.behind:
                time.sleep(PAUSE)


def _received(line: Line) -> float:
    return line.received
