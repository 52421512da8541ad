"""What this party would say to a job as things are now: looks up what is known, decides. Nothing of it is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from cluster_manager.client import fit_now
from flow.errors import AskedTooOften
from flow.job.binding import BoundJob, BoundTask
from flow.job.references import OutputInput
from flow.job.spec import JobSpec
from flow.participant.checkpoint_retention import CheckpointRetention
from flow.participant.launch import resources_for
from flow.protocol.agreement import check_proposal, decide, outsider
from flow.protocol.knowledge import Knowledge, wanted
from flow.protocol.lineage import own_inputs
from flow.protocol.messages import Considered, Decision, Proposal
from flow.protocol.policy import ModelFacts, Stance, TableFacts
from flow.protocol.reasons import Decided
from flow.rooms.holdings import Holdings
from flow.rooms.ports import Rooms
from flow.store.catalogue import Catalogue
from flow.store.database import Database
from flow.store.proposal_limits import refuse_more
from node_manager.client import Resources
from party.settings import PolicySettings
from runtime.errors import PlatformError, Unavailable
from runtime.limits.allowance import Allowance
from runtime.log import get_logger

MOST_CONSIDERED = 20  # jobs of one party, in a period
PERIOD_S = 60.0


class Weighing:
    """Decides about jobs by the policy, tables, models, checkpoints and hosts of this party."""

    def __init__(
        self,
        stance: Stance,
        database: Database,
        catalogue: Catalogue,
        rooms: Rooms,
        held: Holdings,
        retention: CheckpointRetention,
    ) -> None:
        self._stance = stance
        self.party, self.policy = stance.party, stance.policy
        self._database = database
        self._catalogue = catalogue
        self._cluster = rooms.cluster
        self._held = held
        self._retention = retention
        self._asked = Allowance[str](MOST_CONSIDERED, PERIOD_S)
        self._log = get_logger("flow")

    def consider(self, proposal: Proposal, caller: str) -> Considered:
        """What we would answer another party if it proposed this; told no more of us than an answer tells.

        Raises:
            AskedTooOften: The caller asked as often as it may.
            NotInitiator, BadMessage, TooManyJobs, JobsTooLarge: As for a proposal.
        """
        if not self._asked.may(caller, "", self._database.clock.monotonic()):
            raise AskedTooOften(
                f"{caller} asked {self.party} about {MOST_CONSIDERED} jobs in a minute.", hint="Try again in a minute."
            )
        spec = self._catalogue.spec(proposal)
        check_proposal(proposal, caller, spec, self.party)
        with self._database.read() as connection:
            refuse_more(connection, caller)
        policy = self.policy()
        decided, tasks = self.outside(proposal, spec, policy), dict[str, BoundTask]()
        if decided is None:
            job = self._catalogue.bind(spec)
            decided, tasks = self.decided(proposal, job, policy), job.tasks
        decision = decided.answer.decision
        self._log.info("job.considered", caller=caller, name=spec.name, decision=str(decision))
        return Considered(answer=decided.answer, fits=self.fits(tasks) if decision is Decision.AGREE else {})

    def outside(self, proposal: Proposal, spec: JobSpec, policy: PolicySettings) -> Decided | None:
        """Our answer if we take no part in such a job whatever it does; asked before anything is worked out of it."""
        return outsider(proposal, spec, self.party, policy, self._stance.strangers(spec.parties))

    def decided(self, proposal: Proposal, job: BoundJob, policy: PolicySettings) -> Decided:
        """Our answer."""
        return decide(proposal, job, self.knowledge(job, policy))

    def knowledge(self, job: BoundJob, policy: PolicySettings) -> Knowledge:
        """Everything that the decision about a proposed job is made of."""
        if job.problems:
            return self.holdings(job.spec, {}, policy)
        checkpoints, room = self._retention.offered(job.spec, job.tasks), self.lacking_room(job.tasks)
        return replace(self.holdings(job.spec, job.tasks, policy), checkpoints=checkpoints, room=room)

    def holdings(
        self,
        spec: JobSpec,
        tasks: Mapping[str, BoundTask],
        policy: PolicySettings,
        exact: Mapping[str, str] | None = None,
    ) -> Knowledge:
        """What we know of our tables and models that tasks use; `exact` are the versions of tables agreed on."""
        tables, models = wanted(tasks, self.party)
        return Knowledge(
            party=self.party,
            policy=policy,
            now=self._database.clock.now(),
            tables={text: self._table((exact or {}).get(text, text)) for text in tables},
            models={text: self._model(text) for text in models},
            resumed=self._held.resumed(spec, tasks),
            strangers=self._stance.strangers(spec.parties),
        )

    def made(self, task: BoundTask, job: str) -> dict[str, TableFacts | PlatformError]:
        """The tables that a task about to start reads of tasks before it, by `task.output`."""
        return {
            str(reference): self._table(reference.table(job))
            for _, _, reference, is_table in own_inputs(task, self.party)
            if is_table and isinstance(reference, OutputInput) and reference.job is None
        }

    def lacking_room(self, tasks: Mapping[str, BoundTask]) -> dict[str, str]:
        """Why our hosts can never bear a task, for each such task; a Cluster Manager that is away rules out nothing."""
        reasons: dict[str, str] = {}
        asked: dict[tuple[Resources, ...], str] = {(): ""}
        for name, task in tasks.items():
            sizes = self._sizes(task)
            try:
                if sizes not in asked:
                    asked[sizes] = self._cluster.could_fit(sizes)
            except Unavailable:
                return {}
            if asked[sizes]:
                reasons[name] = asked[sizes]
        return reasons

    def fits(self, tasks: Mapping[str, BoundTask]) -> dict[str, bool]:
        """Whether our hosts have room now for our sides of each task that has any, if it ran alone beside what runs."""
        try:
            nodes = self._cluster.nodes()
        except Unavailable:
            return {}
        sizes = {name: self._sizes(task) for name, task in tasks.items()}
        return {name: fit_now(wanted, nodes) for name, wanted in sizes.items() if wanted}

    def _sizes(self, task: BoundTask) -> tuple[Resources, ...]:
        return tuple(resources_for(task, address) for address in task.addresses if address.party == self.party)

    def _table(self, text: str) -> TableFacts | PlatformError:
        try:
            return self._held.table(text)
        except PlatformError as error:
            if error.retry:
                raise
            return error

    def _model(self, reference: str) -> ModelFacts | PlatformError:
        try:
            return self._held.model(reference)
        except PlatformError as error:
            if error.retry:
                raise
            return error
