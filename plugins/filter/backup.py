# SPDX-License-Identifier: GPL-3.0-or-later
"""What a backup server and its clients both have to say in the same words."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import Any


def backup_account(name: str) -> str:
    """The Unix account that a host has at its backup server.

    Args:
        name: the host's name in the inventory.
    """
    if re.fullmatch(r"[a-z0-9][a-z0-9-]{0,27}", name):
        return "kb-" + name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return "kb-%s-%s" % (re.sub(r"[^a-z0-9]+", "-", name.lower())[:19].strip("-"), digest)


class FilterModule:
    """The filters."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name -> filter."""
        return {"backup_account": backup_account}
