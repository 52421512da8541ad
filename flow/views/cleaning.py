"""What was deleted of jobs that ended long ago, or would be."""

from __future__ import annotations

from flow.views.jobs import View


class CleanedJob(View):
    """What goes of one job, and what stays and why. Bytes are 0 where the store is not on this party's disk."""

    job: str
    name: str
    ended_ms: int
    log_lines: int = 0
    checkpoints: bool = False
    checkpoint_bytes: int = 0
    output_bytes: int = 0
    outputs: tuple[str, ...] = ()
    stays: tuple[str, ...] = ()

    @property
    def is_something(self) -> bool:
        """Whether anything goes."""
        return bool(self.log_lines or self.checkpoints or self.outputs)


class Cleaned(View):
    """Some jobs, oldest first; `after` is where the next ones begin, empty if these were all."""

    jobs: tuple[CleanedJob, ...] = ()
    after: str = ""
