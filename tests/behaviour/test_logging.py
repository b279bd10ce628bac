# SPDX-License-Identifier: GPL-3.0-or-later
"""Logs of real hosts: what happens there is on every log server, under the name that its sender proved."""

from __future__ import annotations

import concurrent.futures
import datetime
import json
import shlex
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import kijun_logs
import pytest
from kijun_hosts import GOOD, Machine, make_person, remove_person
from kijun_logs import SENDERS, SERVERS, STORE, arrived, records, wait_for

FOLDER = "/etc/kijun/certificates"
PORT = 6514


@pytest.fixture(scope="module")
def servers() -> list[Machine]:
    return [kijun_logs.machine(name) for name in SERVERS]


@pytest.fixture(scope="module", params=SENDERS)
def sender(request: pytest.FixtureRequest) -> Machine:
    return kijun_logs.machine(request.param)


@pytest.fixture(scope="module")
def client() -> Machine:
    """One of the senders, for what needs one only."""
    return kijun_logs.machine("client13")


@pytest.fixture
def word() -> str:
    """What no other record has in it."""
    return "w" + uuid.uuid4().hex


Verdicts = Callable[..., dict[str, str]]


@pytest.fixture
def verdicts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Verdicts:
    """Audit a host's controls of logging, and return each one's verdict."""
    return kijun_logs.auditor(tmp_path, monkeypatch, "logging")


@pytest.mark.control("LOGF-01")
def test_what_a_host_says_is_on_every_server(sender: Machine, servers: list[Machine], word: str) -> None:
    began = time.time()
    sender.ok(f"logger -t example -p daemon.warning {word}")
    for server in servers:
        [found] = arrived(server, sender.name, f'"msg":"{word}')
        assert (found["sender"], found["host"]) == (sender.name, sender.name)
        assert (found["tag"], found["facility"], found["severity"], found["msg"]) == (
            "example",
            "daemon",
            "warning",
            word,
        )
        received = datetime.datetime.fromisoformat(found["received"]).timestamp()
        assert began - 1 < received < began + 30


@pytest.mark.control("LOGF-02", "LOGF-03")
def test_logons_are_there_with_their_time_and_success(sender: Machine, servers: list[Machine]) -> None:
    """A wrong password, a right one and sudo, each by the real program."""
    name = "worker"
    make_person(sender, name)
    try:
        began = datetime.datetime.now(datetime.UTC)
        assert not sender.logs_in(name, "Wrong#pass-0")
        assert sender.logs_in(name, GOOD)
        assert sender.logs_in(name, GOOD, f"echo {shlex.quote(GOOD)} | sudo -S true && echo welcome")
    finally:
        remove_person(sender, name)
    for server in servers:
        for text, kind in (
            (f"Failed password for {name} from", "authentication"),
            (f"Accepted password for {name} from", "authentication"),
            (f"session opened for user {name}(", "authentication"),
            (f"session closed for user {name}", "authentication"),
            (f"{name} : ", "privilege"),
        ):
            found = [
                r for r in arrived(server, sender.name, text) if datetime.datetime.fromisoformat(r["time"]) > began
            ]
            assert found, (server.name, text)
            assert {record["kind"] for record in found} == {kind}, text
        since = [r for r in records(server, sender.name, name) if datetime.datetime.fromisoformat(r["time"]) > began]
        assert not any(GOOD in record["msg"] for record in since)


@pytest.mark.control("LOGF-02")
def test_files_of_programs_and_the_system_are_there(client: Machine, servers: list[Machine], word: str) -> None:
    line = f'192.0.2.7 - - [22/Nov/2026:10:00:00 +0000] "GET /{word} HTTP/1.1" 403 153'
    client.ok(f"mkdir -p /var/log/webserver && echo {shlex.quote(line)} >>/var/log/webserver/access.log")
    client.ok(f"mkdir -p /var/log/application && echo order {word} taken >>/var/log/application/shop.log")
    unit = f"kijun-test-{word[:8]}.service"
    client.ok(f"systemd-run --quiet --unit={unit} --wait echo hello {word}")
    client.ok(f"logger -t kijun-journal -p local0.notice backup of {word} done")
    for server in servers:
        found = wait_for(
            lambda server=server: len(them := {r["kind"]: r for r in records(server, client.name, word)}) >= 4 and them
        )
        assert found, records(server, client.name, word)
        assert (found["access"]["msg"], found["access"]["file"]) == (line, "/var/log/webserver/access.log")
        assert found["application"]["msg"] == f"order {word} taken"
        assert found["system"]["unit"] == unit
        # Of the operations journal, which is kept for longer, and so apart.
        assert server.ok(f"grep -l {word} {STORE}/{client.name}/*.journal.log").count("\n") == 1


