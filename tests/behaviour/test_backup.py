# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups that are made, proven, kept and copied; what is missing is told by the audit."""

from __future__ import annotations

import base64
import json
import shlex
from collections.abc import Callable
from pathlib import Path

import kijun_backup
import pytest
from kijun_backup import CLIENTS, DATA, PLACE, RESTIC, SERVER, STORE, backup, change, last, play, repository, snapshots
from kijun_hosts import Machine
from kijun_lab import identity

ODD = ["with space", "new\nline", "back\\slash[a]*?", "日本", "trailing "]

BEFORE = """
import os, hashlib
os.makedirs("/srv/data/deep/er", exist_ok=True)
for name in %r:
    open("/srv/data/" + name, "w").write(name)
open(b"/srv/data/bytes\\xff\\xfe", "w").write("bytes")
open("/srv/data/deep/er/large", "wb").write(os.urandom(3000000))
open("/srv/data/sparse", "wb").truncate(5000000)
os.chmod("/srv/data/deep", 0o2750); os.chown("/srv/data/deep/er", 1234, 4321)
for link, target in (("/srv/data/link", "deep/er/large"), ("/srv/data/broken", "nowhere")):
    if not os.path.islink(link): os.symlink(target, link)
try: os.setxattr("/srv/data/deep/er/large", "user.kijun", b"kept")
except OSError: pass
""" % (ODD,)


SEEN = """
import hashlib, json, os, stat
top, found = os.fsencode(%r), []
for folder, folders, files in os.walk(top):
    for path in [folder] + [os.path.join(folder, name) for name in folders + files]:
        info = os.lstat(path)
        plain, link = stat.S_ISREG(info.st_mode), stat.S_ISLNK(info.st_mode)
        found.append([
            os.path.relpath(path, top).decode("utf-8", "surrogateescape"), info.st_mode, info.st_uid, info.st_gid,
            info.st_size if plain else 0, info.st_mtime_ns, os.fsdecode(os.readlink(path)) if link else "",
            hashlib.sha256(open(path, "rb").read()).hexdigest() if plain else "",
            {} if link else {name: os.getxattr(path, name).hex() for name in os.listxattr(path)},
        ])
print(json.dumps(sorted(found)))
"""
"""What is at a place: names, modes, owners, times, links, content and extended attributes."""


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


@pytest.fixture
def audit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Machine], dict[str, str]]:
    return kijun_backup.auditor(tmp_path, monkeypatch)


@pytest.mark.control("BKP-01", "BKP-02", "BKP-03", "BKP-04", "BKP-05", "BKP-06", "BKP-08", "BKS-05")
def test_a_host_fails_the_audit_until_its_backups_are_made_and_proven(
    server: Machine, clients: list[Machine], audit: Callable[[Machine], dict[str, str]]
) -> None:
    """A job that never ran is a failure; so is one that ran too long ago."""
    for client in clients:
        client.ok("rm -f /var/lib/kijun/backup/history.jsonl /var/lib/kijun/backup/status.json")
        client.python(BEFORE)
    client = clients[0]
    never = audit(client)
    assert [never[name] for name in ("BKP-01", "BKP-02", "BKP-03", "BKP-04", "BKP-05")] == ["fail"] * 5
    for one in clients:
        for name in ("system", "files"):
            made = backup(one, "run", name, "--tag", "full")
            assert made["errors"] == [] and made["bytes_total"] > 0, made
            backup(one, "run", name, "--tag", "differential")
        backup(one, "check")
        proven = backup(one, "restore-test")
        assert {entry["class"]: entry["equal"] for entry in proven} == {"system": True, "files": True}
        assert all(0 < entry["rto_seconds"] < entry["rto_limit"] and entry["files"] for entry in proven)
    good = audit(client)
    assert {name: verdict for name, verdict in good.items() if name.startswith("BKP") and verdict == "fail"} == {}
    assert good["BKP-05"] == good["BKP-02"] == "pass"
    # A day and an hour later, as the history has it.
    client.ok("cp -p /var/lib/kijun/backup/status.json /tmp/status.json")
    client.python(
        "import json,datetime;p='/var/lib/kijun/backup/status.json';s=json.load(open(p));"
        "old=(datetime.datetime.utcnow()-datetime.timedelta(hours=25)).strftime('%Y-%m-%dT%H:%M:%SZ');"
        "s['classes']['files']['ok']=old;json.dump(s,open(p,'w'))"
    )
    assert audit(client)["BKP-02"] == "fail"
    client.ok("cp -p /tmp/status.json /var/lib/kijun/backup/status.json")
    server.ok("kijun-backup-keeper tidy")
    assert {name: verdict for name, verdict in audit(server).items() if verdict == "fail"} == {}


