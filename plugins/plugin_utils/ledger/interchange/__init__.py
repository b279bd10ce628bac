# SPDX-License-Identifier: GPL-3.0-or-later
"""Books as files: CSV, XLSX, YAML, JSON, and JSON Lines of events that can be verified without a database.

`export.write` writes, `importing.read` reads changes, docs/ledger tells people which columns there are.
"""
