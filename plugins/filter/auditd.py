# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules of the kernel's audit, from what role auditd says of them, for a machine."""

from __future__ import annotations

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

PERSON = ("auid>=1000", "auid!=unset")
"""Whoever logged in as a person, whatever he has become since."""

KINDS: dict[str, list[dict[str, Any]]] = {
    "create": [
        {"calls": ["creat", "mkdir", "mkdirat", "mknod", "mknodat", "link", "linkat", "symlink", "symlinkat"]},
        {"calls": ["open"], "where": ["a1&0100"]},
        {"calls": ["openat"], "where": ["a2&0100"]},
    ],
    "move": [{"calls": ["rename", "renameat", "renameat2"]}],
    "delete": [{"calls": ["unlink", "unlinkat", "rmdir"]}],
    "write": [{"perm": "w"}],
    "read": [{"perm": "r"}],
}
"""What happens to a file -> how the kernel is told; 0100 is O_CREAT, open(2)."""


def _calls(names: list[str], arch: str, machine: str) -> list[str]:
    """Those system calls that there are."""
    wrong = CALLS_OF_32_BITS if arch == "b64" else CALLS_OF_64_BITS
    if machine != "x86_64":
        wrong = wrong | OLD_CALLS
    found = [name for name in names if name not in wrong]
    return [WRITTEN.get((name, arch), name) for name in found]


def _lines(rule: dict[str, Any], key: str, machine: str) -> list[str]:
    """The lines of one rule: one for each kind of programs that the machine runs."""
    if "kind" in rule:
        more = [{**how, "dir": rule["dir"], "person": True} for how in KINDS[rule["kind"]]]
        return [line for how in more for line in _lines(how, key, machine)]
    found = []
    fields = ["%s=%s" % (name, rule[name]) for name in ("path", "dir", "perm") if name in rule]
    fields += [*rule.get("where", []), *(PERSON if rule.get("person") else ())]
    for arch in ("b64", "b32") if machine == "x86_64" else ("b64",):
        calls = _calls(rule["calls"], arch, machine) if "calls" in rule else ["all"]
        if calls:
            words = ["-a always,exit -F arch=%s -S %s" % (arch, ",".join(calls))]
            words += [("-C " if field in ("uid!=euid", "gid!=egid") else "-F ") + field for field in fields]
            found.append(" ".join([*words, "-F key=%s" % key]))
    return found


def _rules(group: dict[str, Any]) -> list[dict[str, Any]]:
    """The rules of a group; of one about files, a rule for each directory that this is asked of."""
    if "trees" not in group:
        return list(group["rules"])
    return [{"dir": tree["path"], "kind": group["kind"]} for tree in group["trees"] if group["kind"] in tree["kinds"]]


def audit_lines(groups: list[dict[str, Any]], machine: str) -> list[str]:
    """The lines of a rules file.

    Args:
        groups: key, and rules (each of path or dir, perm, calls, where (further fields), person (of people alone)), or
            kind (what happens to files) and trees (each of path and kinds).
        machine: its architecture, uname(2).
    """
    return [line for group in groups for rule in _rules(group) for line in _lines(rule, group["key"], machine)]


def audit_digests(groups: list[dict[str, Any]]) -> dict[str, list[str | None]]:
    """Key -> what the fact ``audit_keys`` says of its lines, on each kind of machine; None where there are none."""
    return {
        group["key"]: [digest(machine, audit_lines([group], machine)) for machine in MACHINES]
        if _rules(group)
        else [None]
        for group in groups
    }


class FilterModule:
    """The filters."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name -> filter."""
        return {"audit_lines": audit_lines, "audit_digests": audit_digests}
