# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes wrong with backups: said by its name, and without harm to the backups that are there."""

from __future__ import annotations

import concurrent.futures
import json
import shlex
import subprocess
import time
from collections.abc import Iterator

import kijun_backup
import pytest
from kijun_backup import CLIENTS, DATA, RESTIC, SERVER, backup, change, last, repository, snapshots, wait_for
from kijun_hosts import ROOT, Machine
from kijun_lab import description
from kijun_lab.podman import podman_change

SETTINGS = "/etc/kijun/backup-server/settings.json"


@pytest.fixture(scope="module")
def server() -> Machine:
    return kijun_backup.machine(SERVER)


@pytest.fixture(scope="module")
def clients() -> list[Machine]:
    return [kijun_backup.machine(name) for name in CLIENTS]


@pytest.fixture
def client(machine: Machine) -> Machine:
    """One of the clients, by turns."""
    return kijun_backup.machine(machine.name)


@pytest.fixture(autouse=True)
def whole(server: Machine) -> Iterator[None]:
    """The server's settings are the role's own after each test, and it takes backups in."""
    server.ok(f"cp -p {SETTINGS} /tmp/settings.json")
    yield
    server.ok(f"cp -p /tmp/settings.json {SETTINGS}; systemctl start kijun-backup-sshd")


def set_server(server: Machine, **values: int) -> None:
    """Change settings of the server for one test; of a client's, its quota."""
    server.python(
        f"import json; p={SETTINGS!r}; s=json.load(open(p)); v={values!r}\n"
        "q=v.pop('quota_mb', None)\n"
        "s.update(v)\n"
        "for c in s['clients'] if q else []: c['quota_mb']=q\n"
        "open(p,'w').write(json.dumps(s))"
    )


def start(client: Machine, *words: str) -> str:
    """Start a backup beside; the unit that it runs in."""
    unit = f"backup-{time.monotonic_ns()}"
    client.ok(shlex.join(["systemd-run", "--quiet", f"--unit={unit}", "kijun-backup", "--patience", "20", *words]))
    return unit


@pytest.mark.control("BKP-01")
def test_a_server_that_is_away_is_told_and_the_next_backup_succeeds(server: Machine, client: Machine) -> None:
    server.ok("systemctl stop kijun-backup-sshd")
    found = backup(client, "run", "files")
    assert found["reason"] == "RepositoryUnreachable", found
    entry = last(client)
    assert (entry["kind"], entry["class"], entry["outcome"]) == ("backup", "files", "failed")
    assert "files" in json.loads(client.ok("cat /var/lib/kijun/backup/status.json"))["classes"]
    server.ok("systemctl start kijun-backup-sshd")
    assert backup(client, "run", "files")["errors"] == []


@pytest.mark.control("BKS-03")
def test_a_full_repository_takes_nothing_and_gives_everything(server: Machine, client: Machine) -> None:
    """Refused at the beginning, stopped under way; and what is there can be restored all the same."""
    change(client)
    good = backup(client, "run", "files")["snapshot"]
    used = int(server.ok(f"du -sm {repository(client)} | cut -f1"))
    set_server(server, quota_mb=used + 12)
    change(client, "large", megabytes=250)
    under_way = backup(client, "run", "files")
    assert under_way["reason"] == "RepositoryFull" and "quota" in under_way["error"], under_way
    assert int(server.ok(f"du -sm {repository(client)} | cut -f1")) <= used + 150
    set_server(server, quota_mb=1)
    at_once = backup(client, "run", "files")
    assert at_once["reason"] == "RepositoryFull", at_once
    assert last(client)["reason"] == "RepositoryFull"
    set_server(server, quota_mb=used)
    assert backup(client, "verify", good)["ok"] is True
    set_server(server, reserve_mb=10_000_000)
    assert backup(client, "run", "files")["reason"] == "RepositoryFull"
    client.ok(f"rm {DATA}/large")
    set_server(server, quota_mb=400, reserve_mb=64)
    # What the stopped one left is taken away by the next pruning.
    server.ok(f"kijun-backup-keeper prune {client.name}")
    assert int(server.ok(f"du -sm {repository(client)} | cut -f1")) <= used + 12
    assert backup(client, "run", "files")["errors"] == []


