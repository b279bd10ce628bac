# SPDX-License-Identifier: GPL-3.0-or-later
"""Sessions that sudo recorded on real hosts, sent to the log servers, and replayed there."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Iterator

import kijun_logs
import pytest
from kijun_hosts import GOOD, Machine, make_person, remove_person
from kijun_logs import SERVERS, STORE, wait_for

SESSIONS = "/var/log/sudo-io"
PROGRAM = "/usr/local/sbin/kijun-session-sender"
OUTBOX = "/var/spool/rsyslog/sessions"
STATE = "/var/lib/kijun/session-sender"
NAME = "recorded"


@pytest.fixture(scope="module")
def servers() -> Iterator[list[Machine]]:
    found = [kijun_logs.machine(name) for name in SERVERS]
    for server in found:
        server.ok("useradd -m -G kijun-logs reader")
    yield found
    for server in found:
        server.run("userdel -rf reader")


@pytest.fixture(params=("client12", "client13"))
def client(request: pytest.FixtureRequest) -> Iterator[Machine]:
    """A host with a person whose sessions are recorded; the timer rests, so that a test knows who sends."""
    found = kijun_logs.machine(request.param)
    make_person(found, NAME)
    found.ok(
        f"systemctl stop kijun-session-sender.timer; systemctl stop kijun-session-sender; rm -rf {SESSIONS}/{NAME}"
    )
    yield found
    remove_person(found, NAME)
    found.ok("systemctl start rsyslog kijun-session-sender.timer")


def record(client: Machine, command: str, seen: str) -> str:
    """Have the person run a command with sudo at a terminal, and return the session's name."""
    with client.terminal(NAME, GOOD) as terminal:
        terminal.expect(r"\$ ")
        terminal.sendline(f"sudo sh -c {shlex.quote(command)}")
        terminal.expect("(?i)password")
        terminal.sendline(GOOD)
        terminal.expect(seen, timeout=120)
        terminal.expect(r"\$ ")
        terminal.sendline("exit")
    return client.ok(f"cd {SESSIONS} && ls -d {NAME}/??/??/?? | tail -n 1").strip()


def replayed(server: Machine, client: Machine, session: str) -> str:
    """What a reader who is no administrator sees of a session on a log server."""
    folder = "/home/reader/session"
    as_reader = "cd /home/reader && runuser -u reader --"
    server.ok(f"rm -rf {folder}; {as_reader} kijun-log-sessions extract {client.name} {session} session")
    return server.ok(f"{as_reader} sudoreplay -n -m 0 -d session {session.partition('@')[0]}")


def kill_rsyslog(client: Machine) -> None:
    """Kill rsyslog, and wait for the next one."""
    show = "systemctl show --property=InvocationID,ActiveState rsyslog"
    before = client.ok(show)
    client.ok("systemctl kill --signal=KILL rsyslog")
    assert wait_for(lambda: (now := client.ok(show)) != before and "ActiveState=active" in now)


def listed(server: Machine, client: Machine, session: str) -> list[str]:
    """Lines of the list about a session."""
    return [
        line
        for line in server.ok(f"runuser -u reader kijun-log-sessions list {client.name}").splitlines()
        if f"  {session}  " in line
    ]


@pytest.mark.control("LOGF-05")
def test_a_session_at_a_terminal_is_replayed_on_every_server(client: Machine, servers: list[Machine]) -> None:
    word = f"seen-{time.time_ns()}"
    session = record(client, f"echo {word}", word)
    client.ok("systemctl start kijun-session-sender.service")
    for server in servers:
        assert wait_for(lambda server=server: word in "".join(listed(server, client, session)))
        # Another session of that name, before this host's were cleared, is another session.
        digits = listed(server, client, session)[-1].split("  ")[2]
        assert "  whole  root at /dev/pts/" in listed(server, client, session)[-1]
        assert word in replayed(server, client, f"{session}@{digits}")
        text = server.ok(f"grep -h {digits} {STORE}/{client.name}/*.session.log").splitlines()[-1]
        found = json.loads(text.split(" ", 2)[2])
        assert (text.split()[1], found["kind"], found["tag"]) == (client.name, "session", "session")
        assert not server.ok(f'cat {STORE}/{client.name}/*-??.log | grep \'"kind":"session"\' | wc -l').strip("0\n")
    # What was sent is not sent again; nothing of it is left, and nobody else could have read it.
    before = servers[0].ok(f"grep -c '' {STORE}/{client.name}/*.session.log")
    client.ok("systemctl start kijun-session-sender.service")
    time.sleep(2)
    assert servers[0].ok(f"grep -c '' {STORE}/{client.name}/*.session.log") == before
    assert client.ok(f"ls {OUTBOX}") == ""
    assert client.ok(f"stat -c %a {OUTBOX} {STATE}").split() == ["700", "700"]


