"""Captions and read texts of regions against gold.

`exact`: the caption is gold's (its caption, or its label where it has none), but for case and spaces.
`words`: every word of gold's label, or every word of gold's caption, occurs in the caption.
"""

import re
from collections.abc import Sequence
from typing import Literal

from fo1_data.evaluation.matching import Pair, share
from schemas.corpus import CorpusRegion

CaptionMatch = Literal["exact", "words"]
_WORD = re.compile(r"\w+")


def words_of(text: str) -> list[str]:
    """The words of a text in lower case."""
    return _WORD.findall(text.casefold())


def says(caption: str, gold_texts: Sequence[str | None], how: CaptionMatch) -> bool:
    """Whether a caption says what gold says; `gold_texts` in order of preference."""
    known = [words_of(text) for text in gold_texts if text]
    if how == "exact":
        return bool(known) and words_of(caption) == known[0]
    spoken = set(words_of(caption))
    return any(set(words) <= spoken for words in known)


def brief_caption_right(caption: str, gold: CorpusRegion, how: CaptionMatch) -> bool | None:
    """Whether a brief caption is right; None where gold says nothing."""
    if not gold.caption and not gold.label:
        return None
    return says(caption, (gold.caption, gold.label), how)


def score_captions(pairs: Sequence[Pair], how: CaptionMatch) -> dict[str, object]:
    """Shares of matched regions whose captions are right, brief and detailed, and how many were asked."""
    brief: list[bool] = []
    detailed: list[bool] = []
    for pair in pairs:
        for region, place in zip(pair.row.regions, pair.gold_of, strict=True):
            gold = pair.gold.regions[place] if place is not None and pair.gold.regions else None
            if gold is None:
                continue
            if region.brief_caption is not None:
                right = brief_caption_right(region.brief_caption, gold, how)
                brief += [right] if right is not None else []
            if region.detailed_caption is not None and gold.detailed_caption:
                detailed.append(says(region.detailed_caption, (gold.detailed_caption,), how))
    return {
        "match": how,
        "brief": share(sum(brief), len(brief)),
        "num_brief": len(brief),
        "detailed": share(sum(detailed), len(detailed)),
        "num_detailed": len(detailed),
    }


def score_texts(pairs: Sequence[Pair]) -> dict[str, object]:
    """Read texts: exact share and character error rate over regions whose text gold knows."""
    exact = num = errors = length = 0
    for pair in pairs:
        for region, place in zip(pair.row.regions, pair.gold_of, strict=True):
            gold = pair.gold.regions[place].text if place is not None and pair.gold.regions else None
            if gold is None or region.text is None:
                continue
            num += 1
            exact += region.text.strip() == gold.strip()
            errors += edit_distance(region.text.strip(), gold.strip())
            length += len(gold.strip())
    return {"exact": share(exact, num), "character_error_rate": share(errors, length), "num": num}


def edit_distance(a: str, b: str) -> int:
    """Levenshtein's distance: insertions, deletions and replacements."""
    previous = list(range(len(b) + 1))
    for row, left in enumerate(a, start=1):
        current = [row]
        for column, right in enumerate(b, start=1):
            replaced = previous[column - 1] + (left != right)
            current.append(min(replaced, previous[column] + 1, current[-1] + 1))
        previous = current
    return previous[-1]
