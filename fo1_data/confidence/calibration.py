"""Fits a calibration from judged labels, and keeps it as a file. What decides is in `acceptance`, `routing`.

Images with gold are divided by a seeded draw on their id: one part is fitted on, the other is held out
and only certifies errors. Each label kind is fitted alone. Gold that is one-sided (all right, all wrong) or
too small to tell right from wrong gives one confidence for all labels of the kind, and a note that says so.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from fo1_data.confidence.model_fit import FAMILIES, NUM_FOLDS, fit
from fo1_data.confidence.risk_figures import aurc, auroc, expected_calibration_error
from fo1_data.confidence.scoring import confidence, score
from fo1_data.confidence.signal_columns import (
    columns_of,
    describe_columns,
    prepare,
    signal_matrix,
    signal_names,
    signals_of,
)
from fo1_data.dataset.label_parts import draw
from fo1_data.errors import CalibrationError, CorpusError, StorageError
from fo1_data.judging.correctness import Judged
from fo1_data.storage.addresses import normalise
from fo1_data.storage.store import open_store, split_address
from fo1_data.storage.streams import read_whole
from schemas.calibration import (
    CALIBRATION_VERSION,
    Calibration,
    ConfidenceMap,
    ConstantModel,
    FitFigures,
    JudgedLabels,
    KindCalibration,
)
from schemas.labels import LabelKind

HELD_OUT_SHARE = 0.5
# Fewer labels of the rarer side than this cannot tell which signals matter.
LEAST_OF_A_SIDE = 10
LOG_PROBABILITY = "logprob_mean"
ALL_FITTED = "too few images to hold some out: all are fitted on, none certifies, judge more images"


@dataclass(frozen=True)
class JudgedKind:
    """All labels of one kind in judged images as arrays, in an order that does not depend on that of rows.

    `known`: which ones were judged; `right`: the verdict (False where there is none); `certifies`,
    `eligible`: as in `Judged`.
    """

    image_ids: list[str]
    tables: list[dict[str, float]]
    known: npt.NDArray[np.bool_]
    right: npt.NDArray[np.bool_]
    certifies: npt.NDArray[np.bool_]
    eligible: npt.NDArray[np.bool_]

    def take(self, keep: npt.NDArray[np.bool_]) -> "JudgedKind":
        places = np.flatnonzero(keep).tolist()
        return JudgedKind(
            [self.image_ids[place] for place in places],
            [self.tables[place] for place in places],
            self.known[keep],
            self.right[keep],
            self.certifies[keep],
            self.eligible[keep],
        )

    def image_numbers(self) -> npt.NDArray[np.int64]:
        """The number of each label's image, in order of ids: it does not depend on the order of rows."""
        _, numbers = np.unique(np.array(self.image_ids, dtype=object), return_inverse=True)
        found: npt.NDArray[np.int64] = numbers.astype(np.int64)
        return found


def by_kind(judged: Iterable[Judged]) -> dict[LabelKind, JudgedKind]:
    """Labels by kind, of each kind that anything is known of."""
    found: dict[LabelKind, list[Judged]] = {}
    for one in judged:
        found.setdefault(one.part.kind, []).append(one)
    return {
        kind: _arrays(sorted(found[kind], key=lambda one: one.part.key))
        for kind in sorted(found)
        if any(one.right is not None for one in found[kind])
    }


def _arrays(judged: Sequence[Judged]) -> JudgedKind:
    return JudgedKind(
        image_ids=[one.part.row.image_id for one in judged],
        tables=[signals_of(one.part.label) for one in judged],
        known=np.array([one.right is not None for one in judged], dtype=bool),
        right=np.array([bool(one.right) for one in judged], dtype=bool),
        certifies=np.array([one.certifies for one in judged], dtype=bool),
        eligible=np.array([one.eligible for one in judged], dtype=bool),
    )


