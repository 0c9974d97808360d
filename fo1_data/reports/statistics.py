"""Statistics over all rows, collected in one pass: distributions, frequent captions and words, rejects.

Memory is bounded: the tables of texts keep their most frequent entries. Drawing is in `bars`.
"""

import re
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from fo1_data.dataset.arrow_columns import array_to_numpy
from fo1_data.dataset.counting import CAPTION_KINDS
from fo1_data.dataset.items import Items
from fo1_data.dataset.label_columns import LabelColumns
from fo1_data.reports.bars import bins_of_shares
from schemas.images import Reject

SIZE_BINS = 10
CONFIDENCE_BINS = 10
_MOST_TEXTS = 200_000
_WORD = re.compile(r"[^\W\d_]{2,}")
_FILLERS = frozenset(
    ("a", "an", "and", "at", "by", "for", "from", "in", "into", "is", "it", "its", "no", "of", "on", "or",
     "out", "that", "the", "this", "to", "with")
)  # fmt: skip


@dataclass
class Statistics:
    """Counts over all rows. `box_sizes`: the square root of a box's share of the image area, in ten bins."""

    regions_per_image: Counter[int] = field(default_factory=Counter)
    box_sizes: Counter[int] = field(default_factory=Counter)
    caption_words: Counter[int] = field(default_factory=Counter)
    confidences: Counter[int] = field(default_factory=Counter)
    captions: Counter[str] = field(default_factory=Counter)
    words: Counter[str] = field(default_factory=Counter)

    def add(self, batch: pa.RecordBatch, labels: LabelColumns) -> None:
        """Count the rows of a batch, which has regular rows. `labels`: its labels."""
        regions = Items.of(batch)["regions"]
        self.regions_per_image.update(np.bincount(regions.each.rows, minlength=batch.num_rows).tolist())
        self.box_sizes.update(bins_of_shares(_sides_of_boxes(batch, regions.each), SIZE_BINS))
        confidences = labels.confidence[labels.has_confidence]
        self.confidences.update(bins_of_shares(confidences, CONFIDENCE_BINS))
        captions = labels.texts(labels.is_kind(*CAPTION_KINDS))
        for entry in pc.value_counts(captions).to_pylist():
            self._add_caption(entry["values"], entry["counts"])
        for table in (self.captions, self.words):
            if len(table) > _MOST_TEXTS:
                kept = table.most_common(_MOST_TEXTS // 2)
                table.clear()
                table.update(dict(kept))

    def _add_caption(self, text: str, num: int) -> None:
        self.caption_words[len(text.split())] += num
        self.captions[text.strip() or "(empty)"] += num
        for word in map(str.lower, _WORD.findall(text)):
            if word not in _FILLERS:
                self.words[word] += num


def _sides_of_boxes(batch: pa.RecordBatch, regions: Items) -> npt.NDArray[np.float64]:
    """(regions,) the square root of each box's share of its image."""
    width, height = (array_to_numpy(batch[name]).astype(np.float64) for name in ("width", "height"))
    boxes = array_to_numpy(regions["box_xyxy"].each.values).astype(np.float64).reshape(-1, 4)
    x_min, y_min, x_max, y_max = boxes.T
    areas = np.maximum(0.0, (x_max - x_min) * (y_max - y_min))
    sides: npt.NDArray[np.float64] = np.sqrt(areas / np.maximum(1, width * height)[regions.rows])
    return sides


@dataclass
class RejectGroup:
    """The rejects of one stage and reason, with the first few as examples."""

    stage: str
    reason: str
    count: int = 0
    replayable: int = 0
    examples: list[Reject] = field(default_factory=list)


class RejectGroups:
    """Counts rejects by stage and reason."""

    def __init__(self, most_examples: int = 8) -> None:
        self._groups: dict[tuple[str, str], RejectGroup] = {}
        self._most_examples = most_examples

    def add(self, reject: Reject) -> None:
        """Count one reject."""
        key = (str(reject.stage), reject.reason)
        group = self._groups.setdefault(key, RejectGroup(*key))
        group.count += 1
        group.replayable += reject.replayable
        if len(group.examples) < self._most_examples:
            group.examples.append(reject)

    def by_count(self) -> list[RejectGroup]:
        """The groups, the largest first."""
        return sorted(self._groups.values(), key=lambda group: (-group.count, group.stage, group.reason))
