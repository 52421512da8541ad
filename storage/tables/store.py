"""The tables of a party: named, versioned, immutable, each version visible from the moment its manifest is there.

tables/<namespace>/<name>/data/<ulid>/    partitions; `<ulid>.lock` beside it is held until a manifest names them
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import BinaryIO, TypeAlias

import pyarrow as pa
from ulid import ULID

from runtime.clock import Clock, SystemClock
from runtime.errors import PlatformError
from storage.documents import Unreadable
from storage.errors import BadReference, Damaged, SchemaVersionUnknown, StoreFull, TableNotFound
from storage.facts import NO_ROLES, TableRoles
from storage.intake.source_options import SourceOptions
from storage.intake.sources import Progress, Reading, open_source
from storage.place import Place
from storage.publication import Publications
from storage.refs import JOB_NAMESPACE, TableRef
from storage.tables.locks import WriterLock, is_free
from storage.tables.manifest import TableManifest
from storage.tables.stamps import stamps_file, write_stamps
from storage.tables.table import Table
from storage.tables.versions import ROOT, TableVersions, table_folder
from storage.tables.writer import PARTITION_ROWS, TablePlan, TableWriter, WrittenTable

_Manifests: TypeAlias = list[TableManifest]  # since a method below is named `list`
_Unreadables: TypeAlias = list[Unreadable]
_Refs: TypeAlias = list[TableRef]
Remark = Callable[[str], None]
MayFollow = Callable[[TableManifest], None]


class TableStore:
    """Uploads, opens, lists and deletes tables under any `pyarrow.fs` address."""

    def __init__(self, where: str | Path | Place, clock: Clock | None = None) -> None:
        self._place = Place.of(where)
        self._clock = clock or SystemClock()
        self._published = Publications(self._place)
        self._versions = TableVersions(self._place)

    def upload(  # noqa: PLR0913 - keywords that mirror the command's options
        self,
        source: str | Path | BinaryIO,
        ref: str | TableRef,
        *,
        format: str | None = None,
        options: SourceOptions | None = None,
        owner: str = "",
        partition_rows: int = PARTITION_ROWS,
        progress: Progress | None = None,
        remark: Remark | None = None,
        may_follow: MayFollow | None = None,
    ) -> TableManifest:
        """Store a CSV, Parquet or Arrow file as the next version of a table; nothing is stored if any row is wrong.

        Args:
            source: A path, a `pyarrow.fs` URI, or an open binary file.
            ref: `namespace/name`.
            format: `csv`, `parquet` or `arrow`; by default from the file's suffix.
            options: How the file is to be read, and which columns play a role.
            owner: The user who owns the table.
            partition_rows: The most rows of one partition.
            progress: Called with bytes done and bytes in all (0 if unknown).
            remark: Called with each sentence that the user should hear of what was accepted all the same.
            may_follow: Called with the version that this one comes after, if there is one; what it raises refuses the
                upload. No other version comes in between.

        Raises:
            BadSource: The file cannot become a table; BadRow names file, line, column and text.
            BadReference: The name is not legal, names a version, or is a job's.
            StoreFull: The disk has no room for the table.
        """
        target = _free_to_write(ref)
        how = options or SourceOptions()
        with open_source(source, format, how) as opened:

            def start(schema: pa.Schema) -> TableWriter:
                plan = TablePlan(
                    schema=schema,
                    roles=how.roles,
                    owner=owner,
                    partition_rows=partition_rows,
                    finite=True,
                    row_name=opened.row_name,
                )
                return self._writer(target, plan, may_follow)

            try:
                return _read_into(opened, start, progress, remark or (lambda _: None))
            except StoreFull as full:
                needed = opened.position()[1]
                raise StoreFull(full.disk, f"table {target}", needed, self._place.room_left()) from full

    def writer(
        self, ref: str | TableRef, schema: pa.Schema, roles: TableRoles = NO_ROLES, *, owner: str = ""
    ) -> TableWriter:
        """A writer for the next version of a table. Raises BadReference, and as `TableRoles.check` does."""
        return self._writer(_free_to_write(ref), TablePlan(schema=schema, roles=roles, owner=owner))

    def open(self, ref: str | TableRef) -> Table:
        """A table, its newest version if none is named. Raises TableNotFound; Damaged if a job published another."""
        manifest = self.manifest(ref)
        self._published.check_table(manifest.ref, manifest.digest)
        return Table(self._place, table_folder(manifest.ref), manifest)

    def manifest(self, ref: str | TableRef) -> TableManifest:
        """What is known of a table. Raises TableNotFound."""
        return self._versions.read(self.resolve(ref))

    def history(self, ref: str | TableRef) -> _Manifests:
        """Every version that a table has or had and that can be read, deleted ones too, oldest first."""
        return self._versions.history(TableRef.parse(ref))

    def last(self, ref: str | TableRef) -> TableManifest:
        """What is known of a table, or was before it was deleted, by its newest version that can be read.

        Raises:
            TableNotFound: It never was.
            Damaged, SchemaVersionUnknown: No version of it can be read.
        """
        wanted = TableRef.parse(ref)
        every = self._versions.known(wanted, deleted=True)
        problem: PlatformError = TableNotFound(f"There never was a table '{wanted}' here.")
        for number, known in reversed(every.items()):
            if wanted.version in (None, number):
                if isinstance(known, TableManifest):
                    return known
                problem = known
        raise problem

    def references(self, ref: str | TableRef) -> _Refs:
        """The one version that is named, or all that are there, readable or not. Raises TableNotFound."""
        wanted = TableRef.parse(ref)
        newest = self.resolve(wanted)
        return [newest] if wanted.version else [wanted.at(number) for number in self._versions.numbers(wanted)]

    def numbers(self, ref: TableRef) -> list[int]:
        """The versions of a table that are there, oldest first."""
        return self._versions.numbers(ref)

    def resolve(self, ref: str | TableRef) -> TableRef:
        """The reference with its version. Raises TableNotFound, which says what is there instead."""
        return self._versions.resolve(TableRef.parse(ref))

    def list(self) -> _Manifests:
        """Every version of every table that can be read, by name and version."""
        return self.listing()[0]

    def listing(self) -> tuple[_Manifests, _Unreadables]:
        """Every version of every table, and what lies among them that cannot be read."""
        found: _Manifests = []
        damaged: _Unreadables = []
        for ref in self._versions.tables():
            for number, known in self._versions.known(ref).items():
                if isinstance(known, TableManifest):
                    found.append(known)
                else:
                    damaged.append(Unreadable(str(ref.at(number)), known.message))
        return found, damaged

    def versions(self, ref: str | TableRef) -> _Manifests:
        """Every version of one table, or the one that is named. Raises TableNotFound."""
        return [self._versions.read(exact) for exact in self.references(ref)]

    def head(self, ref: str | TableRef, n: int = 10) -> pa.Table:
        """The first `n` rows. Raises TableNotFound."""
        return self.open(ref).to_arrow().slice(0, max(0, n))

    def delete(self, ref: str | TableRef) -> _Refs:
        """Delete one version, or all of them if none is named; returns what was deleted. Raises TableNotFound."""
        return [self._delete(exact) for exact in self.references(ref)]

    def register(self, target: TableRef, written: WrittenTable, may_follow: MayFollow | None = None) -> TableManifest:
        """Make partitions that lie in the table's folder visible as its next version."""
        plan = written.plan
        manifest = TableManifest(
            name=target.table,
            version=1,
            columns=written.columns,
            rows=written.rows,
            digest=written.digest,
            partitions=written.partitions,
            roles=plan.roles,
            owner=plan.owner,
            created_at=self._clock.now(),
            origin=plan.origin,
        )
        return self.register_manifest(target, manifest, may_follow)

    def register_manifest(
        self, target: TableRef, manifest: TableManifest, may_follow: MayFollow | None = None
    ) -> TableManifest:
        """The manifest under the table's name and next free version; of several writers each gets its own.

        `may_follow` is asked about the newest version before it that can be read, deleted or not: what was set for a
        name outlives a deletion.
        """
        while True:
            version = max(self._versions.numbers(target, deleted=True), default=0) + 1
            if may_follow is not None:
                for newest in self._versions.history(target)[-1:]:
                    may_follow(newest)
            numbered = manifest.model_copy(update={"name": target.table, "version": version})
            if self._versions.create(target.at(version), numbered):
                write_stamps(self._place, table_folder(target), numbered)
                return numbered  # nobody else was first: what was looked at is still the newest

    def made_by(self, target: TableRef, origin: str) -> TableManifest | None:
        """The version of the table that an attempt's address made, if it is visible already."""
        for known in self._versions.known(target).values():
            if isinstance(known, TableManifest) and known.origin == origin:
                return known
        return None

    def adopt(self, target: TableRef, staged: str, manifest: TableManifest) -> TableManifest:
        """Make the table that lies in the folder `staged` visible as the next version of `target`."""
        with ExitStack() as locks:
            for name in self._place.folders(f"{staged}/data"):
                lock = self._lock(target, name)
                lock.take()
                locks.callback(lock.let_go)
                self._place.move(f"{staged}/data/{name}", f"{_data_folder(target)}/{name}")
            return self.register_manifest(target, manifest)

    def sweep(self, namespace: str) -> None:
        """Remove partitions that are no table's: whoever was about to register them was killed."""
        for name in self._place.folders(f"{ROOT}/{namespace}"):
            self._sweep(TableRef(namespace, name))

    def _writer(self, target: TableRef, plan: TablePlan, may_follow: MayFollow | None = None) -> TableWriter:
        self._sweep(target)
        name = str(ULID())
        lock = self._lock(target, name)
        data = f"{_data_folder(target)}/{name}"
        writer = TableWriter(
            self._place, data, plan, lambda written: self.register(target, written, may_follow), lock.let_go
        )
        lock.take()
        return writer

    def _lock(self, target: TableRef, name: str) -> WriterLock:
        """To be held while somebody writes or moves the partitions `name` of a table."""
        self._place.make_folder(_data_folder(target))
        return WriterLock(self._place.local(f"{_data_folder(target)}/{name}.lock"))

    def _delete(self, exact: TableRef) -> TableRef:
        try:
            partitions = self.manifest(exact).partitions
        except (Damaged, SchemaVersionUnknown):  # its rows are removed when nothing names them any more
            partitions = ()
        self._versions.retire(exact)
        self._place.remove(stamps_file(table_folder(exact), exact.version or 0))
        for folder in {partition.file.rpartition("/")[0] for partition in partitions}:
            self._place.remove(f"{table_folder(exact)}/{folder}")
        return exact

    def _sweep(self, target: TableRef) -> None:
        """Remove data without a manifest whose writer is gone. The lock is tried before the manifests are read."""
        folder = _data_folder(target)
        if self._place.local() is None:
            return
        ended = [name for name in self._place.folders(folder) if is_free(self._place.local(f"{folder}/{name}.lock"))]
        if not ended:
            return
        used = set[str]()
        for known in self._versions.known(target).values():
            if not isinstance(known, TableManifest):  # it may name any of them: all stay until it is deleted
                return
            used.update(partition.file.split("/")[1] for partition in known.partitions)
        for name in ended:
            if name not in used:
                self._place.remove(f"{folder}/{name}")
                self._place.remove(f"{folder}/{name}.lock")


def _read_into(
    opened: Reading, start: Callable[[pa.Schema], TableWriter], progress: Progress | None, remark: Remark
) -> TableManifest:
    """All rows of a source into a table; from the start again where a column proved wider than it first looked."""
    while True:
        schema = opened.schema()
        with start(schema) as writer, closing(opened.batches()) as batches:
            for batch in batches:
                writer.write(batch)
                if progress is not None:
                    progress(*opened.position())
            if opened.is_complete():
                manifest = writer.close()
                break
            writer.abandon()
    for sentence in [*opened.remarks(), *writer.remarks()]:
        remark(sentence)
    if progress is not None:
        total = opened.position()[1]
        progress(total, total)
    return manifest


def _free_to_write(ref: str | TableRef) -> TableRef:
    target = TableRef.parse(ref)
    if target.version is not None:
        raise BadReference(f"'{target}' names a version; versions are given by the store.", hint="Leave '@…' out.")
    if target.is_of_a_job:
        raise BadReference(f"'{target}': names that begin with '{JOB_NAMESPACE}' are for the outputs of jobs.")
    return target


def _data_folder(ref: TableRef) -> str:
    return f"{table_folder(ref)}/data"
