"""How many bytes the documents of a proposed job take."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_PART = sa.table("part", *map(sa.column, ("bytes", "proposal", "answer", "manifest")))


def upgrade() -> None:
    with op.batch_alter_table("part") as part:
        part.add_column(sa.Column("bytes", sa.BigInteger(), nullable=False, server_default="0"))
    once = sum((sa.func.length(_PART.c[name]) for name in ("answer", "manifest")), sa.func.length(_PART.c.proposal))
    op.execute(_PART.update().values(bytes=2 * once))  # each lies in two tables


def downgrade() -> None:
    with op.batch_alter_table("part") as part:
        part.drop_column("bytes")
