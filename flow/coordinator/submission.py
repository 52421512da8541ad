"""Takes jobs from people: every rule that this party can check is checked before anything is stored."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from sqlalchemy import select

from flow.errors import DataNotYours, JobInvalid, Problem, SourcesUnknown, TokenReused, UnknownSchema
from flow.job.binding import BoundJob, BoundTask
from flow.job.references import OutputInput, TableInput
from flow.job.spec import JobSpec, parse_job
from flow.job.states import ENDED_JOB, JobState
from flow.participant.weighing import Weighing
from flow.protocol.knowledge import earlier_name, wanted
from flow.protocol.lineage import own_inputs
from flow.protocol.manifest import OUR_API, job_seed
from flow.protocol.messages import Decision, Proposal
from flow.protocol.policy import ModelFacts, Source, TableFacts, withheld
from flow.protocol.reasons import Decided
from flow.rooms.holdings import Holdings
from flow.store.catalogue import Catalogue, Known
from flow.store.database import Database
from flow.store.participations import insert_job
from flow.store.tables import job
from flow.store.writer import Writer
from party.ids import JobId, new_job_id
from party.users import User
from runtime.clock import now_ms
from runtime.errors import NotFound, PlatformError
from runtime.suggestions import did_you_mean

SEED_BYTES = 32
MAX_TOKEN_CHARS = 200


@dataclass(frozen=True)
class Verdict:
    """What becomes of a job at this party.

    Attributes:
        decision: What this party answers.
        problems: Why it refuses.
        others: The other parties of a job that is not refused here before they are asked; each decides for itself.
    """

    decision: Decision
    problems: tuple[Problem, ...] = ()
    others: tuple[str, ...] = ()


@dataclass(frozen=True)
class Draft:
    """A job in which this party itself has found nothing wrong, and what it would answer; it is not stored."""

    spec: JobSpec
    tasks: Mapping[str, BoundTask]
    proposal: Proposal
    decided: Decided


class Submissions:
    """Validates and stores jobs that this party leads."""

    def __init__(
        self,
        party: str,
        database: Database,
        catalogue: Catalogue,
        held: Holdings,
        parties: Callable[[], Iterable[str]],
        lapsed: Callable[[], Mapping[str, PlatformError]],
        weighing: Weighing,
    ) -> None:  # fmt: skip
        self._party = party
        self._database = database
        self._catalogue = catalogue
        self._held = held
        self._parties = parties
        self._lapsed = lapsed
        self._weighing = weighing

    def validate(self, spec_json: bytes, user: User) -> Verdict:
        """What becomes of a job at this party: what `submit` says of it, then what our own side would answer to it."""
        try:
            draft = self.draft(spec_json, user)
        except JobInvalid as error:
            return Verdict(Decision.REFUSE, tuple(error.problems))
        others = tuple(party for party in draft.spec.parties if party != self._party)
        return Verdict(draft.decided.answer.decision, tuple(draft.decided.problems), others)

    def draft(self, spec_json: bytes, user: User) -> Draft:
        """A job as it would be submitted. Raises JobInvalid, with every problem that this party sees."""
        try:
            spec = parse_job(spec_json)
            tasks = self._checked(spec)
        except UnknownSchema as error:
            told = Problem(path="schema", message=error.message.removeprefix("schema: "), hint=error.hint)
            raise JobInvalid([told]) from None
        if problems := tuple(self._of_others(spec, tasks, user)):
            raise JobInvalid(problems)
        proposal, job = self._proposal(spec, tasks, user), BoundJob(spec, tasks, [])
        return Draft(spec, tasks, proposal, self._weighing.decided(proposal, job, self._weighing.policy()))

    def submit(self, spec_json: bytes, user: User, submit_token: str | None) -> tuple[JobId, bool]:
        """Store a job; its id and whether it is new.

        Raises JobInvalid, UnknownSchema, TokenReused, DataNotYours, DiskFull.
        """
        if submit_token is not None and not 0 < len(submit_token) <= MAX_TOKEN_CHARS:
            raise JobInvalid([Problem(path="", message=f"a submit token has 1 to {MAX_TOKEN_CHARS} characters.")])
        spec = parse_job(spec_json)
        tasks = self._checked(spec)
        for problem in self._of_others(spec, tasks, user):
            raise DataNotYours(f"{problem.path}: {problem.message}", hint=problem.hint)
        proposal = self._proposal(spec, tasks, user)
        with self._database.write() as writer:
            if submit_token is not None and (known := _by_token(writer, submit_token, proposal)):
                return known, False
            self._database.require_room()
            writer.begin(proposal.job)
            insert_job(writer, proposal, {party: {} for party in spec.parties}, submit_token)
            writer.after_commit(lambda: self._catalogue.keep(Known(proposal, spec, tasks)))
        return JobId(proposal.job), True

    def _proposal(self, spec: JobSpec, tasks: Mapping[str, BoundTask], user: User) -> Proposal:
        return Proposal(
            job=new_job_id(),
            initiator=self._party,
            user=user.name,
            spec=spec.document(),
            spec_digest=spec.digest(),
            seed=secrets.token_hex(SEED_BYTES) if spec.settings.seed is None else job_seed(spec.settings.seed),
            code={task.component.reference: task.component.code_digest for task in tasks.values()},
            api=OUR_API,
            submitted_ms=now_ms(self._database.clock),
        )

    def _checked(self, spec: JobSpec) -> dict[str, BoundTask]:
        problems = [*self._who(spec), *self._earlier(spec.settings.resume)]
        _, tasks, more = self._catalogue.bind(spec)
        problems += more
        if not more:
            problems += self._own_inputs(tasks)
            problems += [
                Problem(path=f"tasks.{name}.resources", message=f"{why} at {self._party}.", hint="Ask for less.")
                for name, why in self._weighing.lacking_room(tasks).items()
            ]
        if problems:
            raise JobInvalid(problems)
        return tasks

    def _who(self, spec: JobSpec) -> list[Problem]:
        problems = []
        if spec.initiator != self._party:
            message = f"this party is '{self._party}'; a job is submitted at its initiator, here '{spec.initiator}'."
            hint = f'Submit it there, or write "initiator": "{self._party}".'
            problems.append(Problem(path="initiator", message=message, hint=hint))
        known = {self._party, *self._parties()}
        lapsed = self._lapsed()
        for role, parties in spec.roles.items():
            for party in parties:
                if party in lapsed:
                    why = lapsed[party]
                    problems.append(Problem(path=f"roles.{role}", message=why.message, hint=why.hint))
                elif party not in known:
                    message = f"'{party}' is not a party that we trust."
                    hint = f"{did_you_mean(party, known)} A new party is added with `flow party trust CARD`."
                    problems.append(Problem(path=f"roles.{role}", message=message, hint=hint))
        return problems

    def _earlier(self, job_id: str | None) -> Iterator[Problem]:
        """What keeps a job from going on from another one."""
        if job_id is None:
            return
        earlier = self._database.rows(job_id).job
        state = earlier.state if earlier is not None else None
        path = "settings.resume"
        if state is None:
            hint = "`flow job list` shows the jobs of this party."
            yield Problem(path=path, message=f"there is no job '{job_id}' here.", hint=hint)
        elif state not in ENDED_JOB:
            hint = "`flow job stop` ends it."
            yield Problem(path=path, message=f"job {job_id} has not ended; it is {state}.", hint=hint)
        elif state not in (JobState.FAILED, JobState.CANCELLED):
            hint = "A job goes on from one that failed or was stopped; job:ID/task.output is an input by name."
            yield Problem(path=path, message=f"job {job_id} is {state}: there is nothing to go on from.", hint=hint)

    def _own_inputs(self, tasks: dict[str, BoundTask]) -> list[Problem]:
        """Our own tables and earlier models that are not there, or of which nobody knows what they were made of.

        Other parties look at theirs when they are asked.
        """
        missing: dict[str, PlatformError] = {}
        tables, models = wanted(tasks, self._party)
        for text, look in [*((t, self._held.table) for t in tables), *((m, self._held.model) for m in models)]:
            try:
                look(text)
            except (NotFound, SourcesUnknown) as error:
                missing[text] = error
        problems: list[Problem] = []
        for task in tasks.values():
            for address, side in task.sides.items():
                for name, reference in side.inputs.items() if address.party == self._party else ():
                    gone = next((missing[t] for t in _texts(reference) if t in missing), None)
                    if gone is not None:
                        path = f"tasks.{task.name}.inputs.{name}"
                        problems.append(Problem(path=path, message=gone.message, hint=gone.hint))
        return list(dict.fromkeys(problems))

    def _of_others(self, spec: JobSpec, tasks: dict[str, BoundTask], user: User) -> Iterator[Problem]:
        """What the job would read here that belongs to another user: it would give its rows to this one."""
        for task in tasks.values():
            for _, name, reference, is_table in own_inputs(task, self._party):
                if isinstance(reference, OutputInput) and reference.job is None:
                    continue  # made by this job
                facts = self._facts(earlier_name(reference, is_table=is_table), is_table=is_table)
                if of := withheld(user.name, (facts.source, *facts.made_of)):
                    yield _not_yours(f"tasks.{task.name}.inputs.{name}", facts.reference, of)
        for sources in (self._held.resumed_jobs(spec), *self._held.resumed(spec, tasks).values()):
            if isinstance(sources, PlatformError):
                yield Problem(path="settings.resume", message=sources.message, hint=sources.hint)
            elif of := withheld(user.name, sources):
                yield _not_yours("settings.resume", str(spec.settings.resume), of)

    def _facts(self, text: str, *, is_table: bool) -> TableFacts | ModelFacts:
        return self._held.table(text) if is_table else self._held.model(text)


def _not_yours(path: str, what: str, of: Source) -> Problem:
    """`of` belongs to another user: what the job names itself, or what that was made of."""
    made = "" if of.reference == what else f"{what} was made of data that is not yours: "
    whose = f"{made}{_kind(of.reference)} {of.reference}"
    kind = _kind(of.reference)
    lets = {"table": "data policy", "model": "model policy"}.get(kind)
    name = of.reference.partition("@")[0]
    hint = f"Ask {of.owner} to submit the job" + (
        f", or to let you: 'flow {lets} {name} --users NAME'." if lets else "."
    )
    return Problem(path=path, message=f"{whose} belongs to {of.owner}.", hint=hint)


def _kind(reference: str) -> str:
    """What a name is of: `namespace/name@version`, `job/task.output` or a job's id."""
    if "@" in reference:
        return "table"
    return "model" if "/" in reference else "job"


def _texts(reference: TableInput | OutputInput) -> tuple[str, ...]:
    if isinstance(reference, TableInput):
        return (reference.name,)
    if reference.job is None:
        return ()
    return (reference.table(reference.job), reference.model(reference.job))


def _by_token(writer: Writer, submit_token: str, proposal: Proposal) -> JobId | None:
    """The job that its user submitted with the token. Raises TokenReused if it is another one, or another user's."""
    columns = (job.c.id, job.c.spec_digest, job.c.user_name)
    row = writer.run(select(*columns).where(job.c.submit_token == submit_token)).first()
    if row is None:
        return None
    if row.user_name != proposal.user:
        raise TokenReused(
            f"The submit token '{submit_token[:40]}' is another user's.", hint="Use a token of your own for your job."
        )
    if row.spec_digest != proposal.spec_digest:
        raise TokenReused(
            f"The submit token '{submit_token[:40]}' belongs to job {row.id}, which is another job.",
            hint="Use a new token for a new job.",
        )
    return JobId(row.id)
