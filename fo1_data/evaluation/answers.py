"""Figures of answers to free questions, against gold's answers to the same questions on the same regions."""

from collections.abc import Sequence

from fo1_data.evaluation.caption_figures import token_f1
from fo1_data.judging.matching import Pair, share
from fo1_data.judging.words import words_of


def score_answers(pairs: Sequence[Pair]) -> dict[str, object]:
    """The share of exact answers (without case and punctuation), the mean token F1, and how many gold has."""
    exact, scores = 0, []
    for pair in pairs:
        index_of = {
            region.region_id: gold for region, gold in zip(pair.row.regions, pair.gold_of, strict=True)
        }
        answers = {(answer.question, answer.region_index): answer.answer for answer in pair.gold.answers}
        for answer in pair.row.answers:
            region_index = None if answer.region_id is None else index_of.get(answer.region_id)
            if answer.region_id is not None and region_index is None:
                continue
            expected = answers.get((answer.question, region_index))
            if expected is not None:
                exact += words_of(answer.answer) == words_of(expected)
                scores.append(token_f1(answer.answer, [expected]))
    mean = round(sum(scores) / len(scores), 6) if scores else None
    return {"exact": share(exact, len(scores)), "token_f1": mean, "num": len(scores)}
