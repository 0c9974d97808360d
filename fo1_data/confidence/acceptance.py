"""From which confidence on labels may be accepted so that the error of what is accepted stays below a bound.

**Learn then test** (Angelopoulos, Bates, Candès, Jordan and Lei, 2021): candidate thresholds are rules whose
errors are hypotheses "the error is at least E"; each gets a valid p-value from held-out images
(`risk_bound`: images are independent, labels of an image are not), and **fixed-sequence testing** (Maurer,
Hothorn and Lehmacher, 1995) rejects them one after another in an order chosen beforehand, each at the full
level, until one is not rejected. Then with probability at least 1 - level every rejected rule, so also the
loosest of them, has an error of at most E.

The fitted part chooses the thresholds, the most labels of an image that may be accepted (an image of many
labels is strong evidence if they err together, so the bound pays for the largest), the bets, and where the
sequence starts: at the threshold with the most evidence, from there to looser ones. None of its images
certifies.
Several kinds share the level by Bonferroni's rule, so that the promise holds for each kind and for all
accepted labels together.

**Assumptions.** The held-out images are a fair sample of the images the rule is used on (same corpus, model,
proposer and questions), and what gold judges in them does not depend on being right. A dataset that differs
is not covered: the audit lane is there to see it.
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
    """The rule for each of `kinds`; those that were never calibrated accept nothing.

    `max_error` is a share of the accepted labels, `confidence_level` a probability, both between 0 and 1.
    """
    wanted = sorted(set(kinds))
    known = [kind for kind in wanted if kind in calibration.kinds]
    level = (1 - confidence_level) / max(1, len(known))
    found = {kind: accept_kind(calibration.kinds[kind], max_error, level, calibration.seed) for kind in known}
    for kind in wanted:
        found.setdefault(kind, Acceptance(threshold=None, told=f"{kind.value} was not calibrated: no gold"))
    return found


def accept_kind(kind: KindCalibration, max_error: float, level: float, seed: int = 0) -> Acceptance:
    """The loosest threshold whose error is at most `max_error`, but with probability `level` (0 to 1)."""
    if not kind.fit_labels.image or not kind.held_out.image:
        told = "no held-out gold to certify an error with: judge more images"
        only_before = kind.scope == "accepted_before"
        return Acceptance(threshold=None, only_accepted_before=only_before, told=told)
    return certify(kind, plan_sequence(kind.fit_labels, max_error, level, seed), max_error, level, seed)


def certify(
    kind: KindCalibration, plan: "SequencePlan", max_error: float, level: float, seed: int = 0
) -> Acceptance:
    """Test on the held-out part as `plan` says, which was made without looking at it."""
    ladder = plan.thresholds
    held_out = _counts(kind.held_out, ladder, seed, plan.most_labels)
    found = p_values(*held_out, max_error, plan.most_labels, plan.stakes)
    passed = _passed_in_sequence(found[plan.start :], level)
    best = plan.start + max(0, passed - 1)
    wrong, accepted = (int(counts[best].sum()) for counts in held_out)
    if passed:
        told = (
            f"accepted from confidence {ladder[best]:.3f} on: {wrong} of {accepted} held-out labels wrong, "
            f"error at most {max_error:g} but with probability {level:.3g}"
        )
    else:
        told = _why_none(wrong, accepted, held_out[0].shape[1], float(found[best]), max_error, level)
    return Acceptance(
        threshold=float(ladder[best]) if passed else None,
        most_labels=plan.most_labels,
        only_accepted_before=kind.scope == "accepted_before",
        held_out_labels=accepted if passed else 0,
        held_out_wrong=wrong if passed else 0,
        told=told,
    )


@dataclass(frozen=True)
class SequencePlan:
    """What is fixed before the held-out part is looked at.

    `thresholds`: (rules,) confidences, falling; `start`: the place of the first that is tested;
    `stakes`: (rules,) bets as shares of the largest, 0 to 1.
    """

    thresholds: Values
    most_labels: int
    start: int
    stakes: Values


def plan_sequence(fit_labels: JudgedLabels, max_error: float, level: float, seed: int = 0) -> SequencePlan:
    """The plan that would accept the most of the fitted part; the one with most evidence if none would."""
    ladder = thresholds(fit_labels)
    best: tuple[float, float, SequencePlan] | None = None
    counts = np.bincount(np.array(fit_labels.image))
    for most in sorted(
        {max(1, int(n)) for n in np.quantile(counts, _MOST_LABELS_QUANTILES, method="higher")}
    ):
        wrong, accepted = _counts(fit_labels, ladder, seed, most)
        stakes = best_stakes(wrong, accepted, max_error, most)
        expected = p_values(wrong, accepted, max_error, most, stakes)
        start = int(np.argmin(expected))
        passed = _passed_in_sequence(expected[start:], level)
        covered = float(accepted[start + passed - 1].sum()) if passed else 0.0
        rank = (covered, -float(expected[start]))
        if best is None or rank > best[:2]:
            best = (*rank, SequencePlan(ladder, most, start, stakes))
    assert best is not None
    return best[2]


def thresholds(labels: JudgedLabels) -> Values:
    """Candidate thresholds, the strictest first: quantiles of the confidences of the fitted part."""
    if not labels.confidence:
        return np.zeros(0)
    shares = np.linspace(1, 0, NUM_THRESHOLDS + 1)[1:]
    found = np.quantile(np.array(labels.confidence), shares, method="lower")
    distinct: Values = np.unique(found)[::-1]
    return distinct


def _counts(labels: JudgedLabels, ladder: Values, seed: int, most_labels: int) -> tuple[Values, Values]:
    """(rules, images) numbers of wrong and of accepted labels, images in a seeded order."""
    names, number = np.unique(np.array(labels.image), return_inverse=True)
    order = np.random.default_rng([seed, 5]).permutation(len(names))
    number = order[number]
    takes = (np.array(labels.confidence)[None] >= ladder[:, None]) & (np.array(labels.place) < most_labels)
    wrongs = np.array(labels.wrong)[None] & takes
    accepted, wrong = (
        np.stack([np.bincount(number, weights=one, minlength=len(names)) for one in flags]).astype(float)
        for flags in (takes, wrongs)
    )
    return wrong, accepted


def _passed_in_sequence(found: Values, level: float) -> int:
    """How many hypotheses are rejected before the first that is not."""
    fails = np.flatnonzero(found > level)
    return int(fails[0]) if len(fails) else len(found)


def _why_none(wrong: int, accepted: int, images: int, p_value: float, max_error: float, level: float) -> str:
    advice = "judge more images"
    if wrong >= max_error * max(1, accepted):
        advice = "allow a higher error, or improve the model"
    return (
        f"nothing can be accepted at error {max_error:g}: of the surest {accepted} held-out labels "
        f"of {images} images {wrong} are wrong; the chance to see so few were the error higher is "
        f"{p_value:.2g}, allowed is {level:.2g}: {advice}"
    )