@pytest.mark.control("LOGF-05")
def test_what_a_program_was_given_as_environment_does_not_leave(client: Machine, servers: list[Machine]) -> None:
    """sudo notes the person's environment in log.json, on Debian 13, where programs look for their secrets."""
    client.ok(f"echo 'export KIJUN_TEST_TOKEN=hidden-token' >>~{NAME}/.bashrc")
    word = f"seen-{time.time_ns()}"
    session = record(client, f"echo {word}", word)
    client.ok("systemctl start kijun-session-sender.service")
    assert wait_for(lambda: word in "".join(listed(servers[0], client, session)))
    digits = listed(servers[0], client, session)[-1].split("  ")[2]
    assert word in replayed(servers[0], client, f"{session}@{digits}")
    assert servers[0].run("grep -rq hidden-token /home/reader/session").rc == 1


@pytest.mark.control("LOGF-05")
def test_a_sender_killed_at_any_moment_loses_nothing(client: Machine, servers: list[Machine]) -> None:
    """Itself six times, and rsyslog twice, while 24 MB of what cannot be compressed are on their way."""
    noise = shlex.quote("head -c 24000000 /dev/urandom | base64; echo at-the-end")
    assert client.logs_in(NAME, GOOD, f"echo '{GOOD}' | sudo -S sh -c {noise} >/dev/null 2>&1; echo welcome")
    session = client.ok(f"cd {SESSIONS} && ls -d {NAME}/??/??/??").strip()
    for number in range(6):
        client.run(f"timeout --signal=KILL {0.15 + 0.25 * number} {PROGRAM}")
        if number in (2, 4):
            kill_rsyslog(client)
    assert wait_for(lambda: client.run(PROGRAM).rc == 0, 120)
    original = client.ok(f"cd {SESSIONS}/{session} && sha256sum timing stdout log")
    for server in servers:
        wait_for(lambda server=server: "  whole  " in listed(server, client, session)[-1], 120)
        digits = listed(server, client, session)[-1].split("  ")[2]
        assert "at-the-end" in replayed(server, client, f"{session}@{digits}")
        assert server.ok(f"cd /home/reader/session/{session} && sha256sum timing stdout log") == original
    assert client.ok(f"ls {OUTBOX}") == ""
    # One that is killed later may have had it in hand: it is sent again, and counts once.
    count = f"cat {STORE}/{client.name}/*.session.log | wc -l"
    before = int(servers[0].ok(count))
    kill_rsyslog(client)
    client.ok(PROGRAM)
    assert wait_for(lambda: int(servers[0].ok(count)) > before)
    assert len([line for line in listed(servers[0], client, session) if digits in line]) == 1
    # One that ends in order had not.
    client.ok("systemctl restart rsyslog")
    lines = client.ok(f"cat {STATE}/sent")
    client.ok(PROGRAM)
    assert client.ok(f"cut -d' ' -f2- {STATE}/sent") == "".join(
        line.partition(" ")[2] for line in lines.splitlines(True)
    )


@pytest.mark.control("LOGF-05")
def test_a_session_that_waits_too_long_is_told(client: Machine) -> None:
    record(client, "echo seen", "seen")
    client.ok("systemctl stop rsyslog syslog.socket")
    assert client.run(PROGRAM).rc == 1
    status = json.loads(client.ok(f"cat {STATE}/status.json"))
    assert (status["waiting"], status["problem"]) == (1, "rsyslog does not run")
    assert time.time() - 120 < status["oldest"] <= time.time()
