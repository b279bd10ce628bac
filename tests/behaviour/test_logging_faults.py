# SPDX-License-Identifier: GPL-3.0-or-later
"""Nothing is lost: log servers that are away, killed or full, and senders that restart, told by counted numbers."""

from __future__ import annotations

import os
import shlex
import subprocess
import time
import uuid
from collections.abc import Iterator

import kijun_logs
import pytest
from kijun_hosts import ROOT, Machine
from kijun_logs import (
    RECEIVER,
    SENDERS,
    SERVERS,
    STORE,
    all_there,
    arrived,
    assert_whole,
    numbers,
    records,
    wait_for,
    write_numbered,
)

WINDOW = 34
"""Records on their way at a time, and those in the hands of the one that sends them."""

HANDED = 1000
"""Records that rsyslog may have read and not written into its queues when it is killed."""

MANY = int(os.environ.get("KIJUN_LOGS_MANY", "60000"))
"""Messages that are sent while a server is away."""

MILLION = int(os.environ.get("KIJUN_LOGS_MILLION", "1000000"))
OUTAGE = int(os.environ.get("KIJUN_LOGS_OUTAGE", "600"))
"""Messages of all senders, and the seconds that a server is away, in the test that `tools/test both` alone runs."""


@pytest.fixture(scope="module")
def servers() -> list[Machine]:
    return [kijun_logs.machine(name) for name in SERVERS]


@pytest.fixture(scope="module")
def senders() -> list[Machine]:
    return [kijun_logs.machine(name) for name in SENDERS]


@pytest.fixture
def word() -> str:
    return "w" + uuid.uuid4().hex[:12]


@pytest.fixture(autouse=True)
def receiving(servers: list[Machine]) -> Iterator[None]:
    """The servers receive before each test and after it."""
    yield
    for server in servers:
        server.ok(f"systemctl reset-failed {RECEIVER} haproxy; systemctl start {RECEIVER} haproxy")


@pytest.mark.control("LOGF-01")
def test_a_server_that_is_away_gets_everything_later(servers: list[Machine], senders: list[Machine], word: str) -> None:
    """And the other one meanwhile: each has a queue of its own."""
    away, present = servers
    away.ok(f"systemctl stop haproxy {RECEIVER}")
    sender = senders[1]
    write_numbered(sender, f"/var/log/application/{word}.log", MANY, word)
    assert_whole(all_there(present, sender.name, word, MANY, MANY / 500 + 60), MANY)
    assert int(sender.ok("cat /var/spool/rsyslog/to-server12.0* | wc -c")) > MANY * 300
    away.ok(f"systemctl start haproxy {RECEIVER}")
    assert_whole(all_there(away, sender.name, word, MANY, MANY / 500 + 60), MANY)


@pytest.mark.control("LOGS-01")
def test_a_server_killed_ten_times_loses_nothing(servers: list[Machine], senders: list[Machine], word: str) -> None:
    server, count = servers[1], 30000
    for sender in senders:
        sender.ok(f"mkdir -p /var/log/application; touch /var/log/application/{word}.log")
        source = f"""import time
file = open("/var/log/application/{word}.log", "a")
for n in range(1, {count} + 1):
    file.write(("n=%08d {word} " % n).ljust(299, "x") + chr(10))
    if n % 1000 == 0: file.flush(); time.sleep(0.7)"""
        sender.ok(f"systemd-run --quiet --unit={word} python3 -c {shlex.quote(source)}")
    for number in range(10):
        time.sleep(1.5)
        unit = (RECEIVER, "haproxy")[number % 2]
        server.ok(f"systemctl kill --kill-whom=all --signal=KILL {unit}; systemctl reset-failed {unit}")
        wait_for(lambda unit=unit: server.run(f"systemctl start {unit}").rc == 0, 10)
    for sender in senders:
        assert_whole(all_there(server, sender.name, word, count, 180), count)


@pytest.mark.control("LOGF-01")
def test_a_sender_that_reboots_with_a_full_queue_keeps_it(
    servers: list[Machine], senders: list[Machine], word: str
) -> None:
    """What is queued on its disk is sent when it is up again.

    What was on its way to a server that is away is not: rsyslog counts it as done. No more than its window, and the
    numbers tell.
    """
    sender, count = senders[0], 20000
    for server in servers:
        server.ok(f"systemctl stop haproxy {RECEIVER}")
    write_numbered(sender, f"/var/log/application/{word}.log", count, word)
    wait_for(lambda: int(sender.ok("cat /var/spool/rsyslog/to-server13.0* | wc -c")) > count * 300, 60)
    subprocess.run(["lab/lab", "reboot", sender.name], cwd=ROOT, check=True, capture_output=True, timeout=120)
    for server in servers:
        server.ok(f"systemctl start haproxy {RECEIVER}")
    for server in servers:
        wait_for(lambda server=server: len(set(numbers(server, sender.name, word))) >= count - WINDOW, 120)
        found = set(numbers(server, sender.name, word))
        lost = set(range(1, count + 1)) - found
        assert len(lost) <= WINDOW, f"{len(lost)} of {count} are lost, the first ones {sorted(lost)[:5]}"
        series = [record["seq"] for record in records(server, sender.name, word) if record["msg"].startswith("n=")]
        assert len(set(range(min(series), max(series) + 1)) - set(series)) >= len(lost - {1, count})


