# SPDX-License-Identifier: GPL-3.0-or-later
"""The operations journal on the controller: what a run leaves in it, what hosts tell, and the report."""

from __future__ import annotations