@pytest.mark.control("AUD-04")
def test_what_auditd_says_is_audit_or_usage_and_nobody_else_can_say_so(
    client: Machine, servers: list[Machine], word: str
) -> None:
    """Hosts of the lab have no audit of their own: something of auditd's name says what it says."""
    lines = [
        f'type=SYSCALL msg=audit(1795878827.512:77): exe="/usr/bin/{word}" key="kijun-usage" AUID="worker"',
        f'type=EXECVE msg=audit(1795878827.512:77): argc=2 a0="{word}" a1="-v"',
        f'type=SYSCALL msg=audit(1795878827.512:78): exe="/usr/bin/{word}" key="kijun-denied"',
        f'type=USER_CMD msg=audit(1795878827.513:79): pid=7 cmd="{word} type=SYSCALL" key=kijun-usage',
    ]
    text = " ".join(map(shlex.quote, lines))
    # It must be alive when the journal asks which unit it is of.
    say = f"(printf '%s\\n' {text}; sleep 2) | logger -t audisp-syslog"
    client.ok(f"echo {shlex.quote(say)} >/root/say-{word}")
    unit = "/run/systemd/system/auditd.service"
    client.ok(f"printf '[Service]\\nType=oneshot\\nExecStart=/bin/sh /root/say-{word}\\n' >{unit}")
    client.ok(f"systemctl daemon-reload && systemctl start auditd; rm {unit}; systemctl daemon-reload")
    client.ok(f"sh /root/say-{word}")
    for server in servers:
        # Not the commands that had them said, which are on record too.
        found = wait_for(
            lambda server=server: (
                len(said := [r for r in records(server, client.name, word) if r["tag"] == "audisp-syslog"]) == 8
                and said
            )
        )
        assert found, records(server, client.name, word)
        own = [(r["msg"].strip(), r["kind"]) for r in found if r.get("unit") == "auditd.service"]
        assert own == list(zip(lines, ["usage", "usage", "audit", "audit"], strict=True))
        assert {r["kind"] for r in found if r.get("unit") != "auditd.service"} == {"system"}


@pytest.mark.control("LOGF-01")
def test_numbers_follow_one_another(client: Machine, servers: list[Machine], word: str) -> None:
    client.ok(f"for i in 1 2 3; do logger {word}; done")
    for server in servers:
        wait_for(lambda server=server: len(records(server, client.name, f'"msg":"{word}')) == 3)
        [epoch] = {record["epoch"] for record in records(server, client.name, f'"msg":"{word}')}
        found = sorted({record["seq"] for record in records(server, client.name, epoch)})
        assert found == list(range(found[0], found[0] + len(found)))
        assert found[0] == 1


@pytest.mark.control("LOGF-01")
def test_a_host_with_nothing_to_say_is_heard_of(client: Machine, servers: list[Machine]) -> None:
    """Every two seconds for this test; the role counts in minutes. Somebody's own record of that tag is another one."""
    client.ok("logger -t mark -- '-- MARK --'")
    assert 'interval="600"' in client.ok("grep immark /etc/rsyslog.conf")
    client.ok("sed -i '/immark/s/600/2/' /etc/rsyslog.conf && systemctl restart rsyslog")
    try:
        [epoch] = client.ok("systemctl show -P InvocationID rsyslog").split()

        def marks(server: Machine) -> list[dict[str, Any]]:
            found = records(server, client.name, epoch)
            return [
                record for record in found if record["tag"] == "mark" and record.keys().isdisjoint({"unit", "file"})
            ]

        for server in servers:
            assert wait_for(lambda server=server: len(marks(server)) >= 2)
            assert {record["kind"] for record in marks(server)} == {"system"}
            seq = sorted(record["seq"] for record in records(server, client.name, epoch))
            assert seq == list(range(1, len(seq) + 1))
    finally:
        client.ok('sed -i \'/immark/s/"2"/"600"/\' /etc/rsyslog.conf && systemctl restart rsyslog')


