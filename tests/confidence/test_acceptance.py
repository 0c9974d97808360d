"""The guarantee on made-up labels with known truth: broken no oftener than promised."""

import numpy as np
import pytest
from made_up_labels import made_kind

from fo1_data.confidence.acceptance import accept_kind, acceptances, thresholds
from fo1_data.confidence.calibration import fit_kind, places_in_image
from schemas.calibration import Calibration, JudgedLabels, KindCalibration
from schemas.labels import LabelKind

LEVEL = 0.1


def drawn_labels(rng: np.random.Generator, num_images: int, together: bool) -> JudgedLabels:
    """Labels with honest confidences, but wrong together in an image where `together` is set."""
    image, value, wrong = [], [], []
    for number in range(num_images):
        shared = rng.random()
        for told in rng.beta(6, 1, int(rng.integers(1, 7))):
            image.append(number)
            value.append(float(np.float32(told)))
            wrong.append(bool((shared if together else rng.random()) > told))
    places = places_in_image(np.array(image), np.array(value))
    return JudgedLabels(image=image, place=places.tolist(), confidence=value, wrong=wrong)


def with_parts(kind: KindCalibration, fit: JudgedLabels, held_out: JudgedLabels) -> KindCalibration:
    return kind.model_copy(update={"fit_labels": fit, "held_out": held_out})


@pytest.fixture(scope="module")
def some_kind() -> KindCalibration:
    return fit_kind(made_kind(num_images=80), num_folds=2)


@pytest.mark.parametrize("together", [True, False])
def test_the_true_error_is_exceeded_no_oftener_than_promised(
    some_kind: KindCalibration, together: bool
) -> None:
    rng = np.random.default_rng(11)
    truth = drawn_labels(rng, 8000, together)
    told, wrong, place = (np.array(getattr(truth, name)) for name in ("confidence", "wrong", "place"))
    runs, exceeded, used = 120, 0, 0
    for _ in range(runs):
        parts = (drawn_labels(rng, 150, together), drawn_labels(rng, 150, together))
        rule = accept_kind(with_parts(some_kind, *parts), 0.1, LEVEL)
        if rule.threshold is not None:
            used += 1
            taken = (told >= rule.threshold) & (place < rule.most_labels)
            exceeded += wrong[taken].mean() > 0.1
    assert used > runs / 3, "a bound that accepts nothing is no use"
    assert exceeded / runs <= LEVEL + 3 * np.sqrt(LEVEL * (1 - LEVEL) / runs)


def test_confidences_that_lie_cost_coverage_and_not_the_guarantee(some_kind: KindCalibration) -> None:
    rng = np.random.default_rng(5)
    accepted = 0
    for _ in range(60):
        liar = drawn_labels(rng, 150, False)
        liar = liar.model_copy(update={"wrong": (rng.random(len(liar.wrong)) < 0.2).tolist()})
        honest = drawn_labels(rng, 150, False)
        accepted += accept_kind(with_parts(some_kind, honest, liar), 0.1, LEVEL).threshold is not None
    assert accepted / 60 <= LEVEL + 3 * np.sqrt(0.09 / 60)


def test_a_higher_error_accepts_no_less(some_kind: KindCalibration) -> None:
    rng = np.random.default_rng(2)
    kind = with_parts(some_kind, drawn_labels(rng, 300, False), drawn_labels(rng, 300, False))
    taken = [accept_kind(kind, error, LEVEL).held_out_labels for error in (0.02, 0.1, 0.3)]
    assert taken == sorted(taken)
    assert taken[-1] > 0


def test_without_held_out_labels_nothing_is_accepted(some_kind: KindCalibration) -> None:
    rule = accept_kind(with_parts(some_kind, some_kind.fit_labels, JudgedLabels()), 0.1, LEVEL)
    assert rule.threshold is None
    assert "no held-out gold" in rule.told


def test_thresholds_are_told_from_strict_to_loose(some_kind: KindCalibration) -> None:
    ladder = thresholds(some_kind.fit_labels)
    assert (np.diff(ladder) < 0).all()
    assert ladder[-1] == min(some_kind.fit_labels.confidence)


def test_kinds_share_the_level_and_unknown_ones_accept_nothing(some_kind: KindCalibration) -> None:
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
    assert "not calibrated" in shared[LabelKind.OCR].told


def test_places_count_the_surer_labels_of_the_image() -> None:
    images = np.array([1, 0, 1, 1, 0])
    told = np.array([0.2, 0.9, 0.9, 0.9, 0.1])
    assert places_in_image(images, told).tolist() == [2, 0, 0, 1, 1]
