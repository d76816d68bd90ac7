"""fit: from data to a model, with everything in between at its default."""

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, astuple, fields, replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from swarmnet.data.canonical_order import canonical, mean_point
from swarmnet.data.column_names import listed
from swarmnet.data.data_frames import is_frame, pd
from swarmnet.data.file_data import FileData
from swarmnet.data.mixed_data import MixedData
from swarmnet.data.readers import Size, open_files, read
from swarmnet.errors import SwarmnetError, SwarmnetWarning
from swarmnet.fitting.outcome import Outcome
from swarmnet.model.error_bars import OtherFit, pack, pinned
from swarmnet.model.fitted_model import FittedModel
from swarmnet.model.reordering import reordered
from swarmnet.network.activations import LINEAR, Activation
from swarmnet.network.network import Network
from swarmnet.objective.objective import Objective, output_is_solvable
from swarmnet.objective.out_of_core import StreamedSource
from swarmnet.objective.row_source import Source
from swarmnet.objective.specification import Blueprint
from swarmnet.objective.value_losses import value_loss
from swarmnet.scaling import Preparation, Scaling
from swarmnet.threads import ThreadPool, one_blas_thread
from swarmnet.trainers import LBFGS, Hybrid, Trainer, TrainResult, configured, run
from swarmnet.trainers.checkpoint import EVERY, Checkpoint, fingerprint
from swarmnet.trainers.climb import multiplications
from swarmnet.trainers.evidence import covariance_root, with_supported_noise
from swarmnet.trainers.limits import require_count, require_number
from swarmnet.trainers.network_choice import RACED
from swarmnet.trainers.protocols import Executor
from swarmnet.trainers.result import Callback
from swarmnet.version import __version__

if TYPE_CHECKING:
    from distributed import Client

    from swarmnet.distributed.cluster import Cluster

Data = MixedData | FileData | str | os.PathLike[str]
Hidden = str | int | Sequence[int]
Activations = str | Activation | Sequence[str | Activation]

_LADDER = ((8,), (16,), (32,), (8, 8), (16, 16), (24, 24), (12, 12, 12))
_LARGE = ((64,), (128,), (32, 32), (48, 48), (64, 64), (24, 24, 24))  # where entries are many
_FEW_COUNTS = 0.5  # weights that are less than that on average are hardly meant to say how often rows count
_LONG = 1e9  # entries times weights: a second or so for an iteration of L-BFGS
_ENTRIES_A_WEIGHT = 2  # fewest in networks of which an iteration is longer
_WIDTHS = (3, 4, 6, 8, 12, 16, 24, 32)


