"""How far each executor's event log was recorded, in place of one place in the Cluster Manager's stream."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_MYSQL: dict[str, Any] = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}


def upgrade() -> None:
    op.create_table(
        "event_log",
        sa.Column("name", sa.String(300), primary_key=True),
        sa.Column("job", sa.String(26), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        **_MYSQL,
    )
    op.create_table(
        "health",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("tried_ms", sa.BigInteger(), nullable=False),
        **_MYSQL,
    )
    op.drop_table("cursor")


def downgrade() -> None:
    op.create_table(
        "cursor",
        sa.Column("name", sa.String(40), primary_key=True),
        sa.Column("position", sa.BigInteger(), nullable=False),
        **_MYSQL,
    )
    op.drop_table("health")
    op.drop_table("event_log")
