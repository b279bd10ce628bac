# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation that the modules on ledgers share."""

from __future__ import annotations


class ModuleDocFragment:
    """Which ledger (`ledger`), and who acts (`ledger.actor`)."""

    DOCUMENTATION = r"""
options:
  url:
    description:
      - Address of the ledger, C(sqlite:///PATH) or C(postgresql+psycopg://...).
      - Not given, it is the variable C(kijun_ledger_url), the environment variable E(KIJUN_LEDGER_URL), or the file
        C(ledger/kijun.sqlite) below the current directory.
    type: str
"""

    ACTOR = r"""
options:
  actor:
    description:
      - Who does it, as the ledger names them.
      - Not given, it is the variable C(kijun_actor), the user who started the job in AWX (C(awx_user_name)), or whoever
        is logged in on the controller.
    type: str
"""
