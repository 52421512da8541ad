"""Whom this gateway talks to: the trusted cards, found by party or by the certificate a connection shows."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from gateway.errors import PeerRefused, PeerUnknown
from party.card import Card
from party.errors import BadKeys
from party.home import PartyHome
from party.keys import PartyKeys, certificate_der

CHECK_EVERY_S = 1.0  # how long a card that was found valid is taken to be so
MAX_KNOWN = 1000  # certificates whose binary form is remembered


@dataclass(frozen=True)
class _Page:
    own: Card
    keys: PartyKeys
    trusted: dict[str, Card]
    by_certificate: dict[bytes, Card]


class PeerBook:
    """Our identity and the cards in HOME/trusted, as of the last reload, whether or not they are valid now."""

    def __init__(self, home: PartyHome) -> None:
        self._root = home.root
        self._lock = threading.Lock()
        self._der: dict[bytes, bytes] = {}
        self._found_valid: dict[str, float] = {}  # when each card was last found valid, monotonic
        self._page = self._read()

    @property
    def party(self) -> str:
        """Our id."""
        return self._page.own.party

    @property
    def keys(self) -> PartyKeys:
        """Our keys."""
        return self._page.keys

    @property
    def parties(self) -> list[str]:
        """The parties whose cards we hold, without ourselves; a card may not be valid now."""
        return sorted(self._page.trusted)

    @property
    def roots(self) -> bytes:
        """The certificates that may connect, PEM, one after another; our own if we trust nobody yet."""
        page = self._page
        return "".join(card.tls_certificate for card in page.trusted.values() or [page.own]).encode()

    def reload(self) -> frozenset[str]:
        """Read keys, our card and the trusted cards again; the parties to which connections must be made anew.

        Raises BadCard or BadKeys, then nothing has changed.
        """
        before, now = self._page, self._read()
        self._page = now
        if before.keys.tls_cert_pem != now.keys.tls_cert_pem:
            return frozenset(before.trusted)
        same = {party for party, card in before.trusted.items() if now.trusted.get(party) == card}
        return frozenset(before.trusted) - same

    def check_own(self) -> None:
        """Raise CardExpired or CardNotYetValid if our own card is not valid now."""
        self._page.own.check_valid()

    def card(self, party: str) -> Card:
        """The card of a party, ours included. Raises PeerUnknown, or CardExpired as soon as its time is over."""
        page = self._page
        card = page.own if party == page.own.party else page.trusted.get(party)
        if card is None:
            raise PeerUnknown(
                f"{page.own.party} holds no card of '{party}'.",
                hint="Get that party's card and run: flow party trust CARD",
            )
        self._check_valid(card)
        return card

    def by_certificate(self, pem: bytes) -> Card:
        """The trusted card that pins exactly this certificate. Raises PeerRefused."""
        card = self._page.by_certificate.get(self._as_der(pem))
        if card is None:
            raise PeerRefused(
                "The certificate is not the one on any card that is trusted here.",
                hint="Both parties must trust each other's current card: flow party trust CARD",
            )
        self._check_valid(card)
        return card

    def _check_valid(self, card: Card) -> None:
        now = time.monotonic()
        if now - self._found_valid.get(card.fingerprint, -CHECK_EVERY_S) >= CHECK_EVERY_S:
            card.check_valid()
            self._found_valid[card.fingerprint] = now

    def _read(self) -> _Page:
        home = PartyHome(self._root)
        trusted = {str(party): card for party, card in home.held_cards().items() if party != home.party}
        by_certificate = {card.tls_certificate_der: card for card in trusted.values()}
        return _Page(home.card, home.keys, trusted, by_certificate)

    def _as_der(self, pem: bytes) -> bytes:
        known = self._der.get(pem)
        if known is None:
            try:
                known = certificate_der(pem)
            except BadKeys:
                raise PeerRefused("The connection shows no certificate that can be read.") from None
            with self._lock:
                if len(self._der) >= MAX_KNOWN:
                    self._der.clear()
                self._der[pem] = known
        return known
