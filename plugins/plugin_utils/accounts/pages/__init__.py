# SPDX-License-Identifier: GPL-3.0-or-later
"""Pages for people: what a reconciliation found, and the account ledger. Each is one HTML file that asks for nothing.

The package imports nothing of Ansible, so that an auditor's machine without it renders the same pages.
"""

from __future__ import annotations

from .document import write_page
from .findings_file import findings_csv
from .ledger import ledger_page
from .reconciliation import reconciliation_page

__all__ = ["findings_csv", "ledger_page", "reconciliation_page", "write_page"]
