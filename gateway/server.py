"""The gateway of one party as a service: puts it together, serves its three gRPC services, and ends them again.

Other parties come in through the front (gateway/transfer/front.py), which carries their bytes to the TLS server here.
"""

from __future__ import annotations

import resource
from collections.abc import Callable
from contextlib import ExitStack

import grpc

from gateway.admin.admin_servicer import AdminServicer, Backend
from gateway.calls.calls import Calls
from gateway.calls.subscribers import Subscribers
from gateway.executors.executor_servicer import EXECUTOR_CALLS, ExecutorServicer
from gateway.executors.inbox import Inbox
from gateway.executors.outbound import Outbound
from gateway.executors.tokens import Tokens
from gateway.gate import Gate
from gateway.mailbox.disk import DiskMailbox
from gateway.mailbox.schema import open_database
from gateway.mailbox.store import Outgoing
from gateway.peers import PeerBook
from gateway.recorder import Recorder
from gateway.transfer.connection_caps import Caps
from gateway.transfer.delivery import Delivery
from gateway.transfer.front import Front
from gateway.transfer.home_watch import HomeWatch, files_of
from gateway.transfer.inbound import Inbound
from gateway.transfer.strangers import Strangers
from gateway.transfer.tls_server import tls_server
from gateway.transfer.transfer_servicer import PEER_CALLS, SILENCE_S, TransferServicer
from gateway.wire import add_admin
from party.home import PartyHome
from runtime.addresses import require_free
from runtime.log import get_logger
from runtime.metrics import metrics
from runtime.rpc import serve_metrics, unix_server

# Threads are started as calls need them; the numbers are ceilings.
EXECUTOR_THREADS = 1024
EXECUTOR_WAITING = 896  # calls that may wait for a message; the rest of the threads is for those that send
ADMIN_THREADS = 128
_log = get_logger("gateway")


class GatewayService:
    """See the module. `start` returns once everybody is served."""

    def __init__(self, home: PartyHome) -> None:
        self._home = home
        self._open: ExitStack | None = None
        self._grace_s = 0.0

    def start(self) -> None:
        """Serve. Raises PortInUse, NewerDatabase, BadKeys, BadCard."""
        listen = self._home.settings.gateway_listen
        require_free(listen, "gateway.listen")
        with ExitStack() as undo:
            as_read = files_of(self._home.root)
            shared = _Shared(self._home, undo)
            strangers = Strangers(self._home.party)
            tls_socket = self._home.socket("gateway-tls")
            caps = Caps.within(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
            front = Front(listen, tls_socket, caps, strangers.turned_away)
            undo.callback(front.stop)

            def reload() -> None:
                for party in shared.book.reload():
                    front.dismiss(party)
                shared.delivery.reload()

            watch = HomeWatch(self._home.root, as_read, reload, shared.look)
            transfer = tls_server(shared.book, tls_socket)
            shared.transfer_servicer(front.recognised, self._gate(undo, PEER_CALLS)).add_to(transfer)
            executors = unix_server(self._home.socket("gateway"), EXECUTOR_THREADS, keyed=False)
            gate = self._gate(undo, EXECUTOR_CALLS)
            ExecutorServicer(shared.tokens, shared.outbound, shared.inbox, EXECUTOR_WAITING, gate).add_to(executors)
            admin = unix_server(self._home.socket("gateway-admin"), ADMIN_THREADS)
            add_admin(AdminServicer(shared.backend(str(listen), reload, watch, strangers)), admin)
            serve_metrics(admin, metrics("gateway").text)
            for made in (transfer, executors, admin):
                made.start()
                undo.callback(self._end, made)
            undo.callback(shared.inbox.stop)
            undo.callback(shared.subscribers.close)
            undo.callback(lambda: shared.delivery.stop(self._grace_s))
            shared.delivery.start()
            front.start()
            watch.start()
            undo.callback(watch.stop)
            self._open = undo.pop_all()
        _log.info("The gateway is open", party=shared.book.party, listen=str(listen), peers=len(shared.book.parties))

    def stop(self, grace_s: float) -> None:
        """Serve nobody any more; what is in the mailbox stays there."""
        self._grace_s = min(grace_s, 1.0)
        opened, self._open = self._open, None
        if opened is not None:
            opened.close()

    def _end(self, served: grpc.Server) -> None:
        served.stop(self._grace_s).wait()

    def _gate(self, undo: ExitStack, most: dict[str, int]) -> Gate:
        gate = Gate(most, SILENCE_S)
        undo.callback(gate.start())
        return gate


class _Shared:
    """What the three services share: built from the home, closed by `undo`."""

    def __init__(self, home: PartyHome, undo: ExitStack) -> None:
        settings = home.settings.gateway
        folder = home.state("gateway")
        recorder = Recorder(home.path(settings.record_envelopes) if settings.record_envelopes else None)
        self.book = PeerBook(home)
        database = open_database(folder / "gateway.sqlite", settings.durability)
        undo.callback(database.close)
        self.mailbox = DiskMailbox(folder / "mailbox", database, settings.durability)
        self.tokens = Tokens(database)
        self.subscribers = Subscribers()
        self.inbox = Inbox(self.mailbox, self.tokens, self.book)
        self.inbound = Inbound(
            self.mailbox, self.book, newest_attempt=self.tokens.newest_attempt, arrived=self.inbox.arrived
        )
        self.delivery = Delivery(self.book, self.mailbox, recorder, self._refused)
        self.outbound = Outbound(self.mailbox, self.book, left=self.delivery.wake, arrived=self.inbox.arrived)
        self.calls = Calls(self.book, self.mailbox, self.subscribers, recorder, self.delivery.link)
        self._refusals = [each.refusals for each in (self.inbound, self.inbox, self.outbound, self.calls)]
        for refusals in self._refusals:
            undo.callback(refusals.close)

    def look(self) -> None:
        """What is done from time to time."""
        self.delivery.follow()
        for refusals in self._refusals:
            refusals.tell()

    def transfer_servicer(self, recognised: Callable[[str, str], None], gate: Gate) -> TransferServicer:
        """Who serves other parties."""

        def seen(party: str) -> None:
            self.delivery.link(party).seen()
            self.delivery.wake(party)

        return TransferServicer(self.book, self.inbound, self.calls, seen, recognised, gate)

    def backend(self, listen: str, reload: Callable[[], None], watch: HomeWatch, strangers: Strangers) -> Backend:
        """What Flow is served with."""
        return Backend(
            book=self.book,
            mailbox=self.mailbox,
            tokens=self.tokens,
            inbox=self.inbox,
            delivery=self.delivery,
            calls=self.calls,
            subscribers=self.subscribers,
            listen=listen,
            reload=reload,
            watch=watch,
            strangers=strangers,
        )

    def _refused(self, _item: Outgoing) -> None:
        self.inbox.wake_all()


def serve(home: PartyHome) -> GatewayService:
    """The gateway of the party that lives in `home`, not yet started."""
    return GatewayService(home)
