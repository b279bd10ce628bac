# SPDX-License-Identifier: GPL-3.0-or-later
"""Security updates: the fact, the program that records them, and what the settings may be."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import json
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from ansible_collections.kijun.baseline.plugins.module_utils.facts import FACTS
from ansible_collections.kijun.baseline.plugins.module_utils.facts.host import Host
from ansible_collections.kijun.baseline.plugins.module_utils.facts.updates import STATE, updates
from ansible_collections.kijun.baseline.plugins.module_utils.verdict import Unreadable
from ansible_collections.kijun.baseline.plugins.plugin_utils.limits import within
from kijun_tools import tree

HostWith = Callable[[dict[str, str]], Host]

DAY = 86400
SHOWN = """\
TimersCalendar={ OnCalendar=*-*-* 14:00:00 ; next_elapse=Sun 2026-11-22 14:00:00 UTC }
RandomizedDelayUSec=1h 30min

ExecStopPost={ path=/usr/local/lib/kijun/updates ; argv[]=/usr/local/lib/kijun/updates slot ; ignore_errors=no }
"""
DUMPED = """\
APT::Periodic::Enable "1";
APT::Periodic::Unattended-Upgrade "1";
APT::Periodic::Unattended-Upgrade "always";
Unattended-Upgrade::Origins-Pattern "";
Unattended-Upgrade::Origins-Pattern:: "origin=Example,label=Staged";
Unattended-Upgrade::Package-Blacklist:: "^linux-.*$";
Unattended-Upgrade::Automatic-Reboot "false";
"""
UPDATE = {"installed": "1", "available": "2", "source": "Debian-Security/test", "withheld": ""}


def recorded(host_with: HostWith, **changed: Any) -> Host:
    """A host with a record that was made just now."""
    now = time.time()
    record = {"set_up": now, "time": now, "lists": now, "pending": {}, "broken": [], "replaced_code": {}, **changed}
    host = host_with({STATE: json.dumps(record)})
    Path(host.path(STATE)).chmod(0o600)
    return host


def printing(host: Host, monkeypatch: pytest.MonkeyPatch, shown: str = SHOWN, dumped: str = DUMPED) -> Host:
    """The host, whose programs print that."""
    monkeypatch.setattr(host, "run", lambda *command: shown if command[0] == "systemctl" else dumped)
    return host


def read(host: Host) -> dict[str, Any]:
    return updates(host, set(FACTS["updates"].paths))


def test_what_is_set_up(host_with: HostWith, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = read(printing(recorded(host_with), monkeypatch))
    assert set(tree) == set(FACTS["updates"].paths)
    assert tree["slot"] == ["*-*-* 14:00:00"]
    assert (tree["spread_minutes"], tree["recorded_by_slot"]) == (90, True)
    assert (tree["installs"], tree["reboots"]) == (True, False)
    assert tree["origins"] == ["origin=Example,label=Staged"]
    assert tree["held"] == ["^linux-.*$"]


@pytest.mark.parametrize(
    ("dumped", "expected"),
    [
        ("", {"installs": False, "origins": [], "held": [], "reboots": False}),
        (DUMPED + 'APT::Periodic::Enable "0";\n', {"installs": False}),
        (DUMPED + 'APT::Periodic::Unattended-Upgrade "0";\n', {"installs": False}),
        (DUMPED + 'Unattended-Upgrade::Automatic-Reboot "true";\n', {"reboots": True}),
        (
            DUMPED + 'Unattended-Upgrade::Allowed-Origins:: "x:y";\n',
            {"origins": ["origin=Example,label=Staged", "Allowed-Origins: x:y"]},
        ),
    ],
)
def test_apts_settings(
    host_with: HostWith, monkeypatch: pytest.MonkeyPatch, dumped: str, expected: dict[str, Any]
) -> None:
    tree = read(printing(recorded(host_with), monkeypatch, dumped=dumped))
    assert {name: tree[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        ("RandomizedDelayUSec=0\n", {"slot": [], "spread_minutes": 0, "recorded_by_slot": False}),
        (SHOWN.replace("updates slot", "updates begin"), {"recorded_by_slot": False}),
        (
            SHOWN + "TimersCalendar={ OnCalendar=*-*-* 06:00:00 ; next_elapse=(null) }\n",
            {"slot": ["*-*-* 14:00:00", "*-*-* 06:00:00"]},
        ),
    ],
)
def test_the_timer(host_with: HostWith, monkeypatch: pytest.MonkeyPatch, shown: str, expected: dict[str, Any]) -> None:
    tree = read(printing(recorded(host_with), monkeypatch, shown=shown))
    assert {name: tree[name] for name in expected} == expected


def test_only_what_is_asked_for_is_run(host_with: HostWith, monkeypatch: pytest.MonkeyPatch) -> None:
    host = recorded(host_with)
    monkeypatch.setattr(host, "run", lambda *command: pytest.fail("ran %s" % command[0]))
    assert updates(host, {"record_age_days"})["record_age_days"] == 0


def test_what_is_left(host_with: HostWith, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    pending = {
        "late": {**UPDATE, "security": True, "staged": False, "since": now - 3 * DAY},
        "held": {**UPDATE, "security": True, "staged": True, "withheld": "on hold", "since": now},
        "other": {**UPDATE, "security": False, "staged": False, "since": now - 40 * DAY},
        "held-other": {**UPDATE, "security": False, "staged": False, "withheld": "on hold", "since": now},
    }
    host = recorded(
        host_with, pending=pending, broken=["halved"], replaced_code={"cron.service": now - DAY}, run=now - 2 * DAY
    )
    tree = read(printing(host, monkeypatch))
    assert tree["security_days"] == {
        "held 1 -> 2, Debian-Security/test, on hold": 0,
        "late 1 -> 2, Debian-Security/test, not staged": 3,
    }
    assert tree["other_days"]["other 1 -> 2, Debian-Security/test, not staged"] == 40
    assert tree["withheld"] == {"held": "1 -> 2, Debian-Security/test, on hold"}
    assert (tree["broken"], tree["replaced_code_days"], tree["run_age_days"]) == (["halved"], {"cron.service": 1}, 2)


def test_before_the_first_slot_its_age_is_the_settings(host_with: HostWith, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = read(printing(recorded(host_with, set_up=time.time() - DAY), monkeypatch))
    assert (tree["run_age_days"], tree["result"]) == (1, "none yet")


@pytest.mark.parametrize("text", [None, "{}", '{"set_up": 1}', "[]"])
def test_no_record_is_never_a_pass(host_with: HostWith, monkeypatch: pytest.MonkeyPatch, text: str | None) -> None:
    host = host_with({} if text is None else {STATE: text})
    if text is not None:
        Path(host.path(STATE)).chmod(0o600)
    tree = read(printing(host, monkeypatch))
    for name in ("withheld", "security_days", "other_days", "broken", "replaced_code_days"):
        assert isinstance(tree[name], Unreadable), name
    assert (tree["run_age_days"], tree["record_age_days"], tree["lists_age_days"]) == (None, None, None)


def test_a_record_that_others_can_write_is_none(host_with: HostWith, monkeypatch: pytest.MonkeyPatch) -> None:
    host = printing(recorded(host_with), monkeypatch)
    Path(host.path(STATE)).chmod(0o620)
    assert isinstance(read(host)["withheld"], Unreadable)


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The program that records, as a module."""
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    path = tree.ROOT / "roles" / "security_updates" / "files" / "updates"
    loader = importlib.machinery.SourceFileLoader("kijun_updates", str(path))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("origin=Debian,codename=${distro_codename}-security,label=Debian-Security", True),
        ("o=${distro_id}, l=Debian-*", True),
        ("site=deb.*,c=main,a=stable-security", True),
        ("origin=Debian,label=Debian", False),
        ("origin=Debian,colour=red", False),
        ("", False),
    ],
)
def test_sources_by_pattern(program: ModuleType, pattern: str, expected: bool) -> None:
    origin = SimpleNamespace(
        origin="Debian",
        label="Debian-Security",
        archive="stable-security",
        codename="bookworm-security",
        component="main",
        site="deb.example.com",
    )
    names = {"${distro_id}": "Debian", "${distro_codename}": "bookworm"}
    assert program.matches(pattern, origin, names) is expected


