"""How near captions come to their references: token F1 and CIDEr-D.

Token F1: words in common as a bag, the harmonic mean of precision and recall, against the best reference
(as SQuAD does). CIDEr-D (Vedantam et al., CVPR 2015): n-grams of 1 to 4 words weighted by how rare they
are among the references of all images, clipped, with a Gaussian penalty on length, times 10.
"""

import math
from collections import Counter
from collections.abc import Sequence

from fo1_data.judging.words import words_of

MAX_N = 4
SIGMA = 6.0

Ngram = tuple[str, ...]


def token_f1(caption: str, references: Sequence[str]) -> float:
    """The best F1 of words in common with a reference; 1 where both are empty."""
    return max((_f1(words_of(caption), words_of(one)) for one in references), default=0.0)


def _f1(said: list[str], meant: list[str]) -> float:
    if not said or not meant:
        return float(said == meant)
    shared = sum((Counter(said) & Counter(meant)).values())
    return 2 * shared / (len(said) + len(meant))


def cider(captions: Sequence[str], references: Sequence[Sequence[str]]) -> float | None:
    """The mean CIDEr-D of captions, each against its references; None for fewer than two images, where
    no word is rarer than another."""
    if len(captions) < 2:
        return None
    counted = [[_ngrams(words_of(one)) for one in group] for group in references]
    seen_in = Counter[Ngram]()
    for group in counted:
        seen_in.update({ngram for one in group for ngram in one})
    scores = [
        _cider_of(_ngrams(words_of(caption)), group, seen_in, math.log(len(captions)))
        for caption, group in zip(captions, counted, strict=True)
    ]
    return sum(scores) / len(scores)


def _ngrams(words: list[str]) -> Counter[Ngram]:
    return Counter(
        tuple(words[start : start + n]) for n in range(1, MAX_N + 1) for start in range(len(words) - n + 1)
    )


def _cider_of(
    said: Counter[Ngram], references: Sequence[Counter[Ngram]], seen_in: Counter[Ngram], log_images: float
) -> float:
    total = 0.0
    for reference in references:
        gap = sum(said[ngram] for ngram in said if len(ngram) == 1)
        gap -= sum(reference[ngram] for ngram in reference if len(ngram) == 1)
        penalty = math.exp(-(gap**2) / (2 * SIGMA**2))
        alike = 0.0
        for n in range(1, MAX_N + 1):
            mine, theirs = (_weighted(one, n, seen_in, log_images) for one in (said, reference))
            norm = math.hypot(*mine.values()) * math.hypot(*theirs.values())
            if norm:
                shared = sum(
                    min(value, theirs[ngram]) * theirs[ngram]
                    for ngram, value in mine.items()
                    if ngram in theirs
                )
                alike += shared / norm
        total += penalty * alike / MAX_N
    return 10 * total / len(references) if references else 0.0


def _weighted(
    counts: Counter[Ngram], n: int, seen_in: Counter[Ngram], log_images: float
) -> dict[Ngram, float]:
    return {
        ngram: count * (log_images - math.log(max(1, seen_in[ngram])))
        for ngram, count in counts.items()
        if len(ngram) == n
    }
