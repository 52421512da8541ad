"""`make demo`: three parties on this machine train on encrypted updates, with a live board.

Two hospitals and a coordinator are made in a scratch folder, each with its own process tree, keys, database and
ports. Real data is uploaded, two jobs are submitted through the `flow` command, and what they reach is held against
what pooled data would give. The parties stay up until Ctrl-C, or end at once with `--exit`.
"""

from __future__ import annotations

import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from launcher.demo_data import Upload, write_breast, write_digits
from launcher.federation import LocalFederation, LocalParty
from runtime.errors import PlatformError
from runtime.text import printable

HOSPITALS = ("hospital-a", "hospital-b")
COORDINATOR = "coordinator"
EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
AUC_MARGIN = 0.01
CNN_ACCURACY = 0.95

console = Console(highlight=False)


class QualityMissed(PlatformError):
    """A model of the demo is worse than it has to be."""

    code = "launcher.quality_missed"


class Stopwatch:
    """How long each part of the demo took."""

    def __init__(self) -> None:
        self.parts: dict[str, float] = {}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Time a part and say that it is done."""
        start = time.monotonic()
        console.print(f"[bold]{name}[/bold] …")
        yield
        self.parts[name] = time.monotonic() - start
        console.print(f"  done in {self.parts[name]:.1f} s")

    def table(self) -> Table:
        """All parts and their sum."""
        table = Table("part", "seconds", title="Time")
        for name, seconds in self.parts.items():
            table.add_row(name, f"{seconds:.1f}")
        table.add_row("[bold]all[/bold]", f"[bold]{sum(self.parts.values()):.1f}[/bold]")
        return table


def main(
    exit_at_end: Annotated[bool, typer.Option("--exit", help="End when the jobs are done.")] = False,
    database: Annotated[str, typer.Option(help="sqlite, or mysql for a private MariaDB.")] = "sqlite",
    folder: Annotated[Path | None, typer.Option(help="Make the parties here and keep them.")] = None,
) -> None:
    """Three parties on this machine train on encrypted updates."""
    if database not in ("sqlite", "mysql"):
        raise typer.BadParameter("is sqlite or mysql", param_hint="--database")
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, lambda number, _: sys.exit(128 + number))
    scratch = folder or Path(tempfile.mkdtemp(prefix="archipelago-demo-"))
    federation = LocalFederation(scratch, [*HOSPITALS, COORDINATOR], database=database)
    try:
        _run(federation, Stopwatch())
        if not exit_at_end:
            console.print("The parties stay up. Press Ctrl-C to end.")
            while True:  # a wait for a lock would miss a signal that comes just before it
                time.sleep(1.0)
    except KeyboardInterrupt:
        console.print("Ending.")
    except PlatformError as error:
        console.print(printable(f"{error.code}: {error}"), style="red", markup=False)
        raise typer.Exit(1) from error
    finally:
        federation.down()
        if folder is None:
            shutil.rmtree(scratch, ignore_errors=True)


def _run(federation: LocalFederation, watch: Stopwatch) -> None:
    guest = federation[HOSPITALS[0]]
    with watch.part("Making three parties (keys, cards, ports)"):
        federation.create()
    with watch.part("Starting their services"):
        federation.up()
    _say_where(federation)
    with watch.part("Writing and uploading breast cancer and digits"):
        data = federation.folder / "data"
        data.mkdir()
        breast, pooled_auc = write_breast(data, HOSPITALS)
        _upload(federation, [*breast, *write_digits(data, HOSPITALS)])
    with watch.part("Linear model on Paillier-encrypted updates"):
        linear = _submit(guest, EXAMPLES / "homo_lr" / "job.json")
    with watch.part("Convolutional network on digits"):
        network = _submit(guest, EXAMPLES / "homo_nn" / "job.json")
    auc, accuracy = _final(guest, linear, "auc"), _final(guest, network, "accuracy")
    results = Table("model", "held-out rows", "result", "to reach", title="Quality")
    results.add_row("homo_lr, Paillier", "breast cancer", f"AUC {auc:.4f}", f"{pooled_auc:.4f} pooled, ± {AUC_MARGIN}")
    results.add_row("homo_nn, cnn", "digits", f"accuracy {accuracy:.4f}", f"{CNN_ACCURACY}")
    console.print(results, watch.table())
    if auc < pooled_auc - AUC_MARGIN or accuracy < CNN_ACCURACY:
        raise QualityMissed("A model is worse than it has to be; see the table above.")


def _say_where(federation: LocalFederation) -> None:
    for party in federation.parties.values():
        board = party.flow_json("party", "board")["url"]
        console.print(f"  board of {party.name}: {board}")


def _upload(federation: LocalFederation, uploads: list[Upload]) -> None:
    def upload(item: Upload) -> None:
        label: tuple[str, ...] = ("--id", "id", "--label", "y")
        federation[item.party].flow("data", "upload", item.file, "--table", item.table, *label)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(upload, uploads))


def _submit(party: LocalParty, file: Path) -> str:
    """Submit a job, show its rounds as they come, return its id. Raises PlatformError if it does not succeed."""
    job = str(party.flow_json("job", "submit", file)["job"])
    with party.popen("job", "watch", job) as watcher:
        try:
            code = watcher.wait()
        except BaseException:
            watcher.terminate()
            raise
    if code != 0:
        raise QualityMissed(f"Job {job} did not succeed.", hint=f"See 'flow job show {job}'.")
    return job


def _final(party: LocalParty, job: str, name: str) -> float:
    """The evaluation's value of a metric."""
    rows = party.flow_json("job", "metrics", job, "--task", "evaluate")
    return float(next(row["value"] for row in rows if row["name"] == name))


if __name__ == "__main__":
    typer.run(main)
