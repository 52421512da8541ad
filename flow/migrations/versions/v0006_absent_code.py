"""Why a party does not do its part now, as a code: whether it is away or hindered at home."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("job_party") as party:
        party.add_column(sa.Column("absent_code", sa.String(length=200), nullable=False, server_default=""))


def downgrade() -> None:
    with op.batch_alter_table("job_party") as party:
        party.drop_column("absent_code")
