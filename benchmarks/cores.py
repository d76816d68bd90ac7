"""How much sooner a default fit ends on all cores than on one.

    pip install .
    python -m benchmarks.cores [--repeats 3]

Seconds of whole fits of the small data in `datasets`, medians over so many new processes, taken in turns;
the time of the import and of reading the data is left out. The models must be the same to the last bit.
"""

import argparse
import os
import subprocess
import sys

import numpy as np

from swarmnet.threads import available_cores

_NAMES = ("smooth2d", "water_enthalpy", "water_noisy", "two_outputs", "xor")
_FIT = """
import sys, time, warnings
import swarmnet
data = swarmnet.read_csv(f"datasets/{sys.argv[1]}.csv")
warnings.simplefilter("ignore")
start = time.perf_counter()
model = swarmnet.fit(data)
print(time.perf_counter() - start, model.theta.tobytes().hex())
"""


def fitted(name: str, cores: int) -> tuple[float, str]:
    """Seconds of a fit on so many cores, and its weights."""
    told = subprocess.run(
        [sys.executable, "-c", _FIT, name],
        env=os.environ | {"OMP_NUM_THREADS": str(cores)},
        capture_output=True,
        text=True,
        check=True,
    )
    seconds, weights = told.stdout.split()
    return float(seconds), weights


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    repeats, cores = parser.parse_args().repeats, available_cores()
    print(f"Seconds of a default fit{'1 core':>12}{f'{cores} cores':>10}{'ratio':>8}")
    ratios = []
    for name in _NAMES:
        runs = [[fitted(name, number) for number in (1, cores)] for _ in range(repeats)]
        if len({weights for run in runs for _, weights in run}) > 1:
            sys.exit(f"{name}: the models differ")
        one, all_of_them = np.median([[seconds for seconds, _ in run] for run in runs], axis=0)
        ratios.append(one / all_of_them)
        print(f"{name:24s}{one:12.1f}{all_of_them:10.1f}{ratios[-1]:8.2f}", flush=True)
    print(f"{'geometric mean':24s}{np.exp(np.mean(np.log(ratios))):30.2f}")


if __name__ == "__main__":
    main()
