# SPDX-License-Identifier: GPL-3.0-or-later
"""Reports on the book of exceptions; the documentation stands in plugins/modules/exceptions_report.py."""

from __future__ import annotations

from ..plugin_utils.book_report import BookReportAction
from ..plugin_utils.exceptions_report import REPORT


class ActionModule(BookReportAction):
    """Reports on the book of exceptions."""

    report = REPORT
