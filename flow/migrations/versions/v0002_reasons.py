"""Why we refused, in the words for our own people."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    text = sa.Text().with_variant(mysql.LONGTEXT(), "mysql")
    op.add_column("part", sa.Column("reasons", text, nullable=True))
