"""The gateway of one party as a service: builds its parts, opens its three doors, and closes them again.

Other parties come in through the front (gateway/front.py), which carries their bytes to the TLS server here.
"""

from __future__ import annotations

import resource
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import grpc

from gateway.admin_door import AdminDoor, Office
from gateway.admission import Caps
from gateway.arrivals import Arrivals
from gateway.calls import Calls
from gateway.delivery import Delivery
from gateway.desk import Desk
from gateway.executor_door import EXECUTOR_CALLS, ExecutorDoor
from gateway.front import Front
from gateway.gate import Gate
from gateway.home_watch import HomeWatch, files_of
from gateway.inbound import Inbound
from gateway.mailbox.disk import DiskMailbox
from gateway.mailbox.store import Outgoing
from gateway.outbound import Outbound
from gateway.peers import PeerBook
from gateway.recorder import Recorder
from gateway.schema import open_database
from gateway.strangers import Strangers
from gateway.tokens import Tokens
from gateway.transfer_door import PEER_CALLS, SILENCE_S, TransferDoor
from gateway.wire import (
    add_AdminServicer_to_server,
    add_executor,
    add_transfer,
)
from party.home import PartyHome
from runtime.addresses import HostPort, require_free
from runtime.errors import PortInUse
from runtime.limits.headers import CALL_LIMITS
from runtime.log import get_logger
from runtime.metrics import metrics
from runtime.rpc import serve_metrics, server, unix_server

# Threads are started as calls need them; the numbers are ceilings.
TRANSFER_THREADS = 512  # some twenty times what one party may take of them
STREAMS_AT_ONCE = 64  # of one connection; what is more waits at its sender
EXECUTOR_THREADS = 1024
EXECUTOR_WAITING = 896  # calls that may wait for a message; the rest of the threads is for those that send
ADMIN_THREADS = 128
MIN_PING_MS = 5_000
HANDSHAKE_MS = 10_000
_log = get_logger("gateway")


