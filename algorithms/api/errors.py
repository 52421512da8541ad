"""What can go wrong in an algorithm, by name.

InvalidInput
  RolesRefused          the roles of a task do not suit its component
  ParametersDiffer      a checkpoint or a peer speaks of another run
  CheckpointPastEnd     a checkpoint is of a later round than the last one asked for
  MissingInput          an input this role needs is not bound
  BadLabels             the label column does not hold what the component learns from
    LabelsNotBinary       labels 0 and 1, or -1 and 1
    LabelsNotClasses      whole numbers, one for each class
    OneClass              rows of two classes or more
  BadFeatures           a feature column is missing, empty or holds no finite number
  FeaturesDiffer        the trainers' columns are not the same
    FeaturesReordered     they are the same in another order
  ColumnNameTaken       an output has two columns of one name
  WrongModel            a model of another kind, or made for other columns
  NotFinite             NaN or infinity in a vector that was about to be sent
  ValueOutgrewLayout    a number larger than its fixed-point layout holds
  WrongKey              ciphertexts of another key
  WrongLayout           ciphertexts of another layout, or more of them added than the layout allows
  BadCiphertext         not a unit modulo n squared: damaged or forged
  BadKey                a key that no honest generation makes
  SumNotWhole           what came back is not the sum of what the trainers sent, each once
  WrongSum              a sum that is not that of the trainers' numbers
NotFound
  UnknownComponent      no such component is installed
  NotInstalled          components of a checkout that is not installed as it is
  UnknownFunction       a function over batches that is not where workers look for it
Conflict
  InstalledTwice        two installed packages have a component of one name
Unavailable
  WorkerLost            a process that computed for an executor ended, or could not be started
"""

from __future__ import annotations

from runtime.errors import Conflict, InvalidInput, NotFound, Unavailable


class UnknownComponent(NotFound):
    """No such component is installed."""

    code = "algorithms.unknown_component"


class NotInstalled(NotFound):
    """The platform runs from a checkout that is not installed as it is, and components are not found."""

    code = "algorithms.not_installed"


class InstalledTwice(Conflict):
    """Two installed packages have a component of one name."""

    code = "algorithms.installed_twice"


class UnknownFunction(NotFound):
    """A function over batches is at the top of no module where workers look for it."""

    code = "algorithms.unknown_function"


class RolesRefused(InvalidInput):
    """The roles of a task do not suit its component."""

    code = "algorithms.roles_refused"


class ParametersDiffer(InvalidInput):
    """Two sides of one task were given different parameters or data kinds."""

    code = "algorithms.parameters_differ"


class CheckpointPastEnd(InvalidInput):
    """The checkpoint to go on from is of a later round than `rounds` asks for."""

    code = "algorithms.checkpoint_past_end"


class MissingInput(InvalidInput):
    """An input this role needs is not bound."""

    code = "algorithms.missing_input"


class BadLabels(InvalidInput):
    """The label column does not hold what the component learns from."""

    code = "algorithms.bad_labels"


class LabelsNotBinary(BadLabels):
    """The label column does not hold what the component learns from: 0 and 1, or -1 and 1, alike at all parties."""

    code = "algorithms.labels_not_binary"


class LabelsNotClasses(BadLabels):
    """The label column does not hold the model's classes: whole numbers, at most 1000 and half as many as rows."""

    code = "algorithms.labels_not_classes"


class OneClass(BadLabels):
    """All trainers' labels are of one class; the component learns from rows of two classes or more."""

    code = "algorithms.one_class"


class ColumnNameTaken(InvalidInput):
    """A column that an output keeps is called as one that it adds."""

    code = "algorithms.column_name_taken"


class BadFeatures(InvalidInput):
    """A feature column is missing, or a value in it is not a finite number."""

    code = "algorithms.bad_features"


class FeaturesDiffer(InvalidInput):
    """The trainers' feature columns are not the same."""

    code = "algorithms.features_differ"


class FeaturesReordered(FeaturesDiffer):
    """The trainers' feature columns have the same names in different orders; `flow data upload --features` sets it."""

    code = "algorithms.features_reordered"


class WrongModel(InvalidInput):
    """A model of another kind, or one made for other columns."""

    code = "algorithms.wrong_model"


class NotFinite(InvalidInput):
    """NaN or infinity in a vector that was about to be sent."""

    code = "algorithms.not_finite"


class ValueOutgrewLayout(InvalidInput):
    """A number larger than its fixed-point layout holds."""

    code = "algorithms.value_outgrew_layout"


class WrongKey(InvalidInput):
    """Ciphertexts that were made under another key."""

    code = "algorithms.wrong_key"


class WrongLayout(InvalidInput):
    """Ciphertexts of another layout, or more of them added than the layout allows."""

    code = "algorithms.wrong_layout"


class BadCiphertext(InvalidInput):
    """A ciphertext that is not a unit modulo n squared."""

    code = "algorithms.bad_ciphertext"


class BadKey(InvalidInput):
    """A key that no honest key generation makes."""

    code = "algorithms.bad_key"


class SumNotWhole(InvalidInput):
    """What came back is not the sum of what the trainers sent, each once; nothing of it was used."""

    code = "algorithms.sum_not_whole"


class WrongSum(InvalidInput):
    """A sum that is not that of the trainers' numbers, found where everybody knows them."""

    code = "algorithms.wrong_sum"


class WorkerLost(Unavailable):
    """A process that computed for an executor ended before it was done, or could not be started."""

    code = "algorithms.worker_lost"
