"""`flow party …`: make a party, exchange cards, start and stop its services, see how it is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flow.cli.exit_codes import Exit
from flow.cli.options import CommandContext, NoSuchFile, asks_a_party, at_home, read_text
from flow.cli.party import policy
from runtime.errors import InvalidInput, NotFound, Unavailable
from runtime.text import size

if TYPE_CHECKING:
    from flow.client import PartyStatus
    from party.home import PartyHome

app = typer.Typer(help="Make, start and look after a party.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(policy.app, name="policy")


_ACCEPTS = {
    "agree": "It agrees at once to every job that fits its policy.",
    "ask": "A person is asked about every job: 'flow job proposal JOB' shows it and how to approve or refuse it.",
    "refuse": "It refuses every job.",
}


class NoComposer(NotFound):
    """The part that writes compose files is not installed."""

    code = "flow.no_composer"


@app.command("init")
@at_home
def init(  # noqa: PLR0913 - one parameter an option
    context: CommandContext,
    party: Annotated[str, typer.Argument(metavar="PARTY", help="The party's id.", show_default=False)],
    host: Annotated[str, typer.Option("--host", help="Where the gateway listens.")] = "127.0.0.1",
    address: Annotated[
        list[str] | None,
        typer.Option("--address", metavar="HOST:PORT", help="A public address for the card; may be repeated."),
    ] = None,
    database: Annotated[str, typer.Option("--database", help="sqlite or mysql.")] = "sqlite",
    database_url_file: Annotated[
        Path | None,
        typer.Option(
            "--database-url-file", help="For mysql: a private file with the URL, which is copied into the home."
        ),
    ] = None,
    accept: Annotated[
        str, typer.Option("--accept", help="Jobs that fit the policy: agree at once, ask a person, or refuse.")
    ] = "ask",
    compose: Annotated[bool, typer.Option("--compose", help="Also write compose files into HOME/compose.")] = False,
) -> None:
    """Make a party: its settings, keys, card, and a first user whose token is in HOME/tokens."""
    from party.home import DEFAULT_HOME
    from party.home_init import create_home, save_settings
    from party.settings import ACCEPTS

    if accept not in ACCEPTS:
        raise InvalidInput(f"--accept: '{accept}' is no decision.", hint=f"Use {', '.join(ACCEPTS)}.")

    target = context.home_dir or DEFAULT_HOME
    url = _database(database, database_url_file)
    home = create_home(target, party, host=host, database=url, public=address)
    wanted = home.settings.policy.model_copy(update={"accept": accept})
    home = save_settings(home, home.settings.model_copy(update={"policy": wanted}))
    composed = _compose(home) if compose else None
    settings = home.settings
    told = {
        "party": home.party,
        "home": str(home.root),
        "card": str(home.root / "card.json"),
        "fingerprint": home.card.fingerprint,
        "gateway": settings.gateway.listen,
        "flow": settings.flow.listen,
        "board": settings.board.listen,
        "accept": accept,
        "compose": str(composed) if composed else None,
    }
    made = f"Made {home.party} in {home.root}."
    context.screen.result(told, made, f"Its card is {told['card']}; start it with 'flow party up'.", _ACCEPTS[accept])


@app.command("card")
@at_home
def card(
    context: CommandContext,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Write it here.")] = None,
    renew: Annotated[bool, typer.Option("--renew", help="Make a new one over the same keys first.")] = False,
) -> None:
    """Our card, for the other parties: it holds no secret."""
    from party.home_init import renew_card

    home = context.home()
    ours = renew_card(home) if renew else home.card
    text = ours.to_json().decode()
    if out is not None:
        out.write_text(text)
        context.screen.result(
            {"party": ours.party, "card": str(out), "fingerprint": ours.fingerprint},
            f"Wrote the card of {ours.party} to {out}.",
        )
    else:
        for line in text.splitlines():
            context.screen.line(line)
    context.screen.note(f"Fingerprint, to compare over another way: {ours.fingerprint}")
    if renew:
        told = "Our services show it from now on" if _reload(context) else "Our services show it when they start"
        context.screen.note(
            f"{told}. Parties that trust us need it now: give it to them; there: flow party trust CARD."
        )


@app.command("trust")
@at_home
def trust(
    context: CommandContext,
    cards: Annotated[list[Path], typer.Argument(metavar="CARD_FILE…", help="Cards to trust.", show_default=False)],
    replace: Annotated[bool, typer.Option("--replace", help="Take other keys; compare the fingerprint first.")] = False,
) -> None:
    """Trust the parties whose cards are in the files."""
    from party.trust import trust as trust_card

    home = context.home()
    done = []
    for file in cards:
        if not file.is_file():
            raise NoSuchFile(f"The card {file} does not exist.", hint="Check the path.")
        context.source = str(file)
        known = trust_card(home, file, replace=replace)
        done.append({"party": known.party, "fingerprint": known.fingerprint})
    context.source = ""
    _reload(context)
    context.screen.result(done, *(f"{home.party} trusts {entry['party']} ({entry['fingerprint']})." for entry in done))


@app.command("untrust")
@at_home
def untrust(
    context: CommandContext,
    party: Annotated[str, typer.Argument(metavar="PARTY", help="The party.", show_default=False)],
) -> None:
    """Trust a party no longer."""
    from party.trust import untrust as untrust_party

    untrust_party(context.home(), party)
    _reload(context)
    context.screen.result({"untrusted": party}, f"{party} is trusted no longer.")


@app.command("up")
@at_home
def up(
    context: CommandContext,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Return when all services are ready.")] = False,
) -> None:
    """Start all services of the party; without --detach they run here until Ctrl-C."""
    from flow.cli.party import processes

    home = context.home()
    if not detach:
        processes.run_here(home)
    with context.screen.waits(f"{home.party} is starting: its services are waited for"):
        pid = processes.start(home)
    context.screen.result(
        {"party": home.party, "pid": pid, "flow": home.settings.flow.listen, "board": home.settings.board.listen},
        f"{home.party} is up (pid {pid}). Its board: 'flow party board'.",
    )


@app.command("down")
@at_home
def down(context: CommandContext) -> None:
    """Stop the services that 'up' started. Nothing is lost: jobs go on at the next start."""
    from flow.cli.party import processes

    home = context.home()
    with context.screen.waits(f"{home.party} is stopping: its services are waited for"):
        stopped = processes.stop(home)
        left = processes.end_what_is_left(home)
    text = f"{home.party} is down." if stopped else f"{home.party} was not running."
    if left:
        what = "1 process that was" if left == 1 else f"{left} processes that were"
        text += f" Ended {what} left of an earlier run."
    context.screen.result({"party": home.party, "stopped": stopped, "left": left}, text)


@app.command("status")
@asks_a_party
def status(context: CommandContext) -> None:
    """The party's services, the parties it trusts, its hosts."""
    with context.client() as flow, context.screen.waits(f"Flow at {flow.url} has not answered yet"):
        view = flow.status()
    if context.screen.as_json:
        context.screen.document(view.model_dump(mode="json"))
    else:
        _show(context, view)
    if not view.healthy:
        raise typer.Exit(Exit.UNHEALTHY)


