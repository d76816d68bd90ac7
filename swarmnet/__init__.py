"""swarmnet: small feed-forward networks trained on mixed values and partial derivatives."""

from swarmnet import testing as testing
from swarmnet.activations import Activation as Activation
from swarmnet.data import MixedData as MixedData
from swarmnet.errors import SwarmnetError as SwarmnetError
from swarmnet.errors import SwarmnetWarning as SwarmnetWarning
from swarmnet.network import Network as Network
from swarmnet.objective import Objective as Objective
from swarmnet.readers import read_csv as read_csv
from swarmnet.readers import read_parquet as read_parquet

__version__ = "0.1.0"
