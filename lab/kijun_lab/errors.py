# SPDX-License-Identifier: GPL-3.0-or-later
"""The one error that the lab reports to its user."""

from __future__ import annotations


class LabError(Exception):
    """Something the user can act on; its text says what happened and what to do."""
