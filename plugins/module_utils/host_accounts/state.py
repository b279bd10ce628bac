# SPDX-License-Identifier: GPL-3.0-or-later
"""The accounts of one host as they are: read once, and nothing changed."""

from __future__ import annotations

import json
import os
import time
from typing import Any, NamedTuple

from ..facts.accounts import hash_scheme, login_defs, password_state
from ..facts.host import Host
from ..facts.sshd import sshd
from . import activity, sudo
from .databases import Databases, is_number, is_system, number
from .keys import DEFAULT_FILES, key_files, read_keys

RECORD = "/var/lib/kijun/accounts/ledger.json"
"""What the last run of the step that applies the ledger wrote."""

USABLE = ("usable",)
"""States of a password that let its owner in."""

Json = dict[str, Any]


def read_record(host: Host) -> Json:
    """What the last run of the step left: ``accounts`` (login -> what the ledger said) and ``last_uid``.

    Returns:
        An empty mapping where it never ran.

    Raises:
        OSError: it is there and cannot be read.
        ValueError: it is damaged.
    """
    text = host.read_if_there(RECORD)
    if not text:
        return {}
    record = json.loads(text)
    if not isinstance(record, dict) or not isinstance(record.get("accounts"), dict):
        raise ValueError("%s: no record of accounts" % RECORD)
    return record


def login_account(names: dict[int, str]) -> str:
    """The account that is logged in and became root, as sudo(8) tells; root where it tells none."""
    uid = os.environ.get("SUDO_UID", "")
    return names.get(int(uid), "root") if is_number(uid) else "root"


class Around(NamedTuple):
    """What is read once for all accounts of a host."""

    databases: Databases
    settings: Json
    specs: list[sudo.Spec]
    groups: dict[str, set[str]]
    key_patterns: list[str]
    logins: dict[str, tuple[int, str]]
    births: dict[str, int]
    sessions: dict[int, int]
    processes: dict[int, list[int]]
    crontabs: set[str]
    at_jobs: dict[int, list[str]]


def read_databases(host: Host) -> Databases:
    """Read the account files; malformed lines are told to the host.

    Raises:
        OSError: one that every host has is missing.
    """

    def read(path: str) -> str | None:
        try:
            return host.read(path)
        except FileNotFoundError:
            return None

    databases = Databases(read)
    for path in databases.missing():
        raise FileNotFoundError(2, "there is no %s on this host" % path)
    for path, table in databases.tables.items():
        for place, row in enumerate(table.rows, 1):
            if len(row) != table.fields and not row[0].startswith(("+", "-", "#")):
                host.problem(path, place, "%d fields where %d belong" % (len(row), table.fields))
    return databases


def births(host: Host, homes: list[str]) -> dict[str, int]:
    """Home directory -> when it was made (seconds since 1970), where the file system knows."""
    if not homes:
        return {}
    try:
        out = host.run("stat", "--format=%W %n", "--", *(host.path(home) for home in homes))
    except OSError as error:
        host.problem("stat", 0, str(error))
        return {}
    found = {}
    for line in out.splitlines():
        seconds, _, path = line.partition(" ")
        if is_number(seconds) and int(seconds) > 0:
            found[path] = int(seconds)
    return {home: found[host.path(home)] for home in homes if host.path(home) in found}


def sudo_specs(host: Host) -> list[sudo.Spec]:
    """The host's sudo rules; none, and a problem, where they cannot be read."""
    try:
        return sudo.parse(host)
    except (OSError, ValueError) as error:
        host.problem(sudo.SUDOERS, 0, "who may use sudo cannot be told: %s" % error)
        return []


def key_patterns(host: Host) -> list[str]:
    """AuthorizedKeysFile as sshd uses it; its default, and a problem, where sshd does not say."""
    try:
        said = sshd(host, set())["authorizedkeysfile"] if host.root == "/" else None
    except OSError as error:
        host.problem("sshd", 0, str(error))
        said = None
    return said.split() if isinstance(said, str) else list(DEFAULT_FILES)


def look_around(host: Host) -> Around:
    """Read what is read once for all accounts."""
    databases = read_databases(host)
    people = [row for row in databases.passwd.records() if is_number(row[2]) and is_number(row[3])]
    homes = sorted({row[5] for row in people if row[5].startswith("/home/") and os.path.isdir(host.path(row[5]))})
    return Around(
        databases=databases,
        settings=login_defs(host, set()),
        specs=sudo_specs(host),
        groups=databases.all_groups(),
        key_patterns=key_patterns(host),
        logins=activity.last_logins(host, {row[0]: int(row[2]) for row in people}),
        births=births(host, homes),
        sessions=activity.sessions(host),
        processes=activity.processes(host),
        crontabs=activity.crontabs(host),
        at_jobs=activity.at_jobs(host),
    )


