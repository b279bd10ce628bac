# SPDX-License-Identifier: GPL-3.0-or-later
"""A client's session at the backup server: what sshd runs instead of whatever the client asks for.

It is one of so many at a time, in the client's own folder and nowhere else, adds and never deletes, and ends when the
client's quota or the disk's reserve is used up. Runs with the rights of the client's account. Standard library.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pwd
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

from .history import read_json

SETTINGS = "/etc/kijun/backup-server/settings.json"
SLOTS = "/run/kijun-backup/slots"
MB = 1_000_000
SLACK = 64 * MB
"""What a session that only reads may add, for its locks."""


class Refused(Exception):
    """The session is refused.

    Attributes:
        what: ``full``, ``busy`` or ``refused``, as the client's side reads it.
    """

    def __init__(self, what: str, text: str) -> None:
        super().__init__(text)
        self.what = what


def size_of(folder: str) -> int:
    """Bytes of the files below a folder."""
    total = 0
    waiting = [folder]
    while waiting:
        with contextlib.suppress(FileNotFoundError), os.scandir(waiting.pop()) as found:
            for entry in found:
                with contextlib.suppress(FileNotFoundError):
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    else:
                        total += entry.stat(follow_symlinks=False).st_size
    return total


@contextlib.contextmanager
def slot(folder: str, count: int, seconds: float) -> Iterator[None]:
    """One of so many places.

    Args:
        folder: where there is a file for each.
        count: how many there are.
        seconds: how long one is waited for.

    Raises:
        Refused: none gets free.
    """
    end = time.monotonic() + seconds
    files = [os.open(os.path.join(folder, str(number)), os.O_RDONLY | os.O_CLOEXEC) for number in range(count)]
    try:
        while True:
            for file in files:
                with contextlib.suppress(BlockingIOError):
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    yield
                    return
            if time.monotonic() >= end:
                raise Refused("busy", "%d sessions are open; try again in 30 s" % count)
            time.sleep(0.2)
    finally:
        for file in files:
            os.close(file)


def refuse_full(settings: dict[str, Any], client: dict[str, Any], folder: str, slack: int) -> None:
    """Refuse what there is no room for.

    Raises:
        Refused: the quota is used up, or the disk's reserve is.
    """
    quota, used = client["quota_mb"] * MB, size_of(folder)
    if used >= quota + slack:
        raise Refused("full", "%d MB of a quota of %d MB are in use" % (used // MB, client["quota_mb"]))
    room = os.statvfs(folder)
    free = room.f_bavail * room.f_frsize
    if free < settings["reserve_mb"] * MB - slack:
        raise Refused("full", "%d MB are left on the disk, of which %d are kept" % (free // MB, settings["reserve_mb"]))


def serve(settings: dict[str, Any], client: dict[str, Any], folder: str, slack: int) -> int:
    """Let the client read and add until it has had enough, or there is no more room."""
    repository = os.path.join(folder, "repository")
    command = ["rclone", "serve", "restic", "--stdio", "--append-only", "--config=", "--log-level=ERROR", repository]
    environment = {"PATH": "/usr/bin:/bin", "HOME": folder, "LC_ALL": "C.UTF-8"}
    process = subprocess.Popen(command, env=environment, cwd="/", umask=0o077)
    pause = 0.5
    try:
        while True:
            try:
                return process.wait(timeout=pause)
            except subprocess.TimeoutExpired:
                began = time.monotonic()
                refuse_full(settings, client, folder, slack)
                # Where looking takes long it is done more seldom.
                pause = max(0.5, 20 * (time.monotonic() - began))
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def main() -> int:
    """What sshd runs.

    Returns:
        rclone's exit status, or 75 when the session is refused.
    """
    try:
        settings = read_json(SETTINGS)
        account = pwd.getpwuid(os.getuid()).pw_name
        client = next((one for one in settings["clients"] if one["account"] == account), None)
        if client is None:
            raise Refused("refused", "this account is nobody's")
        words = os.environ.get("SSH_ORIGINAL_COMMAND", "").split()
        if words[:1] not in (["store"], ["fetch"]):
            raise Refused("refused", "sessions store and fetch, and nothing else")
        folder = os.path.join(settings["directory"], client["name"])
        slack = SLACK if words[0] == "fetch" else 0
        # Held as long as the session lasts: the keeper knows by it whether locks in the repository are a dead client's.
        alive = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        fcntl.flock(alive, fcntl.LOCK_SH)
        with slot(SLOTS, settings["sessions"], settings["queue_seconds"]):
            refuse_full(settings, client, folder, slack)
            return serve(settings, client, folder, slack)
    except Refused as error:
        print("kijun-backup-server: %s: %s" % (error.what, error), file=sys.stderr, flush=True)
    except (OSError, ValueError, KeyError) as error:
        print("kijun-backup-server: refused: %s" % error, file=sys.stderr, flush=True)
    # Whoever asked reads this before the connection is gone.
    time.sleep(1)
    return 75


if __name__ == "__main__":
    sys.exit(main())
