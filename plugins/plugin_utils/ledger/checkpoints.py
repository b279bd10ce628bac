# SPDX-License-Identifier: GPL-3.0-or-later
"""Checkpoints: a book's count and head hash, told to places that whoever can write the ledger cannot write."""

from __future__ import annotations

import re
import syslog

from .engine import Checkpoint
from .errors import LedgerError
from .light import append_line, checkpoint_line

LINE = re.compile(
    r"kijun-ledger checkpoint book=(?P<book>\S+) count=(?P<count>[0-9]{1,18}) head=(?P<head>[0-9a-f]{64})"
    r" at=(?P<at>[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z)"
)


def line_of(checkpoint: Checkpoint) -> str:
    """A checkpoint as one line of a log."""
    return checkpoint_line(checkpoint)


def emit(checkpoint: Checkpoint, path: str | None, to_syslog: bool) -> None:
    """Tell a checkpoint to a file and to syslog(3).

    Args:
        checkpoint: it.
        path: a file to append to; made with mode 0640 when it is not there. None for no file.
        to_syslog: whether the machine's log gets it (facility auth, priority notice), from where it is forwarded.

    Raises:
        LedgerError: the file cannot be written.
    """
    line = line_of(checkpoint)
    if path is not None:
        append_line(path, line)
    if to_syslog:
        syslog.openlog("kijun", 0, syslog.LOG_AUTH)
        syslog.syslog(syslog.LOG_NOTICE, line)
        syslog.closelog()


def read_checkpoints(path: str) -> list[Checkpoint]:
    """Read the checkpoints in a file: one that `emit` wrote, or a log with such lines among others.

    Args:
        path: the file.

    Raises:
        LedgerError: it cannot be read, or a line that begins as a checkpoint is damaged.
    """
    found = []
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            for number, text in enumerate(file, 1):
                # A line may hold two: the first program was killed before it wrote the line's end.
                told = [Checkpoint(m["book"], int(m["count"]), m["head"], m["at"]) for m in LINE.finditer(text)]
                found += told
                if not told and "kijun-ledger checkpoint" in text:
                    raise LedgerError("%s: line %d is a damaged checkpoint" % (path, number))
    except OSError as error:
        raise LedgerError("the checkpoints in %s cannot be read: %s" % (path, error.strerror)) from None
    return found