def fit(
    data: Data,
    hidden: Hidden = "auto",
    activation: Activations = "tanh",
    trainer: str | Trainer = "hybrid",
    seed: int = 0,
    iterations: int | None = None,
    seconds: float | None = None,
    particles: int | None = None,
    loss: str = "squared",
    scaling: str | None = "standard",
    derivative_weight: float | None = None,
    l2: float | None = None,
    *,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: float = EVERY,
    callback: Callback | None = None,
    validation: MixedData | FileData | None = None,
    memory_limit: Size | None = None,
    dtype: str = "float64",
    client: "Client | None" = None,
) -> FittedModel:
    """Train a network on mixed data.

    Neither the order of the rows, nor that of named columns, nor how entries at one point are shared out
    among rows changes the model. An entry whose sigma is more than 10^12 times the largest number of its
    output counts as not observed.

    Of that, data that stay in files keep the order of their rows, by which sums are rounded, and of their
    columns; equal entries are not put together, a sigma however large is taken as it stands, and rows at one
    point are several in the mean of the inputs, where outputs without a value are pinned to 0.

    Args:
        data: MixedData, FileData, or the path or glob of CSV or Parquet files.
        hidden: units of each hidden layer, () for none; with "auto", hybrid chooses among networks of
            one to three hidden layers by their evidence, and other trainers take two layers, as wide as the
            entries can support.
        activation: one name for the hidden layers, or one a layer with the output layer last.
        trainer: a name (hybrid, pso, projected, sgd, adam, lbfgs, lm) or a configured trainer.
        seed: the same seed gives the same model.
        iterations: the most iterations, instead of the trainer's own limit.
        seconds: the most seconds of training; without `iterations` they are the only limit.
        particles: the swarm's size, for trainers that have one.
        loss: "squared", or "cross-entropy" for values from 0 to 1 on sigmoid outputs.
        scaling: "standard" (mean 0, deviation 1), "minmax" (-1 to 1) or None: data as they stand,
            every residual in its own unit.
        derivative_weight: the derivatives' mean squared residual against the values'. By default hybrid
            and lm estimate the noise of the values and of each derivative column; for the others it is 1.
        l2: weight of the sum of squares of all W; estimated by hybrid and lm, a tiny one for the others.
        checkpoint: file to keep the state of training in. Where it holds that of the same run, stopped at any
            moment, training goes on from there, for the same model bit for bit as if it had never stopped,
            unless seconds limit it; what they were when it stopped counts.
        checkpoint_every: seconds between two writes of that file.
        callback: called with a `Progress` every iteration; training ends when it returns True itself.
        validation: data held out, whose loss the history shows beside the training loss.
        memory_limit: where `data` is a path: see `read_csv`.
        dtype: "float32" to add up in single precision, which takes half the time and is less exact.
        client: a `dask.distributed.Client`, whose workers do most of the work; files are read by them. The
            climbs of hybrid and lm are shared out among them where all rows take 128 MB or less, which each
            then holds, with what is made of them about five times as much; the rows are where not, where an
            iteration takes long, and for other trainers. However many workers there are, the model is that of
            this machine, for files with a `memory_limit` that leaves them in files; rows that are shared out
            from memory are added up in another order, which changes the last digits.

    Returns:
        The model with the lowest training loss met on the way.

    Raises:
        SwarmnetError: data, names or settings that do not do, or the checkpoint of another run.
    """
    given = located(data, memory_limit, client)
    cluster = _cluster(given, client)
    mixed = canonical(given) if isinstance(given, MixedData) else given
    configured_trainer = configured(trainer, iterations, seconds, particles)
    net = network_for(mixed, hidden, activation, loss)
    refuse_unsolvable(configured_trainer, net, loss)
    nets = [net]
    chooses = isinstance(configured_trainer, Hybrid) and not isinstance(configured_trainer.polish, LBFGS)
    if chooses and isinstance(hidden, str) and loss == "squared":
        nets = ladder(mixed, activation) or nets
    rng = _generator(seed)
    _refuse_nothing(mixed, derivative_weight)
    _warn_of(mixed, net)
    known = mixed.statistics
    scale = Scaling.of(known, scaling, outputs=loss == "squared" and net.activations[-1].name == "linear")
    # The values of cross-entropy have no scale to be divided by.
    preparation = Preparation(scale, known if scaling is not None else None, loss != "cross-entropy")

    weights: dict[str, Any] = {"derivative_weight": derivative_weight, "l2": l2}

    def plan(part: MixedData | FileData) -> Blueprint:
        rows = part if isinstance(part, MixedData) else _source(part, preparation)
        return Blueprint(rows, preparation, {"loss": loss, "dtype": dtype, **weights})

    if validation is not None:
        if not isinstance(validation, MixedData | FileData):
            raise SwarmnetError("validation must be MixedData that are held out: read_csv reads a file")
        validation = validation.select(mixed.inputs, mixed.outputs)

    kept = None
    if checkpoint is not None:
        require_number("checkpoint_every", checkpoint_every, "0 or more", lambda x: x >= 0)
        what = {"scaling": scaling, "loss": loss, "dtype": dtype, **weights}
        of_run = _fingerprint(mixed, nets, what, configured_trainer, seed, validation)
        kept = Checkpoint(checkpoint, of_run, checkpoint_every)

    with _objectives(mixed, nets, plan(mixed), configured_trainer, cluster) as (candidates, executor):
        result = run(
            configured_trainer,
            candidates[0],
            rng,
            callback=callback,
            validate=()
            if validation is None
            else [_loss_of(plan(validation).objective(net)) for net in nets],
            checkpoint=kept,
            executor=executor,
        )
    chosen = candidates[result.network]
    if result.status == "interrupted":
        warnings.warn(result.message, SwarmnetWarning, stacklevel=2)
    _warn_of_weights(given, result)
    outcome = Outcome(chosen, result, mixed.inputs, mixed.outputs, scale, configured_trainer)
    for line in outcome.warnings():
        warnings.warn(line, SwarmnetWarning, stacklevel=2)
    training = _record(given, mixed, configured_trainer, seed) | {
        "scaling": scaling,
        "loss_function": loss,
        **outcome.record(nets),
        "status": result.status,
        "message": result.message,
        "loss": result.loss,
        "evaluations": result.evaluations,
        "seconds": result.seconds,
    }
    model = FittedModel(
        chosen.net,
        result.theta,
        scale,
        mixed.inputs,
        mixed.outputs,
        training,
        pd.DataFrame(result.history),
        _spread(chosen, result),
        _others(nets, result),
    )
    return reordered(_pinned(model, mixed), given.inputs, given.outputs)


