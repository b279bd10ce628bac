# SPDX-License-Identifier: GPL-3.0-or-later
"""Stop what accounts do on a host: sessions, processes, crontabs and at jobs; and let the latter go on again."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time

from ..facts.host import Host
from .activity import AT_JOBS, CRONTABS, LINGER, processes

HELD = "/var/lib/kijun/accounts/held"
"""Where crontabs and at jobs of locked accounts wait, by login name."""

PATIENCE = 2.0
"""Seconds that processes have to end by themselves."""


def to_hold(host: Host, login: str, jobs: list[str]) -> list[str]:
    """Paths of what runs for an account without it being logged in.

    Args:
        host: the host.
        login: its name.
        jobs: its at(1) jobs.
    """
    found = [os.path.join(CRONTABS, login), *jobs, os.path.join(LINGER, login)]
    return [path for path in found if os.path.isfile(host.path(path)) and not os.path.islink(host.path(path))]


def hold(host: Host, login: str, paths: list[str]) -> None:
    """Put them where nothing runs them; what lies there of the same name stays beside."""
    place = host.path(os.path.join(HELD, login))
    os.makedirs(os.path.dirname(place), mode=0o700, exist_ok=True)
    os.makedirs(place, mode=0o700, exist_ok=True)
    for path in paths:
        target = os.path.join(place, _held_name(path))
        if os.path.lexists(target):
            os.rename(target, "%s.%d" % (target, time.time_ns()))
        _move(host.path(path), target)


def _held_name(path: str) -> str:
    kinds = {CRONTABS: "crontab", LINGER: "linger"}
    return kinds.get(os.path.dirname(path)) or "at-" + os.path.basename(path)


def _move(source: str, target: str) -> None:
    """Move a file with its owner and mode, also to another file system."""
    try:
        os.rename(source, target)
    except OSError:
        info = os.stat(source, follow_symlinks=False)
        shutil.copy2(source, target + ".new", follow_symlinks=False)
        os.chown(target + ".new", info.st_uid, info.st_gid)
        os.rename(target + ".new", target)
        os.unlink(source)


def to_restore(host: Host, login: str, now: float) -> dict[str, str]:
    """What waits for an account that is back: held name -> where it belongs.

    An at job whose time has passed stays where it is: put back, it would run at once.
    """
    place = host.path(os.path.join(HELD, login))
    found = {}
    for name in sorted(os.listdir(place)) if os.path.isdir(place) else ():
        if name == "crontab":
            target = os.path.join(CRONTABS, login)
        elif name == "linger":
            target = os.path.join(LINGER, login)
        elif name.startswith("at-") and "." not in name and _due(name[3:]) > now:
            target = os.path.join(AT_JOBS, name[3:])
        else:
            continue
        if os.path.isdir(os.path.dirname(host.path(target))) and not os.path.lexists(host.path(target)):
            found[name] = target
    return found


def _due(job: str) -> float:
    """When an at job runs: the last eight digits of its name are minutes since 1970, atd."""
    try:
        return int(job[-8:], 16) * 60.0
    except ValueError:
        return 0.0


def restore(host: Host, login: str, what: dict[str, str]) -> None:
    """Put back what was held."""
    place = host.path(os.path.join(HELD, login))
    for name, target in what.items():
        _move(os.path.join(place, name), host.path(target))
        os.utime(os.path.dirname(host.path(target)))  # cron(8) looks at it for changes
    with contextlib.suppress(OSError):
        os.rmdir(place)


def end_sessions(host: Host, uids: dict[str, int]) -> dict[str, int]:
    """End all sessions and processes of accounts: asked first, killed after `PATIENCE` seconds.

    Args:
        host: the host.
        uids: login name -> user id; none may be the system's.

    Returns:
        Login name -> processes that are still there; empty when all have ended.
    """
    for login in uids:
        with contextlib.suppress(OSError):  # without systemd-logind the signals below do
            host.run("loginctl", "terminate-user", login)
    left: dict[str, list[int]] = {}
    for sign, seconds in ((signal.SIGTERM, PATIENCE), (signal.SIGKILL, PATIENCE)):
        deadline = time.monotonic() + seconds
        asked: set[int] = set()
        while True:
            running = processes(host)
            left = {login: running[uid] for login, uid in uids.items() if running.get(uid)}
            if not left:
                return {}
            if time.monotonic() > deadline:
                break
            for pid in {pid for found in left.values() for pid in found} - asked:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, sign)
                asked.add(pid)
            time.sleep(0.05)
    return {login: len(found) for login, found in left.items()}
