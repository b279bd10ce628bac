# SPDX-License-Identifier: GPL-3.0-or-later
"""What a role's variables may be, held against what an operator set."""

from __future__ import annotations

import datetime
import difflib
import ipaddress
import os
import re
from collections.abc import Callable
from typing import Any

from ..module_utils.logs.rules import KINDS as LOG_KINDS
from ..module_utils.logs.rules import Rules
from .report_store import is_place
from .role_files import roles_with, written

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]*\$?")
"""A login name or a host's name or address; nothing that a configuration file would read as something else."""


ACCOUNT = r"[a-z_][a-z0-9_.-]{0,30}\$?"
"""A login name, or a group's, as sudoers(5) takes it without quotes."""

ABSOLUTE = r"(?:/[A-Za-z0-9*_.:+-]+)+"
"""An absolute path; ``*`` stands for any characters."""

MAIL_ADDRESS = r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9][A-Za-z0-9.-]{0,252}"
"""A mail address; nothing that would be read as a header of its own."""

PATTERN = re.compile(r"[A-Za-z0-9*][A-Za-z0-9@_.:+*\\-]*")
"""Names of packages, units or programs, in which ``*`` stands for anything."""


PACKAGE = re.compile(r"[a-z0-9*][a-z0-9+.*-]*")
"""Names of Debian packages, in which ``*`` stands for anything."""

ORIGIN_KEYS = frozenset(
    ("o", "origin", "l", "label", "a", "suite", "archive", "c", "component", "n", "codename", "site")
)
"""Words of unattended-upgrades' origin patterns."""

ORIGIN_VALUE = re.compile(r"(?:[A-Za-z0-9 ._+*:/@-]|\$\{distro_(?:id|codename)\})+")
"""What may stand behind them; nothing that apt.conf(5) would read as something else."""


class Unresolved:
    """Stands for the value of a variable whose template fails; within no limit.

    Args:
        reason: why it fails.
    """

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def __repr__(self) -> str:
        return "a template that fails (%s)" % self._reason


class NoLimits(ValueError):
    """There is no such role; the text says which there are."""


def role_limits(role: str) -> dict[str, Any]:
    """What a role's variables may be, as its limits.yml has it: templates are not filled in.

    Args:
        role: its name, without the collection.

    Returns:
        Variable -> its limit. Nobody may change it.

    Raises:
        NoLimits: there is no such role.
    """
    try:
        limits: dict[str, Any] = written(role, "limits.yml")
    except FileNotFoundError:
        raise NoLimits("%r is no role with limits; known: %s" % (role, ", ".join(roles_with("limits.yml")))) from None
    return limits


def _whole(value: Any) -> bool:
    return not isinstance(value, bool) and (isinstance(value, int) or re.fullmatch(r"-?[0-9]+", str(value)) is not None)


def _fraction(value: Any) -> bool:
    return _whole(value) or isinstance(value, float) or re.fullmatch(r"[0-9]*\.[0-9]+", str(value)) is not None


def _network(value: Any) -> bool:
    try:
        ipaddress.ip_network(str(value))
    except ValueError:
        return False
    return True


def _source(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and isinstance(value.get("name"), str)
        and NAME.fullmatch(value["name"]) is not None
        and isinstance(value.get("nts", False), bool)
        and not value.keys() - {"name", "nts"}
    )


def _texts(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(name, str) and isinstance(text, str) and text.strip() and "\n" not in text
        for name, text in value.items()
    )


def _departments(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(name, str) and isinstance(about, dict) and set(about) == {"manager"} and about["manager"]
        for name, about in value.items()
    )


def _reasons(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(entry, dict)
        and set(entry) == {"name", "reason"}
        and all(isinstance(v, str) and v.strip() for v in entry.values())
        for entry in value
    )


def _named(value: Any, name: str) -> bool:
    """Whether it is a list of names with reasons, each name of that form."""
    return _reasons(value) and all(re.fullmatch(name, entry["name"]) for entry in value)


