# SPDX-License-Identifier: GPL-3.0-or-later
"""Reports on the book of media; the documentation stands in plugins/modules/media_report.py."""

from __future__ import annotations

from ..plugin_utils.book_report import BookReportAction
from ..plugin_utils.media_report import REPORT


class ActionModule(BookReportAction):
    """Reports on the book of media."""

    report = REPORT
