import sys

import numpy as np
import pytest
from scipy.special import expit

from swarmnet.detours import BY_EXP, BY_EXP2, BY_TABLE, BY_TANH, Detour, detours

FORMULAS = {"sigmoid": expit, "tanh": np.tanh}
ALL_DETOURS = [
    pytest.param(detour, *key, id="-".join((way, *key)))
    for way, detours in {"exp2": BY_EXP2, "table": BY_TABLE, "exp": BY_EXP, "tanh": BY_TANH}.items()
    for key, detour in detours.items()
]


def by_detour(detour: Detour, z: np.ndarray) -> np.ndarray:
    """What a detour's calls write."""
    scaled, scratch = z * np.asarray(detour.scale, z.dtype), [np.empty_like(z) for _ in range(detour.scratch)]
    out = np.empty_like(z) if scratch else scaled
    for call, arguments in detour.calls(scaled, *scratch, out):
        call(*arguments)
    return out


@pytest.mark.parametrize(("detour", "name", "dtype"), ALL_DETOURS)
def test_detours_lead_to_the_same_values(detour: Detour, name: str, dtype: str) -> None:
    far = [-np.inf, -1e300, -1e30, -1e13, -800.0, 800.0, 1e13, 1e30, 1e300, np.inf, np.nan]
    between = np.random.default_rng(0).uniform(-40.0, 40.0, 100_000)
    z = np.concatenate([np.linspace(-40.0, 40.0, 4001), between, [0.0, -0.0], far])
    # Queries run with NumPy's warnings on, sums without.
    with np.errstate(all="raise", under="ignore", over="raise" if detour.is_relative else "ignore"):
        found = by_detour(detour, z.astype(dtype))
    np.testing.assert_allclose(found, FORMULAS[name](z), rtol=0, atol=4 * np.finfo(dtype).eps)
    assert np.nanmax(np.abs(found)) == 1.0


@pytest.mark.parametrize(
    ("detour", "name", "dtype"), [case for case in ALL_DETOURS if case.values[0].is_relative]
)
def test_relative_precision_of_small_values(detour: Detour, name: str, dtype: str) -> None:
    z = np.concatenate([np.geomspace(1e-300, 1.0, 20_000), -np.geomspace(1e-300, 1.0, 20_000)])
    np.testing.assert_allclose(by_detour(detour, z.astype(dtype)), FORMULAS[name](z), rtol=1e-14)


@pytest.mark.parametrize(
    ("machine", "system", "exp2", "expected"),
    [
        ("x86_64", "linux", "AVX512_SKX", BY_EXP2 | BY_TANH),
        ("x86_64", "linux", "X86_V4", BY_EXP2 | BY_TANH),
        ("x86_64", "linux", "baseline(X86_V2 X86_V3 X86_V4)", BY_EXP2 | BY_TANH),
        ("AMD64", "win32", "X86_V4", BY_TABLE | BY_EXP),
        ("x86_64", "linux", "baseline(X86_V2)", BY_TABLE | BY_EXP),
        ("x86_64", "linux", None, BY_TABLE | BY_EXP),
        ("arm64", "darwin", "baseline(NEON)", BY_EXP2 | BY_TANH),
    ],
)
def test_the_processor_decides(
    monkeypatch: pytest.MonkeyPatch, machine: str, system: str, exp2: str | None, expected: object
) -> None:
    found = {} if exp2 is None else {"exp2": {"dd": {"current": exp2}}}
    introspect = type(sys)("numpy.lib.introspect")
    introspect.opt_func_info = lambda function, signature: found
    monkeypatch.setitem(sys.modules, "numpy.lib.introspect", introspect)
    monkeypatch.setattr("platform.machine", lambda: machine)
    monkeypatch.setattr("sys.platform", system)
    assert detours() == expected


def test_where_numpy_does_not_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numpy.lib.introspect", None)  # as in NumPy 1
    assert detours() == BY_EXP2 | BY_TANH
