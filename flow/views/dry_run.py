"""What is shown of a dry run: what each party would answer, what would run where, what would leave, how long it takes.

Like `flow.views.jobs`, these are part of REST and of `--json`: their fields only ever grow.
"""

from __future__ import annotations

from pydantic import Field

from flow.views.jobs import Learning, ProposedLine, View


class WouldAnswer(View):
    """What one party would say if the job were submitted now."""

    party: str
    roles: tuple[str, ...] = ()
    decision: str = Field(description="agree | ask (a person of that party) | refuse | unknown (it did not say)")
    reasons: tuple[str, ...] = Field(default=(), description="Why it would refuse, or why its answer is not known.")
    warnings: tuple[str, ...] = ()


class WouldRun(View):
    """One executor that the job would have."""

    task: str
    component: str
    address: str
    cores: int
    memory_bytes: int
    gpus: int = 0
    fits: bool | None = Field(
        default=None, description="Whether its party has room for its sides of the task now; null: it does not say."
    )


class Estimate(View):
    """What one task costs one party."""

    task: str
    party: str
    most_bytes: int | None = Field(default=None, description="Of messages that leave it; null: not known before.")
    unsaid: tuple[str, ...] = Field(default=(), description="The tags of which it is not known how much they are.")
    seconds: float | None = Field(default=None, description="As earlier attempts took; null: there was none alike.")
    steps: int | None = Field(default=None, description="Rounds by which the seconds are counted, if they are.")
    measured: int = Field(default=0, description="How many earlier attempts the seconds are taken from.")


class DryRunView(View):
    """What would become of a job."""

    name: str = ""
    problems: tuple[dict[str, str], ...] = Field(
        default=(), description="Why this party would not take it: path, message, hint. Nobody else was asked."
    )
    parties: tuple[WouldAnswer, ...] = ()
    runs: tuple[WouldRun, ...] = ()
    conversation: tuple[ProposedLine, ...] = ()
    learns: tuple[Learning, ...] = ()
    estimates: tuple[Estimate, ...] = ()
    seconds: float | None = Field(default=None, description="Of all tasks, those at the same time once.")
    warnings: tuple[str, ...] = ()

    @property
    def refused(self) -> bool:
        """Whether the job would not be agreed on as it is."""
        return bool(self.problems) or any(party.decision == "refuse" for party in self.parties)
