"""Answers to free questions against gold's: of the same question, about the same region."""

from collections.abc import Sequence

from fo1_data.evaluation.caption_figures import token_f1
from fo1_data.judging.matching import Pair, share
from fo1_data.judging.words import words_of


def score_answers(pairs: Sequence[Pair]) -> dict[str, object]:
    """Share of answers that are gold's but for case and marks, their token F1, and how many gold knows."""
    exact, overlap = 0, []
    for pair in pairs:
        place = {region.region_id: gold for region, gold in zip(pair.row.regions, pair.gold_of, strict=True)}
        known = {(one.question, one.region_index): one.answer for one in pair.gold.answers}
        for answer in pair.row.answers:
            region = None if answer.region_id is None else place.get(answer.region_id)
            if answer.region_id is not None and region is None:
                continue
            wanted = known.get((answer.question, region))
            if wanted is not None:
                exact += words_of(answer.answer) == words_of(wanted)
                overlap.append(token_f1(answer.answer, [wanted]))
    mean = round(sum(overlap) / len(overlap), 6) if overlap else None
    return {"exact": share(exact, len(overlap)), "token_f1": mean, "num": len(overlap)}