def _sysctls(value: Any) -> bool:
    """Whether it holds names and values as a line of sysctl.d(5) has them."""
    return isinstance(value, dict) and all(
        re.fullmatch(r"[a-z][a-z0-9_-]*([./][A-Za-z0-9_*:@-]+)+", str(name)) is not None
        and not isinstance(setting, bool)
        and re.fullmatch(r"[!-~]+( [!-~]+)*", str(setting)) is not None
        for name, setting in value.items()
    )


def _address(value: Any) -> bool:
    try:
        ipaddress.ip_address(str(value))
    except ValueError:
        return False
    return True


def _listener(value: Any) -> bool:
    if not isinstance(value, dict) or set(value) - {"protocol", "port", "program", "addresses"}:
        return False
    port, program, addresses = value.get("port"), value.get("program"), value.get("addresses", "any")
    return (
        value.get("protocol") in ("tcp", "udp")
        and (port == "any" or (_whole(port) and 1 <= int(str(port)) <= 65535))
        and isinstance(program, str)
        and PATTERN.fullmatch(program) is not None
        and (addresses in ("any", "loopback") or (isinstance(addresses, list) and all(map(_address, addresses))))
    )


def _port(value: Any) -> bool:
    """Whether it is a port, or a range of ports such as 6000-6010."""
    ends = [int(end) for end in str(value).split("-")] if re.fullmatch(r"[0-9]{1,5}(-[0-9]{1,5})?", str(value)) else []
    return (
        not isinstance(value, bool) and bool(ends) and 1 <= ends[0] <= ends[-1] <= 65535 and len(set(ends)) == len(ends)
    )


def _ports(value: Any) -> bool:
    return isinstance(value, list) and all(map(_port, value))


def _openings(value: Any, towards: str, optional: set[str]) -> bool:
    """Whether it is a list of services that a packet filter lets through, each with a name of its own."""
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        return False
    names = [entry.get("name") for entry in value]
    return len(set(map(str, names))) == len(names) and all(
        set(entry) <= {"name", "protocol", "ports", towards} | optional
        and re.fullmatch(r"[a-z][a-z0-9_]{0,19}", str(entry.get("name"))) is not None
        and entry.get("protocol") in ("tcp", "udp")
        and _ports(entry.get("ports"))
        and bool(entry["ports"])
        and (towards not in entry or (_networks(entry[towards]) and bool(entry[towards])))
        and ("limit" not in entry or (_whole(entry["limit"]) and 1 <= int(entry["limit"]) <= 100000))
        for entry in value
    )


def _networks(value: Any) -> bool:
    return isinstance(value, list) and all(map(_network, value))


def _origin(value: Any) -> bool:
    """Whether it names package sources as unattended-upgrades does, and not simply all of them."""
    words = [word.partition("=") for word in value.split(",")] if isinstance(value, str) else []
    return all(key in ORIGIN_KEYS and ORIGIN_VALUE.fullmatch(text) for key, _, text in words) and any(
        re.search(r"[A-Za-z0-9]", text) and key not in ("c", "component") for key, _, text in words
    )


def _time_of_day(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"(?:[01][0-9]|2[0-3]):[0-5][0-9]", value) is not None


def _day(value: Any) -> bool:
    """Whether it is a day as ISO 8601 writes it, or nothing."""
    if value == "":
        return True
    try:
        return isinstance(value, str) and datetime.date.fromisoformat(value).isoformat() == value
    except ValueError:
        return False


def _log_file(value: Any) -> bool:
    """Whether it says which file is forwarded as what."""
    return (
        isinstance(value, dict)
        and {"path", "kind"} <= set(value) <= {"path", "kind", "tag"}
        and re.fullmatch(ABSOLUTE, str(value["path"])) is not None
        and value["kind"] in LOG_KINDS
        and re.fullmatch(r"[A-Za-z0-9_.-]{1,32}", str(value.get("tag", "-"))) is not None
    )


def wrong_log_rules(value: Any) -> str:
    """What is wrong with rules of log review; nothing when they are as they must be.

    Args:
        value: the variable's value.
    """
    try:
        Rules(value if isinstance(value, list) else [value])
    except ValueError as error:
        return str(error)
    return ""


FILE_KINDS = ("create", "read", "write", "move", "delete")
"""What happens to files."""


