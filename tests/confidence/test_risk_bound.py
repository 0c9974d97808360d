"""Bounds on an error from judged images are valid however the labels of an image depend on each other."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fo1_data.confidence.risk_bound import best_stakes, error_interval, p_values

COUNTS = st.lists(
    st.integers(1, 6).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), min_size=1, max_size=60
)


def as_rule(counts: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    wrong, accepted = np.array(counts, dtype=float).T
    return wrong[None], accepted[None]


@given(counts=COUNTS, error=st.floats(0.01, 0.5))
@settings(max_examples=60, deadline=None)
def test_p_values_are_probabilities_and_more_wrong_labels_are_less_evidence(
    counts: list[tuple[int, int]], error: float
) -> None:
    wrong, accepted = as_rule(counts)
    observed = p_values(wrong, accepted, error, 6)[0]
    all_wrong = p_values(accepted, accepted, error, 6)[0]
    none_wrong = p_values(np.zeros_like(wrong), accepted, error, 6)[0]
    assert 0 < none_wrong <= observed <= all_wrong == 1


@given(counts=COUNTS)
@settings(max_examples=30, deadline=None)
def test_an_interval_holds_the_observed_share(counts: list[tuple[int, int]]) -> None:
    wrong, accepted = (rule[0] for rule in as_rule(counts))
    low, high = error_interval(wrong, accepted, 6)
    assert 0 <= low <= wrong.sum() / accepted.sum() + 1e-3
    assert wrong.sum() / accepted.sum() - 1e-3 <= high <= 1


def test_nothing_judged_is_no_evidence() -> None:
    none = np.zeros((3, 0))
    assert p_values(none, none, 0.05, 4).tolist() == [1, 1, 1]
    assert best_stakes(none, none, 0.05, 4).tolist() == [1, 1, 1]
    assert error_interval(np.zeros(0), np.zeros(0), 4) == (0.0, 1.0)


def test_more_images_are_more_evidence() -> None:
    accepted = np.full((1, 400), 3.0)
    tested = [float(p_values(0 * accepted[:, :n], accepted[:, :n], 0.05, 3)[0]) for n in (20, 100, 400)]
    assert tested == sorted(tested, reverse=True)
    assert tested[-1] < 1e-4


@pytest.mark.parametrize("together", [True, False])
def test_a_true_hypothesis_is_rejected_no_more_often_than_the_level(together: bool) -> None:
    rng = np.random.default_rng(7)
    level, error, rejected, runs = 0.1, 0.1, 0, 1500
    for _ in range(runs):
        sizes = rng.integers(1, 6, 80)
        if together:
            wrong = sizes * (rng.random(80) < error)
        else:
            wrong = rng.binomial(sizes, error)
        rejected += p_values(wrong[None].astype(float), sizes[None].astype(float), error, 5)[0] <= level
    assert rejected / runs <= level + 3 * np.sqrt(level * (1 - level) / runs)


def test_intervals_miss_the_true_error_no_more_often_than_their_level() -> None:
    rng = np.random.default_rng(3)
    runs, missed, error = 150, 0, 0.08
    for _ in range(runs):
        sizes = rng.integers(1, 5, 120)
        low, high = error_interval(rng.binomial(sizes, error).astype(float), sizes.astype(float), 4, 0.9)
        missed += not low <= error <= high
    assert missed / runs <= 0.1 + 3 * np.sqrt(0.09 / runs)
