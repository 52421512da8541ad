"""Holding jobs, letting them go on, submitting them once more, and notes on them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from flow.rest_client.http import HttpCalls
from flow.rest_client.paths import part
from flow.views.cleaning import Cleaned, CleanedJob
from flow.views.jobs import JobView
from flow.views.party import SubmittedAgain


class ControlCalls(HttpCalls):
    """What people do to a job that is there."""

    def pause(self, job: str) -> JobView:
        """Pause a job everywhere."""
        return self._ask(JobView, "POST", f"/jobs/{part(job)}/pause")

    def go_on(self, job: str) -> JobView:
        """Let a paused job go on."""
        return self._ask(JobView, "POST", f"/jobs/{part(job)}/continue")

    def clone(
        self,
        job: str,
        parameters: Mapping[str, Mapping[str, object]],
        *,
        first: str = "",
        submit_token: str | None = None,
    ) -> SubmittedAgain:
        """Submit a job once more with new values of parameters by task, whole or from the task `first` on."""
        headers = {"Submit-Token": submit_token} if submit_token else {}
        body = {"parameters": parameters, "first": first}
        return self._ask(SubmittedAgain, "POST", f"/jobs/{part(job)}/clone", json=body, headers=headers)

    def note(self, job: str, text: str) -> JobView:
        """Note something on a job, for people of this party."""
        return self._ask(JobView, "POST", f"/jobs/{part(job)}/notes", json={"text": text})

    def clean(self, older_s: float, *, outputs: bool = False, dry_run: bool = False) -> Iterator[CleanedJob]:
        """Delete what is kept of jobs that ended so many seconds ago, or say what would be; a job at a time."""
        body = {"older_s": older_s, "outputs": outputs, "dry_run": dry_run, "after": ""}
        while True:
            found = self._ask(Cleaned, "POST", "/clean", json=body)
            yield from found.jobs
            if not found.after:
                return
            body["after"] = found.after
