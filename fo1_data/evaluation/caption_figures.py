"""How close captions are to their references: token F1 and CIDEr-D.

Token F1: the harmonic mean of precision and recall over the bag of words, against the best reference (as in
SQuAD). CIDEr-D (Vedantam et al., CVPR 2015): n-grams of 1 to 4 words, weighted by how rare they are among the
references of all images, clipped, with a Gaussian penalty on length, times 10.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence

from fo1_data.judging.words import words_of

MAX_N = 4
SIGMA = 6.0

Ngram = tuple[str, ...]


def token_f1(caption: str, references: Sequence[str]) -> float:
    """The best F1 of the caption's words with those of a reference; 1 if both are empty."""
    return max((_f1(words_of(caption), words_of(reference)) for reference in references), default=0.0)


def _f1(words: list[str], reference: list[str]) -> float:
    if not words or not reference:
        return float(words == reference)
    shared = sum((Counter(words) & Counter(reference)).values())
    return 2 * shared / (len(words) + len(reference))


def cider(captions: Sequence[str], references: Sequence[Sequence[str]]) -> float | None:
    """The mean CIDEr-D of captions, each against its own references.

    None for fewer than two captions, because then no word is rarer than another.
    """
    if len(captions) < 2:
        return None
    counted = [[_ngrams(words_of(reference)) for reference in group] for group in references]
    num_images = Counter[Ngram]()
    for group in counted:
        num_images.update({ngram for counts in group for ngram in counts})
    log_images = math.log(len(captions))
    rarity = {ngram: log_images - math.log(num) for ngram, num in num_images.items()}
    scores = [
        _cider_of(_ngrams(words_of(caption)), group, rarity, log_images)
        for caption, group in zip(captions, counted, strict=True)
    ]
    return sum(scores) / len(scores)


def _ngrams(words: list[str]) -> Counter[Ngram]:
    return Counter(
        tuple(words[start : start + n]) for n in range(1, MAX_N + 1) for start in range(len(words) - n + 1)
    )


def _cider_of(
    caption: Counter[Ngram],
    references: Sequence[Counter[Ngram]],
    rarity: Mapping[Ngram, float],
    log_images: float,
) -> float:
    """CIDEr-D of one caption.

    `rarity`: the logarithm of the number of images over that of those whose references have the n-gram;
    `log_images` for one that none has.
    """
    total = 0.0
    every_ours = _weighted(caption, rarity, log_images)
    for reference in references:
        gap = sum(count for ngram, count in caption.items() if len(ngram) == 1)
        gap -= sum(count for ngram, count in reference.items() if len(ngram) == 1)
        penalty = math.exp(-(gap**2) / (2 * SIGMA**2))
        similarity = 0.0
        for ours, theirs in zip(every_ours, _weighted(reference, rarity, log_images), strict=True):
            norm = math.hypot(*ours.values()) * math.hypot(*theirs.values())
            if norm:
                shared = sum(
                    min(value, theirs[ngram]) * theirs[ngram]
                    for ngram, value in ours.items()
                    if ngram in theirs
                )
                similarity += shared / norm
        total += penalty * similarity / MAX_N
    return 10 * total / len(references) if references else 0.0


def _weighted(
    counts: Counter[Ngram], rarity: Mapping[Ngram, float], log_images: float
) -> list[dict[Ngram, float]]:
    """The TF-IDF weights of the n-grams of each length from 1 to MAX_N."""
    by_length: list[dict[Ngram, float]] = [{} for _ in range(MAX_N)]
    for ngram, count in counts.items():
        by_length[len(ngram) - 1][ngram] = count * rarity.get(ngram, log_images)
    return by_length
