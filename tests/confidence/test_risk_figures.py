"""Figures of a trust score: known values, brute force, and no dependence on the order of labels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fo1_data.confidence.risk_figures import (
    aurc,
    auroc,
    coverage_at,
    expected_calibration_error,
    reviewed_until,
    risk_curve,
)

LABELS = st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=1, max_size=40)


def as_arrays(labels: list[tuple[int, bool]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([trust / 6 for trust, _ in labels]), np.array([float(right) for _, right in labels])


@given(labels=LABELS, seed=st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_figures_do_not_depend_on_the_order_of_labels(labels: list[tuple[int, bool]], seed: int) -> None:
    trust, right = as_arrays(labels)
    order = np.random.default_rng(seed).permutation(len(right))
    for figure in (aurc, auroc, expected_calibration_error):
        assert figure(trust[order], right[order]) == pytest.approx(figure(trust, right))
    for risk in (0.0, 0.1, 0.5):
        assert coverage_at(trust[order], right[order], risk) == coverage_at(trust, right, risk)
        assert reviewed_until(trust[order], right[order], risk) == pytest.approx(
            reviewed_until(trust, right, risk)
        )


@given(labels=LABELS)
@settings(max_examples=40, deadline=None)
def test_aurc_is_the_mean_over_all_orders_of_equals(labels: list[tuple[int, bool]]) -> None:
    trust, right = as_arrays(labels)
    rng = np.random.default_rng(0)
    areas = []
    for _ in range(400):
        order = np.lexsort((rng.random(len(right)), -trust))
        areas.append((np.cumsum(1 - right[order]) / np.arange(1, len(right) + 1)).mean())
    assert aurc(trust, right) == pytest.approx(np.mean(areas), abs=0.06)


def test_known_values() -> None:
    right = np.array([1.0, 1.0, 0.0, 0.0])
    trust = np.array([0.9, 0.8, 0.2, 0.1])
    assert auroc(trust, right) == 1
    assert auroc(-trust, right) == 0
    assert aurc(trust, right) == pytest.approx((0 + 0 + 1 / 3 + 1 / 2) / 4)
    assert coverage_at(trust, right, 0.0) == 0.5
    assert coverage_at(trust, right, 0.4) == 0.75
    assert reviewed_until(trust, right, 0.25) == 0.25
    assert reviewed_until(-trust, right, 0.25) == 0.75
    assert reviewed_until(trust, right, 0.5) == 0
    coverage, risk = risk_curve(trust, right)
    assert coverage.tolist() == [0.25, 0.5, 0.75, 1]
    assert risk[-1] == 0.5


def test_figures_of_one_sided_and_of_no_labels() -> None:
    assert auroc(np.array([0.1, 0.2]), np.ones(2)) is None
    assert aurc(np.zeros(0), np.zeros(0)) is None
    assert coverage_at(np.array([0.1, 0.2]), np.ones(2), 0.01) == 1
    assert coverage_at(np.array([0.1, 0.2]), np.zeros(2), 0.01) == 0
    assert reviewed_until(np.zeros(0), np.zeros(0), 0.02) == 0