class GatewayService:
    """See the module. `start` returns once all doors are open."""

    def __init__(self, home: PartyHome) -> None:
        self._home = home
        self._open: ExitStack | None = None
        self._grace_s = 0.0

    def start(self) -> None:
        """Open the doors. Raises PortInUse, NewerDatabase, BadKeys, BadCard."""
        listen = self._home.settings.gateway_listen
        require_free(listen, "gateway.listen")
        with ExitStack() as undo:
            strangers = Strangers(self._home.party)
            inner = self._home.socket("gateway-tls")
            caps = Caps.within(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
            front = Front(listen, inner, caps, strangers.turned_away)
            undo.callback(front.stop)
            office, outbound = self._office(undo, listen, front, strangers)
            executors = unix_server(self._home.socket("gateway"), EXECUTOR_THREADS, keyed=False)
            gate = Gate(EXECUTOR_CALLS, SILENCE_S)
            undo.callback(gate.start())
            door = ExecutorDoor(office.tokens, outbound, office.inbound, EXECUTOR_WAITING, gate)
            add_executor(door, executors)
            admin = unix_server(self._home.socket("gateway-admin"), ADMIN_THREADS)
            add_AdminServicer_to_server(AdminDoor(office), admin)
            serve_metrics(admin, metrics("gateway").text)
            gate = Gate(PEER_CALLS, SILENCE_S)
            undo.callback(gate.start())
            transfer = self._transfer_server(office, inner, front.recognised, gate)
            for made in (transfer, executors, admin):
                made.start()
                undo.callback(self._close_door, made)
            undo.callback(office.inbound.stop)
            undo.callback(office.desk.close)
            undo.callback(lambda: office.delivery.stop(self._grace_s))
            office.delivery.start()
            front.start()
            office.watch.start()
            undo.callback(office.watch.stop)
            self._open = undo.pop_all()
        _log.info("The gateway is open", party=office.book.party, listen=str(listen), peers=len(office.book.parties))

    def stop(self, grace_s: float) -> None:
        """Close the doors; what is in the mailbox stays there."""
        self._grace_s = min(grace_s, 1.0)
        opened, self._open = self._open, None
        if opened is not None:
            opened.close()

    def _close_door(self, door: grpc.Server) -> None:
        door.stop(self._grace_s).wait()

    def _office(self, undo: ExitStack, listen: HostPort, front: Front, strangers: Strangers) -> tuple[Office, Outbound]:
        settings = self._home.settings.gateway
        folder = self._home.state("gateway")
        as_read = files_of(self._home.root)
        book = PeerBook(self._home)
        database = open_database(folder / "gateway.sqlite", settings.durability)
        undo.callback(database.close)
        mailbox = DiskMailbox(folder / "mailbox", database, settings.durability)
        tokens, arrivals, desk = Tokens(database), Arrivals(), Desk()
        inbound = Inbound(mailbox, tokens, arrivals, book)
        recorder = Recorder(self._home.path(settings.record_envelopes) if settings.record_envelopes else None)

        def refused(_item: Outgoing) -> None:
            arrivals.wake_all()

        def arrived(keys: Sequence[str]) -> None:
            inbound.arrived(keys)

        delivery = Delivery(book, mailbox, recorder, refused)
        outbound = Outbound(mailbox, book, left=delivery.wake, arrived=arrived)
        calls = Calls(book, mailbox, desk, recorder, delivery.link)

        refusals = (inbound.refusals, outbound.refusals, calls.refusals)

        def look() -> None:
            delivery.follow()
            for each in refusals:
                each.tell()

        for each in refusals:
            undo.callback(each.close)

        def changed() -> None:
            for party in book.reload():
                front.dismiss(party)
            delivery.reload()

        watch = HomeWatch(self._home.root, as_read, changed, look)
        office = Office(
            book,
            mailbox,
            tokens,
            inbound,
            delivery,
            calls,
            desk,
            str(listen),
            reload=changed,
            watch=watch,
            strangers=strangers,
        )
        return office, outbound

    def _transfer_server(
        self, office: Office, inner: Path, recognised: Callable[[str, str], None], gate: Gate
    ) -> grpc.Server:
        def seen(party: str) -> None:
            office.delivery.link(party).seen()
            office.delivery.wake(party)

        book = office.book
        made = server(
            "gateway",
            TRANSFER_THREADS,
            [
                ("grpc.max_concurrent_streams", STREAMS_AT_ONCE),
                ("grpc.http2.min_ping_interval_without_data_ms", MIN_PING_MS),
                ("grpc.keepalive_permit_without_calls", 1),
                ("grpc.server_handshake_timeout_ms", HANDSHAKE_MS),
                *CALL_LIMITS,
            ],
        )
        add_transfer(TransferDoor(book, office.inbound, office.calls, seen, recognised, gate), made)
        first, changes = _Certificates(book).first()
        credentials = grpc.dynamic_ssl_server_credentials(first, changes, require_client_authentication=True)
        inner.unlink(missing_ok=True)
        try:
            made.add_secure_port(f"unix:{inner}", credentials)
        except RuntimeError as error:
            raise PortInUse(f"The socket {inner} cannot be opened: {error}.") from None
        inner.chmod(0o600)
        return made


class _Certificates:
    """What TLS shows and whom it believes. gRPC asks at every handshake, and takes a new answer only for a change."""

    def __init__(self, book: PeerBook) -> None:
        self._book = book
        self._lock = threading.Lock()
        self._given: tuple[bytes, bytes, bytes] | None = None

    def first(self) -> tuple[grpc.ServerCertificateConfiguration, Callable[[], grpc.ServerCertificateConfiguration]]:
        """The answer now, and who is asked later: it answers None while nothing has changed."""
        return self._changed(), self._changed

    def _changed(self) -> grpc.ServerCertificateConfiguration:
        keys, roots = self._book.keys, self._book.roots
        wanted = (keys.tls_key_pem, keys.tls_cert_pem, roots)
        with self._lock:
            if wanted == self._given:
                return None
            self._given = wanted
        return grpc.ssl_server_certificate_configuration([wanted[:2]], root_certificates=roots)


def serve(home: PartyHome) -> GatewayService:
    """The gateway of the party that lives in `home`, not yet started."""
    return GatewayService(home)
