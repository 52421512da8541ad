"""What a kind of model is to a training: what it learns from, how it starts, trains and is scored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray

from algorithms.kit.admission import Classes
from algorithms.kit.metrics import Scores
from algorithms.kit.named_vectors import Vectors, Weights


@dataclass(frozen=True)
class LocalResult:
    """What a trainer has when it has trained.

    Attributes:
        weights: After training; they may be views that the next training overwrites.
        steps: How many steps its optimiser took.
    """

    weights: Vectors
    steps: int


class Learner(Protocol):
    """One trainer's model and rows."""

    @property
    def rows(self) -> int:
        """How many training rows there are."""

    @property
    def features(self) -> tuple[str, ...]:
        """The names of the columns, in order."""

    @property
    def classes(self) -> Classes:
        """The set of class labels seen here, or of those that say how labels are written; never one a row."""

    @property
    def warm_start(self) -> str:
        """Digest of the model training starts from, empty for a fresh one."""

    def initial(self, classes: Classes, /) -> Weights:
        """The weights to start from, the same at every trainer."""

    @property
    def labels(self) -> NDArray[Any]:
        """The place of each own row's label among all classes; asked for after `initial`."""

    def train(self, start: Weights, version: int) -> LocalResult:
        """Train on the own rows from the common weights of a version, which stay as they are."""

    def score(self, common: Weights) -> Scores:
        """How good the common model is on the own rows."""


@dataclass(frozen=True)
class Trained:
    """The result of a training: the weights, and all classes."""

    weights: Weights
    classes: Classes
