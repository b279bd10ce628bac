# SPDX-License-Identifier: GPL-3.0-or-later
"""The second copy in an object store, by S3."""

from __future__ import annotations

import json
import secrets
import shlex
from collections.abc import Iterator

import kijun_backup
import kijun_s3
import pytest
from kijun_backup import CLIENTS, PLACE, SERVER, STORE, backup, change, play
from kijun_hosts import Machine

CONVERGE = "molecule/backup/converge.yml"
TRUSTED = "/usr/local/share/ca-certificates/kijuntest.crt"
CONFIGURATION = "/etc/kijun/backup-server/rclone.conf"
HASHES = "cd {} && find . -path './*/repository/locks' -prune -o -type f -print0 | sort -z | xargs -0 sha256sum"


@pytest.fixture(scope="module")
def server() -> Machine:
    return kijun_backup.machine(SERVER)


@pytest.fixture(scope="module")
def secret() -> str:
    return secrets.token_hex(16)


@pytest.fixture(scope="module")
def store(server: Machine, secret: str) -> Iterator[dict[str, object]]:
    """An object store on a third host, that the server trusts; the settings of a second copy there."""
    place = kijun_backup.machine(PLACE)
    certificate = kijun_s3.serve(place, place.address, secret)
    server.ok(f"printf %s {shlex.quote(certificate)} > {TRUSTED} && update-ca-certificates >/dev/null 2>&1")
    endpoint = f"https://{place.address}:{kijun_s3.PORT}"
    copy = {"type": "s3", "endpoint": endpoint, "region": "lab", "access_key_id": kijun_s3.KEY_ID, "path": "copies/lab"}
    yield {"backup_server_copy": copy, "backup_server_copy_secret": secret}
    server.run(f"rm -f {TRUSTED}; update-ca-certificates --fresh >/dev/null 2>&1")
    kijun_s3.stop(place)
    done = play(CONVERGE)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.control("BKS-04")
def test_the_second_copy_in_an_object_store_is_whole(server: Machine, store: dict[str, object], secret: str) -> None:
    client = kijun_backup.machine(CLIENTS[0])
    change(client)
    backup(client, "run", "files")
    done = play(CONVERGE, "--diff", "-e", json.dumps(store))
    assert done.returncode == 0, done.stdout + done.stderr
    assert secret not in done.stdout + done.stderr
    assert server.ok(f"stat -c '%a %U' {CONFIGURATION}") == "600 root\n"
    copied = json.loads(server.ok("kijun-backup-keeper copy"))
    assert (copied["outcome"], copied["error"]) == ("ok", None)
    assert copied["verified"] >= 2
    # Fetched from over there as somebody would whose server is lost: every file is what it was.
    fetch = f"rm -rf /var/tmp/back && rclone --config {CONFIGURATION} copy copy:copies/lab/current /var/tmp/back"
    server.ok(fetch)
    whole = server.ok(HASHES.format(STORE))
    assert whole.count("\n") > 5
    assert server.ok(HASHES.format("/var/tmp/back")) == whole
    # What goes here stays over there, apart, for some days; what went there comes back with the next copy.
    gone = server.ok(f"find {STORE}/{client.name}/repository/data -type f | head -n 1").strip()
    inner = gone.removeprefix(f"{STORE}/")
    server.ok(f"mv {shlex.quote(gone)} /var/tmp/kept && kijun-backup-keeper copy")
    removed = server.ok(f"rclone --config {CONFIGURATION} lsf -R --files-only copy:copies/lab/removed")
    assert inner in removed
    server.ok(f"mv /var/tmp/kept {shlex.quote(gone)} && kijun-backup-keeper copy && {fetch}")
    assert server.ok(HASHES.format("/var/tmp/back")) == whole
    server.ok("rm -rf /var/tmp/back")


@pytest.mark.control("BKS-04")
def test_what_is_damaged_in_an_object_store_is_found(server: Machine, store: dict[str, object]) -> None:
    assert play(CONVERGE, "-e", json.dumps(store)).returncode == 0
    server.ok("kijun-backup-keeper copy")
    # As a store does it that loses bits: size and time stay what they were.
    spoil = (
        f"for path in $(find {STORE}/{{0}} -type f ! -name config ! -path '*/locks/*' -printf '%P\\n'); do"
        f" cp -p {STORE}/{{0}}/$path /var/tmp/spoilt && printf X | dd of=/var/tmp/spoilt bs=1 conv=notrunc status=none"
        f" && touch -r {STORE}/{{0}}/$path /var/tmp/spoilt"
        f" && rclone --config {CONFIGURATION} --ignore-times copyto /var/tmp/spoilt copy:copies/lab/current/{{0}}/$path"
        " || exit 1; done"
    )
    client = CLIENTS[0]
    server.ok(spoil.format(f"{client}/repository"))
    failed = server.run("kijun-backup-keeper copy")
    assert failed.rc == 1
    assert "damaged" in failed.stderr
    server.ok(f"rm -f /var/tmp/spoilt; rclone --config {CONFIGURATION} purge copy:copies/lab/current/{client}")
    server.ok("kijun-backup-keeper copy")


@pytest.mark.control("BKS-04")
def test_a_wrong_secret_of_an_object_store_is_told_and_not_shown(server: Machine, store: dict[str, object]) -> None:
    wrong = "0123456789abcdef" * 2
    done = play(CONVERGE, "-e", json.dumps({**store, "backup_server_copy_secret": wrong}))
    assert done.returncode == 0, done.stdout + done.stderr
    failed = server.run("kijun-backup-keeper copy")
    assert failed.rc == 1
    assert "SignatureDoesNotMatch" in failed.stderr or "AccessDenied" in failed.stderr, failed.stderr
    assert wrong not in failed.stdout + failed.stderr
    assert wrong not in server.ok("journalctl -q -n 200 -o cat")
    assert wrong not in server.ok("tail -n 5 /var/lib/kijun/backup/history.jsonl")
