# SPDX-License-Identifier: GPL-3.0-or-later
"""Alembic's entry: runs migrations over the connection, and in the transaction, that `migrate` opened."""

from alembic import context

context.configure(connection=context.config.attributes["connection"], transactional_ddl=True)
context.run_migrations()
