"""The party's store as Flow looks at it: tables and models for agreement, staged outputs for publishing."""

from __future__ import annotations

from collections.abc import Mapping

from flow.protocol.messages import PublishedOutput
from flow.protocol.policy import ModelFacts, Source, TableFacts, inherited
from party.ids import Address, AttemptId
from storage.client import ModelNotFound, OutputKind, Store

_STORED = frozenset(map(str, OutputKind))  # metrics are events


class PartyStore:
    """A thin cover of `storage.client.Store`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.job_files = store.job_files
        self._checkpoints = store.checkpoints()  # counted and deleted, which needs no key

    def table(self, text: str) -> TableFacts:
        """What is known of a table. Raises TableNotFound."""
        manifest = self._store.tables.manifest(text)
        use = self._store.use.of_table(text)
        return TableFacts(manifest.reference, manifest.rows, use, manifest.owner, roles=manifest.roles)

    def source(self, reference: str, *, is_table: bool) -> Source:
        """The rules that follow what was made of a table or model, even one that is deleted. Raises TableNotFound."""
        if is_table:
            manifest = self._store.tables.last(reference)
            return Source(manifest.reference, self._store.use.of_table(manifest.ref), manifest.owner)
        try:
            return Source(reference, inherited(self._store.use.of_model(reference)))
        except ModelNotFound:  # it is deleted, and no policy of its own was set
            return Source(reference)

    def model(self, reference: str) -> ModelFacts:
        """What is known of a model. Raises ModelNotFound unless this party holds a part of it."""
        kind = self._store.models.info(reference).kind
        return ModelFacts(reference, use=self._store.use.of_model(reference), kind=kind)

    def publish(self, attempt_id: AttemptId, declared: Mapping[str, Mapping[str, str]]) -> list[PublishedOutput]:
        """Make an attempt's outputs visible; doing it again gives the same. Raises UndeclaredOutput, OutputRefused."""
        wanted = {
            address: {output: OutputKind(kind) for output, kind in kinds.items() if kind in _STORED}
            for address, kinds in declared.items()
        }
        found = self._store.staging.publish(attempt_id.job, attempt_id.task, attempt_id.attempt, wanted)
        return [
            PublishedOutput(address=p.address, name=p.output, kind=str(p.kind), reference=p.reference, digest=p.digest)
            for p in found
        ]

    def discard(self, attempt_id: AttemptId) -> None:
        """Drop what an attempt staged."""
        self._store.staging.discard(attempt_id.job, attempt_id.task, attempt_id.attempt)

    def forget(self, job: str) -> None:
        """Drop what a job needs no more: what is staged, checkpoints and journals."""
        self._store.staging.discard(job)
        self._checkpoints.delete(job)

    def keep_checkpoints(self, job: str) -> None:
        """Drop the same, but for the checkpoints."""
        self._store.staging.discard(job)
        self._checkpoints.delete_journals(job)

    def checkpointed(self) -> list[str]:
        """The jobs of which checkpoints are kept."""
        return self._checkpoints.jobs()

    def held(self, job: str, task: str, address: Address) -> dict[int, list[int]]:
        """The steps for which an address has a checkpoint, by attempt."""
        return self._checkpoints.held(job, task, address)
