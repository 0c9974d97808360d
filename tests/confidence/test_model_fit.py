"""Fitted numbers score as scikit-learn does; confidences rise with the score and stay finite."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_labels import made_kind

from fo1_data.confidence.calibration import fit_kind, predict
from fo1_data.confidence.model_fit import fit_boosted, fit_isotonic, fit_logistic, fit_platt, folds
from fo1_data.confidence.scoring import Scorer, confidence, score
from fo1_data.confidence.signal_columns import FEATURE_PREFIX, prepare
from schemas.calibration import BoostedTrees, KindCalibration

ODD = st.one_of(st.floats(allow_nan=True, allow_infinity=True), st.floats(-5, 5))


@pytest.fixture(scope="module")
def fitted() -> KindCalibration:
    return fit_kind(made_kind(), num_folds=3)


def test_trees_as_numbers_score_as_the_library_does() -> None:
    from sklearn.ensemble import GradientBoostingClassifier

    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(300, 4)).astype(np.float32).astype(np.float64)
    right = matrix[:, 0] * matrix[:, 1] + rng.normal(size=300) > 0
    caught = {}
    original = GradientBoostingClassifier.fit

    def remember(self, *arguments, **more):  # type: ignore[no-untyped-def]
        caught["model"] = self
        return original(self, *arguments, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(GradientBoostingClassifier, "fit", remember)
        model = fit_boosted(matrix, right, 0)
    assert isinstance(model, BoostedTrees)
    expected = caught["model"].decision_function(matrix)
    assert score(model, matrix) == pytest.approx(expected, abs=1e-5)


def test_a_score_does_not_depend_on_the_other_labels(fitted: KindCalibration) -> None:
    judged = made_kind(seed=5, num_images=30)
    together = predict(fitted, judged.tables)
    alone = np.concatenate([predict(fitted, [table]) for table in judged.tables])
    assert (together == alone).all()


@given(
    values=st.lists(st.dictionaries(st.sampled_from(["logprob_mean", "margin_min", "else"]), ODD), max_size=5)
)
@settings(max_examples=60, deadline=None)
def test_confidences_are_probabilities_for_every_input(
    fitted: KindCalibration, values: list[dict[str, float]]
) -> None:
    confidences = predict(fitted, values)
    assert len(confidences) == len(values)
    assert np.isfinite(confidences).all()
    assert ((confidences >= 0) & (confidences <= 1)).all()


def test_scores_that_differ_in_their_last_bit_share_a_step() -> None:
    top = np.nextafter(0.5, 1)
    scores = np.array([0.1, 0.2, 0.3, 0.5, top])
    mapping = fit_isotonic(scores, np.array([False, False, True, True, True]))
    assert np.isfinite([*mapping.scores, *mapping.confidences]).all()
    assert len(mapping.scores) == 2


@pytest.mark.parametrize("fitter", [fit_platt, fit_isotonic])
@given(seed=st.integers(0, 10_000), useless=st.booleans())
@settings(max_examples=20, deadline=None)
def test_maps_rise_with_the_score(fitter, seed: int, useless: bool) -> None:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=60)
    right = rng.random(60) < (0.5 if useless else 1 / (1 + np.exp(-2 * scores)))
    mapping = fitter(scores, right)
    line = np.linspace(-8, 8, 200)
    mapped = confidence(mapping, line)
    assert (np.diff(mapped) >= 0).all()
    assert mapped[-1] > mapped[0]
    assert ((mapped > 0) & (mapped < 1)).all()


def test_isotonic_keeps_the_order_inside_a_step() -> None:
    scores = np.linspace(-3, 3, 200)
    mapping = fit_isotonic(scores, scores > 0)
    mapped = confidence(mapping, np.array([1.0, 1.5, 2.5, 3.5]))
    assert (np.diff(mapped) > 0).all()


def test_all_labels_of_an_image_are_in_one_fold() -> None:
    images = np.repeat(np.arange(23), 4)
    fold_of = folds(images, 5, seed=1)
    assert all(len(set(fold_of[images == image].tolist())) == 1 for image in range(23))
    assert set(fold_of.tolist()) == set(range(5))


def test_features_of_the_region_are_not_signals_of_trust() -> None:
    judged = made_kind(num_images=120)
    for table, right in zip(judged.tables, judged.right, strict=True):
        table["overlap_max"] = float(right)
    kind = fit_kind(judged, num_folds=2)
    assert "overlap_max" in [column.name for column in kind.columns]
    assert not any(column.name.startswith(FEATURE_PREFIX) for column in kind.columns)


def test_logistic_regression_as_numbers_scores_as_the_library_does(fitted: KindCalibration) -> None:
    judged = made_kind(seed=2, num_images=60)
    matrix = prepare(judged.tables, fitted.columns)
    model = fit_logistic(matrix, judged.right, 0)
    weights = np.array(model.weights)  # type: ignore[union-attr]
    assert Scorer(model)(matrix) == pytest.approx(np.clip(matrix @ weights + model.intercept, -30, 30))
