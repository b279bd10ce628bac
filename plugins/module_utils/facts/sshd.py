# SPDX-License-Identifier: GPL-3.0-or-later
"""Effective settings of the SSH server: for everybody, for each kind of connection that its configuration tells apart,
and its keys and files."""

from __future__ import annotations

import os
import re
import shlex
import stat
from typing import Any

from .files import group_name, owner_name
from .host import Host, Settings, number_or_text
from .sshd_match import MAIN, Connection, Login, blocks, connections, files_read, logins, probes

WITHOUT_FOLDER = 'mount -t tmpfs none /run && mkdir /run/sshd && exec /usr/sbin/sshd "$@"'
"""Where sshd does not run, the folder that it asks for is not there. This process alone sees one, unshare(1)."""

LISTENER = re.compile(r"sshd: \S*sshd(?P<options>.*?) ?\[listener\]")
"""What the server calls itself in the list of processes: its options stand there, and outweigh its files."""

COMMA_LISTS = (
    "ciphers",
    "macs",
    "kexalgorithms",
    "hostkeyalgorithms",
    "pubkeyacceptedalgorithms",
    "casignaturealgorithms",
)
REPEATED = ("allowgroups", "allowusers", "denygroups", "denyusers", "channeltimeout", "hostkey", "acceptenv")
"""Keywords whose values are lists, however many they are."""

SECRETS = "/var/lib/kijun/second_factor"
"""Where secrets of second factors are kept, one file each account (role ssh)."""

NOBODY = "-"
"""Stands for no group at all."""


def sshd(host: Host, keys: set[str]) -> dict[str, Any]:
    """Read ``sshd -T``, sshd(8): what the server would really use, its drop-ins and defaults included."""
    values = Settings()
    if os.path.exists(host.path("/usr/sbin/sshd")):
        for key, value in _lines(_ask(host, _started_with(host))):
            values.add(key, value)
    return values


def sshd_for(host: Host, keys: set[str]) -> dict[str, Any]:
    """Ask ``sshd -T -C`` for one connection of each kind that the Match blocks tell apart, sshd_config(5).

    Args:
        host: the host.
        keys: groups with colons between; a hyphen for none.
    """
    named = {key: set() if key == NOBODY else set(key.split(":")) for key in keys}
    found: dict[str, Any] = {}
    known = logins(host)
    seen: list[tuple[Connection, Settings]] = []
    if os.path.exists(host.path("/usr/sbin/sshd")):
        options = _started_with(host)
        for connection in connections(blocks(host), known, set().union(*named.values())):
            seen.append((connection, _settings(_ask(host, options, "-C", connection.specification()))))
    keywords = {keyword for _, settings in seen for keyword in settings}
    for key, groups in named.items():
        inside = [(c, settings) for c, settings in seen if c.login.groups & groups]
        outside = [(c, settings) for c, settings in seen if not c.login.groups & groups]
        members = [login for login in known if login.groups & groups]
        found[key] = {
            "members": _by_keyword(inside, keywords),
            "others": _by_keyword(outside, keywords),
            "not_enrolled": sorted(login.name for login in members if not enrolled(host, login)),
            "open_secrets": open_secrets(host),
        }
    return found


def sshd_from(host: Host, keys: set[str]) -> dict[str, Any]:
    """Ask ``sshd -T -C`` whether addresses in and beside networks are refused whoever comes.

    Args:
        host: the host.
        keys: networks with commas between.
    """
    found: dict[str, Any] = {}
    for key in keys:
        found[key] = {"let_in": [], "shut_out": []}
        if not os.path.exists(host.path("/usr/sbin/sshd")):
            continue
        options = _started_with(host)
        for address, inside in probes(key.split(",")):
            connection = Connection(Login("nobody", frozenset()), address)
            settings = _settings(_ask(host, options, "-C", connection.specification()))
            refused = "*" in (settings["denyusers"] or [])
            if refused == inside:
                found[key]["shut_out" if inside else "let_in"].append(address)
    return found


def ssh_host(host: Host, keys: set[str]) -> dict[str, Any]:
    """Read which keys the server proves itself with, and who else can read or write them or its configuration."""
    types: dict[str, str] = {}
    bits: dict[str, int] = {}
    paths = sshd(host, set())["hostkey"] or []
    for path in [paths] if isinstance(paths, str) else paths:
        if os.path.exists(host.path(path)):
            size, kind = key_of(host, path)
            types[path] = kind
            if kind == "rsa":
                bits[path] = size
    return {"key_types": types, "rsa_bits": bits, "open_files": _open_files(host, list(types))}


