"""Figures of captions and of read texts (OCR) against gold.

`exact`: the caption equals gold's caption (or gold's label if it has no caption), without case and spaces.
`words`: every word of gold's label, or every word of gold's caption, occurs in the caption.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from fo1_data.evaluation.caption_figures import cider, token_f1
from fo1_data.judging.matching import Pair, share
from fo1_data.judging.texts import CaptionMatch, brief_caption_right, says
from fo1_data.judging.words import edit_distance


def score_captions(pairs: Sequence[Pair], how: CaptionMatch) -> dict[str, object]:
    """The share of right brief and detailed captions over matched regions, with token F1 and CIDEr-D."""
    brief: list[bool] = []
    detailed: list[bool] = []
    texts = {name: CaptionsWithReferences() for name in ("brief", "detailed", "image")}
    for pair in pairs:
        for region, place in zip(pair.row.regions, pair.gold_of, strict=True):
            gold = pair.gold.regions[place] if place is not None and pair.gold.regions else None
            if gold is None:
                continue
            if region.brief_caption is not None:
                right = brief_caption_right(region.brief_caption, gold, how)
                brief += [right] if right is not None else []
                texts["brief"].add(region.brief_caption, [gold.caption or gold.label])
            if region.detailed_caption is not None and gold.detailed_caption:
                detailed.append(says(region.detailed_caption, (gold.detailed_caption,), how))
                texts["detailed"].add(region.detailed_caption, [gold.detailed_caption])
        if pair.row.caption is not None:
            texts["image"].add(pair.row.caption, _image_captions(pair))
    return {
        "match": how,
        "brief": share(sum(brief), len(brief)),
        "num_brief": len(brief),
        "detailed": share(sum(detailed), len(detailed)),
        "num_detailed": len(detailed),
        **{f"{name}_token_f1": captions.mean_token_f1() for name, captions in texts.items()},
        **{f"{name}_cider": captions.mean_cider() for name, captions in texts.items()},
        "num_image": len(texts["image"].captions),
    }


@dataclass
class CaptionsWithReferences:
    """Captions with their references. Captions without a reference are left out."""

    captions: list[str] = field(default_factory=list)
    references: list[list[str]] = field(default_factory=list)

    def add(self, caption: str, references: Sequence[str | None]) -> None:
        texts = [text for text in references if text]
        if texts:
            self.captions.append(caption)
            self.references.append(texts)

    def mean_token_f1(self) -> float | None:
        scores = [token_f1(*pair) for pair in zip(self.captions, self.references, strict=True)]
        return round(sum(scores) / len(scores), 6) if scores else None

    def mean_cider(self) -> float | None:
        score = cider(self.captions, self.references)
        return None if score is None else round(score, 6)


def _image_captions(pair: Pair) -> list[str | None]:
    """All captions that gold has of an image; COCO has five."""
    listed = (pair.gold.meta or {}).get("captions")
    captions = [str(caption) for caption in listed] if isinstance(listed, list) else []
    return list(dict.fromkeys([*captions, pair.gold.caption]))


def score_texts(pairs: Sequence[Pair]) -> dict[str, object]:
    """Read texts: exact share, character and word error rate over matched regions for which gold has a text.

    A rate is the sum of all edit distances over the length of all gold texts; words are split at white space.
    `by_length`: the same of the texts of so many characters, `1`, `2`, `3-4`, `5-8` and so on.
    """
    texts = [
        (region.text.strip(), gold.strip())
        for pair in pairs
        for region, place in zip(pair.row.regions, pair.gold_of, strict=True)
        if region.text is not None and (gold := _gold_text(pair, place)) is not None
    ]
    by_length: dict[str, list[tuple[str, str]]] = {}
    for read, gold in sorted(texts, key=lambda text: len(text[1])):
        by_length.setdefault(_length_name(len(gold)), []).append((read, gold))
    return {
        **_text_figures(texts),
        "by_length": {name: _text_figures(members) for name, members in by_length.items()},
    }


def _gold_text(pair: Pair, place: int | None) -> str | None:
    return pair.gold.regions[place].text if place is not None and pair.gold.regions else None


def _length_name(length: int) -> str:
    """The range of lengths that a length lies in: up to a power of two."""
    last = 1 << max(0, length - 1).bit_length()
    first = last // 2 + 1
    return str(last) if first >= last else f"{first}-{last}"


def _text_figures(texts: Sequence[tuple[str, str]]) -> dict[str, object]:
    """texts: what was read, and gold."""
    errors = sum(edit_distance(read, gold) for read, gold in texts)
    word_errors = sum(edit_distance(read.split(), gold.split()) for read, gold in texts)
    return {
        "exact": share(sum(read == gold for read, gold in texts), len(texts)),
        "character_error_rate": share(errors, sum(len(gold) for _, gold in texts)),
        "word_error_rate": share(word_errors, sum(len(gold.split()) for _, gold in texts)),
        "num": len(texts),
    }
