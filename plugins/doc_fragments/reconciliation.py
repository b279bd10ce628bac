# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation that the modules of the reconciliation share."""

from __future__ import annotations


class ModuleDocFragment:
    """What hosts are held against, and by which settings."""

    DOCUMENTATION = r"""
options:
  plan:
    description: What M(kijun.baseline.accounts_plan) returned as C(plan).
    type: dict
    required: true
  options:
    description:
      - Settings of the reconciliation, C(unused_days) (90), C(never_changed_days) (7), C(max_keys), C(ignored) (a list
        of C(name) and C(reason)), C(sudo_known) and C(admin_groups).
    type: dict
    default: {}
"""