def key_of(host: Host, path: str) -> tuple[int, str]:
    """Bits and type (rsa, dsa, ecdsa, ed25519) of a key file, ssh-keygen(1).

    Raises:
        OSError: it holds no key.
    """
    said = host.run("ssh-keygen", "-l", "-f", host.path(path)).strip()
    match = re.fullmatch(r"(\d+) .*\((\S+)\)", said)
    if match is None:
        raise OSError("ssh-keygen -l -f %s: %r" % (path, said))
    return int(match.group(1)), match.group(2).lower()


def _started_with(host: Host) -> list[str]:
    """The options that the running server was started with and that can change its settings."""
    if host.root != "/":
        return []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/cmdline" % pid, "rb") as file:
                match = LISTENER.match(file.read(4096).decode("utf-8", "replace"))
        except OSError:
            continue
        if match and os.path.exists("/proc/%s/ns/net" % pid) and _same_network(pid):
            return [word for word in shlex.split(match.group("options")) if word not in ("-D", "-e", "-q")]
    return []


def _same_network(pid: str) -> bool:
    """Whether a process is of this host, and not of a container on it."""
    try:
        return os.readlink("/proc/%s/ns/pid" % pid) == os.readlink("/proc/self/ns/pid")
    except OSError:
        return False


def _ask(host: Host, *arguments: Any) -> str:
    """What sshd in its extended test mode says."""
    words = ["-T"]
    for argument in arguments:
        words += argument if isinstance(argument, list) else [argument]
    if os.path.isdir(host.path("/run/sshd")):
        return host.run("/usr/sbin/sshd", *words)
    return host.run("unshare", "--mount", "sh", "-c", WITHOUT_FOLDER, "sshd", *words)


def _lines(text: str) -> list[tuple[str, str]]:
    return [(key, value) for key, _, value in (line.partition(" ") for line in text.splitlines())]


def _settings(text: str) -> Settings:
    """Settings with lists where a keyword takes some, and numbers where it takes one."""
    values = Settings()
    for key, value in _lines(text):
        if key in COMMA_LISTS:
            values[key] = value.split(",")
        elif key in REPEATED:
            values[key] = (values[key] or []) + ([] if value == "none" else value.split())
        else:
            values.add(key, number_or_text(value))
    return values


def _by_keyword(seen: list[tuple[Connection, Settings]], keywords: set[str]) -> Settings:
    """Keyword -> connection -> value, so that a verdict names the connection."""
    empty: dict[str, Any] = {str(connection): None for connection, _ in seen}
    values = _Absent(empty)
    for keyword in keywords:
        values[keyword] = {str(connection): settings[keyword] for connection, settings in seen}
    return values


class _Absent(Settings):
    """Settings of several connections; one that none has is None for each."""

    def __init__(self, empty: dict[str, Any]) -> None:
        super().__init__()
        self._empty = empty

    def __missing__(self, key: str) -> Any:
        return self._empty


def enrolled(host: Host, login: Login) -> bool:
    """Whether an account has a secret of a second factor."""
    return os.path.isfile(host.path("%s/%s" % (SECRETS, login.name)))


def open_secrets(host: Host) -> list[str]:
    """Secrets of second factors, and their folder, that others than root can read, with owner and mode."""
    folder = host.path(SECRETS)
    if not os.path.isdir(folder):
        return []
    paths = [SECRETS] + ["%s/%s" % (SECRETS, name) for name in sorted(os.listdir(folder))]
    return [told for told in (_complaint(host, path, 0o077) for path in paths) if told]


def _open_files(host: Host, private: list[str]) -> list[str]:
    """Files of the server that others than root can read or write, where they should not."""
    told = [_complaint(host, path, 0o177) for path in files_read(host)]
    for path in private:
        told.append(_complaint(host, path, 0o177))
        if os.path.exists(host.path(path + ".pub")):
            told.append(_complaint(host, path + ".pub", 0o133))
    told += [_complaint(host, folder, 0o022) for folder in {os.path.dirname(MAIN), MAIN + ".d"}]
    return sorted(filter(None, told))


def _complaint(host: Host, path: str, forbidden: int) -> str:
    """What is wrong with the owner and mode of a file; empty when nothing is, or there is none."""
    try:
        info = os.stat(host.path(path))
    except FileNotFoundError:
        return ""
    owner, group, mode = owner_name(info.st_uid), group_name(info.st_gid), stat.S_IMODE(info.st_mode)
    if owner == "root" and group == "ssh_keys" and mode in (0o600, 0o640):  # as other distributions have it
        return ""
    if owner == "root" and group == "root" and not mode & forbidden:
        return ""
    return "%s: %s:%s %04o" % (path, owner, group, mode)
