"""Which executors that were lost start again, and how many incarnations began since the last checkpoint."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("executor", sa.Column("unsaved", sa.Integer(), nullable=False, server_default="1"))
    op.add_column("executor", sa.Column("restart_due", sa.Boolean(), nullable=False, server_default=sa.false()))


def downgrade() -> None:
    with op.batch_alter_table("executor") as table:
        table.drop_column("restart_due")
        table.drop_column("unsaved")
