"""Fits the calibration of one label kind from judged labels. Decides nothing: see `acceptance` and `routing`.

A seeded draw on the image id divides the judged images: one part is fitted on, the other part is held out
and only certifies errors. If the gold of a kind is one-sided (all right or all wrong) or too small, all its
labels get one confidence, and a note says so.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from fo1_data.confidence.judged_kind import JudgedKind, places_in_image
from fo1_data.confidence.model_fit import FAMILIES, NUM_FOLDS, fit
from fo1_data.confidence.risk_figures import aurc, auroc, expected_calibration_error
from fo1_data.confidence.scoring import confidence, score
from fo1_data.confidence.signal_columns import (
    columns_of,
    describe_columns,
    prepare,
    signal_matrix,
    signal_names,
)
from fo1_data.dataset.label_parts import draw
from schemas.calibration import (
    ConfidenceMap,
    ConstantModel,
    FitFigures,
    JudgedLabels,
    KindCalibration,
)

HELD_OUT_SHARE = 0.5
# With fewer right labels, or fewer wrong labels, a fit cannot find which signals matter.
MIN_LABELS_PER_SIDE = 10
LOG_PROBABILITY = "logprob_mean"
ALL_FITTED = "too few images to hold some out: all are fitted on, none certifies, judge more images"


def is_held_out(image_id: str, seed: int, share: float = HELD_OUT_SHARE) -> bool:
    """Whether the labels of an image are held out to certify. `share`: of the images, 0 to 1."""
    return draw(seed, "held-out", image_id) < share


def fit_kind(
    judged: JudgedKind,
    seed: int = 0,
    *,
    held_out: npt.NDArray[np.bool_] | None = None,
    families: Sequence[str] = tuple(FAMILIES),
    num_folds: int = NUM_FOLDS,
) -> KindCalibration:
    """The calibration of one kind.

    `held_out`: (labels,) mask of the labels to hold out; None takes the seeded draw by image.
    `families`: the models to try, of `model_fit.FAMILIES`; `num_folds`: by image, at least 2.
    """
    if held_out is None:
        held_out = np.array([is_held_out(image_id, seed) for image_id in judged.image_ids], dtype=bool)
    fitted, certifying, note = _divide(judged, held_out)
    images, right = fitted.image_numbers(), fitted.right
    rarer = int(min(right.sum(), (~right).sum()))
    if rarer < MIN_LABELS_PER_SIDE or images.max(initial=0) < 1:
        return _constant(fitted, certifying, rarer, note)
    names = signal_names(fitted.tables)
    columns = describe_columns(signal_matrix(fitted.tables, names), names, right)
    if not columns:
        return _constant(fitted, certifying, rarer, note)
    alone = columns_of(columns, LOG_PROBABILITY)
    best = fit(prepare(fitted.tables, columns), right, images, seed, families, num_folds, alone)
    certified = confidence(best.map, score(best.model, prepare(certifying.tables, columns)))
    truth = right.astype(np.float64)
    figures = _figures(fitted, certifying).model_copy(
        update={
            "aurc_by_family": _rounded(best.aurc_by_family),
            "brier_by_map": _rounded(best.brier_by_map),
            "brier": round(float(((best.out_of_fold - truth) ** 2).mean()), 6),
            "ece": round(expected_calibration_error(best.out_of_fold, truth), 6),
            "auroc": round(auroc(best.out_of_fold, truth) or 0.0, 6),
            "aurc": round(aurc(best.out_of_fold, truth) or 0.0, 6),
            "note": note,
        }
    )
    return KindCalibration(
        columns=columns,
        model=best.model,
        map=best.map,
        figures=figures,
        fit_labels=judged_labels(fitted, best.out_of_fold),
        held_out=_evidence(certifying, certified),
    )


def _divide(judged: JudgedKind, held_out: npt.NDArray[np.bool_]) -> tuple[JudgedKind, JudgedKind, str | None]:
    """The labels to fit on, the labels to certify with, and a note or None. No image is in both parts.

    Held-out labels that may not certify are fitted on, unless their image has a label that certifies: labels
    of one image depend on each other. If nothing is left to fit on, all labels are fitted on, none certify.
    """
    images = judged.image_numbers()
    counted = judged.has_verdict | judged.missed
    in_certifying_image = np.isin(images, images[held_out & counted & judged.certifies])
    to_fit = judged.has_verdict & ~in_certifying_image
    if to_fit.any():
        return judged.take(to_fit), judged.take(held_out), None
    none = np.zeros(len(images), dtype=bool)
    return judged.take(judged.has_verdict), judged.take(none), ALL_FITTED


def predict(kind: KindCalibration, tables: Sequence[Mapping[str, float]]) -> npt.NDArray[np.float64]:
    """(labels,) in (0, 1): the confidence of each label from its signals by name; finite for every input."""
    return confidence(kind.map, score(kind.model, prepare(tables, kind.columns)))


def _constant(fitted: JudgedKind, certifying: JudgedKind, rarer: int, note: str | None) -> KindCalibration:
    """One confidence for all labels: the share that is right, moved towards one half by Laplace's rule.

    `rarer`: the number of labels on the rarer side; `note`: appended to the note of the figures.
    """
    right, total = int(fitted.right.sum()), len(fitted.right)
    share = (right + 1) / (total + 2)
    side = "right" if right * 2 >= total else "wrong"
    reason = f"all {total} labels are {side}" if not rarer else f"only {rarer} labels are not {side}"
    mapping = ConfidenceMap(slope=1.0, intercept=0.0, platt_share=1.0)
    model = ConstantModel(intercept=float(np.log(share / (1 - share))))
    value = float(confidence(mapping, np.array([model.intercept]))[0])
    reason += f": signals cannot be told apart, every label has confidence {value:.3f}"
    reason += f"; {note}" if note else ""
    return KindCalibration(
        columns=[],
        model=model,
        map=mapping,
        figures=_figures(fitted, certifying).model_copy(update={"note": reason}),
        fit_labels=judged_labels(fitted, np.full(total, value)),
        held_out=_evidence(certifying, np.full(len(certifying.right), value)),
    )


def _figures(fitted: JudgedKind, held_out: JudgedKind) -> FitFigures:
    counted = held_out.has_verdict | held_out.missed
    certifying = np.flatnonzero(counted & held_out.certifies).tolist()
    return FitFigures(
        images=len(set(fitted.image_ids)),
        labels=len(fitted.right),
        right=int(fitted.right.sum()),
        certified_images=len({held_out.image_ids[index] for index in certifying}),
        certified_labels=len(certifying),
        missed=int(fitted.missed.sum()),
        certified_missed=int(held_out.missed[certifying].sum()),
    )


def judged_labels(
    judged: JudgedKind, confidences: npt.NDArray[np.float64], keep: npt.NDArray[np.bool_] | None = None
) -> JudgedLabels:
    """The labels at which `keep` is True (default: all), each with its place among all labels of its image.

    Labels that routing may not accept come last in their image.
    """
    images = judged.image_numbers()
    places = places_in_image(images, np.where(judged.eligible, confidences, -1.0))
    chosen = np.flatnonzero(np.ones(len(images), dtype=bool) if keep is None else keep)
    return JudgedLabels(
        image=[int(number) for number in images[chosen]],
        place=[int(place) for place in places[chosen]],
        confidence=[float(value) for value in confidences[chosen]],
        wrong=[bool(wrong) for wrong in ~judged.right[chosen]],
        missed=[bool(missed) for missed in judged.missed[chosen]] if judged.missed[chosen].any() else [],
    )


def _evidence(held_out: JudgedKind, confidences: npt.NDArray[np.float64]) -> JudgedLabels:
    """The labels that certify: a fair sample of the labels that routing may accept, judged or missed."""
    keep = (held_out.has_verdict | held_out.missed) & held_out.certifies & held_out.eligible
    return judged_labels(held_out, confidences, keep)


def _rounded(values: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 6) for name, value in values.items()}