def test_the_first_sight_of_an_update_is_kept_until_something_is_installed(program: ModuleType) -> None:
    before = {"a": {"installed": "1", "since": 5}, "b": {"installed": "1", "since": 5}}
    found = {"a": {"installed": "1"}, "b": {"installed": "2"}, "c": {"installed": "1"}}
    assert {name: entry["since"] for name, entry in program.with_first_seen(found, before, 9).items()} == {
        "a": 5,
        "b": 9,
        "c": 9,
    }


def test_services_that_run_replaced_code(program: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "7f0000-7f1000 r-xp 00000000 08:01 42    %s\n"
    data = "7f0000-7f1000 rw-p 00000000 08:01 42    /usr/share/x/table (deleted)\n"
    replaced = code % "/usr/lib/x86_64-linux-gnu/libz.so.1 (deleted)"
    processes = {
        "1": ("0::/init.scope", code % "/usr/lib/systemd/systemd"),
        "20": ("0::/system.slice/ssh.service", data + replaced),
        "21": ("0::/system.slice/ssh.service", replaced),
        "22": ("0::/system.slice/system-getty.slice/getty@tty1.service", code % "/usr/sbin/agetty (deleted)"),
        "30": ("0::/system.slice/tables.service", data),
        "31": ("0::/system.slice/scratch.service", code % "/tmp/jit (deleted)"),
        "32": ("0::/system.slice/memory.service", code % "/memfd:x (deleted)"),
        "40": ("0::/user.slice/user-1000.slice/session-2.scope", replaced),
        "41": ("0::/user.slice/user-1000.slice/user@1000.service/init.scope", replaced),
    }
    for pid, (cgroup, maps) in processes.items():
        (tmp_path / pid).mkdir()
        (tmp_path / pid / "cgroup").write_text(cgroup + "\n", encoding="utf-8")
        (tmp_path / pid / "maps").write_text(maps, encoding="utf-8")
    (tmp_path / "50").mkdir()  # one that has just ended
    (tmp_path / "sys").mkdir()
    monkeypatch.setattr(program, "REBOOT", str(tmp_path / "reboot-required"))
    assert program.replaced_code(str(tmp_path)) == ["getty@tty1.service", "ssh.service"]
    (tmp_path / "reboot-required").touch()
    assert program.replaced_code(str(tmp_path)) == ["getty@tty1.service", "reboot", "ssh.service"]


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("time", ["00:00", "14:00", "23:59"], ["24:00", "9:00", "14:60", 840, None, "14:00:00", "14:00\n", "noon"]),
        ("packages", [[], ["libc6", "g++", "linux-*", "*"]], ["libc6", ["Libc6"], ['a"'], ["a;b"], ["a b"], [5], None]),
        (
            "origins",
            [[], ["origin=Debian,codename=${distro_codename}-security,label=Debian-Security"], ["site=mirror.example"]],
            ["origin=x", ["x"], ["origin=*"], ["component=main"], ["colour=x"], ['origin=x";'], ["origin=${x}"], [""]],
        ),
    ],
)
def test_limits(kind: str, good: list[Any], bad: list[Any]) -> None:
    limit = {"type": kind, "clause": "X-1"}
    assert [value for value in good if not within(value, limit)] == []
    assert [value for value in bad if within(value, limit)] == []
