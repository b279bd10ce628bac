# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures backups on the hosts of the scenario `backup` (docs/measurements.md, Backup).

    KIJUN_LAB=32 .venv/bin/molecule converge -s backup
    KIJUN_LAB=32 .venv/bin/python tests/bench/bench_backup.py [tree|many]...

`tree`: a backup before a change of a system tree of 2 GB that did not change since the last one. `many`: fifty backups
at once at one server; each is a client with an account, a key and a repository of its own, 25 on each of two hosts.
"""

from __future__ import annotations

import concurrent.futures
import json
import shlex
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "lab")]

import kijun_backup  # noqa: E402 (its place is not on the path by itself)
from kijun_backup import CLIENTS, SERVER, backup  # noqa: E402
from kijun_hosts import Machine  # noqa: E402

MANY = 50
TREE = """
import os, random
random.seed(1)
total = number = 0
while total < 2_000_000_000:
    folder = "/opt/tree/%03d/%02d" % (number // 2000, number // 100 % 20)
    os.makedirs(folder, exist_ok=True)
    # As in /usr: most are small, a few are large.
    size = min(int(random.paretovariate(0.9) * 4000), 40_000_000)
    with open("%s/%05d" % (folder, number), "wb") as file:
        file.write(os.urandom(min(size, 65536)) * (size // 65536 + 1) if size > 65536 else os.urandom(size))
    total += size
    number += 1
print(number, total)
"""

RUN = """
import json, os, subprocess, sys, time
sys.path.insert(0, "/usr/local/lib/kijun")
from kijun_backup.restic import BackupError, Restic, ServerBusy
name, account = sys.argv[1:]
about = json.load(open("/etc/kijun/backup.json"))["repository"]
about["repository"] = "rclone:backup:" + name
about["cache"] = "/var/cache/kijun/many/" + name
program = about["options"]["rclone.program"].split()
about["options"]["rclone.program"] = " ".join(program[:-1] + [account + "@" + program[-1].split("@")[1]])
restic, began, busy = Restic(**about), time.monotonic(), 0
for what in (restic.init, lambda: restic.backup(["/usr/bin"], ["full"], host=name)):
    while True:
        try:
            found = what()
            break
        except ServerBusy as error:
            busy += 1
            time.sleep(error.seconds / 3)
print(json.dumps({"seconds": time.monotonic() - began, "busy": busy, "bytes": found["total_bytes_processed"]}))
"""

# One login on a client starts all of its backups: as many logins at once would meet sshd's MaxStartups.
TOGETHER = f"""
import json, subprocess, sys
started = [subprocess.Popen([sys.executable, "-c", {RUN!r}, name, "kb-" + name], stdout=subprocess.PIPE)
           for name in sys.argv[1:]]
said = [one.communicate(timeout=900)[0] for one in started]
print(json.dumps([json.loads(text) for text in said]))
"""


def measure_tree(client: Machine) -> None:
    """A backup before a change, of 2 GB that are as they were."""
    files, size = client.python(TREE).split()
    client.ok("cp -p /etc/kijun/backup.json /tmp/backup.json")
    client.python(
        "import json; p='/etc/kijun/backup.json'; s=json.load(open(p))\n"
        "s['classes'][0]['paths'].append('/opt/tree'); s['repository']['limit_upload']=0\n"
        "open(p,'w').write(json.dumps(s))"
    )
    try:
        first = backup(client, "run", "system", "--tag", "full")
        taken = [backup(client, "run", "system", "--tag", "before-change")["seconds"] for _ in range(3)]
        proven = backup(client, "verify", backup(client, "snapshots", "--class", "system")[-1]["snapshot"])["seconds"]
    finally:
        client.ok("cp -p /tmp/backup.json /etc/kijun/backup.json; rm -rf /opt/tree")
    print(f"{client.name}: {files} files, {int(size) / 1e9:.2f} GB: first {first['seconds']} s, unchanged {taken} s,")
    print(f"  read back (verify) {proven} s")


def measure_many(server: Machine, clients: list[Machine]) -> None:
    """Fifty at once."""
    names = [f"many{number:02d}" for number in range(MANY)]
    settings = "/etc/kijun/backup-server/settings.json"
    keys = "".join(f"restrict {client.ok('cat /etc/kijun/backup/id_ed25519.pub')}" for client in clients)
    server.ok(f"cp -p {settings} /tmp/settings.json")
    server.python(
        f"import json; s=json.load(open({settings!r})); s['sessions'], s['queue_seconds'] = 8, 600\n"
        f"s['clients'] += [{{'name': n, 'account': 'kb-' + n, 'quota_mb': 1000, 'addresses': []}} for n in {names!r}]\n"
        f"open({settings!r}, 'w').write(json.dumps(s))\n"
        f"for n in {names!r}: open('/etc/kijun/backup-server/authorized/kb-' + n, 'w').write({keys!r})"
    )
    server.ok("systemctl restart kijun-backup-accounts")
    # The lab's units count neither memory nor processor time: the sessions' processes are looked at instead.
    watch = (
        "import glob, subprocess, time\n"
        "most = memory = 0\n"
        "while not glob.glob('/tmp/many-done'):\n"
        "    done = subprocess.run(['ps', '-C', 'rclone', '-o', 'rss='], capture_output=True, text=True)\n"
        "    sizes = [int(size) for size in done.stdout.split()]\n"
        "    most, memory = max(most, len(sizes)), max(memory, sum(sizes)); time.sleep(0.3)\n"
        "print(most, memory)"
    )
    server.ok("rm -f /tmp/many-done")

    def together(number: int) -> list[dict[str, float]]:
        client, mine = clients[number], names[number :: len(clients)]
        return json.loads(client.ok(shlex.join(["python3", "-c", TOGETHER, *mine])))

    began = time.monotonic()
    try:
        with concurrent.futures.ThreadPoolExecutor(len(clients) + 1) as pool:
            watching = pool.submit(server.python, watch)
            try:
                done = [one for some in pool.map(together, range(len(clients))) for one in some]
            finally:
                server.ok("touch /tmp/many-done")
            most, memory = map(int, watching.result().split())
    finally:
        server.ok(f"cp -p /tmp/settings.json {settings}; rm -rf /srv/kijun-backup/many*")
        server.ok("systemctl restart kijun-backup-accounts kijun-backup-sshd")
        for client in clients:
            client.ok("rm -rf /var/cache/kijun/many")
    seconds = sorted(about["seconds"] for about in done)
    print(f"{MANY} backups at once, {sum(about['bytes'] for about in done) / 1e6:.0f} MB in all: all done after")
    print(f"  {time.monotonic() - began:.0f} s; one took {seconds[0]:.0f} to {seconds[-1]:.0f} s")
    print(f"  sessions at a time: {most} at most; told to come again: {sum(about['busy'] for about in done):.0f}")
    print(f"  memory of the server's sessions together: {memory / 1024:.0f} MB at most")


def main() -> None:
    """Measure what is named, or everything."""
    clients = [kijun_backup.machine(name) for name in CLIENTS]
    wanted = sys.argv[1:] or ["tree", "many"]
    if "tree" in wanted:
        for client in clients:
            measure_tree(client)
    if "many" in wanted:
        measure_many(kijun_backup.machine(SERVER), clients)


if __name__ == "__main__":
    main()
