# SPDX-License-Identifier: GPL-3.0-or-later
"""Attacks on the controls of role firewall, from a neighbour with many addresses and over IPv4 and IPv6."""

from __future__ import annotations

import contextlib
import datetime
import json
import shlex
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.kijun.baseline.plugins.plugin_utils.controls import collection_controls
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger import migrate
from kijun_hosts import on_controller
from kijun_lab import identity

from .conftest import ROOT, Machine
from .test_modules import four_runs, run

Verdicts = Callable[..., dict[str, str]]

AUDITED = ",".join(f"FW-{number:02}" for number in range(1, 12))

PLAYBOOK = "../molecule/firewall/converge"
SETTINGS = ("-e", "@molecule/firewall/vars/settings.yml")
WEB, INSIDE, UNLISTED = 8080, 8443, 9999
"""Ports: a service for everybody, one for some networks, and one that nobody declared."""

BLOCKED_SECONDS = 20
"""firewall_block_seconds of the scenario."""

ECHO = """\
import socket, threading
def answer(peer):
    while data := peer.recv(99):
        peer.sendall(data)
def serve(port):
    server = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)
    while True:
        threading.Thread(target=answer, args=(server.accept()[0],), daemon=True).start()
for port in (%d, %d, %d):
    threading.Thread(target=serve, args=(port,)).start()
""" % (WEB, INSIDE, UNLISTED)

CONNECT = """\
import socket
got = 0
for _ in range({times}):
    try:
        peer = socket.create_connection(({to!r}, {port}), {wait}, source_address=({source!r}, 0))
    except OSError:
        continue
    got += 1
    peer.close()
print(got)
"""

RAW = """\
import socket, struct, time
def checksum(data):
    total = sum(struct.unpack("!%%dH" %% (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff
def packet(source, to, port, flags, sport):
    addresses = socket.inet_aton(source) + socket.inet_aton(to)
    head = struct.pack("!HHLLBBHHH", sport, port, 1, 1, 5 << 4, flags, 1024, 0, 0)
    sum_ = checksum(addresses + struct.pack("!BBH", 0, 6, len(head)) + head)
    head = head[:16] + struct.pack("!H", sum_) + head[18:]
    return struct.pack("!BBHHHBBH", 0x45, 0, 40, 0, 0, 64, 6, 0) + addresses + head
out = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
heard = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP)
heard.settimeout(1)
for number in range({times}):
    out.sendto(packet({source!r}, {to!r}, {port}, {flags}, 40000 + number), ({to!r}, 0))
    time.sleep(0.02)
answers = 0
end = time.monotonic() + 1
while time.monotonic() < end:
    try:
        data = heard.recv(200)
    except TimeoutError:
        break
    sport, dport = struct.unpack("!HH", data[20:24])
    from_target = data[12:16] == socket.inet_aton({to!r})
    answers += from_target and sport == {port} and dport >= 40000 and dport < 40000 + {times}
print(answers)
"""
SYN, ACK = 2, 16

WRONG_PASSWORDS = [
    *("-oPreferredAuthentications=password", "-oPubkeyAuthentication=no"),
    *("-oStrictHostKeyChecking=no", "-oUserKnownHostsFile=/dev/null", "-oConnectTimeout=5"),
]

TALK = """\
import socket, sys
peer = socket.create_connection(({to!r}, {port}), 3, source_address=({source!r}, 0))
peer.settimeout(1.5)
print("here", flush=True)
for line in sys.stdin:
    try:
        peer.sendall(b"x")
        print("echo" if peer.recv(9) else "closed", flush=True)
    except OSError as error:
        print(error, flush=True)
"""


