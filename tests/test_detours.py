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
    scaled, *rest = [
        z * np.asarray(detour.scale, z.dtype),
        *(np.empty_like(z) for _ in range(detour.scratch)),
    ]
    out = np.empty_like(z) if detour.scratch else scaled
    for call, arguments in detour.calls(scaled, *rest, out):
        call(*arguments)
    return out


@pytest.mark.parametrize(("detour", "name", "dtype"), ALL_DETOURS)
def test_detours_lead_to_the_same_values(detour: Detour, name: str, dtype: str) -> None:
    far = [-np.inf, -1e300, -1e30, -1e13, -800.0, 800.0, 1e13, 1e30, 1e300, np.inf, np.nan]
    between = np.random.default_rng(0).uniform(-40.0, 40.0, 100_000)
    z = np.concatenate([np.linspace(-40.0, 40.0, 4001), between, [0.0, -0.0], far])
    with np.errstate(over="ignore", invalid="ignore"):
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
    ("vectorised", "expected"),
    [
        ({"exp2": "X86_V4", "exp": "X86_V4"}, BY_EXP2 | BY_TANH),
        ({"exp2": "baseline(X86_V2)", "exp": "X86_V3"}, BY_TABLE | BY_EXP),
        ({"exp2": "baseline(NEON)"}, BY_TABLE | BY_TANH),
    ],
    ids=["AVX-512", "AVX2", "other"],
)
def test_the_processor_decides(
    monkeypatch: pytest.MonkeyPatch, vectorised: dict[str, str], expected: object
) -> None:
    def opt_func_info(function: str, signature: str) -> dict[str, dict[str, dict[str, str]]]:
        name = function.strip("^$")
        return {name: {"dd": {"current": vectorised[name]}}} if name in vectorised else {}

    introspect = type(sys)("numpy.lib.introspect")
    introspect.opt_func_info = opt_func_info
    monkeypatch.setitem(sys.modules, "numpy.lib.introspect", introspect)
    assert detours() == expected
    monkeypatch.setitem(sys.modules, "numpy.lib.introspect", None)  # NumPy 1 has none
    assert detours() == BY_EXP2 | BY_TANH
