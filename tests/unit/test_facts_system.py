# SPDX-License-Identifier: GPL-3.0-or-later
"""The other facts: system, kernel settings, units, sockets, files, sshd, packages; and how a host is read."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.kijun.baseline.plugins.module_utils.facts import FACTS, known
from ansible_collections.kijun.baseline.plugins.module_utils.facts import files as files_module
from ansible_collections.kijun.baseline.plugins.module_utils.facts import host as host_module
from ansible_collections.kijun.baseline.plugins.module_utils.facts.files import files
from ansible_collections.kijun.baseline.plugins.module_utils.facts.host import Host, Settings, lines, number_or_text
from ansible_collections.kijun.baseline.plugins.module_utils.facts.packages import packages
from ansible_collections.kijun.baseline.plugins.module_utils.facts.sockets import address, sockets
from ansible_collections.kijun.baseline.plugins.module_utils.facts.sshd import sshd
from ansible_collections.kijun.baseline.plugins.module_utils.facts.system import operating_system, sysctl
from ansible_collections.kijun.baseline.plugins.module_utils.facts.units import units
from ansible_collections.kijun.baseline.plugins.module_utils.verdict import Unreadable
from hypothesis import given
from hypothesis import strategies as st

HostWith = Callable[[dict[str, str]], Host]


def prints(monkeypatch: pytest.MonkeyPatch, host: Host, text: str) -> list[tuple[str, ...]]:
    """Let every program of a host print a text; return the list of what was run."""
    ran: list[tuple[str, ...]] = []

    def run(*command: str) -> str:
        ran.append(command)
        return text

    monkeypatch.setattr(host, "run", run)
    return ran


# --- the host


def test_a_program_gets_no_input_and_a_plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "x")
    text = Host().run("sh", "-c", "cat; env; echo done")
    assert text.splitlines()[-1] == "done"
    assert "SECRET" not in text
    assert "LC_ALL=C" in text


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["sh", "-c", "echo first >&2; echo last >&2; exit 3"], "exit status 3: last"),
        (["sh", "-c", "echo out; exit 1"], "exit status 1: out"),
        (["kijun-no-such-program"], "No such file"),
    ],
)
def test_a_program_that_fails_is_an_error_that_says_what_it_said(command: list[str], message: str) -> None:
    with pytest.raises(OSError, match=message):
        Host().run(*command)


def test_a_program_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_module, "TIMEOUT", 0.1)
    with pytest.raises(OSError, match="sleep did not answer"):
        Host().run("sleep", "5")


def test_bytes_that_are_no_text_are_replaced(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"a\xff\r\nb")
    assert Host(str(tmp_path)).read("/file") == "a\ufffd\r\nb"
    assert Host(str(tmp_path)).read_if_there("/gone") == ""


def test_a_problem_is_noted_once() -> None:
    host = Host()
    for _ in range(2):
        host.problem("/etc/passwd", 3, "bad")
    host.problem("/etc/group", 1, "worse")
    assert host.problems_in("/etc/passwd", "/etc/shadow") == ["/etc/passwd:3 bad"]


@given(st.lists(st.text().filter(lambda line: "\n" not in line)))
def test_lines_are_what_line_feeds_part(texts: list[str]) -> None:
    assert lines("".join(text + "\n" for text in texts)) == texts


def test_the_last_line_needs_no_line_feed() -> None:
    assert (lines(""), lines("a"), lines("a\nb"), lines("\n")) == ([], ["a"], ["a", "b"], [""])


def test_settings_that_are_not_set_are_null() -> None:
    settings = Settings({"a": 1})
    assert "b" in settings
    assert settings["b"] is None
    for value in (2, 3):
        settings.add("a", value)
    settings.add("c", 1)
    assert settings == {"a": [1, 2, 3], "c": 1}


@pytest.mark.parametrize(
    ("text", "value"), [("10", 10), ("-1", -1), ("+1", 1), ("1_0", "1_0"), ("٣", "٣"), ("", ""), ("x", "x")]
)
def test_numbers_are_those_that_programs_write(text: str, value: int | str) -> None:
    assert number_or_text(text) == value


# --- the registry


@pytest.mark.parametrize("name", FACTS)
def test_every_fact_has_a_reader(name: str) -> None:
    module, function = FACTS[name].reader.split(":")
    folder = "ansible_collections.kijun.baseline.plugins.module_utils.facts"
    assert callable(getattr(importlib.import_module(f"{folder}.{module}"), function))
    assert FACTS[name].about
    assert all(FACTS[name].paths.values())


@pytest.mark.parametrize(
    ("segments", "expected"),
    [
        (["faillock", "deny"], True),
        (["files", "/etc/shadow", "mode"], True),
        (["pam", "sshd", "auth", "options", "pam_unix.so"], True),
        (["pam", "without_lockout"], True),
        (["faillock"], False),
        (["faillock", "deny", "more"], False),
        (["files", "/etc/shadow", "moed"], False),
        (["pam", "sshd", "session", "modules"], False),
        (["accounts", "hashes"], False),
        (["weather", "today"], False),
    ],
)
def test_known_paths(segments: list[str], expected: bool) -> None:
    assert known(segments) is expected


# --- system


def test_the_operating_system(host_with: HostWith) -> None:
    text = 'PRETTY_NAME="Debian GNU/Linux 13 (trixie)"\nID=debian\nVERSION_ID="13"\nnot a setting\n'
    found = operating_system(host_with({"/etc/os-release": text, "/run/systemd/container": "podman\n"}), set())
    assert found == {
        "id": "debian",
        "version_id": "13",
        "pretty_name": "Debian GNU/Linux 13 (trixie)",
        "kernel": os.uname().release,
        "container": "podman",
    }


def test_an_unknown_system_has_no_name(host_with: HostWith) -> None:
    found = operating_system(host_with({"/etc/os-release": ""}), set())
    assert (found["id"], found["pretty_name"], found["container"]) == (None, None, None)
    with pytest.raises(FileNotFoundError):
        operating_system(Host("/proc/self/gone"), set())


def test_kernel_settings(host_with: HostWith) -> None:
    host = host_with({"/proc/sys/net/ipv4/ip_forward": "0\n", "/proc/sys/kernel/core_pattern": "|/bin/false\n"})
    keys = {"net.ipv4.ip_forward", "kernel.core_pattern", "net.ipv6.gone"}
    assert sysctl(host, keys) == {"net.ipv4.ip_forward": 0, "kernel.core_pattern": "|/bin/false", "net.ipv6.gone": None}


# --- units


def test_units_are_read_with_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host()
    ran = prints(
        monkeypatch,
        host,
        "LoadState=loaded\nActiveState=active\nUnitFileState=enabled\n\n"
        "LoadState=not-found\nActiveState=inactive\nUnitFileState=\n",
    )
    assert units(host, {"b.service", "a.service"}) == {
        "a.service": {"load": "loaded", "active": "active", "enabled": "enabled"},
        "b.service": {"load": "not-found", "active": "inactive", "enabled": ""},
    }
    assert [command[-3:] for command in ran] == [("--", "a.service", "b.service")]


# --- sockets

HEADER = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"


def entry(local: str, state: str, inode: int) -> str:
    return f"   0: {local} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000     0        0 {inode} 1\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0100007F:0016", ("127.0.0.1", 22)),
        ("00000000:0143", ("0.0.0.0", 323)),
        ("010200C0:FFFF", ("192.0.2.1", 65535)),
        ("00000000000000000000000000000000:007B", ("::", 123)),
        ("00000000000000000000000001000000:0016", ("::1", 22)),
        ("B80D0120000000000000000001000000:0035", ("2001:db8::1", 53)),
    ],
)
def test_addresses_of_proc_net(text: str, expected: tuple[str, int]) -> None:
    assert address(text) == expected


def test_sockets_that_wait_for_peers(host_with: HostWith, tmp_path: Path) -> None:
    host = host_with(
        {
            "/proc/net/tcp": HEADER
            + entry("00000000:0016", "0A", 1)
            + entry("0100007F:1F90", "0A", 2)
            + entry("00000000:0050", "01", 3),
            "/proc/net/tcp6": HEADER
            + entry("0000000000000000FFFF00000100007F:1F91", "0A", 4)
            + entry("00000000000000000000000000000000:0016", "0A", 5),
            "/proc/net/udp": HEADER + entry("0100007F:0143", "07", 6) + entry("00000000:007B", "01", 7),
            "/proc/12/comm": "sshd\n",
            "/proc/sys/x": "",
        }
    )
    (tmp_path / "proc/12/fd").mkdir()
    (tmp_path / "proc/12/fd/3").symlink_to("socket:[1]")
    (tmp_path / "proc/12/fd/4").symlink_to("/dev/null")
    (tmp_path / "proc/13").mkdir()  # a process that is gone when its files are looked at
    found = sockets(host, {"programs"})
    assert found["tcp"][:3] == ["0.0.0.0:22", "127.0.0.1:8080", "[::]:22"]
    assert len(found["tcp"]) == 4
    assert found["tcp_ports"] == [22]
    assert (found["udp"], found["udp_ports"]) == (["127.0.0.1:323"], [])
    assert found["programs"]["tcp/0.0.0.0:22"] == "sshd"
    assert found["programs"]["tcp/[::]:22"] == "?"


@pytest.mark.parametrize("missing", ["tcp", "udp"])
def test_a_table_that_is_not_there_is_not_an_empty_one(host_with: HostWith, missing: str) -> None:
    host = host_with({f"/proc/net/{name}": HEADER for name in ("tcp", "udp") if name != missing})
    with pytest.raises(FileNotFoundError):
        sockets(host, set())


# --- files


def test_files(host_with: HostWith, tmp_path: Path) -> None:
    host = host_with({"/etc/shadow": "secret\n", "/etc/place/x": ""})
    (tmp_path / "etc/shadow").chmod(0o4640)
    (tmp_path / "etc/link").symlink_to("/gone")
    os.mkfifo(tmp_path / "etc/pipe")
    paths = {"/etc/shadow", "/etc/place", "/etc/link", "/etc/pipe", "/etc/gone", "/etc/shadow/below"}
    found = files(host, paths)
    shadow = found["/etc/shadow"]
    assert (shadow["type"], shadow["mode"], shadow["content"]) == ("file", "4640", "secret\n")
    assert shadow["sha256"] == "b37e50cedcd3e3f1ff64f4afc0422084ae694253cf399326868e07a35f4a45fb"
    assert (found["/etc/place"]["type"], found["/etc/place"]["content"]) == ("directory", None)
    assert (found["/etc/link"]["type"], found["/etc/link"]["target"]) == ("link", "/gone")
    assert found["/etc/pipe"]["type"] == "other"
    for absent in ("/etc/gone", "/etc/shadow/below"):
        assert found[absent]["exists"] is False
        assert found[absent]["mode"] is None


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: it gives files away")
def test_owners_are_names_or_else_numbers(host_with: HostWith, tmp_path: Path) -> None:
    host = host_with({"/one": "", "/two": ""})
    os.chown(tmp_path / "one", 0, 0)
    os.chown(tmp_path / "two", 61234, 61235)
    found = files(host, {"/one", "/two"})
    assert (found["/one"]["owner"], found["/one"]["group"]) == ("root", "root")
    assert (found["/two"]["owner"], found["/two"]["group"]) == ("61234", "61235")


def test_the_content_of_a_large_file_is_unreadable(host_with: HostWith, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files_module, "LARGEST", 10)
    found = files(host_with({"/small": "x" * 10, "/large": "x" * 11}), {"/small", "/large"})
    assert found["/small"]["content"] == "x" * 10
    assert isinstance(found["/large"]["content"], Unreadable)
    assert isinstance(found["/large"]["sha256"], Unreadable)
    assert found["/large"]["exists"] is True


@pytest.mark.parametrize("call", ["lstat", "open"])
def test_a_file_that_cannot_be_looked_at_is_unreadable(
    host_with: HostWith, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise PermissionError(13, "Permission denied")

    host = host_with({"/etc/shadow": "x"})
    monkeypatch.setattr(*((os, "lstat", refuse) if call == "lstat" else ("builtins.open", refuse)))
    found = files(host, {"/etc/shadow"})["/etc/shadow"]
    content = found if call == "lstat" else found["content"]
    assert isinstance(content, Unreadable)
    assert content.why == "/etc/shadow: Permission denied"


# --- sshd


def test_settings_of_sshd(host_with: HostWith, monkeypatch: pytest.MonkeyPatch) -> None:
    host = host_with({"/usr/sbin/sshd": "", "/run/sshd/x": ""})
    ran = prints(monkeypatch, host, "permitemptypasswords no\nacceptenv LANG\nacceptenv LC_*\nport 22\n")
    found = sshd(host, set())
    assert (found["permitemptypasswords"], found["acceptenv"]) == ("no", ["LANG", "LC_*"])
    assert found["gone"] is None
    assert ran == [("/usr/sbin/sshd", "-T")]


def test_an_sshd_that_does_not_run_is_given_the_folder_it_asks_for(
    host_with: HostWith, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = host_with({"/usr/sbin/sshd": ""})
    ran = prints(monkeypatch, host, "permitemptypasswords no\n")
    assert sshd(host, set())["permitemptypasswords"] == "no"
    assert ran[0][:2] == ("unshare", "--mount")


def test_where_no_sshd_is_installed_nothing_is_set(host_with: HostWith, monkeypatch: pytest.MonkeyPatch) -> None:
    host = host_with({})
    ran = prints(monkeypatch, host, "")
    assert sshd(host, set())["permitemptypasswords"] is None
    assert ran == []


def test_an_sshd_that_refuses_its_configuration_is_unreadable(
    host_with: HostWith, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*command: str) -> str:
        raise OSError("sshd -T: exit status 255: Bad configuration option")

    host = host_with({"/usr/sbin/sshd": ""})
    monkeypatch.setattr(host, "run", run)
    with pytest.raises(OSError, match="Bad configuration"):
        sshd(host, set())


# --- packages

STATUS = """Package: chrony
Status: install ok installed
Version: 4.6.1-3

Package: half
Status: install ok half-configured
Version: 1

Package: gone
Status: deinstall ok config-files
Version: 2
Description: it was
 ok installed
Version: 3

Package: held
Status: hold ok installed
Version: 1:2.3-4

Package: chrony-tools
Status: install ok installed
Version: 9
"""


def test_versions_of_packages_that_are_wholly_installed(host_with: HostWith) -> None:
    host = host_with({"/var/lib/dpkg/status": STATUS})
    names = {"chrony", "half", "gone", "held", "never"}
    expected = {"chrony": "4.6.1-3", "half": None, "gone": None, "held": "1:2.3-4", "never": None}
    assert packages(host, names) == expected


def test_without_a_status_file_nothing_is_told_of_packages(host_with: HostWith) -> None:
    with pytest.raises(FileNotFoundError):
        packages(host_with({}), {"chrony"})
