"""Why a job is refused, in two forms: for the other parties, and for our own people; and the answer with it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from flow.errors import Problem
from flow.protocol.messages import Answer


@dataclass(frozen=True)
class Reason:
    """One reason.

    Attributes:
        public: What the answer that leaves says: nothing of our store or our rules that the job does not name itself.
        own: What our own people read; the public form if there is no more to say.
        path: The field of the job that it is about; empty: the whole.
        by_policy: Whether the `[policy]` of this party says so, and not what it lacks and its people could bring.
    """

    public: str
    own: str = ""
    path: str = ""
    by_policy: bool = False

    @property
    def told(self) -> str:
        """What the other parties read, with the path."""
        return self._with_path(self.public)

    @property
    def full(self) -> str:
        """What our own people read, with the path."""
        return self._with_path(self.own or self.public)

    def at(self, path: str) -> Reason:
        """The reason with the path of the field that it is about."""
        return replace(self, path=path)

    def _with_path(self, text: str) -> str:
        return f"{self.path}: {text}" if self.path else text


@dataclass(frozen=True)
class Decided:
    """The answer that leaves, and why it refuses."""

    answer: Answer
    why: tuple[Reason, ...] = ()

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it refuses, as our own people may read it."""
        return tuple(dict.fromkeys(reason.full for reason in self.why))

    @property
    def by_policy(self) -> bool:
        """Whether the policy refuses, whatever else does."""
        return any(reason.by_policy for reason in self.why)

    @property
    def problems(self) -> list[Problem]:
        """The same, each with the path of the field that it is about."""
        found = [Problem(path=reason.path, message=reason.own or reason.public) for reason in self.why]
        return list(dict.fromkeys(found))
