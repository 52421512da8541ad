"""Why a peer's gateway cannot be reached: looks at what its address shows, and says it in words for people.

gRPC tells a refused certificate, a wrong one and a dead host alike. So when a call has failed, one plain connection is
made beside it: does anybody listen, which certificate is shown, and are we let in once we have shown ours. Nothing
secret is sent over it, and what it finds decides nothing but words.
"""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Callable

from gateway.errors import (
    PeerAddressUnknown,
    PeerDistrustsUs,
    PeerNotAGateway,
    PeerNotListening,
    PeerShowsOther,
    PeerSilent,
    PeerUnreachable,
)
from gateway.transfer.strangers import knock
from party.card import Card
from party.keys import PartyKeys
from runtime.addresses import parse_listen

CONNECT_S = 3.0
Diagnose = Callable[[Card, str, PartyKeys, str], PeerUnreachable | None]


def diagnose(card: Card, address: str, keys: PartyKeys, own: str) -> PeerUnreachable | None:
    """What is wrong with the peer at this address of its card, or None if it lets us in now.

    Args:
        card: The peer's card as we hold it.
        address: `host:port`.
        keys: Ours.
        own: Our id.
    """
    party = card.party
    try:
        connection = socket.create_connection(parse_listen(address), CONNECT_S)
    except OSError as error:
        return _not_connected(party, address, error)
    with connection:
        try:
            tls = _context(keys).wrap_socket(connection, server_hostname=knock(own, party))
        except TimeoutError:
            return _silent(party, address)
        except (ssl.SSLEOFError, ConnectionError):
            return _nobody_behind(party, address)
        except OSError:
            return _not_a_gateway(party, address)
        with tls:
            if tls.getpeercert(binary_form=True) != card.tls_certificate_der:
                return shows_other(party)
            try:
                let_in = tls.recv(1)  # the first byte of HTTP/2; one that turns us away closes without a word
            except TimeoutError:
                return _silent(party, address)
            except OSError:
                let_in = b""
    return None if let_in else distrusts(party, own)


def distrusts(party: str, own: str) -> PeerDistrustsUs:
    """What to say of a peer that does not take our certificate."""
    return PeerDistrustsUs(
        f"{party} turns us away: it does not trust our newest card, or finds it not valid by its clock.",
        hint=f"'flow party status' at {party} says which: there flow party trust {own}.card.json, or compare clocks.",
    )


def shows_other(party: str) -> PeerShowsOther:
    """What to say of a peer that shows another certificate than the one on its card."""
    return PeerShowsOther(
        f"{party} shows another certificate than on its card.",
        hint=f"Ask {party} for its newest card, then run: flow party trust CARD",
    )


def _not_connected(party: str, address: str, error: OSError) -> PeerUnreachable:
    if isinstance(error, socket.gaierror):
        return PeerAddressUnknown(
            f"The address {address} on the card of {party} is not known here.",
            hint="Check the name service of this host, or ask for a card with another address.",
        )
    if isinstance(error, ConnectionRefusedError):
        return PeerNotListening(
            f"Nobody listens at {address}: {party} is down, or its port is elsewhere now.",
            hint=f"It is tried again; ask {party} whether it runs.",
        )
    if isinstance(error, TimeoutError):
        return _silent(party, address)
    return PeerUnreachable(
        f"There is no way to {address} of {party}: {error.strerror or error}.", hint="Check this host's network."
    )


def _silent(party: str, address: str) -> PeerSilent:
    return PeerSilent(
        f"{address} of {party} does not answer: the host is off, or a firewall stands between.",
        hint=f"It is tried again; ask {party} whether it runs and which port is open.",
    )


def _nobody_behind(party: str, address: str) -> PeerNotListening:
    """What to say of a connection that is closed before anything comes back, as a forwarder of TCP does."""
    return PeerNotListening(
        f"Something listens at {address}, but nobody answers behind it: {party} is down, or is forwarded to elsewhere.",
        hint=f"It is tried again; ask {party} whether it runs.",
    )


def _not_a_gateway(party: str, address: str) -> PeerNotAGateway:
    return PeerNotAGateway(
        f"What answers at {address} is not the gateway of {party}.",
        hint="A program between that opens TLS, or another service, has that port.",
    )


def _context(keys: PartyKeys) -> ssl.SSLContext:
    """Shows our certificate; the peer's is compared with its card by the caller, byte by byte."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    descriptor = os.memfd_create("certificate")  # the library reads files only, and our pair stays out of sight
    with os.fdopen(descriptor, "wb") as file:
        file.write(keys.tls_key_pem + keys.tls_cert_pem)
        file.flush()
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    return context
