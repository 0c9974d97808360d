"""Two descriptions of one image as one: boxes, phrases, captions and the rest are united.

Equal boxes of two sources are one region if their labels and texts do not differ, else a region each (sets
with several labels). What contradicts the first description is left out and named. Boxes of another declared
size are scaled to the first one's size if the aspect ratio agrees.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from schemas.corpus import (
    CorpusAnswer,
    CorpusCount,
    CorpusExample,
    CorpusImage,
    CorpusPhrase,
    CorpusRegion,
    GivenTrack,
)
from schemas.sources import ContentKind

_REGION_TEXTS = ("label", "caption", "detailed_caption", "text")
# Declared sizes of one picture differ by rounding: by less than this share.
_SAME_ASPECT = 0.01


@dataclass(frozen=True)
class Contradiction:
    """Content of the second description that the first one rules out."""

    counts: dict[ContentKind, int]
    message: str


def captions_of(entry: CorpusImage) -> list[str]:
    """All captions of the image: `caption`, and those that `meta` holds besides."""
    more = (entry.meta or {}).get("captions")
    texts = [text for text in more if isinstance(text, str) and text] if isinstance(more, list) else []
    if entry.caption in texts:
        texts.remove(entry.caption)
    return [entry.caption, *texts] if entry.caption else texts


@dataclass
class _Union:
    first: CorpusImage
    second: CorpusImage
    regions: list[CorpusRegion] | None = None
    region_meta: list[dict[str, Any]] = field(default_factory=list)
    index_of: dict[int, int] = field(default_factory=dict)
    contradictions: list[Contradiction] = field(default_factory=list)


def unite(first: CorpusImage, second: CorpusImage) -> tuple[CorpusImage, list[Contradiction]]:
    """The union of two entries of the same address, and what of the second could not be kept."""
    union = _Union(first, second)
    _unite_regions(union)
    phrases = _unite_phrases(union, first.phrases, second.phrases)
    meta = _unite_meta(union)
    captions = list(dict.fromkeys([*captions_of(first), *captions_of(second)]))
    if len(captions) > 1:
        meta["captions"] = captions
    declared = next((entry for entry in (first, second) if entry.width and entry.height), first)
    united = first.model_copy(
        update={
            "id": first.id if first.id is not None else second.id,
            "width": declared.width,
            "height": declared.height,
            "regions": union.regions,
            "box_unit": first.box_unit if first.regions else second.box_unit,
            "caption": first.caption or second.caption,
            "caption_phrases": _unite_caption_phrases(union),
            "phrases": phrases,
            "counts": _unite_counts(union),
            "answers": _unite_answers(union),
            "tracks": _unite_tracks(union),
            "frame_files": first.frame_files or second.frame_files,
            "examples": _unite_examples(union),
            "meta": meta or None,
        }
    )
    return united, union.contradictions


def _unite_regions(union: _Union) -> None:
    first, second = union.first, union.second
    scale = _scale(union)
    if second.regions is None or scale is None:
        union.regions, union.region_meta = first.regions, _region_meta(first)
        return
    regions = list(first.regions or [])
    metas = _region_meta(first)
    second_metas = _region_meta(second)
    free = set(range(len(regions)))
    for index, (region, meta) in enumerate(zip(second.regions, second_metas, strict=True)):
        box = tuple(value * scale[side % 2] for side, value in enumerate(region.box_xyxy))
        scaled = region.model_copy(update={"box_xyxy": box})
        same = next((place for place in sorted(free) if _is_same(regions[place], scaled)), None)
        if same is None:
            union.index_of[index] = len(regions)
            regions.append(scaled)
            metas.append(meta)
        else:
            free.discard(same)
            union.index_of[index] = same
            texts = {key: getattr(regions[same], key) or getattr(scaled, key) for key in _REGION_TEXTS}
            example = regions[same].example or scaled.example
            regions[same] = regions[same].model_copy(update={**texts, "example": example})
            metas[same] = {**meta, **metas[same]}
    union.regions, union.region_meta = regions, metas


def _region_meta(entry: CorpusImage) -> list[dict[str, Any]]:
    """The other fields of each region; empty ones if the source has none, or has something else there."""
    num_regions = len(entry.regions or [])
    metas = (entry.meta or {}).get("region_meta")
    if isinstance(metas, list) and len(metas) == num_regions and all(isinstance(m, dict) for m in metas):
        return list(metas)
    return [{}] * num_regions


def _scale(union: _Union) -> tuple[float, float] | None:
    """What brings the second one's boxes into the first one's pixels; None if nothing does."""
    first, second = union.first, union.second
    if second.regions is None or not second.regions:
        return 1.0, 1.0
    if first.regions and first.box_unit != second.box_unit:
        _refuse_boxes(union, "boxes in pixels and boxes in shares of the size")
        return None
    if "share" in (first.box_unit, second.box_unit) or not (first.width and first.height):
        return 1.0, 1.0
    if not (second.width and second.height):
        return 1.0, 1.0
    across, down = first.width / second.width, first.height / second.height
    if abs(across - down) > _SAME_ASPECT * max(across, down):
        declared = f"{first.width} x {first.height} and {second.width} x {second.height}"
        _refuse_boxes(union, f"declared sizes {declared}")
        return None
    return across, down


def _refuse_boxes(union: _Union, why: str) -> None:
    regions = union.second.regions or []
    counts = {
        ContentKind.BOXES: len(regions),
        ContentKind.CAPTIONS: sum(
            bool(text) for region in regions for text in (region.caption, region.detailed_caption)
        ),
        ContentKind.TEXTS: sum(region.text is not None for region in regions),
    }
    union.contradictions.append(
        Contradiction({k: n for k, n in counts.items() if n}, f"two sources disagree: {why}")
    )


def _is_same(one: CorpusRegion, other: CorpusRegion) -> bool:
    texts = ((getattr(one, key), getattr(other, key)) for key in _REGION_TEXTS)
    return one.box_xyxy == other.box_xyxy and all(a is None or b is None or a == b for a, b in texts)


def _unite_phrases(
    union: _Union, first: Sequence[CorpusPhrase], second: Sequence[CorpusPhrase]
) -> list[CorpusPhrase]:
    phrases = {phrase.text: phrase for phrase in first}
    repeated = [phrase for phrase in first if phrases[phrase.text] is not phrase]
    for phrase in _moved(union, second):
        known = phrases.get(phrase.text)
        if known is None or known.region_indices is None:
            phrases[phrase.text] = phrase
        elif phrase.region_indices is not None:
            if bool(known.region_indices) != bool(phrase.region_indices):
                message = f"two sources disagree whether {phrase.text!r} is in the image"
                union.contradictions.append(Contradiction({ContentKind.PHRASES: 1}, message))
                continue
            indices = list(dict.fromkeys([*known.region_indices, *phrase.region_indices]))
            phrases[phrase.text] = phrase.model_copy(update={"region_indices": indices})
    return [*phrases.values(), *repeated]


def _moved(union: _Union, phrases: Sequence[CorpusPhrase]) -> list[CorpusPhrase]:
    """Phrases of the second entry with the indices of its regions in the union."""
    moved = []
    for phrase in phrases:
        indices = phrase.region_indices
        if indices is not None:
            kept = [union.index_of[index] for index in indices if index in union.index_of]
            phrase = phrase.model_copy(update={"region_indices": kept if kept or not indices else None})
        moved.append(phrase)
    return moved


def _unite_caption_phrases(union: _Union) -> list[CorpusPhrase]:
    """The phrases of the caption that is kept: those of another caption are not its own."""
    first, second = union.first, union.second
    moved = _moved(union, second.caption_phrases)
    is_other = bool(first.caption and second.caption and first.caption != second.caption)
    if not moved or moved == first.caption_phrases:
        return first.caption_phrases
    if not is_other and not first.caption_phrases:
        return moved
    message = "the phrases of its caption are not those of the first one's"
    union.contradictions.append(Contradiction({ContentKind.PHRASES: len(moved)}, message))
    return first.caption_phrases


def _unite_counts(union: _Union) -> list[CorpusCount]:
    counts, known = list(union.first.counts), {count.text: count.count for count in union.first.counts}
    for count in union.second.counts:
        if count.text not in known:
            counts.append(count)
        elif count not in union.first.counts:
            message = f"two sources count {known[count.text]} and {count.count} of {count.text!r}"
            union.contradictions.append(Contradiction({ContentKind.COUNTS: 1}, message))
    return counts


def _unite_answers(union: _Union) -> list[CorpusAnswer]:
    """The first one's answers, of which several may be to one question, and those to other questions."""
    answers, known = list(union.first.answers), set(map(_said_in_answer, union.first.answers))
    asked = {(question, index) for question, index, _ in known}
    for answer in union.second.answers:
        index = answer.region_index
        if index is not None and index not in union.index_of:
            message = f"the region of the answer to {answer.question!r} is left out"
            union.contradictions.append(Contradiction({ContentKind.ANSWERS: 1}, message))
            continue
        new_index = None if index is None else union.index_of[index]
        moved = answer.model_copy(update={"region_index": new_index})
        if (moved.question, moved.region_index) not in asked:
            answers.append(moved)
        elif _said_in_answer(moved) not in known:
            message = f"two sources answer {answer.question!r} differently"
            union.contradictions.append(Contradiction({ContentKind.ANSWERS: 1}, message))
    return answers