@pytest.mark.control("BKP-04")
def test_a_damaged_pack_is_found_and_named_and_the_rest_is_usable(server: Machine, client: Machine) -> None:
    system = backup(client, "run", "system")["snapshot"]
    before = set(server.ok(f"find {repository(client)}/data -type f").split())
    change(client, "victim", megabytes=3)
    damaged = backup(client, "run", "files")["snapshot"]
    new = sorted(set(server.ok(f"find {repository(client)}/data -type f -size +1M").split()) - before)
    assert new
    pack = new[0]
    name = pack.rsplit("/", 1)[1]
    server.ok(f"cp -p {pack} /tmp/pack; printf QQQQ | dd of={pack} bs=1 seek=500000 conv=notrunc status=none")
    try:
        found = backup(client, "check")
        assert found["reason"] == "RepositoryDamaged", found
        assert found["packs"] == [name], found
        assert last(client)["packs"] == [name]
        assert backup(client, "verify", system)["ok"] is True
        lost = client.run(f"{RESTIC} restore --no-lock --target /srv/lost {damaged}")
        assert lost.rc != 0
    finally:
        server.ok(f"cp -p /tmp/pack {pack}")
        client.ok("rm -rf /srv/lost")
    assert backup(client, "check")["outcome"] == "ok"


@pytest.mark.control("BKP-01")
def test_a_dead_clients_lock_is_taken_away_and_a_living_ones_is_not(server: Machine, client: Machine) -> None:
    change(client)
    client.ok(
        # So slowly that it is still at it when it is killed.
        "systemd-run --quiet --unit=locker --collect sh -c "
        + shlex.quote(f"exec {RESTIC} --limit-download 10 check --read-data")
    )
    locks = f"ls {repository(client)}/locks"
    assert wait_for(lambda: server.ok(locks).split(), 30)
    client.ok("systemctl kill --kill-whom=all --signal=KILL locker")
    left = server.ok(locks).split()
    assert left, "killed too late to leave a lock"
    assert backup(client, "run", "files")["errors"] == []
    assert not set(left) & set(server.ok(locks).split())


def test_a_wrong_key_is_told_as_such(client: Machine) -> None:
    client.ok("cp -p /etc/kijun/backup/password /run/right && echo wrong > /etc/kijun/backup/password")
    try:
        for words in (("run", "files"), ("check",), ("snapshots",)):
            assert backup(client, *words)["reason"] == "WrongKey"
    finally:
        client.ok("cp -p /run/right /etc/kijun/backup/password; rm /run/right")
    assert backup(client, "run", "files")["errors"] == []


@pytest.mark.control("BKP-01")
@pytest.mark.parametrize("whom", ["program", "host"])
def test_a_backup_that_is_killed_is_a_failure_and_the_next_one_is_whole(
    server: Machine, client: Machine, whom: str
) -> None:
    """By SIGKILL: the program with all that it started, and the host as by a power cut."""
    change(client, "under-way", megabytes=40)
    client.ok('sed -i.slow \'s/"limit_upload": [0-9]*/"limit_upload": 2000/\' /etc/kijun/backup.json')
    size = f"du -sm {repository(client)} | cut -f1"
    before = int(server.ok(size))
    unit = start(client, "run", "files")
    assert wait_for(lambda: int(server.ok(size)) > before + 3, 40), "nothing came"
    if whom == "program":
        client.ok(f"systemctl kill --kill-whom=all --signal=KILL {unit}")
    else:
        lab = description.read(description.instance_number())
        podman_change(lab.lock, "kill", lab.hosts[client.name].container)
        subprocess.run(["lab/lab", "up", client.name], cwd=ROOT, check=True, capture_output=True, timeout=120)
    client.ok("mv /etc/kijun/backup.json.slow /etc/kijun/backup.json")
    made = backup(client, "run", "files")
    assert made["errors"] == [] and made["snapshot"]
    entries = [json.loads(line) for line in client.ok("tail -n 2 /var/lib/kijun/backup/history.jsonl").splitlines()]
    assert [entry["outcome"] for entry in entries] == ["failed", "ok"]
    assert "interrupted" in entries[0]["error"]
    assert backup(client, "check")["outcome"] == "ok"
    assert backup(client, "restore-test", "--class", "files")[0]["equal"] is True
    client.ok(f"rm {DATA}/under-way")