@pytest.mark.control("BKP-05")
def test_every_byte_comes_back(client: Machine) -> None:
    """Names, modes, owners, links, holes and attributes as well."""
    client.python(BEFORE)
    backup(client, "run", "files", "--tag", "full")
    snapshot = snapshots(client, "--class", "files")[-1]["snapshot"]
    client.ok("rm -rf /srv/back && mkdir /srv/back")
    client.ok(
        "cd / && PYTHONPATH=/usr/local/lib/kijun python3 -c "
        + shlex.quote(f"from kijun_backup.restic import Restic; Restic.of_host().restore({snapshot!r}, '/srv/back')")
    )
    there, back = (json.loads(client.python(SEEN % place)) for place in (DATA, f"/srv/back{DATA}"))
    assert len(there) > 10
    assert back == there
    client.ok("rm -rf /srv/back")


@pytest.mark.control("BKP-05")
def test_a_wrong_restore_is_told(client: Machine) -> None:
    """The proof has teeth: content that differs from the host's unchanged file is found by its hash."""
    client.python(BEFORE)
    backup(client, "run", "files", "--tag", "full")
    client.ok(f"cp -p {DATA}/deep/er/large /tmp/large")
    client.ok(f"printf X | dd of={DATA}/deep/er/large bs=1 seek=5 conv=notrunc status=none")
    client.ok(f"touch -r /tmp/large {DATA}/deep/er/large")
    found = backup(client, "restore-test", "--class", "files")
    assert found["reason"] == "BackupError" and "other content than the host has" in found["error"], found
    entry = last(client)
    assert (entry["kind"], entry["outcome"], entry["equal"]) == ("restore_test", "failed", False)
    client.ok(f"cp -p /tmp/large {DATA}/deep/er/large")
    assert backup(client, "restore-test", "--class", "files")[0]["equal"] is True


def test_the_differences_of_two_snapshots_are_exact(client: Machine) -> None:
    """What a rollback goes by, with names of any bytes."""
    client.python(BEFORE)
    client.ok(f"rm -f {DATA}/added*")
    before = backup(client, "run", "files")["snapshot"]
    client.python(
        "import os\nopen(b'/srv/data/added\\xff\\nline','w').write('1')\nos.chmod('/srv/data/日本', 0o600)\n"
        "os.remove('/srv/data/with space')\nopen('/srv/data/new\\nline','w').write('other')"
    )
    after = backup(client, "run", "files")["snapshot"]
    found = json.loads(
        client.ok(
            "cd / && PYTHONPATH=/usr/local/lib/kijun python3 -c "
            + shlex.quote(
                "import json; from kijun_backup.restic import Restic;"
                f"print(json.dumps(Restic.of_host().diff({before!r}, {after!r})))"
            )
        )
    )
    assert [pair for pair in found if not pair[1].endswith("/")] == [
        ["+", f"{DATA}/added\udcff\nline"],
        ["M", f"{DATA}/new\nline"],
        ["-", f"{DATA}/with space"],
        ["U", f"{DATA}/日本"],
    ]


def test_a_snapshot_is_verified_by_reading_it_back(client: Machine) -> None:
    change(client)
    made = backup(client, "run", "files", "--tag", "before-change")
    found = backup(client, "verify", made["snapshot"])
    assert found["ok"] is True and found["sampled"] >= 5 and found["files"] >= found["sampled"]
    assert backup(client, "verify", "0" * 64)["reason"] == "BackupError"


