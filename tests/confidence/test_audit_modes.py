"""The guarantee from an audit of single labels, shown alone or with their images, and of whole images."""

import numpy as np
import pytest
from made_up_labels import made_row

from fo1_data.confidence.acceptance import accept_kind
from fo1_data.confidence.calibration import fit_kind, is_held_out, judged_labels, predict
from fo1_data.confidence.judged_kind import JudgedKind, by_kind, places_in_image
from fo1_data.confidence.model_fit import FAMILIES
from fo1_data.confidence.review_cost import is_for_people
from fo1_data.confidence.review_plan import ReviewPlan
from fo1_data.confidence.routing import Router
from fo1_data.confidence.signal_columns import signals_of
from fo1_data.dataset.label_parts import LabelPart, label_parts
from fo1_data.judging.review_verdicts import judge_reviewed
from schemas.calibration import KindCalibration, RoutingSettings
from schemas.corrections import Correction, CorrectionAction, Lane
from schemas.images import ImageRow
from schemas.labels import Decision, LabelKind

MAX_ERROR, LEVEL, NUM_ROWS, NUM_RUNS = 0.2, 0.1, 150, 30
BRIEF = LabelKind.BRIEF_CAPTION


def is_wrong(part: LabelPart) -> bool:
    return part.label.text.startswith("wrong")


def captions(row: ImageRow) -> list[LabelPart]:
    return [part for part in label_parts(row) if part.kind is BRIEF]


def routed(rows: list[ImageRow], seed: int, whole_images: bool) -> list[ImageRow]:
    """The rows with a tenth in review, the most doubtful, and 60 % of the rest drawn for the audit."""
    settings = RoutingSettings(review_budget=0.1, audit=0.6, whole_images=whole_images, seed=seed)
    router = Router(settings, None, [BRIEF])
    plan = ReviewPlan(router)
    for row in rows:
        plan.add_rows([row])
    chosen = plan.choose()
    for row in rows:
        router.decide_rows([row], chosen)
    return rows


def review(rows: list[ImageRow], asked_only: bool) -> list[Correction]:
    """What a truthful reviewer says of the images that are pushed."""
    said: list[Correction] = []
    for row in rows:
        parts = captions(row)
        if any(is_for_people(part.label) for part in parts):
            in_review = any(part.label.decision is Decision.REVIEW for part in parts)
            said += [
                Correction(
                    image_id=row.image_id, action=CorrectionAction.VERDICT, kind=BRIEF,
                    region_id=part.region_ids[0], right=not is_wrong(part), at="2026-01-01T00:00:00Z",
                    lane=Lane.REVIEW if in_review else Lane.AUDIT, annotation_key=f"r/{row.image_id}",
                )
                for part in parts
                if is_for_people(part.label) or not asked_only
            ]  # fmt: skip
    return said


@pytest.fixture(scope="module")
def model() -> KindCalibration:
    """A fit on other images; only what it certifies with is drawn anew."""
    rows = [made_row(number, seed=1000, num_regions=3, error=0.15) for number in range(80)]
    for label in (part.label for row in rows for part in captions(row)):
        label.decision = Decision.AUDIT
    kind = by_kind(judge_reviewed(rows, review(rows, asked_only=False)))[BRIEF]
    return fit_kind(kind, families=[next(iter(FAMILIES))], num_folds=2)


def certified_by(model: KindCalibration, judged: JudgedKind, seed: int) -> KindCalibration:
    """The model with these judged labels: half of the images plan the rule, the others certify it."""
    confidences = predict(model, judged.tables)
    certifies = (judged.has_verdict | judged.missed) & judged.certifies & judged.eligible
    held_out = np.array([is_held_out(image_id, seed) for image_id in judged.image_ids])
    parts = {
        name: judged_labels(judged.take(mask), confidences[mask], certifies[mask])
        for name, mask in (("fit_labels", ~held_out), ("held_out", held_out))
    }
    return model.model_copy(update={**parts, "scope": "accepted_before"})


@pytest.mark.parametrize(("whole_images", "asked_only"), [(False, True), (False, False), (True, False)])
def test_the_error_of_accepted_labels_exceeds_its_bound_no_more_often_than_promised(
    model: KindCalibration, whole_images: bool, asked_only: bool
) -> None:
    used, exceeded = 0, 0
    for run in range(NUM_RUNS):
        rows = [made_row(number, seed=run, num_regions=3, error=0.15) for number in range(NUM_ROWS)]
        rows = routed(rows, run, whole_images)
        judged = judge_reviewed(rows, review(rows, asked_only))
        kind = certified_by(model, by_kind(judged, missed_as_verdict=False)[BRIEF], run)
        rule = accept_kind(kind, MAX_ERROR, LEVEL, run)
        if rule.threshold is None:
            continue
        used += 1
        parts = [part for row in rows for part in captions(row)]
        in_review = np.array([part.label.decision is Decision.REVIEW for part in parts])
        confidences = np.where(in_review, -1.0, predict(kind, [signals_of(part.label) for part in parts]))
        _, images = np.unique([part.row.image_id for part in parts], return_inverse=True)
        accepted = (confidences >= rule.threshold) & (places_in_image(images, confidences) < rule.most_labels)
        wrong = np.array([is_wrong(part) for part in parts])
        exceeded += bool(wrong[accepted].mean() > MAX_ERROR)
    assert used > NUM_RUNS / 3, "a bound that accepts nothing is useless"
    assert exceeded / NUM_RUNS <= LEVEL + 3 * np.sqrt(LEVEL * (1 - LEVEL) / NUM_RUNS)
