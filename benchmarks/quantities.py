"""What is learnt from formulas of values and derivatives, from second derivatives, and under constraints.

    pip install ".[bench]" CoolProp
    python -m benchmarks.quantities [--seeds 5] [--cases water,atoms,vapour,monotone]

water: 200 speeds of sound, heat capacities, Joule-Thomson coefficients and densities of liquid water from
CoolProp (IAPWS-95), 50 of each, with one enthalpy and one entropy, and no other value. The model is Gibbs's
energy G(T, p); printed are the largest relative errors of properties on a 25 x 25 grid within the data.

atoms: energies and forces of three atoms at 20 random geometries, in 9 Cartesian coordinates, without and
with the second derivatives there, a minute of training each; printed are median relative errors at 300 other
geometries.

vapour: 30 vapour pressures of propane over eight decades, and 10 slopes dpv/dT, half of them at temperatures
without a pressure; printed are the largest relative errors on a grid of 2001 temperatures over the whole
range, with log="pv" and without, and the share of the grid at which the model is negative.

monotone: 40 values of functions that rise with each input, with noise of a fifth of their range, without and
with `require`; printed are root mean square errors at 10,000 points, how many of these have a falling slope,
and seconds.
"""

import argparse
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import qmc

import swarmnet
from swarmnet import FittedModel, MixedData
from swarmnet.data.column_names import second_derivative_name

Array = NDArray[np.float64]

LOW, HIGH = np.array([300.0, 1e5]), np.array([400.0, 5e7])  # K, Pa
DEFINE = {
    "v": "dG/dp",
    "cp": "-T*d2G/dT2",
    "rho": "1/v",
    "s": "-dG/dT",
    "h": "G + T*s",
    "mu": "(T*d2G/dTdp - v)/cp",
    "w": "v*sqrt(d2G/dT2/((d2G/dTdp)**2 - d2G/dT2*d2G/dp2))",
}
KEYS = {"w": "A", "cp": "C", "mu": "d(T)/d(P)|H", "rho": "D", "h": "H", "s": "S"}  # as CoolProp calls them
MEASURED, OTHERS = ("w", "cp", "mu", "rho"), ("h", "s")


def property_of(name: str, points: Array) -> Array:
    from CoolProp.CoolProp import PropsSI  # noqa: PLC0415  # only for this case

    return np.array([PropsSI(KEYS[name], "T", T, "P", p, "Water") for T, p in points])


def water(seed: int) -> MixedData:
    points = LOW + (HIGH - LOW) * qmc.Sobol(2, seed=seed).random(256)[:200]
    # Every fourth point of a Sobol sequence lies in the same quarter of the box
    np.random.default_rng(seed).shuffle(points)
    frame = pd.DataFrame(points, columns=["T", "p"])
    for rows, name in zip(np.split(np.arange(len(points)), len(MEASURED)), MEASURED, strict=True):
        frame.loc[rows, name] = property_of(name, points[rows])
    middle = (LOW + HIGH) / 2
    known = pd.DataFrame([middle, middle], columns=["T", "p"])
    for row, name in enumerate(OTHERS):
        known.loc[row, name] = property_of(name, middle[None])[0]
    return MixedData.from_frame(
        pd.concat([frame, known], ignore_index=True), ["T", "p"], ["G"], define=DEFINE
    )


def water_errors(seed: int) -> dict[str, float]:
    model = fitted(water(seed))
    lines = [np.linspace(low, high, 27)[1:-1] for low, high in zip(LOW, HIGH, strict=True)]
    grid = np.stack(np.meshgrid(*lines), -1).reshape(-1, 2)
    errors = {}
    for name in (*MEASURED, *OTHERS):
        true = property_of(name, grid)
        # mu and s pass through 0: their errors are relative to their largest size
        size = np.abs(true).max() if name in ("mu", "s", "h") else np.abs(true)
        errors[name] = float((np.abs(model.quantity(name, grid) - true) / size).max())
    return errors


_SECONDS = 60.0  # of each fit of the atoms
COLD, HOT = 100.0, 360.0  # K


COORDINATES = [f"{axis}{atom}" for atom in (1, 2, 3) for axis in "xyz"]
PLACES = np.array([[0.0, 0.0, 0.0], [1.1, 0.0, 0.0], [0.55, 0.95, 0.0]]).ravel()
PAIRS = list(combinations_with_replacement(range(9), 2))


def energy(X: NDArray[np.complex128]) -> NDArray[np.complex128]:
    """Morse pair potentials of three atoms at X (n, 9), in units of their depth and distance."""
    atoms = X.reshape(-1, 3, 3)
    total = np.zeros(len(X), X.dtype)
    for i, j in ((0, 1), (1, 2), (2, 0)):
        decay = np.exp(-3 * (np.sqrt(((atoms[:, i] - atoms[:, j]) ** 2).sum(1)) - 1))
        total += decay * (decay - 2)
    return total


def along(f: Callable[[NDArray[np.complex128]], NDArray[np.complex128]], X: Array, j: int) -> Array:
    return np.asarray(f(X + 1e-30j * np.eye(9)[j]).imag / 1e-30)


def hessian(X: Array) -> Array:
    """(n, 9, 9) by central differences of complex steps, exact to about 1e-9."""
    step = 1e-5
    columns = [
        [(along(energy, X + e, j) - along(energy, X - e, j)) / (2 * step) for j in range(9)]
        for e in step * np.eye(9)
    ]
    return np.moveaxis(np.array(columns), -1, 0)