def _watched_tree(value: Any) -> bool:
    """Whether it says of a directory what is recorded there."""
    return (
        isinstance(value, dict)
        and set(value) == {"path", "kinds"}
        and re.fullmatch(r"(?:/[A-Za-z0-9_.:+@-]+)+", str(value["path"])) is not None
        and not {".", ".."} & set(str(value["path"]).split("/"))
        and isinstance(value["kinds"], list)
        and bool(value["kinds"])
        and all(kind in FILE_KINDS for kind in value["kinds"])
    )


def _watched_trees(value: Any) -> bool:
    """Whether it is a list of such directories, each once and with each kind once."""
    return (
        isinstance(value, list)
        and all(map(_watched_tree, value))
        and len({tree["path"] for tree in value}) == len(value)
        and all(len(set(tree["kinds"])) == len(tree["kinds"]) for tree in value)
    )


def _calendar(value: Any) -> bool:
    """Whether it says of tags when they are due, as systemd.time(7) has it."""
    return isinstance(value, dict) and all(
        re.fullmatch(r"[a-z][a-z0-9-]{0,30}", str(tag)) and re.fullmatch(r"[A-Za-z0-9*:.,/ -]+", str(when))
        for tag, when in value.items()
    )


def _backup_class(value: Any) -> bool:
    """Whether it says what is backed up, and how."""
    if not isinstance(value, dict) or set(value) - {
        *("name", "method", "paths", "exclude", "if_present", "schedule", "one_file_system")
    }:
        return False
    paths, exclude = value.get("paths", []), value.get("exclude", [])
    return (
        re.fullmatch(r"[a-z][a-z0-9-]{0,30}", str(value.get("name"))) is not None
        and value.get("method") in ("files", "postgresql", "mariadb")
        and isinstance(paths, list)
        and bool(paths) == (value["method"] == "files")
        and all(isinstance(path, str) and path.startswith("/") and path.isprintable() for path in paths)
        and isinstance(exclude, list)
        and all(isinstance(path, str) and path.isprintable() for path in exclude)
        and str(value.get("if_present", "/")).startswith("/")
        and _calendar(value.get("schedule", {}))
        and isinstance(value.get("one_file_system", False), bool)
    )


def _backup_classes(value: Any) -> bool:
    return (
        isinstance(value, list)
        and all(map(_backup_class, value))
        and len({entry["name"] for entry in value}) == len(value)
    )


KEPT_DAYS = {"full": 90, "incremental": 30, "differential": 7, "before-change": 90, "after-change": 90}
"""Days that snapshots are kept at least, by tag (SO-5.2-*-retention)."""


def _retention(value: Any) -> bool:
    """Whether it says how long snapshots are kept, and none shorter than the policy has it."""
    return isinstance(value, dict) and all(
        re.fullmatch(r"[a-z][a-z0-9-]{0,30}", str(tag)) and _whole(days) and KEPT_DAYS.get(tag, 1) <= int(days) <= 36500
        for tag, days in value.items()
    )


def _backup_copy(value: Any) -> bool:
    """Whether it is nothing, or says where the second copy is kept."""
    wanted = {"sftp": {"host", "user", "host_key", "path"}, "s3": {"endpoint", "access_key_id", "path"}}
    if value == {}:
        return True
    if not isinstance(value, dict) or value.get("type") not in wanted:
        return False
    needed = wanted[value["type"]] | {"type"}
    return needed <= set(value) <= needed | {"port", "region"} and all(
        re.fullmatch(r"[!-~]+( [!-~]+)*", str(text)) for text in value.values()
    )


def _definitions(value: Any) -> bool:
    """Whether it is files of malware definitions, by names that hosts take, none of them empty."""
    return isinstance(value, dict) and all(
        re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,40}\.(?:hdb|hsb|ndb|ldb|ign2|yar|cdb|fp|sfp)", str(name))
        and isinstance(content, str)
        and content.strip()
        for name, content in value.items()
    )


RECIPIENT = r"age1[0-9a-z]{58}|ssh-(?:ed25519|rsa) [A-Za-z0-9+/=]+(?: [!-~]+)?"
"""A public key that age(1) encrypts for."""

USB_INTERFACE = r"[0-9a-f]{2}:(?:[0-9a-f]{2}|\*):(?:[0-9a-f]{2}|\*)"
"""As usbguard-rules.conf(5) has it; the class is said, or any storage would be taken."""

