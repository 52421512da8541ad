"""How a party's home is made: all of it, or nothing.

Everything is written into a folder beside the home, which takes the home's name in one step. Where the home's folder
exists already and is empty (a mounted volume), the parts are moved into it and `party.toml` comes last.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from party.card import Card, make_card
from party.errors import BadSettings, HomeExists
from party.home import CARD_FILE, LONGEST_SOCKET_NAME, MAX_SOCKET_PATH_BYTES, SETTINGS_FILE, PartyHome
from party.ids import PartyId, party_id
from party.keys import make_keys, renewed, save_keys
from party.settings import BoardSettings, FlowSettings, GatewaySettings, PartySettings, render_settings
from party.user_file import USERS_FILE
from party.users import FOUNDER_ROLES, Users, make_user, new_token, save_users
from runtime.addresses import WILDCARDS, HostPort, free_port, is_loopback, parse_listen
from runtime.disk.faults import fault_of, refusals
from runtime.disk.files import PRIVATE_FOLDER, private_folder, sync_folder, write_whole
from runtime.errors import BadAddress

FIRST_USER = "admin"
FOLDERS = ("trusted", "tokens", "store", "state", "logs", "run")


@dataclass(frozen=True)
class Ports:
    """The three TCP ports of a party on one host."""

    gateway: int
    flow: int
    board: int

    @staticmethod
    def pick(host: str = "127.0.0.1", *, avoid: Collection[int] = ()) -> Ports:
        """Three ports that are free now and not in `avoid`. Raises PortInUse."""
        found: list[int] = []
        for _ in range(3):
            found.append(free_port(host, avoid={*avoid, *found}))
        return Ports(*found)

    def all(self) -> tuple[int, int, int]:
        """The three, to avoid them elsewhere."""
        return self.gateway, self.flow, self.board


def create_home(
    root: Path | str,
    party: str,
    *,
    host: str = "127.0.0.1",
    ports: Ports | None = None,
    database: str = "sqlite",
    public: Sequence[str] | None = None,
) -> PartyHome:
    """Make a party: settings, keys, card and a first user, whose token is in HOME/tokens.

    Args:
        root: The folder to make; it must not exist, or be empty.
        party: The party's id.
        host: Where the gateway listens; Flow and board stay on the loopback unless this is a loopback address.
        ports: The ports to listen on; free ones are picked by default.
        database: `sqlite`, or a URL `mysql+pymysql://user:password@host:port/name`, kept in a private file.
        public: The addresses on our card (default: where the gateway listens); none for a party that only calls out.

    Raises:
        HomeExists: Something is in the folder.
        InvalidName: `party` is not a legal id.
        BadAddress: `host` or a public address is wrong.
        BadSettings: `database` is neither.
    """
    target = Path(root).expanduser().absolute()
    with refusals(target):
        _refuse_existing(target)
    name = party_id(party)
    picked = ports or Ports.pick(host)
    addresses = _public(HostPort(host, picked.gateway), public)
    settings = _settings(name, host, picked, addresses, database)
    with refusals(target), ExitStack() as undo:
        staging = _staging(target, undo)
        settings = _with_run_dir(settings, target, undo)
        _fill(staging, settings, database)
        _move(staging, target, undo)
        undo.pop_all()
    return PartyHome(target)


def save_settings(home: PartyHome, settings: PartySettings) -> PartyHome:
    """Replace the settings file; the card keeps its addresses until it is renewed."""
    write_whole(home.root / SETTINGS_FILE, render_settings(settings))
    return PartyHome(home.root)


def renew_card(home: PartyHome, *, now: datetime | None = None) -> Card:
    """A new certificate and card over the same keys, with the addresses that the settings say now."""
    addresses = home.settings.gateway.public
    keys = renewed(home.keys, home.party, addresses, now=now)
    card = make_card(keys, home.party, addresses)
    save_keys(home.root / "keys", keys)
    write_whole(home.root / CARD_FILE, card.to_json())
    return card


def _refuse_existing(target: Path) -> None:
    if (target / SETTINGS_FILE).exists():
        raise HomeExists(f"A party lives in {target} already.", hint="Name another folder with --home.")
    if target.is_symlink() or (target.exists() and not target.is_dir()) or (target.is_dir() and any(target.iterdir())):
        raise HomeExists(f"{target} exists and is not an empty folder.", hint="Name another folder with --home.")


def _public(listen: HostPort, public: Sequence[str] | None) -> tuple[str, ...]:
    if public is not None:
        return tuple(str(parse_listen(address)) for address in public)
    if listen.host in WILDCARDS:
        raise BadAddress(
            f"{listen} is not an address that others can call.",
            hint="Name the public host:port of this party, or none if it only calls out.",
        )
    return (str(parse_listen(str(listen))),)


def _settings(party: PartyId, host: str, ports: Ports, addresses: tuple[str, ...], database: str) -> PartySettings:
    near = host if is_loopback(host) else "127.0.0.1"
    flow = FlowSettings(listen=str(HostPort(near, ports.flow)))
    if database.startswith("mysql+pymysql://"):
        flow = flow.model_copy(update={"database": "mysql", "database_url_file": "keys/database.url"})
    elif database != "sqlite":
        raise BadSettings("database: neither sqlite nor a URL mysql+pymysql://user:password@host:port/name.")
    return PartySettings(
        party=party,
        gateway=GatewaySettings(listen=str(HostPort(host, ports.gateway)), public=addresses),
        flow=flow,
        board=BoardSettings(listen=str(HostPort(near, ports.board))),
    )


def _staging(target: Path, undo: ExitStack) -> Path:
    if not target.exists():
        missing = [folder for folder in (target.parent, *target.parent.parents) if not folder.exists()]
        target.parent.mkdir(parents=True, exist_ok=True)
        for folder in reversed(missing):
            undo.callback(_remove_empty, folder)
    beside = target if target.exists() else target.parent
    staging = Path(tempfile.mkdtemp(dir=beside, prefix=f".{target.name}.making-"))
    undo.callback(shutil.rmtree, staging, ignore_errors=True)
    return staging


def _remove_empty(folder: Path) -> None:
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def _with_run_dir(settings: PartySettings, target: Path, undo: ExitStack) -> PartySettings:
    longest = target / "run" / ("x" * LONGEST_SOCKET_NAME)
    if len(str(longest).encode()) <= MAX_SOCKET_PATH_BYTES:
        return settings
    folder = tempfile.mkdtemp(prefix="archipelago-")
    undo.callback(shutil.rmtree, folder, ignore_errors=True)
    return settings.model_copy(update={"run_dir": folder})


def _fill(staging: Path, settings: PartySettings, database: str) -> None:
    staging.chmod(PRIVATE_FOLDER)
    for name in FOLDERS:
        private_folder(staging / name)
    keys = make_keys(settings.party_id, settings.gateway.public)
    save_keys(staging / "keys", keys)
    if settings.flow.database == "mysql":
        write_whole(staging / settings.flow.database_url_file, database.encode() + b"\n")
    write_whole(staging / CARD_FILE, make_card(keys, settings.party_id, settings.gateway.public).to_json())
    token = new_token()
    write_whole(staging / "tokens" / f"{FIRST_USER}.token", token.encode() + b"\n")
    save_users(staging / USERS_FILE, Users().added(make_user(FIRST_USER, FOUNDER_ROLES), token))
    write_whole(staging / SETTINGS_FILE, render_settings(settings))


def _move(staging: Path, target: Path, undo: ExitStack) -> None:
    if staging.parent != target:
        try:
            staging.rename(target)
        except OSError as error:
            if fault_of(error) is not None:
                raise
            raise HomeExists(f"{target} was made by somebody else meanwhile.") from None
        undo.callback(_remove, target)
        sync_folder(target.parent)
        return
    parts = sorted(staging.iterdir(), key=lambda part: part.name == SETTINGS_FILE)
    for part in parts:
        path = target / part.name
        part.rename(path)
        undo.callback(_remove, path)
    staging.rmdir()
    target.chmod(PRIVATE_FOLDER)
    sync_folder(target)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
