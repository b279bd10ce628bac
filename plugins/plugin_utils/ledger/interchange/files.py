# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of exports: their formats by name, whole or not at all, and for their owner alone."""

from __future__ import annotations

import contextlib
import filecmp
import os
import stat
import tempfile
import zipfile
from collections.abc import Iterator
from typing import IO

from ..errors import LedgerError

FORMATS = ("csv", "xlsx", "yaml", "json", "jsonl")
"""Formats of exports. An import takes all but jsonl, which is for verifying."""

SUFFIXES = {".csv": "csv", ".txt": "csv", ".xlsx": "xlsx", ".yml": "yaml", ".yaml": "yaml", ".json": "json"}
SUFFIXES |= {".jsonl": "jsonl", ".ndjson": "jsonl"}

MAX_BYTES = 64 * 1024 * 1024
"""The largest file that is read."""


def format_of(path: str, given: str | None = None) -> str:
    """The format of a file.

    Args:
        path: its name; the ending says it where it is not given.
        given: one of `FORMATS`, or None.

    Raises:
        LedgerError: there is no such format, or the ending says nothing.
    """
    found = given or SUFFIXES.get(os.path.splitext(path)[1].lower())
    if found not in FORMATS:
        what = "format %r" % given if given else "the ending of %s" % path
        raise LedgerError("%s is of no known format; known are %s" % (what, ", ".join(FORMATS)))
    return found


@contextlib.contextmanager
def written_whole(path: str) -> Iterator[IO[bytes]]:
    """A file to write, which takes its name only when everything is written; mode 0600.

    Args:
        path: where it is to be; a file there is replaced.

    Raises:
        LedgerError: it cannot be written.
    """
    folder, name = os.path.split(os.path.abspath(path))
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=".%s." % name, dir=folder)
    except OSError as error:
        raise LedgerError("%s cannot be written: %s" % (path, error.strerror)) from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise LedgerError("%s cannot be written: %s" % (path, error.strerror)) from None
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)


def same_content(path: str, other: str) -> bool:
    """Whether two exports hold the same. An XLSX file also bears the time at which it was written, which is left out.

    Args:
        path: a file; it may be missing.
        other: a file that is there.
    """
    try:
        if zipfile.is_zipfile(path) and zipfile.is_zipfile(other):
            return _parts(path) == _parts(other)
        return filecmp.cmp(path, other, shallow=False)
    except (OSError, zipfile.BadZipFile):
        return False


def _parts(path: str) -> dict[str, tuple[int, int]]:
    with zipfile.ZipFile(path) as archive:
        parts = {part.filename: (part.file_size, part.CRC) for part in archive.infolist()}
    parts.pop("docProps/core.xml", None)
    return parts


def read_bytes(path: str) -> bytes:
    """The content of a file that is not larger than `MAX_BYTES`.

    Args:
        path: the file.

    Raises:
        LedgerError: it cannot be read, is no plain file, or is larger.
    """
    try:
        with open(path, "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise LedgerError("%s is no plain file" % path)
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise LedgerError("%s cannot be read: %s" % (path, error.strerror)) from None
    if len(content) > MAX_BYTES:
        raise LedgerError("%s is larger than %d MB" % (path, MAX_BYTES // 1024 // 1024))
    return content
