# SPDX-License-Identifier: GPL-3.0-or-later
"""What an account must look like, checked before anything is done with it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import Any

from ..facts.accounts import password_state
from .keys import complaint, parse_line

LOGIN = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
STATES = ("present", "locked", "absent")
UNTOUCHABLE = ("root", "nobody")
NO_AGEING_KINDS = ("service", "batch")
"""Kinds whose password never expires: nobody is there to change it."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True)
class Account:
    """One account as the ledger wants it on this host; the forms are those of the module accounts."""

    login: str
    state: str = "present"
    person: str = ""
    kind: str = "person"
    uid: int | None = None
    home: str = ""
    shell: str = "/bin/bash"
    groups: list[str] = field(default_factory=list)
    sudo: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    expires: int | None = None
    password: bool = True
    password_hash: str | None = None

    @property
    def fingerprints(self) -> list[str]:
        """Fingerprints of its keys, sorted."""
        return sorted(key.fingerprint for key in map(parse_line, self.keys) if key)

    @property
    def keys_text(self) -> str:
        """The content of its authorized_keys."""
        return "".join(line.strip() + "\n" for line in self.keys)


KNOWN = {*Account.__dataclass_fields__, "reason"}


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and not _CONTROL.search(value)


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(member, str) for member in value)


def _path(value: Any) -> bool:
    return _is_text(value) and value.startswith("/") and os.path.normpath(value) == value and ":" not in value


def _number(value: Any) -> bool:
    return value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 0)


FORMS: dict[str, tuple[Any, str]] = {
    "state": (lambda v: v in STATES, "one of " + ", ".join(STATES)),
    "person": (lambda v: _is_text(v) and not set(v) & set(":,"), "a text without colon, comma and control characters"),
    "kind": (_is_text, "a text"),
    "uid": (_number, "a whole number or nothing"),
    "home": (lambda v: v == "" or (_path(v) and v != "/"), "an absolute path without colons and '..'"),
    "shell": (_path, "an absolute path without colons and '..'"),
    "groups": (_texts, "a list of group names"),
    "sudo": (_texts, "a list of rules"),
    "keys": (_texts, "a list of public keys"),
    "expires": (_number, "days since 1970 or nothing"),
    "password": (lambda v: isinstance(v, bool), "true or false"),
    "password_hash": (
        lambda v: v is None or (_is_text(v) and ":" not in v and " " not in v and password_state(v) == "usable"),
        "a hash as crypt(5) writes it, or nothing",
    ),
}
"""Field -> whether a value is of its form, and what is allowed."""


def parse_accounts(entries: Any) -> tuple[list[Account], list[str]]:
    """Check the accounts of a host.

    Args:
        entries: list of mappings, see the module accounts.

    Returns:
        The well-formed ones, and every problem that was found. Hashes stand in no problem.
    """
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        return [], ["accounts: a list of mappings is allowed"]
    accounts: dict[str, Account] = {}
    problems: list[str] = []
    for entry in entries:
        login = entry.get("login")
        if not isinstance(login, str) or not LOGIN.fullmatch(login):
            problems.append(
                "%r: login: a small letter or underscore, then up to 31 of a-z 0-9 _ - are allowed" % (login,)
            )
            continue
        if login in accounts:
            problems.append("%s: stands in the list twice" % login)
        values = {key: value for key, value in entry.items() if key != "reason" and key in KNOWN}
        if values.get("home") is None:
            values["home"] = ""
        if not values["home"]:
            values["home"] = "/home/" + login
        wrong = ["%s: %s: there is no such field" % (login, key) for key in entry if key not in KNOWN]
        wrong += [
            "%s: %s%s: %s is allowed" % (login, key, "" if key == "password_hash" else " %r" % (values[key],), allowed)
            for key, (fits, allowed) in FORMS.items()
            if key in values and not fits(values[key])
        ]
        if not wrong:
            accounts[login] = Account(**values)
            wrong = _of_lists(accounts[login])
        problems += wrong
    return list(accounts.values()), problems


def _of_lists(account: Account) -> list[str]:
    """What is wrong with the keys, rules and groups of an account that is to be there."""
    if account.state != "present":
        return []
    problems = []
    for line in account.keys:
        wrong = complaint(line)
        if wrong:
            problems.append("%s: keys: %r %s" % (account.login, line[:60], wrong))
    for rule in account.sudo:
        if _CONTROL.search(rule) or not re.match(r"[A-Za-z0-9!][^=]*=", rule) or rule.endswith("\\") or "#" in rule:
            problems.append(
                "%s: sudo: %r is no rule of one line such as 'ALL=(root) /usr/bin/id'; it may hold no comment"
                % (account.login, rule)
            )
    problems += [
        "%s: groups: %r is no group name" % (account.login, g) for g in account.groups if not LOGIN.fullmatch(g)
    ]
    return problems
