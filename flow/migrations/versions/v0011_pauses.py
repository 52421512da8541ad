"""Since when a job is paused, and which parties are still to hear of it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("job", sa.Column("paused_ms", sa.BigInteger(), nullable=True))
    op.add_column("job_party", sa.Column("pause_due", sa.Boolean(), nullable=False, server_default=sa.false()))


def downgrade() -> None:
    with op.batch_alter_table("job_party") as table:
        table.drop_column("pause_due")
    with op.batch_alter_table("job") as table:
        table.drop_column("paused_ms")
