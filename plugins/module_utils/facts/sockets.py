# SPDX-License-Identifier: GPL-3.0-or-later
"""Listening sockets and the programs that hold them."""

from __future__ import annotations

import ipaddress
import os
from typing import Any

from .host import Host

TABLES = {"tcp": ("0A", ("/proc/net/tcp", "/proc/net/tcp6")), "udp": ("07", ("/proc/net/udp", "/proc/net/udp6"))}
"""Protocol -> state that means waiting for peers (LISTEN; unconnected), and its tables, proc(5)."""


def address(text: str) -> tuple[str, int]:
    """Turn an entry of /proc/net such as ``0100007F:0016`` into address and port.

    The address stands in words of four bytes in the machine's own (little-endian) order.
    """
    words, port = text.split(":")
    raw = b"".join(bytes.fromhex(words[i : i + 8])[::-1] for i in range(0, len(words), 8))
    return str(ipaddress.ip_address(raw)), int(port, 16)


def _programs(host: Host) -> dict[str, str]:
    """Inode of a socket -> name of the program that holds it."""
    holders: dict[str, str] = {}
    for pid in filter(str.isdigit, os.listdir(host.path("/proc"))):
        folder = host.path("/proc/%s" % pid)
        try:
            links = [os.readlink("%s/fd/%s" % (folder, fd)) for fd in os.listdir(folder + "/fd")]
            found = [link[8:-1] for link in links if link.startswith("socket:[")]
            if found:
                name = host.read("/proc/%s/comm" % pid).strip()
                holders.update((inode, name) for inode in found)
        except OSError:  # the process ended meanwhile
            continue
    return holders


def _is_loopback(text: str) -> bool:
    ip = ipaddress.ip_address(text)
    return (getattr(ip, "ipv4_mapped", None) or ip).is_loopback


def _table(host: Host, path: str) -> str:
    """A table; only the one of IPv6 may be missing, where the kernel has none."""
    return host.read_if_there(path) if path.endswith("6") else host.read(path)


def sockets(host: Host, keys: set[str]) -> dict[str, Any]:
    """Read which addresses and ports are listened on."""
    holders = _programs(host) if "programs" in keys else {}
    result: dict[str, Any] = {"programs": {}}
    for protocol, (state, tables) in TABLES.items():
        entries, ports = [], set()
        for table in tables:
            for line in _table(host, table).splitlines()[1:]:
                fields = line.split()
                if fields[3] != state:
                    continue
                ip, port = address(fields[1])
                place = "%s:%d" % (ip if ":" not in ip else "[%s]" % ip, port)
                entries.append(place)
                result["programs"]["%s/%s" % (protocol, place)] = holders.get(fields[9], "?")
                if not _is_loopback(ip):
                    ports.add(port)
        result[protocol] = sorted(entries)
        result[protocol + "_ports"] = sorted(ports)
    return result
