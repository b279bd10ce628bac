# SPDX-License-Identifier: GPL-3.0-or-later
"""Attacks on the controls of role time_sync, on hosts that the role has been applied to; one of them serves time."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest

from .conftest import ROOT, Machine

Verdicts = Callable[..., dict[str, str]]

AUDITED = "time_sync"

TIME_SERVER = "time1"
NTP_REQUEST = b"\x23" + bytes(47)
"""Version 4, client: RFC 5905, section 7.3."""

CONFIGURATION = "/etc/chrony/chrony.conf"


def answers(address: str, times: int = 1, wait: float = 1.0) -> int:
    """How many of some time requests a host answers."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        asker.settimeout(wait)
        asker.connect((address, 123))
        got = 0
        with contextlib.suppress(ConnectionRefusedError, TimeoutError):
            for _ in range(times):
                asker.send(NTP_REQUEST)
            while got < times:
                got += asker.recv(128)[0] & 0x07 == 4  # a server's answer
        return got


def eventually(true: Callable[[], bool], seconds: int = 30) -> bool:
    """Whether something comes true within some seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if true():
            return True
        time.sleep(0.5)
    return False


def synchronised(machine: Machine) -> bool:
    return machine.run("chronyc -c tracking").stdout.strip().endswith(",Normal")


@pytest.fixture
def changed(machine: Machine) -> Iterator[Callable[[str], None]]:
    """Change chrony.conf by hand and restart; put back by the role afterwards, which is a test of its own."""

    def change(command: str) -> None:
        machine.ok(f"{command} && systemctl restart chrony")

    yield change
    machine.site("--tags", "time_sync")
    assert eventually(lambda: synchronised(machine)), "the role did not bring the clock back"


@pytest.mark.control("TIME-01", "TIME-02")
def test_clock_follows_its_trusted_source(machine: Machine, verdicts: Verdicts) -> None:
    assert eventually(lambda: synchronised(machine))
    source = "upstream" if machine.name == TIME_SERVER else TIME_SERVER
    assert machine.ok("chronyc -c -N tracking").split(",")[1] == source
    seen = verdicts()
    assert (seen["TIME-01"], seen["TIME-02"]) == ("pass", "pass")


@pytest.mark.control("TIME-01")
def test_clock_without_a_source_is_noticed(
    machine: Machine, verdicts: Verdicts, changed: Callable[[str], None]
) -> None:
    changed(f"sed -i 's/^server .*/server 10.213.255.254 iburst/' {CONFIGURATION}")
    assert verdicts()["TIME-01"] == "fail"


@pytest.mark.control("TIME-01", "TIME-02")
def test_source_that_fell_silent_is_noticed(
    machine: Machine, verdicts: Verdicts, changed: Callable[[str], None]
) -> None:
    if machine.name == TIME_SERVER:
        assert verdicts()["TIME-01"] == "pass"
        return
    # Asked every second, so that the last eight answers are soon the ones that never came.
    changed(f"sed -i '/^server/s/$/ minpoll 0 maxpoll 0/' {CONFIGURATION}")
    assert eventually(lambda: synchronised(machine))
    source = Machine(TIME_SERVER).address
    machine.ok(f"ip route add blackhole {source}")
    try:
        assert eventually(lambda: verdicts()["TIME-01"] == "fail", 60)
        assert machine.run("chronyc -c tracking").stdout.strip().endswith(",Normal"), "chronyd itself noticed"
    finally:
        machine.ok(f"ip route del blackhole {source}")
    assert eventually(lambda: verdicts()["TIME-01"] == "pass")


@pytest.mark.control("TIME-01")
def test_stopped_service_is_noticed(machine: Machine, verdicts: Verdicts) -> None:
    machine.ok("systemctl disable --now chrony")
    assert verdicts()["TIME-01"] == "fail"
    machine.site("--tags", "time_sync")
    assert eventually(lambda: synchronised(machine))


@pytest.mark.control("TIME-02")
def test_source_planted_by_hand_or_by_dhcp_is_noticed_or_ignored(
    machine: Machine, verdicts: Verdicts, changed: Callable[[str], None]
) -> None:
    machine.ok(
        "mkdir -p /run/chrony-dhcp /etc/chrony/sources.d; "
        "for f in /run/chrony-dhcp/eth0.sources /etc/chrony/sources.d/x.sources; do "
        "echo 'server 198.51.100.7' > $f; done; "
        "systemctl restart chrony"
    )
    assert "198.51.100.7" not in machine.ok("chronyc -n sources")
    assert eventually(lambda: synchronised(machine))
    assert verdicts()["TIME-02"] == "pass"
    changed(f"echo 'server 198.51.100.7' >> {CONFIGURATION}")
    assert "198.51.100.7" in machine.ok("chronyc -n sources")
    assert verdicts()["TIME-02"] == "fail"


@pytest.mark.control("TIME-03")
def test_clock_that_is_off_raises_the_alarm(
    machine: Machine, verdicts: Verdicts, changed: Callable[[str], None]
) -> None:
    assert eventually(lambda: synchronised(machine))
    assert verdicts()["TIME-03"] == "pass"
    # chronyd is told that its source is five seconds off, and takes its own clock to be.
    changed(f"sed -i -E 's/^(server [^ ]+)/\\1 offset 5/' {CONFIGURATION}")
    assert eventually(
        lambda: machine.run("journalctl -u chrony -o cat -S -5min | grep -E 'wrong by|stepped by'").rc == 0
    )
    assert verdicts()["TIME-03"] == "fail"
    machine.ok("journalctl --rotate && journalctl --vacuum-time=1s")


@pytest.mark.control("TIME-04")
def test_service_takes_no_commands_from_the_network(
    machine: Machine, verdicts: Verdicts, changed: Callable[[str], None]
) -> None:
    # The tracking request of chronyc(1), version 6 of its protocol, padded to its full length.
    request = bytes([6, 1, 0, 0, 0, 33]) + bytes(98)

    def commanded() -> bool:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
            asker.settimeout(1)
            asker.connect((machine.address, 323))
            with contextlib.suppress(ConnectionRefusedError, TimeoutError):
                asker.send(request)
                return bool(asker.recv(512))
        return False

    assert not commanded()
    assert verdicts()["TIME-04"] == "pass"
    changed(
        f"sed -i '/^cmdport/d' {CONFIGURATION} && printf 'bindcmdaddress 0.0.0.0\\ncmdallow all\\n' >> {CONFIGURATION}"
    )
    assert eventually(commanded, 10), "the attack itself does not work"
    assert verdicts()["TIME-04"] == "fail"


@pytest.mark.control("TIME-05")
def test_only_time_servers_answer(machine: Machine, verdicts: Verdicts, changed: Callable[[str], None]) -> None:
    if machine.name == TIME_SERVER:
        assert eventually(lambda: answers(machine.address) == 1)
        assert verdicts()["TIME-05"] == "not_applicable"
        return
    assert answers(machine.address) == 0
    assert verdicts()["TIME-05"] == "pass"
    changed(f"sed -i '/^port/d' {CONFIGURATION} && echo 'allow all' >> {CONFIGURATION}")
    assert eventually(lambda: answers(machine.address) == 1), "the attack itself does not work"
    assert verdicts()["TIME-05"] == "fail"


@pytest.mark.control("TIME-06")
def test_time_server_answers_named_networks_at_a_limited_rate(
    machine: Machine, verdicts: Verdicts, changed: Callable[[str], None]
) -> None:
    if machine.name != TIME_SERVER:
        assert verdicts()["TIME-06"] == "not_applicable"
        return
    probe = (
        "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(1); "
        "s.connect(('127.0.0.1', 123)); s.send(b'\\x23' + bytes(47)); print(len(s.recv(128)))"
    )
    assert machine.run(f'python3 -c "{probe}"').rc != 0, "an address of no named network was answered"
    time.sleep(3)
    assert 0 < answers(machine.address, 200) < 100, "the rate is not limited"
    assert verdicts()["TIME-06"] == "pass"
    changed(f"sed -i 's/^allow.*/allow all/; /^ratelimit/d' {CONFIGURATION}")
    assert machine.run(f'python3 -c "{probe}"').rc == 0, "the attack itself does not work"
    assert verdicts()["TIME-06"] == "fail"


@pytest.mark.control("TIME-07")
def test_upstream_that_cannot_prove_itself_is_not_followed(
    machine: Machine, verdicts: Verdicts, changed: Callable[[str], None]
) -> None:
    if machine.name != TIME_SERVER:
        assert verdicts()["TIME-07"] == "not_applicable"
        return
    assert eventually(lambda: synchronised(machine))
    assert machine.ok("chronyc -c -N authdata").split(",")[1] == "NTS"
    assert verdicts()["TIME-07"] == "pass"
    # Somebody else's certificate, and no cookies from before.
    machine.ok(
        "openssl version >/dev/null 2>&1 || apt-get install -y -qq openssl >/dev/null; "
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout /dev/null "
        "-subj /CN=upstream "
        "-addext subjectAltName=DNS:upstream -days 2 -out /etc/chrony/kijun-nts-authority.pem 2>/dev/null"
    )
    changed("systemctl stop chrony; rm -f /var/lib/chrony/*.nts; true")
    time.sleep(6)
    assert not synchronised(machine), "a source that is not authenticated is followed"
    seen = verdicts()
    assert (seen["TIME-01"], seen["TIME-07"]) == ("fail", "fail")


def test_hosts_keep_their_time_while_the_time_server_is_away(machine: Machine) -> None:
    if machine.name != TIME_SERVER:
        assert machine.ok("chronyc -c -N sources").count("\n") == 1  # the time server is this host's only source
        return
    follower = Machine(os.environ.get("KIJUN_HOSTS", "server12").split(",")[0])
    assert eventually(lambda: synchronised(follower))
    subprocess.run(["lab/lab", "reboot", TIME_SERVER], cwd=ROOT, check=True, capture_output=True, timeout=60)
    assert synchronised(follower)
    assert eventually(lambda: answers(machine.address) == 1, 60)