def send_as(client: Machine, server: Machine, lines: list[str], certificate: str = f"{FOLDER}/host") -> None:
    """Send lines by RELP as they are, with a certificate of the client's choice, for six seconds."""
    folder = client.ok("mktemp -d").strip()
    configuration = f"""global(workDirectory="{folder}" maxMessageSize="2m")
module(load="imfile") module(load="omrelp" tls.tlslib="openssl")
template(name="raw" type="string" string="%msg%")
ruleset(name="out") {{ action(type="omrelp" target="{server.address}" port="{PORT}" tls="on" template="raw"
  tls.cacert="{FOLDER}/authority.crt" tls.mycert="{certificate}.crt" tls.myprivkey="{certificate}.key"
  tls.authmode="name" tls.permittedpeer=["{server.name}"]) }}
input(type="imfile" file="{folder}/lines" tag="raw" ruleset="out")
"""
    text = "".join(line + "\n" for line in lines)
    client.ok(f"printf %s {shlex.quote(configuration)} >{folder}/conf; printf %s {shlex.quote(text)} >{folder}/lines")
    client.run(f"timeout 6 rsyslogd -n -i NONE -f {folder}/conf; rm -rf {folder}")


@pytest.mark.control("LOGS-01")
def test_a_forged_name_is_stored_under_the_certificates(client: Machine, servers: list[Machine], word: str) -> None:
    forged = json.dumps({"epoch": "0" * 32, "seq": 1, "time": "2026-01-01T00:00:00Z", "host": "time1", "msg": word})
    named = f"2026-01-01T00:00:00+00:00 time1 {forged}"
    send_as(client, servers[0], [forged, named, f"<34>1 2026-01-01T00:00:00Z time1 su - - - {word}"])
    # Not the command by which this test came in, which is on record as well.
    there = f"grep -rF {word} {STORE} | grep -v '\"sudo\"'"
    assert wait_for(lambda: servers[0].run(there).stdout.count("\n") == 3)
    found = [line.partition(":") for line in servers[0].ok(there).splitlines()]
    assert {Path(path).parent.name for path, _, _ in found} == {client.name}
    lines = [line for _, _, line in found]
    assert len(lines) == 3
    assert {line.split(" ")[1] for line in lines} == {client.name}
    today = datetime.datetime.now(datetime.UTC)
    assert {abs((datetime.datetime.fromisoformat(line.split(" ")[0]) - today).days) for line in lines} <= {0, 1}


@pytest.fixture(scope="module")
def strangers(client: Machine) -> str:
    """A folder with certificates that must not be taken, made by real openssl: of another authority, expired, of no
    sender's name, and made by the sender for itself."""
    folder = "/root/strangers"
    days = "-not_before 20260101000000Z -not_after 20260201000000Z"
    authority = kijun_logs.machine("time1")
    client.ok(f"""rm -rf {folder}; mkdir -m 700 {folder}; cd {folder}
for name in other self expired unlisted; do
  openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out $name.key
  openssl req -new -key $name.key -subj /CN=client13 -out $name.csr; done
openssl req -new -key unlisted.key -subj /CN=stranger -out unlisted.csr
openssl req -x509 -key other.key -subj '/CN=Kijun internal authority' -days 30 -out other-ca.crt
openssl req -new -key self.key -subj /CN=client13 |
  openssl x509 -req -CA other-ca.crt -CAkey other.key -CAcreateserial -days 30 -out other.crt
cp self.key other.key
openssl req -x509 -key self.key -subj /CN=client13 -days 30 -out self.crt""")
    for name, options in (("expired", days), ("unlisted", "-days 30")):
        request = client.ok(f"cat {folder}/{name}.csr")
        signed = authority.ok(
            f"printf %s {shlex.quote(request)} | openssl x509 -req -CA /etc/kijun/authority/authority.crt"
            f" -CAkey /etc/kijun/authority/authority.key {options} 2>/dev/null"
        )
        client.ok(f"printf %s {shlex.quote(signed)} >{folder}/{name}.crt")
    return folder


