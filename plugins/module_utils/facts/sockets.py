# SPDX-License-Identifier: GPL-3.0-or-later
"""Listening sockets and the programs that hold them."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterator
from typing import Any

from .host import Host

TABLES = {"tcp": ("0A", ("/proc/net/tcp", "/proc/net/tcp6")), "udp": ("07", ("/proc/net/udp", "/proc/net/udp6"))}
"""Protocol -> state that means waiting for peers (LISTEN; unconnected), and its tables, proc(5)."""

DELETED = " (deleted)"
"""How /proc marks a program whose file is gone, proc_pid_exe(5)."""

SYSTEMD = "systemd"


def address(text: str) -> tuple[str, int]:
    """Turn an entry of /proc/net such as ``0100007F:0016`` into address and port.

    The address stands in words of four bytes in the machine's own (little-endian) order.
    """
    words, port = text.split(":")
    raw = b"".join(bytes.fromhex(words[i : i + 8])[::-1] for i in range(0, len(words), 8))
    return str(ipaddress.ip_address(raw)), int(port, 16)


def _program(host: Host, pid: str) -> str:
    """Name of the file that a process runs, which it cannot choose as it can choose what ps(1) shows."""
    try:
        name = os.path.basename(os.readlink(host.path("/proc/%s/exe" % pid)))
    except FileNotFoundError:  # it holds none that can be seen from here
        name = host.read("/proc/%s/comm" % pid).strip()
    # An upgrade replaced it while it ran.
    return name[: -len(DELETED)] if name.endswith(DELETED) else name


def _programs(host: Host) -> dict[str, set[str]]:
    """Inode of a socket -> names of the programs that hold it."""
    holders: dict[str, set[str]] = {}
    for pid in filter(str.isdigit, os.listdir(host.path("/proc"))):
        folder = host.path("/proc/%s" % pid)
        try:
            links = [os.readlink("%s/fd/%s" % (folder, fd)) for fd in os.listdir(folder + "/fd")]
            found = [link[8:-1] for link in links if link.startswith("socket:[")]
            if found:
                name = _program(host, pid)
                for inode in found:
                    holders.setdefault(inode, set()).add(name)
        except OSError:  # the process ended meanwhile
            continue
    return holders


def _activated(host: Host) -> dict[str, str]:
    """Address and port -> socket unit that systemd waits there for, systemctl(1) ``list-sockets``."""
    text = host.run("systemctl", "list-sockets", "--all", "--no-legend", "--no-pager")
    rows = [line.split() for line in text.splitlines()]
    return {row[0]: row[1] for row in rows if len(row) > 1}


def _named(names: set[str]) -> str:
    """One name for the holders of a socket; systemd counts only where no service took the socket over from it."""
    return ",".join(sorted(names - {SYSTEMD} or names)) or "?"


def is_loopback(text: str) -> bool:
    """Whether nobody but the host itself reaches an address."""
    ip = ipaddress.ip_address(text)
    return (getattr(ip, "ipv4_mapped", None) or ip).is_loopback


def _table(host: Host, path: str) -> str:
    """A table; only the one of IPv6 may be missing, where the kernel has none."""
    return host.read_if_there(path) if path.endswith("6") else host.read(path)


def listening(host: Host, protocol: str) -> Iterator[tuple[str, int, str]]:
    """Address, port and inode of each socket of a protocol that waits for peers.

    Args:
        host: whose.
        protocol: tcp or udp.
    """
    state, tables = TABLES[protocol]
    for table in tables:
        for line in _table(host, table).splitlines()[1:]:
            fields = line.split()
            if fields[3] == state:
                yield (*address(fields[1]), fields[9])


def sockets(host: Host, keys: set[str]) -> dict[str, Any]:
    """Read which addresses and ports are listened on."""
    holders = _programs(host) if keys & {"programs", "listening"} else {}
    result: dict[str, Any] = {"programs": {}, "listening": []}
    for protocol in TABLES:
        entries, ports = [], set()
        for ip, port, inode in listening(host, protocol):
            place = "%s:%d" % (ip if ":" not in ip else "[%s]" % ip, port)
            entries.append(place)
            program = _named(holders.get(inode, set()))
            result["programs"]["%s/%s" % (protocol, place)] = program
            result["listening"].append((protocol, place, program))
            if not is_loopback(ip):
                ports.add(port)
        result[protocol] = sorted(entries)
        result[protocol + "_ports"] = sorted(ports)
    if any(program == SYSTEMD for _, _, program in result["listening"]):
        units = _activated(host)
        result["listening"] = [
            (protocol, place, units.get(place, program) if program == SYSTEMD else program)
            for protocol, place, program in result["listening"]
        ]
    result["listening"] = sorted(set(map(" ".join, result["listening"])))
    return result
