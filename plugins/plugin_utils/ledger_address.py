# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the ledger is. Imports nothing of the ledger's: who finds that there is none pays for none."""

from __future__ import annotations

import os
from typing import Any

DEFAULT_FILE = "ledger/kijun.sqlite"
DEFAULT_URL = "sqlite:///" + DEFAULT_FILE
"""The ledger of a checkout: a file in the directory that playbooks are run from."""


def ledger_url(given: Any) -> str:
    """The ledger's address: the one given, the environment's, or the default.

    Args:
        given: the task's or the variable kijun_ledger_url; None or empty where neither says it.
    """
    return str(given or os.environ.get("KIJUN_LEDGER_URL") or DEFAULT_URL)


def is_absent(url: str) -> bool:
    """Whether nobody has made a ledger: the address is the default and there is no such file.

    Args:
        url: the address.
    """
    return url == DEFAULT_URL and not os.path.exists(DEFAULT_FILE)
