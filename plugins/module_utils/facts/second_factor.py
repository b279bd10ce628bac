# SPDX-License-Identifier: GPL-3.0-or-later
"""Who gets in at a PC without a code, where one is asked for besides the password; by its PAM stacks."""

from __future__ import annotations

import re
from typing import Any, Callable

from . import pam_stack
from .host import Host
from .pam import BYSTANDERS, WITHOUT_PASSWORD
from .pam_stack import Step, decide, flat
from .sshd import NOBODY, SECRETS, enrolled, open_secrets
from .sshd_match import Login, logins

KEY = re.compile(r"(?P<groups>\S+) at (?P<services>\S+) without (?P<names>\S+)")

ENTRY = "pam_loginuid.so"
"""Services by which somebody enters a host have it, pam_loginuid(8)."""

ELSEWHERE = ("sshd", "cron", "crond", "atd", "systemd-user")
"""Entries that are asked for no password at a PC: role ssh's own, and those of programs."""

REFUSING = ("pam_deny.so", "pam_rootok.so", "pam_pkcs11.so")
"""Modules that let nobody in who has but a password or a fingerprint: a card with its PIN is two factors."""

CODE = "pam_google_authenticator.so"

Outcome = Callable[[Step], str]


def _asks(step: Step) -> bool:
    """Whether a line of the module asks for the codes of the secrets that root keeps."""
    return "secret=%s/${USER}" % SECRETS in step.arguments and "nullok" not in step.arguments


def _fits(step: Step, who: Login, otherwise: bool) -> bool:
    """Whether pam_succeed_if lets somebody by.

    Args:
        step: its line.
        who: somebody.
        otherwise: what conditions come to that are not about names and groups.
    """
    words = step.arguments
    held = []
    for position, field in enumerate(words[:-2]):
        if field not in ("user", "uid", "gid", "shell", "home", "ruser", "rhost", "tty", "service"):
            continue
        operator, values = words[position + 1], words[position + 2].split(":")
        named = {"in": who.name in values, "ingroup": not who.groups.isdisjoint(values)}
        named.update(
            {"=": named["in"], "notin": not named["in"], "!=": not named["in"], "notingroup": not named["ingroup"]}
        )
        held.append(named.get(operator, otherwise) if field == "user" else otherwise)
    return all(held)


def _tries(who: Login, code: bool, otherwise: bool) -> Outcome:
    """What modules return when somebody gives all that is asked for, but perhaps no code."""

    def outcome(step: Step) -> str:
        if step.module == CODE:
            return "auth_err" if _asks(step) and not code else "success"
        if step.module == "pam_succeed_if.so":
            return "success" if _fits(step, who, otherwise) else "auth_err"
        if step.module == "pam_faillock.so" and "authfail" in step.arguments:
            return "ignore"
        if step.module in REFUSING or (step.module == "pam_sss.so" and "require_cert_auth" in step.arguments):
            return "auth_err"
        return "ignore" if step.module in BYSTANDERS else "success"

    return outcome


def _gets_in(auth: list[Step], who: Login, code: bool = False) -> bool:
    return any(decide(auth, _tries(who, code, otherwise)).granted for otherwise in (True, False))


def _entries(reader: pam_stack.Reader) -> set[str]:
    """Services by which somebody logs in at the host itself."""
    return {
        service
        for service in reader.services()
        if service not in ELSEWHERE
        and not WITHOUT_PASSWORD.fullmatch(service)
        and any(step.module == ENTRY for step in flat(reader.stack(service, "session")))
    }


def second_factor(host: Host, keys: set[str]) -> dict[str, Any]:
    """Try every login of the host for every member of groups, with and without a code.

    Args:
        host: the host.
        keys: ``GROUPS at SERVICES without NAMES``, each with colons between; a hyphen for no groups.
    """
    reader, people = pam_stack.Reader(host), logins(host)
    entries, there = _entries(reader), set(reader.services())
    found: dict[str, Any] = {}
    for key in keys:
        match = KEY.fullmatch(key)
        if match is None:
            raise ValueError("second_factor[%s]: not of the form GROUPS at SERVICES without NAMES" % key)
        groups = set(match["groups"].split(":")) - {NOBODY}
        excepted = set(match["names"].split(":"))
        stacks = {
            service: reader.stack(service, "auth")
            for service in sorted(entries | there & set(match["services"].split(":")))
        }
        members = [login for login in people if login.groups & groups and login.name not in excepted]
        # A directory service may know others.
        tried = members + [Login("others of %s" % group, frozenset({group})) for group in sorted(groups)]
        without = {s: [who.name for who in tried if _gets_in(auth, who)] for s, auth in stacks.items()}
        emergency = [login for login in people if login.name in excepted]
        shut_out = {
            s: [who.name for who in emergency if _gets_in(auth, who, code=True) and not _gets_in(auth, who)]
            for s, auth in stacks.items()
        }
        found[key] = {
            "without": {service: names for service, names in without.items() if names},
            "shut_out": {service: names for service, names in shut_out.items() if names},
            "asking": [
                s for s, auth in stacks.items() if not without[s] and any(step.module == CODE for step in flat(auth))
            ],
            "not_enrolled": sorted(login.name for login in members if not enrolled(host, login)),
            "open_secrets": open_secrets(host),
            "nobody": not members,
        }
    return found
