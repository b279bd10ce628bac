# SPDX-License-Identifier: GPL-3.0-or-later
"""The books that a ledger may hold. A new one is one module here and one line below."""

from __future__ import annotations

from ..book import Book
from .access_designs import AccessDesigns
from .accounts import Accounts
from .assets import Assets
from .exceptions import Exceptions
from .incidents import Incidents
from .log_findings import LogFindings
from .malware_products import MalwareProducts
from .media import Media
from .operations import Operations
from .reconciliations import Reconciliations
from .work_trails import WorkTrails

BOOKS: dict[str, Book] = {
    book.name: book
    for book in (
        AccessDesigns(),
        Accounts(),
        Assets(),
        Exceptions(),
        Incidents(),
        LogFindings(),
        MalwareProducts(),
        Media(),
        Operations(),
        Reconciliations(),
        WorkTrails(),
    )
}
"""Every book by its name."""
