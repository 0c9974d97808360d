"""The confidence threshold from which labels are accepted such that their error stays below a bound.

**Learn then test** (Angelopoulos, Bates, Candès, Jordan and Lei, 2021): each candidate threshold is a rule
with the hypothesis "its error is at least E", and gets a valid p-value from held-out images (`risk_bound`:
images are independent, labels of an image are not). **Fixed-sequence testing** (Maurer, Hothorn and
Lehmacher, 1995) rejects the hypotheses one after another, in an order chosen beforehand, each at the full
level, until one is not rejected. Then, with probability at least 1 - level, every rejected rule, and so also
the loosest of them, has an error of at most E.

The fitted part chooses four things: the thresholds; the largest number of labels of one image that may be
accepted (the bound must assume that the labels of an image err together, so it pays for the largest number);
the bets; and the start of the sequence, which is the threshold with the most evidence, followed by looser
ones. No image of the fitted part certifies. Several kinds share the level by Bonferroni's rule, so that the
guarantee holds for each kind and for all accepted labels together.

**Assumptions.** The held-out images are a fair sample of the images that the rule is used on (same corpus,
model, proposer and questions), and which images have gold does not depend on whether their labels are right.
Within an image nothing is assumed: a label that gold does not judge counts as wrong (`Judged.missed`). A
dataset that differs is not covered; the audit is there to detect that.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fo1_data.confidence.risk_bound import best_stakes, p_values
from schemas.calibration import Acceptance, Calibration, JudgedLabels, KindCalibration
from schemas.labels import LabelKind

NUM_THRESHOLDS = 60
_MOST_LABELS_QUANTILES = (0.25, 0.5, 0.75, 0.95)

Values = npt.NDArray[np.float64]


def acceptances(
    calibration: Calibration, max_error: float, confidence_level: float, kinds: Iterable[LabelKind]
) -> dict[LabelKind, Acceptance]:
    """The rule for each of `kinds`; the rule of an uncalibrated kind accepts nothing.

    `max_error`: a share of the accepted labels; `confidence_level`: a probability; both between 0 and 1.
    """
    requested = sorted(set(kinds))
    calibrated = [kind for kind in requested if kind in calibration.kinds]
    level = (1 - confidence_level) / max(1, len(calibrated))
    rules = {
        kind: accept_kind(calibration.kinds[kind], max_error, level, calibration.seed) for kind in calibrated
    }
    for kind in requested:
        rules.setdefault(
            kind, Acceptance(threshold=None, explanation=f"{kind.value} was not calibrated: no gold")
        )
    return rules


def accept_kind(kind: KindCalibration, max_error: float, level: float, seed: int = 0) -> Acceptance:
    """The loosest threshold whose error is at most `max_error`, wrong with probability `level` at most."""
    if not kind.fit_labels.image or not kind.held_out.image:
        reason = "no held-out gold to certify an error with: judge more images"
        only_before = kind.scope == "accepted_before"
        return Acceptance(threshold=None, only_accepted_before=only_before, explanation=reason)
    return certify(kind, plan_sequence(kind.fit_labels, max_error, level, seed), max_error, level, seed)


def certify(
    kind: KindCalibration, plan: "SequencePlan", max_error: float, level: float, seed: int = 0
) -> Acceptance:
    """Test the rules of `plan` on the held-out part. `plan` must have been made without the held-out part."""
    held_out = _counts(kind.held_out, plan.thresholds, seed, plan.most_labels)
    tested = p_values(*held_out, max_error, plan.most_labels, plan.stakes)
    passed = _passed_in_sequence(tested[plan.start :], level)
    best = plan.start + max(0, passed - 1)
    wrong, accepted = (int(counts[best].sum()) for counts in held_out)
    missed = 0
    if kind.held_out.missed:
        only_missed = kind.held_out.model_copy(update={"wrong": kind.held_out.missed})
        missed = int(_counts(only_missed, plan.thresholds, seed, plan.most_labels)[0][best].sum())
    without_verdict = f" ({missed} of them without a verdict)" if missed else ""
    if passed:
        reason = (
            f"accepted from confidence {plan.thresholds[best]:.3f} on: {wrong} of {accepted} held-out labels "
            f"wrong{without_verdict}, error at most {max_error:g} with a probability of {1 - level:.3g}"
        )
    else:
        reason = _why_none(wrong, accepted, held_out[0].shape[1], float(tested[best]), max_error, level)
        reason += f"; {missed} of the wrong ones have no verdict: judge them" if missed else ""
    return Acceptance(
        threshold=float(plan.thresholds[best]) if passed else None,
        most_labels=plan.most_labels,
        only_accepted_before=kind.scope == "accepted_before",
        held_out_labels=accepted if passed else 0,
        held_out_wrong=wrong if passed else 0,
        held_out_missed=missed if passed else 0,
        explanation=reason,
    )


@dataclass(frozen=True)
class SequencePlan:
    """Everything that is fixed before the held-out part is used.

    `thresholds`: (rules,) confidences, falling; `most_labels`: how many labels of an image may be accepted;
    `start`: the index of the first rule to test; `stakes`: (rules,) bets as shares of the largest, 0 to 1.
    """

    thresholds: Values
    most_labels: int
    start: int
    stakes: Values


def plan_sequence(fit_labels: JudgedLabels, max_error: float, level: float, seed: int = 0) -> SequencePlan:
    """The plan that would accept most labels of the fitted part, or the plan with most evidence if none
    would accept any."""
    candidates = thresholds(fit_labels)
    best: tuple[float, float, SequencePlan] | None = None
    counts = np.bincount(np.array(fit_labels.image))
    for most in sorted(
        {max(1, int(n)) for n in np.quantile(counts, _MOST_LABELS_QUANTILES, method="higher")}
    ):
        wrong, accepted = _counts(fit_labels, candidates, seed, most)
        stakes = best_stakes(wrong, accepted, max_error, most)
        expected = p_values(wrong, accepted, max_error, most, stakes)
        start = int(np.argmin(expected))
        passed = _passed_in_sequence(expected[start:], level)
        covered = float(accepted[start + passed - 1].sum()) if passed else 0.0
        rank = (covered, -float(expected[start]))
        if best is None or rank > best[:2]:
            best = (*rank, SequencePlan(candidates, most, start, stakes))
    assert best is not None
    return best[2]


def thresholds(labels: JudgedLabels) -> Values:
    """(rules,) candidate thresholds, the strictest first: quantiles of the confidences in `labels`."""
    if not labels.confidence:
        return np.zeros(0)
    shares = np.linspace(1, 0, NUM_THRESHOLDS + 1)[1:]
    quantiles = np.quantile(np.array(labels.confidence), shares, method="lower")
    distinct: Values = np.unique(quantiles)[::-1]
    return distinct


def _counts(labels: JudgedLabels, candidates: Values, seed: int, most_labels: int) -> tuple[Values, Values]:
    """(rules, images) the numbers of wrong and of accepted labels, with the images in a seeded order."""
    names, image = np.unique(np.array(labels.image), return_inverse=True)
    image = np.random.default_rng([seed, 5]).permutation(len(names))[image]
    sure = np.array(labels.confidence)[None] >= candidates[:, None]
    is_accepted = sure & (np.array(labels.place) < most_labels)
    is_wrong = np.array(labels.wrong)[None] & is_accepted
    accepted, wrong = (
        np.stack([np.bincount(image, weights=flags, minlength=len(names)) for flags in mask]).astype(float)
        for mask in (is_accepted, is_wrong)
    )
    return wrong, accepted


def _passed_in_sequence(tested: Values, level: float) -> int:
    """How many hypotheses, given by their p-values, are rejected before the first that is not."""
    fails = np.flatnonzero(tested > level)
    return int(fails[0]) if len(fails) else len(tested)


def _why_none(wrong: int, accepted: int, images: int, p_value: float, max_error: float, level: float) -> str:
    advice = "judge more images"
    if wrong >= max_error * max(1, accepted):
        advice = "allow a higher error, or improve the model"
    return (
        f"nothing can be accepted at error {max_error:g}: of the surest {accepted} held-out labels "
        f"of {images} images {wrong} are wrong; the chance to see so few were the error higher is "
        f"{p_value:.2g}, allowed is {level:.2g}: {advice}"
    )
