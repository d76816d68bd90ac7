"""The processor that a benchmark runs on, and how to hold all libraries to AVX2 where it has AVX-512."""

import os
from pathlib import Path

import numpy as np
from llvmlite.binding import get_host_cpu_features

from swarmnet.threads import available_cores

_CPU_INFO = Path("/proc/cpuinfo")


def description() -> str:
    """Its name and the number of cores."""
    told = (line.partition(":") for line in _CPU_INFO.read_text().splitlines())
    names = [value.strip() for key, _, value in told if key.strip() == "model name"]
    return f"{names[0] if names else 'unknown processor'}, {available_cores()} cores"


def has_avx512() -> bool:
    return bool(get_host_cpu_features().get("avx512f", False))


def avx2_only() -> dict[str, str]:
    """The environment of a process in which Numba, XLA, NumPy and OpenBLAS use no AVX-512."""
    found = np.show_config(mode="dicts")["SIMD Extensions"]["found"]
    wider = [name for name in found if name == "X86_V4" or name.startswith("AVX512")]
    return os.environ | {
        "NUMBA_CPU_NAME": "haswell",
        "NUMBA_CPU_FEATURES": "",  # those of that name, not this processor's
        "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_max_isa=AVX2".strip(),
        "NPY_DISABLE_CPU_FEATURES": " ".join(wider),
        "OPENBLAS_CORETYPE": "Haswell",
    }
