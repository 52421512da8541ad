"""What this party holds: tables, models and checkpoints, what they were made of, and whose they are.

The store says what there is. What a job made, and of what, is told by our own record of it: the proposal and our signed
answer. What is made of a table or model, by however many steps, is held to the rules of all that it was made of, as
they are now, even where that is deleted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from flow.errors import InUse, JobInvalid, SourcesUnknown, UnreadableJob
from flow.job.binding import BoundTask
from flow.job.spec import JobSpec
from flow.job.states import AttemptState
from flow.protocol.lineage import AgreedTables, Node, read_by
from flow.protocol.policy import NO_USER, ModelFacts, Source, TableFacts
from flow.rooms.ports import StorePort
from flow.store.catalogue import Catalogue
from flow.store.database import Database
from flow.store.participations import answer_of, live_jobs
from flow.store.tables import attempt
from party.ids import Address
from runtime.errors import NotFound
from storage.client import OutputRef


@dataclass(frozen=True)
class _Recorded:
    """A job that this party took part in."""

    job_id: str
    spec: JobSpec
    tasks: Mapping[str, BoundTask]
    agreed: AgreedTables


class Holdings:
    """Looks up what this party holds."""

    def __init__(self, party: str, database: Database, catalogue: Catalogue, store: StorePort) -> None:
        self._party = party
        self._database = database
        self._catalogue = catalogue
        self._store = store

    def table(self, text: str) -> TableFacts:
        """What is known of a table. Raises TableNotFound; SourcesUnknown if nobody can say what it was made of."""
        facts = self._store.table(text)
        node = Node(facts.reference, is_table=True)
        return facts if node.job is None else replace(facts, owner=self._maker(node), made_of=self.made_of([node]))

    def model(self, reference: str) -> ModelFacts:
        """What is known of a model. Raises ModelNotFound unless this party holds a part of it; SourcesUnknown."""
        facts = self._store.model(reference)
        node = Node(reference, is_table=False)
        holders = self._holders(OutputRef.parse(reference))
        return replace(facts, holders=holders, owner=self._maker(node), made_of=self.made_of([node]))

    def unchanged(self, job_id: str, tasks: Iterable[str]) -> list[str]:
        """Those of a job's tasks for which every table of ours that they read is still the newest of its name."""
        known = self._recorded(job_id)
        return [] if known is None else [task for task in tasks if self._is_unchanged(known, task)]

    def refuse_needed(self, references: Iterable[str], *, is_table: bool) -> None:
        """Raise InUse, naming the job, if one that is not over reads one of these still, by exact reference."""
        wanted = {name: reference for reference in references for name in (reference, reference.partition("@")[0])}
        with self._database.read() as connection:
            names = live_jobs(connection)
        for job_id in names:
            for node in self._still_reads(job_id):
                if node.is_table == is_table and node.reference in wanted:
                    what = f"{'Table' if is_table else 'Model'} {wanted[node.reference]}"
                    raise InUse(
                        f"{what} is needed by job {job_id}, which is not over.",
                        hint=f"Delete it afterwards; 'flow job show {job_id}' tells how far the job is.",
                    )

    def made_of(self, nodes: Iterable[Node]) -> tuple[Source, ...]:
        """All that tables and models were made of here, by however many steps. Raises SourcesUnknown."""
        return self._sources([before for node in nodes for before in self._before(node)])

    def resumed(self, spec: JobSpec, tasks: Iterable[str]) -> dict[str, tuple[Source, ...] | SourcesUnknown]:
        """For each task that may go on from checkpoints of ours: what they were made of, or that nobody knows."""
        found: dict[str, tuple[Source, ...] | SourcesUnknown] = {}
        earlier = self._earlier(spec)
        for task in tasks:
            read = [node for one in earlier for node in self._read_by(one, task)]
            try:
                found[task] = self._sources(read)
            except SourcesUnknown as error:
                found[task] = error
        return found

    def resumed_jobs(self, spec: JobSpec) -> list[Source]:
        """The jobs from whose checkpoints a job would go on, each as something that belongs to who submitted it."""
        names = [rows.job_id for rows in self._catalogue.earlier(self._database.rows, spec)]
        return [Source(name, owner=self._submitter(name)) for name in names]

    def owner_of_outputs(self, job_id: str) -> str:
        """Whose it is what a job made here: who submitted it; of another party's job, who owns what it read of ours.

        Empty: nobody's. `NO_USER` if it is of several users, or if the job is not known.
        """
        if user := self._submitter(job_id):
            return user
        known = self._recorded(job_id)
        if known is None:
            return NO_USER
        try:
            read = [node for task in known.tasks for node in self._reads(known, task)]
            owners = {source.owner for source in self._sources(read)} - {""}
        except SourcesUnknown:
            return NO_USER
        return NO_USER if len(owners) > 1 else next(iter(owners), "")

    def _still_reads(self, job_id: str) -> set[Node]:
        """What those tasks of a job read that have not succeeded."""
        known = self._recorded(job_id)
        if known is None:
            return set()
        tries = self._database.rows(job_id).of(attempt)
        done = {row.task for row in tries if row.state == AttemptState.SUCCEEDED}
        return {node for task in known.tasks if task not in done for node in self._read_by(known, task)}

    def _is_unchanged(self, known: _Recorded, task: str) -> bool:
        for address, brought in known.agreed.get(task, {}).items():
            inputs = known.tasks[task].sides[Address.parse(address)].inputs
            read = {str(inputs[name]): table.reference for name, table in brought.items()}
            if any(self._newest(text) != exact for text, exact in read.items() if not text.startswith("job:")):
                return False
        return True

    def _newest(self, text: str) -> str:
        """The exact version that a table's name stands for now; empty if there is none."""
        try:
            return self._store.table(text).reference
        except NotFound:
            return ""

    # -- our record of jobs ------------------------------------------------------------------------------------------
    def _maker(self, node: Node) -> str:
        return self._submitter(node.job or "")

    def _submitter(self, job_id: str) -> str:
        """Who submitted the job: nobody of ours if another party did, `NO_USER` if the job is not known."""
        row = self._database.rows(job_id).job
        if row is None:
            return NO_USER
        return str(row.user_name) if row.initiator == self._party else ""

    def _sources(self, first: list[Node]) -> tuple[Source, ...]:
        """These, and all that they were made of."""
        found: dict[Node, Source] = {}
        left = list(first)
        while left:
            node = left.pop()
            if node not in found:
                found[node] = self._source(node)
                left += self._before(node)
        return tuple(found[node] for node in sorted(found))

    def _source(self, node: Node) -> Source:
        try:
            source = self._store.source(node.reference, is_table=node.is_table)
        except NotFound as error:
            raise SourcesUnknown(f"{error.message} Something was made of it.", hint="Make that again.") from None
        return source if node.job is None else replace(source, owner=self._submitter(node.job))

    def _before(self, node: Node) -> list[Node]:
        """What the task read that made it; nothing of what a person brought."""
        if node.job is None:
            return []
        known = self._recorded(node.job)
        if known is None:
            raise SourcesUnknown(
                f"What {node.reference} was made of is not known here any more.", hint="Make it again."
            )
        return [read for task in known.tasks if node.may_be_of(task) for read in self._reads(known, task)]

    def _reads(self, known: _Recorded, task: str) -> list[Node]:
        """What a task read, and what the checkpoints were made of that it may have gone on from."""
        return [node for one in (known, *self._earlier(known.spec)) for node in self._read_by(one, task)]

    def _read_by(self, known: _Recorded, task: str) -> set[Node]:
        return read_by(known.tasks[task], self._party, known.job_id, known.agreed) if task in known.tasks else set()

    def _earlier(self, spec: JobSpec) -> list[_Recorded]:
        """The jobs that a job goes on from."""
        names = [rows.job_id for rows in self._catalogue.earlier(self._database.rows, spec)]
        return [known for name in names if (known := self._recorded(name)) is not None]

    def _recorded(self, job_id: str) -> _Recorded | None:
        """A job that we have a part in; None if its components, or its form, are gone from this release."""
        rows = self._database.rows(job_id)
        if rows.part is None:
            return None
        try:
            known, agreed = self._catalogue.of_job(rows), answer_of(rows).answer.tables
        except (JobInvalid, UnreadableJob):
            return None
        return _Recorded(job_id, known.spec, known.tasks, agreed)

    def _holders(self, ref: OutputRef) -> frozenset[str]:
        """The parties that got a part of an output, by our own record of the job; nobody if we have none."""
        known = self._recorded(ref.job)
        sides = known.tasks[ref.task].sides if known is not None and ref.task in known.tasks else {}
        return frozenset(address.party for address, side in sides.items() if ref.output in side.outputs)
