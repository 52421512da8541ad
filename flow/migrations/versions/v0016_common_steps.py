"""Where a later attempt goes on from: what sides held when they were stopped, and the step that they shared."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("side", sa.Column("kept", sa.Text().with_variant(mysql.LONGTEXT(), "mysql"), nullable=True))
    op.add_column("attempt", sa.Column("from_attempt", sa.Integer(), nullable=True))
    op.add_column("attempt", sa.Column("from_step", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("attempt") as table:
        table.drop_column("from_step")
        table.drop_column("from_attempt")
    with op.batch_alter_table("side") as table:
        table.drop_column("kept")
