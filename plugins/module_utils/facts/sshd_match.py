# SPDX-License-Identifier: GPL-3.0-or-later
"""Which connections the SSH server tells apart: its Match blocks, and one connection of each kind that they catch.

What it then does with each is asked of sshd itself. Source: sshd_config(5), PATTERNS in ssh_config(5).
"""

from __future__ import annotations

import fnmatch
import glob
import ipaddress
import os
import re
import shlex
from typing import NamedTuple, Union

from .host import Host, lines

MAIN = "/etc/ssh/sshd_config"
DEEPEST = 16
"""Includes within includes that sshd follows."""

MOST = 60
"""Connections that are asked about; a configuration that tells more apart is not judged."""

ANYWHERE = ("192.0.2.1", "198.51.100.1", "203.0.113.1", "2001:db8::1")
"""Addresses that belong to nobody, RFC 5737 and RFC 3849."""

NO_LOGIN = re.compile(r".*/(nologin|false)")

Network = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]


class Login(NamedTuple):
    """Somebody who may come.

    Attributes:
        name: login name.
        groups: names of the groups.
    """

    name: str
    groups: frozenset[str]


class Block(NamedTuple):
    """A Match block.

    Attributes:
        criteria: criterion in small letters -> its patterns, one entry each time that it stands there.
    """

    criteria: list[tuple[str, str]]


class Connection(NamedTuple):
    """A connection, as ``sshd -T -C`` takes it.

    Attributes:
        login: who comes.
        address: from where.
        host: the name of that.
        port: the server's port.
        local: the server's address.
    """

    login: Login
    address: str = ANYWHERE[0]
    host: str = "client.invalid"
    port: str = "22"
    local: str = "127.0.0.1"

    def specification(self) -> str:
        """Its words, sshd(8)."""
        return "user=%s,host=%s,addr=%s,lport=%s,laddr=%s" % (
            self.login.name,
            self.host,
            self.address,
            self.port,
            self.local,
        )

    def __str__(self) -> str:
        """For a report."""
        plain = Connection(self.login)
        extra = "".join(
            " %s %s" % (word, getattr(self, name))
            for word, name in (("as", "host"), ("to port", "port"), ("to", "local"))
            if getattr(self, name) != getattr(plain, name)
        )
        return "%s from %s%s" % (self.login.name, self.address, extra)


def logins(host: Host) -> list[Login]:
    """Accounts of passwd(5) with a shell, and their groups, group(5)."""
    members: dict[str, set[str]] = {}
    names: dict[str, str] = {}
    for line in lines(host.read_if_there("/etc/group")):
        parts = line.split(":")
        if len(parts) == 4:
            names[parts[2]] = parts[0]
            for member in filter(None, parts[3].split(",")):
                members.setdefault(member, set()).add(parts[0])
    found = []
    for line in lines(host.read_if_there("/etc/passwd")):
        parts = line.split(":")
        if len(parts) == 7 and not NO_LOGIN.fullmatch(parts[6]) and parts[6] != "/bin/sync":
            primary = {names[parts[3]]} if parts[3] in names else set()
            found.append(Login(parts[0], frozenset(members.get(parts[0], set()) | primary)))
    return found


def _words(line: str) -> list[str]:
    try:
        lexer = shlex.shlex(line, posix=True, punctuation_chars="")
        lexer.whitespace, lexer.whitespace_split, lexer.commenters = " \t\r\f", True, "#"
        return list(lexer)
    except ValueError:
        return line.split()


def _directives(host: Host, path: str, depth: int = 0) -> list[tuple[str, list[str], str]]:
    """Directives in the order in which sshd reads them: keyword, arguments, file."""
    found: list[tuple[str, list[str], str]] = []
    for line in lines(host.read_if_there(path)):
        match = re.match(r"\s*([A-Za-z0-9]+)\s*=?\s*(.*)", line)
        if not match:
            continue
        keyword, words = match.group(1).lower(), _words(match.group(2))
        found.append((keyword, words, path))
        if keyword == "include" and depth < DEEPEST:
            for pattern in words:
                whole = os.path.join(os.path.dirname(MAIN), pattern)
                for place in sorted(glob.glob(host.path(whole))):
                    inner = place if host.root == "/" else "/" + os.path.relpath(place, host.root)
                    found += _directives(host, inner, depth + 1)
    return found


def files_read(host: Host) -> list[str]:
    """The files of the configuration, in the order in which sshd reads them."""
    found = [MAIN] if os.path.exists(host.path(MAIN)) else []
    for _, _, path in _directives(host, MAIN):
        if path not in found:
            found.append(path)
    return found


def blocks(host: Host) -> list[Block]:
    """The Match blocks of the configuration, those of included files among them."""
    found = []
    for keyword, words, _ in _directives(host, MAIN):
        if keyword == "match" and [word.lower() for word in words] != ["all"]:
            pairs = [word for each in words for word in (each.split("=", 1) if "=" in each else [each])]
            found.append(Block([(k.lower(), v) for k, v in zip(pairs[::2], pairs[1::2])]))
    return found