def atoms(seed: int, with_hessians: bool) -> MixedData:
    X = PLACES + np.random.default_rng(seed).uniform(-0.05, 0.05, (20, 9))
    frame = pd.DataFrame(X, columns=COORDINATES)
    frame["E"] = energy(X.astype(complex)).real
    for j, name in enumerate(COORDINATES):
        frame[f"F{name}"] = -along(energy, X, j)
    H = hessian(X)
    for i, j in PAIRS if with_hessians else ():
        frame[second_derivative_name("E", COORDINATES[i], COORDINATES[j])] = H[:, i, j]
    define = {f"F{name}": f"-dE/d{name}" for name in COORDINATES}
    return MixedData.from_frame(frame, COORDINATES, ["E"], define=define)


def atoms_errors(seed: int) -> dict[str, float]:
    X = PLACES + np.random.default_rng([seed, 1]).uniform(-0.05, 0.05, (300, 9))
    forces, bends = np.array([along(energy, X, j) for j in range(9)]).T, hessian(X)
    errors = {}
    for label, with_hessians in (("forces alone", False), ("Hessians too", True)):
        model = fitted(atoms(seed, with_hessians), seconds=_SECONDS)
        errors[f"{label}: force"] = relative(model.jacobian(X)[:, 0], forces)
        errors[f"{label}: Hessian"] = relative(model.hessian(X)[:, 0], bends)
    return errors


def vapour_pressure(T: NDArray[np.complex128]) -> NDArray[np.complex128]:
    """Pa at T in K, of propane (Lemmon, McLinden and Wagner 2009)."""
    critical, pressure = 369.89, 4.2512e6
    factors, powers = (-6.7722, 1.6938, -1.3341, -3.1876, 0.94937), (1.0, 1.5, 2.2, 4.8, 6.2)
    terms = (n * (1 - T / critical) ** power for n, power in zip(factors, powers, strict=True))
    return np.asarray(pressure * np.exp(critical / T * sum(terms)))


def vapour(seed: int) -> MixedData:
    T = COLD + (HOT - COLD) * qmc.Sobol(1, seed=seed).random(64)[:35, 0]
    slopes = vapour_pressure(T + 1e-30j).imag / 1e-30
    frame = pd.DataFrame({"T": T, "pv": vapour_pressure(T.astype(complex)).real, "dpv/dT": slopes})
    frame.loc[30:, "pv"] = np.nan
    frame.loc[:24, "dpv/dT"] = np.nan
    return MixedData.from_frame(frame)


def vapour_errors(seed: int) -> dict[str, float]:
    T = np.linspace(COLD, HOT, 2001)
    true = vapour_pressure(T.astype(complex)).real
    errors = {}
    for label, log in (('log="pv"', "pv"), ("without", ())):
        found = fitted(vapour(seed), log=log).predict(T[:, None])[:, 0]
        errors[f"{label}: error"] = float(np.abs(found / true - 1).max())
        errors[f"{label}: negative"] = float((found <= 0).mean())
    return errors


RISING: dict[str, tuple[int, Callable[[Array], Array]]] = {
    "step": (1, lambda X: 1.0 / (1.0 + np.exp(4.0 - 8.0 * X[:, 0]))),
    "saturation": (1, lambda X: 1.0 - np.exp(-6.0 * X[:, 0])),
    "two inputs": (2, lambda X: (1.0 - np.exp(-3.0 * X[:, 1])) / (1.0 + np.exp(4.0 - 8.0 * X[:, 0]))),
}


def monotone_errors(seed: int) -> dict[str, float]:
    errors = {}
    for name, (d, rising) in RISING.items():
        rng = np.random.default_rng(seed)
        X, at = rng.random((40, d)), np.random.default_rng([seed, 1]).random((10_000, d))
        X[0], X[1] = 0.0, 1.0
        data = MixedData(X, (rising(X) + 0.2 * rng.normal(size=40))[:, None])
        constraints = tuple(f"d{data.outputs[0]}/d{into} >= 0" for into in data.inputs)
        for label, require in (("", ()), (" require", constraints)):
            started = time.perf_counter()
            model = fitted(data, require=require)
            errors[f"{name}{label}: s"] = time.perf_counter() - started
            errors[f"{name}{label}: rmse"] = float(
                np.sqrt(np.mean((model.predict(at)[:, 0] - rising(at)) ** 2))
            )
            errors[f"{name}{label}: falling"] = float((model.jacobian(at) < 0).any((1, 2)).sum())
    return errors


def relative(found: Array, true: Array) -> float:
    return float(np.median(np.abs(found - true)) / np.sqrt(np.mean(true**2)))


def fitted(data: MixedData, **options: Any) -> FittedModel:
    started = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = swarmnet.fit(data, **options)
    print(f"  {data!r}: {model.net.architecture}, {time.perf_counter() - started:.0f} s", flush=True)
    return replace(model, warns_outside=False)


CASES = {"water": water_errors, "atoms": atoms_errors, "vapour": vapour_errors, "monotone": monotone_errors}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5, help="how many")
    parser.add_argument("--cases", default=",".join(CASES), help="some of them")
    given = parser.parse_args()
    for case in given.cases.split(","):
        print(case)
        table = pd.DataFrame([CASES[case](seed) for seed in range(given.seeds)])
        table.loc["median"] = table.median()
        print(table.T.to_string(float_format=lambda number: f"{number:.2g}"))


if __name__ == "__main__":
    main()
