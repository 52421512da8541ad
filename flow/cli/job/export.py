"""`flow job export`: one archive for a bug report, without data."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from flow.cli.options import CommandContext, OverwriteOption, asks_a_party
from flow.errors import FileUnwritable
from runtime.errors import Denied, NotFound

if TYPE_CHECKING:
    from flow.client import FlowClient
    from flow.views.bundle import Found

T = TypeVar("T")


@asks_a_party
def export(
    context: CommandContext,
    job: Annotated[str, typer.Argument(metavar="JOB", help="The job's id.", show_default=False)],
    to: Annotated[Path, typer.Option("--to", metavar="FILE.zip", help="The archive.")],
    logs: Annotated[
        bool, typer.Option("--logs", help="All log lines of its executors too: they may hold data.")
    ] = False,
    overwrite: OverwriteOption = False,
) -> None:
    """Write what is known of a job into an archive for a bug report: no data, no secrets; a README lists it."""
    from flow.views.bundle import bundle
    from flow.whole_file import whole_file

    if to.suffix.lower() != ".zip":
        raise FileUnwritable(f"--to {to}: an archive is a .zip file.", hint=f"Write {to.stem}.zip.")
    with context.client() as flow:
        found = _found(context, flow, job)
    files = bundle(found, _hidden(context), with_logs=logs)
    with whole_file(to, overwrite=overwrite) as beside, zipfile.ZipFile(beside, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    if logs:
        context.screen.note(f"{to} holds log lines of algorithms, which may hold data.")
    context.screen.result({"file": str(to), "files": list(files)}, f"Wrote {to}: {', '.join(files)}.")


def _found(context: CommandContext, flow: FlowClient, job: str) -> Found:
    from flow.views.bundle import Found, without_words
    from flow.views.links import Links
    from flow.views.why import why

    view, history = flow.job(job), flow.whole_history(job)
    status = _may(flow.status)
    ended = view.ended_ms is not None  # then it is told from the view alone, which can be told without words
    return Found(
        job=view,
        why=tuple(why(without_words(view), "", Links("", 0)) if ended else flow.why(job)),
        history=history,
        outputs=tuple(flow.outputs(job)),
        logs=tuple(_may(lambda: flow.logs(job)) or ()),
        proposal=_may(lambda: flow.proposal(job)),
        status=status,
        policy=_may(flow.policy),
        settings=None if context.url is not None else context.home().settings.model_dump(mode="json"),
    )


def _may(ask: Callable[[], T]) -> T | None:
    """What the user may read and what is there; nothing else."""
    try:
        return ask()
    except (Denied, NotFound):
        return None


def _hidden(context: CommandContext) -> dict[str, str]:
    """The paths of the party's home and of the person who asks, where they are known here."""
    hidden = {str(Path.home()): "~"}
    if context.url is None:
        root = context.home().root
        hidden |= {str(root): "HOME", str(root.resolve()): "HOME"}
    return {what: instead for what, instead in hidden.items() if what != "/"}
