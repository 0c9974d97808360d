"""Fits the model of one label kind with scikit-learn and returns it as plain numbers.

Three families are tried: logistic regression on the log-probability alone, logistic regression on all
signals, and the latter with gradient-boosted trees on top. The family that ranks labels best (the lowest mean
AURC over folds) is kept, so signals that do not help are not used. Two maps to a probability are tried,
Platt's and isotonic regression; the one with the lower Brier score out of fold is kept. Folds are by image,
because labels of one image depend on each other. The same labels and seed give the same model.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from fo1_data.confidence.risk_figures import aurc
from fo1_data.confidence.scoring import confidence, score
from schemas.calibration import BoostedTrees, ConfidenceMap, LogisticModel, Model, Tree

Values = npt.NDArray[np.float64]
Right = npt.NDArray[np.bool_]
Groups = npt.NDArray[np.int64]
Fitter = Callable[[Values, Right, int], Model]

NUM_FOLDS = 5
NUM_TREES = 40
# The share of Platt's map in an isotonic map: enough to order the labels within one step.
_TIE_BREAK = 0.02
_SMALLEST_SLOPE = 1e-3
# A model on all signals must lower the AURC by this share to be preferred to the log-probability alone.
_MIN_GAIN = 0.03


@dataclass(frozen=True)
class Fit:
    """A fitted model with its map. `out_of_fold`: (labels,) confidences of the fitted labels, each from a
    fit without its fold."""

    model: Model
    map: ConfidenceMap
    out_of_fold: Values
    aurc_by_family: dict[str, float]
    brier_by_map: dict[str, float]


def fit_logistic(matrix: Values, right: Right, seed: int) -> LogisticModel:
    """Logistic regression (L2, strength 1) on a prepared (labels, columns) matrix."""
    from sklearn.linear_model import LogisticRegression

    fitted = LogisticRegression(max_iter=2000, random_state=seed).fit(matrix, right)
    return LogisticModel(intercept=float(fitted.intercept_[0]), weights=[float(w) for w in fitted.coef_[0]])


def fit_boosted(matrix: Values, right: Right, seed: int) -> Model:
    """Gradient boosting (Friedman, 2001) of shallow trees on log loss, starting from logistic regression.

    Trees alone give many labels the same score, and separate the surest labels worst.
    """
    from sklearn.ensemble import GradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression

    start = LogisticRegression(max_iter=2000, random_state=seed)
    fitted = GradientBoostingClassifier(
        n_estimators=NUM_TREES,
        max_depth=3,
        learning_rate=0.05,
        init=start,
        subsample=0.7,
        max_features=0.3,
        min_samples_leaf=max(5, len(right) // 200),
        random_state=seed,
    ).fit(matrix, right)
    trees = [_tree_of(stage[0].tree_, fitted.learning_rate) for stage in fitted.estimators_]
    intercept, weights = float(fitted.init_.intercept_[0]), [float(w) for w in fitted.init_.coef_[0]]
    return BoostedTrees(intercept=intercept, weights=weights, trees=trees)


FAMILIES: dict[str, Fitter] = {"logistic": fit_logistic, "boosted_trees": fit_boosted}
ALONE = "log_probability"


def fit(
    matrix: Values,
    right: Right,
    images: Groups,
    seed: int,
    families: Sequence[str] = tuple(FAMILIES),
    num_folds: int = NUM_FOLDS,
    alone: Sequence[int] = (),
) -> Fit:
    """Choose the family and the map, and fit them.

    `matrix`: (labels, columns) as from `prepare`; `right`: (labels,) with both True and False;
    `images`: (labels,) image numbers from 0, at least two images; `families`: of `FAMILIES`.
    `alone`: the columns of the log-probability, tried as a family of their own.
    """
    fold_of = folds(images, num_folds, seed)
    fitters = {name: FAMILIES[name] for name in families}
    if alone:
        fitters[ALONE] = partial(_fit_columns, list(alone))
    scores = {name: _out_of_fold(fitter, matrix, right, fold_of, seed) for name, fitter in fitters.items()}
    aurc_by_family = {name: _mean_aurc(values, right, fold_of) for name, values in scores.items()}
    family = min(fitters, key=lambda name: aurc_by_family[name] * (1 if name == ALONE else 1 + _MIN_GAIN))
    chosen = scores[family]
    mapped = {name: mapped_out_of_fold(fitter, chosen, right, fold_of) for name, fitter in _MAPS.items()}
    brier_by_map = {name: brier(values, right) for name, values in mapped.items()}
    best = min(_MAPS, key=lambda name: brier_by_map[name])
    model = fitters[family](matrix, right, seed)
    return Fit(model, _MAPS[best](chosen, right), mapped[best], aurc_by_family, brier_by_map)


def fit_platt(scores: Values, right: Right) -> ConfidenceMap:
    """Platt's map (1999): a sigmoid of the score, fitted to his smoothed targets; its slope stays above 0."""
    from sklearn.linear_model import LogisticRegression

    twice = np.concatenate([scores, scores])[:, None]
    fitted = LogisticRegression(C=1e6, max_iter=2000).fit(twice, *_smoothed_targets(right))
    slope, intercept = float(fitted.coef_[0, 0]), float(fitted.intercept_[0])
    if slope < _SMALLEST_SLOPE:
        share = (right.sum() + 1) / (len(right) + 2)
        slope, intercept = _SMALLEST_SLOPE, float(np.log(share / (1 - share)))
    return ConfidenceMap(slope=slope, intercept=intercept, platt_share=1.0)


