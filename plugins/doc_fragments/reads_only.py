# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation that modules share which only read."""

from __future__ import annotations


class ModuleDocFragment:
    """How they keep to check mode and diff."""

    DOCUMENTATION = r"""
attributes:
  check_mode:
    description: Runs the same in check mode, since it never changes anything.
    support: full
  diff_mode:
    description: There is nothing to show.
    support: none
"""
