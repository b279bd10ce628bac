# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules of the kernel's audit, from what role auditd says of them, for a machine."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from ..module_utils.audit_rules import digest

MACHINES = ("x86_64", "aarch64")

OLD_CALLS = frozenset(
    ["open", "creat", "mkdir", "mknod", "link", "symlink", "rename", "unlink", "rmdir", "chmod", "chown", "lchown"]
)
"""System calls of x86_64 that newer architectures never had."""

CALLS_OF_32_BITS = frozenset(
    ["stime", "clock_settime64", "clock_adjtime64", "umount", "truncate64", "ftruncate64", "chown32", "lchown32"]
) | {"fchown32"}
CALLS_OF_64_BITS = frozenset(["kexec_file_load"])

WRITTEN = {
    # By number: auditctl of Debian 12 does not know its name.
    ("fchmodat2", "b64"): "452",
    ("fchmodat2", "b32"): "452",
    ("kexec_load", "b32"): "sys_kexec_load",
}
"""System calls that auditctl calls otherwise."""

RIGHTS = (
    "chmod,fchmod,fchmodat,fchmodat2,chown,fchown,lchown,fchownat,chown32,fchown32,lchown32,"
    "setxattr,lsetxattr,fsetxattr,removexattr,lremovexattr,fremovexattr"
)
FILES = (
    "open,creat,openat,openat2,open_by_handle_at,truncate,ftruncate,truncate64,ftruncate64,mkdir,mkdirat,mknod,mknodat,"
    "link,linkat,symlink,symlinkat,rename,renameat,renameat2,unlink,unlinkat,rmdir," + RIGHTS
)
CALLS = {"RIGHTS": RIGHTS.split(","), "FILES": FILES.split(",")}
"""Names that stand for several system calls."""

BY_PEOPLE = ["-F", "auid>=1000", "-F", "auid!=unset"]
"""What the word by-people stands for: whoever logged in as a person, whatever he became since."""

KINDS = {
    "create": [
        "-S creat,mkdir,mkdirat,mknod,mknodat,link,linkat,symlink,symlinkat",
        "-S open -F a1&0100",
        "-S openat -F a2&0100",
    ],
    "move": ["-S rename,renameat,renameat2"],
    "delete": ["-S unlink,unlinkat,rmdir"],
    "write": ["-F perm=w"],
    "read": ["-F perm=r"],
}
"""What happens to a file -> how the kernel is told; 0100 is O_CREAT, open(2)."""


def _calls(names: list[str], arch: str, machine: str) -> list[str]:
    """Those system calls that there are."""
    wrong = CALLS_OF_32_BITS if arch == "b64" else CALLS_OF_64_BITS
    if machine != "x86_64":
        wrong = wrong | OLD_CALLS
    return [WRITTEN.get((name, arch), name) for name in names if name not in wrong]


def _for_programs(rule: list[str], key: str, arch: str, machine: str) -> str:
    """A rule's line for one kind of programs; empty where these have no such system call."""
    first, *more = rule if rule[0] == "-S" else ["-S", "all", *rule]
    names = [call for name in more[0].split(",") for call in CALLS.get(name, [name])]
    calls = _calls(names, arch, machine)
    fields = [word for words in more[1:] for word in (BY_PEOPLE if words == "by-people" else [words])]
    words = ["-a always,exit -F arch=%s" % arch, first, ",".join(calls), *fields, "-F key=%s" % key]
    return " ".join(words) if calls else ""


@functools.lru_cache(maxsize=256)
def _lines(rules: str, key: str, machine: str) -> tuple[str, ...]:
    """The lines of the rules of one key: each once for each kind of programs that the machine runs."""
    archs = ("b64", "b32") if machine == "x86_64" else ("b64",)
    written = filter(None, map(str.split, rules.split("\n")))
    return tuple(filter(None, (_for_programs(words, key, arch, machine) for words in written for arch in archs)))


def audit_lines(groups: dict[str, dict[str, Any]], machine: str) -> list[str]:
    """The lines of a rules file.

    Args:
        groups: key -> rules: as in audit.rules(7), without action, architecture and key, beginning
            with -S where it has one; by-people and the names of `CALLS` stand for others.
        machine: its architecture, uname(2).
    """
    return [line for key, group in groups.items() for line in _lines(str(group["rules"]), str(key), machine)]


def audit_digests(rules: str, key: str) -> list[str | None]:
    """What the fact ``audit_keys`` says of a key's lines, on each kind of machine; None where there are none."""
    lines = {machine: list(_lines(str(rules), str(key), machine)) for machine in MACHINES}
    return [digest(machine, lines[machine]) if lines[machine] else None for machine in MACHINES]


def audit_of_files(trees: list[dict[str, Any]], kind: str) -> str:
    """Rules of what people do to files.

    Args:
        trees: path and kinds.
        kind: create, read, write, move or delete.
    """
    paths = [tree["path"] for tree in trees if kind in tree["kinds"]]
    return "\n".join("%s -F dir=%s by-people" % (how, path) for path in paths for how in KINDS[kind])


class FilterModule:
    """The filters."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name -> filter."""
        return {"audit_lines": audit_lines, "audit_digests": audit_digests, "audit_of_files": audit_of_files}
