# SPDX-License-Identifier: GPL-3.0-or-later
"""Attacks on the ledger's database, over the network, on hosts that role ledger_server has been applied to."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import json
import re
import socket
import ssl
import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import kijun_ledger_server as lab
import psycopg
import pytest
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.migrate import upgrade
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.schema import GENERATED
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from kijun_runner import Result, injected, lab_credentials, run_job

from .conftest import ROOT, Machine

AUDITED = "LEDG-01,LEDG-02,LEDG-03"

FOLDER = "/etc/kijun/postgresql"
SSL_REQUEST = struct.pack("!ii", 8, 80877103)
"""PostgreSQL's protocol, section SSLRequest; the server answers S and TLS begins."""

# What a client of an unknown network does: ask for TLS, introduce itself as kijun_owner, and print the answer.
STRANGER = """
import socket, ssl, struct
s = socket.create_connection(("{address}", 5432), 10, ("198.51.100.7", 0))
s.sendall(struct.pack("!ii", 8, 80877103))
assert s.recv(1) == b"S"
context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
s = context.wrap_socket(s)
said = b"user\\0kijun_owner\\0database\\0kijun_ledger\\0\\0"
s.sendall(struct.pack("!ii", 8 + len(said), 196608) + said)
print(s.recv(4096))
"""


