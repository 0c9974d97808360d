"""From signals to a confidence by the numbers of a calibration file. Needs numpy only, fits nothing."""

import numpy as np
import numpy.typing as npt

from schemas.calibration import BoostedTrees, ConfidenceMap, LogisticModel, Model

Values = npt.NDArray[np.float64]
_LARGEST_SCORE = 30.0
_LEAST = 1e-6


class Scorer:
    """A model ready to score: log odds of being right, (labels,) float64, of prepared (labels, columns).

    A label's score does not depend on which others are scored with it.
    """

    def __init__(self, model: Model) -> None:
        self._model = model
        self._forest = _Forest(model) if isinstance(model, BoostedTrees) else None

    def __call__(self, matrix: Values) -> Values:
        scores: Values = np.full(len(matrix), self._model.intercept)
        if isinstance(self._model, LogisticModel | BoostedTrees):
            for place, weight in enumerate(self._model.weights):
                scores = scores + weight * matrix[:, place]
        if self._forest is not None:
            scores = scores + self._forest.sums(matrix)
        bounded: Values = np.clip(scores, -_LARGEST_SCORE, _LARGEST_SCORE)
        return bounded


def score(model: Model, matrix: Values) -> Values:
    """`Scorer` for once."""
    return Scorer(model)(matrix)


def confidence(mapping: ConfidenceMap, scores: Values) -> Values:
    """Probabilities in (0, 1) of scores, rising with them; float32 values, as a dataset stores them."""
    smooth = 1 / (
        1 + np.exp(-np.clip(mapping.slope * scores + mapping.intercept, -_LARGEST_SCORE, _LARGEST_SCORE))
    )
    mixed = smooth
    if mapping.scores:
        stepped = np.interp(scores, mapping.scores, mapping.confidences)
        mixed = mapping.platt_share * smooth + (1 - mapping.platt_share) * stepped
    return np.clip(mixed, _LEAST, 1 - _LEAST).astype(np.float32).astype(np.float64)


class _Forest:
    """All trees side by side, (trees, nodes) arrays, walked level by level for all labels at once."""

    def __init__(self, model: BoostedTrees) -> None:
        nodes = max((len(tree.value) for tree in model.trees), default=1)

        def padded(field: str, fill: float) -> Values:
            lists = [list(getattr(tree, field)) for tree in model.trees]
            return np.array([one + [fill] * (nodes - len(one)) for one in lists], dtype=np.float64)

        self._feature = padded("feature", -1).astype(np.int64)
        self._threshold, self._value = padded("threshold", 0), padded("value", 0)
        self._left, self._right = (padded(side, 0).astype(np.int64) for side in ("left", "right"))
        self._num_trees = len(model.trees)

    def sums(self, matrix: Values) -> Values:
        trees = np.arange(self._num_trees)[None]
        rows = np.arange(len(matrix))[:, None]
        node: npt.NDArray[np.int64] = np.zeros((len(matrix), self._num_trees), dtype=np.int64)
        while (inner := (feature := self._feature[trees, node]) >= 0).any():
            goes_left = matrix[rows, np.maximum(feature, 0)] <= self._threshold[trees, node]
            following = np.where(goes_left, self._left[trees, node], self._right[trees, node])
            node = np.where(inner, following, node)
        # Added in one order, tree by tree: the same sum however many labels there are.
        total = np.zeros(len(matrix))
        for tree in range(self._num_trees):
            total = total + self._value[tree, node[:, tree]]
        return total
