"""A job's document is stored once, with the job; what was proposed with it stands beside it."""

from __future__ import annotations

import json

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_TEXT = sa.Text().with_variant(mysql.LONGTEXT(), "mysql")
_JOB = sa.table("job", *map(sa.column, ("id", "proposal")))
_PART = sa.table("part", *map(sa.column, ("job", "proposal")))
_GONE = (("job", "manifest"), ("part", "proposal"), ("part", "manifest"))


def upgrade() -> None:
    connection = op.get_bind()
    for name in connection.execute(sa.select(_JOB.c.id)).scalars().all():
        both = sa.select(_JOB.c.proposal, _PART.c.proposal).outerjoin(_PART, _PART.c.job == _JOB.c.id)
        led, theirs = connection.execute(both.where(_JOB.c.id == name)).one()
        proposal = {key: value for key, value in json.loads(led or theirs or "{}").items() if key != "spec"}
        connection.execute(_JOB.update().where(_JOB.c.id == name).values(proposal=json.dumps(proposal)))
    for table, column in _GONE:
        op.drop_column(table, column)


def downgrade() -> None:
    for table, column in _GONE:
        op.add_column(table, sa.Column(column, _TEXT, nullable=True))