class Server:
    """A host that serves the ledger.

    Args:
        machine: the host.
        inventory: a file that puts it into the group ledger_servers, whichever of the lab's hosts it is.
    """

    def __init__(self, machine: Machine, inventory: Path) -> None:
        self.machine = machine
        self.inventory = ("-i", lab.INVENTORY, "-i", str(inventory))

    def apply(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.machine.playbook("ledger_server", *self.inventory, *arguments)

    def applied(self, *arguments: str) -> str:
        """Run the role, which must succeed; what it printed last, on what changed."""
        done = self.apply(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout[done.stdout.index("PLAY RECAP") :]

    def url(self, role: str, database: str | None = None) -> str:
        return lab.postgresql_url(role, database, self.machine.name)

    def connect(self, role: str, database: str | None = None, **parts: Any) -> psycopg.Connection[Any]:
        """Log in; by default encrypted, and sure of the server."""
        address = self.url(role, database).replace("postgresql+psycopg:", "postgresql:")
        return psycopg.connect(address, connect_timeout=10, autocommit=True, **parts)

    def sql(self, text: str, database: str = "postgres") -> str:
        """What PostgreSQL's superuser gets as an answer, on the host."""
        return lab.as_superuser(text, database, self.machine.name).strip()


@pytest.fixture(scope="session")
def server(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> Server:
    inventory = tmp_path_factory.mktemp("inventory") / "hosts.yml"
    inventory.write_text(f"ledger_servers: {{hosts: {{{machine.name}: }}}}\n", encoding="utf-8")
    served = Server(machine, inventory)
    served.applied()
    lab.authority(machine.name)
    return served


@pytest.fixture(scope="module")
def tables(server: Server) -> Iterator[str]:
    """A database with the ledger's own tables."""
    name = lab.fresh_database(server.machine.name)
    upgrade(server.url("owner", name), writer="kijun_writer", reader="kijun_reader")
    yield name
    lab.drop_database(name, server.machine.name)


@pytest.fixture
def restored(server: Server) -> Iterator[None]:
    """The role puts back what the test changed, which is a test of its own."""
    yield
    server.applied()
    with server.connect("reader"):
        pass


@pytest.fixture
def audit(server: Server, verdicts: Callable[..., dict[str, str]]) -> Callable[[], dict[str, str]]:
    return lambda: verdicts(*server.inventory)


def authority_and_certificate(address: str) -> tuple[bytes, bytes, bytes]:
    """An authority, a certificate of it for an address, and the certificate's key; each in PEM."""
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)]) for text in ("Another authority", address)]
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in names]
    signed = []
    for name, key, is_authority in zip(names, keys, (True, False), strict=True):
        builder = x509.CertificateBuilder().subject_name(name).issuer_name(names[0]).public_key(key.public_key())
        builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=1))
        builder = builder.not_valid_after(now + datetime.timedelta(days=300))
        builder = builder.add_extension(x509.BasicConstraints(is_authority, None), critical=True)
        if not is_authority:
            subjects = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
            builder = builder.add_extension(subjects, critical=False)
        signed.append(builder.sign(keys[0], hashes.SHA256()).public_bytes(Encoding.PEM))
    return signed[0], signed[1], keys[1].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def tls_version(address: str, version: ssl.TLSVersion) -> str | None:
    """The version of TLS that the server speaks with a client that knows one only.

    Raises:
        ssl.SSLError: it does not.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, version
    with socket.create_connection((address, 5432), 10) as plain:
        plain.sendall(SSL_REQUEST)
        assert plain.recv(1) == b"S"
        with context.wrap_socket(plain) as encrypted:
            return encrypted.version()


@pytest.mark.parametrize("role", ["owner", "writer", "reader"])
def test_each_role_logs_in_encrypted_and_sure_of_the_server(server: Server, role: str) -> None:
    with server.connect(role) as connection:
        row = connection.execute("SELECT current_user, ssl, version FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
        assert row.fetchone() == (f"kijun_{role}", True, "TLSv1.3")


def entered(url: str, authority: str, name: str) -> Result:
    """Enter an asset by a job of AWX that has the ledger from its credential, and stands in the journal there."""
    entry = {"id": name, "action": "register", "kind": "server", "host": name.lower(), "owner": "operations"}
    entry |= {"place": "the lab", "purpose": "tests", "holds": "nothing", "approver": "approver1", "ticket": "AST-1"}
    brought = injected("Kijun ledger", {"url": url, "reports": "/tmp/reports", "authority": authority})
    brought["environment"]["KIJUN_JOURNAL"] = "yes"
    return run_job(
        "playbooks/asset_entries.yml",
        {"asset_entries": json.dumps([entry])},
        inventory={"all": {"hosts": []}, "_meta": {"hostvars": {}}},
        credentials=lab_credentials(**brought),
    )


def test_a_job_is_sure_of_the_server_by_the_authority_that_its_credential_has(server: Server, tables: str) -> None:
    # An address can name no file of a job, and so says nothing of authorities.
    url = server.url("writer", tables).partition("?")[0]
    own = lab.authority(server.machine.name).read_text("ascii")
    other = authority_and_certificate(server.machine.address)[0].decode()
    job = entered(url, own, "SRV-1")
    assert job.ok, job.stdout + job.stderr
    job = entered(url, other, "SRV-2")
    assert job.status == "failed"
    assert "certificate verify failed" in job.words
    assert lab.password("writer") not in json.dumps(job.events)
    job = entered(url, "", "SRV-3")
    assert job.ok, job.stdout + job.stderr
    with server.connect("reader", tables) as connection:
        rows = connection.execute("SELECT key FROM events WHERE book = 'assets' ORDER BY sequence").fetchall()
        assert [key for (key,) in rows] == ["SRV-1", "SRV-3"]
        runs = connection.execute("SELECT count(*) FROM events WHERE book = 'operations'").fetchone()
        assert runs == (4,), "each of the two runs is opened and closed in the journal"


@pytest.mark.control("LEDG-02")
def test_plaintext_is_refused(server: Server, audit: Callable[[], dict[str, str]], restored: None) -> None:
    with pytest.raises(psycopg.OperationalError, match=r"no pg_hba\.conf entry .* no encryption"):
        server.connect("writer", sslmode="disable")
    assert audit()["LEDG-02"] == "pass"
    server.machine.ok(f"echo 'host all all 0.0.0.0/0 scram-sha-256' >> {FOLDER}/pg_hba.conf")
    server.machine.ok("systemctl reload postgresql")
    with server.connect("writer", sslmode="disable"):
        pass  # the attack itself works
    assert audit()["LEDG-02"] == "fail"


@pytest.mark.control("LEDG-02")
def test_a_wrong_password_is_refused(server: Server) -> None:
    for wrong in ("", "x" * 32, lab.password("reader")):
        with pytest.raises(psycopg.OperationalError, match="password"):
            server.connect("writer", password=wrong)


@pytest.mark.control("LEDG-02")
def test_a_client_of_an_unknown_network_is_refused(server: Server) -> None:
    server.machine.ok("ip address add 198.51.100.7/32 dev lo")
    try:
        said = server.machine.python(STRANGER.format(address=server.machine.address))
    finally:
        server.machine.ok("ip address del 198.51.100.7/32 dev lo")
    assert 'no pg_hba.conf entry for host "198.51.100.7"' in said


@pytest.mark.control("LEDG-02")
@pytest.mark.parametrize("database", ["postgres", "template1"])
def test_the_ledgers_roles_reach_no_other_database(server: Server, database: str) -> None:
    for role in ("owner", "writer", "reader"):
        with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
            server.connect(role, database)


@pytest.mark.control("LEDG-02")
def test_the_superuser_is_no_login_of_the_network(server: Server) -> None:
    with pytest.raises(psycopg.OperationalError, match=r"no pg_hba\.conf entry .* user \"postgres\""):
        server.connect("owner", user="postgres")


@pytest.mark.control("LEDG-02")
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_old_tls_is_refused(server: Server) -> None:
    assert tls_version(server.machine.address, ssl.TLSVersion.TLSv1_2) == "TLSv1.2"
    with pytest.raises(ssl.SSLError, match="ALERT_PROTOCOL_VERSION"):
        tls_version(server.machine.address, ssl.TLSVersion.TLSv1_1)


@pytest.mark.control("LEDG-02")
def test_settings_cannot_be_weakened_from_within(server: Server, restored: None) -> None:
    for setting in ("ssl = off", "password_encryption = md5", "log_statement = none", "hba_file = '/tmp/other'"):
        server.sql(f"ALTER SYSTEM SET {setting}")
    try:
        server.machine.ok("systemctl restart postgresql")
        assert "nothing changed" in server.applied()
        with pytest.raises(psycopg.OperationalError, match=r"no pg_hba\.conf entry"):
            server.connect("writer", sslmode="disable")
    finally:
        server.sql("ALTER SYSTEM RESET ALL")


@pytest.mark.control("LEDG-02")
def test_a_start_with_other_settings_is_noticed(
    server: Server, audit: Callable[[], dict[str, str]], restored: None
) -> None:
    unit = "/etc/systemd/system/postgresql@.service.d/kijun.conf"
    server.machine.ok(f"sed -i 's/TLSv1.2/TLSv1.1/' {unit}")
    assert audit()["LEDG-02"] == "fail"


@pytest.mark.control("LEDG-03")
def test_another_server_is_not_taken_for_this_one(server: Server, tmp_path: Path) -> None:
    authority, _, _ = authority_and_certificate(server.machine.address)
    (tmp_path / "other.crt").write_bytes(authority)
    with pytest.raises(psycopg.OperationalError, match="certificate verify failed"):
        server.connect("reader", sslrootcert=str(tmp_path / "other.crt"))
    with pytest.raises(psycopg.OperationalError, match="does not match host name"):
        server.connect("reader", host="another.example.com", hostaddr=server.machine.address)
    with server.connect("reader", host=server.machine.name, hostaddr=server.machine.address):
        pass  # the name in the inventory is as good as the address


@pytest.mark.control("LEDG-03")
@pytest.mark.parametrize("key", ["server.key", "own-authority.key"])
def test_a_key_that_others_can_read_is_noticed_and_closed(
    server: Server, audit: Callable[[], dict[str, str]], key: str
) -> None:
    assert audit()["LEDG-03"] == "pass"
    server.machine.ok(f"chmod 0644 {FOLDER}/{key}")
    assert server.machine.run(f"setpriv --reuid nobody --clear-groups cat {FOLDER}/{key}").rc == 0
    assert audit()["LEDG-03"] == "fail"
    server.machine.ok("systemctl start kijun-ledger-certificate")
    assert server.machine.run(f"setpriv --reuid nobody --clear-groups cat {FOLDER}/{key}").rc != 0
    assert audit()["LEDG-03"] == "pass"


@pytest.mark.control("LEDG-03")
def test_the_certificate_is_renewed_in_time_and_nobody_is_cut_off(server: Server) -> None:
    made = f"openssl x509 -noout -serial -in {FOLDER}/server.crt"
    at_first = server.machine.ok(made)
    server.machine.ok("systemctl start kijun-ledger-certificate")
    assert server.machine.ok(made) == at_first
    program = "/usr/local/lib/kijun/ledger-certificate"
    subjects = server.machine.ok("systemctl show -P ExecStart kijun-ledger-certificate")
    subjects = re.search(r"argv\[\]=\S+ ([^;]*) ;", subjects)[1]
    short = f"sed s/days=365/days=99/ {program} > /run/short && rm {FOLDER}/server.crt && sh /run/short {subjects}"
    with server.connect("reader") as connection:
        server.machine.ok(short)
        assert server.machine.run(f"openssl x509 -noout -checkend {98 * 86400} -in {FOLDER}/server.crt").rc == 0
        ending = server.machine.ok(made)
        server.machine.ok("systemctl start kijun-ledger-certificate")
        assert server.machine.run(f"openssl x509 -noout -checkend {364 * 86400} -in {FOLDER}/server.crt").rc == 0
        assert server.machine.ok(made) not in (at_first, ending)
        assert connection.execute("SELECT 1").fetchone() == (1,)
    shown = f"openssl s_client -starttls postgres -connect {server.machine.address}:5432 </dev/null"
    shown += " | openssl x509 -noout -serial"
    assert server.machine.ok(shown) == server.machine.ok(made)
    with server.connect("reader"):
        pass


@pytest.mark.control("LEDG-03")
def test_a_given_certificate_is_shown(server: Server, tmp_path: Path) -> None:
    authority, certificate, key = authority_and_certificate(server.machine.address)
    (tmp_path / "given.crt").write_bytes(authority)
    parts = {"certificate": certificate, "key": key, "authority": authority}
    given = {f"ledger_server_{name}": text.decode() for name, text in parts.items()}
    (tmp_path / "given.json").write_text(json.dumps(given), encoding="utf-8")
    try:
        done = server.apply("-e", f"@{tmp_path}/given.json", "--diff", "-vvv")
        assert done.returncode == 0, done.stdout + done.stderr
        assert key.decode().splitlines()[1] not in done.stdout + done.stderr
        with server.connect("reader", sslrootcert=str(tmp_path / "given.crt")):
            pass
        with pytest.raises(psycopg.OperationalError, match="certificate verify failed"):
            server.connect("reader")
    finally:
        server.applied()
    with server.connect("reader"):
        pass


@pytest.mark.control("LEDG-01")
def test_a_stopped_server_and_another_address_are_noticed(
    server: Server, audit: Callable[[], dict[str, str]], restored: None
) -> None:
    assert audit()["LEDG-01"] == "pass"
    server.machine.ok("systemctl stop 'postgresql@*'")
    assert audit()["LEDG-01"] == "fail"
    server.applied()
    unit = "/etc/systemd/system/postgresql@.service.d/kijun.conf"
    server.machine.ok(f"sed -i 's/listen_addresses=[0-9.]*/&,127.0.0.1/' {unit}")
    server.machine.ok("systemctl daemon-reload && systemctl restart postgresql")
    assert "127.0.0.1:5432" in server.machine.ok("ss -ltn")
    assert audit()["LEDG-01"] == "fail"


WRITING = {
    "update": "UPDATE events SET hash = '\\x00'",
    "delete": "DELETE FROM events",
    "truncate": "TRUNCATE events",
    "drop": "DROP TABLE events",
    "trigger": "ALTER TABLE events DISABLE TRIGGER ALL",
    "replica": "SET session_replication_role = replica",
    "rule": "CREATE RULE r AS ON INSERT TO events DO INSTEAD NOTHING",
    "table": "CREATE TABLE mine (n int)",
    "temporary": "CREATE TEMP TABLE mine (n int)",
    "schema": "CREATE SCHEMA mine",
    "function": "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "role": "CREATE ROLE mine",
    "owner": "SET ROLE kijun_owner",
    "grant": "ALTER TABLE events OWNER TO kijun_writer",
    "hashes": "SELECT rolpassword FROM pg_authid",
    "file": "COPY events TO '/tmp/events'",
    "program": "COPY events TO PROGRAM 'cat'",
}


@pytest.mark.parametrize("statement", WRITING.values(), ids=WRITING.keys())
@pytest.mark.parametrize("role", ["writer", "reader"])
def test_nobody_rewrites_the_ledger(server: Server, tables: str, role: str, statement: str) -> None:
    with server.connect(role, tables) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(statement)


def test_the_writer_adds_and_the_reader_only_reads(server: Server, tables: str) -> None:
    record = json.dumps(dict.fromkeys(GENERATED, "1"))
    count = "SELECT count(*) FROM events WHERE book = 'test'"
    insert = f"INSERT INTO events (book, sequence, record, hash) VALUES ('test', 1, '{record}', '\\x00')"
    with server.connect("reader", tables) as reader:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            reader.execute(insert)
        with server.connect("writer", tables) as writer:
            writer.execute(insert)
        assert reader.execute(count).fetchone() == (1,)
    with server.connect("owner", tables) as owner:
        for statement in ("UPDATE events SET hash = '\\x01'", "DELETE FROM events", "TRUNCATE events"):
            with pytest.raises(psycopg.Error, match="only ever added"):
                owner.execute(statement)
        assert owner.execute(count).fetchone() == (1,)


def test_rights_given_by_hand_are_taken_back(server: Server) -> None:
    server.sql(
        "GRANT kijun_owner TO kijun_writer; ALTER ROLE kijun_reader CREATEDB; ALTER ROLE kijun_writer PASSWORD 'x'"
    )
    server.sql(
        "GRANT CONNECT ON DATABASE kijun_ledger TO PUBLIC; GRANT CREATE ON DATABASE kijun_ledger TO kijun_reader"
    )
    server.sql("GRANT CREATE ON SCHEMA public TO PUBLIC", "kijun_ledger")
    with pytest.raises(psycopg.OperationalError, match="password"):
        server.connect("writer")
    with server.connect("reader") as reader:
        reader.execute("CREATE TABLE mine (n int)")
        reader.execute("DROP TABLE mine")
    foreseen = server.apply("--check", "--diff")
    done = server.apply("--diff")
    for text in (
        "role kijun_writer: no member of kijun_owner",
        "role kijun_reader: NOCREATEDB",
        "role kijun_writer: password changed",
        "database kijun_ledger: CONNECT taken from PUBLIC",
        "database kijun_ledger: CREATE taken from kijun_reader",
        "schema public: CREATE taken from PUBLIC",
    ):
        assert text in foreseen.stdout
        assert text in done.stdout
    assert "nothing changed" in server.applied()
    with server.connect("writer") as writer, pytest.raises(psycopg.errors.InsufficientPrivilege):
        writer.execute("CREATE TABLE mine (n int)")


def test_no_log_result_or_process_shows_what_a_password_is_checked_by(server: Server) -> None:
    server.sql("ALTER ROLE kijun_writer PASSWORD NULL")
    done = server.apply("--diff", "-vvvvv")
    printed = done.stdout + done.stderr
    assert "role kijun_writer: password changed" in printed
    logged = server.machine.ok("cat /var/log/postgresql/*.log; journalctl --no-pager")
    stored = server.sql("SELECT rolpassword FROM pg_authid WHERE rolname IN ('kijun_owner', 'kijun_writer')")
    keys = [key for verifier in stored.splitlines() for key in verifier.split("$")[2].split(":")]
    assert len(keys) == 4
    for secret in (*keys, *map(lab.password, ("owner", "writer", "reader"))):
        assert secret not in printed
        assert secret not in logged


def test_logins_and_changes_of_tables_are_logged(server: Server) -> None:
    name = lab.fresh_database(server.machine.name)
    try:
        with server.connect("owner", name) as owner:
            owner.execute("CREATE TABLE seen_in_the_log (n int)")
        with contextlib.suppress(psycopg.OperationalError):
            server.connect("writer", name, password="wrong")
    finally:
        lab.drop_database(name, server.machine.name)
    logged = server.machine.ok("cat /var/log/postgresql/*.log")
    assert f"connection authorized: user=kijun_owner database={name}" in logged
    assert re.search(rf"disconnection: .* user=kijun_owner database={name}", logged)
    assert "CREATE TABLE seen_in_the_log" in logged
    assert f'kijun_writer@{name} FATAL:  password authentication failed for user "kijun_writer"' in logged


def test_sixty_four_writers_at_once(server: Server) -> None:
    with contextlib.ExitStack() as stack:
        writers = [stack.enter_context(server.connect("writer")) for _ in range(64)]
        assert {writer.execute("SELECT 1").fetchone() for writer in writers} == {(1,)}


def test_a_second_run_changes_nothing_and_pages_have_checksums(server: Server) -> None:
    assert "nothing changed" in server.applied()
    assert "nothing changed" in server.applied("--check")
    assert server.sql("SHOW data_checksums") == "on"


@pytest.mark.parametrize("password", ["Short-1", "with blanks in it, and long", 1234567890123456789012])
def test_a_weak_password_is_refused_unseen_and_nothing_changes(server: Server, password: str | int) -> None:
    wrong = json.dumps({"ledger_server_writer_password": password, "ledger_server_max_connections": 71})
    done = server.apply("-e", wrong, "-v")
    assert done.returncode != 0
    assert "ledger_server_writer_password must be at least 20 letters" in done.stdout + done.stderr
    assert str(password) not in (done.stdout + done.stderr)
    assert server.sql("SHOW max_connections") == "128"


@pytest.mark.parametrize(
    ("name", "value"),
    [("networks", []), ("networks", ["192.0.2.1/24"]), ("listen", ["*; x"]), ("max_connections", 64), ("network", [])],
)
def test_wrong_settings_are_refused(server: Server, name: str, value: Any) -> None:
    done = server.apply("-e", json.dumps({f"ledger_server_{name}": value}))
    assert done.returncode != 0
    assert f"ledger_server_{name} is" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"listen": ["198.51.100.9"]}, "198.51.100.9 is no address of this host"),
        ({"certificate": "none", "key": "none", "authority": "none"}, "ledger-check"),
    ],
)
def test_what_the_server_would_not_start_with_is_refused(server: Server, values: dict[str, Any], message: str) -> None:
    before = server.machine.ok(f"sha256sum {FOLDER}/*; systemctl show -P ActiveEnterTimestamp 'postgresql@*'")
    done = server.apply("-e", json.dumps({f"ledger_server_{name}": value for name, value in values.items()}))
    assert done.returncode != 0
    assert message in done.stdout + done.stderr
    assert server.machine.ok(f"sha256sum {FOLDER}/*; systemctl show -P ActiveEnterTimestamp 'postgresql@*'") == before


def test_it_survives_a_reboot(server: Server) -> None:
    subprocess.run(
        ["lab/lab", "reboot", server.machine.name],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        check=True,
        capture_output=True,
        timeout=60,
    )
    with server.connect("reader"):
        pass
    assert "nothing changed" in server.applied()


def test_on_a_fresh_host_the_check_foresees_the_run(server: Server) -> None:
    """Last, as it makes the host anew."""
    subprocess.run(
        ["lab/lab", "reset", server.machine.name],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        check=True,
        capture_output=True,
        timeout=60,
    )
    foreseen, done = server.apply("--check", "--diff"), server.apply("--diff")
    assert (foreseen.returncode, done.returncode) == (0, 0), foreseen.stdout + done.stdout
    tell = re.compile(r"^\+((?:role|database|schema) .*)$", re.MULTILINE)
    assert tell.findall(foreseen.stdout) == tell.findall(done.stdout) != []
    lab.authority(server.machine.name)
    with server.connect("reader"):
        pass
