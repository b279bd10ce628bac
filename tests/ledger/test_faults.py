# SPDX-License-Identifier: GPL-3.0-or-later
"""What the roles of PostgreSQL may do, and ledgers that cannot be used: each says why, in the ledger's own errors."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import kijun_ledger_server as server
import kijun_ledgers as sample
import pytest
import sqlalchemy as sa
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger import migrate
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.engine import Ledger, connect
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.errors import LedgerError, Unreachable

from .conftest import Place, execute

ROOT = Path(__file__).resolve().parents[2]
BOOK = "accounts"
ONLY_ADDED = "events are only ever added"

USES: dict[str, Callable[[str], object]] = {
    "append": lambda url: Ledger(url).append(BOOK, [sample.request()], "yamada"),
    "append dry": lambda url: Ledger(url).append(BOOK, [sample.request()], "yamada", dry_run=True),
    "get": lambda url: Ledger(url).get(BOOK, "tanaka"),
    "states": lambda url: Ledger(url).states(BOOK),
    "count": lambda url: Ledger(url).count(BOOK),
    "events": lambda url: Ledger(url).events(BOOK),
    "verify": lambda url: Ledger(url).verify(BOOK),
    "compare": lambda url: Ledger(url).compare(BOOK),
    "rebuild": lambda url: Ledger(url).rebuild(BOOK),
    "checkpoint": lambda url: Ledger(url).checkpoint(BOOK),
    "current": migrate.current,
    "upgrade": migrate.upgrade,
    "downgrade": lambda url: migrate.downgrade(url, "0001"),
}
READING = ("get", "states", "count", "events", "verify", "compare", "checkpoint")


def complaint(use: str, url: str) -> str:
    """What a use of a ledger that cannot be used says: one line, the ledger's own, and without the password."""
    with pytest.raises(LedgerError) as caught:
        USES[use](url)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    text = str(caught.value)
    for word in ("sqlalche.me", "[SQL", "Traceback", "psycopg.", "sqlite3."):
        assert word not in text
    return text


FOUND = """
SELECT relname, relacl::text FROM pg_class WHERE relnamespace = 'public'::regnamespace
UNION ALL SELECT proname, prosrc FROM pg_proc WHERE pronamespace = 'public'::regnamespace
UNION ALL SELECT tgname, tgenabled::text FROM pg_trigger
UNION ALL SELECT 'alembic_version', version_num FROM alembic_version
UNION ALL SELECT 'events', events::text FROM events
UNION ALL SELECT 'heads', heads::text FROM heads
UNION ALL SELECT 'states', states::text FROM states
ORDER BY 1, 2
"""
"""All that a test could have changed of a database: what there is in it, whose, and what it holds."""


def found(place: Place) -> list[tuple[str, str]]:
    engine = connect(place.owner)
    try:
        with engine.connect() as connection:
            return [tuple(row) for row in connection.execute(sa.text(FOUND))]
    finally:
        engine.dispose()


@pytest.fixture(scope="module")
def unchanged(lab_server: None) -> Iterator[list[tuple[str, Place]]]:
    """A filled database that no test has changed, or none."""
    kept: list[tuple[str, Place]] = []
    yield kept
    for name, _ in kept:
        server.drop_database(name)


@pytest.fixture
def postgresql(unchanged: list[tuple[str, Place]]) -> Iterator[Place]:
    """A filled ledger. Nearly every test here sees that nothing can be changed: where that is so, the next one gets the
    same database; where anything is another, the next one gets a new one."""
    if not unchanged:
        name = server.fresh_database()
        place = Place(*(server.postgresql_url(role, name) for role in ("writer", "owner", "reader")))
        place.upgrade()
        with Ledger(place.url) as ledger:
            sample.fill(ledger)
        unchanged.append((name, place))
    name, place = unchanged.pop()
    before = found(place)
    yield place
    if found(place) == before:
        unchanged.append((name, place))
    else:
        server.drop_database(name)


