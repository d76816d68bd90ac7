"""Records of a fit: the training record in the model, and the fingerprint in checkpoints."""

from collections.abc import Sequence
from dataclasses import asdict, fields
from importlib.metadata import version
from typing import Any

import numpy as np

from swarmnet.data.dataset import Dataset
from swarmnet.fitting.options import FitOptions
from swarmnet.network.activations import Activation
from swarmnet.network.network import Network
from swarmnet.trainers import Trainer
from swarmnet.trainers.checkpoint import fingerprint
from swarmnet.version import __version__


def fingerprint_of(
    data: Dataset, nets: Sequence[Network], options: FitOptions, validation: Dataset | None
) -> dict[str, str]:
    """Return hashes of everything on which the result depends, by names for error messages."""
    trainer = options.configured_trainer
    parts = {
        "data": data.content,
        "validation data": None if validation is None else validation.content,
        "network": [_architecture(net) for net in nets],
        "scaling": options.scaling,
        **({"log": sorted(options.log_names)} if options.log_names else {}),
        **options.of_objective,
        "constraints": list(options.require),
        "seed": int(options.seed),
        "trainer": trainer.name,
        **{f"{trainer.name}'s {name}": value for name, value in _settings(trainer).items()},
        "versions of the software": {name: version(name) for name in ("numpy", "scipy", "numba", "pyswarms")}
        | {"swarmnet": __version__},
    }
    return fingerprint(parts)


def _architecture(net: Network) -> list[Any]:
    own: list[Any] = [net.sizes, [_identity(act) for act in net.activations]]
    # The trend's ranges follow from the data and the scaling.
    return own if net.trend is None else [*own, net.trend.powers.tolist()]


def record_of(data: Dataset, ordered: Dataset, options: FitOptions) -> dict[str, Any]:
    """Return the record of data and settings; `ordered` are the data in canonical form."""
    data = data.counted()
    known, trainer = ordered.statistics.X, options.configured_trainer
    ranges = {
        name: [float(low), float(high)]
        for name, low, high in zip(ordered.inputs, known.low, known.high, strict=True)
    }
    return {
        "swarmnet": __version__,
        "trainer": trainer.name,
        "settings": _settings(trainer),
        "seed": int(options.seed),
        "rows": data.n,
        "values": data.n_values,
        "derivatives": data.n_derivatives,
        "input_ranges": {name: ranges[name] for name in data.inputs},
        "sigma": data.sigma_rms,
        **({"define": dict(data.define)} if data.define else {}),
        **({"log": list(options.log_names)} if options.log_names else {}),
        "scaling": options.scaling,
        "loss_function": options.loss,
    }


def _settings(trainer: Trainer) -> dict[str, Any]:
    """Return a trainer's settings as JSON values, with the names of the trainers of its stages."""
    settings: dict[str, Any] = _plain(asdict(trainer))
    for part in fields(trainer):
        inner = getattr(trainer, part.name)
        if isinstance(inner, Trainer):
            settings[part.name] = {"trainer": inner.name, **_settings(inner)}
    return settings


def _plain(value: Any) -> Any:
    """Return a setting as JSON values, for any type of number or sequence."""
    if isinstance(value, dict):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float) and not np.isfinite(value):
        return str(value)
    return value if value is None or isinstance(value, bool | int | float | str) else repr(value)


def _identity(act: Activation) -> list[Any]:
    """Return what identifies an activation: its name, and for a user's own its values and derivatives."""
    if act.built_in:
        return [act.name]
    z = np.linspace(-5.0, 5.0, 41)
    a, s, c = np.empty((3, len(z)))
    with np.errstate(all="ignore"):
        act.value(z.copy(), a)
        act.slope(z.copy(), a.copy(), s)
        act.curvature(z.copy(), a.copy(), s.copy(), c)
    return [act.name, act.init, a, s, c]
