"""The same federation on a private MariaDB: everything of a job is found in its tables, by plain SQL."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pymysql
import pytest
import sqlalchemy

from launcher.demo_data import write_breast
from launcher.federation import LocalFederation
from launcher.private_mariadb import MariaDbMissing
from tests.e2e.federation.test_encrypted_training import job, run

TRAINERS = ("hospital-a", "hospital-b")
ROUNDS = 3


@pytest.fixture(scope="module")
def federation() -> Iterator[LocalFederation]:
    folder = Path(tempfile.mkdtemp(prefix="apl-mysql-"))
    federation = LocalFederation(folder, [*TRAINERS, "coordinator"], database="mysql")
    try:
        federation.create()
        federation.up()
        for item in write_breast(folder, TRAINERS)[0]:
            federation[item.party].flow(
                "data", "upload", item.file, "--table", item.table, "--id", "id", "--label", "y"
            )
        yield federation
    except MariaDbMissing as missing:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(missing))
    finally:
        federation.down()
        shutil.rmtree(folder, ignore_errors=True)


def rows(federation: LocalFederation, party: str, query: str, job_id: str) -> list[tuple[object, ...]]:
    """The rows of a query at one party's database, asked with the party's own URL."""
    url = sqlalchemy.make_url(federation[party].settings_home().database_url())
    with (
        pymysql.connect(
            host=url.host, port=url.port or 0, user=url.username, password=str(url.password), database=url.database
        ) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(query, (job_id,))
        return list(cursor.fetchall())


def test_every_job_task_attempt_metric_and_event_is_in_the_tables(federation: LocalFederation, tmp_path: Path) -> None:
    spec = job(
        "recorded", "breast/train", rounds=ROUNDS, protection={"kind": "paillier"}, local={"learning_rate": 0.001}
    )
    done = run(federation, tmp_path, spec)
    for party in (*TRAINERS, "coordinator"):
        assert rows(federation, party, "SELECT name, state FROM job WHERE id = %s", done) == [("recorded", "succeeded")]
        executors = rows(federation, party, "SELECT task, attempt, state FROM executor WHERE job = %s", done)
        assert executors == [("train", 1, "succeeded")]
        steps = rows(
            federation, party, "SELECT DISTINCT step FROM metric WHERE name = 'loss' AND job = %s ORDER BY step", done
        )
        seen = range(ROUNDS + 1) if party in TRAINERS else ()  # scores are inside the sum: the arbiter has none
        assert [step for (step,) in steps] == list(seen)
        assert rows(federation, party, "SELECT COUNT(*) FROM event WHERE job = %s", done)[0][0] > 3
    leader = "hospital-a"
    attempts = rows(federation, leader, "SELECT task, attempt, state FROM attempt WHERE job = %s", done)
    assert attempts == [("train", 1, "succeeded")]
    sides = rows(federation, leader, "SELECT address, state FROM side WHERE job = %s ORDER BY address", done)
    assert [state for _, state in sides] == ["succeeded"] * 3
    kinds = {kind for (kind,) in rows(federation, leader, "SELECT kind FROM event WHERE job = %s", done)}
    assert {"job.agreed", "job.running", "job.succeeded", "attempt.succeeded"} <= kinds
