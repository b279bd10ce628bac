# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes a ledger's tables and brings them from one revision to another, with alembic."""

from __future__ import annotations

import os
import re
from pathlib import Path

import alembic.command
import alembic.config
import sqlalchemy as sa
from alembic.runtime.migration import MigrationContext

from .engine import connect, masked
from .errors import LedgerError, Unreachable

LOCK = 0x6B696A756E
"""Key of the advisory lock under which one migration runs at a time on PostgreSQL ("kijun")."""

GRANTS = {
    "writer": {
        "events": "SELECT, INSERT",
        "heads": "SELECT, INSERT, UPDATE",
        "states": "SELECT, INSERT, UPDATE, DELETE",
    },
    "reader": {"events": "SELECT", "heads": "SELECT", "states": "SELECT"},
}
"""What the two roles of PostgreSQL may do; nobody may change or remove an event."""


def current(url: str) -> str | None:
    """The revision of a ledger's tables; None when it has none, or there is no ledger.

    Args:
        url: the ledger's address.

    Raises:
        Unreachable: the database does not answer.
    """
    engine = connect(url)
    if engine.dialect.name == "sqlite" and not os.path.isfile(engine.url.database or ""):
        return None
    try:
        with engine.connect() as connection:
            return MigrationContext.configure(connection).get_current_revision()
    except sa.exc.DBAPIError as error:
        raise Unreachable("the ledger at %s cannot be used: %s" % (masked(url), str(error.orig).strip())) from None
    finally:
        engine.dispose()


def upgrade(url: str, revision: str = "head", writer: str | None = None, reader: str | None = None) -> None:
    """Bring a ledger's tables to a newer revision, making them where there are none.

    Args:
        url: the ledger's address, with the role that owns the tables.
        revision: the revision.
        writer: the role of PostgreSQL that writes events and cannot change them; None for none.
        reader: the role that reads; None for none.

    Raises:
        Unreachable: the database does not answer.
        LedgerError: the tables are not those of any known revision, or a role cannot be one of PostgreSQL.
    """
    roles = {"writer": writer, "reader": reader}
    for kind, role in roles.items():
        if role is not None and not re.fullmatch(r"[a-z_][a-z0-9_]{0,62}", role):
            raise LedgerError("%s: %r is no name of a role of PostgreSQL" % (kind, role))
    _make_file(url)
    _run(url, "upgrade", revision, roles)


def downgrade(url: str, revision: str) -> None:
    """Bring a ledger's tables to an older revision. Events are never given up for it.

    Args:
        url: the ledger's address, with the role that owns the tables.
        revision: the revision, such as 0001.

    Raises:
        Unreachable: the database does not answer.
        LedgerError: there is no such revision, or events would be lost.
    """
    if current(url) is None:
        raise Unreachable("the ledger at %s has no tables" % masked(url))
    _run(url, "downgrade", revision, {})


def _make_file(url: str) -> None:
    """A ledger's file is its owner's alone; SQLite would make it as readable as the umask lets it."""
    engine = connect(url)
    path = engine.url.database or ""
    if engine.dialect.name == "sqlite" and not os.path.exists(path):
        try:
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
        except OSError as error:
            raise Unreachable("the ledger at %s cannot be made: %s" % (masked(url), error.strerror)) from None


def _run(url: str, command: str, revision: str, roles: dict[str, str | None]) -> None:
    config = alembic.config.Config()
    config.set_main_option("script_location", str(Path(__file__).resolve().parent / "migrations").replace("%", "%%"))
    engine = connect(url)
    try:
        with engine.connect().execution_options(writing=True) as connection, connection.begin():
            if engine.dialect.name == "postgresql":
                connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})
            config.attributes["connection"] = connection
            getattr(alembic.command, command)(config, revision)
            if engine.dialect.name == "postgresql":
                _grant(connection, roles)
    except sa.exc.DBAPIError as error:
        raise Unreachable("the ledger at %s cannot be used: %s" % (masked(url), str(error.orig).strip())) from None
    except alembic.util.CommandError as error:
        raise LedgerError("the ledger at %s: %s" % (masked(url), error)) from None
    finally:
        engine.dispose()


def _grant(connection: sa.Connection, roles: dict[str, str | None]) -> None:
    tables = set(sa.inspect(connection).get_table_names())
    for kind, role in roles.items():
        if role is None:
            continue
        for table, rights in GRANTS[kind].items():
            if table in tables:
                connection.execute(sa.text('GRANT %s ON %s TO "%s"' % (rights, table, role)))
        if "alembic_version" in tables:
            connection.execute(sa.text('GRANT SELECT ON alembic_version TO "%s"' % role))
