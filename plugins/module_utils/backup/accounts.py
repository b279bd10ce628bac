# SPDX-License-Identifier: GPL-3.0-or-later
"""The accounts of a backup server's clients: one each, with a folder that nobody else can look into.

Runs as root on the backup server, before sshd lets anybody in. Standard library, Python 3.9.
"""

from __future__ import annotations

import grp
import os
import pwd
import subprocess
import sys

from .history import read_json
from .session import SETTINGS, SLOTS

GROUP = "kijun-backup"
AUTHORIZED = "/etc/kijun/backup-server/authorized"


def run(*command: str) -> None:
    """Run a program that must succeed.

    Raises:
        subprocess.CalledProcessError: it does not.
    """
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, timeout=60)


def main() -> int:
    """Bring accounts, folders and places of sessions to what the settings say.

    Returns:
        0.
    """
    settings = read_json(SETTINGS)
    try:
        group = grp.getgrnam(GROUP)
    except KeyError:
        run("groupadd", "--system", GROUP)
        group = grp.getgrnam(GROUP)
    os.makedirs(settings["directory"], exist_ok=True)
    # Through, but not seen: whose backups there are is nobody's business.
    os.chown(settings["directory"], 0, group.gr_gid)
    os.chmod(settings["directory"], 0o710)  # noqa: S103 (the group goes through, to folders of its own)
    wanted = {client["account"]: client["name"] for client in settings["clients"]}
    for account, name in wanted.items():
        folder = os.path.join(settings["directory"], name)
        try:
            about = pwd.getpwnam(account)
        except KeyError:
            # No password opens it, and yet it is not locked: sshd lets no locked account in.
            options = ["--system", "--no-create-home", "--password", "*", "--gid", GROUP, "--shell", "/bin/sh"]
            run("useradd", *options, "--home-dir", folder, account)
            about = pwd.getpwnam(account)
        for place in (folder, os.path.join(folder, "repository")):
            if not os.path.isdir(place):
                os.mkdir(place, 0o700)
                os.chown(place, about.pw_uid, about.pw_gid)
                os.chmod(place, 0o700)
    for name in os.listdir(AUTHORIZED) if os.path.isdir(AUTHORIZED) else []:
        if name not in wanted:
            # A client that is no client any more: its backups stay, its way in goes.
            os.unlink(os.path.join(AUTHORIZED, name))
    os.makedirs(SLOTS, exist_ok=True)
    os.chown(SLOTS, 0, group.gr_gid)
    os.chmod(SLOTS, 0o750)  # noqa: S103 (the group takes places)
    for number in range(settings["sessions"]):
        place = os.path.join(SLOTS, str(number))
        os.close(os.open(place, os.O_RDONLY | os.O_CREAT, 0o640))
        os.chown(place, 0, group.gr_gid)
        os.chmod(place, 0o640)
    return 0


if __name__ == "__main__":
    sys.exit(main())
