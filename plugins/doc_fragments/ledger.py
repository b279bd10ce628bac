# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation that the modules on ledgers share."""

from __future__ import annotations


class ModuleDocFragment:
    """Which ledger (`ledger`), who acts (`ledger.actor`), and what modes do that enter changes (`ledger.changes`)."""

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

    CHANGES = r"""
attributes:
  check_mode:
    description: Works everything out, refuses what a run would refuse, and writes nothing.
    support: full
  diff_mode:
    description: Shows the fields of each entry that change.
    support: full
"""
