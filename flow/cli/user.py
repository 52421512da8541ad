"""`flow user …`: who may use this party, and as what.

The commands ask the running party. Where it is down they change the home on this machine instead: whoever may write
the home's files needs no leave for that.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from flow.cli.options import CommandContext, asks_a_party, read_text
from party.users import make_user
from runtime.errors import InvalidInput

if TYPE_CHECKING:
    from flow.client import FlowClient
    from party.user_file import UserFile

app = typer.Typer(help="Say who may use your party, and as what.", no_args_is_help=True, rich_markup_mode=None)

T = TypeVar("T")
Name = Annotated[str, typer.Argument(metavar="NAME", help="The user's name.", show_default=False)]
Roles = Annotated[
    list[str],
    typer.Option("--role", metavar="ROLE", help="scientist, operator, officer or auditor; may be repeated."),
]


@app.command("add")
@asks_a_party
def add(
    context: CommandContext,
    name: Name,
    role: Roles,
    again: Annotated[
        bool, typer.Option("--again", help="The person was removed and comes back to what they own.")
    ] = False,
) -> None:
    """Add a user. The token is printed this once."""
    make_user(name, role)  # says which role is none before the party is asked
    token = _either(
        context,
        lambda flow: flow.add_user(name, role, again=again).token,
        lambda file: file.add(name, role, again=again),
    )
    _token(context, name, token)


@app.command("list")
@asks_a_party
def list_(context: CommandContext) -> None:
    """The users of your party and their roles."""
    from flow.client import UserView

    def at_home(file: UserFile) -> list[UserView]:
        return [
            UserView(name=a.user.name, roles=tuple(sorted(a.user.roles)), has_password=bool(a.password))
            for a in file.read().accounts
        ]

    views = _either(context, lambda flow: flow.users(), at_home)
    if context.screen.as_json:
        context.screen.document([view.model_dump(mode="json") for view in views])
        return
    rows = [(view.name, ", ".join(view.roles), "yes" if view.has_password else "no") for view in views]
    context.screen.table(("user", "roles", "password"), rows, empty="No users.")


@app.command("remove")
@asks_a_party
def remove(context: CommandContext, name: Name) -> None:
    """Remove a user, who is out at once. The last officer stays."""
    _either(context, lambda flow: flow.remove_user(name), lambda file: file.remove(name))
    context.screen.result({"removed": name}, f"Removed {name}.")


@app.command("role")
@asks_a_party
def role(
    context: CommandContext,
    name: Name,
    roles: Annotated[
        list[str],
        typer.Argument(metavar="ROLE…", help="scientist, operator, officer or auditor.", show_default=False),
    ],
) -> None:
    """Give a user these roles instead of the ones before."""
    make_user(name, roles)
    _either(context, lambda flow: flow.set_roles(name, roles), lambda file: file.set_roles(name, roles))
    context.screen.result({"user": name, "roles": sorted(set(roles))}, f"{name}: {', '.join(sorted(set(roles)))}.")


@app.command("token")
@asks_a_party
def token(context: CommandContext, name: Name) -> None:
    """Print a fresh token, this once. The one before and all sessions of the user end."""
    _token(context, name, _either(context, lambda flow: flow.new_token(name).token, lambda file: file.new_token(name)))


@app.command("password")
@asks_a_party
def password(
    context: CommandContext,
    name: Name,
    password_file: Annotated[
        Path | None, typer.Option("--password-file", metavar="FILE", help="Take it from a file instead of asking.")
    ] = None,
    remove: Annotated[bool, typer.Option("--remove", help="No password opens the account from now on.")] = False,
) -> None:
    """Set the password with which a user logs in to the board. All sessions of the user end."""
    new = None if remove else _password(context, password_file)
    _either(context, lambda flow: flow.set_password(name, new), lambda file: file.set_password(name, new))
    text = f"{name} has no password now." if remove else f"{name} has a new password."
    context.screen.result({"user": name, "has_password": not remove}, text)


def _either(context: CommandContext, ask: Callable[[FlowClient], T], at_home: Callable[[UserFile], T]) -> T:
    """Ask the party, or change its home if it is down and lives here."""
    if context.is_down_here():
        return at_home(context.home().user_file)
    with context.client() as flow:
        return ask(flow)


def _token(context: CommandContext, name: str, fresh: str) -> None:
    context.screen.result({"user": name, "token": fresh}, fresh)
    context.screen.note("It is shown this once. Keep it in a private file and name that with --token-file.")


def _password(context: CommandContext, file: Path | None) -> str:
    if file is not None:
        return read_text(file, "password file").rstrip("\r\n")
    first = context.screen.secret("New password: ")
    if context.screen.asks_a_person and context.screen.secret("The same again: ") != first:
        raise InvalidInput("The two passwords differ.", hint="Try again.")
    return first
