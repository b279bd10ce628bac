# SPDX-License-Identifier: GPL-3.0-or-later
"""Who of some accounts is on this host, and who of them has a second factor. No secret is read."""

from __future__ import annotations

import json
import os
import pwd

from .facts.sshd import SECRETS


def main(argument: str) -> None:
    """Look, and print what was seen.

    Args:
        argument: JSON: a list of login names.
    """
    present = []
    for login in json.loads(argument):
        try:
            pwd.getpwnam(login)
        except KeyError:
            continue
        present.append(login)
    enrolled = sorted(os.listdir(SECRETS)) if os.path.isdir(SECRETS) else []
    print(json.dumps({"present": present, "enrolled": enrolled}))
