# SPDX-License-Identifier: GPL-3.0-or-later
"""Accounts of one host: what they are (`state`), and how they become what the ledger says (`apply`).

Both run on the host, from memory, with the standard library of Python 3.9.
"""
