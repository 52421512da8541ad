"""The tables of the gateway's own database, by version."""

from __future__ import annotations

from pathlib import Path

from runtime.disk.sqlite import Database, Durability

SCHEMA_1 = """
CREATE TABLE job (job TEXT PRIMARY KEY, contract BLOB) WITHOUT ROWID;
CREATE TABLE envelope (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    inward INTEGER NOT NULL,
    job TEXT NOT NULL,
    peer TEXT NOT NULL,
    large INTEGER NOT NULL,
    canonical BLOB NOT NULL,
    signature BLOB NOT NULL,
    size INTEGER NOT NULL,
    body BLOB,
    file TEXT,
    unread INTEGER NOT NULL
);
CREATE INDEX envelope_queue ON envelope (peer, large, sequence) WHERE inward = 0;
CREATE INDEX envelope_job ON envelope (job);
CREATE TABLE sent (key TEXT PRIMARY KEY, job TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX sent_job ON sent (job);
CREATE TABLE inbox (
    key TEXT PRIMARY KEY, job TEXT NOT NULL, sender TEXT NOT NULL, sealed INTEGER NOT NULL, sha256 TEXT NOT NULL,
    envelope INTEGER, offset INTEGER NOT NULL, size INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX inbox_job ON inbox (job);
CREATE TABLE refusal (
    job TEXT, task TEXT, attempt INTEGER, code TEXT, message TEXT, hint TEXT, PRIMARY KEY (job, task, attempt)
) WITHOUT ROWID;
CREATE TABLE token (
    job TEXT, task TEXT, address TEXT, attempt INTEGER NOT NULL, incarnation INTEGER NOT NULL, digest BLOB NOT NULL,
    PRIMARY KEY (job, task, address)
) WITHOUT ROWID;
CREATE UNIQUE INDEX token_digest ON token (digest);
CREATE TABLE ledger (
    sequence INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, inward INTEGER NOT NULL, peer TEXT NOT NULL,
    job TEXT NOT NULL, what TEXT NOT NULL, messages INTEGER NOT NULL, size INTEGER NOT NULL, sha256 TEXT NOT NULL,
    chain TEXT NOT NULL
);
CREATE INDEX ledger_job ON ledger (job) WHERE job <> '';
"""
SCHEMA_2 = """
CREATE TABLE spent (
    conversation TEXT PRIMARY KEY, job TEXT NOT NULL, numbers INTEGER NOT NULL, text_bytes INTEGER NOT NULL,
    names TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX spent_job ON spent (job);
CREATE TABLE answered (peer TEXT, id TEXT, until_ms INTEGER NOT NULL, PRIMARY KEY (peer, id)) WITHOUT ROWID;
CREATE INDEX answered_until ON answered (until_ms);
"""
SCHEMA_3 = """
CREATE TABLE key_seen (
    job TEXT, task TEXT, attempt INTEGER, owner TEXT, fingerprint TEXT NOT NULL,
    PRIMARY KEY (job, task, attempt, owner)
) WITHOUT ROWID;
"""
SCHEMA_4 = """
CREATE TABLE token_4 (
    digest BLOB PRIMARY KEY, job TEXT NOT NULL, task TEXT NOT NULL, address TEXT NOT NULL, attempt INTEGER NOT NULL,
    incarnation INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO token_4 SELECT digest, job, task, address, attempt, incarnation FROM token;
DROP TABLE token;
ALTER TABLE token_4 RENAME TO token;
CREATE INDEX token_address ON token (job, task, address);
"""


def open_database(path: Path, durability: Durability = "process") -> Database:
    """The gateway's database in the file. Raises NewerDatabase."""
    return Database(path, (SCHEMA_1, SCHEMA_2, SCHEMA_3, SCHEMA_4), durability)
