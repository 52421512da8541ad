"""Which parties differ where an executor failed of that: what of its error every party may read."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    text = sa.Text().with_variant(mysql.LONGTEXT(), "mysql")
    with op.batch_alter_table("executor") as executor:
        executor.add_column(sa.Column("differing", text, nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("executor") as executor:
        executor.drop_column("differing")