class Neighbour(Machine):
    """A host with addresses in every network that the scenario's rules name, and in none.

    Args:
        target: the host that it attacks; two are attacked at once, from different addresses.
    """

    def __init__(self, target: Machine) -> None:
        super().__init__("client12")
        self.target = target
        number = target.name == "server13"
        network = target.address.rpartition(".")[0]
        self.operator, self.attacker, self.another = (f"{network}.{201 + number * 3 + n}" for n in range(3))
        self.insider, self.stranger, self.nobody = self.address, f"{network}.{101 + number}", f"{network}.207"
        last = int(target.address.rpartition(".")[2])
        self.target6 = f"fd00:213::{last}"
        self.insider6, self.stranger6 = f"fd00:213::{24 + number}", f"fd00:213::{101 + number}"
        self.operator6, self.attacker6 = f"fd00:213::{201 + number * 3}", f"fd00:213::{202 + number * 3}"
        four = (self.operator, self.attacker, self.another, self.stranger)
        six = (self.insider6, self.stranger6, self.operator6, self.attacker6)
        words = [f"ip address replace {address}/24 dev eth0" for address in four]
        words += [f"ip address replace {address}/64 dev eth0 nodad" for address in six]
        self.ok("; ".join(words))
        target.ok(f"ip address replace {self.target6}/64 dev eth0 nodad")

    def reaches(self, port: int, source: str, times: int = 1, wait: float = 1.0) -> int:
        """How many of some connections to the target come about."""
        to = self.target6 if ":" in source else self.target.address
        return int(self.python(CONNECT.format(to=to, port=port, source=source, times=times, wait=wait)))

    def sends(self, flags: int, port: int, source: str, times: int = 1) -> int:
        """Send TCP packets of any kind from any address, and count the answers that come here."""
        to = self.target.address
        return int(
            self.python(RAW.format(to=to, port=port, source=source, flags=flags, times=times).replace("%%", "%"))
        )

    def fails_to_log_in(self, source: str, *attempts: int) -> None:
        """Make connections to the target at once, each with so many wrong passwords of a user it has or has not."""
        to = self.target6 if ":" in source else self.target.address
        words = ["export SSH_ASKPASS=/bin/echo SSH_ASKPASS_REQUIRE=force"]
        for number, times in enumerate(attempts):
            user = ("admin", "nobody-here")[number % 2]
            line = shlex.join(
                ["ssh", "-b", source, *WRONG_PASSWORDS, f"-oNumberOfPasswordPrompts={times}", f"{user}@{to}"]
            )
            words.append(f"{line} true </dev/null >/dev/null 2>&1 &")
        self.ok("\n".join([*words, "wait"]))

    @contextlib.contextmanager
    def talking(self, port: int, source: str) -> Iterator[Callable[[], str]]:
        """Hold a connection to the target; calling what this gives says whether it still lives."""
        script = TALK.format(to=self.target.address, port=port, source=source)
        line = [*self.ssh("admin", "-i", str(identity.USER_KEY)), f"python3 -c {shlex.quote(script)}"]
        with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as process:
            assert process.stdin
            assert process.stdout
            assert process.stdout.readline() == "here\n"

            def talk() -> str:
                assert process.stdin
                assert process.stdout
                print(file=process.stdin, flush=True)
                return process.stdout.readline().strip()

            yield talk
            process.stdin.close()


@pytest.fixture(scope="module")
def neighbour(machine: Machine) -> Neighbour:
    subprocess.run(["lab/lab", "up", "client12"], cwd=ROOT, check=True, capture_output=True, timeout=300)
    listen(machine)
    return Neighbour(machine)


def listen(machine: Machine) -> None:
    """Have services answer, those that nobody declared among them; the neighbour's are two targets' tests'."""
    machine.run(f"systemd-run --quiet --collect --unit=kijun-echo python3 -c {shlex.quote(ECHO)}")
    ready = f"for i in $(seq 100); do ss -Hltn sport = :{UNLISTED} | grep -q . && exit 0; sleep 0.1; done; exit 1"
    machine.ok(ready)


def converge(machine: Machine, *arguments: str) -> subprocess.CompletedProcess[str]:
    return machine.playbook(PLAYBOOK, *arguments)


def repaired(machine: Machine) -> None:
    done = converge(machine)
    assert done.returncode == 0, done.stdout + done.stderr


def rules(machine: Machine) -> str:
    return machine.ok("nft -s -t list ruleset")


def blocked(machine: Machine, address: str) -> bool:
    name = "blocked6" if ":" in address else "blocked4"
    return machine.run(f"nft get element inet kijun {name} '{{ {address} }}'").rc == 0


@pytest.fixture
def by_hand(machine: Machine) -> Iterator[Callable[..., None]]:
    """Change the rules in force by hand; loaded anew afterwards."""

    def change(*commands: str) -> None:
        for command in commands:
            machine.ok(f"nft {command}")

    yield change
    machine.ok("nft -f /etc/nftables.conf")


def removed(machine: Machine, chain: str, comment: str) -> str:
    """The command that removes a rule."""
    listed = machine.ok(f"nft -a list chain inet kijun {chain}")
    line = next(line for line in listed.splitlines() if f'comment "{comment}"' in line)
    return f"delete rule inet kijun {chain} handle {line.rpartition(' ')[2]}"


