"""How well regions of equal boxes agree with gold regions in what they say.

Sets with several labels for a thing have equal boxes: overlap alone does not tell which belong together.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from fo1_data.judging.words import words_of
from schemas.corpus import CorpusRegion
from schemas.regions import Region


def agreement_of(
    regions: Sequence[Region], gold: Sequence[CorpusRegion], overlaps: npt.NDArray[np.float32]
) -> npt.NDArray[np.float64] | None:
    """(regions, gold regions): 1 for an equal label, and the F1 of the words of all texts, 0 to 2 in all.

    Computed for pairs that overlap and of which one box occurs twice among its own kind, 0 elsewhere; None if
    no box occurs twice.
    """
    is_repeated = _repeated([region.box_xyxy for region in regions])
    is_gold_repeated = _repeated([region.box_xyxy for region in gold])
    if not is_repeated.any() and not is_gold_repeated.any():
        return None
    agreement = np.zeros(overlaps.shape)
    words = [_words(r.corpus_label, *(label.text for label in r.labels)) for r in regions]
    gold_words = [_words(g.label, g.caption, g.detailed_caption, g.text) for g in gold]
    tied = (overlaps > 0) & (is_repeated[:, None] | is_gold_repeated[None, :])
    for row, column in np.argwhere(tied).tolist():
        label = gold[column].label
        is_equal = label is not None and regions[row].corpus_label == label
        agreement[row, column] = is_equal + _f1(words[row], gold_words[column])
    return agreement


def _repeated(boxes: Sequence[Sequence[float]]) -> npt.NDArray[np.bool_]:
    counts = Counter(map(tuple, boxes))
    return np.array([counts[tuple(box)] > 1 for box in boxes], dtype=bool)


def _words(*texts: str | None) -> Counter[str]:
    return Counter(word for text in texts for word in words_of(text or ""))


def _f1(first: Counter[str], second: Counter[str]) -> float:
    total = first.total() + second.total()
    return 2 * (first & second).total() / total if total else 0.0
