# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules of the kernel's audit, auditctl(8), in one form whoever wrote them: a file, or the kernel's own list."""

from __future__ import annotations

import glob
import hashlib
import os
import re

from .facts.host import Host, lines

RULES_DIRECTORY = "/etc/audit/rules.d"
RULES_FILE = RULES_DIRECTORY + "/audit.rules"

UNSET = ("-1", "unset", "4294967295")
"""How the login user id of what nobody logged in for is written."""

KINDS_OF_FILES = {"socket": "49152", "link": "40960", "file": "32768", "block": "24576", "dir": "16384"}
KINDS_OF_FILES.update({"character": "8192", "fifo": "4096"})
"""Values of ``filetype``, as the kernel lists them."""

CALLS = {"452": "fchmodat2", "sys_kexec_load": "kexec_load"}
"""System calls that auditctl of some release, or for some programs, has another name for."""

FIELD = re.compile(r"([a-z0-9_]+)(!=|>=|<=|&=|=|<|>|&)(.*)")

SETTINGS = {"-e": "enabled", "-f": "failure", "-b": "backlog_limit", "--backlog_wait_time": "backlog_wait_time"}
"""Lines of files that are no rules, and what ``auditctl -s`` calls them."""


def _value(name: str, value: str) -> str:
    if name == "perm":
        return "".join(sorted(value))
    if name in ("path", "dir"):
        return value.rstrip("/") or "/"
    if name == "filetype":
        return KINDS_OF_FILES.get(value, value)
    if re.fullmatch("a[0-3]", name):
        try:
            return str(int(value, 8 if re.fullmatch("0[0-7]+", value) else 0))
        except ValueError:
            return value
    return "-1" if value in UNSET else value


def _field(text: str) -> str:
    match = FIELD.fullmatch(text)
    if not match:
        return text
    name, sign, value = match.groups()
    # auditctl of Debian 12 lists exe!= as exe=.
    sign = "=" if name == "exe" else sign
    # What is watched is a directory or not; the kernel lists either as a watch.
    return "%s%s%s" % ("path" if name == "dir" else name, sign, _value(name, value))


def canonical(line: str) -> str | None:
    """A rule in the one form in which two of them are compared; None when the line is no rule.

    What a rule watches for by ``perm`` stands for its system calls, which auditctl of Debian 13 lists one by one.

    Args:
        line: of a rules file, or of what ``auditctl -l`` prints.
    """
    words, rule, fields = line.split(), "", []
    calls: set[str] = set()
    while words:
        flag = words.pop(0)
        if flag not in ("-a", "-A", "-w", "-p", "-k", "-S", "-F", "-C") or not words:
            return None
        value = words.pop(0)
        if flag in ("-a", "-A"):
            rule = ",".join(sorted(value.split(",")))
        elif flag == "-S":
            calls.update(CALLS.get(name, name) for name in value.split(",") if name != "all")
        elif flag in ("-w", "-p", "-k"):
            rule = "always,exit" if flag == "-w" else rule
            fields.append(_field({"-w": "path=", "-p": "perm=", "-k": "key="}[flag] + value))
        else:
            fields.append(_field(value) if flag == "-F" else value)
    if not rule:
        return None
    named = [] if any(field.startswith("perm=") for field in fields) else sorted(calls)
    return " ".join([rule, ",".join(named) or "all", *sorted(set(fields))])


def key_of(rule: str) -> str:
    """The key of a rule, in either form; empty when it has none."""
    match = re.search(r"(?:^|\s)(?:-F key=|key=|-k )(\S+)", rule)
    return match.group(1) if match else ""


def is_silencing(rule: str) -> bool:
    """Whether a rule, in the one form, keeps records from being made."""
    return rule.startswith(("exit,never", "never,", "task,never", "exclude,", "always,exclude", "filesystem,never"))


def files_of_rules(host: Host) -> dict[str, str]:
    """Path -> text of the rules files, in the order in which augenrules(8) puts them together."""
    prefix = len(host.path(RULES_DIRECTORY)) - len(RULES_DIRECTORY)
    paths = [path[prefix:] for path in glob.glob(host.path(RULES_DIRECTORY) + "/*.rules")]
    return {path: host.read(path) for path in sorted(paths)}


def lines_of(files: dict[str, str]) -> list[str]:
    """The lines of rules files that say something."""
    texts = (line.strip() for text in files.values() for line in lines(text))
    return [line for line in texts if line and not line.startswith("#")]


def rules_of(texts: list[str]) -> list[str]:
    """The rules among lines, in the one form and each once."""
    return list(dict.fromkeys(rule for rule in map(canonical, texts) if rule))


def settings_of(texts: list[str]) -> dict[str, int]:
    """What else lines set, as ``auditctl -s`` names it; of several the last counts."""
    found = {}
    for line in texts:
        words = line.split()
        if len(words) == 2 and words[0] in SETTINGS and words[1].isdigit():
            found[SETTINGS[words[0]]] = int(words[1])
    return found


def is_watchable(host: Host, line: str) -> bool:
    """Whether there is what a line watches: the directory itself, or the one that a file would be in.

    The kernel takes no other rule.
    """
    places = []
    for flag, value in zip(line.split(), line.split()[1:]):
        name, _, path = ("path", "=", value) if flag == "-w" else value.replace("!=", "=").partition("=")
        if flag in ("-w", "-F") and name in ("path", "dir", "exe") and path.startswith("/"):
            places.append(path if name == "dir" else os.path.dirname(path.rstrip("/")))
    return all(os.path.isdir(host.path(place)) for place in places)


def status(host: Host) -> dict[str, int]:
    """What ``auditctl -s`` says: enabled, failure, pid, backlog_limit, lost, backlog and so on."""
    words = [line.split() for line in lines(host.run("auditctl", "-s"))]
    return {line[0]: int(line[1]) for line in words if len(line) >= 2 and re.fullmatch("-?[0-9]+", line[1])}


def loaded(host: Host) -> list[str]:
    """The rules that are in the kernel, in the one form."""
    return rules_of(lines(host.run("auditctl", "-l")))


def digest(machine: str, rules: list[str]) -> str:
    """What tells rules of a file from others: the machine they are for, uname(2), and the SHA-256 of their lines."""
    return "%s %s" % (machine, hashlib.sha256("\n".join(rules).encode()).hexdigest())


def missing(host: Host, wanted: list[str], present: list[str]) -> list[str]:
    """Those rules among lines that the kernel does not have, and could, in the one form."""
    there = set(present)
    return [rule for rule in rules_of([line for line in wanted if is_watchable(host, line)]) if rule not in there]


def differences(wanted: dict[str, int], now: dict[str, int]) -> dict[str, list[int | None]]:
    """Settings that differ: name -> [now, wished]."""
    return {name: [now.get(name), value] for name, value in wanted.items() if now.get(name) != value}