@pytest.mark.control("LOGF-01")
def test_a_sender_killed_again_and_again_goes_on(servers: list[Machine], senders: list[Machine], word: str) -> None:
    """rsyslog by SIGKILL, with queues on the disk that are read and written, and one server away at times.

    rsyslog's own note of a queue is old then, and it would send nothing more to one server or another.
    """
    sender, count, kills = senders[1], 30000, 6
    write = f"""import time
with open("/var/log/application/{word}.log", "a") as file:
    for n in range(1, {count} + 1):
        file.write(("n=%08d {word} " % n).ljust(299, "x") + chr(10))
        if n % 500 == 0: file.flush(); time.sleep(0.5)"""
    sender.ok(f"mkdir -p /var/log/application; systemd-run --quiet --unit={word} python3 -c {shlex.quote(write)}")
    for number in range(kills):
        servers[number % 2].ok(f"systemctl {'stop' if number < 3 else 'start'} haproxy")
        time.sleep(3)
        sender.ok("systemctl kill --signal=KILL rsyslog")
        assert wait_for(lambda: sender.run("systemctl is-active --quiet rsyslog").rc == 0)
    # On a slow machine the last kill comes when all is written; what was on its way may be lost, up to the end.
    # Whether it goes on is told by what is written after it.
    assert wait_for(lambda: sender.run(f"systemctl is-active --quiet {word}").rc != 0, 120)
    sender.ok(f"echo 'n={count + 1:08d} {word} written after the last kill' >>/var/log/application/{word}.log")
    for server in servers:
        server.ok("systemctl start haproxy")
        wait_for(lambda server=server: count + 1 in numbers(server, sender.name, word), 180)
        found = set(numbers(server, sender.name, word))
        lost = set(range(1, count + 1)) - found
        assert count + 1 in found, f"{server.name} has {len(found)}, the last one {max(found)}"
        assert len(lost) <= kills * HANDED, f"{len(lost)} of {count} are lost, the first ones {sorted(lost)[:5]}"


@pytest.mark.control("LOGS-03", "LOGF-01")
def test_a_full_disk_holds_senders_back_and_is_told(servers: list[Machine], senders: list[Machine], word: str) -> None:
    full, other = servers
    sender, count = senders[1], 30000
    full.ok(
        f"systemctl stop {RECEIVER} && mount -t tmpfs -o size=60m,mode=0750 tmpfs {STORE}"
        f" && chown kijun-log:kijun-logs {STORE} && systemctl start {RECEIVER}"
    )
    try:
        write_numbered(sender, f"/var/log/application/{word}.log", count, word)
        assert_whole(all_there(other, sender.name, word, count), count)
        # What did not fit was not acknowledged: it waits at the sender.
        assert int(sender.ok("cat /var/spool/rsyslog/to-server12.0* | wc -c")) > 0
        assert arrived(other, full.name, "nothing is received any more", 60)
        full.ok(f"mount -o remount,size=400m {STORE}")
        assert_whole(all_there(full, sender.name, word, count, 180), count)
    finally:
        full.ok(f"systemctl stop {RECEIVER}; umount {STORE}; systemctl start {RECEIVER}")


def test_forwarding_costs_a_sender_little(servers: list[Machine], senders: list[Machine], word: str) -> None:
    """500 messages a second for 20 seconds, to both servers. The bar is 5 % of a core for each server."""
    sender, count = senders[1], 10000

    def spent() -> float:
        ticks = sender.ok("cut -d' ' -f14,15 /proc/$(pidof rsyslogd)/stat").split()
        return sum(map(int, ticks)) / 100

    before = spent()
    write_numbered(sender, f"/var/log/application/{word}.log", count, word, pause=2.0)
    for server in servers:
        assert_whole(all_there(server, sender.name, word, count), count)
    share = (spent() - before) / (count / 500)
    assert share < 0.1, f"{share:.1%} of a core at 500 messages a second to two servers"


# The last, since it leaves so much.
@pytest.mark.control("LOGF-01", "LOGS-01")
def test_a_million_records_of_ten_minutes_without_a_server(
    servers: list[Machine], senders: list[Machine], word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """All arrive at both servers, in order for each sender; each of them writes for nine tenths of the time."""
    away, present = servers
    count = -(-MILLION // len(senders))
    away.ok(f"systemctl stop haproxy {RECEIVER}")
    began = time.monotonic()
    for sender in senders:
        sender.ok("mkdir -p /var/log/application")
        source = f"""import time
began = time.monotonic()
with open("/var/log/application/{word}.log", "a") as file:
    for n in range(1, {count} + 1):
        file.write(("n=%08d {word} " % n).ljust(299, "x") + chr(10))
        if n % 500 == 0:
            file.flush()
            time.sleep(max(0, began + {OUTAGE} * 0.9 * n / {count} - time.monotonic()))"""
        sender.ok(f"systemd-run --quiet --unit={word} python3 -c {shlex.quote(source)}")

    def there(server: Machine, sender: Machine) -> int:
        return int(server.run(f'cat {STORE}/{sender.name}/*-??.log | grep -c \'"msg":"n=.* {word} \'').stdout)

    def wait_until_whole(server: Machine) -> float:
        for sender in senders:
            end = time.monotonic() + 900
            while there(server, sender) < count and time.monotonic() < end:
                time.sleep(5)
        return time.monotonic()

    time.sleep(max(0.0, began + OUTAGE - time.monotonic()))
    assert not any(there(away, sender) for sender in senders)
    waiting = sum(int(sender.ok("cat /var/spool/rsyslog/to-server12.0* | wc -c")) for sender in senders)
    away.ok(f"systemctl start haproxy {RECEIVER}")
    back = time.monotonic()
    for server in (present, away):
        said = f"{server.name} had all {round(wait_until_whole(server) - back)} s after {away.name} was back"
        with capsys.disabled():
            print(f"{said}, for which {waiting // 1000000} MB had waited")
    for server in servers:
        for sender in senders:
            assert_whole(numbers(server, sender.name, word), count)
    for sender in senders:
        sender.ok(f"rm /var/log/application/{word}.log")
