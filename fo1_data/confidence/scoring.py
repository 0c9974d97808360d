"""Turns prepared signals into a confidence with the numbers of a calibration file.

Needs numpy only; fitting is in `model_fit`.
"""

import numpy as np
import numpy.typing as npt

from schemas.calibration import BoostedTrees, ConfidenceMap, LogisticModel, Model

Values = npt.NDArray[np.float64]
_LARGEST_SCORE = 30.0
_SMALLEST_CONFIDENCE = 1e-6


class Scorer:
    """A model ready to score a prepared (labels, columns) matrix: log odds of being right, (labels,) float64.

    The score of a label does not depend on the other labels in the matrix.
    """

    def __init__(self, model: Model) -> None:
        self._model = model
        self._forest = _Forest(model) if isinstance(model, BoostedTrees) else None

    def __call__(self, matrix: Values) -> Values:
        scores: Values = np.full(len(matrix), self._model.intercept)
        if isinstance(self._model, LogisticModel | BoostedTrees):
            for column, weight in enumerate(self._model.weights):
                scores = scores + weight * matrix[:, column]
        if self._forest is not None:
            scores = scores + self._forest.sums(matrix)
        bounded: Values = np.clip(scores, -_LARGEST_SCORE, _LARGEST_SCORE)
        return bounded


def score(model: Model, matrix: Values) -> Values:
    """Score one matrix; keep a `Scorer` to score several."""
    return Scorer(model)(matrix)


def confidence(mapping: ConfidenceMap, scores: Values) -> Values:
    """Probabilities in (0, 1) that rise with the score; they hold float32 values, as a dataset stores."""
    smooth = 1 / (
        1 + np.exp(-np.clip(mapping.slope * scores + mapping.intercept, -_LARGEST_SCORE, _LARGEST_SCORE))
    )
    mixed = smooth
    if mapping.scores:
        stepped = np.interp(scores, mapping.scores, mapping.confidences)
        mixed = mapping.platt_share * smooth + (1 - mapping.platt_share) * stepped
    bounded = np.clip(mixed, _SMALLEST_CONFIDENCE, 1 - _SMALLEST_CONFIDENCE)
    return bounded.astype(np.float32).astype(np.float64)


class _Forest:
    """All trees as (trees, nodes) arrays, walked level by level for all labels at once."""

    def __init__(self, model: BoostedTrees) -> None:
        nodes = max((len(tree.value) for tree in model.trees), default=1)

        def padded(field: str, fill: float) -> Values:
            lists = [list(getattr(tree, field)) for tree in model.trees]
            return np.array([values + [fill] * (nodes - len(values)) for values in lists], dtype=np.float64)

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
            child = np.where(goes_left, self._left[trees, node], self._right[trees, node])
            node = np.where(inner, child, node)
        # Added tree by tree: the sum is the same however many labels there are.
        total = np.zeros(len(matrix))
        for tree in range(self._num_trees):
            total = total + self._value[tree, node[:, tree]]
        return total
