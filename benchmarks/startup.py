"""How long swarmnet takes before it works: its import, its help, and the first fit in a new process.

    pip install ".[bench]"
    python -m benchmarks.startup [--repeats 9]

Each figure is the median over so many new processes, taken in turns. A first fit lasts from the call
to the first iteration's report: it waits for SciPy, PySwarms and Numba to be imported, and for compiled
kernels to be read from their cache. Beside it are JAX, which compiles, and torch: their import, and then
their first gradient of the same loss.
"""

import argparse
import subprocess
import sys
import time

import numpy as np

_CLOCK = "import time; start = time.perf_counter()\n"
_SHOWN = "print(time.perf_counter() - start)"
_DATA = "import numpy as np; X = np.linspace(-1, 1, 400).reshape(200, 2); y = np.sin(X[:, :1])\n"
_LAYERS = "[(2, 32), (32, 32), (32, 1)]"
_FIT = (
    f"import swarmnet\n{_DATA}data = swarmnet.MixedData(X, Y=y)\n{_CLOCK}"
    "swarmnet.fit(data, (32, 32), trainer='{}', iterations=1, callback=lambda *_: {})\n"
)
_JAX = f"""{_DATA}import jax, jax.numpy as jnp
{_CLOCK}jax.config.update("jax_enable_x64", True)
weights = [jnp.full(shape, 1 / 9) for shape in {_LAYERS}]
def loss(weights):
    first, second, third = weights
    return jnp.mean((jnp.tanh(jnp.tanh(X @ first) @ second) @ third - y) ** 2)
jax.block_until_ready(jax.jit(jax.grad(loss))(weights))
{_SHOWN}"""
_TORCH = f"""{_DATA}import torch
{_CLOCK}X, y = torch.tensor(X), torch.tensor(y)
weights = [torch.full(shape, 1 / 9, dtype=torch.float64, requires_grad=True) for shape in {_LAYERS}]
first, second, third = weights
torch.mean((torch.tanh(torch.tanh(X @ first) @ second) @ third - y) ** 2).backward()
{_SHOWN}"""

_PROGRAMS = {
    **{
        f"import {name}": f"{_CLOCK}import {name}\n{_SHOWN}"
        for name in ("numpy", "pandas", "jax", "torch", "swarmnet")
    },
    **{f"first fit, {name}": _FIT.format(name, _SHOWN) for name in ("hybrid", "pso", "lm", "adam")},
    "first gradient, JAX": _JAX,
    "first gradient, torch": _TORCH,
}
_COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "swarmnet --help": [sys.executable, "-m", "swarmnet", "--help"],
}


def inside(program: str) -> float:
    """Seconds that the program itself printed, the first time that it did."""
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return float(told.stdout.split()[0])


def outside(command: list[str]) -> float:
    """Seconds from the start of a process to its end."""
    start = time.perf_counter()
    subprocess.run(command, capture_output=True, check=True)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=9)
    repeats = parser.parse_args().repeats
    work = {name: (inside, program) for name, program in _PROGRAMS.items()}
    work |= {name: (outside, command) for name, command in _COMMANDS.items()}
    for run, argument in work.values():
        run(argument)  # fills the disk's cache, and that of compiled kernels
    times: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(repeats):
        for name, (run, argument) in work.items():
            times[name].append(run(argument))
    print(f"median seconds of {repeats} processes (the quickest, the slowest)")
    for name, taken in times.items():
        print(f"  {name:40s}{np.median(taken):7.3f}  ({min(taken):.3f}, {max(taken):.3f})")


if __name__ == "__main__":
    main()
