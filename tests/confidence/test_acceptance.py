"""The guarantee on made-up labels with known verdicts: it fails no more often than its level allows."""

import numpy as np
import pytest
from made_up_labels import made_kind

from fo1_data.confidence.acceptance import accept_kind, acceptances, thresholds
from fo1_data.confidence.calibration import fit_kind
from fo1_data.confidence.judged_kind import places_in_image
from schemas.calibration import Calibration, JudgedLabels, KindCalibration
from schemas.labels import LabelKind

LEVEL = 0.1


def drawn_labels(rng: np.random.Generator, num_images: int, together: bool) -> JudgedLabels:
    """Labels with calibrated confidences. With `together`, the labels of an image err together."""
    image, confidences, wrong = [], [], []
    for number in range(num_images):
        shared = rng.random()
        for confidence in rng.beta(6, 1, int(rng.integers(1, 7))):
            image.append(number)
            confidences.append(float(np.float32(confidence)))
            wrong.append(bool((shared if together else rng.random()) > confidence))
    places = places_in_image(np.array(image), np.array(confidences))
    return JudgedLabels(image=image, place=places.tolist(), confidence=confidences, wrong=wrong)


def with_parts(kind: KindCalibration, fit: JudgedLabels, held_out: JudgedLabels) -> KindCalibration:
    return kind.model_copy(update={"fit_labels": fit, "held_out": held_out})


@pytest.fixture(scope="module")
def some_kind() -> KindCalibration:
    return fit_kind(made_kind(num_images=80), num_folds=2)


@pytest.mark.parametrize("together", [True, False])
def test_the_true_error_exceeds_the_bound_no_more_often_than_the_level(
    some_kind: KindCalibration, together: bool
) -> None:
    rng = np.random.default_rng(11)
    truth = drawn_labels(rng, 8000, together)
    confidence, wrong, place = (np.array(getattr(truth, name)) for name in ("confidence", "wrong", "place"))
    runs, exceeded, used = 120, 0, 0
    for _ in range(runs):
        parts = (drawn_labels(rng, 150, together), drawn_labels(rng, 150, together))
        rule = accept_kind(with_parts(some_kind, *parts), 0.1, LEVEL)
        if rule.threshold is not None:
            used += 1
            accepted = (confidence >= rule.threshold) & (place < rule.most_labels)
            exceeded += wrong[accepted].mean() > 0.1
    assert used > runs / 3, "a bound that accepts nothing is useless"
    assert exceeded / runs <= LEVEL + 3 * np.sqrt(LEVEL * (1 - LEVEL) / runs)


def test_wrong_confidences_cost_coverage_and_not_the_guarantee(some_kind: KindCalibration) -> None:
    rng = np.random.default_rng(5)
    accepted = 0
    for _ in range(60):
        random_verdicts = drawn_labels(rng, 150, False)
        wrong = (rng.random(len(random_verdicts.wrong)) < 0.2).tolist()
        random_verdicts = random_verdicts.model_copy(update={"wrong": wrong})
        kind = with_parts(some_kind, drawn_labels(rng, 150, False), random_verdicts)
        accepted += accept_kind(kind, 0.1, LEVEL).threshold is not None
    assert accepted / 60 <= LEVEL + 3 * np.sqrt(0.09 / 60)


def test_a_higher_error_accepts_no_less(some_kind: KindCalibration) -> None:
    rng = np.random.default_rng(2)
    kind = with_parts(some_kind, drawn_labels(rng, 300, False), drawn_labels(rng, 300, False))
    num_accepted = [accept_kind(kind, error, LEVEL).held_out_labels for error in (0.02, 0.1, 0.3)]
    assert num_accepted == sorted(num_accepted)
    assert num_accepted[-1] > 0


def test_without_held_out_labels_nothing_is_accepted(some_kind: KindCalibration) -> None:
    rule = accept_kind(with_parts(some_kind, some_kind.fit_labels, JudgedLabels()), 0.1, LEVEL)
    assert rule.threshold is None
    assert "no held-out gold" in rule.explanation


def test_thresholds_fall_from_strict_to_loose(some_kind: KindCalibration) -> None:
    candidates = thresholds(some_kind.fit_labels)
    assert (np.diff(candidates) < 0).all()
    assert candidates[-1] == min(some_kind.fit_labels.confidence)


def test_kinds_share_the_level_and_uncalibrated_ones_accept_nothing(some_kind: KindCalibration) -> None:
    rng = np.random.default_rng(8)
    kind = with_parts(some_kind, drawn_labels(rng, 200, False), drawn_labels(rng, 200, False))
    calibration = Calibration(
        created_at="", model_sha256=None, proposer=None, prompts_version=None, dataset="", gold="",
        caption_match="exact", seed=0, kinds={LabelKind.BRIEF_CAPTION: kind, LabelKind.COUNT: kind},
    )  # fmt: skip
    alone = acceptances(calibration, 0.1, 0.9, [LabelKind.BRIEF_CAPTION])
    shared = acceptances(calibration, 0.1, 0.9, [LabelKind.BRIEF_CAPTION, LabelKind.COUNT, LabelKind.OCR])
    first = shared[LabelKind.BRIEF_CAPTION]
    assert first == accept_kind(kind, 0.1, (1 - 0.9) / 2)
    assert alone[LabelKind.BRIEF_CAPTION] == accept_kind(kind, 0.1, 1 - 0.9)
    assert shared[LabelKind.OCR].threshold is None
    assert "not calibrated" in shared[LabelKind.OCR].explanation


def test_places_count_the_surer_labels_of_the_image() -> None:
    images = np.array([1, 0, 1, 1, 0])
    confidences = np.array([0.2, 0.9, 0.9, 0.9, 0.1])
    assert places_in_image(images, confidences).tolist() == [2, 0, 0, 1, 1]
