"""How far several annotations of one image agree, and which of them is chosen. Pure functions.

Agreement of two annotations, 0 to 1: boxes are matched greedily by falling IoU, at least MATCH_IOU. Each
matched pair scores the share of its parts that are equal: its texts, normalised; its phrases; its verdict;
the class that somebody gave it; and whether its IoU is at least SAME_IOU. The sum is divided by the number
of boxes of both, matched ones counted once. The image's caption, its counts and each answer to a free
question are one more part each if either annotation has it. Two annotations with nothing to compare agree
by 1.

Resolution rule: an annotation marked as ground truth is chosen (of several, the latest); else the latest of
a majority, which is more than half of the annotators agreeing in everything; else the latest. An item with
several annotators, without ground truth and majority, is reviewed again.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from fo1_data.masks import mask_iou
from schemas.regions import Box
from services.label_studio.annotated import AnnotatedRegion, ParsedAnnotation

MATCH_IOU = 0.5
SAME_IOU = 0.8
SAME = 1.0

Rule = Literal["ground_truth", "majority", "latest"]
Agreements = dict[frozenset[int], float]


@dataclass(frozen=True)
class Vote:
    """One submitted annotation. `at` orders them."""

    annotation_id: int
    annotator: str
    at: str
    ground_truth: bool
    annotated: ParsedAnnotation


@dataclass(frozen=True)
class Resolution:
    """The chosen annotation, by which rule, and the mean agreement of all pairs (None for a single vote)."""

    annotation_id: int
    rule: Rule
    agreement: float | None
    disputed: bool


def resolve(votes: Sequence[Vote]) -> Resolution | None:
    """Return the resolution of an item's votes, or None without votes. Each person's latest vote counts."""
    latest: dict[str, Vote] = {}
    for vote in sorted(votes, key=_age):
        if not vote.ground_truth:
            latest[vote.annotator] = vote
    truths = sorted((vote for vote in votes if vote.ground_truth), key=_age)
    counted = sorted([*latest.values(), *truths], key=_age)
    if not counted:
        return None
    scores = {_pair(a, b): agreement(a.annotated, b.annotated) for a, b in combinations(counted, 2)}
    mean = sum(scores.values()) / len(scores) if scores else None
    if truths:
        return Resolution(truths[-1].annotation_id, "ground_truth", mean, False)
    group = _majority(counted, scores)
    if group:
        return Resolution(group[-1].annotation_id, "majority", mean, False)
    return Resolution(counted[-1].annotation_id, "latest", mean, mean is not None and mean < SAME)


def _age(vote: Vote) -> tuple[str, int]:
    return vote.at, vote.annotation_id


def _majority(votes: Sequence[Vote], scores: Agreements) -> list[Vote]:
    """Return the largest group of equal votes around one vote, if it is more than half of several votes."""
    if len(votes) < 2:
        return []
    largest: list[Vote] = []
    for vote in votes:
        equal = [other for other in votes if _same(vote, other, scores)]
        group = [member for member in equal if all(_same(member, other, scores) for other in equal)]
        if len(group) > len(largest):
            largest = group
    return largest if len(largest) * 2 > len(votes) else []


def _same(a: Vote, b: Vote, scores: Agreements) -> bool:
    return a is b or scores[_pair(a, b)] >= SAME


def _pair(a: Vote, b: Vote) -> frozenset[int]:
    return frozenset((a.annotation_id, b.annotation_id))


def agreement(a: ParsedAnnotation, b: ParsedAnnotation) -> float:
    """Return how far two annotations agree, 0 to 1."""
    pairs = _matched(list(a.regions.values()), list(b.regions.values()))
    num_parts = len(a.regions) + len(b.regions) - len(pairs)
    total = sum(_region_agreement(first, second) for first, second in pairs)
    texts = [(a.caption, b.caption), (a.counts, b.counts)]
    texts += [(a.answers.get(index), b.answers.get(index)) for index in a.answers.keys() | b.answers.keys()]
    for first_text, second_text in texts:
        if first_text or second_text:
            num_parts += 1
            total += float(normalised(first_text) == normalised(second_text))
    return total / num_parts if num_parts else 1.0


def _region_agreement(a: AnnotatedRegion, b: AnnotatedRegion) -> float:
    kinds = a.texts.keys() | b.texts.keys()
    parts = [normalised(a.texts.get(kind)) == normalised(b.texts.get(kind)) for kind in kinds]
    parts += [_same_places(a, b), a.phrases == b.phrases]
    parts += [(a.verdict is not False) == (b.verdict is not False)]
    parts += [normalised(a.label) == normalised(b.label)] if a.label or b.label else []
    return sum(parts) / len(parts)


def _same_places(a: AnnotatedRegion, b: AnnotatedRegion) -> bool:
    """Whether two boxes, two masks, or the boxes of two tracks in each frame, are equal."""
    if a.boxes.keys() != b.boxes.keys():
        return False
    if a.mask_rle is not None and b.mask_rle is not None:
        return mask_iou(a.mask_rle, b.mask_rle) >= SAME_IOU
    pairs = [(a.boxes[frame], b.boxes[frame]) for frame in a.boxes] or [(a.box_xyxy, b.box_xyxy)]
    return all(iou(first, second) >= SAME_IOU for first, second in pairs)


def _matched(
    a: list[AnnotatedRegion], b: list[AnnotatedRegion]
) -> list[tuple[AnnotatedRegion, AnnotatedRegion]]:
    overlaps = [
        (iou(first.box_xyxy, second.box_xyxy), i, j)
        for i, first in enumerate(a)
        for j, second in enumerate(b)
    ]
    pairs, taken_a, taken_b = [], set(), set()
    for overlap, i, j in sorted(overlaps, key=lambda item: (-item[0], item[1], item[2])):
        if overlap >= MATCH_IOU and i not in taken_a and j not in taken_b:
            pairs.append((a[i], b[j]))
            taken_a.add(i)
            taken_b.add(j)
    return pairs


def iou(a: Box, b: Box) -> float:
    """Return the intersection over union of two boxes in the same frame."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    intersection = width * height
    return intersection / (_area(a) + _area(b) - intersection)


def normalised(text: str | None) -> str:
    """Return a text without differences of case, width forms, spaces and a final full stop."""
    folded = unicodedata.normalize("NFKC", text or "").casefold()
    return " ".join(folded.split()).rstrip(".")


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])
