"""Which labels people review where they can review only so many: those that remove the most expected error.

A review removes a label's chance of being wrong. Among labels that say the same of regions that look alike
(a *cell*: kind, text, and the region feature by which side of the median each number is on) each further one
counts a little less, down to one half: so a hundred copies of one mistake do not fill the budget. Without a
calibration the chance of being wrong is a rank: by how much less likely a label's tokens are than those of
others of its kind. Among equals the labels of the images that show the most different things come first,
image after image: where nothing is told apart yet (a new corpus, a model that is always wrong) a small budget
meets rare things too, and names all that an image shows. Holds a few numbers a label, no rows.
"""

from array import array

import numpy as np
import numpy.typing as npt

from fo1_data.confidence.reasons import DIRECTED, oriented
from fo1_data.confidence.routing import Router
from fo1_data.confidence.signal_columns import feature_of, signals_of
from fo1_data.dataset.human_labels import is_stale
from fo1_data.dataset.label_parts import LabelPart
from fo1_data.judging.words import words_of
from schemas.images import ImageRow

NUM_FEATURES = 8
SAME_AGAIN = 0.9
LEAST_WORTH = 0.5


class ReviewPlan:
    """Gathers the labels of all rows (scored, not yet decided), then chooses which of them people review."""

    def __init__(self, router: Router) -> None:
        self._router = router
        self._keys: list[str] = []
        self._words: dict[str, int] = {}
        self._cells = array("l")
        self._unsure = array("b")
        self._confidence = array("d")
        self._signals = array("f")
        self._features = array("f")

    def add(self, row: ImageRow) -> None:
        """Take in a row's labels; those that stay in review anyway (a moved box) are not counted."""
        guaranteed = self._router.guaranteed(row)
        guarded = self._router.settings.max_error is not None
        for part in self._router.open_parts(row):
            if not is_stale(part.label):
                self._add(part, guarded and part.key not in guaranteed)

    def choose(self, already: int = 0) -> set[str]:
        """The keys of the labels to review; `already`: how many of the budget were spent before."""
        budget = self._router.settings.review_budget or 0.0
        count = round(budget * len(self._keys)) if budget < 1 else int(budget) - already
        if count <= 0 or not self._keys:
            return set()
        places = self._places()
        # What the guarantee does not accept comes first: it is not used until a person has seen it.
        order = np.lexsort((places, -self._worth(places), -np.array(self._unsure, dtype=np.int8)))
        return {str(self._keys[place]) for place in order[:count]}

    def _add(self, part: LabelPart, unsure: bool) -> None:
        label = part.label
        said = f"{part.kind.value}|{part.subject.casefold()}|{' '.join(words_of(label.text))}"
        turned = oriented(signals_of(label))
        feature = feature_of(label)[:NUM_FEATURES]
        self._keys.append(part.key)
        self._cells.append(self._words.setdefault(said, len(self._words)))
        self._unsure.append(unsure)
        self._confidence.append(np.nan if label.confidence is None else label.confidence)
        self._signals.extend(turned.get(name, np.nan) for name in DIRECTED)
        self._features.extend((*feature, *[np.nan] * (NUM_FEATURES - len(feature))))

    def _places(self) -> npt.NDArray[np.int64]:
        """The order among equals: by how many different things are said of an image for each of its labels,
        then by image and key."""
        _, images = np.unique([key.partition("|")[0] for key in self._keys], return_inverse=True)
        said = np.unique(np.stack([images, np.array(self._cells, dtype=np.int64)]), axis=1)[0]
        variety = np.bincount(said) / np.bincount(images)
        order = np.lexsort((np.array(self._keys, dtype=object), images, -variety[images]))
        places = np.empty(len(order), dtype=np.int64)
        places[order] = np.arange(len(order))
        return places

    def _worth(self, places: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        wrong = 1 - np.array(self._confidence)
        kinds = np.array([key.split("|", 2)[1] for key in self._keys], dtype=object)
        signals = np.array(self._signals, dtype=np.float64).reshape(len(self._keys), len(DIRECTED))
        for kind in np.unique(kinds):
            lacks = np.isnan(wrong) & (kinds == kind)
            if lacks.any():
                wrong[lacks] = 1 - rank_of_trust(signals[lacks])
        return wrong * self._novelty(wrong, places)

    def _novelty(
        self, wrong: npt.NDArray[np.float64], places: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float64]:
        """1 for the likeliest mistake of a cell, less for each further one."""
        features = np.array(self._features, dtype=np.float64).reshape(len(self._keys), NUM_FEATURES)
        known = ~np.isnan(features).all(axis=1)
        sides = np.zeros(len(self._keys), dtype=np.int64)
        if known.any():
            told = np.flatnonzero(~np.isnan(features[known]).all(axis=0))
            numbers = features[known][:, told]
            sides[known] = (numbers > np.nanmedian(numbers, axis=0)) @ (1 << told)
        cells = np.array(self._cells, dtype=np.int64) * (1 << NUM_FEATURES) + sides
        order = np.lexsort((places, -wrong, cells))
        starts = np.searchsorted(cells[order], cells[order])
        copies = np.empty(len(cells), dtype=np.float64)
        copies[order] = np.arange(len(cells)) - starts
        fewer: npt.NDArray[np.float64] = np.maximum(SAME_AGAIN**copies, LEAST_WORTH)
        return fewer


def rank_of_trust(signals: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The mean rank (0 to 1) of each label over the signals it has, more meaning more trust: uncalibrated.

    `signals`: (labels, signals), each turned so that more means more trust, NaN where a label lacks one.
    """
    total, known = np.zeros(len(signals)), np.zeros(len(signals))
    for column in signals.T:
        has = ~np.isnan(column)
        if np.unique(column[has]).size > 1:
            _, place = np.unique(column[has], return_inverse=True)
            counts = np.bincount(place)
            middle = (np.cumsum(counts) - counts / 2) / len(place)
            total[has] += middle[place]
            known[has] += 1
    mean: npt.NDArray[np.float64] = np.where(known > 0, total / np.maximum(known, 1), 0.5)
    return mean
