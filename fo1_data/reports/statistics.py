"""Statistics over all rows, collected in one pass: distributions, frequent captions and words, rejects.

Memory is bounded: the tables of texts keep their most frequent entries. Drawing is in `bars`.
"""

import math
import re
from collections import Counter
from dataclasses import dataclass, field

from fo1_data.dataset.counting import CAPTION_KINDS
from fo1_data.reports.bars import bin_of_share
from schemas.images import ImageRow, Reject

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

    def add(self, row: ImageRow) -> None:
        """Count one row."""
        self.regions_per_image[len(row.regions)] += 1
        for region in row.regions:
            x_min, y_min, x_max, y_max = region.box_xyxy
            share = max(0.0, (x_max - x_min) * (y_max - y_min)) / max(1, row.width * row.height)
            self.box_sizes[bin_of_share(math.sqrt(share), SIZE_BINS)] += 1
        for label in row.answered_labels():
            if label.confidence is not None:
                self.confidences[bin_of_share(label.confidence, CONFIDENCE_BINS)] += 1
            if label.kind in CAPTION_KINDS:
                self._add_caption(label.text)

    def _add_caption(self, text: str) -> None:
        words = [word.lower() for word in _WORD.findall(text)]
        self.caption_words[len(text.split())] += 1
        self.captions[text.strip() or "(empty)"] += 1
        self.words.update(word for word in words if word not in _FILLERS)
        for table in (self.captions, self.words):
            if len(table) > _MOST_TEXTS:
                kept = table.most_common(_MOST_TEXTS // 2)
                table.clear()
                table.update(dict(kept))


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