@pytest.mark.control("FW-01", "FW-02", "FW-03", "FW-04", "FW-05", "FW-06", "FW-07", "FW-08", "FW-10", "FW-11")
def test_audit_finds_the_host_as_it_was_left(verdicts: Verdicts) -> None:
    seen = {name: verdict for name, verdict in verdicts(*SETTINGS).items() if name.startswith("FW-")}
    assert seen.pop("FW-09") == "not_applicable"
    assert set(seen.values()) == {"pass"}, seen


@pytest.mark.control("FW-04", "FW-05", "FW-06", "FW-07")
def test_rules_that_were_taken_out_are_noticed(
    machine: Machine, verdicts: Verdicts, by_hand: Callable[..., None]
) -> None:
    by_hand(
        removed(machine, "management", "management: bandwidth in"),
        removed(machine, "attempt", "attempts4"),
        removed(machine, "input", "false loopback"),
        removed(machine, "refuse", "log"),
    )
    seen = verdicts(*SETTINGS)
    assert [name for name in sorted(seen) if name.startswith("FW-") and seen[name] == "fail"] == [
        *("FW-01", "FW-04", "FW-05", "FW-06", "FW-07"),
    ]


@pytest.mark.control("FW-01", "FW-02")
def test_port_that_nobody_declared_is_shut(
    machine: Machine, neighbour: Neighbour, verdicts: Verdicts, by_hand: Callable[..., None]
) -> None:
    for source in (neighbour.insider, neighbour.operator, neighbour.insider6, neighbour.operator6):
        assert not neighbour.reaches(UNLISTED, source)
    by_hand(f"insert rule inet kijun input tcp dport {UNLISTED} accept")
    assert neighbour.reaches(UNLISTED, neighbour.insider), "the attack itself does not work"
    assert neighbour.reaches(UNLISTED, neighbour.insider6), "the attack itself does not work over IPv6"
    seen = verdicts(*SETTINGS)
    assert (seen["FW-01"], seen["FW-02"]) == ("fail", "fail")


@pytest.mark.control("FW-01")
def test_rules_that_are_gone_are_noticed_and_predicted(machine: Machine, verdicts: Verdicts) -> None:
    before = rules(machine)
    machine.ok("nft delete table inet kijun; systemctl disable --quiet nftables")
    assert verdicts(*SETTINGS)["FW-01"] == "fail"
    for arguments, changes in ((["--check"], "2"), ([], "2"), (["--check"], "0"), ([], "0")):
        done = converge(machine, *arguments)
        assert f"changed={changes} " in done.stdout, done.stdout + done.stderr
    assert rules(machine) == before
    assert verdicts(*SETTINGS)["FW-01"] == "pass"


@pytest.mark.control("FW-01")
def test_rules_are_there_after_a_restart(machine: Machine, neighbour: Neighbour) -> None:
    before = rules(machine)
    subprocess.run(["lab/lab", "reboot", machine.name], cwd=ROOT, check=True, capture_output=True, timeout=60)
    machine.ok(f"ip address replace {neighbour.target6}/64 dev eth0 nodad")
    listen(machine)
    assert rules(machine) == before
    assert "changed=0 " in converge(machine).stdout


@pytest.mark.control("FW-02")
def test_services_are_open_to_their_sources_alone(neighbour: Neighbour) -> None:
    for source in (neighbour.insider, neighbour.stranger, neighbour.insider6, neighbour.stranger6):
        assert neighbour.reaches(WEB, source), source
    assert neighbour.reaches(INSIDE, neighbour.insider)
    assert neighbour.reaches(INSIDE, neighbour.insider6)
    assert not neighbour.reaches(INSIDE, neighbour.stranger)
    assert not neighbour.reaches(INSIDE, neighbour.stranger6)


def test_new_connections_of_one_address_to_a_service_are_limited(neighbour: Neighbour) -> None:
    # 100 a second are let in, and a burst of as many.
    assert 50 <= neighbour.reaches(WEB, neighbour.stranger, times=150, wait=0.01) < 150


@pytest.mark.control("FW-03")
def test_management_comes_from_named_networks_only(
    neighbour: Neighbour, verdicts: Verdicts, by_hand: Callable[..., None]
) -> None:
    for source in (neighbour.operator, neighbour.operator6):
        assert neighbour.reaches(22, source), source
    for source in (neighbour.insider, neighbour.stranger, neighbour.insider6, neighbour.stranger6):
        assert not neighbour.reaches(22, source), source
    by_hand("insert rule inet kijun management accept")
    assert neighbour.reaches(22, neighbour.insider), "the attack itself does not work"
    assert verdicts(*SETTINGS)["FW-03"] == "fail"


