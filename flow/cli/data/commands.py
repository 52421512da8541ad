"""`flow data …`: tables of one's own party."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Annotated

import typer

from flow.cli.data.export import suffix_of
from flow.cli.data.rows_text import row_lines
from flow.cli.options import CommandContext, NoSuchFile, OverwriteOption, TableForm, asks_a_party
from flow.cli.party.policy import ClearOption, ComponentsOption, ExpiresOption, PeersOption, UsersOption, Wanted
from runtime.text import size

app = typer.Typer(help="Upload and look at the tables of your party.", no_args_is_help=True, rich_markup_mode=None)

Table = Annotated[str, typer.Argument(metavar="NAMESPACE/NAME[@VERSION]", help="The table.", show_default=False)]


_CHOICE = "Columns, separated by commas; may be given more than once."


@app.command("upload")
@asks_a_party
def upload(  # noqa: PLR0913 - one a file's property
    context: CommandContext,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A CSV, Parquet or Arrow file.", show_default=False)],
    table: Annotated[str, typer.Option("--table", metavar="NAMESPACE/NAME", help="Name of the table.")],
    id: Annotated[str | None, typer.Option(metavar="COLUMN", help="The column that names rows.")] = None,
    label: Annotated[str | None, typer.Option(metavar="COLUMN", help="The column to predict.")] = None,
    weight: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="The column that says how much rows count.")
    ] = None,
    match_id: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="The column that parties match rows by, if it is another than --id."),
    ] = None,
    types: Annotated[
        list[str] | None,
        typer.Option(
            "--type",
            metavar="COLUMN=TYPE",
            help="bool, int, float, text, date or timestamp, instead of guessing; may be given more than once.",
        ),
    ] = None,
    encoding: Annotated[
        str | None, typer.Option(metavar="NAME", help="Encoding of a CSV: gbk, latin-1, utf-16, … [default: utf-8]")
    ] = None,
    delimiter: Annotated[
        str | None, typer.Option(metavar="SIGN", help="Between the fields of a CSV; 'tab' for a tab.")
    ] = None,
    decimal: Annotated[
        str | None,
        typer.Option(metavar="SIGN", help="The decimal sign of a CSV's numbers: a comma. [default: a point]"),
    ] = None,
    no_header: Annotated[bool, typer.Option("--no-header", help="The first line of a CSV is a row already.")] = False,
    columns: Annotated[
        list[str] | None, typer.Option(metavar="A,B,…", help="With --no-header: the columns' names, in order.")
    ] = None,
    null: Annotated[
        list[str] | None,
        typer.Option(metavar="TEXT", help="A text of a CSV that means a missing value; may be given more than once."),
    ] = None,
    features: Annotated[
        list[str] | None,
        typer.Option(metavar="A,B,…", help=f"Keep only these, in this order, beside those above. {_CHOICE}"),
    ] = None,
    drop: Annotated[list[str] | None, typer.Option(metavar="A,B,…", help=f"Leave these out. {_CHOICE}")] = None,
    form: Annotated[
        str | None, typer.Option("--format", metavar="FORMAT", help="csv, parquet or arrow, if it is not found out.")
    ] = None,
) -> None:
    """Store a file as the next version of a table. A bad line is named and leaves nothing behind."""
    if file.is_dir():
        raise NoSuchFile(f"{file} is a folder.", hint="Name one file in it.")
    if not file.is_file():
        raise NoSuchFile(f"The file {file} does not exist.", hint="Check the path.")
    context.source = str(file) if "/" in str(file) else ""
    reading = {"type": types, "encoding": encoding, "delimiter": delimiter, "null": null, "format": form}
    reading |= {"features": _columns(features), "drop": _columns(drop), "columns": _columns(columns)}
    reading |= {"decimal": decimal, "no_header": "true" if no_header else None}
    from storage.facts import TableRoles

    roles = TableRoles(id=id, label=label, weight=weight, match_id=match_id)
    with context.client() as flow, context.screen.progress(f"Uploading {file.name}") as sent:
        view = flow.upload(file, table, roles=roles, reading=reading, sent=sent)
    text = f"{view.reference}: {view.rows} rows, {len(view.columns)} columns, {size(view.size_bytes)}"
    context.screen.result(view.model_dump(mode="json"), text, *view.remarks)


def _columns(given: list[str] | None) -> list[str]:
    """The names in comma-separated lists; one that holds a comma stands in double quotes, as in a CSV."""
    return [name for row in csv.reader(given or [], skipinitialspace=True) for name in row if name]


@app.command("list")
@asks_a_party
def list_(context: CommandContext) -> None:
    """The tables of your party."""
    with context.client() as flow:
        views = flow.tables()
    if context.screen.as_json:
        context.screen.document([view.model_dump(mode="json") for view in views])
        return
    rows = [(v.reference, v.rows, len(v.columns), size(v.size_bytes), v.owner) for v in views if not v.damaged]
    context.screen.table(("table", "rows", "columns", "size", "owner"), rows, empty="No tables yet.")
    for view in views:
        if view.damaged:
            context.screen.line(f"{view.reference} cannot be read: {view.damaged}")


@app.command("show")
@asks_a_party
def show(context: CommandContext, table: Table) -> None:
    """One table: its columns, the roles they play, and its digest."""
    with context.client() as flow:
        view = flow.table(table)
    if context.screen.as_json:
        context.screen.document(view.model_dump(mode="json"))
        return
    line = context.screen.line
    line(f"{view.reference}: {view.rows} rows in {view.partitions} partition(s), {size(view.size_bytes)}")
    told = {"id": "-", "label": "-"} | view.roles.spoken | {"owner": view.owner or "-"}
    line(", ".join(f"{what} {name}" for what, name in told.items()))
    line(f"digest {view.digest}")
    context.screen.table(("column", "type"), [(c.name, c.type) for c in view.columns], empty="No columns.")


@app.command("head")
@asks_a_party
def head(
    context: CommandContext,
    table: Table,
    rows: Annotated[int, typer.Option("--rows", "-n", min=1, max=1000, help="How many.")] = 10,
) -> None:
    """The first rows of a table."""
    with context.client() as flow:
        view = flow.head(table, rows)
    if context.screen.as_json:
        context.screen.document(view.model_dump(mode="json"))
        return
    for text in row_lines(view.columns, view.rows, context.screen.width):
        context.screen.line(text)
    if not view.rows:
        context.screen.note("No rows.")


@app.command("export")
@asks_a_party
def export(
    context: CommandContext,
    table: Table,
    to: Annotated[Path, typer.Option("--to", metavar="FILE", help="FILE.csv, FILE.parquet or FILE.arrow.")],
    overwrite: OverwriteOption = False,
) -> None:
    """Write all rows of a table to a file."""
    form = suffix_of(to, list(TableForm))
    with context.client() as flow, context.screen.progress(f"Writing {to.name}") as got:
        written = flow.export_table(table, to, form, overwrite=overwrite, got=got)
    context.screen.result(
        {"table": table, "file": str(to), "bytes": written}, f"Wrote {table} to {to}, {size(written)}."
    )


@app.command("delete")
@asks_a_party
def delete(context: CommandContext, table: Table) -> None:
    """Delete a table, or one version of it."""
    with context.client() as flow:
        flow.delete(table)
    context.screen.result({"deleted": table}, f"Deleted {table}.")


@app.command("policy")
@asks_a_party
def policy(  # noqa: PLR0913 - one parameter an option
    context: CommandContext,
    table: Table,
    components: ComponentsOption = None,
    peers: PeersOption = None,
    users: UsersOption = None,
    min_rows: Annotated[int | None, typer.Option("--min-rows", min=0, help="Not with fewer rows.")] = None,
    expires: ExpiresOption = None,
    clear: ClearOption = False,
) -> None:
    """What a table may be used for: shown, or set for all its versions by its owner or an officer."""
    with context.client() as flow:
        wanted = Wanted(components, peers, expires, clear, min_rows, users)
        wanted.apply(context, table.partition("@")[0], flow.table_policy, flow.set_table_policy)