def _matches(patterns: str, values: list[str]) -> bool:
    """Whether one of some values is in a list of patterns; one that is negated there shuts out, ssh_config(5)."""
    seen = False
    for pattern in patterns.split(","):
        negated, pattern = pattern.startswith("!"), pattern.lstrip("!")
        # fnmatch takes brackets for sets of characters, sshd does not
        if any(fnmatch.fnmatchcase(value, pattern.replace("[", "[[]")) for value in values):
            if negated:
                return False
            seen = True
    return seen


def _concrete(patterns: str) -> str:
    """Some text that is in a list of patterns."""
    for pattern in patterns.split(","):
        if not pattern.startswith("!"):
            return pattern.replace("*", "x").replace("?", "x")
    return "x"


def _network(pattern: str) -> Network | None:
    try:
        return ipaddress.ip_network(pattern, strict=False)
    except ValueError:
        return None


def _address(patterns: str) -> str:
    """Some address that is in a list of addresses, networks and patterns."""
    wanted = [pattern for pattern in patterns.split(",") if not pattern.startswith("!")]
    unwanted = [n for n in (_network(p[1:]) for p in patterns.split(",") if p.startswith("!")) if n]
    candidates: list[str] = []
    for pattern in wanted:
        network = _network(pattern)
        if network:
            candidates += [str(network[0]), str(network[-1])]
        elif pattern == "*":
            candidates += ANYWHERE
        else:
            candidates.append(pattern.replace("*", "1").replace("?", "1"))
    for candidate in candidates:
        found = _network(candidate)
        if found and not any(found.version == n.version and found[0] in n for n in unwanted):
            return candidate
    return candidates[0] if candidates else ANYWHERE[0]


def connections(found: list[Block], known: list[Login], groups: set[str]) -> list[Connection]:
    """One connection of each kind that is told apart.

    Args:
        found: the Match blocks.
        known: accounts of the host.
        groups: groups that are of interest whether a block names them or not.

    Returns:
        One for each kind of account, and for each block one of each kind that it catches.

    Raises:
        OSError: they are too many.
    """
    criteria = [(keyword, patterns) for block in found for keyword, patterns in block.criteria]
    of_users = [patterns for keyword, patterns in criteria if keyword == "user"]
    of_groups = [patterns for keyword, patterns in criteria if keyword == "group"]

    def kind(login: Login) -> tuple[object, ...]:
        return (
            tuple(_matches(patterns, [login.name]) for patterns in of_users),
            tuple(_matches(patterns, sorted(login.groups)) for patterns in of_groups),
            frozenset(login.groups & groups),
        )

    kinds: dict[tuple[object, ...], Login] = {}
    for login in known:
        kinds.setdefault(kind(login), login)
    asked = dict.fromkeys(Connection(login) for login in kinds.values())
    for block in found:
        for connection in _caught(block, list(kinds.values())):
            asked[connection] = None
    if len(asked) > MOST:
        raise OSError("the Match blocks of sshd_config tell %d kinds of connections apart" % len(asked))
    return list(asked)


def _caught(block: Block, candidates: list[Login]) -> list[Connection]:
    """Connections of some accounts that a block catches."""
    by_criterion: dict[str, list[str]] = {}
    for keyword, patterns in block.criteria:
        by_criterion.setdefault(keyword, []).append(patterns)
    users, groups = by_criterion.get("user", []), by_criterion.get("group", [])
    caught = [
        login
        for login in candidates
        if all(_matches(p, [login.name]) for p in users) and all(_matches(p, sorted(login.groups)) for p in groups)
    ]
    if not caught and users and not groups:  # perhaps of a directory service
        caught = [Login(_concrete(users[0]), frozenset())]
    first = {keyword: patterns[0] for keyword, patterns in by_criterion.items()}
    return [
        Connection(
            login,
            _address(first["address"]) if "address" in first else ANYWHERE[0],
            _concrete(first["host"]) if "host" in first else "client.invalid",
            first.get("localport", "22").split(",")[0],
            _address(first["localaddress"]) if "localaddress" in first else "127.0.0.1",
        )
        for login in caught
    ]


def probes(networks: list[str]) -> list[tuple[str, bool]]:
    """Addresses in and beside networks.

    Args:
        networks: networks.

    Returns:
        Addresses, and whether each is in one of the networks.
    """
    parsed = [network for network in map(_network, networks) if network]

    def inside(address: str) -> bool:
        one = ipaddress.ip_address(address)
        return any(one.version == network.version and one in network for network in parsed)

    wanted: list[str] = list(ANYWHERE[2:])
    for network in parsed:
        wanted.append(str(network[-1]))
        if int(network[-1]) + 1 < 2**network.max_prefixlen:
            wanted.append(str(network[-1] + 1))
        if int(network[0]):
            wanted.append(str(network[0] - 1))
    return [(address, inside(address)) for address in dict.fromkeys(wanted)]
