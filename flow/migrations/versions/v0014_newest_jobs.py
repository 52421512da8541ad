"""Jobs in the order in which this party heard of them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    mysql = op.get_bind().dialect.name == "mysql"
    now_ms = sa.text("unix_timestamp() * 1000" if mysql else "strftime('%s', 'now') * 1000")
    job = sa.table("job", sa.column("submitted_ms", sa.BigInteger()))
    op.execute(sa.update(job).where(job.c.submitted_ms > now_ms).values(submitted_ms=now_ms))
    op.create_index("job_by_time", "job", ["submitted_ms", "id"])


def downgrade() -> None:
    op.drop_index("job_by_time", table_name="job")
