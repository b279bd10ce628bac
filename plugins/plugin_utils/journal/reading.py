# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads stretches of the journal without going through all of its years."""

from __future__ import annotations

import base64
import datetime
import gzip
import zlib
from collections.abc import Collection, Mapping
from typing import Any

from ..ledger.book import State
from ..ledger.engine import Ledger
from ..ledger.errors import LedgerError
from ..ledger.event import timestamp
from .trail import digest
from .words import BOOK, TRAILS

SLACK = datetime.timedelta(days=1)
"""How much a host's clock may be ahead of the ledger's."""


def between(ledger: Ledger, since: str, until: str, kinds: Collection[str] = ()) -> list[State]:
    """The entries of a stretch of time, in the order of their times. Nothing is entered before it happens, so events
    from its beginning on hold them all.

    Args:
        ledger: the ledger.
        since: the first second, as the journal has times.
        until: the last second.
        kinds: of these kinds alone; of all, where none is named.
    """
    begin = datetime.datetime.fromisoformat(since.replace("Z", "+00:00")) - SLACK
    events = ledger.events(BOOK, {"since": timestamp(begin)})
    keys = {event.key for event in events if not kinds or event.payload.get("kind") in kinds}
    found = [state for state in ledger.find(BOOK, keys) if since <= state.fields["at"] <= until]
    return sorted(found, key=lambda state: (state.fields["at"], state.key))


def trail_of(ledger: Ledger, run: Mapping[str, Any]) -> str:
    """A run's work trail.

    Args:
        ledger: the ledger.
        run: the fields of the run's entry.

    Returns:
        The text; nothing where the run has none.

    Raises:
        LedgerError: it is not the one whose hash the entry has, or it cannot be read.
    """
    about = (run.get("run") or {}).get("trail")
    if not about:
        return ""
    if about["stored"] == "ledger":
        kept = ledger.get(TRAILS, run["id"])
        if kept is None:
            raise LedgerError("%s: its work trail is not in the ledger" % run["id"])
        content = base64.b64decode(kept.fields["content"])
    else:
        try:
            with open(about["stored"], "rb") as file:
                content = file.read()
        except OSError as error:
            raise LedgerError("%s: %s: %s" % (run["id"], about["stored"], error.strerror)) from None
    if digest(content) != about["sha256"]:
        raise LedgerError("%s: its work trail is not the one that the journal has the SHA-256 of" % run["id"])
    try:
        return gzip.decompress(content).decode("utf-8", "replace")
    except (OSError, EOFError, zlib.error) as error:
        raise LedgerError("%s: its work trail cannot be read: %s" % (run["id"], error)) from None
