# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may do what by sudo(8).

sudoers(5) is read by cvtsudoers(1), which comes with Debian's sudo: it is sudo's own parser, follows includes, resolves
aliases and takes 3 ms. `sudo -l -U` would take one run for each account, and its output is made for people.
"""

from __future__ import annotations

import fnmatch
import json
import os
import re
import subprocess
from collections.abc import Iterable
from typing import Any

from ..facts.host import PATH, TIMEOUT, Host

SUDOERS = "/etc/sudoers"
OURS = "/etc/sudoers.d/kijun-accounts"
HEADER = "# Written by Kijun from the account ledger. Changes made here are lost.\n"
TAGS = {
    ("authenticate", False): "NOPASSWD",
    ("authenticate", True): "PASSWD",
    ("noexec", True): "NOEXEC",
    ("noexec", False): "EXEC",
    ("setenv", True): "SETENV",
    ("setenv", False): "NOSETENV",
    ("log_input", True): "LOG_INPUT",
    ("log_output", True): "LOG_OUTPUT",
    ("send_mail", True): "MAIL",
    ("send_mail", False): "NOMAIL",
    ("sudoedit_follow", True): "FOLLOW",
    ("intercept", True): "INTERCEPT",
}
"""Option as cvtsudoers gives it -> tag as sudoers(5) writes it."""

Spec = dict[str, Any]


def parse(host: Host, text: str | None = None) -> list[Spec]:
    """The user specifications of sudoers(5), with aliases and includes resolved.

    Args:
        host: the host.
        text: what is parsed instead of the host's own file.

    Raises:
        OSError: cvtsudoers is missing or refuses it; says why.
    """
    if text is None:
        if not os.path.exists(host.path(SUDOERS)):
            return []
        return json.loads(host.run("cvtsudoers", "-e", "-f", "json", host.path(SUDOERS))).get("User_Specs", [])
    done = subprocess.run(
        ["cvtsudoers", "-e", "-f", "json", "-"],
        input=text,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
        env={"PATH": PATH, "LC_ALL": "C"},
    )
    if done.returncode:
        raise OSError(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "refused")
    return json.loads(done.stdout or "{}").get("User_Specs", [])


def normalised(rule: str) -> str:
    """A rule with its blanks as `rules_of` writes them, so that two can be compared.

    Args:
        rule: a rule without the name that it is for: ``ALL = (root) NOPASSWD:/usr/bin/id``.
    """
    rule = " ".join(rule.split())
    hosts, mark, rest = rule.partition("=")
    runas = re.match(r"\s*\(([^)]*)\)\s*(.*)", rest)
    shown = ""
    if runas:
        shown, rest = "(%s) " % re.sub(r"\s+", "", runas.group(1)).rstrip(":"), runas.group(2)
    rest = re.sub(r"\b([A-Z_]{4,}):\s*", r"\1: ", rest.strip())
    rest = re.sub(r"(?<!\\)\s*,\s*", ", ", rest)
    return re.sub(r"\s*,\s*", ", ", hosts.strip()) + mark + shown + rest if mark else rule


def _one(entry: dict[str, Any], table: dict[str, str]) -> str:
    """A member of a list of cvtsudoers as sudoers(5) writes it; its kind is a key of `table`, with its prefix."""
    for kind, prefix in table.items():
        if kind in entry:
            return ("!" if entry.get("negated") else "") + prefix + str(entry[kind])
    return str(next(iter(entry.values()), ""))


_USERS = {
    "username": "",
    "userid": "#",
    "usergroup": "%",
    "usergid": "%#",
    "nonunixgroup": "%:",
    "nonunixgid": "%:#",
    "netgroup": "+",
    "useralias": "",
}
_HOSTS = {"hostname": "", "networkaddr": "", "netgroup": "+", "hostalias": ""}


def users_of(spec: Spec) -> list[str]:
    """Whom a specification is for, as sudoers(5) writes it: names, ``%group``, ``#uid``."""
    return [_one(entry, _USERS) for entry in spec.get("User_List", [])]


def _command(entry: dict[str, Any]) -> str:
    text = str(entry.get("command") or entry.get("cmndalias") or entry.get("sudoedit") or next(iter(entry.values())))
    program, blank, arguments = text.partition(" ")
    return ("!" if entry.get("negated") else "") + program + blank + re.sub(r"([,:=\\])", r"\\\1", arguments)


