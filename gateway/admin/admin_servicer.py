"""Service Admin, for Flow: open and close jobs, issue tokens, call others and answer their calls, sign and verify."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import grpc

from gateway.calls.calls import Calls
from gateway.calls.subscribers import Subscriber, Subscribers
from gateway.contract import contract_from_json
from gateway.errors import PurposeReserved
from gateway.executors.inbox import Inbox
from gateway.executors.tokens import Bearer, Tokens, checked_bearer
from gateway.mailbox.store import Mailbox
from gateway.peers import PeerBook
from gateway.transfer.delivery import Delivery
from gateway.transfer.home_watch import HomeWatch
from gateway.transfer.strangers import Strangers
from gateway.wire import AdminMethods, local
from party.seal import sign, verify
from runtime.errors import PlatformError
from runtime.problems import Problem, raised
from runtime.rpc import answering

RESERVED = "archipelago/"  # purposes of the gateway itself begin with this


@dataclass(frozen=True)
class Backend:
    """Everything that the service hands its calls to."""

    book: PeerBook
    mailbox: Mailbox
    tokens: Tokens
    inbox: Inbox
    delivery: Delivery
    calls: Calls
    subscribers: Subscribers
    listen: str
    reload: Callable[[], None]
    watch: HomeWatch
    strangers: Strangers


class AdminServicer(AdminMethods):
    """Service Admin of gateway/proto/local_v1.proto."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def OpenJob(self, request: local.Contract, context: grpc.ServicerContext) -> local.Done:  # noqa: N802
        """Take messages of a job."""
        with answering(context):
            self._backend.mailbox.open_job(contract_from_json(request.json))
            return local.Done()

    def CloseJob(self, request: local.Job, context: grpc.ServicerContext) -> local.Traffic:  # noqa: N802
        """End a job."""
        with answering(context):
            traffic = self._backend.mailbox.close_job(request.job)
            self._backend.inbox.forget_job(request.job)
            peers = [local.Traffic.Peer(party=party, **vars(peer)) for party, peer in sorted(traffic.peers.items())]
            return local.Traffic(job=traffic.job, peers=peers)

    def Jobs(self, request: local.Done, context: grpc.ServicerContext) -> local.JobList:  # noqa: N802, ARG002
        """The open jobs."""
        with answering(context):
            return local.JobList(jobs=self._backend.mailbox.jobs())

    def IssueToken(self, request: local.Bearer, context: grpc.ServicerContext) -> local.Token:  # noqa: N802
        """Let one executor in, and older incarnations out."""
        with answering(context):
            self._backend.mailbox.contract(request.job)
            bearer = Bearer(request.job, request.task, request.attempt, request.address, request.incarnation)
            token = self._backend.tokens.issue(checked_bearer(bearer))
            self._backend.inbox.wake_all()
            return local.Token(token=token)

    def Call(self, request: local.CallRequest, context: grpc.ServicerContext) -> local.CallAnswer:  # noqa: N802
        """Call another party's Flow."""
        with answering(context):
            body = self._backend.calls.call(request.party, request.method, request.body, request.timeout_s)
            return local.CallAnswer(body=body)

    def Serve(  # noqa: N802
        self, request_iterator: Iterator[local.Answered], context: grpc.ServicerContext
    ) -> Iterator[local.Asked]:
        """Ask the subscriber what other parties ask us."""
        subscriber = self._backend.subscribers.subscribe()
        if not context.add_callback(lambda: self._backend.subscribers.unsubscribe(subscriber)):
            self._backend.subscribers.unsubscribe(subscriber)
        reader = threading.Thread(target=self._read_answers, args=(subscriber, request_iterator), daemon=True)
        reader.start()
        yield local.Asked()  # tells the subscriber that it is heard
        while (question := subscriber.questions.get()) is not None:
            yield local.Asked(id=question.id, party=question.party, method=question.method, body=question.body)

    def Sign(self, request: local.Statement, context: grpc.ServicerContext) -> local.Signature:  # noqa: N802
        """Sign for Flow."""
        with answering(context):
            purpose = _checked_purpose(request.purpose)
            return local.Signature(signature=sign(self._backend.book.keys, purpose, request.message))

    def Verify(self, request: local.SignedStatement, context: grpc.ServicerContext) -> local.Done:  # noqa: N802
        """Verify another party's signature."""
        with answering(context):
            card = self._backend.book.card(request.party)
            purpose = _checked_purpose(request.statement.purpose)
            verify(card, purpose, request.statement.message, request.signature)
            return local.Done()

    def Peers(self, request: local.Done, context: grpc.ServicerContext) -> local.PeerList:  # noqa: N802, ARG002
        """How the peers are doing."""
        with answering(context):
            peers = [local.PeerList.Peer(**vars(peer)) for peer in self._backend.delivery.peers()]
            strangers = [local.PeerList.Stranger(**vars(known)) for known in self._backend.strangers.recent()]
            return local.PeerList(peers=peers, strangers=strangers)

    def Reload(self, request: local.Done, context: grpc.ServicerContext) -> local.Done:  # noqa: N802, ARG002
        """Read cards and keys again."""
        with answering(context):
            self._backend.reload()
            return local.Done()

    def Health(self, request: local.Done, context: grpc.ServicerContext) -> local.Healthy:  # noqa: N802, ARG002
        """Whether the gateway is well."""
        with answering(context):
            backend = self._backend
            jobs = len(backend.mailbox.jobs())
            return local.Healthy(
                party=backend.book.party,
                listen=backend.listen,
                pid=os.getpid(),
                open_jobs=jobs,
                problem=backend.watch.problem or _own_problem(backend.book),
            )

    def _read_answers(self, subscriber: Subscriber, answers: Iterator[local.Answered]) -> None:
        try:
            for told in answers:
                error = _error_of(told.answer.problem)
                self._backend.subscribers.answered(subscriber, told.id, told.answer.body, error)
        except grpc.RpcError as gone:  # the subscriber; the callback of its stream has ended it
            gone.__traceback__ = None  # gRPC keeps the error with the stream, which its traceback would keep open
        finally:
            self._backend.subscribers.unsubscribe(subscriber)


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