def refused(url: str, statement: str) -> str:
    engine = connect(url)
    try:
        with pytest.raises(sa.exc.DBAPIError) as caught, engine.begin() as connection:
            connection.exec_driver_sql(statement)
    finally:
        engine.dispose()
    return str(caught.value.orig)


INSERT = "INSERT INTO events (book, sequence, record, hash) SELECT 'x', sequence, record, hash FROM events LIMIT 1"
CHANGES = (
    "UPDATE events SET hash = hash",
    "UPDATE events SET record = record WHERE false",
    "DELETE FROM events",
    "DELETE FROM events WHERE sequence = 1",
    "TRUNCATE events",
)


@pytest.mark.parametrize("statement", CHANGES)
def test_nobody_changes_events(postgresql: Place, statement: str) -> None:
    assert "permission denied for table events" in refused(postgresql.url, statement)
    assert "permission denied for table events" in refused(postgresql.reader, statement)
    assert ONLY_ADDED in refused(postgresql.owner, statement)
    with Ledger(postgresql.url) as ledger:
        assert ledger.verify(BOOK).count == 10


@pytest.mark.parametrize("statement", [change for change in CHANGES if not change.startswith("TRUNCATE")])
def test_nobody_changes_events_of_a_file_by_mistake(tmp_path: Path, statement: str) -> None:
    url = f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    migrate.upgrade(url)
    with Ledger(url) as ledger:
        sample.fill(ledger)
        if "WHERE false" not in statement:
            assert ONLY_ADDED in refused(url, statement)
        assert ledger.verify(BOOK).count == 10


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE events DISABLE TRIGGER USER",
        "DROP TABLE events",
        "DROP TRIGGER events_guard ON events",
        "CREATE TABLE mine (a int)",
        "CREATE OR REPLACE FUNCTION events_are_only_added() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "DELETE FROM heads",
        "TRUNCATE states",
        "UPDATE alembic_version SET version_num = '9999'",
        "SET ROLE kijun_owner",
        "SET session_replication_role = replica",
    ],
)
def test_the_writer_is_no_owner(postgresql: Place, statement: str) -> None:
    text = refused(postgresql.url, statement)
    assert "permission denied" in text or "must be owner" in text


@pytest.mark.parametrize("table", ["events", "heads", "states", "alembic_version"])
def test_the_reader_only_reads(postgresql: Place, table: str) -> None:
    for statement in (f"DELETE FROM {table}", f"TRUNCATE {table}", f"INSERT INTO {table} SELECT * FROM {table}"):
        if (table, statement[:6]) != ("events", "INSERT"):
            assert "permission denied" in refused(postgresql.reader, statement)
    assert "permission denied" in refused(postgresql.reader, INSERT)
    assert "permission denied" in refused(postgresql.reader, "CREATE TABLE mine (a int)")


@pytest.mark.parametrize("use", READING)
def test_the_reader_reads_everything(postgresql: Place, use: str) -> None:
    assert USES[use](postgresql.reader) == USES[use](postgresql.url) or use == "checkpoint"


@pytest.mark.parametrize("use", ["append", "rebuild", "downgrade"])
def test_the_reader_is_told_that_it_may_not(postgresql: Place, use: str) -> None:
    text = complaint(use, postgresql.reader)
    assert "permission denied" in text or "must be owner" in text
    with Ledger(postgresql.url) as ledger:
        assert ledger.verify(BOOK).count == 10


def test_a_role_that_does_not_exist_is_told(postgresql: Place) -> None:
    with pytest.raises(LedgerError, match="nobody_such"):
        migrate.upgrade(postgresql.owner, writer="nobody_such")
    with pytest.raises(LedgerError, match="no name of a role"):
        migrate.upgrade(postgresql.owner, writer='x"; DROP TABLE events; --')


