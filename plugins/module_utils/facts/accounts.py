# SPDX-License-Identifier: GPL-3.0-or-later
"""Accounts: passwd(5), shadow(5), group(5) and login.defs(5)."""

from __future__ import annotations

import re
import time
from typing import Any

from .host import Host, Settings, lines, number_or_text

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
    for line in lines(host.read("/etc/login.defs")):
        words = line.split(None, 1)
        if len(words) == 2 and not line.startswith("#"):
            values[words[0]] = number_or_text(words[1].strip().strip('"'))
    return values


def _records(host: Host, path: str, fields: int, numbers: tuple[int, ...], filled: bool) -> dict[str, list[str]]:
    """The records of a colon-separated file by their name; malformed ones are told and left out.

    Args:
        host: the host.
        path: the file.
        fields: how many fields a line has.
        numbers: positions of the fields that hold a number.
        filled: whether those must not be empty.
    """
    number = re.compile(r"-?[0-9]+" if filled else r"-?[0-9]+|")
    records: dict[str, list[str]] = {}
    for count, line in enumerate(lines(host.read(path)), 1):
        if line.startswith(("+", "-")):  # the old NIS compatibility entries, which name nobody here
            continue
        parts = line.split(":")
        wrong = [str(n + 1) for n in numbers if n < len(parts) and not number.fullmatch(parts[n])]
        if not line:
            host.problem(path, count, "an empty line")
        elif len(parts) != fields:
            host.problem(path, count, "%d fields where %d belong" % (len(parts), fields))
        elif not parts[0] or parts[0] != parts[0].strip():
            host.problem(path, count, "no name, or blanks around it")
        elif wrong:
            host.problem(path, count, "field %s is not a number" % ", ".join(wrong))
        elif parts[0] in records:
            host.problem(path, count, "%r stands here a second time" % parts[0])
        else:
            records[parts[0]] = parts
    return records


def _is_hash(field: str) -> bool:
    return field.startswith(("$", "_")) or re.fullmatch(r"[./0-9A-Za-z]{13}", field) is not None


def password_state(field: str) -> str:
    """Say what the second field of a shadow line means: usable, locked, none or empty.

    ``none`` is no hash (``*``, ``!``, ``!!``, ``!*``, ``x``); ``locked`` is a hash behind exclamation marks.
    """
    if field == "":
        return "empty"
    if _is_hash(field):
        return "usable"
    return "locked" if field.startswith("!") and _is_hash(field.lstrip("!")) else "none"


def hash_scheme(field: str) -> str:
    """Name the scheme of a password hash, crypt(5); ``des`` for the thirteen-character kind."""
    for prefix, name in SCHEMES.items():
        if field.startswith(prefix):
            return name
    return "des"


def accounts(host: Host, keys: set[str]) -> dict[str, Any]:
    """Read every account and, of those that log in with a password, how old it is and may become."""
    passwd = _records(host, "/etc/passwd", 7, (2, 3), filled=True)
    shadow = _records(host, "/etc/shadow", 9, (2, 3, 4, 5, 6, 7), filled=False)
    _records(host, "/etc/group", 4, (2,), filled=True)

    secrets = {name: _secret(record, shadow.get(name)) for name, record in passwd.items()}
    states = {name: password_state(secret[1]) for name, secret in secrets.items()}
    usable = {name: secrets[name] for name, state in states.items() if state == "usable"}
    by_id: dict[str, list[str]] = {}
    for name, record in passwd.items():
        by_id.setdefault(str(int(record[2])), []).append(name)
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


def _secret(record: list[str], shadow: list[str] | None) -> list[str]:
    """The shadow line that holds for an account.

    pam_unix(8) looks into shadow(5) only when the second field of passwd(5) is an x, or starts with two number signs;
    anything else there is the password itself, without ageing.
    """
    shadowed = record[1] == "x" or record[1].startswith("##")
    if shadowed and shadow is not None:
        return shadow
    return [record[0], "*" if shadowed else record[1], "", "", "", "", "", "", ""]


def _max_days(record: list[str]) -> int | None:
    """The maximum age that is in force; an empty date of change or an age of 99999 turns ageing off, shadow(5)."""
    changed, maximum = record[2], record[4]
    if changed == "" or maximum == "" or int(maximum) < 0 or int(maximum) >= NO_AGEING:
        return None
    return int(maximum)