def read_account(host: Host, around: Around, row: list[str]) -> Json:
    """One account, as docs of the module accounts_state tell."""
    name, uid, gid, home = row[0], int(row[2]), int(row[3]), row[5]
    shadow = around.databases.shadow.get(name) or [name, "*", "", "", "", "", "", "", ""]
    secret = shadow[1] if row[1] == "x" else row[1]
    state = password_state(secret)
    keys, unreadable = read_keys([host.path(p) for p in key_files(around.key_patterns, name, uid, home)], uid, gid)
    groups = around.groups[name]
    gids = {around.databases.group.by_name[group][2] for group in groups} | {row[3]}
    last, source = around.logins.get(name, (None, "none"))
    account = {
        "name": name,
        "uid": uid,
        "gid": gid,
        "gecos": row[4],
        "home": home,
        "home_exists": os.path.isdir(host.path(home)),
        "shell": row[6],
        "groups": around.databases.groups_of(name),
        "password": state,
        "scheme": hash_scheme(secret.lstrip("!")) if state in ("usable", "locked") else None,
        "password_changed": _days(shadow[2]),
        "must_change": shadow[2] == "0",
        "expires": _days(shadow[7]),
        "keys": [key._asdict() for key in keys],
        "unreadable_keys": unreadable,
        "sudo": sudo.rules_of(around.specs, name),
        "admin": uid == 0 or sudo.is_admin(around.specs, name, uid, groups, gids),
        "last_login": last,
        "last_login_source": source,
        "created": around.births.get(home),
        "sessions": around.sessions.get(uid, 0),
        "processes": len(around.processes.get(uid, ())),
        "cron": name in around.crontabs,
        "at": len(around.at_jobs.get(uid, ())),
        "weak": None,
    }
    if is_system(uid, around.settings):
        account["system"] = True
    return account


def _days(field: str) -> int | None:
    return int(field) if is_number(field) else None


def read_state(host: Host, people: dict[str, Json] | None = None, weak: Json | None = None) -> Json:
    """Read a host's accounts.

    Args:
        host: the host.
        people: login name -> person and department, for the search of weak passwords.
        weak: ``tries`` (an account) and ``seconds`` (in all) of that search; None leaves it out.

    Returns:
        The state, as docs of the module accounts_state tell.
    """
    around = look_around(host)
    rows = [row for row in around.databases.passwd.records() if is_number(row[2]) and is_number(row[3])]
    accounts = [read_account(host, around, row) for row in rows]
    try:
        managed = sorted(read_record(host).get("accounts", {}))
    except (OSError, ValueError) as error:
        host.problem(RECORD, 0, str(error))
        managed = []
    state = {
        "time": int(time.time()),
        "accounts": accounts,
        "groups": {
            row[0]: {"gid": int(row[2]), "members": [name for name in row[3].split(",") if name]}
            for row in around.databases.group.records()
            if is_number(row[2])
        },
        "sudo_others": sudo.others(around.specs, around.databases.passwd.by_name),
        "uid_min": number(around.settings, "UID_MIN", 1000),
        "uid_max": number(around.settings, "UID_MAX", 60000),
        "managed": managed,
        "login_account": login_account({int(row[2]): row[0] for row in rows}),
        "untried": _find_weak(host, around, accounts, people or {}, weak) if weak else 0,
    }
    state["problems"] = host.problems_in("")
    return state


def _find_weak(host: Host, around: Around, accounts: list[Json], people: dict[str, Json], weak: Json) -> int:
    """Enter what is weak into the accounts; give the number of hashes not tried to the end."""
    from .weak import find_weak

    table = around.databases
    usable = {account["name"]: account for account in accounts if account["password"] in USABLE}
    hashes = {}
    for name in usable:
        row, shadow = table.passwd.by_name[name], table.shadow.get(name)
        hashes[name] = shadow[1] if row[1] == "x" and shadow else row[1]
    words = {
        name: {"person": account["gecos"].split(",")[0], **people.get(name, {})} for name, account in usable.items()
    }
    try:
        found, untried = find_weak(hashes, words, int(weak.get("tries", 40)), float(weak.get("seconds", 20)))
    except OSError as error:
        host.problem("libcrypt", 0, "no password was tried: %s" % error)
        return len(hashes)
    for name, finding in found.items():
        usable[name]["weak"] = finding
    return untried


def main(argument: str) -> None:
    """Read this host and print its state as one line of JSON.

    Args:
        argument: JSON: ``weak`` (tries, seconds; or null) and ``people`` (login -> person, department).
    """
    asked = json.loads(argument) or {}
    try:
        answer: Json = {"state": read_state(Host(), asked.get("people"), asked.get("weak"))}
    except (OSError, ValueError) as error:
        answer = {"error": str(error)}
    print(json.dumps(answer))