def test_a_reader_sees_one_moment_while_others_write(postgresql: Place) -> None:
    """Verifying takes a look at the head and one at the events; what comes between the two is nothing broken."""
    with Ledger(postgresql.reader) as reader, Ledger(postgresql.url) as writer:
        first_head = reader._head

        def late(connection: sa.Connection, book: str) -> tuple[int, bytes]:
            head = first_head(connection, book)
            writer.append(BOOK, [sample.request("ito")], "yamada")
            return head

        reader._head = late  # type: ignore[method-assign]
        found = reader.verify(BOOK)
        assert (found.ok, found.count) == (True, 10)
        reader._head = first_head  # type: ignore[method-assign]
        assert reader.verify(BOOK).count == 11


@pytest.mark.parametrize("use", USES)
def test_a_wrong_password_is_told_and_not_shown(postgresql: Place, use: str) -> None:
    url = sa.make_url(postgresql.owner).set(password="Wrong-Secret-0").render_as_string(hide_password=False)
    text = complaint(use, url)
    assert "password authentication failed" in text
    assert "Wrong-Secret-0" not in text


def test_another_authority_is_not_believed(postgresql: Place, tmp_path: Path) -> None:
    other = tmp_path / "other.crt"
    other.write_text("", encoding="ascii")
    url = sa.make_url(postgresql.url).update_query_dict({"sslrootcert": str(other)})
    assert "cannot be used" in complaint("states", url.render_as_string(hide_password=False))
    plain = sa.make_url(postgresql.url).set(query={"sslmode": "disable"})
    assert "no encryption" in complaint("states", plain.render_as_string(hide_password=False))


def test_a_database_that_is_not_there_is_told(postgresql: Place) -> None:
    url = sa.make_url(postgresql.url).set(database="nowhere").render_as_string(hide_password=False)
    assert "nowhere" in complaint("states", url)


def test_a_ledger_that_is_in_use_for_too_long_is_told(postgresql: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[Ledger.__module__], "PATIENCE", 1)
    engine = connect(postgresql.url)
    with engine.begin() as connection:
        connection.exec_driver_sql("SELECT * FROM heads FOR UPDATE")
        assert "lock timeout" in complaint("append", postgresql.url)
    engine.dispose()
    with Ledger(postgresql.url) as ledger:
        assert len(ledger.append(BOOK, [sample.request("ito")], "yamada")) == 1


def test_a_stopped_server_is_told_and_comes_back(postgresql: Place) -> None:
    stop = ["lab/lab", "exec", server.HOST, "--", "systemctl", "stop", "postgresql@*.service"]
    with Ledger(postgresql.url) as ledger:
        assert ledger.count(BOOK) == 3
        subprocess.run(stop, cwd=ROOT, check=True, stdin=subprocess.DEVNULL, timeout=120)
        try:
            for use in USES:
                assert "refused" in complaint(use, postgresql.owner)
            with pytest.raises(Unreachable, match="refused"):
                ledger.append(BOOK, [sample.request("ito")], "yamada")
        finally:
            server.serve()
        ledger.append(BOOK, [sample.request("ito")], "yamada")
        assert ledger.verify(BOOK).count == 11


# Files.


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "ledger.sqlite"
    migrate.upgrade(f"sqlite:///{path}")
    with Ledger(f"sqlite:///{path}") as ledger:
        sample.fill(ledger)
    return path


def test_a_ledgers_file_is_its_owners_alone(path: Path) -> None:
    with Ledger(f"sqlite:///{path}") as ledger:
        ledger.append(BOOK, [sample.request("ito")], "yamada")
        modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.glob("ledger.sqlite*")}
    assert modes == {"ledger.sqlite": 0o600, "ledger.sqlite-wal": 0o600, "ledger.sqlite-shm": 0o600}


@pytest.mark.parametrize("use", [use for use in USES if use not in ("current", "upgrade")])
def test_a_missing_file_is_told_and_not_made(tmp_path: Path, use: str) -> None:
    text = complaint(use, f"sqlite:///{tmp_path / 'missing.sqlite'}")
    assert "no such file" in text or "has no tables" in text
    assert list(tmp_path.iterdir()) == []
    complaint(use, f"sqlite:///{tmp_path / 'nowhere' / 'missing.sqlite'}")