@pytest.mark.control("BKP-01")
def test_databases_are_dumped_whole_or_not_at_all(client: Machine) -> None:
    """A dump that breaks off leaves no snapshot that looks like one."""
    client.ok("mkdir -p /var/lib/postgresql && install -m 755 /dev/stdin /usr/local/bin/pg_dumpall <<'E'\n#!/bin/sh\n"
              "echo 'CREATE TABLE t'; test ! -e /tmp/broken || exit 1\n"
              "echo '-- PostgreSQL database cluster dump complete'\nE\nid postgres || useradd -r postgres")  # fmt: skip
    program = 'sed -i \'s#"pg_dumpall"#"/usr/local/bin/pg_dumpall"#\' /usr/local/lib/kijun/kijun_backup/runs.py'
    client.ok("cp -p /usr/local/lib/kijun/kijun_backup/runs.py /tmp/runs.py && " + program)
    try:
        made = backup(client, "run", "postgresql")
        assert made.get("bytes_total", 0) > 40, made
        count = len(snapshots(client, "--class", "postgresql"))
        client.ok("touch /tmp/broken")
        found = backup(client, "run", "postgresql")
        assert "the dump is not whole" in found["error"]
        assert len(snapshots(client, "--class", "postgresql")) == count
    finally:
        client.ok("rm -rf /tmp/broken /var/lib/postgresql /usr/local/bin/pg_dumpall; cp -p /tmp/runs.py"
                  " /usr/local/lib/kijun/kijun_backup/runs.py")  # fmt: skip


DATABASES = {
    "postgresql": (
        "postgresql",
        "runuser -u postgres -- psql -qAt",
        "CREATE ROLE shop; CREATE DATABASE shop OWNER shop;\n\\c shop\nCREATE TABLE orders (id int, text text);"
        "INSERT INTO orders SELECT n, md5(n::text) || chr(34) || chr(10) FROM generate_series(1, 5000) n;",
        "\\c shop\nSELECT count(*), md5(string_agg(text, ',' ORDER BY id)) FROM orders;",
        "DROP DATABASE shop; DROP ROLE shop;",
    ),
    "mariadb": (
        "mariadb-server",
        "mariadb -N",
        "CREATE DATABASE shop; USE shop; CREATE TABLE orders (id int, text varchar(50));"
        "INSERT INTO orders SELECT seq, concat(md5(seq), char(34), char(10)) FROM seq_1_to_5000;",
        "USE shop; SET SESSION group_concat_max_len = 10000000;"
        " SELECT count(*), md5(group_concat(text ORDER BY id)) FROM orders;",
        "DROP DATABASE shop;",
    ),
}
"""Class -> package, client, and SQL that makes a database, looks at all of it, and destroys it."""


@pytest.mark.control("BKP-01")
@pytest.mark.parametrize("name", DATABASES)
def test_a_real_database_comes_back_row_by_row(client: Machine, name: str) -> None:
    package, program, made, seen, gone = DATABASES[name]
    client.ok(f"apt-get update -qq; DEBIAN_FRONTEND=noninteractive apt-get install -y -qq {package} >/dev/null 2>&1")
    try:
        client.ok(f"printf %s {shlex.quote(made)} | {program}")
        before = client.ok(f"printf %s {shlex.quote(seen)} | {program}")
        assert before.startswith("5000")
        snapshot = backup(client, "run", name)["snapshot"]
        client.ok(f"printf %s {shlex.quote(gone)} | {program}")
        assert "5000" not in client.run(f"printf %s {shlex.quote(seen)} | {program}").stdout
        # The dump has the server's own users as well, who are there: psql says so of each and goes on.
        client.ok(f"{RESTIC} dump {snapshot} /{name}.sql | {program} >/dev/null 2>&1 || true")
        assert client.ok(f"printf %s {shlex.quote(seen)} | {program}") == before
    finally:
        client.run(
            f"DEBIAN_FRONTEND=noninteractive apt-get purge -y -qq '{name}*' >/dev/null 2>&1;"
            " rm -rf /var/lib/postgresql /var/lib/mysql"
        )