@contextmanager
def _objectives(
    data: MixedData | FileData,
    nets: Sequence[Network],
    plan: Blueprint,
    trainer: Trainer,
    cluster: "Cluster | None",
) -> Iterator[tuple[list[Objective], Executor | None]]:
    """Those of all networks, and who runs their climbs; when done with they let go of each other."""
    executor: Executor | None = None
    if cluster is None:
        candidates = [plan.objective(net) for net in nets]
    else:
        from swarmnet.distributed.replicas import shared_out  # noqa: PLC0415  # an extra

        candidates, executor = shared_out(data, nets, plan, trainer, cluster)
    candidates[0].candidates = candidates
    try:
        yield candidates, executor
    finally:
        candidates[0].candidates = ()


def located(data: Data, memory_limit: Size | None, client: "Client | None" = None) -> MixedData | FileData:
    """The data themselves, where they are given by their files' names.

    Raises:
        SwarmnetError: they cannot be read, a limit comes too late, or the client is none that does.
    """
    if not isinstance(data, MixedData | FileData | str | os.PathLike):
        what = "a DataFrame" if is_frame(data) else repr(type(data).__name__)
        raise SwarmnetError(
            f"data must be MixedData or a file's name, not {what}: MixedData(X, Y, J) takes arrays, and "
            "MixedData.from_frame a DataFrame"
        )
    if client is not None:
        return _on_workers(data, memory_limit, client)
    if not isinstance(data, MixedData | FileData):
        return read(data, memory_limit=memory_limit)
    if memory_limit is not None:
        raise SwarmnetError("memory_limit goes with a file's name: give it to read_csv or read_parquet")
    return data


def _on_workers(data: Data, memory_limit: Size | None, client: "Client") -> MixedData | FileData:
    from swarmnet.distributed.sharded_sums import on_workers  # noqa: PLC0415  # an extra

    refuse_limit_of_workers(memory_limit)
    if isinstance(data, MixedData):
        return data
    return on_workers(data if isinstance(data, FileData) else open_files(data), client)


def refuse_limit_of_workers(memory_limit: Size | None) -> None:
    """A client's workers keep to limits of their own.

    Raises:
        SwarmnetError: there is a limit.
    """
    if memory_limit is not None:
        raise SwarmnetError("memory_limit is for one machine: workers have theirs from where they start")


def _cluster(data: MixedData | FileData, client: "Client | None") -> "Cluster | None":
    """Whose workers are to train."""
    if client is None and (isinstance(data, MixedData) or isinstance(data.pool, ThreadPool)):
        return None
    from swarmnet.distributed.cluster import Cluster  # noqa: PLC0415  # an extra

    if isinstance(data, FileData) and isinstance(data.pool, Cluster):
        return data.pool
    return Cluster(client)


