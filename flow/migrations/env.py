"""What Alembic runs: Flow hands it the connection; nothing is read from files or the environment."""

from __future__ import annotations

from alembic import context

from flow.store.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
