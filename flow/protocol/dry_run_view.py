"""What a dry run shows, from what the parties would answer. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from flow.errors import ManifestMismatch, UnknownMethod
from flow.job.binding import BoundTask
from flow.job.spec import JobSpec
from flow.protocol.agreement import warnings
from flow.protocol.manifest import answered
from flow.protocol.messages import Considered, Decision
from flow.protocol.proposal_view import conversation, first, learned
from flow.views.dry_run import DryRunView, WouldAnswer, WouldRun
from flow.views.estimate import Took, estimates, whole_seconds
from flow.views.jobs import UNKNOWN
from runtime.errors import PlatformError


@dataclass(frozen=True)
class Heard:
    """What came of asking one party: what it would answer, or why that is not known.

    `own` are the reasons of our own party, as its own people may read them.
    """

    said: Considered | PlatformError
    own: tuple[str, ...] = ()


def dry_run_view(
    spec: JobSpec, tasks: Mapping[str, BoundTask], heard: Mapping[str, Heard], party: str, took: Iterable[Took]
) -> DryRunView:
    """Everything that people are shown. `party` is ours."""
    known, unfit = _joined(tasks, heard)
    cut = list[str]()
    each = estimates(known.values(), took)
    view = DryRunView(
        name=spec.name,
        parties=tuple(_answer(spec, name, heard[name]) for name in spec.parties),
        runs=first("executors", cut, _runs(known, heard)),
        conversation=first("messages", cut, (line for task in known.values() for line in conversation(task, party))),
        learns=first("who learns what", cut, (item for task in known.values() for item in learned(task))),
        estimates=first("estimates", cut, iter(each)),
        seconds=whole_seconds(known, each),
    )
    shortened = (f"Only the first are shown of: {what}." for what in cut)
    return view.model_copy(update={"warnings": (*unfit, *shortened, *warnings(known))})


def _joined(
    tasks: Mapping[str, BoundTask], heard: Mapping[str, Heard]
) -> tuple[Mapping[str, BoundTask], tuple[str, ...]]:
    """The tasks with what the parties would bring, once all would agree; and why that does not go together."""
    said = [one.said for one in heard.values() if isinstance(one.said, Considered)]
    answers = [each.answer for each in said if each.answer.decision is Decision.AGREE]
    if len(answers) < len(heard):
        return tasks, ()
    try:
        return answered(answers, tasks), ()
    except ManifestMismatch as error:
        return tasks, (error.message,)


def _answer(spec: JobSpec, party: str, heard: Heard) -> WouldAnswer:
    roles = tuple(str(role) for role, parties in spec.roles.items() if party in parties)
    said = heard.said
    if isinstance(said, Considered):
        reasons = heard.own or said.answer.reasons
        decision, cautions = str(said.answer.decision), said.answer.warnings
        return WouldAnswer(party=party, roles=roles, decision=decision, reasons=reasons, warnings=cautions)
    old = said.code == UnknownMethod.code
    why = "Its release does not answer this." if old else f"{said.message} {said.hint}".rstrip()
    return WouldAnswer(party=party, roles=roles, decision=UNKNOWN, reasons=(why,))


def _runs(tasks: Mapping[str, BoundTask], heard: Mapping[str, Heard]) -> Iterator[WouldRun]:
    for task in tasks.values():
        for address in task.addresses:
            wanted, said = task.sides[address].resources, heard[address.party].said
            yield WouldRun(
                task=task.name,
                component=task.component.reference,
                address=str(address),
                cores=wanted.cores,
                memory_bytes=wanted.memory_bytes,
                gpus=wanted.gpus,
                fits=said.fits.get(task.name) if isinstance(said, Considered) else None,
            )