@pytest.mark.control("LOGS-01")
@pytest.mark.parametrize(
    ("which", "said"),
    [
        ("other", "refused"),
        ("self", "refused"),
        ("expired", "refused"),
        ("unlisted", "certificate=stranger to relp"),
    ],
)
def test_a_wrong_certificate_is_refused_and_told(
    client: Machine, servers: list[Machine], strangers: str, word: str, which: str, said: str
) -> None:
    marks = [server.ok("date +%s").strip() for server in servers]
    with concurrent.futures.ThreadPoolExecutor() as pool:
        list(pool.map(lambda server: send_as(client, server, [word], f"{strangers}/{which}"), servers))
    for server, mark in zip(servers, marks, strict=True):
        told = server.ok(f"journalctl -u haproxy --since @{mark} -o cat --grep 'from {client.address}'")
        assert said in told, told
        assert server.run(f"grep -rq ' {word}$' {STORE}").rc == 1


@pytest.mark.control("LOGS-01")
def test_without_a_certificate_nobody_gets_in(client: Machine, servers: list[Machine]) -> None:
    for server in servers:
        done = client.run(f"echo hello | timeout 5 openssl s_client -connect {server.address}:{PORT} -quiet 2>&1")
        assert "alert" in done.stdout, done.stdout
        # What is behind the proxy is on this host alone.
        assert client.run(f"timeout 5 bash -c 'exec 3<>/dev/tcp/{server.address}/2514'").rc != 0


@pytest.mark.control("LOGF-01")
def test_a_server_of_another_name_gets_nothing(client: Machine, servers: list[Machine], word: str) -> None:
    """The sender asks for the server's name as well: its packets may have been led elsewhere."""
    first, other = servers
    led_elsewhere = Machine(first.name)
    led_elsewhere.address = other.address
    send_as(client, led_elsewhere, [word])
    assert all(server.run(f"grep -rq ' {word}$' {STORE}").rc == 1 for server in servers)


HOSTILE = {
    "ansi": b"\x1b[2J\x1b]0;owned\x07",
    "control": bytes(range(1, 9)) + b"\x0b\x0c\x0e\x7f",
    "return": b"one\rtwo",
    "not_utf8": b"\xff\xfe\x80 caf\xe9",
    "quotes": b'"}], "kind":"journal", {"a": "\\',
    "percent": b"%s%n%%$(reboot)`reboot`",
    "japanese": "監査ログ".encode(),
}


@pytest.mark.control("LOGF-02")
@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_bytes_are_stored_and_harmless(client: Machine, servers: list[Machine], word: str, what: str) -> None:
    body = HOSTILE[what]
    client.python(
        f"open('/var/log/application/hostile.log', 'ab').write({f'{word} '.encode()!r} + {body!r} + b' end\\n')"
    )
    for server in servers:
        assert arrived(server, client.name, f'"msg":"{word}'), what
        raw = server.python(
            f"import glob\nfor f in glob.glob('{STORE}/{client.name}/*.log'):\n"
            f"    for line in open(f, 'rb'):\n        if b'\"msg\":\"{word}' in line: print(line.hex())"
        ).split()
        line = bytes.fromhex(raw[0]).rstrip(b"\n")
        assert len(raw) == 1
        assert not any(byte < 32 for byte in line), line
        record = json.loads(line.split(b" ", 2)[2].decode("utf-8", "surrogateescape"))
        assert record["msg"].encode("utf-8", "surrogateescape") == f"{word} ".encode() + body + b" end"
        assert record["kind"] == "application"


@pytest.mark.control("LOGF-02")
def test_a_message_of_a_megabyte_is_whole(client: Machine, servers: list[Machine], word: str) -> None:
    client.python(f"open('/var/log/application/long.log', 'a').write('{word} ' + 'L' * 1000000 + ' end\\n')")
    for server in servers:
        [found] = arrived(server, client.name, f'"msg":"{word}')
        assert found["msg"] == f"{word} " + "L" * 1000000 + " end"


@pytest.mark.control("LOGF-02")
def test_lines_and_a_false_time_within_one_message(client: Machine, servers: list[Machine], word: str) -> None:
    text = f"{word} first\nsecond {word}\nNov 22 00:00:00 client13 sudo: root : forged"
    client.python(
        "import socket, struct\n"
        f"text = {text!r}.encode()\n"
        "s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n"
        "s.connect('/run/systemd/journal/socket')\n"
        "s.send(b'SYSLOG_IDENTIFIER=example\\nPRIORITY=5\\nMESSAGE\\n' + struct.pack('<Q', len(text)) + text + b'\\n')"
    )
    for server in servers:
        [found] = arrived(server, client.name, f'"msg":"{word}')
        # As rsyslog says a newline; a record stays one line.
        assert found["msg"] == text.replace("\n", "#012")
        assert found["tag"] == "example"


