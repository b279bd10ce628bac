# SPDX-License-Identifier: GPL-3.0-or-later
"""What sudo(8) and su(1) do, and for whom."""

from __future__ import annotations

import glob
import json
import os
import pwd
import re
import stat
import subprocess
from typing import Any

from ..host_accounts import sudo as rules
from ..host_accounts.state import read_databases
from ..verdict import Unreadable
from . import pam_stack
from .host import PATH, TIMEOUT, Host, Settings, number_or_text
from .pam import RIGHT_PASSWORD

BUILT_IN: dict[str, Any] = {
    "authenticate": True,
    "compress_io": True,
    "env_reset": True,
    "ignore_iolog_errors": False,
    "iolog_dir": "/var/log/sudo-io",
    "iolog_file": "%{seq}",
    "iolog_group": "root",
    "iolog_mode": "0600",
    "iolog_user": "root",
    "log_allowed": True,
    "log_denied": True,
    "log_input": False,
    "log_output": False,
    "log_passwords": True,
    "maxseq": 2176782336,
    "passwd_tries": 3,
    "rootpw": False,
    "runaspw": False,
    "setenv": False,
    "syslog": "authpriv",
    "targetpw": False,
    "timestamp_timeout": 15,
    "timestamp_type": "tty",
    "use_pty": False,
    "visiblepw": False,
}
"""What holds where no Defaults line says otherwise, sudoers(5); use_pty as Debian 12 has it."""

SAFE = {
    "env_reset": True,
    "log_allowed": True,
    "log_denied": True,
    "log_output": True,
    "rootpw": False,
    "runaspw": False,
    "setenv": False,
    "targetpw": False,
    "use_pty": True,
    "visiblepw": False,
}
"""Option -> its safe value."""

BINDINGS = {"username": "", "userid": "#", "usergroup": "%", "usergid": "%#", "command": "", "hostname": "@"}
"""Kind of whom a Defaults line is for, as cvtsudoers names it -> how it is shown."""

SHELLS = re.compile(r"(/usr)?/bin/(ba|da|z|k|c|tc|fi)?sh|(/usr)?/bin/su")

Json = dict[str, Any]


def _parsed(host: Host) -> tuple[Json | None, list[str]]:
    """What cvtsudoers makes of sudoers, None when it gives up; and what it complains of."""
    done = subprocess.run(
        ["cvtsudoers", "-e", "-f", "json", host.path(rules.SUDOERS)],
        capture_output=True,
        text=True,
        errors="replace",
        timeout=TIMEOUT,
        stdin=subprocess.DEVNULL,
        check=False,
        env={"PATH": PATH, "LC_ALL": "C"},
    )
    said = re.findall(r"^(?:cvtsudoers: )?(/[^:\n]+:[0-9]+)(?::[0-9]+)?: (.*)$", done.stderr, re.MULTILINE)
    complaints = list(dict.fromkeys("%s %s" % entry for entry in said))
    if done.returncode:
        return None, complaints or [done.stderr.strip() or "exit status %d" % done.returncode]
    return json.loads(done.stdout or "{}"), complaints


def _bound(entry: Json) -> str:
    for kind, prefix in BINDINGS.items():
        if kind in entry:
            return ("!" if entry.get("negated") else "") + prefix + str(entry[kind])
    return str(next(iter(entry.values()), ""))


def _defaults(parsed: Json) -> tuple[Settings, list[tuple[list[str], str, Any]]]:
    """The options for everybody, and those for some: whom they are for, the option and its value.

    Lines for users, hosts and everybody take effect in the order in which they stand, so that a later one for
    everybody takes the place of an earlier one for some; those for commands and target users come after all of them,
    sudoers(5). cvtsudoers does not say whether a name is a target user's, so those for names are kept.
    """
    everybody, some = Settings(BUILT_IN), []
    for entry in parsed.get("Defaults", []):
        whom = [_bound(binding) for binding in entry.get("Binding", [])]
        for option in entry["Options"]:
            for name, given in option.items():
                if name == "operation" or "operation" in option:
                    continue  # lists, such as env_keep += "..."
                value = (
                    number_or_text(given) if isinstance(given, str) and name not in ("iolog_mode", "umask") else given
                )
                if whom:
                    some.append((whom, name, value))
                else:
                    everybody[name] = value
    return everybody, some


def _shown(name: str, value: Any) -> str:
    return ("" if value else "!") + name if isinstance(value, bool) else "%s=%s" % (name, value)


def _is_weaker(name: str, value: Any, everybody: Settings) -> bool:
    if name in SAFE:
        return value is not SAFE[name] and everybody[name] is SAFE[name]
    if name == "passwd_tries":
        return isinstance(value, int) and value > everybody[name]
    if name == "timestamp_timeout":
        return isinstance(value, int) and (value < 0 or value > everybody[name])
    return name in ("secure_path", "exempt_group", "iolog_dir", "logfile") and value != everybody[name]


