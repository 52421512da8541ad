"""`flow model …`: the models that jobs have made at this party."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from flow.cli.data.export import export_model, suffix_of
from flow.cli.options import CommandContext, OverwriteOption, asks_a_party
from flow.cli.party.policy import ClearOption, ComponentsOption, ExpiresOption, PeersOption, UsersOption, Wanted
from runtime.text import size

app = typer.Typer(
    help="Look at the models of your party, take them out and delete them.", no_args_is_help=True, rich_markup_mode=None
)

ModelArgument = Annotated[
    str, typer.Argument(metavar="JOB/TASK.OUTPUT", help="The model, as `flow model list` names it.", show_default=False)
]
RoleOption = Annotated[
    str | None, typer.Option("--role", help="Whose part, where the party held several roles in the job.")
]


@app.command("list")
@asks_a_party
def list_(context: CommandContext) -> None:
    """The models of your party."""
    with context.client() as flow:
        views = flow.models()
    if context.screen.as_json:
        context.screen.document([view.model_dump(mode="json") for view in views])
        return
    rows = [(v.reference, v.role, v.kind, size(v.size_bytes), v.digest[:16]) for v in views if not v.damaged]
    context.screen.table(("model", "role", "kind", "size", "digest"), rows, empty="No models yet.")
    for view in views:
        if view.damaged:
            context.screen.line(f"{view.reference} cannot be read: {view.damaged}")


@app.command("show")
@asks_a_party
def show(context: CommandContext, model: ModelArgument, role: RoleOption = None) -> None:
    """One model: its details and arrays."""
    with context.client() as flow:
        view = flow.model(model, role)
    if context.screen.as_json:
        context.screen.document(view.model_dump(mode="json"))
        return
    context.screen.line(f"{view.reference} as {view.role}: {view.kind}, {size(view.size_bytes)}")
    context.screen.line(f"digest {view.digest}")
    for name, value in view.details.items():
        context.screen.line(f"{name}: {json.dumps(value, ensure_ascii=False)}")
    arrays = [(a.name, a.type, " x ".join(map(str, a.shape))) for a in view.arrays]
    context.screen.table(("array", "type", "shape"), arrays, empty="No arrays.")


@app.command("export")
@asks_a_party
def export(
    context: CommandContext,
    model: ModelArgument,
    to: Annotated[Path, typer.Option("--to", metavar="FILE", help="FILE.safetensors, or FILE.json to read it.")],
    role: RoleOption = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Write a model to a file that other programs read; checked against its digest."""
    form = suffix_of(to, ("safetensors", "json"))
    with context.client() as flow, context.screen.progress(f"Writing {to.name}") as got:
        digest = export_model(flow, model, to, form, role=role, overwrite=overwrite, got=got)
    context.screen.result(
        {"model": model, "file": str(to), "digest": digest}, f"Wrote {model} to {to}, digest {digest}."
    )


@app.command("delete")
@asks_a_party
def delete(context: CommandContext, model: ModelArgument) -> None:
    """Delete your party's part of a model."""
    with context.client() as flow:
        flow.delete_model(model)
    context.screen.result({"deleted": model}, f"Deleted {model}.")


@app.command("policy")
@asks_a_party
def policy(
    context: CommandContext,
    model: ModelArgument,
    components: ComponentsOption = None,
    peers: PeersOption = None,
    users: UsersOption = None,
    expires: ExpiresOption = None,
    clear: ClearOption = False,
) -> None:
    """What a model may be used for, and by whom beside the parties that hold a part of it: shown, or set."""
    with context.client() as flow:
        wanted = Wanted(components, peers, expires, clear, users=users)
        wanted.apply(context, model, flow.model_policy, flow.set_model_policy)