def _source(data: FileData, preparation: Preparation) -> Source:
    """The rows in a file of chunks on this machine, or on the workers that read them."""
    if isinstance(data.pool, ThreadPool):
        return StreamedSource(data, preparation)
    from swarmnet.distributed.cluster import Cluster  # noqa: PLC0415  # an extra
    from swarmnet.distributed.sharded_sums import WorkerSource  # noqa: PLC0415

    assert isinstance(data.pool, Cluster)
    return WorkerSource(data, preparation, data.pool)


def refuse_unsolvable(trainer: Trainer, net: Network, loss: str) -> None:
    """Refuse a trainer that needs the squared loss, or a linear output, where there is none.

    Raises:
        SwarmnetError: there is none.
    """
    if trainer.needs_squares and loss != "squared":
        raise SwarmnetError(f"{trainer.name} needs the squared loss: use another trainer")
    if trainer.solves_output and not output_is_solvable(net, value_loss(loss)):
        raise SwarmnetError(
            f"{trainer.name} solves for a linear output layer with the squared loss: use another trainer, "
            "such as pso or hybrid, or a linear output"
        )


def _generator(seed: int) -> np.random.Generator:
    require_count("seed", seed, 0)
    return np.random.default_rng(seed)


def network_for(
    data: MixedData | FileData, hidden: Hidden, activations: Activations, loss: str = "squared"
) -> Network:
    """The network for `data`: its inputs, the hidden layers asked for, and its outputs."""
    widths = _hidden(data, hidden)
    if isinstance(activations, str | Activation):
        last = "sigmoid" if loss == "cross-entropy" else "linear"
        activations = [activations] * len(widths) + [last]
    return Network((data.d, *widths, data.k), activations)


def _hidden(data: MixedData | FileData, hidden: Hidden) -> tuple[int, ...]:
    if isinstance(hidden, str) and hidden == "auto":
        return _automatic(data)
    whole = int | np.integer
    sizes: Any = [hidden] if isinstance(hidden, whole) else hidden
    if not isinstance(sizes, Sequence | np.ndarray) or not all(
        isinstance(size, whole) and not isinstance(size, bool) and size >= 1 for size in sizes
    ):
        raise SwarmnetError(
            f"hidden must be 'auto' or whole numbers of 1 or more such as (16, 16), not {hidden!r}"
        )
    return tuple(int(size) for size in sizes)


def ladder(data: MixedData | FileData, activations: Activations) -> list[Network]:
    """Networks of one to three hidden layers for hybrid to choose from.

    Those of which an iteration of Levenberg-Marquardt takes long must have few weights for the entries.
    """
    layers = None if isinstance(activations, str | Activation) else len(activations)
    nets: list[Network] = []
    entries = data.n_entries
    for widths in (*_LADDER, *_LARGE):
        if layers in (None, len(widths) + 1):
            net = network_for(data, widths, activations)
            is_short = multiplications(entries, net.size) <= RACED
            is_possible = net.size <= entries / _ENTRIES_A_WEIGHT and entries * net.size <= _LONG
            if (is_short and widths in _LADDER) or (is_possible and not is_short):
                nets.append(net)
    return nets


def _automatic(data: MixedData | FileData) -> tuple[int, int]:
    """Two equal layers, the widest of a ladder that has no more weights than there are entries."""

    def weights(h: int) -> int:
        return (data.d + 1) * h + (h + 1) * h + (h + 1) * data.k

    fitting = [h for h in _WIDTHS if weights(h) <= data.n_entries]
    width = fitting[-1] if fitting else _WIDTHS[0]
    return width, width


def _refuse_nothing(data: MixedData | FileData, derivative_weight: float | None) -> None:
    if derivative_weight == 0 and not data.statistics.Y.count.any():
        raise SwarmnetError("there are no values, and with derivative_weight 0 nothing else to learn from")


