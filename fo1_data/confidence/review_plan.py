"""Chooses the labels that people review under a budget: those whose review removes the most expected error.

A review removes the probability that a label is wrong. Labels with the same text on regions that look alike
form a *cell* (same kind, same text, and a region feature whose every coordinate is on the same side of the
median). Each further label of a cell is worth a little less, down to one half, so that a hundred copies of
one mistake do not fill the budget. Without a calibration, the probability of being wrong is a rank: how much
less sure a label's signals are than those of other labels of its kind. Among equals, labels of the images
that show the most different objects come first, image by image. So if nothing separates the labels yet (a new
corpus, or a model that is always wrong), a small budget also reaches rare objects, and covers whole images.
A budget of whole images is spent on those whose labels are worth most together.
Keeps a few numbers for each label and no rows.
"""

from array import array

import numpy as np
import numpy.typing as npt

from fo1_data.confidence.reasons import DIRECTED, oriented
from fo1_data.confidence.routing import Router
from fo1_data.confidence.signal_columns import feature_of, signals_of
from fo1_data.confidence.signals import FEATURES
from fo1_data.dataset.human_labels import is_stale
from fo1_data.dataset.label_parts import LabelPart
from fo1_data.judging.words import words_of
from schemas.images import ImageRow

NUM_FEATURES = len(FEATURES)
# The worth of each further label of a cell, as a share of the one before, and the smallest worth.
REPEAT_WORTH = 0.9
SMALLEST_WORTH = 0.5


class ReviewPlan:
    """Collects the labels of all rows (scored, not yet decided), then chooses which of them people review."""

    def __init__(self, router: Router) -> None:
        self._router = router
        self._keys: list[str] = []
        self._statements: dict[str, int] = {}
        self._statement_of = array("l")
        self._unsure = array("b")
        self._confidence = array("d")
        self._signals = array("f")
        self._features = array("f")

    def add(self, row: ImageRow) -> None:
        """Add a row's labels, except those that stay in review anyway because their box was moved."""
        guaranteed = self._router.guaranteed(row)
        guarded = self._router.settings.max_error is not None
        for part in self._router.open_parts(row):
            if not is_stale(part.label):
                self._add(part, guarded and part.key not in guaranteed)

    def choose(self, num_spent: int = 0) -> set[str]:
        """The keys of the labels to review. `num_spent`: what of the budget was reviewed before.

        The budget and `num_spent` are numbers of labels or, of a routing of whole images, of images.
        `num_spent` is subtracted from a budget that is a number, not from one that is a share.
        """
        settings = self._router.settings
        if not self._keys:
            return set()
        names, image = np.unique([key.partition("|")[0] for key in self._keys], return_inverse=True)
        budget = settings.review_budget or 0.0
        total = len(names) if settings.whole_images else len(self._keys)
        count = round(budget * total) if budget < 1 else int(budget) - num_spent
        if count <= 0:
            return set()
        places = self._places()
        worth, unsure = self._worth(places), np.array(self._unsure, dtype=np.int8)
        if settings.whole_images:
            # An image removes the error of all its labels; those that are not accepted without it come first.
            worth_of_unsure = np.bincount(image, weights=worth * unsure)
            images = np.lexsort((np.bincount(image, weights=worth), worth_of_unsure))[::-1][:count]
            return {str(self._keys[place]) for place in np.flatnonzero(np.isin(image, images))}
        # Labels that the guarantee does not accept come first: they are not used before a person saw them.
        order = np.lexsort((places, -worth, -unsure))
        return {str(self._keys[place]) for place in order[:count]}

    def _add(self, part: LabelPart, unsure: bool) -> None:
        label = part.label
        statement = f"{part.kind.value}|{part.subject.casefold()}|{' '.join(words_of(label.text))}"
        signals = oriented(signals_of(label))
        feature = feature_of(label)[:NUM_FEATURES]
        self._keys.append(part.key)
        self._statement_of.append(self._statements.setdefault(statement, len(self._statements)))
        self._unsure.append(unsure)
        self._confidence.append(np.nan if label.confidence is None else label.confidence)
        self._signals.extend(signals.get(name, np.nan) for name in DIRECTED)
        self._features.extend((*feature, *[np.nan] * (NUM_FEATURES - len(feature))))

    def _places(self) -> npt.NDArray[np.int64]:
        """(labels,) the place of each label among equals: ordered by the number of different statements
        about its image for each label of the image (most first), then by image and key."""
        _, images = np.unique([key.partition("|")[0] for key in self._keys], return_inverse=True)
        statements = np.array(self._statement_of, dtype=np.int64)
        image_of_statement = np.unique(np.stack([images, statements]), axis=1)[0]
        variety = np.bincount(image_of_statement) / np.bincount(images)
        order = np.lexsort((np.array(self._keys, dtype=object), images, -variety[images]))
        places = np.empty(len(order), dtype=np.int64)
        places[order] = np.arange(len(order))
        return places

    def _worth(self, places: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """(labels,) the expected error that a review of each label removes."""
        wrong = 1 - np.array(self._confidence)
        kinds = np.array([key.split("|", 2)[1] for key in self._keys], dtype=object)
        signals = np.array(self._signals, dtype=np.float64).reshape(len(self._keys), len(DIRECTED))
        for kind in np.unique(kinds):
            uncalibrated = np.isnan(wrong) & (kinds == kind)
            if uncalibrated.any():
                wrong[uncalibrated] = 1 - rank_of_trust(signals[uncalibrated])
        return wrong * self._novelty(wrong, places)

    def _novelty(
        self, wrong: npt.NDArray[np.float64], places: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float64]:
        """(labels,) 1 for the likeliest mistake of a cell, less for each further label of it."""
        features = np.array(self._features, dtype=np.float64).reshape(len(self._keys), NUM_FEATURES)
        has_feature = ~np.isnan(features).all(axis=1)
        sides = np.zeros(len(self._keys), dtype=np.int64)
        if has_feature.any():
            present = np.flatnonzero(~np.isnan(features[has_feature]).all(axis=0))
            coordinates = features[has_feature][:, present]
            sides[has_feature] = (coordinates > np.nanmedian(coordinates, axis=0)) @ (1 << present)
        cells = np.array(self._statement_of, dtype=np.int64) * (1 << NUM_FEATURES) + sides
        order = np.lexsort((places, -wrong, cells))
        starts = np.searchsorted(cells[order], cells[order])
        num_before = np.empty(len(cells), dtype=np.float64)
        num_before[order] = np.arange(len(cells)) - starts
        novelty: npt.NDArray[np.float64] = np.maximum(REPEAT_WORTH**num_before, SMALLEST_WORTH)
        return novelty


def rank_of_trust(signals: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(labels,) the mean rank, 0 to 1, of each label over the signals that it has; more means more trust.

    A stand-in for a confidence without a calibration; 0.5 without a signal. `signals`: (labels, signals)
    as from `oriented`, so that more means more trust; NaN if a label lacks the signal.
    """
    total, num_ranked = np.zeros(len(signals)), np.zeros(len(signals))
    for column in signals.T:
        present = ~np.isnan(column)
        if np.unique(column[present]).size > 1:
            _, group = np.unique(column[present], return_inverse=True)
            counts = np.bincount(group)
            middle = (np.cumsum(counts) - counts / 2) / len(group)
            total[present] += middle[group]
            num_ranked[present] += 1
    mean: npt.NDArray[np.float64] = np.where(num_ranked > 0, total / np.maximum(num_ranked, 1), 0.5)
    return mean
