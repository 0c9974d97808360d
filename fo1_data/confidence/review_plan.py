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

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fo1_data.confidence.open_labels import OpenLabels, labels_of_rows, open_parts
from fo1_data.confidence.reasons import DIRECTED
from fo1_data.confidence.routing import Router
from fo1_data.confidence.signals import FEATURES, SIGNALS
from fo1_data.dataset.label_columns import Mask, Places
from fo1_data.judging.words import words_of
from schemas.images import ImageRow

Values = npt.NDArray[np.float64]
NUM_FEATURES = len(FEATURES)
DIRECTIONS = np.array([SIGNALS[name].direction for name in DIRECTED], np.float64)
# The worth of each further label of a cell, as a share of the one before, and the smallest worth.
REPEAT_WORTH = 0.9
SMALLEST_WORTH = 0.5


class ReviewPlan:
    """Collects the labels of all rows (scored, not yet decided), then chooses which of them people review."""

    def __init__(self, router: Router) -> None:
        self._router = router
        self._keys: list[str] = []
        self._image_ids: list[str] = []
        self._statements: dict[tuple[int, str, str], int] = {}
        self._pieces: list[_Piece] = []

    def add_rows(self, rows: Sequence[ImageRow]) -> None:
        """Add the labels of rows."""
        self.add(labels_of_rows(rows, open_parts(rows)))

    def add(self, labels: OpenLabels) -> None:
        """Add labels, except those that stay in review anyway because their box was moved."""
        chosen = np.flatnonzero(~labels.is_stale)
        unsure: Mask = np.zeros(len(labels), bool)
        if self._router.settings.max_error is not None:
            unsure = ~self._router.guaranteed(labels)
        kinds = labels.kinds[chosen]
        self._keys += [labels.keys[place] for place in chosen.tolist()]
        self._pieces.append(
            _Piece(
                image=labels.rows[chosen] + len(self._image_ids),
                kind=kinds,
                statement=np.array([self._statement(labels, place) for place in chosen.tolist()], np.int64),
                unsure=unsure[chosen],
                confidence=labels.confidence[chosen],
                signals=(labels.signals.matrix(DIRECTED) * DIRECTIONS)[chosen].astype(np.float32),
                features=labels.signals.features()[chosen].astype(np.float32),
            )
        )
        self._image_ids += labels.image_ids

    def choose(self, num_spent: int = 0) -> set[str]:
        """The keys of the labels to review. `num_spent`: what of the budget was reviewed before.

        The budget and `num_spent` are numbers of labels or, of a routing of whole images, of images.
        `num_spent` is subtracted from a budget that is a number, not from one that is a share.
        """
        settings = self._router.settings
        if not self._keys:
            return set()
        every = _joined(self._pieces)
        image = self._numbers_of_images(every.image)
        budget = settings.review_budget or 0.0
        total = int(image.max()) + 1 if settings.whole_images else len(self._keys)
        count = round(budget * total) if budget < 1 else int(budget) - num_spent
        if count <= 0:
            return set()
        places = _places(np.array(self._keys, dtype=object), image, every.statement)
        worth = _worth(every, places)
        if settings.whole_images:
            # An image removes the error of all its labels; those that are not accepted without it come first.
            worth_of_unsure = np.bincount(image, weights=worth * every.unsure)
            images = np.lexsort((np.bincount(image, weights=worth), worth_of_unsure))[::-1][:count]
            return {self._keys[place] for place in np.flatnonzero(np.isin(image, images))}
        # Labels that the guarantee does not accept come first: they are not used before a person saw them.
        order = np.lexsort((places, -worth, ~every.unsure))
        return {self._keys[place] for place in order[:count]}

    def _statement(self, labels: OpenLabels, place: int) -> int:
        """The number of what a label says, equal for equal kinds, subjects and words."""
        words = " ".join(words_of(labels.texts[place]))
        statement = (int(labels.kinds[place]), labels.subjects[place].casefold(), words)
        return self._statements.setdefault(statement, len(self._statements))

    def _numbers_of_images(self, rows: Places) -> Places:
        """(labels,) the number of each label's image, among those with labels in the order of their ids."""
        used, row_of = np.unique(rows, return_inverse=True)
        ids = np.array([self._image_ids[row] for row in used.tolist()], dtype=object)
        numbers: Places = np.unique(ids, return_inverse=True)[1][row_of]
        return numbers


class _Piece(NamedTuple):
    """What is known of labels, as columns (labels,).

    `image`: the position of the row. `signals`: (labels, signals), of which more means more trust.
    `features`: (labels, coordinates).
    """

    image: Places
    kind: Places
    statement: Places
    unsure: Mask
    confidence: Values
    signals: npt.NDArray[np.float32]
    features: npt.NDArray[np.float32]


def _joined(pieces: Sequence[_Piece]) -> _Piece:
    return _Piece(*(np.concatenate(columns) for columns in zip(*pieces, strict=True)))


def _places(keys: npt.NDArray[np.object_], images: Places, statements: Places) -> Places:
    """(labels,) the place of each label among equals: ordered by the number of different statements
    about its image for each label of the image (most first), then by image and key."""
    image_of_statement = np.unique(np.stack([images, statements]), axis=1)[0]
    variety = np.bincount(image_of_statement) / np.bincount(images)
    order = np.lexsort((keys, images, -variety[images]))
    places = np.empty(len(order), dtype=np.int64)
    places[order] = np.arange(len(order))
    return places


def _worth(labels: _Piece, places: Places) -> Values:
    """(labels,) the expected error that a review of each label removes."""
    wrong = 1 - labels.confidence
    for kind in np.unique(labels.kind):
        uncalibrated = np.isnan(wrong) & (labels.kind == kind)
        if uncalibrated.any():
            wrong[uncalibrated] = 1 - rank_of_trust(labels.signals[uncalibrated].astype(np.float64))
    return wrong * _novelty(labels, wrong, places)


def _novelty(labels: _Piece, wrong: Values, places: Places) -> Values:
    """(labels,) 1 for the likeliest mistake of a cell, less for each further label of it."""
    features = labels.features.astype(np.float64)
    has_feature = ~np.isnan(features).all(axis=1)
    sides = np.zeros(len(features), dtype=np.int64)
    if has_feature.any():
        present = np.flatnonzero(~np.isnan(features[has_feature]).all(axis=0))
        coordinates = features[has_feature][:, present]
        sides[has_feature] = (coordinates > np.nanmedian(coordinates, axis=0)) @ (1 << present)
    cells = labels.statement * (1 << NUM_FEATURES) + sides
    order = np.lexsort((places, -wrong, cells))
    starts = np.searchsorted(cells[order], cells[order])
    num_before = np.empty(len(cells), dtype=np.float64)
    num_before[order] = np.arange(len(cells)) - starts
    novelty: Values = np.maximum(REPEAT_WORTH**num_before, SMALLEST_WORTH)
    return novelty


def rank_of_trust(signals: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(labels,) the mean rank, 0 to 1, of each label over the signals that it has; more means more trust.

    A stand-in for a confidence without a calibration; 0.5 without a signal. `signals`: (labels, signals),
    each times its direction, so that more means more trust; NaN if a label lacks the signal.
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
