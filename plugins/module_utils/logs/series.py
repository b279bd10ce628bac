# SPDX-License-Identifier: GPL-3.0-or-later
"""What is missing of what a sender numbered, which senders have fallen silent, and whose clock is off."""

from __future__ import annotations

import bisect
from typing import Any, NamedTuple

from .records import Line, seconds, stamp

SETTLED = 60
"""Seconds after which a number that is missing is told: two connections of a sender may overtake one another."""

HOLES = 10000
"""Stretches of a series that are remembered; beyond them the oldest holes are given up as missing for good."""

ENDED = b"exiting on signal"
"""What rsyslog says last before it stops; a series that ends without it was cut off."""

CLOCK = 5.0
"""Seconds that a sender's clock may be ahead of the log server's, or seem behind it (clause SM-4.8.1-4a)."""

SAMPLES = 20
"""Records of a sender whose times are compared before something is said of its clock."""

CLAUSES = {"sequence-gap": ["SM-4.8.1-1a"], "series-cut-off": ["SM-4.8.1-1a"], "host-silent": ["SM-4.8.1-1a"]}
CLAUSES["clock-offset"] = ["SM-4.8.1-4a"]

TITLES = {
    "sequence-gap": {"en": "Records are missing", "ja": "ログの連番に欠落がある"},
    "series-cut-off": {"en": "A sender ended without saying so", "ja": "送信元のログが正常終了せずに途切れた"},
    "host-silent": {"en": "A host fell silent", "ja": "ホストからのログが途絶えた"},
    "clock-offset": {"en": "A sender's clock is off", "ja": "送信元の時計がずれている"},
}
SEVERITY = {"sequence-gap": "high", "series-cut-off": "low", "host-silent": "high", "clock-offset": "medium"}


class Missing(NamedTuple):
    """Something that is not as it should be.

    Attributes:
        rule: what kind of finding it is.
        slot: what sets it apart from others of its kind and sender.
        time: when, in seconds since 1970.
        text: what is to be said of it.
    """

    rule: str
    slot: str
    time: float
    text: str


class Series:
    """The numbers of one start of a sender's rsyslog that came, as stretches without holes.

    Args:
        first: the number that is expected first; 0 where that is not known, as the series was running already.
    """

    def __init__(self, first: int) -> None:
        self.stretches: list[list[int]] = [[first - 1, first - 1]] if first else []
        self.touched = 0.0
        self.ended = False

    def add(self, seq: int) -> None:
        """Take note of a number. One that comes again changes nothing."""
        stretches = self.stretches
        if stretches and seq == stretches[-1][1] + 1:
            stretches[-1][1] = seq
            return
        place = bisect.bisect_right(stretches, [seq, 1 << 62])
        if place and stretches[place - 1][0] <= seq <= stretches[place - 1][1]:
            return
        before = place and stretches[place - 1][1] == seq - 1
        behind = place < len(stretches) and stretches[place][0] == seq + 1
        if before and behind:
            stretches[place - 1][1] = stretches.pop(place)[1]
        elif before:
            stretches[place - 1][1] = seq
        elif behind:
            stretches[place][0] = seq
        else:
            stretches.insert(place, [seq, seq])

    def holes(self) -> list[tuple[int, int]]:
        """First and last number of each hole."""
        return [(a[1] + 1, b[0] - 1) for a, b in zip(self.stretches, self.stretches[1:])]

    def close_holes(self) -> None:
        """Take what is missing for settled."""
        if self.stretches:
            self.stretches = [[self.stretches[0][0], self.stretches[-1][1]]]


