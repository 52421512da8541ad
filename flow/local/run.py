"""Runs the tasks of a job in this process, one after the other, and tells of them in the records of a watched job.

The sides of a task are threads that talk over an exchange which keeps the job's contract; what they make goes through a
store of each party, staged and published as it is between parties.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib import import_module
from queue import SimpleQueue
from traceback import format_exception

from algorithms.api.ports import PortKind
from algorithms.local_run import Failure, Side, run_sides
from flow.job.binding import BoundJob, BoundTask
from flow.job.references import TableInput
from flow.job.row_counts import Place as RowsPlace
from flow.job.row_counts import told_places, with_rows
from flow.job.states import JobState
from flow.local.data import Place
from flow.local.job import in_order
from flow.local.sides import ATTEMPT, StoredInputs, Telemetry, TelemetryRow
from flow.participant.launch import lines_for
from flow.protocol.lineage import stored_name
from flow.protocol.manifest import task_seed
from flow.views.jobs import ErrorView, EventRow, JobView, OutputRow, TaskView
from gateway.client import JobContract, LocalExchange
from node_manager.client import CRASH_CODE, compute_as_an_executor, failure_body
from party.ids import Address, AttemptId, TaskName, new_job_id
from runtime.clock import Clock, now_ms
from runtime.errors import PlatformError
from storage.client import OutputKind, Published, Store

RunRecord = JobView | EventRow | TelemetryRow
WAITING, RUNNING, SUCCEEDED, FAILED = "waiting", "running", "succeeded", "failed"


class LocalRun:
    """One run of a job.

    Args:
        job: Whose tasks.
        stores: A store for each party of the job.
        tables: The reference, in its party's store, of each table that the job reads.
        seed: The common seed of the job, hex.
        clock: For the times in records.

    Attributes:
        outputs: What was made so far, by tasks that succeeded.
    """

    def __init__(
        self, job: BoundJob, stores: Mapping[str, Store], tables: Mapping[Place, str], seed: str, clock: Clock
    ) -> None:
        self.id = new_job_id()
        self._stores = stores
        self._tables = tables
        self._job = job._replace(tasks=self._counted(job.tasks))
        self._seed = seed
        self._clock = clock
        self._began_ms = now_ms(self._clock)
        self._states = dict.fromkeys(job.tasks, WAITING)
        self._error: ErrorView | None = None
        self.outputs: list[OutputRow] = []

    def records(self) -> Generator[RunRecord, None, None]:
        """Run the job: everything that is to be told of it, as it comes; last the job as it ended."""
        yield self._view(JobState.RUNNING)
        for task in in_order(self._job.tasks):
            self._states[task.name] = RUNNING
            yield self._event(task, "attempt.running")
            self._error = yield from self._run(task)
            self._error = self._error or self._publish(task)
            if self._error is not None:
                self._states[task.name] = FAILED
                yield self._event(task, "attempt.failed")
                break
            self._states[task.name] = SUCCEEDED
            yield self._event(task, "task.published")
        yield self._view(JobState.FAILED if self._error else JobState.SUCCEEDED)

    def _run(self, task: BoundTask) -> Generator[RunRecord, None, ErrorView | None]:
        """Run all sides of a task; the error of the first that failed."""
        if task.component.needs_torch:
            with suppress(ImportError):  # whoever needs it will say that it is missing
                import_module("torch")  # now, so that it gets its threads with the others
        compute_as_an_executor(min(side.resources.cores for side in task.sides.values()))
        exchange = LocalExchange(JobContract(self.id, "", {task.name: lines_for(task, task.addresses)}), task.name)
        told: SimpleQueue[TelemetryRow | None] = SimpleQueue()
        sides = {address: self._side(task, address, told.put) for address in task.addresses}
        seed = bytes.fromhex(task_seed(self._seed, task.name))
        with ThreadPoolExecutor(1) as beside:
            running = beside.submit(run_sides, task.component, sides, exchange, seed, task.rows or {})
            running.add_done_callback(lambda _: told.put(None))
            try:
                while (item := told.get()) is not None:
                    yield item
            finally:
                exchange.close()  # after Ctrl-C: who still computes ends with the next message
        failure = running.result()
        if failure is None:
            return None
        error = _error_of(failure)
        if error.code == CRASH_CODE:  # what is no fault of the code is told by its sentence
            yield self._traceback(task, failure)
        return error

    def _counted(self, tasks: dict[str, BoundTask]) -> dict[str, BoundTask]:
        """The tasks with the rows that parties would tell each other."""
        told: dict[RowsPlace, int] = {}
        for task, address, name in told_places(tasks):
            reference = str(tasks[task].sides[address].inputs[name])
            table = self._stores[address.party].tables.open(self._tables[address.party, reference])
            told[task, address, name] = table.rows
        return with_rows(tasks, told)

    def _side(self, task: BoundTask, address: Address, tell: Callable[[TelemetryRow], None]) -> Side:
        bound, store = task.sides[address], self._stores[address.party]
        tables, models = {}, {}
        for name, reference in bound.inputs.items():
            if isinstance(reference, TableInput):
                tables[name] = self._tables[address.party, reference.name]
            elif task.component.inputs[name].kind is PortKind.TABLE:
                tables[name] = stored_name(reference, self.id, is_table=True)
            else:
                models[name] = stored_name(reference, self.id, is_table=False)
        return Side(
            parameters=task.component.parameters.model_validate(bound.parameters),
            inputs=StoredInputs(self.id, task.name, store, address, tables, models),
            outputs=store.staging.outputs(AttemptId(self.id, TaskName(task.name), ATTEMPT), address),
            events=Telemetry(task.name, address, tell, self._clock),
            cores=bound.resources.cores,
        )

    def _publish(self, task: BoundTask) -> ErrorView | None:
        """Make visible what a task has made; the error if that is not what its component declares."""
        ports = task.component.outputs.items()
        kinds = {name: OutputKind(port.kind) for name, port in ports}
        rows: list[OutputRow] = []
        for party in sorted({address.party for address in task.addresses}):
            declared = {
                str(address): {name: kinds[name] for name in side.outputs if name in kinds}
                for address, side in task.sides.items()
                if address.party == party
            }
            try:
                made = self._stores[party].staging.publish(self.id, task.name, ATTEMPT, declared)
            except PlatformError as error:
                return ErrorView(code=error.code, message=error.message, hint=error.hint, party=party)
            rows += [_row(task.name, party, each) for each in made]
        self.outputs += rows
        return None

    def _traceback(self, task: BoundTask, failure: Failure) -> TelemetryRow:
        """The log line of the side that failed, as an executor writes it."""
        lines: list[TelemetryRow] = []
        Telemetry(task.name, failure.address, lines.append, self._clock).log(
            "error", "".join(format_exception(failure.error)).rstrip()
        )
        return lines[0]

    def _event(self, task: BoundTask, kind: str) -> EventRow:
        return EventRow(id=0, hlc="", kind=kind, job=self.id, task=task.name, attempt=ATTEMPT)

    def _view(self, state: JobState) -> JobView:
        spec = self._job.spec
        ended = state is not JobState.RUNNING
        return JobView(
            id=self.id,
            name=spec.name,
            initiator=spec.initiator,
            user="",
            state=state,
            outcome="complete" if state is JobState.SUCCEEDED else "",
            submitted_ms=self._began_ms,
            started_ms=self._began_ms,
            ended_ms=now_ms(self._clock) if ended else None,
            tasks_done=sum(done == SUCCEEDED for done in self._states.values()),
            tasks_total=len(self._states),
            error=self._error,
            tasks=tuple(
                TaskView(
                    name=task.name,
                    component=task.component.reference,
                    state=self._states[task.name],
                    needs=tuple(sorted(task.needs)),
                    published=self._states[task.name] == SUCCEEDED,
                )
                for task in self._job.tasks.values()
            ),
            spec=spec.document(),
        )


def _row(task: str, party: str, made: Published) -> OutputRow:
    return OutputRow(
        task=task, party=party, role=made.role, name=made.output, kind=made.kind, reference=made.reference,
        digest=made.digest,
    )  # fmt: skip


def _error_of(failure: Failure) -> ErrorView:
    """What a job says that failed by an executor's error."""
    body = failure_body(failure.error, str(failure.address))
    hint = "Its traceback is among the log lines." if body["code"] == CRASH_CODE else str(body["hint"])
    message = f"{failure.address}: {body['message']}"
    return ErrorView(code=str(body["code"]), message=message, hint=hint, party=failure.address.party)
