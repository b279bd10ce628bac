# SPDX-License-Identifier: GPL-3.0-or-later
"""What an audit leaves behind: one evidence record a host, an HTML page, a JUnit file, a printed summary.

The package imports nothing of Ansible, so that ``tools/kijun-report`` renders a kept run on a machine without it.
"""

from __future__ import annotations

from .clauses import clause_titles, collection_version
from .model import EvidenceError, Report, unaudited_record
from .run import load_run, render_run, write_run

__all__ = [
    "EvidenceError",
    "Report",
    "clause_titles",
    "collection_version",
    "load_run",
    "render_run",
    "unaudited_record",
    "write_run",
]