def _options(command_spec: dict[str, Any]) -> list[str]:
    everything = any(entry.get("command") == "ALL" for entry in command_spec["Commands"])
    words = []
    for option in command_spec.get("Options", []):
        for name, value in option.items():
            if name == "setenv" and value is True and everything:
                continue  # ALL implies it
            words.append(TAGS[name, value] + ":" if (name, value) in TAGS else "%s=%s" % (name.upper(), value))
    return words


def rule_text(spec: Spec) -> str:
    """A specification as a rule, without whom it is for, with blanks as `normalised` leaves them."""
    parts = []
    before = None
    for command_spec in spec.get("Cmnd_Specs", []):
        runas = ",".join(_one(entry, _USERS) for entry in command_spec.get("runasusers", []))
        groups = ",".join(_one(entry, _USERS).lstrip("%") for entry in command_spec.get("runasgroups", []))
        shown = "(%s%s)" % (runas, ":" + groups if groups else "") if runas or groups else ""
        words = [shown if shown != before else "", *_options(command_spec)]
        before = shown
        words.append(", ".join(_command(entry) for entry in command_spec["Commands"]))
        parts.append(" ".join(word for word in words if word))
    return "%s=%s" % (", ".join(_one(entry, _HOSTS) for entry in spec.get("Host_List", [])), ", ".join(parts))


def rules_of(specs: Iterable[Spec], name: str) -> list[str]:
    """The rules that name an account itself."""
    return [rule_text(spec) for spec in specs if name in users_of(spec)]


def others(specs: Iterable[Spec], names: Iterable[str]) -> list[str]:
    """The rules that are for groups, ids, everybody or unknown names, with whom they are for."""
    known = set(names)
    found = []
    for spec in specs:
        rest = [user for user in users_of(spec) if user not in known]
        if rest:
            found.append("%s %s" % (", ".join(rest), rule_text(spec)))
    return found


def _is_for(spec: Spec, name: str, uid: int, groups: set[str], gids: set[str]) -> bool:
    """Whether a specification is for an account; the last match of its list counts."""
    found = False
    for entry in spec.get("User_List", []):
        fits = (
            entry.get("username") in (name, "ALL")
            or entry.get("userid") == uid
            or entry.get("usergroup") in groups
            or str(entry.get("usergid", "")) in gids
        )
        if fits:
            found = not entry.get("negated")
    return found


def _is_here(spec: Spec) -> bool:
    """Whether a specification holds on this host; an address is taken as this host's."""
    own = os.uname().nodename
    names = {own, own.partition(".")[0]}
    hosts = spec.get("Host_List", [])
    return not hosts or any(
        not entry.get("negated")
        and (
            "hostname" not in entry
            or entry["hostname"] == "ALL"
            or any(fnmatch.fnmatch(name, str(entry["hostname"])) for name in names)
        )
        for entry in hosts
    )


def _as_root(command_spec: dict[str, Any]) -> bool:
    users = command_spec.get("runasusers")
    if users is None:  # root is who sudo runs as; only a group in brackets means oneself
        return "runasgroups" not in command_spec
    return any(
        not entry.get("negated") and (entry.get("username") in ("ALL", "root") or entry.get("userid") == 0)
        for entry in users
    )


def is_admin(specs: Iterable[Spec], name: str, uid: int, groups: set[str], gids: set[str]) -> bool:
    """Whether an account may run every command as root; the last rule on ``ALL`` counts.

    Args:
        specs: from `parse`.
        name: login name.
        uid: user id.
        groups: names of all its groups.
        gids: their ids, as text.
    """
    admin = False
    for spec in specs:
        if not _is_here(spec) or not _is_for(spec, name, uid, groups, gids):
            continue
        for command_spec in filter(_as_root, spec.get("Cmnd_Specs", [])):
            for entry in command_spec["Commands"]:
                if entry.get("command") == "ALL":
                    admin = not entry.get("negated")
    return admin


def our_text(rules: dict[str, list[str]]) -> str:
    """The content of our file below sudoers.d.

    Args:
        rules: account -> its rules.
    """
    return HEADER + "".join("%s %s\n" % (name, rule) for name in sorted(rules) for rule in rules[name])


def our_rules(text: str) -> dict[str, list[str]]:
    """The rules that stand in our file, by account."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, _, rule = line.partition(" ")
            found.setdefault(name, []).append(rule)
    return found