TYPES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "int": ("a whole number", _whole),
    "float": ("a number", _fraction),
    "bool": ("true or false", lambda v: isinstance(v, bool) or str(v).lower() in ("true", "false", "yes", "no")),
    "str": ("a text", lambda v: isinstance(v, str)),
    "list": ("a list", lambda v: isinstance(v, list)),
    "dict": ("a dictionary", lambda v: isinstance(v, dict)),
    "usb_interfaces": (
        "a list of kinds of interfaces such as [03:*:*]: class, subclass and protocol, two hexadecimal digits or *",
        lambda v: isinstance(v, list) and all(re.fullmatch(USB_INTERFACE, str(one)) for one in v),
    ),
    "names": (
        "a list of names",
        lambda v: isinstance(v, list) and all(isinstance(name, str) and NAME.fullmatch(name) for name in v),
    ),
    "people": (
        "a list of people's names",
        lambda v: isinstance(v, list) and all(isinstance(name, str) and name.strip() for name in v),
    ),
    "month": (
        "a month such as 2026-11, or empty",
        lambda v: isinstance(v, str) and re.fullmatch(r"(?:[0-9]{4}-(?:0[1-9]|1[0-2]))?", v) is not None,
    ),
    "inspection": (
        "empty, or who inspected and how it ended, such as {by: manager1, outcome: accepted, note: ..., orders: [...]}",
        lambda v: (
            isinstance(v, dict) and (not v or {"by", "outcome"} <= v.keys() <= {"by", "outcome", "note", "orders"})
        ),
    ),
    "sources": (
        "a list of time sources such as {name: time.example.com, nts: true}",
        lambda v: isinstance(v, list) and all(map(_source, v)),
    ),
    "texts": ("a dictionary of names and one-line texts", _texts),
    "definitions": (
        "a dictionary of files of malware definitions, such as {kijun.hdb: CONTENT}, none empty",
        _definitions,
    ),
    "departments": ("a dictionary such as {sales: {manager: NAME}}", _departments),
    "reasons": ("a list such as [{name: deploy, reason: the automation account}]", _reasons),
    "account": ("a login name or a group's", lambda v: isinstance(v, str) and re.fullmatch(ACCOUNT, v) is not None),
    "account_reasons": (
        "a list such as [{name: deploy, reason: the automation account}], of accounts, and of groups as %group",
        lambda v: _named(v, "%?" + ACCOUNT),
    ),
    "path_reasons": (
        "a list such as [{name: /usr/bin/make, reason: the developers build here}], of absolute paths",
        lambda v: _named(v, ABSOLUTE),
    ),
    "size": (
        "a size such as 2G, or a share of the memory such as 50%",
        lambda v: re.fullmatch(r"[1-9][0-9]*[kKmMgG]|[1-9][0-9]?%", str(v)) is not None,
    ),
    "paths": (
        "a list of absolute paths",
        lambda v: (
            isinstance(v, list) and all(isinstance(p, str) and re.fullmatch(r"(?:/[A-Za-z0-9_.:+@-]+)+", p) for p in v)
        ),
    ),
    "path_patterns": (
        "a list of absolute paths, in which * stands for anything",
        lambda v: isinstance(v, list) and all(isinstance(p, str) and re.fullmatch(ABSOLUTE, p) for p in v),
    ),
    "utilities": (
        "a list of classes (compilers, debuggers, network, mounting, system) and absolute paths",
        lambda v: (
            isinstance(v, list)
            and all(re.fullmatch("compilers|debuggers|network|mounting|system|" + ABSOLUTE, str(name)) for name in v)
        ),
    ),
    "sysctls": (
        "a dictionary of kernel settings such as {vm.swappiness: 10}, each a number or a text",
        _sysctls,
    ),
    "name": ("a name", lambda v: isinstance(v, str) and NAME.fullmatch(v) is not None),
    "grub_hash": (
        "empty, or a hash such as grub-mkpasswd-pbkdf2 makes (grub.pbkdf2.sha512....)",
        lambda v: v == "" or re.fullmatch(r"grub\.pbkdf2\.sha512\.[0-9]+\.[0-9A-F]+\.[0-9A-F]+", str(v)) is not None,
    ),
    "patterns": (
        "a list of names, in which * stands for anything",
        lambda v: isinstance(v, list) and all(isinstance(name, str) and PATTERN.fullmatch(name) for name in v),
    ),
    "listeners": (
        "a list of sockets such as {protocol: tcp, port: 443, program: nginx, addresses: any} "
        "(protocol tcp or udp; port a number or any; addresses any, loopback or a list)",
        lambda v: isinstance(v, list) and all(map(_listener, v)),
    ),
    "packages": (
        "a list of packages, in whose names * stands for anything",
        lambda v: isinstance(v, list) and all(isinstance(name, str) and PACKAGE.fullmatch(name) for name in v),
    ),
    "origins": (
        "a list of package sources such as origin=Example,label=Staged",
        lambda v: isinstance(v, list) and all(map(_origin, v)),
    ),
    "time": ("a time of day such as 14:00, in quotes", _time_of_day),
    "day": ("a day such as 2026-11-20, in quotes, or empty", _day),
    "banner": (
        "a text without backslashes, which getty(8) fills in with what the system is",
        lambda v: isinstance(v, str) and "\\" not in v and v.replace("\n", "").isprintable(),
    ),
    "log_files": (
        "a list of files such as {path: /var/log/nginx/access.log, kind: access, tag: nginx}, in which tag may be left "
        "out, and kind is one of %s" % ", ".join(LOG_KINDS),
        lambda v: isinstance(v, list) and all(map(_log_file, v)),
    ),
    "log_rules": (
        "a list of rules as docs/logs.md describes them",
        lambda v: isinstance(v, list) and not wrong_log_rules(v),
    ),
    "watched_trees": (
        "a list of directories such as {path: /srv, kinds: [create, read, write, move, delete]}, each once",
        _watched_trees,
    ),
    "calendar": (
        "a dictionary of tags and times such as {full: Sun *-*-* 04:00}, systemd.time(7)",
        _calendar,
    ),
    "backup_classes": (
        "a list of classes such as {name: source, method: files, paths: [/var/lib/git]}, each name once; method "
        "is files, postgresql or mariadb, and exclude, if_present, schedule and one_file_system may be left out",
        _backup_classes,
    ),
    "retention": (
        "a dictionary of tags and days, no fewer than %s" % ", ".join("%s: %d" % pair for pair in KEPT_DAYS.items()),
        _retention,
    ),
    "retention_classes": (
        "a dictionary of classes and what retention is, such as {logs: {full: 366}}",
        lambda v: isinstance(v, dict) and all(map(_retention, v.values())),
    ),
    "figures": (
        "a dictionary of names and whole numbers",
        lambda v: (
            isinstance(v, dict) and all(NAME.fullmatch(str(n)) and _whole(f) and int(f) > 0 for n, f in v.items())
        ),
    ),
    "backup_copy": (
        "empty, {type: sftp, host: NAME, user: NAME, host_key: ssh-ed25519 AAAA..., path: PATH} or "
        "{type: s3, endpoint: URL, access_key_id: ID, path: BUCKET/FOLDER}",
        _backup_copy,
    ),
    "report_store": (
        "empty, or REMOTE:PATH such as store:kijun/reports",
        lambda v: isinstance(v, str) and (not v or is_place(v)),
    ),
    "recipients": (
        "a list of public keys of age(1) or SSH",
        lambda v: isinstance(v, list) and all(isinstance(r, str) and re.fullmatch(RECIPIENT, r) for r in v),
    ),
    "address": (
        "a mail address such as kijun@example.com",
        lambda v: isinstance(v, str) and re.fullmatch(MAIL_ADDRESS, v) is not None,
    ),
    "addresses": (
        "a list of mail addresses such as security@example.com",
        lambda v: isinstance(v, list) and all(isinstance(a, str) and re.fullmatch(MAIL_ADDRESS, a) for a in v),
    ),
    "networks": ("a list of networks such as 192.0.2.0/24", _networks),
    "ports": ("a list of ports such as 22 or 6000-6010", _ports),
    "openings": (
        "a list of services such as {name: web, protocol: tcp, ports: [443], sources: [192.0.2.0/24], limit: 50}, in "
        "which sources and limit may be left out",
        lambda v: _openings(v, "sources", {"limit"}),
    ),
    "openings_out": (
        "a list of services such as {name: dns, protocol: udp, ports: [53], destinations: [192.0.2.53]}, in which "
        "destinations may be left out",
        lambda v: _openings(v, "destinations", set()),
    ),
}
"""Type of a limit -> how to say it, and what is of it."""


