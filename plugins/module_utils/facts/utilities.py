# SPDX-License-Identifier: GPL-3.0-or-later
"""Utility programs that administrators alone should run, and how they are found on a host.

Patterns, as Debian names programs by version and architecture: gcc is a link to gcc-12, and that to
x86_64-linux-gnu-gcc-12. Left out are programs that are of no use without rights that sudo gives anyway (apt, dpkg,
systemctl: they only show), what belongs to a group of its own (crontab, at, dumpcap), and journalctl, which shows
everybody no more than his own.
"""

from __future__ import annotations

import glob
import os
import re
import stat
from collections.abc import Iterable
from typing import Any

from .host import Host

CLASSES: dict[str, tuple[str, ...]] = {
    "compilers": (
        "/usr/bin/as",
        "/usr/bin/c89-gcc",
        "/usr/bin/c99-gcc",
        "/usr/bin/cc",
        "/usr/bin/c++",
        "/usr/bin/clang",
        "/usr/bin/clang-*",
        "/usr/bin/gcc",
        "/usr/bin/g++",
        "/usr/bin/ld",
        "/usr/bin/make",
        "/usr/bin/tcc",
        "/usr/bin/*-linux-gnu*-as",
        "/usr/bin/*-linux-gnu*-g++*",
        "/usr/bin/*-linux-gnu*-gcc-*",
        "/usr/bin/*-linux-gnu*-gfortran*",
        "/usr/bin/*-linux-gnu*-gold",
        "/usr/bin/*-linux-gnu*-ld.*",
        "/usr/lib/gcc/*/*/cc1*",
        "/usr/lib/llvm-*/bin/clang",
        "/usr/libexec/gcc/*/*/cc1*",
    ),
    "debuggers": (
        "/usr/bin/bpftrace",
        "/usr/bin/gdb",
        "/usr/bin/gdbserver",
        "/usr/bin/lldb-*",
        "/usr/bin/ltrace",
        "/usr/bin/perf",
        "/usr/bin/strace",
    ),
    "network": (
        "/usr/bin/nc",
        "/usr/bin/nc.openbsd",
        "/usr/bin/nc.traditional",
        "/usr/bin/ncat",
        "/usr/bin/ngrep",
        "/usr/bin/nmap",
        "/usr/bin/nping",
        "/usr/bin/socat",
        "/usr/bin/socat1",
        "/usr/bin/tcpdump",
        "/usr/bin/tshark",
        "/usr/sbin/arpspoof",
        "/usr/sbin/hping3",
        "/usr/sbin/tcpdump",
    ),
    "mounting": (
        "/usr/bin/mount",
        "/usr/bin/umount",
        "/usr/sbin/mount.cifs",
        "/usr/sbin/mount.nfs",
        "/usr/sbin/mount.nfs4",
    ),
    "system": (
        "/usr/bin/dmesg",
        "/usr/bin/kmod",
        "/usr/bin/nsenter",
        "/usr/bin/unshare",
        "/usr/sbin/fdisk",
        "/usr/sbin/kexec",
        "/usr/sbin/losetup",
        "/usr/sbin/mke2fs",
        "/usr/sbin/nft",
        "/usr/sbin/sfdisk",
        "/usr/sbin/sysctl",
        "/usr/sbin/tc",
        "/usr/sbin/xtables-legacy-multi",
        "/usr/sbin/xtables-nft-multi",
    ),
    "none": (),
}
"""Class -> patterns of programs."""

NEEDED = re.compile(
    r".*/(bash|busybox|coreutils|dash|env|false|id|login|ls|nologin|python[0-9.]*|scp|sftp-server|sh|ssh[\w.-]*|su|sudo"
    r"|systemctl|true|unix_chkpwd|runuser)"
)
"""Programs without which nobody, Ansible among them, logs in and becomes root: never restricted, whatever is asked."""


def patterns(names: Iterable[str]) -> list[str]:
    """Absolute patterns for classes and patterns.

    Args:
        names: classes and absolute patterns.

    Raises:
        ValueError: one is neither.
    """
    found: list[str] = []
    for name in names:
        if name.startswith("/"):
            found.append(name)
        elif name in CLASSES:
            found.extend(CLASSES[name])
        else:
            raise ValueError("%r is no class of utilities (%s) and no absolute path" % (name, ", ".join(CLASSES)))
    return found


def resolve(host: Host, names: Iterable[str], excluded: Iterable[str] = ()) -> list[str]:
    """The files that classes and patterns stand for on this host, links followed; absent ones stand for nothing.

    Args:
        host: the host.
        names: classes and absolute patterns.
        excluded: paths that are left out, by any of their names.
    """
    root = os.path.realpath(host.path("/"))
    left_out = {os.path.realpath(host.path(path)) for path in excluded}
    found = set()
    for name in names:
        for pattern in patterns([name]):
            for place in glob.glob(host.path(pattern)) if "*" in pattern else [host.path(pattern)]:
                real = os.path.realpath(place)
                path = "/" + os.path.relpath(real, root) if root != "/" else real
                # nc of busybox is a link to what the host boots with; who names that himself is told so.
                shared = name in CLASSES and NEEDED.fullmatch(path)
                if real not in left_out and not shared and os.path.exists(real):
                    found.add(path)
    return sorted(found)


def open_to_others(host: Host, path: str) -> bool:
    """Whether everybody may run a program.

    Args:
        host: the host.
        path: the program, no link.
    """
    info = os.stat(host.path(path))
    return stat.S_ISREG(info.st_mode) and bool(info.st_mode & 0o007)


def utilities(host: Host, keys: set[str]) -> dict[str, Any]:
    """Look at the programs of the given classes and patterns, which a key names with blanks between."""
    found = {}
    for key in keys:
        present = resolve(host, key.split())
        found[key] = {"present": present, "open": [path for path in present if open_to_others(host, path)]}
    return found
