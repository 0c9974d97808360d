"""Figures of phrases as the referring benchmarks define them: RefCOCO's accuracy and HumanRef's DensityF1.

For each phrase that gold names regions for, predicted boxes are matched with gold boxes, one gold box after
another, each predicted box used once, at IoU 0.5 and averaged over IoU 0.5 to 0.95. DensityF1 is the F1 of a
phrase times min(1, gold boxes / predicted boxes) (HumanRef, arXiv 2503.08507). `accuracy_50` is over phrases
with a single gold box: the share whose first predicted box overlaps it by IoU 0.5 or more (RefCOCO). Boxes
are in pixels of the EXIF-oriented image.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from fo1_data.judging.matching import Pair
from fo1_data.judging.phrases import gold_regions
from schemas.labels import LabelKind

# In float32, as overlaps are: an IoU of 0.7 reaches 0.7.
THRESHOLDS = tuple(float(np.float32(round(0.5 + 0.05 * step, 2))) for step in range(10))


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
            expected = gold_regions(pair, part.phrase)
            if expected is None or part.kind not in (LabelKind.GROUND, LabelKind.DETECT):
                continue
            overlaps = _overlaps(pair, part.region_ids, sorted(int(index) for index in expected))
            _add(whole, overlaps)
            if part.phrase in kinds:
                _add(parts.setdefault(kinds[part.phrase], PhraseFigures()), overlaps)
    by_kind = {name: figures.document() for name, figures in sorted(parts.items())}
    return {**whole.document(), **({"by_kind": by_kind} if by_kind else {})}


@dataclass(frozen=True)
class _PhraseOverlaps:
    """`of_gold[g][p]`: the IoU of a phrase's gold box g with its predicted box p, of so many."""

    of_gold: list[list[float]]
    num_predicted: int


def _overlaps(pair: Pair, region_ids: Sequence[str], expected: Sequence[int]) -> _PhraseOverlaps:
    """The IoU of the boxes of one phrase. `expected`: indices of gold regions."""
    places = pair.region_places
    predicted = [places[region_id] for region_id in region_ids if region_id in places]
    of_gold = [[float(pair.overlaps[place, gold]) for place in predicted] for gold in expected]
    return _PhraseOverlaps(of_gold, len(predicted))


def _add(figures: PhraseFigures, overlaps: _PhraseOverlaps) -> None:
    if not overlaps.of_gold:
        figures.rejected.append(overlaps.num_predicted == 0)
        return
    if len(overlaps.of_gold) == 1:
        figures.single_right.append(overlaps.num_predicted > 0 and overlaps.of_gold[0][0] >= 0.5)
    by_threshold = [_figures_at(threshold, overlaps) for threshold in THRESHOLDS]
    figures.at_50.append(by_threshold[0])
    recall, precision, density_f1 = (
        sum(values) / len(THRESHOLDS) for values in zip(*by_threshold, strict=True)
    )
    figures.over_all.append((recall, precision, density_f1))


def _figures_at(threshold: float, overlaps: _PhraseOverlaps) -> tuple[float, float, float]:
    """Recall, precision and DensityF1 of one phrase at one IoU threshold."""
    num_gold, num_predicted = len(overlaps.of_gold), overlaps.num_predicted
    if num_predicted == 0:
        return 0.0, 0.0, 0.0
    unused = list(range(num_predicted))
    hits = 0
    for of_gold in overlaps.of_gold:
        best = max(unused, key=of_gold.__getitem__, default=None)  # the first of equal ones
        if best is not None and of_gold[best] >= threshold:
            hits += 1
            unused.remove(best)
    recall, precision = hits / num_gold, hits / num_predicted
    f1 = 2 * recall * precision / (recall + precision) if hits else 0.0
    return recall, precision, f1 * min(1.0, num_gold / num_predicted)


def _mean(values: Sequence[bool]) -> float | None:
    return round(sum(values) / len(values), 6) if values else None


def _round(value: float | None) -> float | None:
    return None if value is None else round(float(value), 6)