def allowed(limit: dict[str, Any]) -> str:
    """Say in words what a limit allows."""
    if "choices" in limit:
        return "one of %s" % ", ".join(limit["choices"])
    words = TYPES[limit["type"]][0]
    if "min" in limit:
        words += " from %s to %s" % (limit["min"], limit["max"])
    if "of" in limit:
        words += " of %s" % ", ".join(limit["of"])
    return words + (", not empty" if limit.get("nonempty") else "")


def within(value: Any, limit: dict[str, Any]) -> bool:
    """Tell whether a value is what its limit allows.

    Args:
        value: the variable's value.
        limit: ``choices``, or ``type`` with ``min`` and ``max`` for numbers, and ``nonempty`` and ``of`` (what the
            members may be) for lists.
    """
    if "choices" in limit:
        return value in limit["choices"]
    if not TYPES[limit["type"]][1](value):
        return False
    if "min" in limit and not limit["min"] <= float(value) <= limit["max"]:
        return False
    if "of" in limit and not set(value) <= set(limit["of"]):
        return False
    return bool(value) or not limit.get("nonempty")


def shut_out(limits: dict[str, dict[str, Any]], values: dict[str, Any], controller: str | None) -> list[str]:
    """Which variables would shut out the controller that sets them.

    Args:
        limits: variable -> limit; those with ``holds_controller`` count.
        values: variable -> value, within its limit.
        controller: the address that the host sees the controller by; None when it did not come by the network.
    """
    if controller is None:
        return []
    address = ipaddress.ip_address(controller)
    return [
        "%s is %r; it must hold %s, the address that this host sees us come from (clause %s)"
        % (name, values[name], controller, limit["clause"])
        for name, limit in limits.items()
        if limit.get("holds_controller") and not any(address in ipaddress.ip_network(n) for n in values[name])
    ]


