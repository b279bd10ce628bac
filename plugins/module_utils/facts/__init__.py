# SPDX-License-Identifier: GPL-3.0-or-later
"""The facts that a control may name, in one place.

To add a fact: write a reader ``read(host, keys)`` in a module of this folder and enter it below. Readers run on the
host with the standard library of Python 3.9; they change nothing and need no package. What cannot be read is returned
as `Unreadable`, and what is malformed is told to ``host.problem`` while the reader goes on.
"""

from __future__ import annotations

from typing import NamedTuple


class Fact(NamedTuple):
    """One top-level fact.

    Attributes:
        reader: module of this folder and function in it: ``module:function``.
        about: what it tells, and its source.
        paths: its sub-paths and what each holds; ``*`` stands for any one segment.
    """

    reader: str
    about: str
    paths: dict[str, str]


FACTS: dict[str, Fact] = {
    "os": Fact(
        "system:operating_system",
        "The operating system, from os-release(5) and uname(2).",
        {
            "id": "distribution, such as debian",
            "version_id": "release, such as 12",
            "pretty_name": "its full name",
            "kernel": "kernel release",
            "container": "what container the host is (container-getty's /run/systemd/container), or null",
        },
    ),
    "login_defs": Fact(
        "accounts:login_defs",
        "/etc/login.defs, login.defs(5).",
        {
            "*": "value of that key: a whole number where it is one, else text; null when not set",
        },
    ),
    "accounts": Fact(
        "accounts:accounts",
        "passwd(5) and shadow(5). Ages are in days.",
        {
            "names": "login names",
            "uid_zero": "names of the accounts with user id 0",
            "duplicate_ids": "user ids that more than one account has, with the names",
            "password_state": "name -> usable, locked, none or empty",
            "empty_password": "names that log in with no password at all",
            "hash_scheme": "name -> hash scheme, of accounts with a usable password",
            "max_days": "name -> maximum password age, of accounts with a usable password; null when ageing is off",
            "password_age": "name -> days since the password was set, of accounts with a usable password and a date",
            "must_change": "names that must change their password at the next login",
            "malformed": "lines of passwd, shadow and group that are not of their form: file:line problem",
        },
    ),
    "ledger": Fact(
        "ledger:ledger",
        "The account ledger as it was applied to this host last, and where the host has drifted from it.",
        {
            "present": "true when the ledger was applied to this host",
            "unregistered": "accounts of people (UID_MIN to UID_MAX) that are not in it",
            "missing": "accounts that it has and the host has not",
            "differing": "account -> what differs: groups, sudo, keys, shell, expires, locked",
            "not_withdrawn": "account that must be locked or gone -> what still stands: account, password, keys, ...",
            "shared_keys": "fingerprint of an SSH key -> accounts that it opens, where these are several",
            "unused": "account that can be logged in to -> days since its last login or its beginning, or null",
            "never_changed": "account whose issued password was never changed -> days since it was issued",
        },
    ),
    "pam": Fact(
        "pam:pam",
        "PAM stacks as they really resolve through includes, pam.conf(5).",
        {
            "*.auth.modules": "modules of a service's auth stack in order, with the faillock step where it is one",
            "*.account.modules": "the same of its account stack",
            "*.password.modules": "the same of its password stack",
            "*.auth.options.*": "the arguments of that module in the auth stack",
            "*.account.options.*": "the same in the account stack",
            "*.password.options.*": "the same in the password stack",
            "without_lockout": "service -> why failures would not lock there; of services that ask for a password",
            "accepting_wrong_passwords": "services that let a wrong password in, of anybody or of users that they name",
            "accepting_empty_passwords": "services where pam_unix has nullok",
            "ignoring_a_due_change": "services that let a password stay that must be changed",
            "ignoring_expired_accounts": "services that let an expired account in",
            "without_quality_check": "service -> why a weak password would pass; of services that set passwords",
            "without_history": "service -> why an old password would pass; of services that set passwords",
            "malformed": "lines of PAM files that are not of their form: file:line problem",
        },
    ),
    "faillock": Fact(
        "pam:faillock",
        "Effective settings of pam_faillock(8): faillock.conf(5) and its defaults.",
        {
            "*": "that setting: a whole number, true for a bare option, text, or null when not set",
            "overrides": "arguments in PAM lines that override the file: service: argument",
        },
    ),
    "pwquality": Fact(
        "pam:pwquality",
        "Effective settings of pam_pwquality(8): pwquality.conf.d, pwquality.conf(5).",
        {
            "*": "that setting: a whole number, true for a bare option, text, or null when not set",
            "overrides": "arguments in PAM lines that override the files: service: argument",
        },
    ),
    "pwhistory": Fact(
        "pam:pwhistory",
        "Effective settings of pam_pwhistory(8) over all services that set passwords.",
        {
            "remember": "how many old passwords are refused: the smallest of all services; null when nowhere",
            "files": "where old passwords are kept",
            "enforce_for_root": "true when root is held to it too, in every service",
        },
    ),
    "files": Fact(
        "files:files",
        "Files by path, stat(2); a link is not followed.",
        {
            "*.exists": "true or false",
            "*.type": "file, directory, link, other; null when absent",
            "*.owner": "owner's name, or its number where it has none",
            "*.group": "group's name, or its number where it has none",
            "*.mode": "permissions as four octal digits: 0640",
            "*.sha256": "hash of the content",
            "*.content": "content as text",
            "*.target": "where a link points",
        },
    ),
    "packages": Fact(
        "packages:packages",
        "Installed Debian packages, /var/lib/dpkg/status.",
        {
            "*": "installed version, or null",
        },
    ),
    "units": Fact(
        "units:units",
        "systemd units, systemctl show.",
        {
            "*.load": "LoadState: loaded, masked, not-found",
            "*.active": "ActiveState: active, inactive, failed",
            "*.enabled": "UnitFileState: enabled, disabled, masked, static; empty when there is none",
        },
    ),
    "sockets": Fact(
        "sockets:sockets",
        "Listening sockets, /proc/net, with the program that holds each.",
        {
            "tcp": "list of address:port",
            "udp": "list of address:port",
            "tcp_ports": "port numbers reachable from other hosts",
            "udp_ports": "port numbers reachable from other hosts",
            "programs": "proto/address:port -> program",
        },
    ),
    "sshd": Fact(
        "sshd:sshd",
        "Effective settings of sshd, sshd -T; null where no sshd is installed.",
        {
            "*": "that keyword's value in lower case; a list where it stands more than once",
        },
    ),
    "sysctl": Fact(
        "system:sysctl",
        "Kernel settings in force, /proc/sys.",
        {
            "*": "value: a whole number where it is one, else text; null when the kernel has none of that name",
        },
    ),
    "chrony": Fact(
        "chrony:chrony",
        "chronyd's configuration (chrony.conf(5)) and state (chronyc(1)).",
        {
            "running": "true when chronyd answers",
            "synchronised": "true when the clock follows a source and its state is normal",
            "reference": "name or address of the source that the clock follows, or null",
            "stratum": "distance to the reference clock",
            "offset": "how far the clock is off, in seconds, without sign",
            "worst_step": "largest step or error that chronyd reported in the last day, in seconds",
            "allowed": "networks that are answered",
            "configured": "names of configured servers, peers and pools",
            "without_nts": "configured names that are not authenticated by NTS",
            "nts_unauthenticated": "sources that ask for NTS and have no cookies or key",
            "directives.*": "its arguments, true where it has none; a list when it is repeated; null when absent",
        },
    ),
}


def known(segments: list[str]) -> bool:
    """Tell whether the registry has a fact of this path.

    Args:
        segments: the path, split.
    """
    fact = FACTS.get(segments[0])
    if fact is None:
        return False
    for pattern in fact.paths:
        parts = pattern.split(".")
        if len(parts) == len(segments) - 1 and all(p in ("*", s) for p, s in zip(parts, segments[1:])):
            return True
    return False
