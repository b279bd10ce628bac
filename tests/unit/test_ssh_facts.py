# SPDX-License-Identifier: GPL-3.0-or-later
"""Which connections the audit asks sshd about, and what keeps Ansible from shutting itself out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.kijun.baseline.plugins.action.ssh_access import complaints
from ansible_collections.kijun.baseline.plugins.module_utils.facts import sshd_match
from ansible_collections.kijun.baseline.plugins.module_utils.facts.host import Host
from ansible_collections.kijun.baseline.plugins.module_utils.facts.sshd_match import Connection, Login

PASSWD = """\
root:x:0:0:root:/root:/bin/bash
daemon:x:1:1::/:/usr/sbin/nologin
admin:x:1000:1000::/home/admin:/bin/bash
worker:x:1001:1001::/home/worker:/bin/bash
guest:x:1002:50::/home/guest:/bin/bash
"""
GROUP = "root:x:0:\nadmin:x:1000:\nworker:x:1001:\nguests:x:50:\nsudo:x:27:admin,worker\noperators:x:60:worker\n"


@pytest.fixture
def host(tmp_path: Path) -> Host:
    (tmp_path / "etc/ssh/sshd_config.d").mkdir(parents=True)
    (tmp_path / "etc/passwd").write_text(PASSWD, encoding="utf-8")
    (tmp_path / "etc/group").write_text(GROUP, encoding="utf-8")
    return Host(str(tmp_path))


def write(host: Host, text: str, name: str = "") -> None:
    path = f"/etc/ssh/sshd_config.d/{name}" if name else sshd_match.MAIN
    Path(host.path(path)).write_text(text, encoding="utf-8")


def asked(host: Host, *groups: str) -> list[Connection]:
    return sshd_match.connections(sshd_match.blocks(host), sshd_match.logins(host), set(groups))


def test_groups_of_an_account_hold_its_primary_one(host: Host) -> None:
    groups = {login.name: login.groups for login in sshd_match.logins(host)}
    assert groups == {
        "root": {"root"},
        "admin": {"admin", "sudo"},
        "worker": {"worker", "sudo", "operators"},
        "guest": {"guests"},
    }


def test_files_are_read_in_the_order_of_their_names(host: Host) -> None:
    write(host, "Include /etc/ssh/sshd_config.d/*.conf\nPort 22\n")
    for name in ("50-b.conf", "00-a.conf", "00-kijun.conf", "ignored.txt"):
        write(host, "UsePAM yes\n", name)
    folder = "/etc/ssh/sshd_config.d/"
    expected = [sshd_match.MAIN, *(folder + name for name in ("00-a.conf", "00-kijun.conf", "50-b.conf"))]
    assert sshd_match.files_read(host) == expected


def test_one_connection_where_nothing_is_told_apart(host: Host) -> None:
    write(host, "PermitRootLogin no\nMatch all\n UsePAM yes\n")
    assert [connection.login.name for connection in asked(host)] == ["root"]


@pytest.mark.parametrize(
    ("block", "caught"),
    [
        ("Match User worker", "worker from 192.0.2.1"),
        ("Match User=gue*", "guest from 192.0.2.1"),
        ('Match User "from-a-directory-*"', "from-a-directory-x from 192.0.2.1"),
        ("match group guests,!sudo", "guest from 192.0.2.1"),
        ("Match Group sudo Group operators", "worker from 192.0.2.1"),
        ("Match User guest Address 10.1.0.0/16", "guest from 10.1.0.0"),
        ("Match Address *,!192.0.2.0/24 User guest", "guest from 198.51.100.1"),
        ("Match Host *.example.com User guest", "guest from 192.0.2.1 as x.example.com"),
        ("Match LocalPort 2222 User guest", "guest from 192.0.2.1 to port 2222"),
        ("Match LocalAddress 10.0.0.1 User guest", "guest from 192.0.2.1 to 10.0.0.1"),
    ],
)
def test_each_block_is_met_by_a_connection(host: Host, block: str, caught: str) -> None:
    write(host, f"Include /etc/ssh/sshd_config.d/*.conf\n{block}\n PermitRootLogin yes\n")
    assert caught in map(str, asked(host))


def test_groups_of_interest_are_told_apart_without_a_block(host: Host) -> None:
    write(host, "UsePAM yes\n")
    assert {connection.login.name for connection in asked(host, "operators")} == {"root", "worker"}


def test_too_many_kinds_are_not_judged(host: Host) -> None:
    write(host, "".join(f"Match Address 10.0.{n}.0/24\n UsePAM yes\n" for n in range(70)))
    with pytest.raises(OSError, match="tell 71 kinds"):
        asked(host)


def test_probes_stand_in_and_beside_networks() -> None:
    found = dict(sshd_match.probes(["10.0.0.0/29", "2001:db8:1::/48"]))
    assert (found["10.0.0.7"], found["10.0.0.8"], found["9.255.255.255"]) == (True, False, False)
    assert (found["2001:db8:2::"], found["2001:db8::1"]) == (False, False)
    assert all(sshd_match.probes(["0.0.0.0/0", "::/0"]))


SEEN: dict[str, Any] = {"login": "admin", "groups": ["admin", "sudo"], "address": "192.0.2.10"}
GIVEN: dict[str, Any] = {
    "allowed_groups": ["sudo"],
    "second_factor_groups": ["operators"],
    "networks": ["192.0.2.0/24"],
    "root_login": False,
}


@pytest.mark.parametrize(
    ("seen", "given", "told"),
    [
        ({}, {}, ""),
        ({"login": "", "groups": [], "address": ""}, {"allowed_groups": ["nobody"]}, ""),
        ({"address": "::ffff:192.0.2.10"}, {}, ""),
        ({}, {"networks": []}, ""),
        ({}, {"allowed_groups": ["wheel"]}, "ssh_allowed_groups is ['wheel']; it must contain a group of admin"),
        ({}, {"networks": ["198.51.100.0/24"]}, "it must contain 192.0.2.10, the address that Ansible comes from"),
        ({}, {"second_factor_groups": ["sudo"]}, "ssh_second_factor_groups is ['sudo']; it must not contain"),
        ({"login": "root"}, {}, "ansible_user is 'root'"),
        ({"login": "root", "groups": ["sudo"]}, {"root_login": True}, ""),
    ],
)
def test_settings_that_shut_ansible_out_are_told(seen: dict[str, Any], given: dict[str, Any], told: str) -> None:
    found = "; ".join(complaints({**SEEN, **seen}, {**GIVEN, **given}))
    assert told in found
    assert bool(found) == bool(told)


def test_a_login_reads_as_somebody_from_somewhere() -> None:
    assert str(Connection(Login("worker", frozenset()))) == "worker from 192.0.2.1"
