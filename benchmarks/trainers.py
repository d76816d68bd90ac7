"""How well each trainer does on the small problems, over several seeds.

    python benchmarks/trainers.py

Prints: how many of ten seeds learn XOR; the medians over five seeds of the partials' R2 on unseen points of
a smooth function, from 60 rows of one entry each; and the loss that `projected` and `pso` reach on the water
data in equal time.
"""

from pathlib import Path

import numpy as np

from swarmnet import MixedData, compare, evaluate, fit, read_csv
from swarmnet.trainers import LBFGS, PSO, SGD, TRAINERS, Adam

DATASETS = Path(__file__).parents[1] / "datasets"


def xor() -> None:
    """Successes: all four outputs within 0.1 of 0, 1, 1, 0, by a 2-3-1 net of sigmoids, cross-entropy."""
    X = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    data = MixedData(X, Y=[0.0, 1.0, 1.0, 0.0])
    trainers = {
        "sgd, a row at a time, rate 0.1, 10,000 passes": SGD(
            batch_size=1, iterations=10_000, patience=10_000
        ),
        "pso, 50 particles, 1,000 iterations": PSO(iterations=1000, patience=1000),
        "adam, 5,000 iterations": Adam(patience=5000),
        "lbfgs": LBFGS(),
    }
    print("XOR, net 2-3-1: seeds of ten that succeed")
    for label, trainer in trainers.items():
        right = 0
        for seed in range(10):
            model = fit(
                data,
                hidden=(3,),
                activation="sigmoid",
                loss="cross-entropy",
                trainer=trainer,
                seed=seed,
                l2=0.0,
            )
            right += bool(np.abs(model.predict(X) - data.Y).max() < 0.1)
        print(f"  {label:50s} {right:3d}")


def smooth() -> None:
    """R2 of both partials on unseen points."""
    data, test = read_csv(DATASETS / "smooth2d.csv"), read_csv(DATASETS / "smooth2d_test.csv")
    print("\n60 one-entry rows of a smooth function, defaults: medians of five seeds on 441 unseen points")
    print(f"  {'trainer':12s}{'R2 y':>10s}{'R2 dy/dx1':>12s}{'R2 dy/dx2':>12s}{'seconds':>10s}")
    for name in TRAINERS:
        models = [fit(data, trainer=name, seed=seed) for seed in range(5)]
        r2 = np.median([evaluate(model, test)["r2"] for model in models], axis=0)
        seconds = np.median([model.training["seconds"] for model in models])
        print(f"  {name:12s}{r2[0]:10.4f}{r2[1]:12.4f}{r2[2]:12.4f}{seconds:10.2f}")


def water() -> None:
    """Training loss of the two swarms in equal time."""
    comparison = compare(
        DATASETS / "water_enthalpy.csv",
        ("pso", "projected", "hybrid", "adam", "lbfgs", "lm"),
        repeats=5,
        seconds=3.0,
        test=DATASETS / "water_enthalpy_test.csv",
    )
    print("\nWater, 200 one-entry rows, 3 s each: medians of five seeds")
    shown = ["loss", "rmse(h)", "rmse(dh/dT)", "rmse(dh/dp)"]
    print(comparison.table[shown].to_string(float_format=lambda value: f"{value:.3g}"))
    losses = comparison.table["loss"]
    print(f"pso's loss over projected's: {losses['pso'] / losses['projected']:.0f}")


if __name__ == "__main__":
    xor()
    smooth()
    water()
