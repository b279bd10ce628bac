# SPDX-License-Identifier: GPL-3.0-or-later
"""Events and the head of each book's chain."""

import sqlalchemy as sa
from alembic import op
from alembic.util import CommandError

revision = "0001"
down_revision = None

COLUMNS = {
    "key": "TEXT",
    "version": "INTEGER",
    "action": "TEXT",
    "actor": "TEXT",
    "approver": "TEXT",
    "ticket": "TEXT",
    "at": "TEXT",
}
"""What the database makes from the record."""

SQLITE_GUARD = """\
CREATE TRIGGER events_no_{word} BEFORE {word} ON events
BEGIN SELECT RAISE(ABORT, 'events are only ever added to a ledger'); END"""

POSTGRESQL_GUARD = """\
CREATE FUNCTION events_are_only_added() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'events are only ever added to a ledger'; END $$"""


def upgrade() -> None:
    """Make them."""
    sqlite = op.get_bind().dialect.name == "sqlite"
    extract = "json_extract(record, '$.{0}')" if sqlite else "((record::jsonb ->> '{0}')::{1})"
    generated = ",\n".join(
        '"%s" %s GENERATED ALWAYS AS (%s) STORED NOT NULL' % (name, kind, extract.format(name, kind.lower()))
        for name, kind in COLUMNS.items()
    )
    op.execute(
        "CREATE TABLE events (book TEXT NOT NULL, sequence BIGINT NOT NULL, record TEXT NOT NULL, hash %s NOT NULL,\n"
        "%s,\nPRIMARY KEY (book, sequence))%s"
        % ("BLOB" if sqlite else "BYTEA", generated, " WITHOUT ROWID" if sqlite else "")
    )
    op.create_index("events_by_key", "events", ["book", "key", "version"], unique=True)
    op.create_table(
        "heads",
        sa.Column("book", sa.Text, primary_key=True),
        sa.Column("count", sa.BigInteger, nullable=False),
        sa.Column("hash", sa.LargeBinary(32), nullable=False),
    )
    if sqlite:
        for word in ("update", "delete"):
            op.execute(SQLITE_GUARD.format(word=word))
    else:
        op.execute(POSTGRESQL_GUARD)
        op.execute(
            "CREATE TRIGGER events_guard BEFORE UPDATE OR DELETE OR TRUNCATE ON events "
            "FOR EACH STATEMENT EXECUTE FUNCTION events_are_only_added()"
        )


def downgrade() -> None:
    """Remove them, where there are no events."""
    count = op.get_bind().scalar(sa.text("SELECT count(*) FROM events"))
    if count:
        raise CommandError("%d events would be lost; export them, and start a new ledger elsewhere" % count)
    op.drop_table("heads")
    op.drop_table("events")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION events_are_only_added()")
