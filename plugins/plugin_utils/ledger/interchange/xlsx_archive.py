# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks at an XLSX file before a library opens it: what it unpacks to, and what must not be in it."""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from xml.parsers import expat

from ..errors import LedgerError

MAX_UNPACKED = 256 * 1024 * 1024
"""Bytes of all parts together. The zip module reads no more of a part than the file says that it has."""

MAX_PARTS = 500
PROLOG = 64 * 1024
"""Bytes before a part's first element."""

OLD = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
"""How files of Excel 97, and encrypted ones of today, begin."""

ACTIVE = re.compile(r"vbaProject|vbaData|macrosheets/|activeX/|embeddings/|ctrlProps/", re.IGNORECASE)


def check_archive(content: bytes) -> None:
    """See that an XLSX file can be opened without harm.

    Args:
        content: the file's bytes.

    Raises:
        LedgerError: it is none, is encrypted, holds macros or embedded objects, unpacks to too much, or one of its
            parts declares a document type, by which entities could grow without bound (XML 1.0, section 4.4).
    """
    if content.startswith(OLD):
        raise LedgerError("the file is of Excel 97 or encrypted; save it as a plain .xlsx")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            _check_parts(archive)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError, OSError) as error:
        raise LedgerError("the file is no XLSX file: %s" % error) from None


def _check_parts(archive: zipfile.ZipFile) -> None:
    parts = archive.infolist()
    if len(parts) > MAX_PARTS or sum(part.file_size for part in parts) > MAX_UNPACKED:
        raise LedgerError("the file unpacks to more than %d MB or %d parts" % (MAX_UNPACKED // 1024**2, MAX_PARTS))
    names = [part.filename for part in parts]
    if len(set(names)) < len(names):
        raise LedgerError("the file holds a part twice")
    if "[Content_Types].xml" not in names or "xl/workbook.xml" not in names:
        raise LedgerError("the file is no XLSX file: it has no workbook")
    for part in parts:
        if part.flag_bits & 1:
            raise LedgerError("the file is encrypted; save it as a plain .xlsx")
        if ACTIVE.search(part.filename):
            raise LedgerError(
                "the file holds macros or embedded objects (%s); save it as a plain .xlsx" % part.filename
            )
        if part.filename.lower().endswith((".xml", ".rels", ".vml")):
            _check_xml(archive, part)
    if b"macroEnabled" in archive.read("[Content_Types].xml"):
        raise LedgerError("the file is made for macros; save it as a plain .xlsx")


def _check_xml(archive: zipfile.ZipFile, part: zipfile.ZipInfo) -> None:
    """Parse up to the first element; a document type can only stand before it."""
    seen: list[str] = []
    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = lambda *_: seen.append("doctype")
    parser.StartElementHandler = lambda *_: seen.append("element")
    with archive.open(part) as file:
        for _ in range(PROLOG // 1024):
            block = file.read(1024)
            try:
                parser.Parse(block, not block)
            except expat.ExpatError as error:
                if not seen:
                    raise LedgerError("the file is no XLSX file: %s: %s" % (part.filename, error)) from None
            if seen:
                break
    if seen[:1] != ["element"]:
        raise LedgerError("%s in the file declares a document type or has no element" % part.filename)