def _said(value: Any, limit: dict[str, Any]) -> str:
    """A value that is not what its limit allows; of rules, what is wrong with them instead of all of them.

    Of a secret, that it is not shown: also one of a wrong type is one.
    """
    if limit.get("secret"):
        return "empty" if value in (None, "", [], {}) else "a value that is not shown"
    if limit.get("type") == "log_rules" and isinstance(value, list):
        return "wrong: " + (wrong_log_rules(value) or "empty")
    return repr(value)


def _roles() -> list[str]:
    """The roles of this collection."""
    try:
        return sorted(os.listdir(os.path.join(os.path.dirname(__file__), "..", "..", "roles")))
    except OSError:
        return []


def complaints(role: str, limits: dict[str, dict[str, Any]], values: dict[str, Any], present: list[str]) -> list[str]:
    """What is wrong with the variables of a role.

    Args:
        role: its name.
        limits: variable -> limit.
        values: variable -> value.
        present: names of all variables that the host has.

    Returns:
        One text for each wrong variable: its name, its value, what is allowed, and the clause; and for each variable
        that bears the role's name and that the role does not know, with the one that was perhaps meant.
    """
    wrong = [
        "%s is %s; it must be %s (clause %s)" % (name, _said(values.get(name), limit), allowed(limit), limit["clause"])
        for name, limit in limits.items()
        if not within(values.get(name), limit)
    ]
    # Those of a role whose name begins with this one's are that role's.
    others = tuple("%s_" % other for other in _roles() if other.startswith(role + "_"))
    for name in present:
        if name.startswith(role + "_") and name not in limits and not name.startswith(others):
            meant = difflib.get_close_matches(name, limits, 1)
            hint = "; did you mean %s?" % meant[0] if meant else ""
            wrong.append("%s is not a variable of role %s%s" % (name, role, hint))
    return wrong