def is_held_out(image_id: str, seed: int, share: float = HELD_OUT_SHARE) -> bool:
    """Whether an image's labels are kept from the fit, to certify. `share`: of images, 0 to 1."""
    return draw(seed, "held-out", image_id) < share


def fit_kind(
    judged: JudgedKind,
    seed: int = 0,
    *,
    held: npt.NDArray[np.bool_] | None = None,
    families: Sequence[str] = tuple(FAMILIES),
    num_folds: int = NUM_FOLDS,
) -> KindCalibration:
    """The calibration of one kind. `held`: (labels,) which are held out (default: those of a seeded draw).

    `families`: of `model_fit.FAMILIES`, which models are tried; `num_folds`: by image, at least 2.
    """
    if held is None:
        held = np.array([is_held_out(image_id, seed) for image_id in judged.image_ids], dtype=bool)
    fitted, held_out, note = _divided(judged, held)
    images, right = fitted.image_numbers(), fitted.right
    smaller = int(min(right.sum(), (~right).sum()))
    if smaller < LEAST_OF_A_SIDE or images.max(initial=0) < 1:
        return _constant(fitted, held_out, smaller, note)
    names = signal_names(fitted.tables)
    columns = describe_columns(signal_matrix(fitted.tables, names), names, right)
    if not columns:
        return _constant(fitted, held_out, smaller, note)
    alone = columns_of(columns, LOG_PROBABILITY)
    found = fit(prepare(fitted.tables, columns), right, images, seed, families, num_folds, alone)
    certified = confidence(found.map, score(found.model, prepare(held_out.tables, columns)))
    truth = right.astype(np.float64)
    figures = _figures(fitted, held_out).model_copy(
        update={
            "aurc_by_family": _rounded(found.aurc_by_family),
            "brier_by_map": _rounded(found.brier_by_map),
            "brier": round(float(((found.out_of_fold - truth) ** 2).mean()), 6),
            "ece": round(expected_calibration_error(found.out_of_fold, truth), 6),
            "auroc": round(auroc(found.out_of_fold, truth) or 0.0, 6),
            "aurc": round(aurc(found.out_of_fold, truth) or 0.0, 6),
            "note": note,
        }
    )
    return KindCalibration(
        columns=columns,
        model=found.model,
        map=found.map,
        figures=figures,
        fit_labels=_evidence(fitted, found.out_of_fold),
        held_out=_certifying(held_out, certified),
    )


def _divided(judged: JudgedKind, held: npt.NDArray[np.bool_]) -> tuple[JudgedKind, JudgedKind, str | None]:
    """What is fitted on, what is held out, and what is to be said of it; no image is in both.

    What may not certify trains wherever the draw put its image, but not beside a label that certifies: labels
    of one image depend on each other. Where that leaves nothing to fit on, all is fitted on, and nothing is
    held out.
    """
    images = judged.image_numbers()
    certifying = np.isin(images, images[held & judged.known & judged.certifies])
    trains = judged.known & ~certifying
    if trains.any():
        return judged.take(trains), judged.take(held), None
    none = np.zeros(len(images), dtype=bool)
    return judged.take(judged.known), judged.take(none), ALL_FITTED


def predict(kind: KindCalibration, tables: Sequence[Mapping[str, float]]) -> npt.NDArray[np.float64]:
    """The confidence of each label, (labels,) in (0, 1), from its signals by name; finite for every input."""
    return confidence(kind.map, score(kind.model, prepare(tables, kind.columns)))


def write_calibration(calibration: Calibration, out: str) -> str:
    """Write the file at a path or URL; returns its SHA-256 (hex)."""
    data = (json.dumps(calibration.model_dump(mode="json"), sort_keys=True) + "\n").encode()
    folder, name = split_address(out)
    try:
        open_store(folder).write_bytes(name, data)
    except (OSError, StorageError) as error:
        raise CalibrationError(f"--out {out}: cannot be written: {error}") from None
    return hashlib.sha256(data).hexdigest()


