"""Turns signals into the columns that a calibration's model takes. Needs numpy only.

A matrix of signals is (labels, columns) float64; NaN means that a label lacks the signal. Signals whose name
starts with `feature_` describe the look of a region and say nothing about trust: they are left out.
"""

from collections.abc import Mapping, Sequence
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from schemas.calibration import SignalColumn
from schemas.labels import Label

FEATURE_PREFIX = "feature_"
Matrix = npt.NDArray[np.float64]
# Larger values are clipped: they carry no more information, and sums of them could overflow.
_LARGEST = 1e6
_NUM_KNOTS = 33


def signals_of(label: Label) -> dict[str, float]:
    """The signals of a label that are about trust, by name."""
    return {
        signal.name: signal.value for signal in label.signals if not signal.name.startswith(FEATURE_PREFIX)
    }


def signal_names(tables: Sequence[Mapping[str, float]]) -> list[str]:
    """The names of all signals in the tables, sorted."""
    return sorted({name for table in tables for name in table})


def signal_matrix(tables: Sequence[Mapping[str, float]], names: Sequence[str]) -> Matrix:
    """(labels, names) float64; NaN if a signal is missing or not a number, bounded otherwise."""
    values = np.array([[table.get(name, np.nan) for name in names] for table in tables], dtype=np.float64)
    return bounded(values.reshape(len(tables), len(names)))


def bounded(values: Matrix) -> Matrix:
    """The matrix with its largest numbers clipped."""
    return np.clip(values, -_LARGEST, _LARGEST)


def describe_columns(
    values: Matrix, names: Sequence[str], right: npt.NDArray[np.bool_]
) -> list[SignalColumn]:
    """How to scale each signal for a model, from the labels it is fitted on; constant signals are left out.

    `values`: (labels, names) as from `signal_matrix`; `right`: (labels,) the verdicts.
    """
    columns = []
    for index, name in enumerate(names):
        column = values[:, index]
        present = column[~np.isnan(column)]
        missing = bool(np.isnan(column).any())
        if not len(present) or (np.ptp(present) < 1e-9 and not missing):
            continue
        low, high = (float(bound) for bound in np.quantile(present, [0.005, 0.995]))
        clipped = np.clip(present, low, high)
        knots, ranks = _normal_ranks(clipped)
        of_right = column[right & ~np.isnan(column)]
        usual = np.quantile(of_right if len(of_right) else present, [0.1, 0.9])
        columns.append(
            SignalColumn(
                name=name,
                fill=float(np.median(present)),
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
    """The columns of a prepared matrix that hold a signal's value and rank; empty if it has none."""
    indices = [index for index, column in enumerate(columns) if column.name == name]
    return [*indices, *(index + len(columns) for index in indices)]


def prepare(tables: Sequence[Mapping[str, float]], columns: Sequence[SignalColumn]) -> Matrix:
    """`prepare_matrix` of signals by name."""
    return prepare_matrix(signal_matrix(tables, [column.name for column in columns]), columns)


def prepare_matrix(raw: Matrix, columns: Sequence[SignalColumn]) -> Matrix:
    """The matrix that a model scores: (labels, values then ranks then indicators) float64.

    `raw`: (labels, columns) as from `bounded`. Finite for every input; holds float32 values.
    """
    missing = np.isnan(raw)
    if not columns:
        return np.zeros((len(raw), 0))
    fill, low, high, mean, deviation = (
        np.array([getattr(column, field) for column in columns])
        for field in ("fill", "low", "high", "mean", "deviation")
    )
    filled = np.clip(np.where(missing, fill, raw), low, high)
    with_indicator = [index for index, column in enumerate(columns) if column.indicator]
    ranked = [np.interp(filled[:, index], column.knots, column.ranks) for index, column in enumerate(columns)]
    values = (filled - mean) / deviation
    indicators = missing[:, with_indicator].astype(float)
    matrix = np.concatenate([values, np.stack(ranked, axis=1), indicators], axis=1)
    # Trees are fitted on float32, so scoring must compare thresholds with the same rounded numbers.
    rounded: npt.NDArray[np.float64] = matrix.astype(np.float32).astype(np.float64)
    return rounded


def _normal_ranks(values: npt.NDArray[np.float64]) -> tuple[list[float], list[float]]:
    """Quantiles of a signal and the standard normal quantile of each; the mean if quantiles are equal."""
    shares = np.linspace(0.01, 0.99, _NUM_KNOTS)
    knots, knot_of = np.unique(np.quantile(values, shares), return_inverse=True)
    normal = np.array([NormalDist().inv_cdf(float(share)) for share in shares])
    ranks = [float(normal[knot_of == number].mean()) for number in range(len(knots))]
    return [float(knot) for knot in knots], ranks
