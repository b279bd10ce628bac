# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's description, what it takes over from the machine's apt, and its agreement with the lab's inventory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from kijun_lab import apt, description
from kijun_lab.errors import LabError

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(("value", "number"), [(None, 0), ("", 0), ("0", 0), ("7", 7), ("199", 199)])
def test_the_instance_comes_from_the_environment(value: str | None, number: int) -> None:
    assert description.instance_number({} if value is None else {"KIJUN_LAB": value}) == number


@pytest.mark.parametrize("value", ["200", "-1", "one", "1.5", " 1", "²"])
def test_an_instance_outside_its_range_is_refused(value: str) -> None:
    with pytest.raises(LabError, match="0 to 199"):
        description.instance_number({"KIJUN_LAB": value})


def test_addresses_follow_from_instance_and_octet() -> None:
    lab = description.read(7)
    host = lab.hosts["client13"]
    assert lab.subnet == "10.213.7.0/24"
    assert (host.address, host.container, host.mac) == ("10.213.7.22", "kijun-lab7-client13", "02:00:0a:d5:07:16")


def test_hosts_can_be_chosen_by_name() -> None:
    lab = description.read(0)
    assert [host.name for host in lab.chosen(["time1", "server12"])] == ["server12", "time1"]
    assert len(lab.chosen([])) == len(lab.hosts)
    with pytest.raises(LabError, match=r"no such host: server99 .*server12"):
        lab.chosen(["server99"])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ("b: {octet: 2, image: i, groups: []}", "octet 2 is taken"),
        ("b: {octet: 1, image: i, groups: []}", "octet 1 is taken or not within"),
        ("b: {octet: 3, image: other, groups: []}", "no image 'other'"),
    ],
)
def test_a_wrong_description_is_refused(tmp_path: Path, changed: str, message: str) -> None:
    path = tmp_path / "lab.yml"
    path.write_text(
        "network_prefix: '10.213'\nimages: {i: {suite: trixie}}\npackages: []\nhosts:\n"
        f"  a: {{octet: 2, image: i, groups: []}}\n  {changed}\n",
        encoding="utf-8",
    )
    with pytest.raises(LabError, match=message):
        description.read(0, path)


def test_the_inventory_is_the_lab() -> None:
    lab = description.read(5)
    listed = subprocess.run(
        [Path(sys.executable).with_name("ansible-inventory"), "--inventory", "inventories/lab", "--list"],
        cwd=CHECKOUT,
        env={**os.environ, "KIJUN_LAB": "5"},
        capture_output=True,
        check=True,
    )
    inventory = json.loads(listed.stdout)
    shown = "msg={{ inventory_hostname }}={{ ansible_host }}"
    debugged = subprocess.run(
        [Path(sys.executable).with_name("ansible"), "-i", "inventories/lab", "lab", "-m", "debug", "-a", shown],
        cwd=CHECKOUT,
        env={**os.environ, "KIJUN_LAB": "5", "ANSIBLE_NOCOLOR": "1"},
        capture_output=True,
        check=True,
        text=True,
    ).stdout

    managed = {name: host for name, host in lab.hosts.items() if host.groups}
    for name, host in managed.items():
        assert f"{name}={host.address}" in debugged
    groups = {group for host in managed.values() for group in host.groups}
    for group in groups:
        assert set(inventory[group]["hosts"]) == {name for name, host in managed.items() if group in host.groups}
    assert set(inventory["_meta"]["hostvars"]) == set(managed)


def targets(*rows: tuple[str, str, str, str]) -> str:
    return "".join("\t".join(row) + "\n" for row in rows)


def test_mirrors_are_chosen_from_all_the_machines_sources() -> None:
    chosen = apt.choose_mirrors(
        targets(
            ("https://packages.example.com/tool/", "bookworm", "main", "Tool"),
            ("https://packages.example.com/node/", "nodistro", "main", ""),
            ("http://mirror.example.com/debian/", "bookworm", "contrib", "Debian"),
            ("http://mirror.example.com/debian/", "bookworm", "main", "Debian"),
            ("http://mirror.example.com/debian/", "bookworm-updates", "main", "Debian"),
            ("http://security.example.com/sec/", "bookworm-security", "main", "Debian"),
        ),
        "bookworm",
    )
    assert chosen == apt.Mirrors("http://mirror.example.com/debian", "http://security.example.com/sec")
    assert [line.split(" ", 2)[2] for line in chosen.sources("trixie")] == [
        "http://mirror.example.com/debian trixie main",
        "http://mirror.example.com/debian trixie-updates main",
        "http://security.example.com/sec trixie-security main",
    ]


def test_without_a_security_source_its_usual_place_is_taken() -> None:
    chosen = apt.choose_mirrors(targets(("http://mirror.example.com/debian/", "stable", "main", "")), "bookworm")
    assert chosen.security == "http://mirror.example.com/debian-security"


def test_a_machine_without_debian_sources_is_refused() -> None:
    with pytest.raises(LabError, match="bookworm"):
        apt.choose_mirrors(targets(("http://packages.example.com/", "bookworm", "main", "Tool")), "bookworm")


ONE_LINE = "deb [arch=amd64] http://mirror.example.com/debian bookworm main contrib\n"
DEB822 = """\
Types: deb deb-src
URIs: http://mirror.example.com/debian
Suites: bookworm bookworm-updates
Components: main contrib
Architectures: amd64

Enabled: no
Types: deb
URIs: http://off.example.com/debian
Suites: bookworm
Components: main
"""


@pytest.mark.parametrize(("name", "content"), [("debian.list", ONE_LINE), ("debian.sources", DEB822)])
def test_apt_reads_both_forms_of_sources(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    options = [f"Dir::Etc::sourceparts={tmp_path}", "Dir::Etc::sourcelist=/dev/null", f"Dir::State::lists={tmp_path}"]
    printed = subprocess.run(
        [*apt.LIST_INDEXES, "--no-release-info", *(f"--option={option}" for option in options)],
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    assert apt.choose_mirrors(printed, "bookworm").archive == "http://mirror.example.com/debian"


def test_settings_that_reach_the_mirror_are_taken_over() -> None:
    dump = (
        'Acquire "";\n'
        'Acquire::http "";\n'
        'Acquire::http::Proxy "http://192.0.2.1:3128";\n'
        'Acquire::https::Verify-Peer "true";\n'
        'Acquire::Check-Valid-Until "false";\n'
        'Acquire::Languages "none";\n'
        'Acquire::IndexTargets::deb::Packages::Optional "0";\n'
        'DPkg::Post-Invoke:: "true";\n'
    )
    assert apt.needed_settings(dump, {"http_proxy": "http://192.0.2.9:8080"}) == [
        'Acquire::http::Proxy "http://192.0.2.1:3128";',
        'Acquire::https::Verify-Peer "true";',
        'Acquire::Check-Valid-Until "false";',
    ]


def test_proxies_of_the_environment_are_taken_over() -> None:
    assert apt.needed_settings("", {"https_proxy": "http://192.0.2.9:8080", "http_proxy": ""}) == [
        'Acquire::https::Proxy "http://192.0.2.9:8080";'
    ]