def _said_in_answer(answer: CorpusAnswer) -> tuple[str, int | None, str]:
    return answer.question, answer.region_index, answer.answer


def _unite_tracks(union: _Union) -> list[GivenTrack] | None:
    if union.first.tracks is None or union.second.tracks is None:
        return union.second.tracks if union.first.tracks is None else union.first.tracks
    tracks = {track.id: track for track in union.first.tracks}
    for track in union.second.tracks:
        if tracks.setdefault(track.id, track) != track:
            counts = {ContentKind.TRACKS: 1, ContentKind.BOXES: len(track.frames)}
            if track.caption is not None:
                counts[ContentKind.CAPTIONS] = 1
            message = f"two sources differ on track {track.id!r}"
            union.contradictions.append(Contradiction(counts, message))
    return list(tracks.values())


def _unite_examples(union: _Union) -> list[CorpusExample]:
    moved = (
        CorpusExample(
            region_index=union.index_of[example.region_index],
            region_indices=[
                union.index_of[index] for index in example.region_indices if index in union.index_of
            ],
        )
        for example in union.second.examples
        if example.region_index in union.index_of
    )
    first = union.first.examples
    return [*first, *(example for example in moved if example not in first)]


def _unite_meta(union: _Union) -> dict[str, Any]:
    """The first one's meta, with what the second adds; other values of a key are kept under `also`."""
    first, second = dict(union.first.meta or {}), dict(union.second.meta or {})
    special = ("captions", "region_meta", "also")
    others = {k: v for k, v in second.items() if k not in special and first.get(k, v) != v}
    meta = {**{k: v for k, v in second.items() if k not in special}, **first}
    for key, value in list(others.items()):
        if _can_merge(first[key], value):
            meta[key] = {**value, **first[key]}
            del others[key]
    if union.first.id is not None and union.second.id not in (None, union.first.id):
        others["id"] = union.second.id
    also = [*_list(first.get("also")), *_list(second.get("also")), *([others] if others else [])]
    if also:
        meta["also"] = also
    if any(union.region_meta):
        meta["region_meta"] = union.region_meta
    return meta


def _can_merge(one: Any, other: Any) -> bool:
    """Whether both are objects that agree where they have the same keys."""
    if not isinstance(one, dict) or not isinstance(other, dict):
        return False
    return all(one[key] == other[key] for key in one.keys() & other.keys())


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]