@pytest.mark.control("LOGS-02")
def test_others_cannot_read_the_records(servers: list[Machine]) -> None:
    for server in servers:
        server.ok("useradd -m curious; useradd -m -G kijun-logs reader")
        try:
            assert server.run(f"runuser -u curious -- ls {STORE}").rc != 0
            assert server.run(f"runuser -u curious -- cat {STORE}/client13/*.log").rc != 0
            assert "client13" in server.ok(f"runuser -u reader -- ls {STORE}")
            assert server.run(f"runuser -u reader -- sh -c 'echo x >>{STORE}/client13/x.log'").rc != 0
        finally:
            server.run("userdel -rf curious; userdel -rf reader")


BREAKS = {
    "LOGF-01": ("client13", "systemctl stop rsyslog syslog.socket", "systemctl start rsyslog"),
    "LOGF-02": ("client13", "sed -i 's/^module(load=\"imjournal\"/#&/' /etc/rsyslog.conf", ""),
    "LOGF-03": ("client13", "sed -i s/^Storage.*/Storage=volatile/ /etc/systemd/journald.conf.d/kijun.conf", ""),
    "LOGF-04": (
        "client13",
        "truncate -s 200M /var/spool/rsyslog/to-gone.00000001",
        "rm /var/spool/rsyslog/to-gone.00000001",
    ),
    "LOGF-05": ("client13", "systemctl stop kijun-session-sender.timer", ""),
    "LOGS-01": ("server13", "sed -i 's/ verify required//' /etc/haproxy/haproxy.cfg", ""),
    "LOGS-02": ("server13", "gpasswd -a nobody kijun-logs", "gpasswd -d nobody kijun-logs"),
    "LOGS-03": ("server13", 'sed -i \'s/"days": .*,/"days": 30,/\' /etc/kijun/log-server/keeper.json', ""),
    "LOGS-04": ("server13", "systemctl stop kijun-log-keeper.timer", ""),
}
"""Control -> host, what undoes it, and what puts right what the role does not."""


@pytest.mark.control("LOGF-01", "LOGF-02", "LOGF-03", "LOGF-04", "LOGF-05", "LOGS-01", "LOGS-02", "LOGS-03", "LOGS-04")
@pytest.mark.parametrize("host", ["client13", "server13"])
def test_the_audit_notices_and_the_role_mends(host: str, verdicts: Verdicts) -> None:
    machine = kijun_logs.machine(host)
    broken = {control: steps for control, (where, *steps) in BREAKS.items() if where == host}
    machine.ok("! systemctl cat kijun-log-keeper.service >/dev/null 2>&1 || systemctl start kijun-log-keeper.service")
    machine.ok("systemctl start kijun-session-sender.service")
    before = verdicts(machine)
    assert {before[control] for control in broken} == {"pass"}
    for undo, _ in broken.values():
        machine.ok(undo)
    assert {control: verdict for control, verdict in verdicts(machine).items() if control in broken} == dict.fromkeys(
        broken, "fail"
    )
    for _, redo in broken.values():
        machine.ok(redo or "true")
    done = kijun_logs.converge(f"{host},time1")
    assert done.returncode == 0, done.stdout
    assert verdicts(machine) == before


class Yesterday(NamedTuple):
    """A day that is over on one server.

    Attributes:
        server: the log server.
        day: its date, as its files are named.
        digest: what sha256sum says of its file of time1.
    """

    server: Machine
    day: str
    digest: str


@pytest.fixture
def yesterday(servers: list[Machine]) -> Iterator[Yesterday]:
    """A day that is over on one server, made of today's real records; gone afterwards."""
    server = servers[1]
    day = (datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)).date().isoformat()
    # Whole before it is there: the keeper's own timer may come at any moment, and pack what it finds.
    digest = server.ok(f"""cd {STORE}; for sender in client12 time1; do file=/root/$sender.made
  head -n 2000 $sender/*-??.log | grep -v '^==>' >$file
  chown kijun-log:kijun-logs $file; chmod 640 $file; touch -d '1 hour ago' $file; done
  sha256sum </root/time1.made
  mv /root/client12.made client12/{day}.log; mv /root/time1.made time1/{day}.log""")
    yield Yesterday(server, day, digest)
    server.run(f"rm -f {STORE}/*/{day}.log* /var/log/kijun/digests/{day}*")


