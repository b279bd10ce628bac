# SPDX-License-Identifier: GPL-3.0-or-later
"""Services and software that nobody needs, planted on hosts that role minimal_services has been applied to."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from .conftest import Machine

Audit = Callable[..., dict[str, dict[str, Any]]]

PLANTED = ["rpcbind", "tftpd-hpa", "telnet", "inetutils-telnet", "ftp", "tnftp"]
"""A service with socket activation, one with a script in /etc/init.d, and clients of protocols without encryption."""

SERVICE = "[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n"
SCRIPT = """\
#!/bin/sh
### BEGIN INIT INFO
# Provides: kijuntest-script
# Default-Start: 2 3 4 5
# Default-Stop: 0 1 6
### END INIT INFO
"""
DISGUISED = """\
import ctypes, socket, time
ctypes.CDLL(None).prctl(15, b"sshd", 0, 0, 0)
listener = socket.create_server(("0.0.0.0", {port}))
time.sleep(1000)
"""


@pytest.fixture
def audit(machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Audit:
    """Audit the host, and return each control's record; settings are given by name."""

    def run(**settings: Any) -> dict[str, dict[str, Any]]:
        monkeypatch.setenv("KIJUN_REPORT_DIR", str(tmp_path))
        done = machine.playbook("audit", "--tags", "minimal_services", "-e", json.dumps(settings))
        assert done.returncode == 0, done.stdout + done.stderr
        record = json.loads((tmp_path / "latest" / "hosts" / f"{machine.name}.json").read_text(encoding="utf-8"))
        return {control["id"]: control for control in record["controls"]}

    return run


def found(control: dict[str, Any]) -> str:
    """What the audit shows of a control that fails."""
    assert control["verdict"] == "fail", control
    return json.dumps([check["actual"] for check in control["checks"] if check["verdict"] == "fail"])


