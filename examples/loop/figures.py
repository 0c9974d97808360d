"""Figures of a round, and of several runs together. Pure functions."""

import statistics
from collections import Counter
from collections.abc import Sequence
from typing import Any

from answers import CaptionedBox


def share(part: float, whole: float) -> float | None:
    """part / whole; None if `whole` is 0."""
    return round(part / whole, 4) if whole else None


def naming(boxes: Sequence[CaptionedBox]) -> dict[str, Any]:
    """The share of captions that are gold's names, in all and by name, and the most frequent confusions."""
    by_name: dict[str, list[CaptionedBox]] = {}
    for box in boxes:
        by_name.setdefault(box.gold_name, []).append(box)
    confusions = Counter((box.gold_name, box.caption) for box in boxes if not box.right)
    return {
        "boxes": len(boxes),
        "right": share(sum(box.right for box in boxes), len(boxes)),
        "right_by_name": {
            name: share(sum(box.right for box in group), len(group))
            for name, group in sorted(by_name.items())
        },
        "boxes_by_name": {name: len(group) for name, group in sorted(by_name.items())},
        "taken_for": [[name, caption, count] for (name, caption), count in confusions.most_common(8)],
    }


def acceptance(boxes: Sequence[CaptionedBox]) -> dict[str, Any]:
    """How many of the captions that no person has seen were accepted, and how many of these are wrong."""
    unseen = [box for box in boxes if not box.by_person]
    accepted = [box for box in unseen if box.accepted]
    wrong = sum(not box.right for box in accepted)
    return {
        "unreviewed": len(unseen),
        "accepted": len(accepted),
        "accepted_share": share(len(accepted), len(unseen)),
        "accepted_wrong": wrong,
        "accepted_error": share(wrong, len(accepted)),
    }


def review_effort(boxes: Sequence[CaptionedBox], changed: int) -> dict[str, Any]:
    """How many captions people were asked about and how many they changed, and gold's names of them."""
    names = Counter(box.gold_name for box in boxes)
    return {"asked": len(boxes), "changed": changed, "by_name": dict(sorted(names.items()))}


def answers_to_reach(aim: float, rounds: Sequence[dict[str, Any]]) -> int | None:
    """How many answers of people a run had when its held-out naming first reached `aim`; None if never."""
    for round_ in rounds:
        right = round_["held"]["naming"]["right"]
        if right is not None and right >= aim:
            return int(round_["answers_so_far"])
    return None


def spread(values: Sequence[float | None]) -> dict[str, float] | None:
    """The mean, lowest and highest of the values that are not None; None if all are."""
    present = [value for value in values if value is not None]
    if not present:
        return None
    return {"mean": round(statistics.mean(present), 4), "least": min(present), "most": max(present)}
