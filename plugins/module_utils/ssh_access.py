# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is logged in over SSH to change this host, from where, and which keys the host proves itself with."""

from __future__ import annotations

import grp
import json
import os
import pwd
from typing import Any

from .facts.host import Host
from .facts.sshd import ssh_host
from .facts.sshd_match import files_read

OURS = "/etc/ssh/sshd_config.d/00-kijun.conf"


def session() -> tuple[str, str]:
    """The account and the client's address of the SSH session that this process descends from, proc(5).

    sudo(8) clears the environment; the processes above it still have SSH_CONNECTION, and the topmost of these is
    the login's own.

    Returns:
        Both; empty where there is no such session: a console, a container's own connection.
    """
    found, pid = ("", ""), os.getpid()
    while pid > 1:
        try:
            with open("/proc/%d/environ" % pid, "rb") as file:
                variables = file.read().split(b"\0")
            owner = os.stat("/proc/%d" % pid).st_uid
            with open("/proc/%d/stat" % pid, encoding="utf-8", errors="replace") as file:
                pid = int(file.read().rpartition(")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            break
        for variable in variables:
            if variable.startswith(b"SSH_CONNECTION="):
                found = (pwd.getpwuid(owner).pw_name, variable.partition(b"=")[2].split()[0].decode("ascii"))
    return found


def groups_of(name: str) -> list[str]:
    """Names of the groups of an account, those of directory services among them."""
    found = []
    for number in os.getgrouplist(name, pwd.getpwnam(name).pw_gid):
        try:
            found.append(grp.getgrgid(number).gr_name)
        except KeyError:
            continue
    return found


def main(argument: str) -> None:
    """Look, and print what was seen.

    Args:
        argument: JSON: rsa_bits, below which an RSA key is weak.
    """
    host = Host()
    login, address = session()
    problem = ""
    try:
        keys: dict[str, Any] = ssh_host(host, set())
    except OSError as error:  # sshd takes no connections as it is configured; the role may mend that
        keys, problem = {"key_types": {}, "rsa_bits": {}}, str(error)
    least = json.loads(argument)["rsa_bits"]
    read = files_read(host)
    weak = [path for path, bits in keys["rsa_bits"].items() if bits < least]
    weak += [path for path, kind in keys["key_types"].items() if kind == "dsa"]
    seen = {
        "login": login,
        "groups": groups_of(login) if login else [],
        "address": address,
        "problem": problem,
        "weak_host_keys": sorted(weak),
        "earlier": read[1 : read.index(OURS)] if OURS in read else [p for p in read[1:] if p < OURS],
    }
    print(json.dumps(seen))
