# SPDX-License-Identifier: GPL-3.0-or-later
"""The books that a ledger may hold. A new one is one module here and one line below."""

from __future__ import annotations

from ..book import Book
from .accounts import Accounts
from .reconciliations import Reconciliations

BOOKS: dict[str, Book] = {book.name: book for book in (Accounts(), Reconciliations())}
"""Every book by its name."""