def read_calibration(address: str) -> tuple[Calibration, str]:
    """The calibration at a path or URL, and its file's SHA-256 (hex). Raises CalibrationError in one line."""
    try:
        data = read_whole(normalise(address))
    except CorpusError as error:
        raise CalibrationError(f"--calibration: {error}") from None
    try:
        document = json.loads(data)
        version = document.get("schema_version") if isinstance(document, dict) else None
        if isinstance(version, int) and version > CALIBRATION_VERSION:
            raise CalibrationError(f"{address} has version {version}: use a newer fo1-data")
        return Calibration.model_validate(document), hashlib.sha256(data).hexdigest()
    except ValueError as error:
        reason = _first_fault(error) if isinstance(error, ValidationError) else str(error).splitlines()[0]
        raise CalibrationError(
            f"{address} is no calibration (make one with fo1 calibrate): {reason}"
        ) from None


def _first_fault(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {first['msg']}" if where else first["msg"]


def _constant(fitted: JudgedKind, held_out: JudgedKind, smaller: int, further: str | None) -> KindCalibration:
    """One confidence for all: the share right, drawn a little towards one half (Laplace's rule)."""
    right, total = int(fitted.right.sum()), len(fitted.right)
    share = (right + 1) / (total + 2)
    side = "right" if right * 2 >= total else "wrong"
    note = f"all {total} labels are {side}" if not smaller else f"only {smaller} labels are not {side}"
    mapping = ConfidenceMap(slope=1.0, intercept=0.0, platt_share=1.0)
    model = ConstantModel(intercept=float(np.log(share / (1 - share))))
    told = float(confidence(mapping, np.array([model.intercept]))[0])
    note += f": signals cannot be told apart, every label has confidence {told:.3f}"
    note += f"; {further}" if further else ""
    return KindCalibration(
        columns=[],
        model=model,
        map=mapping,
        figures=_figures(fitted, held_out).model_copy(update={"note": note}),
        fit_labels=_evidence(fitted, np.full(total, told)),
        held_out=_certifying(held_out, np.full(len(held_out.right), told)),
    )


def _figures(fitted: JudgedKind, held_out: JudgedKind) -> FitFigures:
    certifying = np.flatnonzero(held_out.known & held_out.certifies).tolist()
    return FitFigures(
        images=len(set(fitted.image_ids)),
        labels=len(fitted.right),
        right=int(fitted.right.sum()),
        certified_images=len({held_out.image_ids[place] for place in certifying}),
        certified_labels=len(certifying),
    )


def _evidence(
    judged: JudgedKind, confidences: npt.NDArray[np.float64], keep: npt.NDArray[np.bool_] | None = None
) -> JudgedLabels:
    """The labels that `keep` says (default: all), each with its place among all of its image."""
    images = judged.image_numbers()
    places = places_in_image(images, np.where(judged.eligible, confidences, -1.0))
    chosen = np.flatnonzero(np.ones(len(images), dtype=bool) if keep is None else keep)
    return JudgedLabels(
        image=[int(number) for number in images[chosen]],
        place=[int(place) for place in places[chosen]],
        confidence=[float(value) for value in confidences[chosen]],
        wrong=[bool(wrong) for wrong in ~judged.right[chosen]],
    )


def _certifying(held_out: JudgedKind, confidences: npt.NDArray[np.float64]) -> JudgedLabels:
    """The labels that certify: judged, and of a fair sample of what may be accepted."""
    return _evidence(held_out, confidences, held_out.known & held_out.certifies & held_out.eligible)


def places_in_image(
    images: npt.NDArray[np.int64], confidences: npt.NDArray[np.float64]
) -> npt.NDArray[np.int64]:
    """Each label's place among those of its image, the surest 0; of equals the first comes first."""
    order = np.lexsort((np.arange(len(images)), -confidences, images))
    starts = np.searchsorted(images[order], images[order])
    places = np.empty(len(images), dtype=np.int64)
    places[order] = np.arange(len(images)) - starts
    return places


def _rounded(values: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 6) for name, value in values.items()}
