"""Federated averaging of a neural network over rows split between parties.

Source: McMahan et al. 2017, arXiv:1602.05629, Algorithm 1 (FederatedAveraging); with a server optimiser other than
`sgd` it is FedOpt (Reddi et al. 2021, arXiv:2003.00295). The rounds are `algorithms.federated`, the network and the
local training `algorithms.nets`.

Conversation; trainers are guests and hosts, `round` counts from 0, P is the number of weights of the network:

    tag           from      to                 step         what
    join          trainer   arbiter            0            rows, classes seen, digests of columns, settings, model
    start         arbiter   trainers           0            rows in all, all classes
    public-key    trainer   arbiter, trainers  0            (paillier) n and h, from the first key holder
    private-key   trainer   trainers           0            (paillier) its primes, sealed, to the other holders
    tag-key       trainer   trainers           0            (paillier) what tags are made with, from the first holder
    update        trainer   arbiter            (sum, part)  a part of n_k / n * (w_k - w), float32, and of scores
                                                            (paillier: encrypted)
    sum           arbiter   trainers           (sum, part)  the sum of that part (paillier: to key holders)
    share         trainer   trainers           (sum, part)  (paillier) what a key holder decrypted for all, sealed
    stop          trainer   arbiter            round        (with a tolerance) whether the loss stands still

Who learns what: the arbiter learns row counts and the set of class values; in the clear also every update and score,
under Paillier none. The trainers learn the model of each round, and loss and accuracy over all rows; of two trainers,
each can subtract its own update and learn the other's, and updates of a network can reveal rows (Zhu et al. 2019,
arXiv:1906.08935).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveInt, model_validator

from algorithms.aggregate import aggregation
from algorithms.api.component import SAFE_TRAINERS, Component, RoleSpec, Terms
from algorithms.api.context import Context
from algorithms.api.conversation import Line
from algorithms.api.parameters import Group
from algorithms.federated import settings as training
from algorithms.federated.arbiter import coordinate
from algorithms.federated.learner import LocalResult
from algorithms.federated.settings import TrainingParameters
from algorithms.federated.trainer import train
from algorithms.kit import disclosure
from algorithms.kit.admission import Classes
from algorithms.kit.feature_matrix import (
    distinct_classes,
    feature_names,
    features,
    places_of_labels,
    required_table,
)
from algorithms.kit.metrics import Scores
from algorithms.kit.named_vectors import Weights
from algorithms.models.network import KIND, network_model, require_same
from algorithms.nets.spec import NetSpec
from storage.client import Model, Table

if TYPE_CHECKING:
    from torch import nn

    from algorithms.nets.training import Rows


class Net(Group):
    """Which network, and its sizes."""

    name: Literal["mlp", "cnn"] = Field("mlp", description="Linear layers, or two convolutions before them.")
    hidden: tuple[PositiveInt, ...] = Field((64,), description="Width of each hidden linear layer.")
    input_shape: tuple[PositiveInt, PositiveInt, PositiveInt] | None = Field(
        None, description="Channels, height, width of a row (cnn)."
    )
    channels: tuple[PositiveInt, PositiveInt] = Field((16, 32), description="Channels of the two convolutions (cnn).")

    def idle(self) -> Mapping[str, str]:
        """Only a cnn has convolutions."""
        return {} if self.name == "cnn" else dict.fromkeys(("input_shape", "channels"), '`"name": "mlp"`')

    @model_validator(mode="after")
    def _cnn_has_a_shape(self) -> Self:
        if self.name == "cnn" and self.input_shape is None:
            raise ValueError("a cnn needs `net.input_shape`: channels, height, width; for digits [1, 8, 8]")
        return self


class NetTraining(Group):
    """How a trainer trains between two versions of the model."""

    optimizer: Literal["sgd", "adam"] = Field("sgd", description="What trains.")
    learning_rate: float = Field(0.05, gt=0, description="Its step.")
    momentum: float = Field(0.9, ge=0, lt=1, description="Its momentum (sgd).")
    weight_decay: float = Field(0.0, ge=0, description="Its L2 penalty.")
    batch_size: int = Field(32, ge=1, description="Most rows in a mini-batch.")
    epochs: int = Field(2, ge=1, description="Passes over the own rows in a round.")

    def idle(self) -> Mapping[str, str]:
        """Adam has no such momentum."""
        return {"momentum": '`"optimizer": "adam"`'} if self.optimizer == "adam" else {}


class HomoNNParameters(TrainingParameters):
    """Parameters of `homo_nn@1`."""

    SHARED: ClassVar[frozenset[str]] = TrainingParameters.SHARED | {"net"}

    rounds: int = Field(10, ge=1, le=1_000_000, description="Rounds of training.")
    net: Net = Field(Net(), description="Which network.")
    local: NetTraining = Field(NetTraining(), description="How each party trains on its own rows.")

    def spec(self, inputs: int, outputs: int) -> NetSpec:
        """The network for that many columns and classes."""
        return NetSpec(
            net=self.net.name,
            inputs=inputs,
            outputs=outputs,
            hidden=self.net.hidden,
            input_shape=self.net.input_shape,
            channels=self.net.channels,
        )


def conversation(terms: Terms[HomoNNParameters]) -> tuple[Line, ...]:
    """The table above as data."""
    return training.conversation(terms.parameters)


def trainer(ctx: Context, parameters: HomoNNParameters) -> None:
    """A guest or host: learn from the own rows, keep the common model."""
    table = required_table(ctx, "train")
    learner = _NetLearner(ctx, parameters, table, ctx.inputs.table("validate"), ctx.inputs.model("model"))
    result = train(ctx, parameters, learner)
    spec = parameters.spec(len(table.features), len(result.classes))
    model = network_model(result.weights, spec, table.features, result.classes.tolist())
    ctx.outputs.save_model("model", model)


def arbiter(ctx: Context, parameters: HomoNNParameters) -> None:
    """The arbiter: add updates."""
    coordinate(ctx, parameters)


@dataclass
class _NetLearner:
    """The rows of one trainer and a network to train on them, as a training wants them."""

    ctx: Context
    parameters: HomoNNParameters
    table: Table
    validate: Table | None
    start: Model | None

    @cached_property
    def features(self) -> tuple[str, ...]:
        return feature_names(self.table)

    @property
    def rows(self) -> int:
        return self.table.rows

    @cached_property
    def classes(self) -> Classes:
        return distinct_classes(self.table)

    @property
    def labels(self) -> NDArray[np.int64]:
        places: NDArray[np.int64] = self._train.y.numpy()
        return places

    @property
    def warm_start(self) -> str:
        return self.start.digest() if self.start else ""

    def initial(self, classes: Classes) -> Weights:
        """Random weights from the common seed, or the model given to start from."""
        from algorithms.nets import networks

        spec = self.parameters.spec(len(self.features), len(classes))
        networks.use_threads(self.ctx.cores)
        self._net: nn.Module = networks.build(spec)
        self._train = self._read(self.table, classes)
        self._kept = self._read(self.validate, classes) if self.validate and self.validate.rows else None
        if self.start is None:
            return networks.start(self._net, int(self.ctx.common_rng("start").integers(2**63)))
        require_same(self.start, spec, self.features, classes.tolist())
        networks.load(self._net, self.start.arrays)
        return networks.arrays_of(self._net)

    def train(self, start: Weights, version: int) -> LocalResult:
        """Train on the own rows, in an order that follows from the common seed."""
        from algorithms.nets.training import LocalTraining, trained

        local = self.parameters.local
        batches = self.ctx.mini_batches(self.rows, local.batch_size, local.epochs, version)
        how = LocalTraining(local.optimizer, local.learning_rate, local.momentum, local.weight_decay)
        return LocalResult(trained(self._net, start, self._train, how, batches), len(batches))

    def score(self, common: Weights) -> Scores:
        """Mean cross-entropy and accuracy."""
        from algorithms.nets.training import score

        train = score(self._net, common, self._train)
        return Scores(train, score(self._net, common, self._kept)) if self._kept else Scores(train)

    def _read(self, table: Table, classes: Classes) -> Rows:
        """The rows of a table with labels as indexes into `classes`. Raises BadLabels."""
        from algorithms.nets.training import Rows

        places = places_of_labels(table, classes, "No trainer has that class among its training rows.")
        return Rows(features(table, self.features, np.float32), places)


COMPONENT = Component(
    name="homo_nn",
    version=1,
    parameters=HomoNNParameters,
    inputs=training.inputs(KIND),
    outputs=training.outputs(KIND),
    roles=aggregation.roles(
        RoleSpec(trainer, learns=disclosure.TRAINER_OF_MODEL), RoleSpec(arbiter, learns=disclosure.arbiter_of_model)
    ),
    conversation=conversation,
    check=aggregation.check,
    safe_trainers=SAFE_TRAINERS,
    needs_torch=True,
    last_step=training.last_round,
)
