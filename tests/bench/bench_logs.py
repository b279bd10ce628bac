# SPDX-License-Identifier: GPL-3.0-or-later
"""How many records a log server takes from eight senders without losing one, and where its time goes.

Run it:  .venv/bin/python tests/bench/bench_logs.py [--records N] [--window N] [--rounds N]
It brings up three hosts of the lab (instance KIJUN_LAB, 34 without it): a log server, the authority, and the host that
the senders are on; it takes them down unless --keep is given.

The senders are eight processes of a RELP client of its own (below), each with a certificate and a name of its own,
since eight instances of rsyslog would need more than both of the machine's cores for themselves (52 us a record). They
send what the role's rsyslog sends: records whose text has 300 bytes, a window of 32 unacknowledged ones. The log server
is the role's, with nothing changed. It shares the machine's cores with the senders, so its processor time for each
record stands beside the rate. What arrived is counted by the numbers in its files.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "lab")]

SERVER, HOST, AUTHORITY = "server13", "client13", "time1"
SENDERS = [f"bench{number}" for number in range(1, 9)]
FOLDER = "/root/bench"
BAR = 20000.0
"""Records a second."""

# Run on the senders' host: eight processes that begin together. RELP: https://www.rsyslog.com/doc/relp.html
CLIENT = r"""
import json, os, socket, ssl, sys, time

address, server, folder, word = sys.argv[1:5]
count, window = map(int, sys.argv[5:7])


def send_all(name, begin):
    context = ssl.create_default_context(cafile="/etc/kijun/certificates/authority.crt")
    context.load_cert_chain(folder + "/" + name + ".crt", folder + "/" + name + ".key")
    plain = socket.create_connection((address, 6514))
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    stream = context.wrap_socket(plain, server_hostname=server)
    offer = b"relp_version=0\nrelp_software=bench\ncommands=syslog"
    stream.sendall(b"1 open %d " % len(offer) + offer + b"\n")
    answer = stream.recv(65536)
    assert answer.startswith(b"1 rsp ") and b"200 OK" in answer, answer
    form = b'{"epoch":"%s", "seq":%%d, "time":"2026-11-28T05:15:51.377669+00:00", "host":"%s", ' % (
        word.encode(), name.encode())
    form += b'"kind":"application", "facility":"local0", "severity":"notice", "tag":"bench", "pid":"-", '
    form += b'"file":"/var/log/bench/bench.log", "msg":"%s"}' % (b"x" * 300)
    time.sleep(max(0, begin - time.time()))
    started = time.time()
    sent = acknowledged = 0
    rest = b""
    while acknowledged < count:
        burst = min(window - (sent - acknowledged), count - sent)
        if burst > 0:
            frames = []
            for number in range(sent + 1, sent + burst + 1):
                record = form % number
                frames.append(b"%d syslog %d %s\n" % (number % 999999999 + 1, len(record), record))
            stream.sendall(b"".join(frames))
            sent += burst
        data = rest + stream.recv(65536)
        if data == rest:
            raise SystemExit(name + ": the server has closed the connection")
        whole = data.rfind(b"\n") + 1
        acknowledged += data.count(b"200 OK", 0, whole)
        rest = data[whole:]
    ended = time.time()
    return started, ended, sum(os.times()[:2])


begin = time.time() + 2
pipes = []
for name in sys.argv[7:]:
    there, here = os.pipe()
    if os.fork() == 0:
        os.write(here, json.dumps(send_all(name, begin)).encode())
        os._exit(0)
    os.close(here)
    pipes.append(there)
print(json.dumps([json.loads(os.read(pipe, 4096)) for pipe in pipes]))
"""

# Run on the log server: how often which number of a series is there, sender by sender.
COUNT = r"""
import glob, json, re, sys
found = {}
for name in sys.argv[2:]:
    seen, order, last = {}, 0, 0
    for path in glob.glob("/var/log/kijun/hosts/%s/*.log" % name):
        for line in open(path, "rb"):
            number = re.search(rb'"epoch":"%s", "seq":([0-9]+)' % sys.argv[1].encode(), line)
            if number and line.endswith(b"}\n"):
                seq = int(number[1])
                seen[seq] = seen.get(seq, 0) + 1
                order += seq < last
                last = seq
    found[name] = [len(seen), max(seen, default=0), sum(seen.values()), order]
print(json.dumps(found))
"""

# Run on the log server: ticks of the processor that its programs had, thread by thread.
TICKS = r"""
import glob, json, subprocess
found = {}
for unit in ("haproxy", "kijun-log-receiver"):
    group = subprocess.check_output(["systemctl", "show", "-P", "ControlGroup", unit], text=True).strip()
    for process in subprocess.check_output(["systemctl", "show", "-P", "MainPID", unit], text=True).split():
        children = open("/proc/%s/task/%s/children" % (process, process)).read().split()
        for pid in [process, *children]:
            for stat in glob.glob("/proc/%s/task/*/stat" % pid):
                text = open(stat).read()
                name, fields = text[text.index("(") + 1 : text.rindex(")")], text[text.rindex(")") + 2 :].split()
                key = unit + " " + name
                user, system = found.get(key, (0, 0))
                found[key] = (user + int(fields[11]), system + int(fields[12]))
