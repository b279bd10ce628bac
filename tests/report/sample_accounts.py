# SPDX-License-Identifier: GPL-3.0-or-later
"""Ledger entries and hosts that agree with them, made up for the tests of reconciliation and of its pages."""

from __future__ import annotations

import base64
import copy
import hashlib
import random
from collections.abc import Iterator
from typing import Any, NamedTuple

NOW = 1795255200
"""2026-11-21T10:00:00Z."""

DAY = 86400
TODAY = NOW // DAY

SUDO = "ALL=(root) /usr/bin/systemctl restart nginx"


def key_line(number: int, comment: str = "sample") -> str:
    """A line of authorized_keys; the key has the form of an ed25519 one, and no secret half."""
    body = hashlib.sha256(b"sample key %d" % number).digest()
    blob = b"\x00\x00\x00\x0bssh-ed25519\x00\x00\x00\x20" + body
    return f"ssh-ed25519 {base64.b64encode(blob).decode('ascii')} {comment}"


def print_of(line: str) -> str:
    """The fingerprint of a sample line, by its own arithmetic."""
    blob = base64.b64decode(line.split()[1])
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode("ascii").rstrip("=")


def entry(login: str, number: int = 0, **changed: Any) -> dict[str, Any]:
    """What the ledger wants of an account; ``number`` makes it another person's."""
    return {
        "login": login,
        "person": f"Sample Person {number}",
        "kind": "person",
        "state": "present",
        "uid": None,
        "home": f"/home/{login}",
        "shell": "/bin/bash",
        "groups": ["www"],
        "sudo": [],
        "keys": [key_line(number)],
        "expires": None,
        "password": True,
        "password_hash": None,
        "reason": "",
        **changed,
    }


def account(wanted: dict[str, Any], uid: int = 1000, **changed: Any) -> dict[str, Any]:
    """An account of a host that is what the ledger wants, in use."""
    keys = [
        {"type": line.split()[0], "fingerprint": print_of(line), "comment": line.split()[2]} for line in wanted["keys"]
    ]
    return {
        "name": wanted["login"],
        "uid": uid,
        "gid": uid,
        "gecos": wanted["person"],
        "home": wanted["home"],
        "home_exists": True,
        "shell": wanted["shell"],
        "groups": list(wanted["groups"]),
        "password": "usable",
        "scheme": "yescrypt",
        "password_changed": TODAY - 20,
        "must_change": False,
        "expires": wanted["expires"],
        "keys": keys,
        "unreadable_keys": None,
        "sudo": list(wanted["sudo"]),
        "admin": "sudo" in wanted["groups"],
        "last_login": NOW - 3 * DAY,
        "last_login_source": "wtmpdb",
        "created": NOW - 400 * DAY,
        "sessions": 0,
        "processes": 0,
        "cron": False,
        "at": 0,
        "weak": None,
        **changed,
    }


SYSTEM = (("root", 0), ("daemon", 1), ("www-data", 33), ("nobody", 65534))


def system_accounts() -> list[dict[str, Any]]:
    """Debian's own accounts, none of which opens."""
    return [
        account(
            entry(name, groups=[], keys=[], person=name, shell="/usr/sbin/nologin"),
            uid,
            system=True,
            password="none",
            last_login=None,
        )
        for name, uid in SYSTEM
    ]


def state(accounts: list[dict[str, Any]], **changed: Any) -> dict[str, Any]:
    """A host with these accounts and Debian's own."""
    groups = {item["name"]: {"gid": item["gid"], "members": []} for item in accounts}
    names = sorted({group for item in accounts for group in item["groups"]} | {"sudo", "docker"})
    for number, name in enumerate(names):
        members = [item["name"] for item in accounts if name in item["groups"]]
        groups[name] = {"gid": 100 + number, "members": members}
    return {
        "time": NOW,
        "accounts": [*system_accounts(), *accounts],
        "groups": groups,
        "sudo_others": ["root ALL=(ALL:ALL) ALL", "%sudo ALL=(ALL:ALL) ALL"],
        "uid_min": 1000,
        "uid_max": 60000,
        "managed": [item["name"] for item in accounts],
        "login_account": "",
        "untried": 0,
        "problems": [],
        **changed,
    }


class Sample(NamedTuple):
    """A host as reconcile_host takes it."""

    host: str
    expected: dict[str, dict[str, Any]]
    state: dict[str, Any]


def _spoil(item: dict[str, Any], chance: random.Random) -> None:
    """Make an account one that differs, in one of the usual ways."""
    kind = chance.randrange(6)
    if kind == 0:
        item["groups"].append("docker")
    elif kind == 1:
        item["last_login"] = NOW - 200 * DAY
    elif kind == 2:
        item["weak"] = "equals the login name"
    elif kind == 3:
        item["keys"].append({"type": "ssh-ed25519", "fingerprint": print_of(key_line(-1)), "comment": "other"})
    elif kind == 4:
        item["name"] += "-x"
    else:
        item["sudo"].append("ALL=(ALL:ALL) ALL")
        item["admin"] = True


def fleet(hosts: int, accounts: int, bad: float = 0.0, persons: int | None = None) -> Iterator[Sample]:
    """Many hosts, each with many accounts of fewer persons; of the accounts, the share ``bad`` differs.

    The same each time. Every host's values are objects of their own, as what comes from hosts is.
    """
    chance = random.Random(20261121)
    pool = persons or accounts * 5
    entries = [
        entry(f"user{number:05}", number, sudo=[SUDO] if number % 10 == 0 else [], groups=["www", "adm"])
        for number in range(pool)
    ]
    models = [account(wanted, 1000 + number) for number, wanted in enumerate(entries)]
    for number in range(hosts):
        chosen = chance.sample(range(pool), accounts)
        expected = {entries[index]["login"]: copy.deepcopy(entries[index]) for index in chosen}
        items = [copy.deepcopy(models[index]) for index in chosen]
        for item in items:
            if chance.random() < bad:
                _spoil(item, chance)
        yield Sample(f"host{number:04}", expected, state(items))
