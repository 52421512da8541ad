"""Why a job is refused, in two forms: for the other parties, and for our own people."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Reason:
    """One reason.

    Attributes:
        public: What the answer that leaves says: nothing of our store or our rules that the job does not name itself.
        own: What our own people read; the public form if there is no more to say.
    """

    public: str
    own: str = ""

    @property
    def full(self) -> str:
        """What our own people read."""
        return self.own or self.public

    def at(self, path: str) -> Reason:
        """The reason with the path of the field that it is about."""
        return Reason(f"{path}: {self.public}", f"{path}: {self.full}")
