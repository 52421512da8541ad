"""The settings of a party: one TOML file, read once by each service's main function.

An unknown key is an error, because a typo must not become a default. Secrets stand in files that the settings name,
never in the settings. Every field's description is written above it as a comment when a home is made.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from party.errors import BadSettings
from party.ids import PartyId, party_id
from runtime.addresses import HostPort, parse_listen
from runtime.errors import PlatformError
from runtime.suggestions import did_you_mean

SETTINGS_SCHEMA = 1
MAX_SETTINGS_BYTES = 1 << 20
MAX_USER = (1 << 31) - 1
KEEP_CHECKPOINTS_S = 7 * 24 * 3600
MIDDLE_PRIORITY = 5  # of a job that says nothing about it
SIZE_UNITS = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}


def size_bytes(text: str) -> int:
    """`512MiB`, `2GiB` or a plain number of bytes to bytes. Raises ValueError saying which units there are."""
    number = text.rstrip("BKMGTi")
    unit = text[len(number) :] or "B"
    if not number.isascii() or not number.isdigit() or unit not in SIZE_UNITS or int(number) < 1:
        raise ValueError(f"'{text[:40]}' is not a size; write a whole number and one of {', '.join(SIZE_UNITS)}")
    return int(number) * SIZE_UNITS[unit]


def _checked_listen(text: str) -> str:
    return as_value_error(lambda: str(parse_listen(text)))


def _checked_party(text: str) -> str:
    return as_value_error(lambda: party_id(text))


def _checked_size(text: str) -> str:
    if text != "auto":
        size_bytes(text)
    return text


def _fixed_size(text: str) -> str:
    size_bytes(text)
    return text


def _checked_peer(text: str) -> str:
    return text if text == "*" else _checked_party(text)


def _refuse_insecure(url: str) -> None:
    """An address for signed requests: https, or http on this host."""
    parts = urlsplit(url)
    near = parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost", "::1")
    if not parts.hostname or not (parts.scheme == "https" or near) or parts.username or parts.fragment:
        raise ValueError("url is not like https://host/path (http only on this host; no user, no fragment)")


Listen = Annotated[str, AfterValidator(_checked_listen)]
Party = Annotated[str, AfterValidator(_checked_party)]
Size = Annotated[str, AfterValidator(_checked_size)]
FixedSize = Annotated[str, AfterValidator(_fixed_size)]
Peer = Annotated[str, AfterValidator(_checked_peer)]
Auto = Literal["auto"]
Accept = Literal["agree", "ask", "refuse"]
ACCEPTS: tuple[str, ...] = get_args(Accept)
LeastProtection = Literal["plain", "masked", "encrypted"]
DEFAULT_PROTECTION: LeastProtection = "masked"


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class GatewaySettings(_Section):
    """The party's only door to other parties."""

    listen: Listen = Field(description="Where other parties' gateways reach us: host:port.")
    public: tuple[Listen, ...] = Field(
        default=(), description="Addresses written on our card; none means that we only call out."
    )
    durability: Literal["process", "power"] = Field(
        default="process",
        description="What a stored message survives: the end of any process, or a power cut (slower).",
    )
    record_envelopes: str = Field(
        default="", description="A folder that receives every envelope as sent, for security tests; empty: none."
    )


class FlowSettings(_Section):
    """Jobs, their states, and the REST interface."""

    listen: Listen = Field(description="Where the REST interface listens: host:port.")
    database: Literal["sqlite", "mysql"] = Field(default="sqlite", description="Where jobs and events are recorded.")
    database_url_file: str = Field(
        default="", description="For mysql: a private file holding mysql+pymysql://user:password@host:port/name."
    )

    keep_checkpoints_s: int = Field(
        default=KEEP_CHECKPOINTS_S,
        ge=0,
        description="How long checkpoints of a job that failed or was stopped stay, to go on from; 0: not at all.",
    )

    @model_validator(mode="after")
    def _mysql_needs_a_url(self) -> Self:
        if self.database == "mysql" and not self.database_url_file:
            raise ValueError('database = "mysql" needs database_url_file, the path of a private file with the URL')
        return self


class BoardSettings(_Section):
    """The pages for people."""

    listen: Listen = Field(description="Where the board's pages are served: host:port.")
    https: bool = Field(
        default=False,
        description="Whether people reach the board by HTTPS, through a proxy: then its cookie is Secure.",
    )


class ClusterSettings(_Section):
    """Which hosts of this party run executors."""

    nodes: tuple[str, ...] = Field(
        default=(), description="Node Managers as unix:PATH; none means our own on this host."
    )
    node_silent_s: Annotated[float, Field(ge=10, le=86_400)] = Field(
        default=60, description="How long a host may be silent before its executors start again on another."
    )


