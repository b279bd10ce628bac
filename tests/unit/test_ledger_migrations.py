# SPDX-License-Identifier: GPL-3.0-or-later
"""The migrations and the engine's own idea of the tables are one; tests/ledger runs them up and down."""

from __future__ import annotations

from pathlib import Path

import alembic.config
import alembic.script
import pytest
import sqlalchemy as sa
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger import migrate, schema
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.engine import REVISION, Ledger, connect
from ansible_collections.kijun.baseline.plugins.plugin_utils.ledger.errors import LedgerError


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'ledger.sqlite'}"


def test_the_newest_migration_is_the_engines_revision(url: str) -> None:
    config = alembic.config.Config()
    config.set_main_option("script_location", str(Path(migrate.__file__).parent / "migrations"))
    scripts = alembic.script.ScriptDirectory.from_config(config)
    assert scripts.get_heads() == [REVISION]
    assert migrate.current(url) is None
    migrate.upgrade(url)
    assert migrate.current(url) == REVISION


def test_migrations_make_the_tables_that_the_engine_uses(url: str) -> None:
    migrate.upgrade(url)
    engine = connect(url)
    found = sa.MetaData()
    found.reflect(engine)
    engine.dispose()
    assert set(found.tables) == {*schema.metadata.tables, "alembic_version"}
    for name, table in schema.metadata.tables.items():
        assert [column.name for column in found.tables[name].columns] == [column.name for column in table.columns]
        assert [column.name for column in found.tables[name].primary_key] == [c.name for c in table.primary_key]


def test_a_path_may_hold_what_formats_and_addresses_use(tmp_path: Path) -> None:
    folder = tmp_path / "100% 台帳"
    folder.mkdir()
    url = f"sqlite:///{folder / 'ledger.sqlite'}"
    migrate.upgrade(url)
    with Ledger(url) as ledger:
        assert ledger.states("accounts") == []


@pytest.mark.parametrize("role", ["Writer", "a b", 'x"; DROP TABLE events; --', "", "a" * 64, "1a"])
def test_only_names_of_roles_are_granted_anything(url: str, role: str) -> None:
    """Refused before anything is made."""
    with pytest.raises(LedgerError, match="no name of a role"):
        migrate.upgrade(url, writer=role)
    assert migrate.current(url) is None
