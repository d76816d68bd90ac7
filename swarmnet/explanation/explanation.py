"""explain: a forward pass and a gradient descent step for one row of data, with all intermediate numbers.

For layer l with weights W, biases b and activation f, and the residual r = (prediction - target) / sigma of
an entry (the formulas of `swarmnet.network.propagation`, transposed so that each vector is a row):

    inputs       A_0 = (x - x_offset) / x_scale
    forward      z_l = A_(l-1) W_l + b_l,  A_l = f(z_l)
    tangents     U_l = T_(l-1) W_l,  T_l = S_l * U_l,  S_l = f'(z_l): a row for each input for which
                 the data row has a partial derivative; T_0 is 1 for that input, and T_L is the derivative
    second       V_l = R_(l-1) W_l,  R_l = S_l * V_l + C_l * N_l,  N_l = I_l * J_l,  C_l = f''(z_l): a row for
    tangents     each pair of inputs of a second derivative; I_l = G U_l and J_l = H U_l are the tangents
                 along the first and the second of each pair, R_0 = 0, and R_L is the second derivative
    formulas     F = F(x, A_L, T_L, R_L), with its slopes by these arguments
    loss         sum of weight r^2 over the row's entries
    errors       A'_L = 2 weight r / sigma for values, T'_L likewise for partial derivatives; a formula adds
                 2 weight r / sigma times its slopes to A'_L, T'_L and R'_L
    deltas       V'_l = S_l * R'_l,  N'_l = C_l * R'_l,  I'_l = N'_l * J_l,  J'_l = N'_l * I_l,
                 U'_l = S_l * T'_l + G^T I'_l + H^T J'_l,  z'_l = S_l * A'_l + C_l * B_l + D_l * L_l,
                 B_l = sum of U_l * T'_l over the tangents + sum of V_l * R'_l over the pairs,
                 L_l = sum of N_l * R'_l over the pairs,  D_l = f'''(z_l)
    gradients    W'_l = A_(l-1)^T z'_l + T_(l-1)^T U'_l + R_(l-1)^T V'_l,  b'_l = z'_l
    passed back  A'_(l-1) = z'_l W_l^T,  T'_(l-1) = U'_l W_l^T,  R'_(l-1) = V'_l W_l^T
    step         W_l - rate W'_l,  b_l - rate b'_l

X' is the derivative of the loss with respect to X. A trend adds its terms P, and their derivatives Q and O,
times its coefficients K to z_L, U_L and V_L. Without partial derivatives this is backpropagation; with
them it is double backpropagation (Drucker and Le Cun 1992). A network of logarithms takes and gives these in
the place of the data's numbers (`swarmnet.data.logarithms`).
"""

from __future__ import annotations

import os

import numpy as np

from swarmnet.data.dataset import require_mixed_data
from swarmnet.data.mixed_data import MixedData
from swarmnet.data.readers import loaded
from swarmnet.errors import SwarmnetError
from swarmnet.explanation.backward import show_backward, show_update
from swarmnet.explanation.formula_steps import show_formulas
from swarmnet.explanation.forward import calculation_of, show_forward
from swarmnet.explanation.losses import RowLoss, show_errors
from swarmnet.explanation.row import Row, show_row
from swarmnet.explanation.steps import Explanation
from swarmnet.model import training_record as record
from swarmnet.model.fitted_model import FittedModel
from swarmnet.objective.objective import Objective
from swarmnet.trainers.limits import require_count, require_number


def explain(
    model: FittedModel,
    data: MixedData | str | os.PathLike[str],
    row: int = 0,
    learning_rate: float = 0.1,
    *,
    first_row: int = 0,
) -> Explanation:
    """Show a forward pass and a step of plain gradient descent for one row of data, as labelled matrices.

    The row's loss is the training loss for this row alone, without l2: the mean of squared residuals over
    its values, plus derivative_weight times the mean over its derivatives and formulas. Each residual is in
    units of its sigma or, if none is given, of its column's scale in `data`. The network's scaled units are
    shown together with the data's units.

    Args:
        model: the model; it is not changed.
        data: MixedData, or the path or glob of CSV or Parquet files, with the model's inputs and outputs.
        row: the number of the row, in the order of the file.
        learning_rate: the step is this times the gradient of the row's loss.
        first_row: the number of the first row: 0, or 1 as on the command line.

    Raises:
        SwarmnetError: no such row, a row without an entry, a learning rate that is not positive, data that
            do not fit the model, a number without a logarithm, or a formula without a finite value.

    Example:
        >>> from swarmnet import FittedModel, MixedData, Network
        >>> from swarmnet.scaling import Scaling
        >>> net, theta = Network.from_layers([([[2.0], [3.0]], [1.0])], ["linear"])
        >>> model = FittedModel(net, theta, Scaling.identity(2, 1), ("a", "b"), ("y",))
        >>> steps = explain(model, MixedData([[1.0, 0.5]], Y=[4.0], inputs=("a", "b"), outputs=("y",)))
        >>> float(steps["z1"]["y"].iloc[0]), steps.loss  # 1 * 2 + 0.5 * 3 + 1, and (4.5 - 4)^2
        (4.5, 0.25)
        >>> steps["W1 after"]["y"].round(3).tolist()  # 2 - 0.1 * 2 * 0.5 * 1, 3 - 0.1 * 2 * 0.5 * 0.5
        [1.9, 2.95]
    """
    mixed = require_mixed_data(loaded(data, model.inputs, model.outputs))
    mixed = mixed.select(model.inputs, model.outputs)
    require_count("row", row, first_row)
    require_number("learning_rate", learning_rate, "a positive number", lambda rate: rate > 0)
    last_row = first_row + mixed.n - 1
    if row > last_row:
        raise SwarmnetError(f"row must be {first_row} to {last_row}, as there are {mixed.n} rows, not {row}")
    index = int(row) - first_row
    if mixed.entries_per_row[index] == 0 or mixed.row_weights[index] == 0:
        raise SwarmnetError(f"row {row} has no entry that counts: choose one with a value or a derivative")
    if model.scaling.logs is not None:
        model.scaling.logs.refuse_data(mixed, lambda at, _: f"row {first_row + at}")
    loss = RowLoss(record.derivative_weight(model.training), record.loss_function(model.training))
    return _explanation(model, Row.of(model, mixed, index, int(row), loss.name), float(learning_rate), loss)


def _explanation(model: FittedModel, row: Row, rate: float, loss: RowLoss) -> Explanation:
    net, theta, count = model.net, model.theta, len(model.net.layers)
    objective = Objective(net, row.scaled, loss=loss.name, derivative_weight=loss.balance, threads=1)
    calculation = calculation_of(net, row)
    with np.errstate(all="ignore"):  # non-finite losses are refused below
        show_row(calculation, row)
        show_forward(calculation, model, row)
        formulas = show_formulas(calculation, row, count)
        before, errors = show_errors(calculation, row, formulas, count, loss)
        gradient = show_backward(calculation, net, row.order, loss.at_outputs(count, errors))
        slopes = calculation[f"K'{count}"] if net.trend is not None else None
        after = theta - rate * net.flatten(gradient, slopes)
        losses = before, float(objective.loss(after))
    if not np.isfinite(losses).all():
        raise SwarmnetError(
            f"the row's loss is {losses[0]:g}, and {losses[1]:g} after the step: try a smaller learning rate"
        )
    show_update(calculation, net, after, rate, losses)
    return Explanation(f"{net!r}, learning rate {rate:g}", tuple(calculation.steps), *losses, after)