def test_a_file_in_a_folder_that_is_missing_cannot_be_made(tmp_path: Path) -> None:
    assert "No such file or directory" in complaint("upgrade", f"sqlite:///{tmp_path / 'nowhere' / 'ledger.sqlite'}")


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize(
    "content", [b"this is no database, and it is longer than a header of SQLite" * 20, b"\0" * 4096]
)
def test_a_file_that_is_no_database_is_told(tmp_path: Path, use: str, content: bytes) -> None:
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(content)
    assert "cannot be used" in complaint(use, f"sqlite:///{path}")
    assert path.read_bytes() == content


@pytest.mark.parametrize("use", [use for use in USES if use not in ("current", "upgrade", "downgrade")])
def test_an_empty_file_has_no_tables(tmp_path: Path, use: str) -> None:
    path = tmp_path / "ledger.sqlite"
    path.touch()
    assert "of revision none, not 0002; run playbooks/ledger_migrate.yml" in complaint(use, f"sqlite:///{path}")


@pytest.mark.parametrize("use", READING)
@pytest.mark.parametrize("page", range(2, 9))
def test_a_damaged_file_is_told(path: Path, use: str, page: int) -> None:
    """Whatever page is lost: the use succeeds without it, or fails in the ledger's own words."""
    with path.open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\xa5" * 4096)
    try:
        USES[use](f"sqlite:///{path}")
    except LedgerError:
        complaint(use, f"sqlite:///{path}")


def test_a_folder_is_no_ledger(tmp_path: Path) -> None:
    for use in USES:
        if use != "current":
            complaint(use, f"sqlite:///{tmp_path}")


def test_a_wrong_revision_is_told(path: Path) -> None:
    execute(f"sqlite:///{path}", "UPDATE alembic_version SET version_num = '9999'")
    assert "of revision 9999, not 0002" in complaint("states", f"sqlite:///{path}")
    assert "9999" in complaint("upgrade", f"sqlite:///{path}")


LIMITED = """
import json, os, resource, sys
import kijun_ledgers as sample
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.engine import Ledger
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.errors import LedgerError
url, what = sys.argv[1:]
with Ledger(url) as ledger:
    ledger.count("accounts")  # whatever else has to be imported
if what == "full":
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
else:
    os.setgid(65534), os.setuid(65534)
written, said = 0, ""
with Ledger(url) as ledger:
    try:
        for number in range(200):
            batch = [sample.request(f"p{number}-{n}") for n in range(20)]
            written += len(ledger.append("accounts", batch, "yamada"))
    except LedgerError as error:
        said = f"{type(error).__name__}: {error}"
    print(json.dumps([written, said]))
"""


def limited(path: Path, what: str) -> tuple[int, str]:
    """Add to a ledger, as somebody else or where there is no room; returns how many events were, and what was said."""
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, f"sqlite:///{path}", what],
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'tests'}:{ROOT / 'collections'}"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    written, said = json.loads(done.stdout)
    return written, said


def test_a_full_disk_loses_nothing_that_was_reported(path: Path) -> None:
    """A limit on the size of files stands for it: SQLite sees a write that fails, as it would there."""
    written, said = limited(path, "full")
    assert said.startswith("Unreachable: the ledger at sqlite:///")
    assert "disk" in said
    assert 0 < written < 4000
    with Ledger(f"sqlite:///{path}") as ledger:
        assert ledger.verify(BOOK).ok
        assert ledger.verify(BOOK).count == 10 + written
        assert ledger.compare(BOOK) == []


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else, who may not read the file")
@pytest.mark.parametrize(("file_mode", "folder_mode"), [(0o600, 0o777), (0o666, 0o755), (0o444, 0o777)])
def test_a_ledger_that_may_not_be_written_is_told(path: Path, file_mode: int, folder_mode: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "ledger.sqlite"
        shutil.copyfile(path, copy)
        copy.chmod(file_mode)
        Path(folder).chmod(folder_mode)
        written, said = limited(copy, "other")
    assert written == 0
    assert said.startswith("Unreachable: the ledger at sqlite:///")
