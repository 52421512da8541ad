"""What a party remembers of a job that it left, and how long a job has run here."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("part") as part:
        part.add_column(sa.Column("left_why", sa.String(length=1000), nullable=False, server_default=""))
        for name in ("since_ms", "ran_ms", "heard_ms"):
            part.add_column(sa.Column(name, sa.BigInteger(), nullable=False, server_default="0"))


def downgrade() -> None:
    with op.batch_alter_table("part") as part:
        for name in ("left_why", "since_ms", "ran_ms", "heard_ms"):
            part.drop_column(name)
