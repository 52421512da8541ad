"""Who of our people decided about a job of others, and the note that they left."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("part", sa.Column("decided_by", sa.String(length=100), nullable=False, server_default=""))
    op.add_column("part", sa.Column("note", sa.String(length=1000), nullable=False, server_default=""))


def downgrade() -> None:
    with op.batch_alter_table("part") as table:
        table.drop_column("note")
        table.drop_column("decided_by")
