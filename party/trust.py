"""Whom a party trusts: cards that people have put into its home.

Trust follows a signing key: a newer card with the same key continues an older one, another key never does so silently.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from party.card import Card, parse_card, read_card
from party.errors import BadCard, CardChanged
from party.home import PartyHome
from runtime.disk.files import private_folder, write_whole


def trust(home: PartyHome, card_file: Path | str, *, replace: bool = False, now: datetime | None = None) -> Card:
    """Trust the party whose card is in the file. Repeating it changes nothing.

    A newer card with the same signing key takes the place of the older one; a card with another signing key is
    refused unless `replace` says that people have compared its fingerprint.

    Raises:
        BadCard: The file is no usable card (see `parse_card`).
        CardChanged: The card does not continue the one that is trusted.
    """
    card = parse_card(_read_card_file(Path(card_file)), now=now)
    if card.party == home.party:
        if card.signing_key != home.card.signing_key:
            raise CardChanged(f"The card says {card.party}, which is our own id, with another key.")
        return card
    path = home.root / "trusted" / f"{card.party}.json"
    if path.is_file() and not replace:
        _refuse_discontinued(read_card(path.read_bytes()), card)
    private_folder(path.parent)
    write_whole(path, card.to_json())
    return card


def untrust(home: PartyHome, party: str) -> None:
    """Trust the party no longer. Raises PartyNotTrusted."""
    home.trusted_card(party)
    (home.root / "trusted" / f"{party}.json").unlink()


def _read_card_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadCard(f"{path} cannot be read: {error.strerror}.") from None


def _refuse_discontinued(known: Card, card: Card) -> None:
    if known.signing_key != card.signing_key:
        raise CardChanged(
            f"The card of {card.party} has another signing key than the one we trust.",
            hint=f"Compare the fingerprint {card.fingerprint} with {card.party} over another way, then add --replace.",
        )
    if known.valid_from > card.valid_from:
        raise CardChanged(f"The card of {card.party} is older than the one we trust.", hint="Ask for its newest card.")