@pytest.mark.control("BKS-02")
def test_only_what_is_old_enough_is_removed_and_by_when_it_came(server: Machine, client: Machine) -> None:
    change(client)
    backup(client, "run", "files", "--tag", "full")
    backup(client, "run", "files", "--tag", "differential")
    change(client)
    backup(client, "run", "files", "--tag", "differential")
    backup(client, "run", "files", "--tag", "full")
    found = {
        tag: [one["snapshot"] for one in snapshots(client, "--class", "files", "--tag", tag)]
        for tag in ("full", "differential")
    }
    folder = repository(client) + "/snapshots"
    # Eight days old, by when they came: the differential one may go, the full one may not.
    for tag in found:
        server.ok(f"touch -d '8 days ago' {folder}/{found[tag][-2]}")
    server.ok(f"kijun-backup-keeper prune {client.name}")
    left = {one["snapshot"] for one in snapshots(client, "--class", "files")}
    assert found["differential"][-2] not in left
    assert {found["full"][-2], found["differential"][-1], found["full"][-1]} <= left
    server.ok(f"touch -d '91 days ago' {folder}/{found['full'][-2]}")
    server.ok(f"kijun-backup-keeper prune {client.name}")
    assert found["full"][-2] not in {one["snapshot"] for one in snapshots(client, "--class", "files")}
    backup(client, "check")


@pytest.mark.control("BKS-04")
def test_the_second_copy_is_whole_and_elsewhere(server: Machine, client: Machine) -> None:
    change(client)
    backup(client, "run", "files")
    done = json.loads(server.ok("kijun-backup-keeper copy"))
    assert done["outcome"] == "ok" and done["verified"] >= 2
    place = kijun_backup.machine(PLACE)
    hashes = "cd {} && find . -path ./locks -prune -o -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum"
    copied = f"/home/vault/copies/current/{client.name}/repository"
    assert server.ok(hashes.format(repository(client))) == place.ok(hashes.format(copied))
    # What is damaged over there is found.
    server.ok("rm -f /var/lib/kijun/backup-server/status.json")
    # As a disk does it: the file's time stays.
    spoil = "touch -r $0 /tmp/time; printf X | dd of=$0 bs=1 conv=notrunc status=none; touch -r /tmp/time $0"
    place.ok(f"find {copied} -type f ! -name config -exec sh -c {shlex.quote(spoil)} {{}} ';'")
    failed = server.run("kijun-backup-keeper copy")
    assert failed.rc == 1 and "damaged" in failed.stderr
    place.ok(f"rm -rf {copied}")
    server.ok("kijun-backup-keeper copy")


@pytest.mark.control("BKS-04")
@pytest.mark.parametrize("host", ["time1", "server12", "127.0.0.1"])
def test_a_second_copy_onto_the_source_is_refused_before_anything_changes(server: Machine, host: str) -> None:
    before = server.ok("sha256sum /etc/kijun/backup-server/*.json /etc/kijun/backup-server/rclone.conf")
    extra = {
        "backup_server_copy": {"type": "sftp", "host": host, "user": "x", "host_key": "ssh-ed25519 AAAA", "path": "x"}
    }
    done = play("molecule/backup/converge.yml", "-e", json.dumps(extra))
    assert done.returncode != 0
    assert "would keep the second copy on" in done.stdout
    assert server.ok("sha256sum /etc/kijun/backup-server/*.json /etc/kijun/backup-server/rclone.conf") == before
    # By another name of its own, on the host itself.
    assert server.run(
        "cd / && PYTHONPATH=/usr/local/lib/kijun python3 -c 'from kijun_backup.keeper import is_here;import socket,sys;"
        "sys.exit(not (is_here(\"localhost\") and is_here(socket.gethostname()) and not is_here(\"192.0.2.1\")))'"
    ).rc == 0  # fmt: skip


