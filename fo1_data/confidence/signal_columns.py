"""Signals as the columns that a calibration's model takes. Needs numpy only.

A matrix of signals is (labels, columns) float64 with NaN where a label lacks a signal. Signals whose name
starts with `feature_` describe the region for diversity and say nothing of trust: they are left out.
"""

from collections.abc import Mapping, Sequence
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from schemas.calibration import SignalColumn
from schemas.labels import Label

FEATURE_PREFIX = "feature_"
Matrix = npt.NDArray[np.float64]
# Beyond it a number is as good as infinite, and sums of a few could overflow.
_LARGEST = 1e6
_NUM_KNOTS = 33


def signals_of(label: Label) -> dict[str, float]:
    """The signals of a label that tell of trust, by name."""
    return {one.name: one.value for one in label.signals if not one.name.startswith(FEATURE_PREFIX)}


def feature_of(label: Label) -> tuple[float, ...]:
    """The compact region feature kept with a label, in order; empty where there is none."""
    found = sorted(
        (int(one.name.removeprefix(FEATURE_PREFIX)), one.value)
        for one in label.signals
        if one.name.startswith(FEATURE_PREFIX) and one.name.removeprefix(FEATURE_PREFIX).isdigit()
    )
    return tuple(value for _, value in found)


def signal_names(tables: Sequence[Mapping[str, float]]) -> list[str]:
    """All names that occur, sorted."""
    return sorted({name for table in tables for name in table})


def signal_matrix(tables: Sequence[Mapping[str, float]], names: Sequence[str]) -> Matrix:
    """(labels, names) float64; NaN where a signal is missing or no number, bounded otherwise."""
    values = np.array([[table.get(name, np.nan) for name in names] for table in tables], dtype=np.float64)
    values = values.reshape(len(tables), len(names))
    return np.clip(np.where(np.isnan(values), np.nan, values), -_LARGEST, _LARGEST)


def describe_columns(
    values: Matrix, names: Sequence[str], right: npt.NDArray[np.bool_]
) -> list[SignalColumn]:
    """How to bring each signal into a model, from the labels it is fitted on; constant ones are left out."""
    columns = []
    for place, name in enumerate(names):
        column = values[:, place]
        known = column[~np.isnan(column)]
        missing = bool(np.isnan(column).any())
        if not len(known) or (np.ptp(known) < 1e-9 and not missing):
            continue
        low, high = (float(bound) for bound in np.quantile(known, [0.005, 0.995]))
        clipped = np.clip(known, low, high)
        knots, ranks = _normal_ranks(clipped)
        of_right = column[right & ~np.isnan(column)]
        usual = np.quantile(of_right if len(of_right) else known, [0.1, 0.9])
        columns.append(
            SignalColumn(
                name=name,
                fill=float(np.median(known)),
                mean=float(clipped.mean()),
                deviation=max(float(clipped.std()), 1e-6),
                low=low,
                high=high,
                knots=knots,
                ranks=ranks,
                indicator=missing,
                usual_low=float(usual[0]),
                usual_high=float(usual[1]),
            )
        )
    return columns


def columns_of(columns: Sequence[SignalColumn], name: str) -> list[int]:
    """Where a prepared matrix has a signal's value and rank; empty where it has none."""
    places = [place for place, column in enumerate(columns) if column.name == name]
    return [*places, *(place + len(columns) for place in places)]


def prepare(tables: Sequence[Mapping[str, float]], columns: Sequence[SignalColumn]) -> Matrix:
    """(labels, values, ranks and indicators) float64, finite for every input: what a model scores."""
    raw = signal_matrix(tables, [column.name for column in columns])
    missing = np.isnan(raw)
    if not columns:
        return np.zeros((len(tables), 0))
    fill, low, high, mean, deviation = (
        np.array([getattr(column, field) for column in columns])
        for field in ("fill", "low", "high", "mean", "deviation")
    )
    filled = np.clip(np.where(missing, fill, raw), low, high)
    shown = [place for place, column in enumerate(columns) if column.indicator]
    # Trees are fitted on float32: both sides of a threshold must be told apart in the same numbers.
    ranked = [np.interp(filled[:, place], column.knots, column.ranks) for place, column in enumerate(columns)]
    values = (filled - mean) / deviation
    ready = np.concatenate([values, np.stack(ranked, axis=1), missing[:, shown].astype(float)], axis=1)
    rounded: npt.NDArray[np.float64] = ready.astype(np.float32).astype(np.float64)
    return rounded


def _normal_ranks(values: npt.NDArray[np.float64]) -> tuple[list[float], list[float]]:
    """Quantiles of a signal and the standard normal number of each; of equal quantiles the mean."""
    shares = np.linspace(0.01, 0.99, _NUM_KNOTS)
    knots, place = np.unique(np.quantile(values, shares), return_inverse=True)
    normal = np.array([NormalDist().inv_cdf(float(share)) for share in shares])
    ranks = [float(normal[place == number].mean()) for number in range(len(knots))]
    return [float(knot) for knot in knots], ranks
