"""Figures of counts against gold."""

from collections.abc import Sequence

from fo1_data.judging.matching import Pair, share


def score_counts(pairs: Sequence[Pair]) -> dict[str, object]:
    """Exact share and mean absolute error over the phrases that row and gold both count.

    `exact_present` is over phrases that gold counts at least once, `exact_absent` over those it counts 0.
    """
    present: list[int] = []
    absent: list[int] = []
    for pair in pairs:
        gold = {count.text.casefold(): count.count for count in pair.gold.counts}
        for count in pair.row.counts:
            expected = gold.get(count.phrase.casefold())
            if expected is not None:
                (present if expected else absent).append(abs(count.count - expected))
    errors = present + absent
    return {
        "exact": share(errors.count(0), len(errors)),
        "exact_present": share(present.count(0), len(present)),
        "exact_absent": share(absent.count(0), len(absent)),
        "mean_absolute_error": share(sum(errors), len(errors)),
        "num": len(errors),
    }
