"""`flow party policy …`, and the options of `flow data policy` and `flow model policy`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from flow.cli.options import CommandContext, asks_a_party, json_or_text
from runtime.errors import InvalidInput

if TYPE_CHECKING:
    from flow.views.jobs import PolicyView
    from storage.facts import UsePolicy

app = typer.Typer(help="See and change what the party agrees to.", no_args_is_help=True, rich_markup_mode=None)

ComponentsOption = Annotated[
    list[str] | None, typer.Option("--components", metavar="NAME", help="Only these components. May be repeated.")
]
PeersOption = Annotated[
    list[str] | None, typer.Option("--peers", metavar="PARTY", help="Only with these parties. May be repeated.")
]
UsersOption = Annotated[
    list[str] | None,
    typer.Option("--users", metavar="USER", help="Whose jobs may read it beside the owner's. May be repeated."),
]
ExpiresOption = Annotated[
    str | None, typer.Option("--expires", metavar="DATE", help="Until then, such as 2027-01-31; 'never' takes it back.")
]
ClearOption = Annotated[bool, typer.Option("--clear", help="Take it back.")]


@app.command("show")
@asks_a_party
def show(context: CommandContext) -> None:
    """What the party agrees to."""
    with context.client() as flow:
        policy = flow.policy()
    _show(context, policy)


@app.command("set")
@asks_a_party
def set_(
    context: CommandContext,
    changes: Annotated[
        list[str], typer.Argument(metavar="KEY=VALUE…", help="Values are JSON, or text; lists with commas.")
    ],
) -> None:
    """Change what the party agrees to, taken up at once; of a party that is down, its settings file is changed."""
    from flow.client import FlowUnreachable

    values = _values(changes)
    with context.client() as flow:
        try:
            policy = flow.change_policy(values)
        except FlowUnreachable:
            if context.url is not None or context.token_file is not None:
                raise
            policy = _change_file(context, values)
    _show(context, policy)


@dataclass(frozen=True)
class Wanted:
    """The options of a table's or a model's use policy, as typed."""

    components: list[str] | None
    peers: list[str] | None
    expires: str | None
    clear: bool
    min_rows: int | None = None
    users: list[str] | None = None

    def apply(
        self,
        context: CommandContext,
        name: str,
        now: Callable[[str], UsePolicy],
        put: Callable[[str, UsePolicy | None], UsePolicy],
    ) -> None:
        """Show the policy, or change what was typed, and show it then."""
        typed = {
            "components": _list(self.components),
            "peers": _list(self.peers),
            "users": _list(self.users),
            "min_rows": self.min_rows,
            "expires": self.expires,
        }
        changes = {key: value for key, value in typed.items() if value is not None}
        if self.clear and changes:
            raise InvalidInput("--clear takes everything back; leave the other options out.")
        if self.clear:
            policy = put(name, None)
        elif changes:
            policy = put(name, _changed(now(name), changes))
        else:
            policy = now(name)
        told = policy.model_dump(mode="json")
        context.screen.result({"name": name, **told}, name, *(f"  {key}: {_shown(told[key])}" for key in told))


def _shown(value: object) -> str:
    """A value of a use policy as its option would take it; an empty list is `none`."""
    if isinstance(value, list):
        return ", ".join(value) or "none"
    return "never" if value is None else str(value)


def _changed(policy: UsePolicy, changes: Mapping[str, object]) -> UsePolicy:
    from datetime import UTC, datetime

    from storage.facts import UsePolicy

    text, until = changes.get("expires"), policy.expires
    if text == "never":
        until = None
    elif isinstance(text, str):
        try:
            until = datetime.fromisoformat(text)
        except ValueError:
            raise InvalidInput(f"--expires: '{text[:40]}' is no date.", hint="Write it as 2027-01-31.") from None
        until = until if until.tzinfo else until.replace(tzinfo=UTC)
    return UsePolicy.model_validate({**policy.model_dump(), **changes, "expires": until})


def _list(values: list[str] | None) -> tuple[str, ...] | None:
    if values is None:
        return None
    return tuple(part.strip() for value in values for part in value.split(",") if part.strip())


def _values(changes: list[str]) -> dict[str, object]:
    from party.settings import PolicySettings

    lists = {key for key, field in PolicySettings.model_fields.items() if isinstance(field.default, tuple)}
    values: dict[str, object] = {}
    for text in changes:
        key, equals, value = text.partition("=")
        if not (key and equals):
            raise InvalidInput(f"'{text[:80]}' changes nothing.", hint="Write KEY=VALUE, such as accept=agree.")
        found = json_or_text(value)
        values[key] = [part.strip() for part in value.split(",")] if key in lists and isinstance(found, str) else found
    return values


def _change_file(context: CommandContext, values: dict[str, object]) -> PolicyView:
    from flow.policy_book import notes_of_unknown, viewed
    from party.home import SETTINGS_FILE
    from party.settings_file import change_policy

    home = context.home()
    policy = change_policy(home.root / SETTINGS_FILE, values)
    context.screen.note(f"{home.party} is not running: its settings file was changed.")
    return viewed(policy, notes_of_unknown(policy, {home.party, *home.held_cards()}))


def _show(context: CommandContext, policy: PolicyView) -> None:
    from party.settings import PolicySettings, toml_value

    shown = [f"{key} = {toml_value(getattr(policy, key))}" for key in PolicySettings.model_fields]
    context.screen.result(policy.model_dump(mode="json"), *shown, *(f"Note: {note}" for note in policy.notes))