@app.command("board")
@at_home
def board(context: CommandContext) -> None:
    """A link that opens the board in a browser, logged in: it works once, for ten minutes."""
    from flow.client import FlowClient
    from runtime.addresses import WILDCARDS, HostPort, parse_listen

    home = context.home()
    with FlowClient.of_home(home) as flow:
        ticket = flow.ticket(valid_s=600)
    listen = parse_listen(home.settings.board.listen)
    near = HostPort("127.0.0.1", listen.port) if listen.host in WILDCARDS else listen
    url = f"http://{near}/login?ticket={ticket.ticket}"
    context.screen.result({"url": url, "valid_s": ticket.valid_s}, url)


def _database(kind: str, url_file: Path | None) -> str:
    if kind not in ("sqlite", "mysql"):
        raise InvalidInput(f"--database: '{kind}' is not a database.", hint="Use sqlite or mysql.")
    if kind == "sqlite":
        return kind
    if url_file is None:
        raise InvalidInput(
            "--database mysql needs --database-url-file.",
            hint="Give a private file with mysql+pymysql://user:password@host:port/name.",
        )
    return read_text(url_file, "database URL file").strip()


def _compose(home: PartyHome) -> Path:
    try:
        from deploy.compose import write
    except ImportError:
        raise NoComposer("This installation cannot write compose files.", hint="Leave --compose out.") from None
    return write(home, home.root / "compose")


def _reload(context: CommandContext) -> bool:
    """Have running services read cards and keys again; False if none runs: it reads them when it starts."""
    from flow.client import FlowClient

    try:
        with FlowClient.of_home(context.home()) as flow:
            flow.reload()
    except Unavailable:
        return False
    return True


def _show(context: CommandContext, view: PartyStatus) -> None:
    from flow.views.links import last_heard_text

    screen = context.screen
    screen.line(f"{view.party}: {'healthy' if view.healthy else 'not healthy'}  (you are {view.user})")
    screen.table(("service", "state", ""), [(r.room, r.state, r.text) for r in view.rooms], empty="")
    peers = [(p.party, p.state, ", ".join(p.addresses) or "-", p.queued) for p in view.peers]
    down = {room.room for room in view.rooms if room.state == "down"}
    none = "Not known: the gateway does not answer." if "gateway" in down else "No trusted parties yet."
    screen.table(("trusted party", "link", "addresses", "queued"), peers, empty=none)
    for peer in view.peers:
        if peer.problem:
            told = (peer.problem, "" if peer.state == "up" else last_heard_text(peer.last_seen_ms), peer.remedy)
            screen.line(f"{peer.party}: {' '.join(text for text in told if text)}")
    for stranger in view.strangers:
        screen.line(f"{stranger.text} {stranger.remedy}".rstrip())
    nodes = [
        (
            n.node,
            n.cores,
            f"{n.gpus} ({', '.join(f'{busy:.0f} %' for busy in n.gpu_percent)})" if n.gpu_percent else n.gpus,
            f"{n.cpu_percent:.0f} %",
            f"{size(n.memory_used_bytes)} of {size(n.memory_bytes)}",
            n.executors,
        )
        for n in view.nodes
    ]
    none = "Not known: the Cluster Manager does not answer." if "cluster-manager" in down else "No hosts."
    screen.table(("host", "cores", "gpus", "cpu", "memory", "executors"), nodes, empty=none)
    if view.isolation:
        screen.line(f"Executors on {view.isolation}")
    if view.limits:
        screen.line(f"Limits on {view.limits}")
    for note in view.notes:
        screen.line(f"Note: {note}")
