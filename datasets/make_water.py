"""Write the water data sets: the specific enthalpy of compressed liquid water and its slopes, and what
instruments measure of its Gibbs energy.

Run with ``python datasets/make_water.py`` (needs CoolProp). The files are written beside this
script, and every run writes the same bytes. Properties come from the IAPWS-95 equation of state
(Wagner & Pruss 2002) as implemented in CoolProp, at exactly the temperatures and pressures printed:

    h             specific enthalpy, J/kg
    dh/dT = cp    at constant p, the isobaric heat capacity, J/(kg K)
    dh/dp         at constant T, the isothermal Joule-Thomson slope v (1 - alpha T), J/(kg Pa),
                  with v the specific volume and alpha the isobaric thermal expansivity
    w             speed of sound, m/s
    mu            Joule-Thomson coefficient, dT/dp at constant h, K/Pa
    rho           density, kg/m3
    s             specific entropy, J/(kg K)
"""

import CoolProp.CoolProp as CP
import numpy as np
from make_small import digits, keep, one_entry_points, write_csv

LOW, HIGH = (275.0, 1e6), (450.0, 1e8)  # T in K, p in Pa
TARGETS = ["h", "dh/dT", "dh/dp"]
COUNTS = [12, 118, 70]
MEASURED, OTHERS = ["w", "cp", "mu", "rho"], ["h", "s"]
LIQUID = (CP.iphase_liquid, CP.iphase_supercritical_liquid)  # the latter: p > p_c, T < T_c
WATER = CP.AbstractState("HEOS", "Water")


def printed(T: float, p: float) -> tuple[str, str]:
    """Print T with two decimals and p with four significant digits."""
    return f"{T:.2f}", f"{float(f'{p:.3e}'):.0f}"


def properties(T: float, p: float) -> list[float]:
    """Return h, (dh/dT)_p and (dh/dp)_T, and raise ValueError outside the liquid."""
    WATER.update(CP.PT_INPUTS, p, T)
    frozen = WATER.melting_line(CP.iT, CP.iP, p) >= T
    if frozen or WATER.phase() not in LIQUID:
        raise ValueError(f"not liquid at T = {T} K, p = {p} Pa")
    return [
        WATER.hmass(),
        WATER.first_partial_deriv(CP.iHmass, CP.iT, CP.iP),
        WATER.first_partial_deriv(CP.iHmass, CP.iP, CP.iT),
    ]


def noise_sd(kind: int, value: float) -> float:
    """Return the noise sd to three digits: 50 J/kg on h, 0.5 % on dh/dT, 1 % on dh/dp."""
    return float(f"{(50.0, 0.005 * abs(value), 0.01 * abs(value))[kind]:.3g}")


def write_training() -> None:
    """Write the 200 one-entry rows, exact in wide form and noisy in long form.

    A noisy value is the exact one plus sigma z, with z standard normal.
    """
    points, kinds = one_entry_points(COUNTS, LOW, HIGH, np.random.default_rng(1))
    noise = np.random.default_rng(2).standard_normal(len(kinds))
    exact, noisy = [], []
    for point, kind, z in zip(points, kinds, noise, strict=True):
        T, p = printed(*point)
        values = properties(float(T), float(p))
        sigma = noise_sd(kind, values[kind])
        exact.append([T, p, *keep(values, [kind])])
        noisy.append([T, p, TARGETS[kind], digits(values[kind] + sigma * z), f"{sigma:g}"])
    write_csv("water_enthalpy.csv", ["T", "p", *TARGETS], exact)
    write_csv("water_noisy.csv", ["T", "p", "target", "value", "sigma"], noisy)


def write_test() -> None:
    """Write all three properties on a 25 x 25 grid over the same box."""
    axes = [np.linspace(low, high, 25) for low, high in zip(LOW, HIGH, strict=True)]
    cells = [printed(T, p) for T in axes[0] for p in axes[1]]
    rows = [[T, p, *map(digits, properties(float(T), float(p)))] for T, p in cells]
    write_csv("water_enthalpy_test.csv", ["T", "p", *TARGETS], rows)


def measured(T: float, p: float) -> list[float]:
    """Return w, cp, mu, rho, h and s, in the order of `MEASURED` and `OTHERS`."""
    properties(T, p)
    coefficient = WATER.first_partial_deriv(CP.iT, CP.iP, CP.iHmass)
    own = WATER.speed_sound(), WATER.cpmass(), coefficient, WATER.rhomass()
    return [*own, WATER.hmass(), WATER.smass()]


def write_properties() -> None:
    """Write 50 of each of four measured properties, one a row, and h and s at the middle of the box."""
    points, kinds = one_entry_points([50] * len(MEASURED), LOW, HIGH, np.random.default_rng(3))
    middle = np.mean([LOW, HIGH], axis=0)
    points, kinds = np.vstack([points, middle, middle]), [*kinds, len(MEASURED), len(MEASURED) + 1]
    rows = []
    for point, kind in zip(points, kinds, strict=True):
        T, p = printed(*point)
        rows.append([T, p, *keep(measured(float(T), float(p)), [kind])])
    write_csv("water_properties.csv", ["T", "p", *MEASURED, *OTHERS], rows)
    axes = [np.linspace(low, high, 12) for low, high in zip(LOW, HIGH, strict=True)]
    cells = [printed(T, p) for T in axes[0] for p in axes[1]]
    rows = [[T, p, *map(digits, measured(float(T), float(p)))] for T, p in cells]
    write_csv("water_properties_test.csv", ["T", "p", *MEASURED, *OTHERS], rows)


if __name__ == "__main__":
    write_training()
    write_test()
    write_properties()
