"""What this party holds: its tables and models with whom they belong to, by its store and its own record of jobs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from sqlalchemy import select

from flow.coordinator.facts import Catalogue
from flow.doors import StoreDoor
from flow.errors import JobInvalid, UnreadableJob
from flow.job_spec import JobSpec
from flow.policy import NO_USER, ModelFacts, TableFacts
from flow.store.database import Database
from flow.store.parts import earlier_parts, find_part, proposal_of
from flow.store.tables import job
from storage.client import OutputRef, TableRef


class Holdings:
    """Looks up tables and models. What a job made belongs to who submitted it here; of another party's, to nobody."""

    def __init__(self, party: str, database: Database, catalogue: Catalogue, store: StoreDoor) -> None:
        self._party = party
        self._database = database
        self._catalogue = catalogue
        self._store = store

    def table(self, text: str) -> TableFacts:
        """What is known of a table. Raises TableNotFound."""
        facts = self._store.table(text)
        made_by = TableRef.parse(facts.reference).job
        return facts if made_by is None else replace(facts, owner=self.owner_of_outputs(made_by))

    def model(self, reference: str) -> ModelFacts:
        """What is known of a model. Raises ModelNotFound unless this party holds a part of it."""
        facts = self._store.model(reference)
        ref = OutputRef.parse(reference)
        return replace(facts, holders=self._holders(ref), owner=self.owner_of_outputs(ref.job))

    def owner_of_outputs(self, name: str) -> str:
        """Whose it is what a job made: nobody's if another party submitted it, `NO_USER` if the job is not known."""
        with self._database.read() as connection:
            row = connection.execute(select(job.c.initiator, job.c.user_name).where(job.c.id == name)).first()
        if row is None:
            return NO_USER
        return str(row.user_name) if row.initiator == self._party else ""

    def resumed(self, spec: JobSpec) -> Iterator[tuple[str, str]]:
        """Each job from whose checkpoints a job would go on, and whose they are."""
        with self._database.read() as connection:
            earlier = [str(row.job) for row in earlier_parts(connection, spec)]
        for name in earlier:
            yield name, self.owner_of_outputs(name)

    def _holders(self, ref: OutputRef) -> frozenset[str]:
        """The parties that got a part of an output, by our own record of the job; nobody if we have none."""
        with self._database.read() as connection:
            row = find_part(connection, ref.job)
        if row is None:
            return frozenset()
        try:
            tasks = self._catalogue.of_proposal(proposal_of(row)).tasks
        except (JobInvalid, UnreadableJob):  # its components, or its form, are gone from this release
            return frozenset()
        sides = tasks[ref.task].sides if ref.task in tasks else {}
        return frozenset(address.party for address, side in sides.items() if ref.output in side.outputs)