class NodeSettings(_Section):
    """What executors on this host may use."""

    name: str = Field(
        default="",
        max_length=100,
        pattern=r"^[A-Za-z0-9._-]*$",
        description="The host's name inside the party; empty: the party's id.",
    )
    cores: Annotated[int, Field(ge=1)] | Auto = Field(default="auto", description='A number of cores, or "auto".')
    memory: Size = Field(default="auto", description='For example "8GiB", or "auto".')
    gpus: Annotated[int, Field(ge=0)] | Auto = Field(default="auto", description='A number of GPUs, or "auto".')
    executor_user: Annotated[int, Field(ge=1, le=MAX_USER)] | Auto = Field(
        default="auto",
        description='Whom executors run as where services run as root: a free user number, or "auto".',
    )
    executor_processes: int = Field(
        default=1024,
        ge=64,
        le=1_000_000,
        description="How many processes and threads one executor may have, with all that it starts.",
    )
    executor_disk: FixedSize = Field(
        default="16GiB", description="How large the working folder of one executor may become."
    )
    preload: tuple[str, ...] = Field(
        default=("numpy", "pyarrow", "torch"), description="Modules that the warm parent imports where installed."
    )

    @property
    def memory_bytes(self) -> int | None:
        """The memory limit in bytes, or None for what the host has."""
        return None if self.memory == "auto" else size_bytes(self.memory)


class StoreSettings(_Section):
    """Where tables, models and checkpoints lie."""

    uri: str = Field(default="", description="A folder or URI that all hosts of this party reach; empty: HOME/store.")


class HookSettings(_Section):
    """A program of ours that is told of each job that is over."""

    url: str = Field(
        default="", max_length=2_000, description="An https address that takes a POST; empty: nobody is told."
    )
    secret_file: str = Field(default="", description="A private file; requests are signed with what stands in it.")
    ca_file: str = Field(
        default="", description="Certificates (PEM) of the authorities behind that address; empty: the host's own."
    )

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.url:
            _refuse_insecure(self.url)
            if not self.secret_file:
                raise ValueError("url needs secret_file, the path of a private file")
        return self


class PolicySettings(_Section):
    """What this party agrees to when another party proposes a job."""

    accept: Accept = Field(
        default="ask", description="A proposal that fits this policy: agree at once, ask a person, or refuse."
    )
    components: tuple[str, ...] = Field(
        default=("*",), description='Components allowed, such as "homo_lr@1"; "*": all.'
    )
    peers: tuple[Peer, ...] = Field(default=("*",), description='Trusted parties we work with; "*": all of them.')
    share: tuple[Literal["metrics", "logs"], ...] = Field(
        default=(),
        description='What may be shown to the other parties of a job beyond its agreed metrics: "metrics", "logs".',
    )
    min_rows: int = Field(default=1, ge=0, description="Tables with fewer rows are not used in a job.")
    min_trainers: int = Field(
        default=2,
        ge=1,
        description="Where a component adds up what trainers send: fewer are refused; of 2, each learns the other's.",
    )
    min_protection: LeastProtection | dict[str, LeastProtection] = Field(
        default=DEFAULT_PROTECTION,
        description='How well numbers computed from rows are hidden when they leave: "plain", "masked", "encrypted"; '
        'or by component, { "homo_lr" = "encrypted", "*" = "masked" }.',
    )

    max_priority: int = Field(
        default=MIDDLE_PRIORITY,
        ge=0,
        le=9,
        description="The most that settings.priority of other parties' jobs counts for where jobs wait for room here; "
        f"{MIDDLE_PRIORITY} is that of a job which says nothing.",
    )
    max_running_jobs_per_peer: int = Field(
        default=0, ge=0, description="How many jobs of one other party have executors here at once; 0: any number."
    )
    max_running_jobs_per_user: int = Field(
        default=0, ge=0, description="How many jobs of one of our users have executors here at once; 0: any number."
    )

    def unsaid(self) -> tuple[str, ...]:
        """What the settings file leaves to us, as sentences; empty if it says everything."""
        said = self.model_fields_set
        notes = {
            "accept": f'policy.accept is not in party.toml: "{self.accept}" is taken, so a person is asked about jobs.',
            "min_protection": "policy.min_protection is not in party.toml: sums of plain numbers are refused.",
        }
        return tuple(note for key, note in notes.items() if key not in said)