@pytest.mark.control("FW-03")
def test_rules_that_shut_us_out_are_refused_or_taken_back(machine: Machine) -> None:
    before = rules(machine)
    done = converge(machine, "-e", '{"firewall_management_networks": ["192.0.2.0/24"]}')
    assert done.returncode != 0
    assert "it must hold" in done.stdout + done.stderr
    assert "clause GL-2.5-1" in done.stdout + done.stderr
    assert rules(machine) == before
    # These say nothing of the kind: only that logins are somewhere where there are none.
    done = converge(machine, "-e", '{"firewall_management_ports": [2222], "kijun_guard_seconds": 10}')
    assert done.returncode != 0
    assert "Taken back" in done.stdout + done.stderr, done.stdout + done.stderr
    assert rules(machine) == before
    assert "changed=0 " in converge(machine, "--check").stdout


@pytest.mark.control("AST-05")
def test_operations_come_from_registered_terminals_at_their_baseline(
    machine: Machine, neighbour: Neighbour, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    migrate.upgrade(url)
    monkeypatch.setenv("KIJUN_LEDGER_URL", url)
    terminals = {"PC-1": ("pc1", neighbour.operator), "PC-2": ("pc2", neighbour.attacker)}
    entries = [
        {
            "id": name,
            "action": "register",
            "kind": "pc",
            "host": host,
            "terminal_address": address,
            "owner": "operations",
            "place": "room 3",
            "approver": "manager1",
            "ticket": "AST-1",
        }
        for name, (host, address) in terminals.items()
    ]
    done = on_controller("asset_entries", asset_entries=entries, kijun_actor="operator1")
    assert done.returncode == 0, done.stdout
    evidence(tmp_path, "20261101T000000Z", {"pc1": "pass", "pc2": "pass"})
    asked = {"reports": str(tmp_path), "days": 1}
    lookup = f"query('kijun.baseline.management_terminals', '{machine.address.rpartition('.')[0]}.1', **{asked})"
    settings = ("-e", json.dumps({"firewall_management_networks": "{{ %s }}" % lookup}))
    try:
        assert converge(machine, *settings).returncode == 0
        assert neighbour.reaches(22, neighbour.operator)
        assert neighbour.reaches(22, neighbour.attacker)
        assert not neighbour.reaches(22, neighbour.another), "an operator's place, but no registered terminal"
        evidence(tmp_path, "20261102T000000Z", {"pc1": "pass", "pc2": "fail"})
        done = converge(machine, *settings)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "terminal PC-2 (pc2, " in " ".join((done.stdout + done.stderr).split())
        assert neighbour.reaches(22, neighbour.operator)
        assert not neighbour.reaches(22, neighbour.attacker)
        told = on_controller("terminals", terminals_reports=str(tmp_path), terminals_days=1)
        assert told.returncode == 0, told.stdout
        assert "failed AUTH-01" in told.stdout, told.stdout
    finally:
        repaired(machine)


def evidence(reports: Path, run_id: str, verdicts: dict[str, str]) -> None:
    """An audit of the whole baseline, of now, that ended so for each host."""
    controls = [
        {"id": control["id"], "severity": control["severity"], "verdict": "pass"} for control in collection_controls()
    ]
    folder = reports / run_id / "hosts"
    folder.mkdir(parents=True)
    for host, verdict in verdicts.items():
        changed = [{**one, "verdict": verdict} if one["id"] == "AUTH-01" else one for one in controls]
        moment = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        record = {"host": {"name": host, "time": moment.replace("+00:00", "Z")}, "controls": changed}
        (folder / f"{host}.json").write_text(json.dumps(record), encoding="utf-8")


def flood(address: str, times: int) -> list[socket.socket]:
    """Open many management connections at once, as someone who is never blocked."""
    opened = []
    for _ in range(times):
        peer = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        peer.setblocking(False)
        peer.connect_ex((address, 22))
        opened.append(peer)
    return opened


def arrived(peers: list[socket.socket]) -> int:
    """How many of them came about."""
    count = 0
    for peer in peers:
        with contextlib.suppress(OSError):
            peer.getpeername()
            count += 1
    return count


@pytest.mark.control("FW-04")
def test_flood_of_management_leaves_users_their_share(
    machine: Machine, neighbour: Neighbour, by_hand: Callable[..., None]
) -> None:
    peers = flood(machine.address, 100)
    assert neighbour.reaches(WEB, neighbour.insider, times=20) == 20, "users are disturbed"
    assert arrived(peers) < 60, "the flood came through"
    for peer in peers:
        peer.close()
    time.sleep(3)
    by_hand(
        removed(machine, "management_new", "management: new"),
        removed(machine, "management_new", "management: connections"),
    )
    peers = flood(machine.address, 100)
    time.sleep(1)
    assert arrived(peers) > 90, "the attack itself does not work"
    for peer in peers:
        peer.close()
    time.sleep(1)


@pytest.mark.control("FW-04")
def test_management_takes_no_more_than_its_bandwidth(machine: Machine) -> None:
    def seconds() -> float:
        start = time.monotonic()
        line = [*machine.ssh("admin", "-i", str(identity.USER_KEY)), "head -c 12000000 /dev/zero"]
        done = subprocess.run(line, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=True)
        assert len(done.stdout) == 12_000_000
        return time.monotonic() - start

    free = seconds()
    assert converge(machine, "-e", "firewall_management_bandwidth=2").returncode == 0
    limited = seconds()
    repaired(machine)
    assert limited > 3 > free, (free, limited)


@pytest.mark.control("FW-05")
def test_addresses_that_try_too_often_are_blocked_for_a_while(machine: Machine, neighbour: Neighbour) -> None:
    several = (neighbour.attacker, neighbour.another, neighbour.attacker6)
    for address in several:
        assert neighbour.reaches(22, address, times=9) == 9
        assert not blocked(machine, address), "nine a minute are no attack"
    for address in several:
        neighbour.reaches(22, address)
        assert blocked(machine, address), "ten are"
        assert not neighbour.reaches(22, address, wait=0.5)
        assert not neighbour.reaches(WEB, address, wait=0.5), "blocked for management alone"
    began = time.monotonic()
    # Let in by hand, and by itself after the time.
    machine.ok(f"nft delete element inet kijun blocked4 '{{ {neighbour.another} }}'")
    assert neighbour.reaches(WEB, neighbour.another)
    time.sleep(max(0.0, BLOCKED_SECONDS + 1 - (time.monotonic() - began)))
    for address in several:
        assert neighbour.reaches(WEB, address), "blocked for ever"


@pytest.mark.control("FW-05")
def test_nobody_has_an_address_blocked_that_is_not_theirs(machine: Machine, neighbour: Neighbour) -> None:
    neighbour.sends(SYN, 22, neighbour.nobody, times=15)
    assert not blocked(machine, neighbour.nobody)


@pytest.mark.control("FW-05")
def test_controller_is_never_blocked(machine: Machine) -> None:
    for _ in range(12):
        with socket.create_connection((machine.address, 22), 3):
            pass
        time.sleep(0.05)
    controller = machine.address.rpartition(".")[0] + ".1"
    assert not blocked(machine, controller)
    machine.ok(f"nft add element inet kijun blocked4 '{{ {controller} }}'")
    assert machine.ok("echo still here") == "still here\n"
    machine.ok(f"nft delete element inet kijun blocked4 '{{ {controller} }}'")


@pytest.mark.control("FW-05")
def test_addresses_that_log_review_found_are_blocked_for_a_while(machine: Machine, neighbour: Neighbour) -> None:
    # Longer than the four runs take on a busy machine.
    several = {neighbour.another: 20, neighbour.attacker6: 20}
    assert sorted(four_runs(machine, "firewall_block", {"addresses": several}, "added")) == sorted(several)
    for address in several:
        assert blocked(machine, address)
        assert not neighbour.reaches(WEB, address, wait=0.5)
    assert neighbour.reaches(WEB, neighbour.attacker), "nobody asked for this one"
    assert eventually(lambda: all(neighbour.reaches(WEB, address) for address in several), 25), "blocked for ever"
    # The controller's own is in the set then, and is not refused.
    controller = machine.address.rpartition(".")[0] + ".1"
    assert run(machine, "firewall_block", {"addresses": {controller: 5}})["added"] == [controller]
    assert machine.ok("echo still here") == "still here\n"
    for wrong in ({"198.51.100": 60}, {"198.51.100.9": 0}, {"198.51.100.9": 90000}, {"198.51.100.9; flush ruleset": 9}):
        refused = run(machine, "firewall_block", {"addresses": wrong})
        assert refused["failed"]
        assert refused["msg"].startswith("addresses: ")


def failed_logins(machine: Machine) -> int:
    """How many fail2ban has counted since it started."""
    return int(machine.ok("fail2ban-client status sshd | sed -n 's/.*Total failed:[[:space:]]*//p'"))


def eventually(happens: Callable[[], bool], seconds: float = 8) -> bool:
    """Whether something happens soon: fail2ban reads the journal about once a second."""
    end = time.monotonic() + seconds
    while not (happened := happens()) and time.monotonic() < end:
        time.sleep(0.3)
    return happened


@pytest.fixture
def forgotten(machine: Machine) -> None:
    """What earlier tests did from these addresses is forgotten."""
    machine.ok("fail2ban-client unban --all")
    machine.ok("for s in attempts4 attempts6 blocked4 blocked6; do nft flush set inet kijun $s; done")
    assert eventually(lambda: machine.run("fail2ban-client ping || false").rc == 0)


@pytest.mark.control("FW-11")
@pytest.mark.usefixtures("forgotten")
def test_addresses_whose_logins_fail_too_often_are_blocked_for_a_while(machine: Machine, neighbour: Neighbour) -> None:
    before = failed_logins(machine)
    neighbour.fails_to_log_in(neighbour.attacker, 3, 3, 3)
    assert eventually(lambda: failed_logins(machine) >= before + 9), "failed logins are not seen"
    time.sleep(1.5)
    assert failed_logins(machine) == before + 9, "attempts are counted twice"
    assert not blocked(machine, neighbour.attacker), "nine a minute are no attack"
    # Four connections: their number alone has nobody blocked.
    for address in (neighbour.another, neighbour.attacker6):
        neighbour.fails_to_log_in(address, 3, 3, 3, 1)
        assert eventually(lambda a=address: blocked(machine, a)), "ten are"  # type: ignore[misc]
        assert address in machine.ok("fail2ban-client status sshd")
        for port in (22, WEB):
            assert not neighbour.reaches(port, address, wait=0.5)
    began = time.monotonic()
    machine.ok(f"fail2ban-client set sshd unbanip {neighbour.another}")
    assert neighbour.reaches(WEB, neighbour.another), "not let in by hand"
    time.sleep(max(0.0, BLOCKED_SECONDS + 2 - (time.monotonic() - began)))
    assert neighbour.reaches(WEB, neighbour.attacker6), "blocked for ever"
    assert neighbour.attacker6 not in machine.ok("fail2ban-client status sshd")
    assert "ERROR" not in machine.ok("tail -n 40 /var/log/fail2ban.log")


@pytest.mark.control("FW-11")
@pytest.mark.usefixtures("forgotten")
def test_failed_logins_of_those_who_are_never_blocked_do_not_count(machine: Machine, neighbour: Neighbour) -> None:
    controller = machine.address.rpartition(".")[0] + ".1"
    never = {"firewall_never_blocked": [controller, neighbour.operator]}
    try:
        done = converge(machine, "-e", json.dumps(never))
        assert done.returncode == 0, done.stdout + done.stderr
        neighbour.fails_to_log_in(neighbour.operator, 3, 3, 3, 3)
        time.sleep(3)
        assert f"Ignore {neighbour.operator}" in machine.ok("tail -n 40 /var/log/fail2ban.log")
        assert not blocked(machine, neighbour.operator)
        assert neighbour.reaches(WEB, neighbour.operator)
    finally:
        repaired(machine)


@pytest.mark.control("FW-11")
@pytest.mark.usefixtures("forgotten")
def test_no_user_has_an_address_blocked_by_writing_to_the_log(machine: Machine) -> None:
    line = "Failed password for root from %s port 1 ssh2"
    # One program that goes on for a second: journald asks /proc who wrote, which says nothing of one that has ended.
    write = "{{ yes {line} | head -n 12; sleep 1; }} | /tmp/sshd -t sshd -i"
    machine.ok("install -m 755 /usr/bin/logger /tmp/sshd")
    try:
        by_user = write.format(line=shlex.quote(line % "192.0.2.97"))
        machine.ok(f"runuser -u nobody -- sh -c {shlex.quote(by_user)}")
        machine.ok(write.format(line=shlex.quote(line % "192.0.2.98")))
        assert eventually(lambda: blocked(machine, "192.0.2.98")), "the attack itself does not work"
        assert not blocked(machine, "192.0.2.97")
    finally:
        machine.ok("rm /tmp/sshd; fail2ban-client unban --all")


FORGOTTEN = [
    "sed -i 's/^enabled = true/enabled = false/' /etc/fail2ban/jail.local && systemctl restart fail2ban",
    "sed -i 's/^maxretry = .*/maxretry = 1000/' /etc/fail2ban/jail.local && systemctl restart fail2ban",
    "systemctl disable --quiet --now fail2ban",
]
"""Ways by which somebody has failed logins no longer counted."""


@pytest.mark.control("FW-11")
def test_logins_that_are_no_longer_counted_are_noticed_and_counted_again(machine: Machine, verdicts: Verdicts) -> None:
    for undo in FORGOTTEN:
        machine.ok(undo)
        assert verdicts(*SETTINGS, "--tags", "FW-11")["FW-11"] == "fail", undo
        excused = converge(machine, "-e", '{"__firewall_excused": ["FW-11"]}')
        assert "changed=0 " in excused.stdout, "a host that is excused is not left alone\n" + excused.stdout
        repaired(machine)
        assert verdicts(*SETTINGS, "--tags", "FW-11")["FW-11"] == "pass", undo
    assert "changed=0 " in converge(machine).stdout
    # What somebody only told the server is noticed as well, and gone with its next start.
    for command in ("set sshd maxretry 1000", "set sshd addignoreip 0.0.0.0/0", "stop sshd"):
        machine.ok(f"fail2ban-client {command}")
        assert verdicts(*SETTINGS, "--tags", "FW-11")["FW-11"] == "fail", command
        machine.ok("systemctl restart fail2ban")
        # Without its socket it ends with 255, which is what ssh has for failures of its own.
        assert eventually(lambda: machine.run("fail2ban-client status sshd || false").rc == 0)


@pytest.mark.control("FW-06")
def test_packets_of_no_connection_get_no_answer(
    machine: Machine, neighbour: Neighbour, by_hand: Callable[..., None]
) -> None:
    # An answer to a question that nobody asked belongs to no connection.
    assert neighbour.sends(SYN | ACK, WEB, neighbour.insider) == 0
    by_hand(removed(machine, "input", "invalid"))
    assert neighbour.sends(SYN | ACK, WEB, neighbour.insider) > 0, "the attack itself does not work"


def refused(machine: Machine) -> int:
    listed = json.loads(machine.ok("nft -j list counter inet kijun refused"))["nftables"]
    return next(int(entry["counter"]["packets"]) for entry in listed if "counter" in entry)


@pytest.mark.control("FW-07")
def test_what_is_refused_passes_the_log(machine: Machine, neighbour: Neighbour) -> None:
    # The kernel keeps messages of a container's packet filter to itself: that refused packets come by the rule is seen
    # by the counter behind it, and that the rule is there by the audit.
    before = refused(machine)
    neighbour.reaches(UNLISTED, neighbour.insider, times=3, wait=0.3)
    assert refused(machine) >= before + 3


@pytest.mark.control("FW-08")
def test_tables_of_others_let_nothing_in_and_are_noticed(
    machine: Machine, neighbour: Neighbour, verdicts: Verdicts
) -> None:
    machine.ok(
        "nft 'table inet other { chain input { type filter hook input priority -300; policy accept; "
        "counter accept; }; }'"
    )
    try:
        assert not neighbour.reaches(UNLISTED, neighbour.insider)
        assert neighbour.reaches(WEB, neighbour.insider)
        assert verdicts(*SETTINGS)["FW-08"] == "fail"
        assert verdicts(*SETTINGS, "-e", '{"firewall_other_tables": ["inet other"]}')["FW-08"] == "pass"
        machine.ok("nft insert rule inet kijun input tcp dport 1 accept")
        repaired(machine)
        assert "inet other" in machine.ok("nft list tables"), "the role took what is not its own"
    finally:
        machine.ok("nft delete table inet other")


@pytest.mark.control("FW-09")
def test_host_connects_to_named_services_only(machine: Machine, neighbour: Neighbour, verdicts: Verdicts) -> None:
    listen(neighbour)

    def connects(port: int) -> bool:
        attempt = f"import socket; socket.create_connection(({neighbour.address!r}, {port}), 1)"
        return machine.run(f"python3 -c {shlex.quote(attempt)}").rc == 0

    assert connects(UNLISTED)
    service: dict[str, Any] = {"name": "web", "protocol": "tcp", "ports": [WEB], "destinations": [neighbour.address]}
    deny = ("-e", json.dumps({"firewall_output": "deny", "firewall_output_services": [service]}))
    done = converge(machine, *deny)
    assert done.returncode == 0, done.stdout + done.stderr
    assert connects(WEB)
    assert not connects(UNLISTED)
    assert verdicts(*SETTINGS, *deny)["FW-09"] == "pass"
    machine.ok(f"nft insert rule inet kijun output tcp dport {UNLISTED} accept")
    assert connects(UNLISTED), "the attack itself does not work"
    assert verdicts(*SETTINGS, *deny)["FW-09"] == "fail"
    repaired(machine)


def test_connections_and_blocks_live_through_loading(machine: Machine, neighbour: Neighbour) -> None:
    machine.ok("nft add element inet kijun blocked4 '{ 192.0.2.99 timeout 1h }'")
    with neighbour.talking(WEB, neighbour.insider) as talk:
        assert talk() == "echo"
        machine.ok("nft insert rule inet kijun input tcp dport 1 accept")
        assert "changed=1 " in converge(machine).stdout
        assert talk() == "echo"
    assert blocked(machine, "192.0.2.99"), "rules that are loaded anew let blocked addresses in"
    machine.ok("nft delete element inet kijun blocked4 '{ 192.0.2.99 }'")


def isolate(machine: Machine, wanted: bool, *arguments: str) -> subprocess.CompletedProcess[str]:
    words = {"isolate": wanted, "ticket": "INC-17", "reason": "a break-in is suspected", "kijun_actor": "operator"}
    words |= {} if wanted else {"requester": "mori"}
    return machine.playbook("isolate", *SETTINGS, "-e", json.dumps(words), *arguments)


@pytest.mark.control("FW-10")
def test_isolated_host_is_cut_from_all_but_management_and_comes_back(
    machine: Machine, neighbour: Neighbour, verdicts: Verdicts
) -> None:
    before = rules(machine)
    outgoing = f"import socket; socket.create_connection(({neighbour.address!r}, 22), 1)"
    assert machine.run(f"python3 -c {shlex.quote(outgoing)}").rc == 0
    try:
        with neighbour.talking(WEB, neighbour.insider) as talk:
            assert talk() == "echo"
            done = isolate(machine, True)
            assert done.returncode == 0, done.stdout + done.stderr
            assert talk() != "echo", "a connection that was there goes on"
        for source in (neighbour.insider, neighbour.insider6, neighbour.operator):
            assert not neighbour.reaches(WEB, source)
        assert neighbour.reaches(22, neighbour.operator)
        assert machine.run(f"python3 -c {shlex.quote(outgoing)}").rc != 0
        assert verdicts(*SETTINGS)["FW-10"] == "fail"
        assert "changed=0 " in isolate(machine, True).stdout
        assert "changed=0 " in converge(machine).stdout, "the role brings an isolated host back"
        subprocess.run(["lab/lab", "reboot", machine.name], cwd=ROOT, check=True, capture_output=True, timeout=60)
        listen(machine)
        assert not neighbour.reaches(WEB, neighbour.insider), "a restart brings an isolated host back"
    finally:
        done = isolate(machine, False)
    assert done.returncode == 0, done.stdout + done.stderr
    machine.ok(f"ip address replace {neighbour.target6}/64 dev eth0 nodad")
    assert rules(machine) == before
    assert neighbour.reaches(WEB, neighbour.insider)
    assert verdicts(*SETTINGS)["FW-10"] == "pass"
    record = json.loads(machine.ok("cat /var/lib/kijun/firewall/isolation.json"))
    last = [(event["isolated"], event["ticket"], event["reason"], event["by"]) for event in record[-2:]]
    assert last == [(wanted, "INC-17", "a break-in is suspected", "operator") for wanted in (True, False)]


def test_nothing_is_isolated_without_an_order(machine: Machine) -> None:
    before = rules(machine)
    for words in (
        {"isolate": True},
        {"isolate": True, "ticket": "INC-17", "reason": " "},
        {"ticket": "x", "reason": "y"},
    ):
        done = machine.playbook("isolate", *SETTINGS, "-e", json.dumps(words))
        assert done.returncode != 0
        assert "clause SO-4.1-contain-isolate" in done.stdout + done.stderr
    assert rules(machine) == before


def test_nobody_lets_a_host_back_alone(machine: Machine) -> None:
    before = rules(machine)
    order = {"isolate": False, "ticket": "INC-17", "reason": "rebuilt", "kijun_actor": "operator"}
    for requester in ({}, {"requester": " "}, {"requester": "Operator"}):
        done = machine.playbook("isolate", *SETTINGS, "-e", json.dumps({**order, **requester}))
        assert done.returncode != 0
        assert "another person than who does it, operator (clause SM-4.5.4-1)" in " ".join(done.stdout.split())
    assert rules(machine) == before
