# SPDX-License-Identifier: GPL-3.0-or-later
"""Who runs it: what ledgers, journal and isolation name as the one who acted. Standard library alone."""

from __future__ import annotations

import os
import pwd
from typing import Any

VARIABLES = ("kijun_actor", "awx_user_name")
"""The variables that say it, the first that does: whom the run names, and who started the job in AWX."""


def actor(*given: Any) -> str:
    """The first who is named; or whoever is logged in on the controller.

    Args:
        given: names, the most particular first: those of a task and of `VARIABLES`. Empty ones name nobody.

    Returns:
        The name; of a user without one, as a container may have it, ``uid N``.
    """
    for name in (*given, os.environ.get("SUDO_USER")):
        if name:
            return str(name)
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return "uid %d" % os.getuid()