class PartySettings(_Section):
    """Everything that a person may set for one party."""

    schema_version: Literal[1] = Field(default=1, alias="schema", description="The version of this file.")
    party: Party = Field(description="Our id in every federation.")
    run_dir: str = Field(default="", description="A private folder for sockets; empty: HOME/run.")
    gateway: GatewaySettings
    flow: FlowSettings
    board: BoardSettings
    cluster: ClusterSettings = ClusterSettings()
    node: NodeSettings = NodeSettings()
    store: StoreSettings = StoreSettings()
    policy: PolicySettings = PolicySettings()
    hooks: HookSettings = HookSettings()

    @property
    def party_id(self) -> PartyId:
        """Our id, typed."""
        return PartyId(self.party)

    @property
    def gateway_listen(self) -> HostPort:
        """Where the gateway listens."""
        return parse_listen(self.gateway.listen)


def load_settings(path: Path) -> PartySettings:
    """The settings in the file. Raises BadSettings naming the file and each `section.key` that is wrong."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_SETTINGS_BYTES + 1)
        refuse_oversize(path, data)
        values = tomllib.loads(data.decode())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadSettings(f"{path} cannot be read as TOML: {error}.") from None
    version = values.get("schema")
    if version != SETTINGS_SCHEMA or isinstance(version, bool):
        raise BadSettings(
            f"{path}: schema: this release reads version {SETTINGS_SCHEMA}, the file says {version!r}.",
            hint=f"Write schema = {SETTINGS_SCHEMA}, or use the release that made the file.",
        )
    try:
        return PartySettings.model_validate(values)
    except ValidationError as error:
        raise BadSettings("\n".join(f"{path}: {problem}" for problem in _problems(error))) from None


def refuse_oversize(path: Path, data: bytes) -> None:
    """Raise BadSettings if this is more than a settings file may hold."""
    if len(data) > MAX_SETTINGS_BYTES:
        raise BadSettings(
            f"{path} has more than {MAX_SETTINGS_BYTES} bytes.", hint="Shorten the lists in its [policy] section."
        )


def checked_policy(policy: PolicySettings, values: Mapping[str, object]) -> PolicySettings:
    """A policy with other values. Raises BadSettings naming each key that is wrong."""
    try:
        return PolicySettings.model_validate({**policy.model_dump(), **values})
    except ValidationError as error:
        raise BadSettings("\n".join(_problems(error, "policy"))) from None


def render_settings(settings: PartySettings) -> bytes:
    """The settings as a TOML file with a comment above each key."""
    lines = ["# Settings of one party. An unknown key is an error; secrets stand in files of their own.", ""]
    sections: list[str] = []
    for name, field in PartySettings.model_fields.items():
        value = getattr(settings, name)
        if isinstance(value, _Section):
            sections += ["", f"# {type(value).__doc__}", f"[{name}]", *_rendered(value)]
        else:
            lines += [f"# {field.description}", f"{field.alias or name} = {toml_value(value)}"]
    return ("\n".join(lines + sections) + "\n").encode()


def _rendered(section: _Section) -> list[str]:
    lines: list[str] = []
    for name, field in type(section).model_fields.items():
        lines += [f"# {field.description}", f"{name} = {toml_value(getattr(section, name))}"]
    return lines


def toml_value(value: str | int | tuple[str, ...] | dict[str, str]) -> str:
    """A value as TOML, on one line."""
    if isinstance(value, tuple):
        return f"[{', '.join(toml_value(item) for item in value)}]"
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{toml_value(key)} = {toml_value(item)}' for key, item in value.items())} }}"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _problems(error: ValidationError, *section: str) -> list[str]:
    found = error.errors()
    return [_problem((*section, *item["loc"]), item["type"], item["msg"], item["input"]) for item in found]


def _problem(keys: tuple[int | str, ...], kind: str, text: str, given: object) -> str:
    key = ".".join(str(part) for part in keys if part not in get_args(Auto) and part != "constrained-int")
    if kind == "extra_forbidden":
        return f"{key}: unknown key. {did_you_mean(str(keys[-1]), _keys_at(keys[:-1]))}"
    if kind == "missing":
        return f"{key}: this key is missing."
    said = text.removeprefix("Value error, ")
    shown = f", not {given!r}" if isinstance(given, str | int | float) and "value_error" not in kind else ""
    return f"{key}: {said[:1].lower()}{said[1:]}{shown}."


def _keys_at(keys: tuple[int | str, ...]) -> list[str]:
    model: Any = PartySettings
    for part in keys:
        model = model.model_fields[str(part)].annotation
    return [field.alias or name for name, field in model.model_fields.items()]


def as_value_error(check: Callable[[], str]) -> str:
    """What a check gives; what it refuses as the ValueError that a model expects."""
    try:
        return str(check())
    except PlatformError as error:
        raise ValueError(str(error)) from None
