"""Asks every party what it would answer to a job, without making one: nothing of it is stored anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from sqlalchemy import Connection, Row, select

from flow.coordinator.party_calls import ASK_S
from flow.coordinator.submission import Draft
from flow.job.states import AttemptState
from flow.participant.weighing import Weighing
from flow.protocol.dry_run_view import Heard, dry_run_view
from flow.protocol.manifest import require_answer
from flow.protocol.messages import Considered, Method, Proposal
from flow.rooms.peer_calls import PeerCalls
from flow.store.catalogue import Catalogue
from flow.store.database import Database
from flow.store.tables import job, side
from flow.views.dry_run import DryRunView
from flow.views.estimate import Took, alike, steps_of
from party.ids import Address
from runtime.errors import PlatformError

AT_ONCE = 16  # parties that are asked
EARLIER_JOBS = 30  # of ours that ended well, whose times are looked at


class DryRuns:
    """Weighs jobs with all their parties."""

    def __init__(
        self, party: str, database: Database, catalogue: Catalogue, peers: PeerCalls, weighing: Weighing
    ) -> None:
        self._party = party
        self._database = database
        self._catalogue = catalogue
        self._peers = peers
        self._weighing = weighing

    def run(self, draft: Draft) -> DryRunView:
        """What would become of a job that this party itself has found nothing wrong with."""
        parties = draft.spec.parties
        with ThreadPoolExecutor(min(AT_ONCE, len(parties))) as pool:
            heard = dict(zip(parties, pool.map(lambda party: self._heard(draft, party), parties), strict=True))
        with self._database.read() as connection:
            took = tuple(self._took(connection, {task.component.reference for task in draft.tasks.values()}))
        return dry_run_view(draft.spec, draft.tasks, heard, self._party, took)

    def _heard(self, draft: Draft, party: str) -> Heard:
        try:
            if party == self._party:
                decided = draft.decided
                return Heard(Considered(answer=decided.answer, fits=self._weighing.fits(draft.tasks)), decided.reasons)
            return Heard(self._asked(draft.proposal, party))
        except PlatformError as error:
            return Heard(error)

    def _asked(self, proposal: Proposal, party: str) -> Considered:
        considered = self._peers.ask(party, Method.CONSIDER, proposal, Considered, ASK_S)
        require_answer(considered.answer, party, proposal)
        return considered

    def _took(self, connection: Connection, components: set[str]) -> Iterator[Took]:
        """How long the sides of the newest jobs took that we led and that ended well."""
        newest = select(job.c.id).where(job.c.initiator == self._party, job.c.state == "succeeded")
        names = connection.execute(newest.order_by(job.c.id.desc()).limit(EARLIER_JOBS)).scalars().all()
        ran = select(side).where(side.c.job.in_(names), side.c.state == AttemptState.SUCCEEDED)
        for row in connection.execute(ran).all():
            yield from self._of_side(row, components)

    def _of_side(self, row: Row[Any], components: set[str]) -> Iterator[Took]:
        """None of a side whose job cannot be read any more."""
        try:
            task = self._catalogue.of_job(self._database.rows(row.job)).tasks[row.task]
        except PlatformError:
            return
        reference, own = task.component.reference, task.sides.get(Address.parse(row.address))
        if reference in components and own is not None and row.started_ms and row.ended_ms:
            seconds = max(row.ended_ms - row.started_ms, 0) / 1000
            yield Took(reference, row.party, alike(own), steps_of(task, own), seconds)
