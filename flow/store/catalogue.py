"""What never changes about a job, worked out once: its document read, its tasks joined with their components."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from threading import Lock

from flow.errors import JobInvalid, UnreadableJob
from flow.job.binding import BoundJob, BoundTask, Components, bind
from flow.job.row_counts import unknown_rows
from flow.job.spec import JobSpec, proposed_job
from flow.protocol.manifest import settled
from flow.protocol.messages import Manifest, Proposal
from flow.store.job_cache import JobRows
from flow.store.participations import manifest_of, proposal_of
from party.settings import MIDDLE_PRIORITY

KEPT = 256
KEPT_SIDES = 50_000  # of all that are kept


@dataclass(frozen=True)
class Known:
    """A job: what was proposed, its document, its tasks joined with their components, its manifest if agreed on.

    With a manifest, the tasks are settled by that.
    """

    proposal: Proposal
    spec: JobSpec
    tasks: dict[str, BoundTask]
    manifest: Manifest | None = None

    @property
    def sides(self) -> int:
        """How much it is to keep."""
        return sum(len(task.sides) for task in self.tasks.values())


class Catalogue:
    """Jobs by their ids. Used by the initiator and by participants, from several threads."""

    def __init__(self, components: Components) -> None:
        self._components = components
        self._known: OrderedDict[str, Known] = OrderedDict()
        self._sides = 0
        self._lock = Lock()

    def priority(self, job_id: str) -> int:
        """How urgent a job is, if we know it well; the middle otherwise."""
        with self._lock:
            known = self._known.get(job_id)
        return known.spec.settings.priority if known else MIDDLE_PRIORITY

    def spec(self, proposal: Proposal) -> JobSpec:
        """The document in a proposal. Raises BadMessage."""
        known = self._find(proposal)
        return known.spec if known is not None else proposed_job(proposal.spec)

    def spec_of(self, rows: JobRows) -> JobSpec:
        """The document of a job of our store. Raises UnknownJob, UnreadableJob."""
        with self._lock:
            known = self._known.get(rows.job_id)
        return known.spec if known is not None and rows.job is not None else proposed_job(proposal_of(rows).spec)

    def bind(self, spec: JobSpec) -> BoundJob:
        """A document joined with its components, not kept."""
        tasks, problems = bind(spec, self._components)
        return BoundJob(spec, tasks, problems or unknown_rows(tasks))

    def bound(self, proposal: Proposal, spec: JobSpec) -> BoundJob:
        """A proposed job joined with its components; one without problems is kept, so that it is done once."""
        known = self._find(proposal)
        if known is not None:
            return BoundJob(known.spec, known.tasks, [])
        job = self.bind(spec)
        if not job.problems:
            self.keep(Known(proposal, spec, job.tasks))
        return job

    def of_job(self, rows: JobRows) -> Known:
        """A job of our store. Raises UnknownJob, UnreadableJob; JobInvalid if our components do not fit it."""
        with self._lock:
            if rows.job is not None and rows.job_id in self._known:
                self._known.move_to_end(rows.job_id)
                return self._known[rows.job_id]
        proposal = proposal_of(rows)
        job = self.bound(proposal, proposed_job(proposal.spec))
        if job.problems:
            raise JobInvalid(job.problems)
        return Known(proposal, job.spec, job.tasks)

    def proposal(self, rows: JobRows) -> Proposal:
        """What was proposed of a job of our store. Raises UnknownJob, UnreadableJob."""
        with self._lock:
            known = self._known.get(rows.job_id)
        return known.proposal if known is not None and rows.job is not None else proposal_of(rows)

    def manifest(self, rows: JobRows) -> Manifest:
        """The manifest of a job of our store. Raises what `agreed` raises."""
        return self.agreed(rows)[0]

    def agreed(self, rows: JobRows) -> tuple[Manifest, dict[str, BoundTask]]:
        """The manifest of a job of our store, and its tasks settled by that.

        Raises UnknownJob if it was not agreed on, ManifestMismatch if parties bring what does not go together, and what
        `of_job` raises.
        """
        known = self.of_job(rows)
        if known.manifest is not None and known.manifest.digest == rows.job.manifest_digest:
            return known.manifest, known.tasks
        manifest = manifest_of(rows, known.proposal)
        tasks = settled(manifest, known.tasks)
        self.keep(replace(known, manifest=manifest, tasks=tasks))
        return manifest, tasks

    def earlier(self, look: Callable[[str], JobRows], spec: JobSpec) -> list[JobRows]:
        """The jobs that a job goes on from in which we have a part, newest first, as far back as its initiator was in.

        `look` finds what is stored of a job.
        """
        found: list[JobRows] = []
        job_id = spec.settings.resume
        while job_id is not None and (rows := look(job_id)).part is not None:
            try:
                before = self.spec_of(rows)
            except UnreadableJob:
                break
            if spec.initiator not in before.parties:
                break
            found.append(rows)
            job_id = before.settings.resume
            job_id = (
                job_id if job_id is not None and job_id < rows.job_id else None
            )  # ids sort by time: a made-up circle ends
        return found

    def keep(self, known: Known) -> None:
        """Have it ready."""
        self.forget(known.proposal.job)
        with self._lock:
            self._known[known.proposal.job] = known
            self._sides += known.sides
            while len(self._known) > 1 and (len(self._known) > KEPT or self._sides > KEPT_SIDES):
                self._sides -= self._known.popitem(last=False)[1].sides

    def forget(self, job_id: str) -> None:
        """A job that nothing comes of."""
        with self._lock:
            known = self._known.pop(job_id, None)
            self._sides -= known.sides if known else 0

    def _find(self, proposal: Proposal) -> Known | None:
        with self._lock:
            known = self._known.get(proposal.job)
            if known is None or known.proposal != proposal:
                return None
            self._known.move_to_end(proposal.job)
            return known
