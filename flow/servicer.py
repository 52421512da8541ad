"""Answers what other parties' Flows ask: finds the handler of a method, checks the form, keeps the clocks in order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flow.coordinator.history import Histories
from flow.coordinator.incoming import Incoming
from flow.errors import BadDatabase, StoreUnavailable, UnknownMethod
from flow.participant.attempts import Attempts
from flow.participant.job_closing import JobClosing
from flow.participant.pausing import Pausing
from flow.participant.proposals import Proposals
from flow.protocol.messages import (
    AttemptOrder,
    EndOrder,
    HistoryOrder,
    JobOrder,
    Manifest,
    Message,
    Method,
    PauseOrder,
    Proposal,
    Report,
    ReserveOrder,
    SignedAnswer,
    StopOrder,
    Withdrawal,
    decode,
    encode,
)
from flow.protocol.resuming import StartOrder
from flow.store.database import Database
from gateway.client import IncomingCall
from runtime.errors import PlatformError, public_sentence
from runtime.log import get_logger


@dataclass(frozen=True)
class Answerable:
    """One method: what an order looks like, and who carries it out for which caller."""

    order: type[Message]
    handler: Callable[[Any, str], Message]


class FlowServicer:
    """The closed list of methods that this Flow answers."""

    def __init__(
        self,
        database: Database,
        proposals: Proposals,
        attempts: Attempts,
        pausing: Pausing,
        closing: JobClosing,
        incoming: Incoming,
        histories: Histories,
    ) -> None:
        self._party = proposals.party
        self._database = database
        self._log = get_logger("flow")
        self._methods = {
            Method.PROPOSE: Answerable(Proposal, proposals.propose),
            Method.CONSIDER: Answerable(Proposal, proposals.weighing.consider),
            Method.OPEN: Answerable(Manifest, proposals.open),
            Method.PAUSE: Answerable(PauseOrder, pausing.pause),
            Method.RESERVE: Answerable(ReserveOrder, attempts.reserve),
            Method.GIVE_BACK: Answerable(AttemptOrder, attempts.give_back),
            Method.START: Answerable(StartOrder, attempts.start),
            Method.STOP: Answerable(StopOrder, attempts.stop),
            Method.PUBLISH: Answerable(AttemptOrder, attempts.publish),
            Method.END: Answerable(EndOrder, closing.end),
            Method.HISTORY: Answerable(HistoryOrder, histories.tell),
            Method.PROBE: Answerable(JobOrder, closing.probe),
            Method.ANSWER: Answerable(SignedAnswer, incoming.answer),
            Method.REPORT: Answerable(Report, incoming.report),
            Method.WITHDRAW: Answerable(Withdrawal, incoming.withdraw),
            Method.LEFT: Answerable(Withdrawal, closing.departed),
        }

    def answer(self, call: IncomingCall) -> bytes:
        """The reply to one call.

        Raises:
            UnknownMethod: The method is not in the list.
            BadMessage: The order does not have the form of the method.
            PlatformError: What the handler raises; it travels back to the caller, without details of our rooms.
        """
        if call.method not in Method.__members__.values():
            raise UnknownMethod(
                f"Flow answers no method '{call.method[:40]}'.", hint="Bring both parties to the same release."
            )
        method = self._methods[Method(call.method)]
        order, reading = decode(method.order, call.body)
        self._database.saw(reading, call.party)
        try:
            reply = method.handler(order, call.party)
        except PlatformError as error:
            if call.party != self._party:
                self._shorten(call, error)
            raise
        return encode(reply, self._database.hlc())

    def _shorten(self, call: IncomingCall, error: PlatformError) -> None:
        """Keep what an error of a room below says of this party at home: another party reads what its code means."""
        if error.code.startswith("flow.") and not isinstance(error, StoreUnavailable | BadDatabase):
            return
        self._log.warning("call.failed", method=call.method, caller=call.party, code=error.code, message=error.message)
        error.message, error.hint = public_sentence(error.code), f"The log of {self._party} holds the details."
