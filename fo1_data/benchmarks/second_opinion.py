"""`python -m fo1_data.benchmarks.second_opinion DATASET --gold G`: what a second model is worth.

DATASET was labelled with `--second-opinion` (and `--unsure-below 1`, so that every label has the signal).
Each kind of label is calibrated with the second model's signals and without them, beside all other signals
and beside the log-probability alone, each half of the images by a fit on the other; both are measured on the
same labels. Prints JSON: AURC and the share of labels that people review until at most `--goal` of all are
wrong, what the second model gains of both, and the 95 % interval of the gain by a bootstrap of whole images.
"""

import argparse
import json
from collections.abc import Set
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from fo1_data.benchmarks.confidence_figures import (
    Cost,
    Flags,
    Values,
    aurc_cost,
    cross_fitted,
    paired_gain,
)
from fo1_data.confidence.calibration import LOG_PROBABILITY
from fo1_data.confidence.judged_kind import JudgedKind, by_kind
from fo1_data.confidence.risk_figures import aurc, auroc, reviewed_until
from fo1_data.corpus.readers import load_listing
from fo1_data.dataset.reader import open_dataset
from fo1_data.evaluation.confidences import GOAL
from fo1_data.judging.correctness import judge_pairs
from fo1_data.judging.matching import pair_rows
from schemas.labels import OPINION_REFUSED

OPINION = "second_opinion"
OPINIONS = frozenset({OPINION, OPINION_REFUSED})
_MIN_LABELS_PER_SIDE = 20


def main() -> None:
    """Measure the dataset of the command line."""
    options = _options()
    pairs = list(pair_rows(open_dataset(options.dataset).rows(), load_listing(options.gold).entries))
    kinds = by_kind(judge_pairs(pairs, options.caption_match))
    figures = {
        kind.value: worth(judged.take(judged.has_verdict), options.seed, options.goal, options.resamples)
        for kind, judged in kinds.items()
        if any(OPINION in table for table in judged.tables)
    }
    print(json.dumps({"images": len(pairs), "goal": options.goal, "kinds": figures}, indent=2))


def worth(judged: JudgedKind, seed: int, goal: float, num_resamples: int) -> dict[str, Any]:
    """The figures of one kind, all of whose labels have verdicts."""
    num_wrong = int((~judged.right).sum())
    figures: dict[str, Any] = {
        "labels": len(judged.right),
        "error": round(num_wrong / len(judged.right), 4),
        **_signal_alone(judged),
    }
    costs: dict[str, Cost] = {"aurc": aurc_cost, "reviewed": partial(reviewed_until, goal=goal)}
    if min(num_wrong, len(judged.right) - num_wrong) < _MIN_LABELS_PER_SIDE:
        return figures | {"note": f"fewer than {_MIN_LABELS_PER_SIDE} right or wrong labels: not fitted"}
    others = {name for table in judged.tables for name in table if name not in OPINIONS}
    for beside, names in (("all_signals", others), ("log_probability", {LOG_PROBABILITY})):
        with_it, half = cross_fitted(_only(judged, names | OPINIONS), seed)
        without, _ = cross_fitted(_only(judged, names), seed)
        figures[f"beside_{beside}"] = {
            name: _gain(cost, with_it, without, judged, half, seed, num_resamples)
            for name, cost in costs.items()
        }
    return figures


def _gain(
    cost: Cost,
    with_it: Values,
    without: Values,
    judged: JudgedKind,
    half: Flags,
    seed: int,
    num_resamples: int,
) -> dict[str, Any]:
    """What an order of labels costs with the second model and without it, and the difference."""
    right = judged.right.astype(np.float64)
    gain, interval = paired_gain(cost, with_it, without, judged, half, seed, num_resamples)
    return {
        "without": _mean_of_halves(cost, without, right, half),
        "with": _mean_of_halves(cost, with_it, right, half),
        "gain": gain,
        "gain_95": interval,
    }


def _signal_alone(judged: JudgedKind) -> dict[str, Any]:
    """How many labels have the signal, and how well it orders these by itself."""
    has_it = np.array([OPINION in table for table in judged.tables])
    opinions = np.array([table.get(OPINION, 0.0) for table in judged.tables])[has_it]
    right = judged.right[has_it].astype(np.float64)
    return {
        "asked": int(has_it.sum()),
        "agrees": round(float((opinions == 1).mean()), 4),
        "error_where_it_agrees": _error(right[opinions == 1]),
        "error_where_not": _error(right[opinions < 1]),
        "signal_aurc": aurc(opinions, right),
        "signal_auroc": auroc(opinions, right),
    }


def _error(right: Values) -> float | None:
    return round(1 - float(right.mean()), 4) if len(right) else None


def _mean_of_halves(cost: Cost, order: Values, right: Values, half: Flags) -> float:
    return round(float(np.mean([cost(order[part], right[part]) for part in (half, ~half)])), 6)


def _only(judged: JudgedKind, names: Set[str]) -> JudgedKind:
    """The labels with these signals alone."""
    tables = [{name: table[name] for name in names if name in table} for table in judged.tables]
    return replace(judged, tables=tables)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="second_opinion", description=__doc__)
    parser.add_argument("dataset", help="A dataset that was labelled with --second-opinion.")
    parser.add_argument("--gold", required=True, help="A corpus with gold of its images.")
    parser.add_argument("--caption-match", choices=["exact", "words"], default="exact")
    parser.add_argument("--goal", type=float, default=GOAL, help="Share of wrong labels to reach by review.")
    parser.add_argument("--seed", type=int, default=0, help="Seed of every split and resample.")
    parser.add_argument("--resamples", type=int, default=1000, help="Resamples of the bootstrap.")
    return parser.parse_args()


if __name__ == "__main__":
    main()
