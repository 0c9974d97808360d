"""How far several annotations of one image agree, and which of them holds. Pure functions.

Agreement of two annotations, 0 to 1: boxes are matched greedily by falling IoU, at least MATCH_IOU; each pair
counts the share of what is said of it that is equal (its texts, normalised; its phrases; and, as one part,
its IoU of at least SAME_IOU); the sum is divided by the number of boxes of both, matched ones once. The
image's caption, its counts and each answer to a free question are one more part where either speaks of them.
Without anything to compare: 1.

Rule: an annotation marked as ground truth holds (of several, the latest); else the latest of a majority,
which is more than half of the annotators agreeing in everything; else the latest. Without ground truth and
majority an item that several people annotated is put to people again.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from schemas.regions import Box
from services.label_studio.convert import Said, SaidRegion

MATCH_IOU = 0.5
SAME_IOU = 0.8
SAME = 1.0

Rule = Literal["ground_truth", "majority", "latest"]


@dataclass(frozen=True)
class Vote:
    """One annotation that was submitted. `at` orders them."""

    annotation: int
    annotator: str
    at: str
    ground_truth: bool
    said: Said


@dataclass(frozen=True)
class Resolution:
    """Which annotation holds and by which rule; the mean agreement of the pairs (None for a single one)."""

    annotation: int
    rule: Rule
    agreement: float | None
    disputed: bool


def resolve(votes: Sequence[Vote]) -> Resolution | None:
    """The resolution of an item's votes; None where there are none. Of one person only the latest counts."""
    latest: dict[str, Vote] = {}
    for vote in sorted(votes, key=_age):
        if not vote.ground_truth:
            latest[vote.annotator] = vote
    truths = sorted((vote for vote in votes if vote.ground_truth), key=_age)
    people = sorted([*latest.values(), *truths], key=_age)
    if not people:
        return None
    scores = {
        frozenset((a.annotation, b.annotation)): agreement(a.said, b.said) for a, b in combinations(people, 2)
    }
    mean = sum(scores.values()) / len(scores) if scores else None
    if truths:
        return Resolution(truths[-1].annotation, "ground_truth", mean, False)
    group = _majority(people, scores)
    if group:
        return Resolution(group[-1].annotation, "majority", mean, False)
    return Resolution(people[-1].annotation, "latest", mean, mean is not None and mean < SAME)


def _age(vote: Vote) -> tuple[str, int]:
    return vote.at, vote.annotation


def _majority(people: Sequence[Vote], scores: dict[frozenset[int], float]) -> list[Vote]:
    """The largest group around one vote that holds more than half of several people; else none."""
    if len(people) < 2:
        return []
    best: list[Vote] = []
    for vote in people:
        group = [
            other
            for other in people
            if other is vote or scores[frozenset((vote.annotation, other.annotation))] >= SAME
        ]
        group = [one for one in group if all(_same(one, other, scores) for other in group)]
        if len(group) > len(best):
            best = group
    return best if len(best) * 2 > len(people) else []


def _same(one: Vote, other: Vote, scores: dict[frozenset[int], float]) -> bool:
    return one is other or scores[frozenset((one.annotation, other.annotation))] >= SAME


def agreement(one: Said, other: Said) -> float:
    """How far two annotations agree, 0 to 1."""
    pairs = _matched(list(one.regions.values()), list(other.regions.values()))
    parts = len(one.regions) + len(other.regions) - len(pairs)
    total = sum(_region_agreement(a, b) for a, b in pairs)
    whole = [(one.caption, other.caption), (one.counts, other.counts)]
    answered = one.answers.keys() | other.answers.keys()
    whole += [(one.answers.get(place), other.answers.get(place)) for place in answered]
    for text, same in whole:
        if text or same:
            parts, total = parts + 1, total + float(normalised(text) == normalised(same))
    return total / parts if parts else 1.0


def _region_agreement(one: SaidRegion, other: SaidRegion) -> float:
    kinds = one.texts.keys() | other.texts.keys()
    parts = [normalised(one.texts.get(kind)) == normalised(other.texts.get(kind)) for kind in kinds]
    parts += [iou(one.box_xyxy, other.box_xyxy) >= SAME_IOU, one.phrases == other.phrases]
    parts += [(one.verdict is not False) == (other.verdict is not False)]
    return sum(parts) / len(parts)


def _matched(one: list[SaidRegion], other: list[SaidRegion]) -> list[tuple[SaidRegion, SaidRegion]]:
    found = [(iou(a.box_xyxy, b.box_xyxy), i, j) for i, a in enumerate(one) for j, b in enumerate(other)]
    pairs, taken_one, taken_other = [], set(), set()
    for overlap, i, j in sorted(found, key=lambda item: (-item[0], item[1], item[2])):
        if overlap >= MATCH_IOU and i not in taken_one and j not in taken_other:
            pairs.append((one[i], other[j]))
            taken_one.add(i)
            taken_other.add(j)
    return pairs


def iou(one: Box, other: Box) -> float:
    """Intersection over union of two boxes in one frame."""
    wide = min(one[2], other[2]) - max(one[0], other[0])
    high = min(one[3], other[3]) - max(one[1], other[1])
    if wide <= 0 or high <= 0:
        return 0.0
    shared = wide * high
    return shared / (_area(one) + _area(other) - shared)


def normalised(text: str | None) -> str:
    """A text without what does not matter: case, width forms, spaces, a final full stop."""
    folded = unicodedata.normalize("NFKC", text or "").casefold()
    return " ".join(folded.split()).rstrip(".")


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])