print(json.dumps(found))
"""


class Taken(NamedTuple):
    """One round's figures.

    Attributes:
        rate: records a second, from the first that was sent to the last that was acknowledged.
        lost: records that were acknowledged and are not in the server's files.
        again: records that are there more than once.
        disordered: records that stand behind a later one of theirs.
        cost: microseconds of the server's processor for each record, by program and thread, user and system.
        sender_cost: the same of the senders.
        load: of the machine, before the round.
    """

    rate: float
    lost: int
    again: int
    disordered: int
    cost: dict[str, tuple[float, float]]
    sender_cost: float
    load: float

    @property
    def server_cost(self) -> float:
        """Microseconds of the server's processor for each record."""
        return sum(user + system for user, system in self.cost.values())


def run(*command: str) -> str:
    """Run a command of the checkout, and return its output."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"bench_logs: {' '.join(command)}:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return done.stdout


def prepare() -> None:
    """Bring the hosts up, with a log server that knows the senders, and give each of these a certificate."""
    import kijun_logs

    run("lab/lab", "up", SERVER, HOST, AUTHORITY)
    names = ["server12", "server13", "client12", "client13", "time1", *SENDERS]
    inventory = [
        word for pair in zip(kijun_logs.INVENTORY[::2], kijun_logs.INVENTORY[1::2], strict=True) for word in pair
    ]
    given = json.dumps({"log_server_senders": names, "log_forwarding_servers": [SERVER]})
    limit = f"{SERVER},{HOST},{AUTHORITY},localhost"
    run("ansible-playbook", *inventory, "molecule/logging/converge.yml", "--limit", limit, "-e", given)
    host, authority = kijun_logs.machine(HOST), kijun_logs.machine(AUTHORITY)
    host.ok(f"mkdir -p -m 700 {FOLDER}")
    for name in SENDERS:
        host.ok(
            f"cd {FOLDER}; openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out {name}.key;"
            f" openssl req -new -key {name}.key -subj /CN={name} -out {name}.csr"
        )
        request = shlex.quote(host.ok(f"cat {FOLDER}/{name}.csr"))
        signed = authority.ok(
            f"printf %s {request} | openssl x509 -req -CA /etc/kijun/authority/authority.crt"
            " -CAkey /etc/kijun/authority/authority.key -days 30 2>/dev/null"
        )
        host.ok(f"printf %s {shlex.quote(signed)} >{FOLDER}/{name}.crt")


def measure(records: int, window: int) -> Taken:
    """Send so many records from each sender, and count them.

    Args:
        records: of each sender.
        window: how many of them may be unacknowledged.
    """
    import kijun_logs

    server, host = kijun_logs.machine(SERVER), kijun_logs.machine(HOST)
    word = f"bench{time.time_ns()}"
    load = os.getloadavg()[0]
    before = json.loads(server.python(TICKS))
    client = ["python3", "-c", CLIENT, server.address, SERVER, FOLDER, word, str(records), str(window), *SENDERS]
    rounds = json.loads(host.ok(shlex.join(client)))
    after = json.loads(server.python(TICKS))
    total = records * len(SENDERS)
    seconds = max(ended for _, ended, _ in rounds) - min(started for started, _, _ in rounds)
    found = json.loads(server.ok(shlex.join(["python3", "-c", COUNT, word, *SENDERS])))
    cost = {
        name: tuple(
            (now - then) * 1e6 / os.sysconf("SC_CLK_TCK") / total
            for now, then in zip(after[name], before.get(name, (0, 0)), strict=True)
        )
        for name in after
    }
    return Taken(
        rate=total / seconds,
        lost=total - sum(different for different, _, _, _ in found.values()),
        again=sum(lines - different for different, _, lines, _ in found.values()),
        disordered=sum(order for _, _, _, order in found.values()),
        cost={name: (user, system) for name, (user, system) in cost.items() if user + system > 0.05},
        sender_cost=sum(spent for _, _, spent in rounds) * 1e6 / total,
        load=load,
    )


def main(arguments: list[str] | None = None) -> int:
    """Measure, and print what was measured.

    Returns:
        0 when the bar is held and nothing was lost, else 1.
    """
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--records", type=int, default=50000, help="of each sender (default 50,000)")
    parser.add_argument(
        "--window", type=int, default=32, help="unacknowledged records of each (default 32, as the role's)"
    )
    parser.add_argument("--rounds", type=int, default=3, help="how often (default 3)")
    parser.add_argument("--keep", action="store_true", help="leave the hosts up")
    parser.add_argument("--prepared", action="store_true", help="the hosts are as a run with --keep left them")
    given = parser.parse_args(arguments)
    os.environ.setdefault("KIJUN_LAB", "34")
    os.environ["PATH"] = f"{ROOT / '.venv' / 'bin'}:{os.environ['PATH']}"
    held = True
    try:
        if not given.prepared:
            prepare()
        for _ in range(given.rounds):
            taken = measure(given.records, given.window)
            held = held and taken.rate >= BAR and not taken.lost
            print(
                f"{taken.rate:,.0f} records/s (bar {BAR:,.0f}), {taken.lost} lost, {taken.again} twice,"
                f" {taken.disordered} out of order; processor for each: server {taken.server_cost:.1f} us, senders"
                f" {taken.sender_cost:.1f} us; load {taken.load:.1f}"
            )
            for name, (user, system) in sorted(taken.cost.items()):
                print(f"    {name:40} {user:6.1f} us user {system:6.1f} us system")
    finally:
        if not given.keep:
            run("lab/lab", "down")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
