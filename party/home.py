"""A party's home on disk: one folder that holds who we are, whom we trust, and what our services keep.

    party.toml     settings                      users.json   users, digests of their tokens
    card.json      our card                      trusted/     cards of the parties we trust
    keys/          private keys (0700, 0600)     tokens/      tokens of local users (0600)
    store/         tables, models, checkpoints   state/ROOM/  each service's own files
    logs/          one log per service           run/         sockets and locks

`party.toml` is written last: a folder without it is not a home. Making one is `home_init.create_home`, which leaves
nothing behind when it fails.
"""

from __future__ import annotations

import fcntl
import os
import re
from contextlib import suppress
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import IO

from party.card import Card, read_card
from party.errors import (
    AlreadyRunning,
    BadCard,
    BadSettings,
    CardExpired,
    CardNotYetValid,
    NoHome,
    PartyNotTrusted,
    UserUnknown,
)
from party.ids import PartyId, checked_name, party_id
from party.keys import PartyKeys, load_keys, load_master
from party.settings import PartySettings, load_settings
from party.user_file import UserFile
from party.users import Users
from runtime.disk.files import keep_private, private_folder, read_private
from runtime.errors import PlatformError

HOME_VARIABLE = "ARCHIPELAGO_HOME"
DEFAULT_HOME = Path("~/.archipelago")
MAX_SOCKET_PATH_BYTES = 100  # the system's limit is 108 with the ending zero
LONGEST_SOCKET_NAME = 20
SETTINGS_FILE = "party.toml"
CARD_FILE = "card.json"
_SOCKET_NAME = re.compile(r"[a-z][a-z0-9-]*")


