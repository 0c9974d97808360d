"""Figures of phrases as the referring benchmarks define them: RefCOCO's accuracy and HumanRef's DensityF1.

For each phrase that gold names regions for, predicted boxes are matched with gold boxes, one gold box after
another, each predicted box used once, at IoU 0.5 and averaged over IoU 0.5 to 0.95. DensityF1 is the F1 of a
phrase times min(1, gold boxes / predicted boxes) (HumanRef, arXiv 2503.08507). `accuracy_50` is over phrases
with a single gold box: the share whose first predicted box overlaps it by IoU 0.5 or more (RefCOCO). Boxes
are in pixels of the EXIF-oriented image.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from fo1_data.boxes import as_boxes, iou_matrix
from fo1_data.judging.matching import Pair
from fo1_data.judging.phrases import gold_regions
from schemas.labels import LabelKind

THRESHOLDS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))


@dataclass
class PhraseFigures:
    """Figures over phrases. Each list holds an entry for each phrase; triples are (recall, precision,
    DensityF1)."""

    single_right: list[bool] = field(default_factory=list)
    at_50: list[tuple[float, float, float]] = field(default_factory=list)
    over_all: list[tuple[float, float, float]] = field(default_factory=list)
    rejected: list[bool] = field(default_factory=list)

    def document(self) -> dict[str, float | int | None]:
        """The means, None if there is nothing to average. `rejection`: the share of absent phrases that
        name no box."""
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
    """The figures over all `ground` and `detect` phrases, and by gold's kind of phrase."""
    whole, parts = PhraseFigures(), dict[str, PhraseFigures]()
    for pair in pairs:
        kinds = (pair.gold.meta or {}).get("phrase_kinds") or {}
        for part in pair.row.groundings:
            expected = gold_regions(pair.gold, part.phrase)
            if expected is None or part.kind not in (LabelKind.GROUND, LabelKind.DETECT):
                continue
            overlaps = _overlaps(pair, part.region_ids, sorted(int(index) for index in expected))
            _add(whole, overlaps)
            if part.phrase in kinds:
                _add(parts.setdefault(kinds[part.phrase], PhraseFigures()), overlaps)
    by_kind = {name: figures.document() for name, figures in sorted(parts.items())}
    return {**whole.document(), **({"by_kind": by_kind} if by_kind else {})}


def _overlaps(pair: Pair, region_ids: Sequence[str], expected: Sequence[int]) -> npt.NDArray[Any]:
    """(gold, predicted) IoU of the boxes of one phrase. `expected`: indices of gold regions."""
    boxes = {region.region_id: region.box_xyxy for region in pair.row.regions}
    predicted = as_boxes([boxes[region_id] for region_id in region_ids if region_id in boxes])
    gold = pair.gold.regions or []
    return iou_matrix(as_boxes([gold[index].box_xyxy for index in expected]), predicted)


def _add(figures: PhraseFigures, overlaps: npt.NDArray[Any]) -> None:
    num_gold, num_predicted = overlaps.shape
    if num_gold == 0:
        figures.rejected.append(num_predicted == 0)
        return
    if num_gold == 1:
        figures.single_right.append(num_predicted > 0 and bool(overlaps[0, 0] >= 0.5))
    by_threshold = [_figures_at(threshold, overlaps) for threshold in THRESHOLDS]
    figures.at_50.append(by_threshold[0])
    recall, precision, density_f1 = np.array(by_threshold).mean(axis=0).tolist()
    figures.over_all.append((recall, precision, density_f1))


def _figures_at(threshold: float, overlaps: npt.NDArray[Any]) -> tuple[float, float, float]:
    """Recall, precision and DensityF1 of one phrase at one IoU threshold."""
    num_gold, num_predicted = overlaps.shape
    if num_predicted == 0:
        return 0.0, 0.0, 0.0
    unused = overlaps.copy()
    hits = 0
    for gold in range(num_gold):
        best = int(unused[gold].argmax())
        if unused[gold, best] >= threshold:
            hits += 1
            unused[:, best] = -1
    recall, precision = hits / num_gold, hits / num_predicted
    f1 = 2 * recall * precision / (recall + precision) if hits else 0.0
    return recall, precision, f1 * min(1.0, num_gold / num_predicted)


def _mean(values: Sequence[bool]) -> float | None:
    return round(sum(values) / len(values), 6) if values else None


def _round(value: float | None) -> float | None:
    return None if value is None else round(float(value), 6)
