"""Find a party's proposals that never became jobs without reading them."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("job_never_agreed", "job", ["initiator", "manifest_digest", "state", "ended_ms", "id"])


def downgrade() -> None:
    op.drop_index("job_never_agreed", "job")