class PartyHome:
    """An existing home. Settings are read when it is opened, everything else when it is asked for."""

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root).expanduser().absolute()
        if not (self.root / SETTINGS_FILE).is_file():
            raise NoHome(
                f"No party lives in {self.root}.",
                hint=f"Run: flow party init --home '{self.root}', or name another folder with --home.",
            )
        self.settings: PartySettings = load_settings(self.root / SETTINGS_FILE)

    def __repr__(self) -> str:
        return f"PartyHome({str(self.root)!r}, {self.party!r})"

    @property
    def party(self) -> PartyId:
        """Our id."""
        return self.settings.party_id

    @cached_property
    def keys(self) -> PartyKeys:
        """Our private keys. Raises FileExposed or BadKeys."""
        return load_keys(self.root / "keys")

    @cached_property
    def master(self) -> bytes:
        """The key from which those for data at rest are derived. Raises FileExposed or BadKeys."""
        return load_master(self.root / "keys")

    @property
    def card(self) -> Card:
        """Our card as it is on disk now, checked, though it may have expired. Raises BadCard."""
        try:
            card = read_card((self.root / CARD_FILE).read_bytes())
        except OSError as error:
            raise BadCard(f"Our card cannot be read: {error}.", hint="Run: flow party card --renew") from None
        if card.party != self.party:
            raise BadCard(f"{self.root / CARD_FILE} is the card of {card.party}, not of {self.party}.")
        return card

    def trusted(self, *, now: datetime | None = None) -> dict[PartyId, Card]:
        """The cards of the parties we trust that are valid at `now`, in the order of their ids.

        Raises BadCard, naming the file, if one was damaged: a trust file nobody can read is never skipped.
        """
        lapsed = self.lapsed(now=now)
        return {party: card for party, card in self.held_cards().items() if party not in lapsed}

    def lapsed(self, *, now: datetime | None = None) -> dict[str, BadCard]:
        """Why the cards that we hold and that are not valid at `now` are not. Raises BadCard as `trusted` does."""
        found: dict[str, BadCard] = {}
        for party, card in self.held_cards().items():
            try:
                card.check_valid(now)
            except (CardExpired, CardNotYetValid) as error:
                found[party] = error
        return found

    def held_cards(self) -> dict[PartyId, Card]:
        """The cards of the parties we trust, valid now or not, in the order of their ids. Raises BadCard."""
        found = {}
        for path in sorted((self.root / "trusted").glob("*.json")):
            with suppress(FileNotFoundError):  # no longer trusted since the folder was read
                card = self._trusted_card(path)
                found[card.party] = card
        return found

    def trusted_card(self, party: str) -> Card:
        """The card we hold of the party, valid or not. Raises PartyNotTrusted."""
        path = self.root / "trusted" / f"{party_id(party)}.json"
        try:
            return self._trusted_card(path)
        except FileNotFoundError:
            known = ", ".join(sorted(file.stem for file in path.parent.glob("*.json")))
            hint = f"Known: {known or 'none'}."
            raise PartyNotTrusted(f"{self.party} holds no card of '{party}'.", hint=hint) from None

    def socket(self, name: str) -> Path:
        """The path of a Unix socket, in a private folder. Raises BadSettings if the path is too long."""
        if not _SOCKET_NAME.fullmatch(name):
            raise ValueError(f"'{name}' is not a socket name")
        path = self.run_dir / f"{name}.sock"
        if len(os.fsencode(path)) > MAX_SOCKET_PATH_BYTES:
            raise BadSettings(
                f"{path} is too long for a Unix socket (more than {MAX_SOCKET_PATH_BYTES} bytes).",
                hint=f"Set run_dir in {self.root / SETTINGS_FILE} to a private folder with a short path.",
            )
        return path

    @property
    def run_dir(self) -> Path:
        """The private folder of sockets and locks. Raises FileExposed if it is not ours alone."""
        return private_folder(self.path(self.settings.run_dir or "run"))

    def state(self, room: str) -> Path:
        """The folder of one service's own files, made if absent."""
        return private_folder(self.root / "state" / checked_name(room, "room"))

    def log_file(self, room: str) -> Path:
        """Where one service logs."""
        return private_folder(self.root / "logs") / f"{checked_name(room, 'room')}.log"

    @property
    def store(self) -> str:
        """The folder or URI of tables, models and checkpoints."""
        uri = self.settings.store.uri
        return uri if "://" in uri else str(self.path(uri or "store"))

    def path(self, text: str) -> Path:
        """A path from the settings: absolute, or below the home."""
        return self.root / Path(text).expanduser()

    @property
    def user_file(self) -> UserFile:
        """The users, and every change to them."""
        return UserFile(self.root)

    def users(self) -> Users:
        """The users as they are on disk now. Raises BadUsers."""
        return self.user_file.read()

    def token(self, user: str = "admin") -> str:
        """The token of a local user, for the command line on this machine. Raises UserUnknown or FileExposed."""
        path = self.user_file.token_file(checked_name(user, "user name"))
        try:
            return read_private(path).decode().strip()
        except FileNotFoundError:
            raise UserUnknown(f"There is no token of user '{user}' in {path.parent}.") from None

    def database_url(self) -> str:
        """The address of Flow's database, for SQLAlchemy. Raises FileExposed or BadSettings."""
        flow = self.settings.flow
        if flow.database == "sqlite":
            return f"sqlite:///{self.state('flow') / 'flow.sqlite'}"
        path = self.path(flow.database_url_file)
        try:
            return read_private(path).decode().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise BadSettings(
                f"flow.database_url_file: {path} cannot be read: {getattr(error, 'strerror', 'it is not UTF-8')}.",
                hint="Write one line, mysql+pymysql://user:password@host:port/name, into that file with mode 600.",
            ) from None

    def lock(self, room: str) -> IO[bytes]:
        """Hold the room's lock until the returned file is closed. Raises AlreadyRunning."""
        path = self.run_dir / f"{checked_name(room, 'room')}.lock"
        keep_private(path)
        file = path.open("ab")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            raise AlreadyRunning(f"{room} of {self.party} runs already.", hint="See: flow party status") from None
        return file

    def process_file(self, room: str) -> Path:
        """Where it is noted which process the room is, for `runtime.processes`."""
        return self.run_dir / f"{checked_name(room, 'room')}.json"

    def _trusted_card(self, path: Path) -> Card:
        """The card in the file. Raises FileNotFoundError, BadCard."""
        try:
            card = read_card(path.read_bytes())
        except FileNotFoundError:
            raise
        except OSError as error:
            raise BadCard(
                f"{path} cannot be read: {error.strerror}.", hint="Make it readable to the party's user, or remove it."
            ) from None
        except PlatformError as error:
            raise BadCard(
                f"{path}: {error.message}", hint="Trust that party's card again, or remove the file."
            ) from None
        if card.party != path.stem:
            raise BadCard(f"{path} is the card of {card.party}.", hint="Remove the file and run flow party trust CARD.")
        return card


def find_home(explicit: str | Path | None = None) -> PartyHome:
    """The home that the user means: named, else in the environment, else in the usual place. Raises NoHome."""
    named = explicit or os.environ.get(HOME_VARIABLE)
    root = Path(named or DEFAULT_HOME).expanduser().absolute()
    if not (root / SETTINGS_FILE).is_file():
        raise NoHome(
            f"No party lives in {root}.",
            hint=f"Run: flow party init, or name its folder with --home or {HOME_VARIABLE}.",
        )
    return PartyHome(root)
