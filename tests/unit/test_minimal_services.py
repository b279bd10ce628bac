# SPDX-License-Identifier: GPL-3.0-or-later
"""What is installed, what starts, what listens; and what the role knows of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.kijun.baseline.plugins.module_utils.facts.host import Host
from ansible_collections.kijun.baseline.plugins.module_utils.facts.packages import software
from ansible_collections.kijun.baseline.plugins.module_utils.facts.sockets import sockets
from ansible_collections.kijun.baseline.plugins.module_utils.facts.units import services
from ansible_collections.kijun.baseline.plugins.modules.unneeded_software import NEVER, verbs
from ansible_collections.kijun.baseline.plugins.plugin_utils.limits import allowed, within
from kijun_tools import tree

HostWith = Callable[[dict[str, str]], Host]
ROLE = tree.ROOT / "roles" / "minimal_services"


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


CLASSES = load(ROLE / "defaults" / "main" / "classes.yml")["__minimal_services_classes"]
KNOWN = load(ROLE / "vars" / "main.yml")


def paragraph(name: str, **fields: str) -> str:
    given = {"Status": "install ok installed", "Priority": "optional", "Section": "net", "Version": "1", **fields}
    return f"Package: {name}\n" + "".join(f"{key.replace('_', '-')}: {value}\n" for key, value in given.items())


STATUS = "\n".join(
    [
        paragraph("asked", Depends="needed (>= 1), other | alternative, virtual"),
        paragraph("needed"),
        paragraph("alternative"),
        paragraph("provider", Provides="virtual (= 2)"),
        paragraph("also", Recommends="recommended", Suggests="suggested"),
        paragraph("recommended"),
        paragraph("suggested"),
        paragraph("pulled-in"),
        paragraph("base", Priority="standard"),
        paragraph("libthing1", Section="contrib/libs"),
        paragraph("gone", Status="deinstall ok config-files", Depends="also"),
    ]
)


def test_what_somebody_asked_for(host_with: HostWith) -> None:
    marks = "Package: pulled-in\nArchitecture: amd64\nAuto-Installed: 1\n\nPackage: asked\nAuto-Installed: 0\n"
    host = host_with({"/var/lib/dpkg/status": STATUS, "/var/lib/apt/extended_states": marks})
    found = software(host, {"installed", "chosen"})
    assert found["chosen"] == ["also", "asked", "suggested"]
    assert len(found["installed"]) == 10
    assert "gone" not in found["installed"]
    assert "chosen" not in software(host, {"installed"})


def test_without_marks_of_apt_nothing_was_pulled_in(host_with: HostWith) -> None:
    host = host_with({"/var/lib/dpkg/status": paragraph("tool")})
    assert software(host, {"chosen"})["chosen"] == ["tool"]


def test_what_starts_at_boot(host_with: HostWith, tmp_path: Path) -> None:
    unit = "[Service]\n"
    host = host_with(
        {
            "/usr/lib/systemd/system/there.service": unit,
            "/usr/lib/systemd/system/masked.service": unit,
            "/usr/lib/systemd/system/template@.service": unit,
            "/usr/lib/systemd/system/some.target": "",
            "/etc/systemd/system/own.timer": "",
            "/run/systemd/generator.late/script.service": unit,
        }
    )
    wants = tmp_path / "etc/systemd/system/multi-user.target.wants"
    late = tmp_path / "run/systemd/generator.late/multi-user.target.wants"
    requires = tmp_path / "etc/systemd/system/x.service.requires"
    for folder, names in (
        (wants, ("there.service", "masked.service", "template@one.two.service", "some.target", "gone.service")),
        (late, ("script.service",)),
        (requires, ("own.timer",)),
    ):
        folder.mkdir(parents=True)
        for name in names:
            (folder / name).symlink_to("/nowhere")
    (tmp_path / "etc/systemd/system/masked.service").symlink_to("/dev/null")
    assert services(host, {"enabled"}) == {
        "enabled": ["own.timer", "script.service", "template@one.two.service", "there.service"]
    }


def test_what_runs(host_with: HostWith, monkeypatch: pytest.MonkeyPatch) -> None:
    host = host_with({})
    lines = "ssh.service loaded active running OpenBSD Secure Shell server\ncups.socket loaded active listening CUPS\n"
    monkeypatch.setattr(host, "run", lambda *command: lines)
    assert services(host, {"active"})["active"] == ["cups.socket", "ssh.service"]


HEADER = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"


def listening(port: str, inode: int) -> str:
    return f"   0: 00000000:{port} 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 {inode} 1\n"


def test_a_listener_is_named_by_its_program(
    host_with: HostWith, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = HEADER + listening("0016", 1) + listening("0050", 2) + listening("0051", 3) + listening("0052", 4)
    host = host_with({"/proc/net/tcp": table, "/proc/net/udp": HEADER, "/proc/1/comm": "x", "/proc/7/comm": "sshd\n"})
    programs = {"1": ("/usr/lib/systemd/systemd", (1, 2)), "7": ("/usr/bin/python3.11 (deleted)", (1, 3))}
    for pid, (program, inodes) in programs.items():
        (tmp_path / f"proc/{pid}/exe").symlink_to(program)
        (tmp_path / f"proc/{pid}/fd").mkdir()
        for inode in inodes:
            (tmp_path / f"proc/{pid}/fd/{inode}").symlink_to(f"socket:[{inode}]")
    ran = "0.0.0.0:80 web.socket web.service\n[::]:22 ssh.socket ssh.service\n"
    monkeypatch.setattr(host, "run", lambda *command: ran)
    assert sockets(host, {"listening"})["listening"] == [
        "tcp 0.0.0.0:22 python3.11",  # not what it calls itself; systemd handed the socket over
        "tcp 0.0.0.0:80 web.socket",
        "tcp 0.0.0.0:81 python3.11",
        "tcp 0.0.0.0:82 ?",
    ]


# --- the module


@pytest.mark.parametrize(
    ("load_state", "active", "expected"),
    [
        ("loaded", "active", ["stop", "mask"]),
        ("loaded", "inactive", ["mask"]),
        ("loaded", "failed", ["mask"]),
        ("masked", "active", ["stop"]),
        ("masked", "inactive", []),
    ],
)
def test_what_makes_a_unit_one_that_does_not_run(load_state: str, active: str, expected: list[str]) -> None:
    state = {"LoadState": load_state, "ActiveState": active, "UnitFileState": "enabled"}
    assert verbs("kijun-no-such.service", state) == expected


# --- what the role knows


def test_no_class_removes_what_a_host_needs() -> None:
    packages = [name for entry in CLASSES.values() for name in entry["packages"]]
    assert packages
    assert not [name for name in packages if NEVER.fullmatch(name)]


@pytest.mark.parametrize("name", CLASSES)
def test_a_class_is_of_its_form(name: str) -> None:
    entry = CLASSES[name]
    assert set(entry) - {"along"} == {"packages", "units"}
    assert all(unit.endswith((".service", ".socket", ".timer", ".path")) for unit in entry["units"])
    assert entry["packages"] == sorted(set(entry["packages"]))


def matches(name: str, patterns: list[str]) -> bool:
    return any(re.fullmatch(re.escape(pattern).replace(r"\*", ".*"), name) for pattern in patterns)


def literal(module: str, key: str) -> list[tuple[str, str]]:
    """Role and name of what roles install, or start, by name."""
    found = []
    for role in tree.roles():
        for task in load(role.path / "tasks" / "main.yml"):
            for entry in (task.get(f"kijun.baseline.{module}") or {}).get(key) or []:
                name = entry if isinstance(entry, str) else entry["name"]
                if isinstance(name, str) and "{{" not in name and len(name) > 1:
                    found.append((role.name, name))
    return found


@pytest.mark.parametrize(
    ("module", "key", "lists"),
    [
        ("packages", "names", ["__minimal_services_base_software"]),
        ("units", "units", ["__minimal_services_base_units", "__minimal_services_own_units"]),
    ],
)
def test_what_kijuns_own_roles_bring_is_no_surprise(module: str, key: str, lists: list[str]) -> None:
    patterns = [pattern for name in lists for pattern in KNOWN[name]] + [
        pattern for needed in ("antimalware_mirror", "database", "log_server") for pattern in CLASSES[needed]["along"]
    ]
    wanted = [
        (role, name)
        for role, name in literal(module, key)
        if name.endswith((".service", ".socket", ".timer", ".path")) or module == "packages"
    ]
    unknown = [(role, name) for role, name in wanted if not matches(name, patterns) and not is_library(name)]
    assert not unknown, "enter it in roles/minimal_services/vars/main.yml"


def is_library(name: str) -> bool:
    """Libraries and what only comes with one of the other packages are no software of its own to the audit."""
    return name.startswith("lib")


# --- limits

SOCKET = {"protocol": "tcp", "port": 443, "program": "nginx"}


@pytest.mark.parametrize(
    "good", [[], [SOCKET], [{**SOCKET, "port": "any"}], [{**SOCKET, "addresses": ["192.0.2.1", "2001:db8::1"]}]]
)
def test_sockets_that_may_be_allowed(good: list[Any]) -> None:
    assert within(good, {"type": "listeners", "clause": "X-1"})


@pytest.mark.parametrize(
    "changed",
    [
        {"protocol": "sctp"},
        {"port": 0},
        {"port": 65536},
        {"port": "http"},
        {"program": ""},
        {"program": "a b"},
        {"program": None},
        {"addresses": "eth0"},
        {"addresses": ["192.0.2.0/24"]},
        {"prot": "tcp"},
    ],
)
def test_sockets_that_may_not(changed: dict[str, Any]) -> None:
    assert not within([{**SOCKET, **changed}], {"type": "listeners", "clause": "X-1"})


def test_members_of_a_list_may_be_limited() -> None:
    limit = {"type": "names", "of": ["web", "dns_server"], "clause": "X-1"}
    assert within(["web"], limit)
    assert not within(["wbe"], limit)
    assert allowed(limit) == "a list of names of web, dns_server"


@pytest.mark.parametrize(
    ("value", "taken"), [(["app@*.service"], True), (["a b"], False), ("app", False), (["[a]"], False)]
)
def test_patterns(value: Any, taken: bool) -> None:
    assert within(value, {"type": "patterns", "clause": "X-1"}) is taken
