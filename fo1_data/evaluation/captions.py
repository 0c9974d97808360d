"""Captions and read texts of regions against gold.

`exact`: the caption is gold's (its caption, or its label where it has none), but for case and spaces.
`words`: every word of gold's label, or every word of gold's caption, occurs in the caption.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from fo1_data.evaluation.caption_figures import cider, token_f1
from fo1_data.judging.matching import Pair, share
from fo1_data.judging.texts import CaptionMatch, brief_caption_right, says
from fo1_data.judging.words import edit_distance


def score_captions(pairs: Sequence[Pair], how: CaptionMatch) -> dict[str, object]:
    """Shares of matched regions whose captions are right, brief and detailed, and how many were asked."""
    brief: list[bool] = []
    detailed: list[bool] = []
    said = {name: Compared() for name in ("brief", "detailed", "image")}
    for pair in pairs:
        for region, place in zip(pair.row.regions, pair.gold_of, strict=True):
            gold = pair.gold.regions[place] if place is not None and pair.gold.regions else None
            if gold is None:
                continue
            if region.brief_caption is not None:
                right = brief_caption_right(region.brief_caption, gold, how)
                brief += [right] if right is not None else []
                said["brief"].add(region.brief_caption, [gold.caption or gold.label])
            if region.detailed_caption is not None and gold.detailed_caption:
                detailed.append(says(region.detailed_caption, (gold.detailed_caption,), how))
                said["detailed"].add(region.detailed_caption, [gold.detailed_caption])
        if pair.row.caption is not None:
            said["image"].add(pair.row.caption, _image_captions(pair))
    return {
        "match": how,
        "brief": share(sum(brief), len(brief)),
        "num_brief": len(brief),
        "detailed": share(sum(detailed), len(detailed)),
        "num_detailed": len(detailed),
        **{f"{name}_token_f1": compared.mean_token_f1() for name, compared in said.items()},
        **{f"{name}_cider": compared.mean_cider() for name, compared in said.items()},
        "num_image": len(said["image"].captions),
    }


@dataclass
class Compared:
    """Captions with their references, those without any left out."""

    captions: list[str] = field(default_factory=list)
    references: list[list[str]] = field(default_factory=list)

    def add(self, caption: str, references: Sequence[str | None]) -> None:
        known = [text for text in references if text]
        if known:
            self.captions.append(caption)
            self.references.append(known)

    def mean_token_f1(self) -> float | None:
        scores = [token_f1(one, known) for one, known in zip(self.captions, self.references, strict=True)]
        return round(sum(scores) / len(scores), 6) if scores else None

    def mean_cider(self) -> float | None:
        score = cider(self.captions, self.references)
        return None if score is None else round(score, 6)


def _image_captions(pair: Pair) -> list[str | None]:
    """All captions that gold has of an image: COCO gives five."""
    more = (pair.gold.meta or {}).get("captions")
    several = [str(one) for one in more] if isinstance(more, list) else []
    return list(dict.fromkeys([*several, pair.gold.caption]))


def score_texts(pairs: Sequence[Pair]) -> dict[str, object]:
    """Read texts: exact share, character and word error rate over regions whose text gold knows.

    A rate is all errors over the length of all of gold's texts, words being what white space parts.
    """
    exact = num = errors = length = word_errors = num_words = 0
    for pair in pairs:
        for region, place in zip(pair.row.regions, pair.gold_of, strict=True):
            gold = pair.gold.regions[place].text if place is not None and pair.gold.regions else None
            if gold is None or region.text is None:
                continue
            num += 1
            exact += region.text.strip() == gold.strip()
            errors += edit_distance(region.text.strip(), gold.strip())
            length += len(gold.strip())
            word_errors += edit_distance(region.text.split(), gold.split())
            num_words += len(gold.split())
    return {
        "exact": share(exact, num),
        "character_error_rate": share(errors, length),
        "word_error_rate": share(word_errors, num_words),
        "num": num,
    }
