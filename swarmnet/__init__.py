"""swarmnet: small feed-forward networks trained on mixed values and partial derivatives.

>>> import swarmnet
>>> data = swarmnet.MixedData([[0.0], [0.5], [1.0]], Y=[0.0, float("nan"), 1.0], J=[[0.0], [1.0], [2.0]])
>>> model = swarmnet.fit(data, hidden=(4,), trainer="lbfgs", iterations=50)
>>> model.predict([[0.25]]).shape, model.jacobian([[0.25]]).shape
((1, 1), (1, 1, 1))
"""

from typing import TYPE_CHECKING, Any

from swarmnet import testing as testing
from swarmnet import trainers as trainers
from swarmnet import writers as _writers  # noqa: F401  # registers them
from swarmnet.comparison import Comparison as Comparison
from swarmnet.comparison import compare as compare
from swarmnet.data.mixed_data import MixedData as MixedData
from swarmnet.data.readers import read_csv as read_csv
from swarmnet.data.readers import read_parquet as read_parquet
from swarmnet.errors import SwarmnetError as SwarmnetError
from swarmnet.errors import SwarmnetWarning as SwarmnetWarning
from swarmnet.explanation.explanation import explain as explain
from swarmnet.explanation.steps import Explanation as Explanation
from swarmnet.fitting.fitting import fit as fit
from swarmnet.model.fitted_model import FittedModel as FittedModel
from swarmnet.model.fitted_model import load as load
from swarmnet.model.metrics import evaluate as evaluate
from swarmnet.model.worst_entries import worst_entries as worst_entries
from swarmnet.network.activations import Activation as Activation
from swarmnet.network.network import Network as Network
from swarmnet.objective.objective import Objective as Objective
from swarmnet.suggestion import suggest as suggest
from swarmnet.version import __version__ as __version__

if TYPE_CHECKING:
    from swarmnet.estimator import SwarmNetRegressor as SwarmNetRegressor


def __getattr__(name: str) -> Any:
    if name == "SwarmNetRegressor":
        from swarmnet.random_state import same_random_state  # noqa: PLC0415

        with same_random_state():
            from swarmnet.estimator import SwarmNetRegressor  # noqa: PLC0415  # scikit-learn takes a second

        return SwarmNetRegressor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), "SwarmNetRegressor"]