class Sender:
    """What is known of one sender.

    Args:
        known: what `memory` gave of an earlier stretch of time; none where nothing is known of it.
        quiet: seconds without a record after which it has fallen silent.
        began: since when one is waited for; 0 where it does not matter.
    """

    def __init__(self, known: dict[str, Any] | None, quiet: float, began: float = 0.0) -> None:
        self.quiet, self.began = quiet, began
        self.last: float = (known or {}).get("last", 0.0)
        self.records = self.bytes = self.strange = 0
        self._early = 1e9
        self._samples = 0
        self._newest: bytes = (known or {}).get("epoch", "").encode()
        self._series: dict[bytes, Series] = {}
        if known and self._newest:
            self._series[self._newest] = Series(known["next"])
            self._series[self._newest].ended = bool(known.get("ended"))

    def add(self, line: Line) -> list[Missing]:
        """Take note of a line.

        Returns:
            What its coming shows: that the sender was silent before, or that its series before was cut off.
        """
        found = []
        self.records += 1
        self.bytes += len(line.text) + 1
        if line.received > self.last:
            if self.last and line.received - self.last > self.quiet:
                found.append(self.silence(line.received))
            self.last = line.received
        if not line.epoch:
            self.strange += 1
            return found
        series = self._series.get(line.epoch)
        if series is None:
            if self._newest and not self._series[self._newest].ended:
                found.append(self._cut_off(line))
            # The first series that is ever seen was running already.
            series = self._series[line.epoch] = Series(1 if self._newest else 0)
            self._newest = line.epoch
            while len(self._series) > 8:
                del self._series[next(iter(self._series))]
        series.add(line.seq)
        series.touched = line.received
        if ENDED in line.text and b'"tag":"rsyslogd"' in line.text:
            series.ended = True
        if line.seq % 50 == 0 or b'"tag":"mark"' in line.text:
            self._compare_clocks(line)
        return found

    def _cut_off(self, line: Line) -> Missing:
        text = "series %s ended without saying so; what it held for this server may be missing. %s begins" % (
            self._newest.decode("ascii", "replace"),
            line.epoch.decode("ascii", "replace"),
        )
        return Missing("series-cut-off", self._newest.decode("ascii", "replace"), line.received, text)

    def _compare_clocks(self, line: Line) -> None:
        start = line.text.find(b'"time":"') + 8
        said = seconds(line.text[start : line.text.find(b'"', start)])
        if said:
            self._early = min(self._early, line.received - said)
            self._samples += 1

    def silence(self, until: float) -> Missing:
        """That it was silent from its last record on.

        Args:
            until: when it was heard again, or now.
        """
        last = self.last or self.began
        text = "no record from %s on, for more than %d minutes" % (stamp(last), self.quiet // 60)
        return Missing("host-silent", stamp(last)[:16], last, text)

    def is_silent(self, now: float) -> bool:
        """Whether it has not been heard of for too long."""
        # While nobody listened, nobody was silent.
        last = max(self.last, self.began)
        return bool(last) and now - last > self.quiet

    def missing(self, before: float) -> list[Missing]:
        """The holes in its series, each told once, and what its clock is off.

        Args:
            before: series that were added to later than then are still settling.
        """
        found = []
        for epoch, series in self._series.items():
            if series.touched > before and len(series.stretches) < HOLES:
                continue
            for first, last in series.holes():
                text = "series %s: %d records are missing, %d to %d" % (
                    epoch.decode("ascii", "replace"),
                    last - first + 1,
                    first,
                    last,
                )
                slot = "%s %d" % (epoch.decode("ascii", "replace"), first)
                found.append(Missing("sequence-gap", slot, series.touched or self.last, text))
            series.close_holes()
        return found

    def clock(self) -> Missing | None:
        """What its clock is off, if it is: ahead when a record came before its own time, behind when each came late."""
        if self._samples < SAMPLES or abs(self._early) <= CLOCK:
            return None
        word = "ahead" if self._early < 0 else "behind, or each of its records came late"
        text = "its clock is about %d s %s (over %d records)" % (abs(round(self._early)), word, self._samples)
        return Missing("clock-offset", stamp(self.last)[:10], self.last, text)

    def memory(self) -> dict[str, Any]:
        """What must be known of it to go on later."""
        known: dict[str, Any] = {"last": self.last}
        if self._newest:
            series = self._series[self._newest]
            known.update(
                epoch=self._newest.decode("ascii", "replace"),
                next=series.stretches[-1][1] + 1 if series.stretches else 0,
                ended=series.ended,
            )
        return known