def fit_isotonic(scores: Values, right: Right) -> ConfidenceMap:
    """Isotonic regression, its steps joined at their centres (Oron and Flournoy, 2017), kept off 0 and 1."""
    from sklearn.isotonic import IsotonicRegression

    platt = fit_platt(scores, right)
    # scikit-learn merges scores that differ only in their last bit; without "clip" the larger of two such
    # scores would lie outside its range.
    fitted = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip")
    steps = fitted.fit_transform(scores, right.astype(np.float64))
    smallest = 1 / (len(right) + 2)
    levels = np.unique(steps)
    centres = np.array([scores[steps == level].mean() for level in levels])
    return platt.model_copy(
        update={
            "platt_share": _TIE_BREAK,
            "scores": [float(centre) for centre in centres],
            "confidences": [float(level) for level in np.clip(levels, smallest, 1 - smallest)],
        }
    )


_MAPS: dict[str, Callable[[Values, Right], ConfidenceMap]] = {"platt": fit_platt, "isotonic": fit_isotonic}


def folds(images: Groups, num_folds: int, seed: int) -> Groups:
    """(labels,) the fold of each label. All labels of an image are in one fold; folds have about equally
    many images."""
    numbers = np.unique(images)
    order = np.random.default_rng([seed, 3]).permutation(len(numbers))
    count = max(2, min(num_folds, len(numbers)))
    fold_of_image = np.empty(len(numbers), dtype=np.int64)
    fold_of_image[order] = np.arange(len(numbers)) % count
    fold_of: Groups = fold_of_image[np.searchsorted(numbers, images)]
    return fold_of


def brier(confidences: Values, right: Right) -> float:
    """The mean squared difference of confidence and verdict (Brier, 1950)."""
    return float(((confidences - right) ** 2).mean())


def _fit_columns(columns: list[int], matrix: Values, right: Right, seed: int) -> Model:
    """Logistic regression on some of the columns; the others have weight 0."""
    fitted = fit_logistic(matrix[:, columns], right, seed)
    weights = np.zeros(matrix.shape[1])
    weights[columns] = fitted.weights
    return LogisticModel(intercept=fitted.intercept, weights=[float(weight) for weight in weights])


def _mean_aurc(scores: Values, right: Right, fold_of: Groups) -> float:
    truth = right.astype(np.float64)
    parts = [aurc(scores[fold_of == fold], truth[fold_of == fold]) for fold in np.unique(fold_of)]
    return float(np.mean([part for part in parts if part is not None]))


def _out_of_fold(fitter: Fitter, matrix: Values, right: Right, fold_of: Groups, seed: int) -> Values:
    scores = np.zeros(len(right))
    for fold in np.unique(fold_of):
        inside, outside = fold_of == fold, fold_of != fold
        if right[outside].all() or not right[outside].any():
            scores[inside] = 3.0 if right[outside].all() else -3.0
            continue
        scores[inside] = score(fitter(matrix[outside], right[outside], seed), matrix[inside])
    return scores


def mapped_out_of_fold(
    fitter: Callable[[Values, Right], ConfidenceMap], scores: Values, right: Right, fold_of: Groups
) -> Values:
    """(labels,) the confidence of each score, from a map that was fitted without its fold."""
    mapped = np.zeros(len(right))
    for fold in np.unique(fold_of):
        inside, outside = fold_of == fold, fold_of != fold
        mapped[inside] = confidence(fitter(scores[outside], right[outside]), scores[inside])
    return mapped


def _smoothed_targets(right: Right) -> tuple[Right, Values]:
    """Platt's targets, (n + 1) / (n + 2), as sample weights: each label once as right and once as wrong.

    Returns (2 x labels,) classes and weights.
    """
    num_right, num_wrong = int(right.sum()), int((~right).sum())
    target = np.where(right, (num_right + 1) / (num_right + 2), 1 / (num_wrong + 2))
    sides = np.concatenate([np.ones(len(right), dtype=bool), np.zeros(len(right), dtype=bool)])
    return sides, np.concatenate([target, 1 - target])


def _tree_of(tree: Any, learning_rate: float) -> Tree:
    """A fitted tree of scikit-learn as plain numbers, its values scaled by the learning rate."""
    leaf = tree.children_left < 0
    return Tree(
        feature=np.where(leaf, -1, tree.feature).tolist(),
        threshold=np.where(leaf, 0.0, tree.threshold).tolist(),
        left=np.where(leaf, 0, tree.children_left).tolist(),
        right=np.where(leaf, 0, tree.children_right).tolist(),
        value=np.where(leaf, tree.value[:, 0, 0] * learning_rate, 0.0).tolist(),
    )
