"""Federated averaging of a neural network over rows split between parties.

Source: McMahan et al. 2017, arXiv:1602.05629, Algorithm 1 (FederatedAveraging); with a server optimiser other than
`sgd` it is FedOpt (Reddi et al. 2021, arXiv:2003.00295). The rounds are `algorithms.federated`, the network and the
local training `algorithms.nets`.

Conversation: that of every training, `algorithms.federated.training`. A trainer says which classes it sees; its updates
and the sums are float32.

Who learns what: the arbiter learns row counts and the set of class values; in the clear also every update and score,
under Paillier none. The trainers learn the model of each round, and loss and accuracy over all rows; of two trainers,
each can subtract its own update and learn the other's, and updates of a network can reveal rows (Zhu et al. 2019,
arXiv:1906.08935).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from algorithms.api.context import Context
from algorithms.federated import training
from algorithms.federated.learner import TrainingData
from algorithms.federated.parameters import LocalTraining, TrainingParameters
from algorithms.kit.admission import Classes
from algorithms.kit.feature_matrix import distinct_classes, features, places_of_labels
from algorithms.kit.metrics import Scores
from algorithms.kit.named_vectors import Weights
from algorithms.models.network import KIND, network_model, require_same
from algorithms.nets.spec import Net, NetSpec
from storage.client import Model, Table

if TYPE_CHECKING:
    from algorithms.nets.training import Rows


class NetTraining(LocalTraining):
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


class NetworkLearner:
    """The rows of one trainer, and the network that learns from them. Labels are places among the classes."""

    def __init__(self, ctx: Context, parameters: HomoNNParameters, data: TrainingData, classes: Classes) -> None:
        from algorithms.nets import networks  # imports torch

        networks.use_threads(ctx.cores)
        self._seed = int(ctx.common_rng("start").integers(2**63))
        self._local = parameters.local
        self._data = data
        self._classes = classes
        self._spec = NetSpec.of(parameters.net, len(data.features), len(classes))
        self._net = networks.build(self._spec)
        self._train = self._read(data.train)
        self._validate = self._read(data.validate) if data.validate else None

    @property
    def labels(self) -> NDArray[np.int64]:
        """The class of each row."""
        places: NDArray[np.int64] = self._train.y.numpy()
        return places

    def initial(self) -> Weights:
        """Random weights from the common seed, or the model given to start from."""
        from algorithms.nets import networks

        if self._data.start is None:
            return networks.start(self._net, self._seed)
        require_same(self._data.start, self._spec, self._data.features, self._classes.tolist())
        networks.load(self._net, self._data.start.arrays)
        return networks.arrays_of(self._net)

    def train(self, common: Weights, batches: Sequence[NDArray[np.int64]]) -> Weights:
        """By a fresh local optimiser."""
        from algorithms.nets.optimizers import Adam, Sgd
        from algorithms.nets.training import trained

        how, weights = self._local, self._net.parameters()
        optimizer = (
            Adam(weights, how.learning_rate, how.weight_decay)
            if how.optimizer == "adam"
            else Sgd(weights, how.learning_rate, how.momentum, how.weight_decay)
        )
        return trained(self._net, common, self._train, optimizer, batches)

    def score(self, common: Weights) -> Scores:
        """Mean cross-entropy and accuracy, of the training rows and of those kept for validation."""
        from algorithms.nets.training import score

        train = score(self._net, common, self._train)
        return Scores(train, score(self._net, common, self._validate)) if self._validate else Scores(train)

    def model(self, common: Weights) -> Model:
        """With its network, its columns, and how labels were written."""
        return network_model(common, self._spec, self._data.features, self._classes.tolist())

    def _read(self, table: Table) -> Rows:
        """The rows of a table with labels as places among the classes. Raises BadLabels, BadFeatures."""
        from algorithms.nets.training import Rows

        places = places_of_labels(table, self._classes, "No trainer has that class among its training rows.")
        return Rows(features(table, self._data.features, np.float32), places)


COMPONENT = training.component("homo_nn", HomoNNParameters, NetworkLearner, distinct_classes, KIND, needs_torch=True)
