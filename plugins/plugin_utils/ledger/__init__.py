# SPDX-License-Identifier: GPL-3.0-or-later
"""Ledgers: books of append-only, hash-chained events, and the state that follows from them.

This package knows nothing of Ansible, so that an auditor can verify a ledger without it. `engine.Ledger` reads and
writes, `book.Book` says what a book holds and which actions it knows, and `books` lists them.
"""
