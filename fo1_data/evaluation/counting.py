"""Counts against gold."""

from collections.abc import Sequence

from fo1_data.judging.matching import Pair, share


def score_counts(pairs: Sequence[Pair]) -> dict[str, object]:
    """Exact share and mean absolute error over the phrases that both count; those of none told apart."""
    differences: list[int] = []
    of_none: list[int] = []
    for pair in pairs:
        gold = {count.text.casefold(): count.count for count in pair.gold.counts}
        for count in pair.row.counts:
            wanted = gold.get(count.phrase.casefold())
            if wanted is not None:
                (differences if wanted else of_none).append(abs(count.count - wanted))
    every = differences + of_none
    return {
        "exact": share(sum(difference == 0 for difference in every), len(every)),
        "exact_present": share(sum(difference == 0 for difference in differences), len(differences)),
        "exact_absent": share(sum(difference == 0 for difference in of_none), len(of_none)),
        "mean_absolute_error": share(sum(every), len(every)),
        "num": len(every),
    }
