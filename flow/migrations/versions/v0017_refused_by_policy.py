"""Whether the policy of this party refused a job, nobody asked: lists leave such proposals of others out."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("part", sa.Column("by_policy", sa.Boolean(), nullable=False, server_default=sa.false()))


def downgrade() -> None:
    with op.batch_alter_table("part") as table:
        table.drop_column("by_policy")
