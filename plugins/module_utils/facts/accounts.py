# SPDX-License-Identifier: GPL-3.0-or-later
"""Accounts: passwd(5), shadow(5), group(5) and login.defs(5)."""

from __future__ import annotations

import time
from typing import Any

from .host import Host, Settings, number_or_text

SCHEMES = {
    "$y$": "yescrypt",
    "$gy$": "gost-yescrypt",
    "$7$": "scrypt",
    "$2b$": "bcrypt",
    "$2y$": "bcrypt",
    "$2a$": "bcrypt",
    "$6$": "sha512",
    "$5$": "sha256",
    "$1$": "md5",
    "$sha1$": "sha1",
    "_": "bsdi",
}
"""Prefix of a hash -> its name, crypt(5)."""

NO_AGEING = 99999
"""What shadow(5) tools write where a password never has to change."""


def login_defs(host: Host, keys: set[str]) -> dict[str, Any]:
    """Read /etc/login.defs; the last line of a key holds, as in shadow's getdef.c."""
    values = Settings()
    for line in host.read("/etc/login.defs").splitlines():
        words = line.split(None, 1)
        if len(words) == 2 and not line.startswith("#"):
            values[words[0]] = number_or_text(words[1].strip().strip('"'))
    return values


def _records(host: Host, path: str, fields: int, numbers: tuple[int, ...]) -> dict[str, list[str]]:
    """The records of a colon-separated file by their name; malformed ones are told and left out."""
    records: dict[str, list[str]] = {}
    for number, line in enumerate(host.read(path).splitlines(), 1):
        if not line or line.startswith(("+", "-")):  # empty, and the old NIS compatibility entries
            if not line:
                host.problem(path, number, "an empty line")
            continue
        parts = line.split(":")
        wrong = [str(n + 1) for n in numbers if n < len(parts) and parts[n] and not parts[n].lstrip("-").isdigit()]
        if len(parts) != fields:
            host.problem(path, number, "%d fields where %d belong" % (len(parts), fields))
        elif not parts[0]:
            host.problem(path, number, "no name")
        elif wrong:
            host.problem(path, number, "field %s is not a number" % ", ".join(wrong))
        elif parts[0] in records:
            host.problem(path, number, "%r stands here a second time" % parts[0])
        else:
            records[parts[0]] = parts
    return records


def password_state(field: str) -> str:
    """Say what the second field of a shadow line means: usable, locked, none or empty.

    ``none`` was never a hash (``*``, ``!``, ``!!``, ``x``); ``locked`` is a hash behind an exclamation mark.
    """
    if field == "":
        return "empty"
    bare = field.lstrip("!")
    if field.startswith("!") and len(bare) > 2 and bare != "*":
        return "locked"
    is_hash = field.startswith(("$", "_")) or len(field) == 13
    return "usable" if is_hash else "none"


def hash_scheme(field: str) -> str:
    """Name the scheme of a password hash, crypt(5); ``des`` for the thirteen-character kind."""
    for prefix, name in SCHEMES.items():
        if field.startswith(prefix):
            return name
    return "des"


def accounts(host: Host, keys: set[str]) -> dict[str, Any]:
    """Read every account and, of those that log in with a password, how old it is and may become."""
    passwd = _records(host, "/etc/passwd", 7, (2, 3))
    shadow = _records(host, "/etc/shadow", 9, (2, 3, 4, 5, 6, 7))
    _records(host, "/etc/group", 4, (2,))

    states = {name: password_state(shadow[name][1] if name in shadow else record[1]) for name, record in passwd.items()}
    usable = {name: shadow[name] for name, state in states.items() if state == "usable" and name in shadow}
    by_id: dict[str, list[str]] = {}
    for name, record in passwd.items():
        by_id.setdefault(record[2], []).append(name)
    today = int(time.time() // 86400)
    return {
        "names": list(passwd),
        "uid_zero": by_id.get("0", []),
        "duplicate_ids": {uid: names for uid, names in by_id.items() if len(names) > 1},
        "password_state": states,
        "empty_password": [name for name, state in states.items() if state == "empty"],
        "hash_scheme": {name: hash_scheme(record[1]) for name, record in usable.items()},
        "max_days": {name: _max_days(record) for name, record in usable.items()},
        "password_age": {name: today - int(record[2]) for name, record in usable.items() if record[2] not in ("", "0")},
        "must_change": [name for name, record in shadow.items() if record[2] == "0"],
        "malformed": host.problems_in("/etc/passwd", "/etc/shadow", "/etc/group"),
    }


def _max_days(record: list[str]) -> int | None:
    """The maximum age that is in force; an empty date of change or an age of 99999 turns ageing off, shadow(5)."""
    changed, maximum = record[2], record[4]
    if changed == "" or maximum == "" or int(maximum) < 0 or int(maximum) >= NO_AGEING:
        return None
    return int(maximum)