def _passwordless(specs: list[Json], everybody: Settings, some: list[tuple[list[str], str, Any]]) -> dict[str, Any]:
    """Who is asked for no password, and by which rule."""
    found: dict[str, list[str]] = {}
    if everybody["authenticate"] is False:
        found.setdefault("ALL", []).append("Defaults !authenticate")
    if everybody["exempt_group"]:
        found.setdefault("%%%s" % everybody["exempt_group"], []).append("Defaults exempt_group")
    for whom, name, value in some:
        if name == "authenticate" and value is False:
            for one in whom:
                found.setdefault(one, []).append("Defaults !authenticate")
    for spec in specs:
        unasked = [entry for entry in spec.get("Cmnd_Specs", []) if {"authenticate": False} in entry.get("Options", [])]
        if unasked:
            for user in rules.users_of(spec):
                found.setdefault(user, []).append(rules.rule_text({**spec, "Cmnd_Specs": unasked}))
    found.pop("root", None)
    return found


def _shells(specs: list[Json], administrators: list[str]) -> dict[str, Any]:
    """Who may start a shell as root without having the right to everything in so many words."""
    found: dict[str, list[str]] = {}
    for spec in specs:
        commands = [entry for part in spec.get("Cmnd_Specs", []) for entry in part["Commands"]]
        if any(SHELLS.fullmatch(str(entry.get("command", "")).split(" ")[0]) for entry in commands):
            for user in rules.users_of(spec):
                if user not in administrators:
                    found.setdefault(user, []).append(rules.rule_text(spec))
    return found


def _administrators(host: Host, specs: list[Json]) -> list[str]:
    table = read_databases(host)
    groups = table.all_groups()
    gid_of = {row[0]: row[2] for row in table.group.records()}
    names = []
    for row in table.passwd.records():
        own = groups.get(row[0], set())
        gids = {gid_of[group] for group in own if group in gid_of} | {row[3]}
        if row[2].isdigit() and rules.is_admin(specs, row[0], int(row[2]), own, gids):
            names.append(row[0])
    return names


def _open_files(host: Host) -> list[str]:
    found = []
    for path in [host.path(rules.SUDOERS), *sorted(glob.glob(host.path("/etc/sudoers.d/*")))]:
        try:
            info = os.stat(path)
        except OSError:
            continue
        mode = stat.S_IMODE(info.st_mode)
        if info.st_uid or mode & (0o027 if info.st_gid else 0o007) or mode & 0o020:
            try:
                owner = pwd.getpwuid(info.st_uid).pw_name
            except KeyError:
                owner = str(info.st_uid)
            found.append("%s: %s, %04o" % (path, owner, mode))
    return found


def sudo(host: Host, keys: set[str]) -> dict[str, Any]:
    """Read sudoers once."""
    facts: dict[str, Any] = {"malformed": [], "open_files": _open_files(host)}
    if not os.path.exists(host.path(rules.SUDOERS)):
        nothing: dict[str, Any] = {"defaults": Settings(), "weakened": [], "passwordless": {}}
        return {**facts, **nothing, "administrators": ["root"], "su_alike": {}}
    parsed, facts["malformed"] = _parsed(host)
    if parsed is None:
        broken = Unreadable("cvtsudoers: " + "; ".join(facts["malformed"]))
        return {
            **facts,
            **dict.fromkeys(("defaults", "weakened", "passwordless", "administrators", "su_alike"), broken),
        }
    specs: list[Json] = parsed.get("User_Specs", [])
    everybody, some = _defaults(parsed)
    administrators = _administrators(host, specs)
    return {
        **facts,
        "defaults": everybody,
        "weakened": [
            "%s: %s" % (one, _shown(name, value))
            for whom, name, value in some
            if _is_weaker(name, value, everybody)
            for one in whom
        ],
        "passwordless": _passwordless(specs, everybody, some),
        "administrators": administrators,
        "su_alike": _shells(specs, administrators),
    }


def su(host: Host, keys: set[str]) -> dict[str, Any]:
    """Read the PAM stacks of su and ``su -``; the laxer of the two counts."""
    reader = pam_stack.Reader(host)
    stacks = [reader.stack(service, "auth") for service in ("su", "su-l")]
    steps = [step for stack in stacks for step in pam_stack.flat(stack) if step.module == "pam_wheel.so"]
    groups = [
        next((a.partition("=")[2] for a in step.arguments if a.startswith("group=")), "wheel")
        for step in steps
        if not {"deny", "trust", "root_only"} & set(step.arguments)
    ]
    group = groups[0] if groups and len(set(groups)) == 1 else None
    members = None
    if group is not None:
        table = read_databases(host)
        row = table.group.by_name.get(group)
        if row is not None:
            primary = [account[0] for account in table.passwd.records() if account[3] == row[2]]
            members = sorted({name for name in row[3].split(",") if name} | set(primary))
    return {
        "open": any(pam_stack.decide(stack, RIGHT_PASSWORD).granted for stack in stacks),
        "group": group,
        "members": members,
        "root": all("pam_rootok.so" in [step.module for step in pam_stack.flat(stack)] for stack in stacks),
    }
