# SPDX-License-Identifier: GPL-3.0-or-later
"""Findings as a CSV file that spreadsheets open rightly."""

from __future__ import annotations

import io
from collections.abc import Iterable

from ...ledger.interchange.csv_file import write_csv
from ...report.values import visible
from ..findings import KINDS, Finding
from .texts import TEXTS

COLUMNS = ("severity", "kind", "host", "login", "detail", "since", "clauses")
"""Keys of the headings."""


def findings_csv(findings: Iterable[Finding], language: str = "en") -> bytes:
    """All findings as CSV (RFC 4180, UTF-8 with its mark, lines that end in CR LF).

    Values come from hosts: characters that cannot be seen are spelled out, and what a spreadsheet would take for a
    formula bears an apostrophe.

    Args:
        findings: in the order of the rows.
        language: ``en`` or ``ja``.
    """
    words = TEXTS[language]
    column = 1 if language == "ja" else 0
    file = io.BytesIO()
    rows = (
        (
            words[found.severity],
            KINDS[found.kind].title[column],
            visible(found.host) if found.host else words["several_hosts"],
            visible(found.login),
            visible(found.words(language)),
            found.since or "",
            ", ".join(found.clauses),
        )
        for found in findings
    )
    write_csv(file, [words[key] for key in COLUMNS], rows)
    return file.getvalue()