@pytest.mark.control("BKP-06")
def test_the_password_is_in_escrow_and_nowhere_else(server: Machine, client: Machine) -> None:
    password = client.ok("cat /etc/kijun/backup/password").strip()
    place = kijun_backup.machine(PLACE)
    # One of the named people opens it, wherever that is.
    sealed = place.ok(f"cat /var/lib/kijun/escrow/{client.name}.age")
    key = identity.USER_KEY.read_text()
    server.ok(f"install -d -m 700 /run/reader && install -m 600 /dev/stdin /run/reader/key <<'E'\n{key}E")
    try:
        opened = server.ok(f"age -d -i /run/reader/key <<'E'\n{sealed}E").strip()
    finally:
        server.ok("rm -rf /run/reader")
    assert opened == password
    # What a test says on a command line is in the log itself.
    coded = base64.b64encode(password.encode()).decode()
    seek = f"echo {coded} | base64 -d | grep -rlF -f - {{}} 2>/dev/null"
    for host, folders in (
        (server, "/etc /var/lib /srv"),
        (place, "/etc /var/lib /home"),
        (client, "/var/lib/kijun /run"),
    ):
        assert host.run(seek.format(f"{folders} /var/log")).stdout == ""
        assert host.run(f"journalctl --no-pager | {seek.format('')}").stdout == ""


def test_a_second_run_changes_nothing_and_check_mode_says_so() -> None:
    # Other tests put its settings back, which makes them newer than what has read them.
    kijun_backup.machine(SERVER).ok("systemctl restart kijun-backup-accounts kijun-backup-sshd")
    for arguments in ((), ("--check", "--diff")):
        done = play("molecule/backup/converge.yml", *arguments)
        assert done.returncode == 0, done.stdout
        assert "0 changed, 0 failed" in done.stdout, done.stdout


@pytest.mark.control("BKS-03")
def test_the_storage_is_watched(server: Machine, client: Machine, audit: Callable[[Machine], dict[str, str]]) -> None:
    """A file that changed on the disk is found by its name, which is its hash; and 90 per cent of a quota are told."""
    change(client)
    backup(client, "run", "files")
    pack = server.ok(f"find {repository(client)}/data -type f | head -1").strip()
    server.ok(f"cp -p {pack} /tmp/pack && printf XX | dd of={pack} bs=1 seek=20 conv=notrunc status=none")
    server.ok("kijun-backup-keeper tidy")
    assert audit(server)["BKS-03"] == "fail"
    assert pack.rsplit("/", 1)[1] in server.ok("kijun-backup-keeper status")
    server.ok(f"cp -p /tmp/pack {pack}; kijun-backup-keeper tidy")
    assert audit(server)["BKS-03"] == "pass"
    settings = "/etc/kijun/backup-server/settings.json"
    server.ok(f'cp -p {settings} /tmp/settings.json; sed -i \'s/"quota_mb": 1000/"quota_mb": 1/\' {settings}')
    try:
        server.ok("kijun-backup-keeper tidy")
        assert "disk critical: client" in server.ok("journalctl --no-pager -t kijun-backup-keeper --since -1min")
        assert audit(server)["BKS-03"] == "fail"
    finally:
        server.ok(f"cp -p /tmp/settings.json {settings}; kijun-backup-keeper tidy")


@pytest.mark.control("BKP-08")
def test_tasks_back_up_and_tell(client: Machine, tmp_path: Path) -> None:
    book = tmp_path / "book.yml"
    book.write_text(
        "- hosts: all\n  gather_facts: false\n  become: true\n  tasks:\n"
        "    - kijun.baseline.backup: {classes: [files, postgresql], tags: [before-change], verify: true}\n"
        "      register: made\n"
        "    - kijun.baseline.backup_info: {snapshots: true, name: files, tag: before-change}\n"
        "      register: told\n"
        "    - ansible.builtin.assert:\n"
        "        that:\n"
        "          - made.absent == ['postgresql']\n"
        "          - made.backups | length == 1 and made.backups[0].verified.ok\n"
        "          - told.snapshots[-1].snapshot == made.backups[0].snapshot\n"
        "          - told.status.classes.files.last.outcome == 'ok'\n",
        encoding="utf-8",
    )
    done = client.playbook(str(book))
    assert done.returncode == 0, done.stdout
    assert STORE
