# SPDX-License-Identifier: GPL-3.0-or-later
"""Entries as they are now, projected from the events."""

import json
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make them from the events that there are."""
    states = op.create_table(
        "states",
        sa.Column("book", sa.Text, primary_key=True),
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("fields", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
    )
    entries: dict[tuple[str, str], dict[str, Any]] = {}
    for book, record in op.get_bind().execute(sa.text("SELECT book, record FROM events ORDER BY book, sequence")):
        event = json.loads(record)
        known = entries.get((book, event["key"]), {"fields": {}})
        entries[book, event["key"]] = {
            "book": book,
            "key": event["key"],
            "version": event["version"],
            "sequence": event["sequence"],
            "fields": {**known["fields"], **event["payload"]},
        }
    if entries:
        op.bulk_insert(states, list(entries.values()))
    op.create_index("events_by_time", "events", ["book", "at"])
    if op.get_bind().dialect.name == "postgresql":
        op.create_index("states_by_field", "states", ["fields"], postgresql_using="gin")


def downgrade() -> None:
    """Remove them: the events say all that they say."""
    op.drop_index("events_by_time", "events")
    op.drop_table("states")
