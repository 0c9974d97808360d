"""Referring benchmarks' own figures of phrases: RefCOCO's accuracy and HumanRef's DensityF1.

Of each phrase that gold knows and finds in the image: predicted boxes against gold's, gold box by gold
box, each predicted box used once, at IoU 0.5 and averaged over 0.5 to 0.95. DensityF1 is the F1 of a phrase
times min(1, gold boxes / predicted boxes) (HumanRef, arXiv 2503.08507). `accuracy_50`: of phrases with a
single gold box, those whose first box overlaps it by 0.5 or more (RefCOCO). Boxes: oriented pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from fo1_data.boxes import as_boxes, iou_matrix
from fo1_data.judging.matching import Pair
from fo1_data.judging.phrases import wanted_regions
from schemas.labels import LabelKind

THRESHOLDS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))


@dataclass
class PhraseFigures:
    """Means over phrases; lists hold one number a phrase."""

    single_right: list[bool] = field(default_factory=list)
    at_50: list[tuple[float, float, float]] = field(default_factory=list)
    over_all: list[tuple[float, float, float]] = field(default_factory=list)
    rejected: list[bool] = field(default_factory=list)

    def document(self) -> dict[str, float | int | None]:
        """Means, None of nothing. `rejection`: of phrases that are absent, those that name no box."""
        at_50 = np.array(self.at_50).reshape(-1, 3).mean(axis=0) if self.at_50 else [None] * 3
        over_all = np.array(self.over_all).reshape(-1, 3).mean(axis=0) if self.over_all else [None] * 3
        return {
            "accuracy_50": _mean(self.single_right),
            "recall_50": _round(at_50[0]),
            "precision_50": _round(at_50[1]),
            "density_f1_50": _round(at_50[2]),
            "recall": _round(over_all[0]),
            "precision": _round(over_all[1]),
            "density_f1": _round(over_all[2]),
            "rejection": _mean(self.rejected),
            "num_phrases": len(self.at_50),
            "num_single": len(self.single_right),
            "num_absent": len(self.rejected),
        }


def score_phrases(pairs: Sequence[Pair]) -> dict[str, object]:
    """The figures over all `ground` and `detect` phrases, and by the kind gold gives a phrase."""
    whole, parts = PhraseFigures(), dict[str, PhraseFigures]()
    for pair in pairs:
        kinds = (pair.gold.meta or {}).get("phrase_kinds") or {}
        for part in pair.row.groundings:
            wanted = wanted_regions(pair.gold, part.phrase)
            if wanted is None or part.kind not in (LabelKind.GROUND, LabelKind.DETECT):
                continue
            some = [whole]
            if part.phrase in kinds:
                some.append(parts.setdefault(kinds[part.phrase], PhraseFigures()))
            for figures in some:
                _add(figures, _overlaps(pair, part.region_ids, sorted(int(place) for place in wanted)))
    by_kind = {name: figures.document() for name, figures in sorted(parts.items())}
    return {**whole.document(), **({"by_kind": by_kind} if by_kind else {})}


def _overlaps(pair: Pair, region_ids: Sequence[str], wanted: Sequence[int]) -> npt.NDArray[Any]:
    """(gold, predicted) IoU of one phrase's boxes."""
    boxes = {region.region_id: region.box_xyxy for region in pair.row.regions}
    predicted = as_boxes([boxes[region_id] for region_id in region_ids if region_id in boxes])
    gold = pair.gold.regions or []
    return iou_matrix(as_boxes([gold[place].box_xyxy for place in wanted]), predicted)


def _add(figures: PhraseFigures, overlaps: npt.NDArray[Any]) -> None:
    num_gold, num_predicted = overlaps.shape
    if num_gold == 0:
        figures.rejected.append(num_predicted == 0)
        return
    if num_gold == 1:
        figures.single_right.append(num_predicted > 0 and bool(overlaps[0, 0] >= 0.5))
    each = [_at(overlaps, threshold) for threshold in THRESHOLDS]
    figures.at_50.append(each[0])
    recall, precision, density = np.array(each).mean(axis=0).tolist()
    figures.over_all.append((recall, precision, density))


def _at(overlaps: npt.NDArray[Any], threshold: float) -> tuple[float, float, float]:
    """Recall, precision and density F1 of one phrase at one IoU."""
    num_gold, num_predicted = overlaps.shape
    if num_predicted == 0:
        return 0.0, 0.0, 0.0
    left = overlaps.copy()
    hits = 0
    for row in range(num_gold):
        best = int(left[row].argmax())
        if left[row, best] >= threshold:
            hits += 1
            left[:, best] = -1
    recall, precision = hits / num_gold, hits / num_predicted
    f1 = 2 * recall * precision / (recall + precision) if hits else 0.0
    return recall, precision, f1 * min(1.0, num_gold / num_predicted)


def _mean(values: Sequence[bool]) -> float | None:
    return round(sum(values) / len(values), 6) if values else None


def _round(value: float | None) -> float | None:
    return None if value is None else round(float(value), 6)
