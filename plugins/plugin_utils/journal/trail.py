# SPDX-License-Identifier: GPL-3.0-or-later
"""The work trail of a run: what it printed of changes and failures, redacted, compressed as it grows."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import zlib
from collections.abc import Mapping
from typing import Any

from .redact import redacted
from .words import LARGEST_IN_LEDGER

LARGEST_TEXT = 64 << 20
"""Bytes of text that a trail takes: it is compressed to about a tenth, a piece at a time."""

LARGEST_PIECE = 256 << 10
"""Characters of one task's text on one host."""

LONGEST = 16_384
"""Characters of one value of a result."""

_SHOWN = ("msg", "cmd", "rc", "stdout", "stderr", "exception", "results")
"""What of a failed result is shown, and, but for the diff, of a changed one."""


class Trail:
    """A trail that grows.

    Args:
        most: bytes that it may have, compressed.
    """

    def __init__(self, most: int = LARGEST_IN_LEDGER) -> None:
        self._most = most
        # As gzip(1) has it, with no time in its head.
        self._compressor = zlib.compressobj(6, zlib.DEFLATED, 31)
        self._pieces: list[bytes] = []
        self._size = self.text_bytes = 0
        self.complete = True
        self.worth_keeping = False

    def add(self, time: str, host: str, task: str, state: str, result: Mapping[str, Any] | None = None) -> None:
        """Add what a task came to on a host.

        Args:
            time: when.
            host: where.
            task: its name.
            state: ok, changed, failed, unreachable.
            result: what the task returned, as callbacks get it; None to name the task alone.
        """
        self.worth_keeping = self.worth_keeping or state != "ok"
        lines = ["%s %s %s: %s" % (time, state, host, redacted(task))]
        lines += _told(result) if result else []
        self._write("\n".join(lines) + "\n")

    def _write(self, text: str) -> None:
        if not self.complete:
            return
        if len(text) > LARGEST_PIECE:
            text = text[:LARGEST_PIECE] + "\n  ... %d characters left out\n" % (len(text) - LARGEST_PIECE)
        body = text.encode("utf-8", "backslashreplace")
        # Random text is not compressed at all: what may come is counted as if it were such.
        if self.text_bytes + len(body) > LARGEST_TEXT or self._size + self._waiting + len(body) > self._most:
            self._flush()
            if self.text_bytes + len(body) > LARGEST_TEXT or self._size + len(body) > self._most:
                self.complete = False
                return
        self.text_bytes += len(body)
        self._waiting += len(body)
        self._take(self._compressor.compress(body))

    _waiting = 0

    def _flush(self) -> None:
        self._take(self._compressor.flush(zlib.Z_SYNC_FLUSH))
        self._waiting = 0

    def _take(self, piece: bytes) -> None:
        if piece:
            self._pieces.append(piece)
            self._size += len(piece)

    def ended(self) -> bytes:
        """The whole trail, compressed. Nothing can be added then."""
        if not self.complete:
            self._take(self._compressor.compress(b"... the trail reached the size that it may have\n"))
        self._take(self._compressor.flush(zlib.Z_FINISH))
        return b"".join(self._pieces)


def _told(result: Mapping[str, Any]) -> list[str]:
    """A result's diff and messages, indented and redacted."""
    if "censored" in result:
        return ["  (hidden: no_log)"]
    lines = []
    for diff in _diffs(result.get("diff")):
        lines += _indented(redacted(diff))
    for name in _SHOWN:
        value = result.get(name)
        if value not in (None, "", [], {}):
            lines += _indented("%s: %s" % (name, redacted(_short(value))))
    return lines


def _diffs(diff: Any) -> list[str]:
    """Differences as text: modules return one or several, as before and after, or prepared."""
    found = []
    for one in diff if isinstance(diff, list) else [diff]:
        if not isinstance(one, Mapping):
            continue
        if one.get("prepared"):
            found.append(str(one["prepared"]))
        if "before" in one or "after" in one:
            found.append(_unified(one))
    return found


def _unified(diff: Mapping[str, Any]) -> str:
    import difflib  # not needed by a run without differences

    before, after = (redacted(_text(diff.get(name))) for name in ("before", "after"))
    if max(len(before), len(after)) > LARGEST_PIECE:
        return "(a difference of %d and %d characters)" % (len(before), len(after))
    names = [str(diff.get(name + "_header") or name) for name in ("before", "after")]
    return "\n".join(
        difflib.unified_diff(before.splitlines(), after.splitlines(), names[0], names[1], lineterm="", n=2)
    )


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, indent=1, sort_keys=True, default=str)


def _short(value: Any) -> str:
    if isinstance(value, list):
        value = [item.get("msg", item.get("item", "")) if isinstance(item, Mapping) else item for item in value]
    text = _text(value)
    return text if len(text) <= LONGEST else text[:LONGEST] + "... (%d characters)" % len(text)


def _indented(text: str) -> list[str]:
    return ["  " + line for line in text.splitlines()]


def digest(content: bytes) -> str:
    """SHA-256 in hexadecimal.

    Args:
        content: the compressed trail.
    """
    return hashlib.sha256(content).hexdigest()


def as_text(content: bytes) -> str:
    """As the book of trails has it: Base64.

    Args:
        content: the compressed trail.
    """
    return base64.b64encode(content).decode()


def keep_in(directory: str, run: str, content: bytes) -> str:
    """Put a trail into a directory, readable by its owner alone.

    Args:
        directory: an absolute path, such as one that several controllers share.
        run: the run's entry.
        content: the compressed trail.

    Returns:
        The file: DIRECTORY/YEAR-MONTH/RUN.txt.gz.

    Raises:
        OSError: it cannot be written.
    """
    month = run.partition("-")[2]
    folder = os.path.join(directory, "%s-%s" % (month[:4], month[4:6]))
    # makedirs gives its mode to the last one alone.
    for place in (directory, folder):
        os.makedirs(place, mode=0o700, exist_ok=True)
    path = os.path.join(folder, run + ".txt.gz")
    new = path + ".new"
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(new, path)
    return path