@pytest.mark.control("BKS-02")
def test_where_clocks_contradict_one_another_nothing_is_removed(server: Machine, client: Machine) -> None:
    change(client)
    good = backup(client, "run", "files", "--tag", "differential")["snapshot"]
    folder = repository(client) + "/snapshots"
    prune = f"kijun-backup-keeper prune {client.name}"
    # The server's clock goes back, or its stored files come from tomorrow.
    server.ok(f"touch -d '+2 days' {folder}/{good}")
    refused = server.run(prune)
    assert refused.rc == 1 and "the clock is wrong" in refused.stderr
    server.ok(f"touch {folder}/{good}")
    # It leaps: then nobody has sent anything for long.
    everything = "/srv/kijun-backup/*/repository/snapshots"
    server.ok(f"cp -a --parents {everything} /tmp/ && find {everything} -type f -exec touch -d '30 days ago' {{}} +")
    refused = server.run(prune)
    assert refused.rc == 1 and "nothing has come for" in refused.stderr
    server.ok("cp -a /tmp/srv/. /srv/ && rm -rf /tmp/srv")
    # A client says that it is 2031.
    client.ok(f"{RESTIC} backup --time '2031-01-01 00:00:00' --tag class=files --tag full {DATA}")
    refused = server.run(prune)
    assert refused.rc == 1 and "says that it is of 2031" in refused.stderr
    assert good in {one["snapshot"] for one in snapshots(client, "--class", "files")}
    server.ok(f"grep -L nothing $(ls -t {folder}/* | head -1) | xargs rm")
    server.ok(prune)


@pytest.mark.control("BKS-01")
def test_whoever_has_become_root_on_a_client_deletes_nothing(server: Machine, client: Machine) -> None:
    """By restic, by rclone, by a shell, and in another client's folder; and by the host's usual sshd."""
    change(client)
    good = backup(client, "run", "files")["snapshot"]
    hashes = f"cd {repository(client)} && find . -path ./locks -prune -o -type f -print0 | sort -z | xargs -0 sha256sum"
    before = server.ok(hashes)
    # restic of Debian 13 ends well though nothing was removed; that of Debian 12 tries for a quarter of an hour.
    for words in (f"forget {good}", f"forget --prune {good}", f"tag --set before-change {good}"):
        client.run(f"timeout --signal=KILL 12 {RESTIC} {words}")
    options = json.loads(client.ok("cat /etc/kijun/backup.json"))["repository"]["options"]["rclone.program"]
    other = next(name for name in CLIENTS if name != client.name)
    for attempt in (
        f"rclone delete {repository(client)}",
        "sh -c 'rm -rf repository'",
        "",
        f"fetch ../../{other}/repository; rm -rf /srv/kijun-backup",
        "internal-sftp",
        f"cat /srv/kijun-backup/{other}/repository/config",
    ):
        # Whatever is asked for, it is the client's own store that answers, or nobody.
        asked = f"{options} {shlex.quote(attempt)} </dev/null >/run/said"
        done = client.run(f"{asked}; code=$?; tr -cd '[:print:]\\n' </run/said; exit $code")
        assert done.stdout.count("\n") <= 1, done
        if not attempt.startswith("fetch"):
            assert done.rc == 75 and "kijun-backup-server: refused" in done.stderr, (attempt, done)
    forward = options.replace("ssh ", "ssh -o ExitOnForwardFailure=yes -W 127.0.0.1:22 ", 1)
    assert "administratively prohibited" in client.run(forward + " </dev/null || exit 1").stderr
    usual = options.replace("-p 8022", "-p 22").replace("StrictHostKeyChecking=yes", "StrictHostKeyChecking=no")
    assert "Permission denied" in client.run(usual + " true || exit 1").stderr
    # Neither with the key of this one as another one.
    swapped = options.replace(f"kb-{client.name}@", f"kb-{other}@")
    assert "Permission denied" in client.run(swapped + " fetch || exit 1").stderr
    after = server.ok(hashes).splitlines()
    assert set(before.splitlines()) <= set(after), "something was removed or changed"
    backup(client, "run", "files")
    assert good in {one["snapshot"] for one in snapshots(client, "--class", "files")}


@pytest.mark.control("BKS-01")
def test_sessions_beyond_the_limit_wait_for_their_turn(server: Machine, clients: list[Machine]) -> None:
    """No more sessions at a time than the server takes; whoever comes beyond waits, and is not forgotten."""
    set_server(server, sessions=1, queue_seconds=1)
    for client in clients:
        change(client, "burst", megabytes=8)
    watch = "for i in $(seq 60); do pgrep -c -x rclone; sleep 0.2; done | sort -n | tail -1"
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        most = pool.submit(server.ok, watch)
        done = list(pool.map(lambda one: backup(one, "run", "files", patience=120), clients))
    assert all(made.get("errors") == [] for made in done), done
    assert int(most.result()) <= 1