@pytest.mark.control("LOGS-04")
def test_a_day_is_closed_signed_and_told_to_the_others(
    yesterday: Yesterday, servers: list[Machine], verdicts: Verdicts
) -> None:
    server, day, digest_of_day = yesterday
    server.ok("systemctl start kijun-log-keeper")
    assert server.ok(f"zcat {STORE}/time1/{day}.log.gz | sha256sum") == digest_of_day
    assert server.run(f"test -e {STORE}/time1/{day}.log").rc == 1
    assert server.ok(f"stat -c '%U:%G %a' {STORE}/time1/{day}.log.gz").strip() == "kijun-log:kijun-logs 640"
    assert "as they were signed" in server.ok("kijun-log-keeper verify")
    digest = server.ok(f"sha256sum /var/log/kijun/digests/{day}.json").split()[0]
    assert arrived(servers[0], server.name, f"kijun-log-digest server={server.name} day={day} sha256={digest}")
    assert verdicts(server)["LOGS-04"] == "pass"
    # Somebody takes a line out, and packs the rest again.
    path = f"{STORE}/time1/{day}.log.gz"
    server.ok(f"cp -p {path} /root/kept.gz; zcat /root/kept.gz | sed 5d | gzip >{path}")
    found = server.run("kijun-log-keeper verify")
    assert (found.rc, found.stdout) == (1, f"{day}: time1/{day}.log.gz was changed\n")
    server.ok(f"cp -p /root/kept.gz {path}; rm /root/kept.gz {STORE}/client12/{day}.log.gz*")
    found = server.run("kijun-log-keeper verify")
    assert (found.rc, found.stdout) == (1, f"{day}: client12/{day}.log.gz is gone\n")
    # A digest that fits again is not signed by this key.
    server.ok(f"sed -i s/client12/client99/ /var/log/kijun/digests/{day}.json")
    assert "is not what was signed" in server.run("kijun-log-keeper verify").stdout


@pytest.mark.control("LOGS-03")
def test_what_is_old_enough_goes_and_nothing_else(servers: list[Machine]) -> None:
    server = servers[1]
    today = datetime.datetime.now(datetime.UTC).date()
    days = {age: (today - datetime.timedelta(days=age)).isoformat() for age in (366, 367, 1827, 1828)}
    folder = f"{STORE}/time1"
    for age, day in days.items():
        server.ok(f"cd {folder}; echo {age} | gzip | tee {day}.log.gz >{day}.journal.log.gz")
    try:
        server.ok("systemctl start kijun-log-keeper")
        left = server.ok(f"ls {folder}").split()
        assert f"{days[366]}.log.gz" in left
        assert f"{days[367]}.log.gz" not in left
        assert f"{days[1827]}.journal.log.gz" in left
        assert f"{days[1828]}.journal.log.gz" not in left
        assert arrived(servers[0], server.name, f"{days[1828]}.journal.log.gz")
    finally:
        server.run("".join(f"rm -f {folder}/{day}.* /var/log/kijun/digests/{day}*;" for day in days.values()))


def test_settings_that_are_wrong_stop_before_anything_changes(client: Machine) -> None:
    for setting, said in (
        ({"log_forwarding_files": [{"path": "relative.log", "kind": "access"}]}, "clause SM-4.8.1-1-1-4"),
        ({"log_forwarding_files": [{"path": "/var/log/a.log", "kind": "gossip"}]}, "kind is one of authentication"),
        ({"log_forwarding_queue_mb": 1}, "a whole number from 64"),
        ({"log_forwarding_when_full": "panic"}, "one of hold, discard"),
        ({"log_forwarding_mark_minutes": 0}, "a whole number from 1 to 60"),
    ):
        before = client.ok("sha256sum /etc/rsyslog.conf")
        done = kijun_logs.converge("client13,time1", "-e", json.dumps(setting))
        assert done.returncode != 0
        assert said in " ".join(done.stdout.split()), done.stdout
        assert client.ok("sha256sum /etc/rsyslog.conf") == before
