"""The compose file of one party: every service in a container of its own, beside the secrets of its database.

    FOLDER/compose.yaml       the services; holds no secret
    FOLDER/settings/*.toml    party.toml as the containers see it
    FOLDER/secrets/*          random passwords, made once, 0600, kept when the file is written again
    FOLDER/mysql/             the database's own files
    FOLDER/incoming/          files to upload or submit; Flow's container reads them under /incoming

The home is mounted, never copied, so that keys stay in one place. Containers run as the owner of the home; a home
that belongs to root is handed to `SERVICE_UID` first, because nothing here runs as root.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import jinja2
from pydantic import BaseModel

from deploy.containers import DATABASE_URL_FILE, HOME, RUN_DIR, Container, containers, shared_cpus, with_limits
from deploy.errors import BadComposeFolder, HalfASecret
from party.home import PartyHome
from party.settings import PartySettings, render_settings
from runtime.disk.files import PRIVATE_FOLDER, write_whole

SERVICE_UID = 10001
DATABASE_IMAGE = "mysql:8.4"
DATABASE = "archipelago"
PASSWORD_BYTES = 32
PASSWORDS = ("database_password", "database_root_password")
SECRETS = ("database_url", *PASSWORDS)
FOLDERS = ("settings", "secrets", "mysql", "incoming")
COMPOSE_FILE = "compose.yaml"
TEMPLATE = "compose.yaml.j2"
OPEN_FILE = 0o644  # the compose file holds no secret


def write(home: PartyHome, folder: Path) -> Path:
    """Write everything that `docker compose` needs to run the party, and return the path of the compose file.

    Writing again brings file and settings up to date and keeps the secrets. The home's own settings do not change.

    Raises:
        BadComposeFolder: `folder` is the home itself, or cannot be written.
        HalfASecret: Some of the secrets of an earlier writing are missing.
    """
    folder = folder.expanduser().absolute()
    if folder == home.root:
        raise BadComposeFolder(f"{folder} is the home itself.", hint=f"Name another folder, such as {folder}/compose.")
    uid, gid = _owner(home.root)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in FOLDERS:
            (folder / name).mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
        _make_secrets(folder / "secrets")
        settings = with_limits(home.settings)
        hidden = _hidden(home, folder)
        services = tuple(replace(each, hidden=each.hidden + hidden) for each in containers(settings))
        for service in services:
            write_whole(folder / "settings" / f"{service.name}.toml", render_settings(_inside(settings, service)))
        write_whole(folder / COMPOSE_FILE, _render(home, services, (uid, gid)), mode=OPEN_FILE)
        _hand_over((home.root, *(folder / name for name in FOLDERS)), uid, gid)
    except OSError as error:
        raise BadComposeFolder(f"{error.filename or folder} cannot be written: {error.strerror}.") from None
    return folder / COMPOSE_FILE


def _owner(home: Path) -> tuple[int, int]:
    status = home.stat()
    return (status.st_uid, status.st_gid) if status.st_uid else (SERVICE_UID, SERVICE_UID)


def _make_secrets(folder: Path) -> None:
    """New random secrets, or the ones that are there: a database takes its passwords at its first start only."""
    present = [name for name in SECRETS if (folder / name).exists()]
    if present and len(present) < len(SECRETS):
        missing = ", ".join(name for name in SECRETS if name not in present)
        raise HalfASecret(
            f"{folder} lacks {missing}.",
            hint="Restore it from a backup; or, if the database is still empty, remove the folders secrets and mysql.",
        )
    if present:
        return
    made = {name: secrets.token_urlsafe(PASSWORD_BYTES) for name in PASSWORDS}
    made["database_url"] = (
        f"mysql+pymysql://{DATABASE}:{made['database_password']}@mysql:3306/{DATABASE}?charset=utf8mb4"
    )
    for name, secret in made.items():
        write_whole(folder / name, secret.encode())


def _inside(settings: PartySettings, service: Container) -> PartySettings:
    """The settings as this service's container sees them."""
    sections: dict[str, BaseModel] = {"gateway": settings.gateway, "board": settings.board}
    sections["flow"] = settings.flow.model_copy(update={"database": "mysql", "database_url_file": DATABASE_URL_FILE})
    for name, listen in service.listen.items():
        sections[name] = sections[name].model_copy(update={"listen": listen})
    return settings.model_copy(update={**sections, "run_dir": RUN_DIR})


def _hidden(home: PartyHome, folder: Path) -> tuple[str, ...]:
    """What no service may see of its home: the compose folder with the database's secrets, if it lies there."""
    return (f"{HOME}/{folder.relative_to(home.root)}",) if home.root in folder.parents else ()


def _render(home: PartyHome, services: tuple[Container, ...], user: tuple[int, int]) -> bytes:
    uid, gid = user
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - YAML; every value passes through the filter `yaml`
    )
    environment.filters["yaml"] = _yaml
    values: Mapping[str, object] = {
        "party": home.party,
        "project": f"archipelago-{home.party}",
        "user": f"{uid}:{gid}",
        "image": f"archipelago-fl:{version('archipelago-fl')}",
        "database_image": DATABASE_IMAGE,
        "database": DATABASE,
        "home": str(home.root),
        "run_dir": RUN_DIR,
        "run_options": f"uid={uid},gid={gid},mode=0700,size=16m",
        "services": services,
        "shared_cpus": shared_cpus(),
        "secrets": SECRETS,
    }
    return environment.get_template(TEMPLATE).render(values).encode()


def _yaml(value: object) -> str:
    """A value as YAML (JSON is YAML), with `$` doubled so that compose does not read it as a variable."""
    return json.dumps(value, ensure_ascii=False).replace("$", "$$")


def _hand_over(roots: tuple[Path, ...], uid: int, gid: int) -> None:
    """Give everything to the user that the containers run as; only root can, and only root needs to."""
    if os.geteuid() != 0:
        return
    for root in roots:
        os.chown(root, uid, gid)
        for path in root.rglob("*"):
            os.chown(path, uid, gid, follow_symlinks=False)
