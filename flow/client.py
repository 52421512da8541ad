"""The door of Flow: everything that the command line, the board and programs may ask of a party.

`FlowClient` speaks to the party's REST interface and hands back the same records that Flow shows. An error of the
far side is raised again as an error of the same root with the same code, message and hint. What it asks stands by
subject in `flow.rest_client`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flow.errors import Problem, ProposalChanged
from flow.job.states import ENDED_JOB, AttemptState, JobState
from flow.rest.visitors import VISITOR_PURPOSE, Visitors
from flow.rest_client.control import ControlCalls
from flow.rest_client.jobs import JobCalls
from flow.rest_client.party import PartyCalls
from flow.rest_client.people import PeopleCalls
from flow.rest_client.policy import PolicyCalls
from flow.rest_client.remote_errors import FlowUnreachable
from flow.rest_client.results import ResultCalls
from flow.rest_client.tables import TableCalls
from flow.views.dry_run import DryRunView, Estimate, WouldAnswer, WouldRun
from flow.views.history import HistoryLine, HistoryView
from flow.views.jobs import (
    ELSEWHERE,
    NOT_RUN,
    SAID,
    AttemptView,
    ErrorView,
    EventRow,
    JobSummary,
    JobView,
    Learning,
    LogRow,
    MetricRow,
    OutputRow,
    PartyView,
    PolicyView,
    ProgressRow,
    ProposalView,
    ProposedInput,
    ProposedLine,
    ProposedParameter,
    SideView,
    TaskView,
    Waiting,
)
from flow.views.party import (
    ColumnView,
    HeadView,
    Health,
    ModelView,
    NodeView,
    PartyStatus,
    PeerView,
    ReportView,
    RoomView,
    Session,
    TableView,
    Ticket,
    UserToken,
    UserView,
    Validation,
)
from flow.views.queue import QueuedExecutor, QueueEntry
from runtime.addresses import WILDCARDS, HostPort, parse_listen

if TYPE_CHECKING:
    from party.home import PartyHome
    from runtime.service import Service

__all__ = [
    "ELSEWHERE",
    "ENDED_JOB",
    "NOT_RUN",
    "SAID",
    "VISITOR_PURPOSE",
    "AttemptState",
    "AttemptView",
    "ColumnView",
    "DryRunView",
    "ErrorView",
    "Estimate",
    "EventRow",
    "FlowClient",
    "FlowUnreachable",
    "HeadView",
    "Health",
    "HistoryLine",
    "HistoryView",
    "JobState",
    "JobSummary",
    "JobView",
    "Learning",
    "LogRow",
    "MetricRow",
    "ModelView",
    "NodeView",
    "OutputRow",
    "PartyStatus",
    "PartyView",
    "PeerView",
    "PolicyView",
    "Problem",
    "ProgressRow",
    "ProposalChanged",
    "ProposalView",
    "ProposedInput",
    "ProposedLine",
    "ProposedParameter",
    "QueueEntry",
    "QueuedExecutor",
    "ReportView",
    "RoomView",
    "Session",
    "SideView",
    "TableView",
    "TaskView",
    "Ticket",
    "UserToken",
    "UserView",
    "Validation",
    "Visitors",
    "Waiting",
    "WouldAnswer",
    "WouldRun",
    "serve",
    "url_of",
]


def url_of(home: PartyHome) -> str:
    """Where the party's REST interface is reached from its own host."""
    listen = parse_listen(home.settings.flow.listen)
    near = HostPort("127.0.0.1", listen.port) if listen.host in WILDCARDS else listen
    return f"http://{near}"


class FlowClient(JobCalls, ControlCalls, TableCalls, ResultCalls, PartyCalls, PeopleCalls, PolicyCalls):
    """One user's view of one party. Thread-safe; close it when done, or use it in a `with` block."""

    @classmethod
    def of_home(cls, home: PartyHome, token: str | None = None) -> FlowClient:
        """A client for a party on this machine, by default as its first user."""
        return cls(url_of(home), home.token() if token is None else token)

    def as_user(self, token: str) -> FlowClient:
        """The same party for another user, over the same connections."""
        return FlowClient(self.url, token, transport=self._http, patience=self._patience)

    def __enter__(self) -> FlowClient:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()


def serve(home: PartyHome) -> Service:
    """Flow of the party at `home`, not yet started."""
    from flow.server import serve as make

    return make(home)
