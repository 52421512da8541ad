"""The door for Flow: open and close jobs, issue tokens, call other parties and answer their calls, sign and verify."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import grpc

from gateway.calls import Calls
from gateway.contract import contract_from_json
from gateway.delivery import Delivery
from gateway.desk import Desk, Seat
from gateway.errors import PurposeReserved
from gateway.home_watch import HomeWatch
from gateway.inbound import Inbound
from gateway.mailbox.store import Mailbox
from gateway.peers import PeerBook
from gateway.strangers import Strangers
from gateway.tokens import Bearer, Tokens, checked_bearer
from gateway.wire import AdminServicer, local
from party.seal import sign, verify
from runtime.errors import PlatformError
from runtime.problems import Problem, raised
from runtime.rpc import answering

RESERVED = "archipelago/"  # purposes of the gateway itself begin with this


@dataclass(frozen=True)
class Office:
    """Everything that the admin door reaches."""

    book: PeerBook
    mailbox: Mailbox
    tokens: Tokens
    inbound: Inbound
    delivery: Delivery
    calls: Calls
    desk: Desk
    listen: str
    reload: Callable[[], None]
    watch: HomeWatch
    strangers: Strangers


class AdminDoor(AdminServicer):
    """Service Admin of gateway/proto/local_v1.proto."""

    def __init__(self, office: Office) -> None:
        self._office = office

    def OpenJob(self, request: local.Contract, context: grpc.ServicerContext) -> local.Done:  # noqa: N802
        """Take messages of a job."""
        with answering(context):
            self._office.mailbox.open_job(contract_from_json(request.json))
            return local.Done()

    def CloseJob(self, request: local.Job, context: grpc.ServicerContext) -> local.Traffic:  # noqa: N802
        """End a job."""
        with answering(context):
            traffic = self._office.mailbox.close_job(request.job)
            self._office.inbound.forget_job(request.job)
            peers = [local.Traffic.Peer(party=party, **vars(peer)) for party, peer in sorted(traffic.peers.items())]
            return local.Traffic(job=traffic.job, peers=peers)

    def Jobs(self, request: local.Done, context: grpc.ServicerContext) -> local.JobList:  # noqa: N802, ARG002
        """The open jobs."""
        with answering(context):
            return local.JobList(jobs=self._office.mailbox.jobs())

    def IssueToken(self, request: local.Bearer, context: grpc.ServicerContext) -> local.Token:  # noqa: N802
        """Let one executor in, and older incarnations out."""
        with answering(context):
            self._office.mailbox.contract(request.job)
            bearer = Bearer(request.job, request.task, request.attempt, request.address, request.incarnation)
            token = self._office.tokens.issue(checked_bearer(bearer))
            self._office.inbound.wake_all()
            return local.Token(token=token)

    def Call(self, request: local.CallRequest, context: grpc.ServicerContext) -> local.CallAnswer:  # noqa: N802
        """Call another party's Flow."""
        with answering(context):
            body = self._office.calls.call(request.party, request.method, request.body, request.timeout_s)
            return local.CallAnswer(body=body)

    def Serve(  # noqa: N802
        self, request_iterator: Iterator[local.Answered], context: grpc.ServicerContext
    ) -> Iterator[local.Asked]:
        """Ask the subscriber what other parties ask us."""
        seat = self._office.desk.sit()
        if not context.add_callback(lambda: self._office.desk.leave(seat)):
            self._office.desk.leave(seat)
        reader = threading.Thread(target=self._read_answers, args=(seat, request_iterator), daemon=True)
        reader.start()
        yield local.Asked()  # tells the subscriber that it is heard
        while (question := seat.questions.get()) is not None:
            yield local.Asked(id=question.id, party=question.party, method=question.method, body=question.body)

    def Sign(self, request: local.Statement, context: grpc.ServicerContext) -> local.Signature:  # noqa: N802
        """Sign for Flow."""
        with answering(context):
            purpose = _checked_purpose(request.purpose)
            return local.Signature(signature=sign(self._office.book.keys, purpose, request.message))

    def Verify(self, request: local.SignedStatement, context: grpc.ServicerContext) -> local.Done:  # noqa: N802
        """Verify another party's signature."""
        with answering(context):
            card = self._office.book.card(request.party)
            purpose = _checked_purpose(request.statement.purpose)
            verify(card, purpose, request.statement.message, request.signature)
            return local.Done()

    def Peers(self, request: local.Done, context: grpc.ServicerContext) -> local.PeerList:  # noqa: N802, ARG002
        """How the peers are doing."""
        with answering(context):
            peers = [local.PeerList.Peer(**vars(peer)) for peer in self._office.delivery.peers()]
            strangers = [local.PeerList.Stranger(**vars(known)) for known in self._office.strangers.recent()]
            return local.PeerList(peers=peers, strangers=strangers)

    def Reload(self, request: local.Done, context: grpc.ServicerContext) -> local.Done:  # noqa: N802, ARG002
        """Read cards and keys again."""
        with answering(context):
            self._office.reload()
            return local.Done()

    def Health(self, request: local.Done, context: grpc.ServicerContext) -> local.Healthy:  # noqa: N802, ARG002
        """Whether the gateway is well."""
        with answering(context):
            office = self._office
            jobs = len(office.mailbox.jobs())
            return local.Healthy(
                party=office.book.party,
                listen=office.listen,
                pid=os.getpid(),
                open_jobs=jobs,
                problem=office.watch.problem or _own_problem(office.book),
            )

    def _read_answers(self, seat: Seat, answers: Iterator[local.Answered]) -> None:
        try:
            for answer in answers:
                self._office.desk.answered(seat, answer.id, answer.answer.body, _error_of(answer.answer.problem))
        except grpc.RpcError as gone:  # the subscriber; the callback of its stream has ended its seat
            gone.__traceback__ = None  # gRPC keeps the error with the stream, which its traceback would keep open
        finally:
            self._office.desk.leave(seat)


def _error_of(problem: local.Problem) -> PlatformError | None:
    return raised(Problem(problem.code, problem.message, problem.hint, problem.kind)) if problem.code else None


def _own_problem(book: PeerBook) -> str:
    try:
        book.check_own()
    except PlatformError as error:
        return f"{error.message} Renew it with 'flow party card --renew' and give it to the other parties."
    return ""


def _checked_purpose(purpose: str) -> bytes:
    if not purpose or purpose.startswith(RESERVED):
        raise PurposeReserved(f"'{purpose[:80]}' may not be signed for.", hint=f"Purposes of '{RESERVED}' are ours.")
    return purpose.encode()