def run(machine: Machine, playbook: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a playbook on the host."""
    return machine.playbook(playbook, *arguments, timeout=300)


def apply(machine: Machine, *arguments: str, **settings: Any) -> subprocess.CompletedProcess[str]:
    """Apply the role to the host."""
    return run(machine, "molecule/minimal_services/converge.yml", "-e", json.dumps(settings), *arguments)


def changed(machine: Machine, *arguments: str, **settings: Any) -> bool:
    """Apply the role, and tell whether it changed something."""
    done = apply(machine, *arguments, **settings)
    assert done.returncode == 0, done.stdout + done.stderr
    tasks = re.search(r"changed=(\d+)", done.stdout)
    assert tasks
    return tasks[1] != "0"


def installed(machine: Machine, *names: str) -> set[str]:
    """Which of the packages are installed."""
    show = "${binary:Package} ${db:Status-Status}\\n"
    lines = machine.run(f"dpkg-query -W -f '{show}' {' '.join(names)}").stdout.splitlines()
    return {line.split()[0] for line in lines if line.endswith(" installed")}


def install(machine: Machine, *names: str) -> None:
    command = f"DEBIAN_FRONTEND=noninteractive apt-get -y -qq --no-install-recommends install {' '.join(names)}"
    machine.ok(f"{command} >/dev/null 2>&1 || (apt-get -qq update && {command})")


def listens(machine: Machine, port: int) -> bool:
    return machine.run(f"ss -Hltun 'sport = {port}' | grep -q .").rc == 0


@pytest.fixture
def planted(machine: Machine) -> Iterator[None]:
    install(machine, *PLANTED)
    yield
    machine.ok(
        f"systemctl -q unmask rpcbind.service rpcbind.socket tftpd-hpa.service; apt-get -y purge {' '.join(PLANTED)}"
    )
    machine.ok("rm -rf /var/lib/kijun/unneeded_software; systemctl daemon-reload")


@pytest.fixture
def listener(machine: Machine) -> Iterator[Callable[[str, str], None]]:
    """Let a program listen, as a service of the name kijuntest."""

    def start(command: str, check: str) -> None:
        machine.run("systemctl stop kijuntest.service; systemctl reset-failed kijuntest.service")
        machine.ok(f"systemd-run --quiet --unit=kijuntest {command}")
        machine.ok(f"for i in $(seq 50); do ss -Hltun | grep -q '{check}' && exit 0; sleep 0.1; done; exit 1")

    yield start
    machine.run("systemctl stop kijuntest.service; systemctl reset-failed kijuntest.service")


@pytest.mark.control("SERV-01", "SERV-02")
def test_what_nobody_needs_is_removed(machine: Machine, planted: None, audit: Audit) -> None:
    assert listens(machine, 111)
    machine.ok("echo '# mine' >> /etc/default/tftpd-hpa")
    seen = audit()
    assert "rpcbind.socket" in found(seen["SERV-01"])
    assert all(name in found(seen["SERV-02"]) for name in PLANTED)

    assert not changed(machine, minimal_services_action="report")
    foreseen = apply(machine, "--check", "--diff")
    assert installed(machine, *PLANTED) == set(PLANTED), "a check run removed something"
    done = apply(machine, "--diff")
    assert (foreseen.returncode, done.returncode) == (0, 0), foreseen.stdout + done.stdout
    told = re.compile(r"^[-+](?:package|\S+: ).*$", re.MULTILINE)
    assert told.findall(foreseen.stdout) == told.findall(done.stdout)
    assert {f"-package {name}" for name in PLANTED} <= set(told.findall(done.stdout))
    assert not changed(machine, "--check")
    assert not changed(machine)

    assert not installed(machine, *PLANTED)
    assert not listens(machine, 111)
    assert not listens(machine, 69)
    assert "# mine" in machine.ok("cat /etc/default/tftpd-hpa"), "configuration was purged"
    seen = audit()
    assert {name: seen[name]["verdict"] for name in ("SERV-01", "SERV-02")} == {"SERV-01": "pass", "SERV-02": "pass"}


@pytest.mark.control("SERV-01", "SERV-02")
def test_what_an_allowed_class_needs_stays(machine: Machine, planted: None, audit: Audit) -> None:
    needed = {"minimal_services_allowed_classes": ["nfs_client", "ftp_client"]}
    assert changed(machine, **needed)
    assert installed(machine, *PLANTED) == {"rpcbind", "ftp", "tnftp"}
    assert listens(machine, 111)
    seen = audit(**needed)
    assert {seen[name]["verdict"] for name in ("SERV-01", "SERV-02", "SERV-03")} == {"pass"}
    assert "rpcbind" in found(seen["SERV-04"]), "its port is another matter"


@pytest.mark.control("SERV-01")
def test_masking_leaves_packages_and_is_taken_back(machine: Machine, planted: None, audit: Audit) -> None:
    masking = {"minimal_services_action": "mask"}
    assert [changed(machine, "--check", **masking), changed(machine, **masking)] == [True, True]
    assert [changed(machine, "--check", **masking), changed(machine, **masking)] == [False, False]
    assert installed(machine, *PLANTED) == set(PLANTED)
    assert not listens(machine, 111)
    assert machine.run("systemctl start rpcbind.socket").rc != 0
    seen = audit(**masking)
    assert seen["SERV-01"]["verdict"] == "pass"
    assert "rpcbind" in found(seen["SERV-02"])
    # Its purpose is remembered: what the role masked comes back with it, and nothing else does.
    machine.ok("systemctl -q mask e2scrub_all.timer")
    needed = {"minimal_services_allowed_classes": ["nfs_client", "tftp_server"], **masking}
    assert [changed(machine, "--check", **needed), changed(machine, **needed), changed(machine, **needed)] == [
        True,
        True,
        False,
    ]
    machine.ok("systemctl start rpcbind.socket")
    assert machine.run("systemctl is-enabled e2scrub_all.timer").stdout.strip() == "masked"
    machine.ok("systemctl -q unmask e2scrub_all.timer")


def test_a_removal_that_takes_something_else_along_is_refused(machine: Machine, planted: None) -> None:
    control = (
        "Package: kijuntest-foreign\nVersion: 1\nArchitecture: all\nMaintainer: x\nDepends: rpcbind\nDescription: x\n"
    )
    machine.ok("rm -rf /tmp/foreign && mkdir -p /tmp/foreign/DEBIAN")
    machine.ok(f"printf '%s' '{control}' > /tmp/foreign/DEBIAN/control")
    machine.ok("dpkg-deb --build /tmp/foreign /tmp/foreign.deb && dpkg -i /tmp/foreign.deb")
    try:
        for arguments in (["--check"], []):
            done = apply(machine, *arguments)
            assert done.returncode != 0
            printed = " ".join(done.stdout.split())
            assert "removing rpcbind would also remove kijuntest-foreign; nothing was removed" in printed
        assert installed(machine, *PLANTED, "kijuntest-foreign") == {*PLANTED, "kijuntest-foreign"}
        assert listens(machine, 111)
        assert changed(machine, minimal_services_allowed_packages=["rpcbind"])
        assert installed(machine, *PLANTED, "kijuntest-foreign") == {"rpcbind", "kijuntest-foreign"}
    finally:
        machine.ok("dpkg -P kijuntest-foreign; rm -rf /tmp/foreign /tmp/foreign.deb")


@pytest.mark.parametrize("name", ["openssh-server", "sudo", "python3", "libc6"])
def test_what_a_host_needs_to_be_reached_is_never_removed(machine: Machine, name: str) -> None:
    done = apply(machine, minimal_services_unneeded_packages=[name])
    assert done.returncode != 0
    assert installed(machine, name)
    assert "nothing was removed" in done.stdout


@pytest.mark.control("SERV-03")
def test_a_unit_that_starts_at_boot_and_is_on_no_list_is_named(machine: Machine, audit: Audit) -> None:
    assert audit()["SERV-03"]["verdict"] == "pass"
    machine.ok(f"printf '%s' '{SERVICE}' > /etc/systemd/system/kijuntest-unit.service")
    machine.ok(f"printf '%s' '{SCRIPT}' > /etc/init.d/kijuntest-script && chmod 755 /etc/init.d/kijuntest-script")
    machine.ok("ln -s ../init.d/kijuntest-script /etc/rc3.d/S01kijuntest-script")
    machine.ok("systemctl daemon-reload && systemctl -q enable kijuntest-unit.service")
    try:
        assert found(audit()["SERV-03"]) == '[["kijuntest-script.service", "kijuntest-unit.service"]]'
        machine.ok("systemctl -q disable kijuntest-unit.service")
        assert found(audit()["SERV-03"]) == '[["kijuntest-script.service"]]'
        listed = audit(minimal_services_allowed_units=["kijuntest-*.service"])
        assert listed["SERV-03"]["verdict"] == "pass"
    finally:
        machine.ok("rm -f /etc/systemd/system/kijuntest-unit.service /etc/init.d/kijuntest-script")
        machine.ok("rm -f /etc/rc3.d/S01kijuntest-script; systemctl daemon-reload")


@pytest.mark.control("SERV-04")
def test_a_new_listener_is_named_by_the_next_audit(
    machine: Machine, listener: Callable[[str, str], None], audit: Audit
) -> None:
    assert audit()["SERV-04"]["verdict"] == "pass"
    listener("python3 -m http.server --bind 0.0.0.0 8081", "0.0.0.0:8081")
    assert re.fullmatch(r'\[\["tcp 0\.0\.0\.0:8081 python3\.[0-9]+"\]\]', found(audit()["SERV-04"]))
    purpose = {"protocol": "tcp", "port": 8081, "program": "python3.*"}
    assert audit(minimal_services_allowed_sockets=[purpose])["SERV-04"]["verdict"] == "pass"
    for other in ({"port": 8082}, {"protocol": "udp"}, {"program": "nginx"}, {"addresses": "loopback"}):
        assert "8081" in found(audit(minimal_services_allowed_sockets=[{**purpose, **other}])["SERV-04"]), other


@pytest.mark.control("SERV-04")
def test_sockets_of_the_host_alone_are_listed_on_demand(
    machine: Machine, listener: Callable[[str, str], None], audit: Audit
) -> None:
    listener("python3 -m http.server --bind 127.0.0.1 8081", "127.0.0.1:8081")
    assert audit()["SERV-04"]["verdict"] == "pass"
    assert "tcp 127.0.0.1:8081" in found(audit(minimal_services_loopback_listed=True)["SERV-04"])
    purpose = {"protocol": "tcp", "port": 8081, "program": "python3.*", "addresses": "loopback"}
    seen = audit(minimal_services_loopback_listed=True, minimal_services_allowed_sockets=[purpose])
    assert seen["SERV-04"]["verdict"] == "pass"


@pytest.mark.control("SERV-04")
def test_a_program_that_calls_itself_sshd_is_none(
    machine: Machine, listener: Callable[[str, str], None], audit: Audit
) -> None:
    machine.ok(f"printf '%s' '{DISGUISED.format(port=2222)}' > /run/kijuntest.py")
    listener("python3 /run/kijuntest.py", "0.0.0.0:2222")
    assert "sshd" in machine.ok("cat /proc/$(systemctl show -P MainPID kijuntest)/comm"), "the attack does not work"
    seen = audit(minimal_services_allowed_sockets=[{"protocol": "tcp", "port": 2222, "program": "sshd"}])
    assert "2222 python3" in found(seen["SERV-04"])


@pytest.mark.control("SERV-04")
def test_a_socket_that_systemd_holds_for_a_service_is_named_by_its_unit(machine: Machine, audit: Audit) -> None:
    machine.ok("printf '[Socket]\\nListenStream=0.0.0.0:8082\\nAccept=yes\\n' > /run/systemd/system/kijuntest-s.socket")
    machine.ok(f"printf '%s' '{SERVICE}' > '/run/systemd/system/kijuntest-s@.service'")
    machine.ok("systemctl daemon-reload && systemctl start kijuntest-s.socket")
    try:
        assert found(audit()["SERV-04"]) == '[["tcp 0.0.0.0:8082 kijuntest-s.socket"]]'
        purpose = {"protocol": "tcp", "port": 8082, "program": "kijuntest-s.socket"}
        assert audit(minimal_services_allowed_sockets=[purpose])["SERV-04"]["verdict"] == "pass"
    finally:
        machine.ok("systemctl stop kijuntest-s.socket; rm /run/systemd/system/kijuntest-s*; systemctl daemon-reload")


@pytest.mark.control("SERV-05")
def test_mail_from_the_network_is_noticed(machine: Machine, listener: Callable[[str, str], None], audit: Audit) -> None:
    listener("python3 -m http.server --bind 127.0.0.1 25", "127.0.0.1:25")
    assert audit()["SERV-05"]["verdict"] == "pass"
    listener("python3 -m http.server --bind 0.0.0.0 25", "0.0.0.0:25")
    assert found(audit()["SERV-05"]) == "[[25]]"
    assert audit(minimal_services_allowed_classes=["mail_server"])["SERV-05"]["verdict"] == "not_applicable"


@pytest.mark.control("SERV-06")
def test_software_that_somebody_added_is_named(machine: Machine, audit: Audit) -> None:
    assert audit()["SERV-06"]["verdict"] == "pass"
    install(machine, "hello")
    try:
        assert found(audit()["SERV-06"]) == '[["hello"]]'
        assert audit(minimal_services_allowed_software=["hel*"])["SERV-06"]["verdict"] == "pass"
        machine.ok("apt-mark auto hello")
        assert audit()["SERV-06"]["verdict"] == "pass", "apt itself would take it away"
    finally:
        machine.ok("dpkg -P hello")


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("allowed_classes", ["wbe"], "automount, bluetooth, cloud_sync, database"),
        ("action", "purge", "one of remove, mask, report"),
        ("allowed_sockets", [{"protocol": "tcp", "port": 70000, "program": "x"}], "protocol tcp or udp"),
    ],
)
def test_wrong_settings_are_refused(machine: Machine, tmp_path: Path, name: str, value: Any, allowed: str) -> None:
    # Without Ansible's own check of a role's arguments, as the playbooks apply it.
    role = {"name": "kijun.baseline.minimal_services", "rolespec_validate": False}
    task = {"ansible.builtin.import_role": role, "vars": {f"minimal_services_{name}": value}}
    play = {"hosts": "all", "become": True, "gather_facts": False, "tasks": [task]}
    (tmp_path / "play.yml").write_text(json.dumps([play]), encoding="utf-8")
    done = run(machine, str(tmp_path / "play.yml"))
    printed = " ".join(done.stdout.split())
    assert done.returncode != 0
    assert f"minimal_services_{name} is" in printed
    assert allowed in printed