def _warn_of(data: MixedData | FileData, net: Network) -> None:
    kinked = sorted({act.name for act in net.activations if not act.smooth})
    if kinked and data.n_derivatives:
        warnings.warn(
            f"{', '.join(kinked)} has no second derivative: derivative targets move its slopes but not "
            "the places of its kinks; a smooth activation such as tanh fits derivatives better",
            SwarmnetWarning,
            stacklevel=3,
        )
    for name in _free(data):
        at = zip(data.inputs, _centre(data), strict=True)
        warnings.warn(
            f"no value of {name} was observed: its constant is free, and is pinned so that {name} is 0 "
            f"at the mean of the inputs, {listed([f'{into} = {x:.6g}' for into, x in at])}",
            SwarmnetWarning,
            stacklevel=3,
        )


def _warn_of_weights(data: MixedData | FileData, result: TrainResult) -> None:
    """Say so where weights count many rows as few, and the evidence asks how much was observed."""
    if result.posterior is None or not isinstance(data, MixedData) or data.weights is None:
        return
    counted = data.weights[(data.weights > 0) & (data.entries_per_row > 0)]
    if counted.mean() < _FEW_COUNTS:
        warnings.warn(
            f"the weights count {len(counted)} rows as {counted.mean() * len(counted):.3g}, from which "
            "little can be learnt: a weight is how often its row counts; divide relative ones by their mean",
            SwarmnetWarning,
            stacklevel=3,
        )


def _free(data: MixedData | FileData) -> list[str]:
    """Outputs without a value entry."""
    seen = data.statistics.Y.count > 0
    return [name for name, has in zip(data.outputs, seen, strict=True) if not has]


def _centre(data: MixedData | FileData) -> NDArray[np.float64]:
    """(d,) the mean of the inputs, where outputs without a value are 0.

    Of data in memory it does not depend on how the entries at a point lie in rows; files are not looked at
    for rows at the same point.
    """
    return mean_point(data) if isinstance(data, MixedData) else data.statistics.rows.mean


def _pinned(model: FittedModel, data: MixedData | FileData) -> FittedModel:
    """Shift outputs that have no values to 0 at the mean of the inputs."""
    free = data.statistics.Y.count == 0
    if not free.any():
        return model
    centre = _centre(data)[None]
    offset = np.where(free, model.scaling.y_offset - model.predict(centre)[0], model.scaling.y_offset)
    at = {name: float(x) for name, x in zip(model.inputs, centre[0], strict=True)}
    shifted = replace(
        model,
        scaling=replace(model.scaling, y_offset=offset),
        training=model.training | {"zero_at": dict.fromkeys(_free(data), at)},
    )
    if model.spread is None or model.net.activations[-1] is not LINEAR:
        return shifted
    # Nothing is known of the constants but where they are pinned, which would pass for doubt; and the other
    # fits have constants of their own: the output biases meet there.
    scaled = model.scaling.scale_X(centre)
    spread = pinned(model.net, model.theta, model.spread, scaled, np.flatnonzero(free))
    best = model.net.forward(model.theta, scaled)[0]

    def met(other: OtherFit) -> OtherFit:
        theta = other.theta.copy()
        theta[-model.net.k :] -= np.where(free, other.net.forward(theta, scaled)[0] - best, 0.0)
        return replace(other, theta=theta)

    return replace(shifted, spread=spread, others=tuple(met(other) for other in model.others))


def _loss_of(objective: Objective) -> Callable[[NDArray[Any]], float]:
    return lambda theta: float(objective.loss(theta))


def _spread(objective: Objective, result: TrainResult) -> NDArray[np.float64] | None:
    """What the model's error bars are made of, if its trainer found what they need."""
    if result.posterior is None:
        return None
    with one_blas_thread():
        supported = with_supported_noise(objective, result.theta, result.posterior)
        return pack(covariance_root(objective, result.theta, supported))


