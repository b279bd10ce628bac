# SPDX-License-Identifier: GPL-3.0-or-later
"""Root's own surroundings, and accounts that belong to the system."""

from __future__ import annotations

import os
import re
import stat
from typing import Any

from .accounts import login_defs, password_state
from .host import Host, lines

PROFILES = (
    *("/etc/profile", "/etc/bash.bashrc", "/etc/environment"),
    *("/root/.profile", "/root/.bash_profile", "/root/.bash_login", "/root/.bashrc"),
)
"""What root's shells read when they start, bash(1); and pam_env(8)."""

UMASK = re.compile(r"^\s*umask\s+0*([0-7]{1,4})\b", re.MULTILINE)
PATHS = re.compile(r"^\s*(?:export\s+)?PATH=[\"']?([^\"'\n;]*)", re.MULTILINE)


def _path_problems(host: Host, source: str, value: str) -> list[str]:
    """What is unsafe about a search path: an empty or relative entry, or a directory that others can write to."""
    found = []
    for entry in value.split(":"):
        if entry in ("$PATH", "${PATH}"):
            continue
        if entry.startswith(("$HOME/", "~/", "${HOME}/")):
            entry = "/root/" + entry.partition("/")[2]
        if not entry.startswith("/"):
            found.append("%s: %r is no absolute directory" % (source, entry))
            continue
        try:
            info = os.stat(host.path(entry))
        except OSError:
            continue  # what is not there runs nothing; who could make it could write to what is above it
        if info.st_uid or info.st_mode & (0o002 if not info.st_gid else 0o022):
            found.append("%s: %s can be written to by others than root" % (source, entry))
    return found


def _too_open(umask: str) -> bool:
    return int(umask, 8) & 0o027 != 0o027


def root(host: Host, keys: set[str]) -> dict[str, Any]:
    """Read what root's shells start with."""
    folder = "/etc/profile.d"
    try:
        drop_ins = sorted(name for name in os.listdir(host.path(folder)) if name.endswith(".sh"))
    except FileNotFoundError:
        drop_ins = []
    texts = {path: host.read_if_there(path) for path in (*PROFILES, *("%s/%s" % (folder, name) for name in drop_ins))}
    supath = str(login_defs(host, set())["ENV_SUPATH"] or "").partition("=")[2]
    problems = _path_problems(host, "/etc/login.defs", supath) if supath else []
    for path, text in texts.items():
        for value in PATHS.findall(text):
            problems += _path_problems(host, path, value)
    own = [path for path in texts if path.startswith("/root/")]
    everybodys = [path for path in sorted(texts, reverse=True) if path.startswith(folder)]
    info = os.stat(host.path("/root"))
    return {
        "unsafe_path": problems,
        "open_umask": ["%s: umask %s" % (path, u) for path in own for u in UMASK.findall(texts[path]) if _too_open(u)],
        "login_umask": next((u for path in everybodys for u in reversed(UMASK.findall(texts[path]))), None),
        "home_closed": not stat.S_IMODE(info.st_mode) & 0o077 and info.st_uid == 0,
        "gid_zero": [r[0] for r in _records(host, "/etc/passwd") if r[3] == "0"],
        "group_zero": [r[0] for r in _records(host, "/etc/group") if r[2] == "0"],
    }


def _records(host: Host, path: str) -> list[list[str]]:
    """The lines of passwd, group or shadow that have the fields looked at here."""
    return [fields for fields in (line.split(":") for line in lines(host.read(path))) if len(fields) >= 4]


def system_accounts(host: Host, keys: set[str]) -> dict[str, Any]:
    """Look at accounts below UID_MIN, root aside, and nobody's above UID_MAX: nobody should log in to them."""
    limits = login_defs(host, set())
    low, high = int(limits["UID_MIN"] or 1000), int(limits["UID_MAX"] or 60000)
    shells = {line.strip() for line in lines(host.read_if_there("/etc/shells")) if line.startswith("/")}
    system = [
        fields
        for fields in _records(host, "/etc/passwd")
        if len(fields) == 7 and fields[2].isdigit() and fields[2] != "0" and not low <= int(fields[2]) <= high
    ]
    secrets = {fields[0]: fields[1] for fields in _records(host, "/etc/shadow")}
    states = {f[0]: password_state(secrets.get(f[0], "*") if f[1] == "x" else f[1]) for f in system}
    return {
        # an empty shell stands for /bin/sh, passwd(5)
        "with_shell": {f[0]: f[6] or "/bin/sh" for f in system if (f[6] or "/bin/sh") in shells},
        "with_password": [name for name, state in states.items() if state in ("usable", "empty")],
        "nologin_is_a_shell": sorted(shell for shell in shells if shell.endswith(("/nologin", "/false"))),
    }