def _others(nets: Sequence[Network], result: TrainResult) -> tuple[OtherFit, ...]:
    """What widens the error bars."""
    if result.posterior is None:
        return ()
    posterior = result.posterior
    found = zip(posterior.networks, posterior.others, posterior.share, strict=True)
    return tuple(OtherFit(nets[network], theta, float(share)) for network, theta, share in found)


def _fingerprint(
    data: MixedData | FileData,
    nets: Sequence[Network],
    what: dict[str, Any],
    trainer: Trainer,
    seed: int,
    validation: MixedData | FileData | None,
) -> dict[str, str]:
    """What makes this run, by the names that people know it by."""
    settings = _settings(trainer)
    parts = {
        "data": _content(data),
        "validation data": None if validation is None else _content(validation),
        "network": [[net.sizes, [_identity(act) for act in net.activations]] for net in nets],
        **what,
        "seed": int(seed),
        "trainer": trainer.name,
        **{f"{trainer.name}'s {name}": value for name, value in settings.items()},
        "versions of the software": {name: version(name) for name in ("numpy", "scipy", "numba", "pyswarms")}
        | {"swarmnet": __version__},
    }
    return fingerprint(parts)


def _settings(trainer: Trainer) -> dict[str, Any]:
    """Settings as JSON has them, with the names of the trainers inside the trainer."""
    settings: dict[str, Any] = _plain(asdict(trainer))
    for part in fields(trainer):
        inner = getattr(trainer, part.name)
        if isinstance(inner, Trainer):
            settings[part.name] = {"trainer": inner.name, **_settings(inner)}
    return settings


def _identity(act: Activation) -> list[Any]:
    """What tells an activation from others: its name; of one that is not swarmnet's own, what it does."""
    if act.built_in:
        return [act.name]
    z = np.linspace(-5.0, 5.0, 41)
    a, s, c = np.empty((3, len(z)))
    with np.errstate(all="ignore"):
        act.value(z.copy(), a)
        act.slope(z.copy(), a.copy(), s)
        act.curvature(z.copy(), a.copy(), s.copy(), c)
    return [act.name, act.init, a, s, c]


def _content(data: MixedData | FileData) -> list[Any]:
    if isinstance(data, MixedData):
        return [data.X, data.Y, data.J, data.Y_sigma, data.J_sigma, data.weights, data.inputs, data.outputs]
    known = data.summary.statistics
    moments = [astuple(columns) for columns in (known.X, known.Y, known.J)]
    return [data.summary.checksum, known.n, moments, data.inputs, data.outputs]


def _record(
    data: MixedData | FileData, prepared: MixedData | FileData, trainer: Trainer, seed: int
) -> dict[str, Any]:
    """What the model was trained on and with; `prepared` may have its columns in another order."""
    data = data.counted() if isinstance(data, MixedData) else data
    known = prepared.statistics.X
    ranges = {
        name: [float(low), float(high)]
        for name, low, high in zip(prepared.inputs, known.low, known.high, strict=True)
    }
    return {
        "swarmnet": __version__,
        "trainer": trainer.name,
        "settings": _settings(trainer),
        "seed": int(seed),
        "rows": data.n,
        "values": data.n_values,
        "derivatives": data.n_derivatives,
        "input_ranges": {name: ranges[name] for name in data.inputs},
        "sigma": _sigmas(data) if isinstance(data, MixedData) else None,
    }


def _sigmas(data: MixedData) -> dict[str, float]:
    """The root mean square of each column's measured sigmas, where it has any."""
    given = {
        name: sigma[~np.isnan(target) & ~np.isnan(sigma)]
        for name, target, sigma in data.entry_columns()
        if sigma is not None
    }
    return {
        name: float(np.linalg.norm(s / s.max()) * s.max() / len(s) ** 0.5)
        for name, s in given.items()
        if len(s)
    }


def _plain(value: Any) -> Any:
    """Settings as JSON has them: whatever kind of number or sequence they were given as."""
    if isinstance(value, dict):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float) and not np.isfinite(value):
        return str(value)
    return value if value is None or isinstance(value, bool | int | float | str) else repr(value)
