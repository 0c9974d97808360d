"""The figures of a round, and of several runs together. Pure functions."""

import statistics
from collections import Counter
from collections.abc import Sequence
from typing import Any

from answers import Named


def share(part: float, whole: float) -> float | None:
    """part / whole; None of nothing."""
    return round(part / whole, 4) if whole else None


def naming(boxes: Sequence[Named]) -> dict[str, Any]:
    """How many captions are gold's names, in all and by name, and what was said instead."""
    by_name: dict[str, list[Named]] = {}
    for one in boxes:
        by_name.setdefault(one.gold, []).append(one)
    said = Counter((one.gold, one.said) for one in boxes if not one.right)
    return {
        "boxes": len(boxes),
        "right": share(sum(one.right for one in boxes), len(boxes)),
        "right_by_name": {
            name: share(sum(one.right for one in of_name), len(of_name))
            for name, of_name in sorted(by_name.items())
        },
        "boxes_by_name": {name: len(of_name) for name, of_name in sorted(by_name.items())},
        "taken_for": [[gold, text, number] for (gold, text), number in said.most_common(8)],
    }


def acceptance(boxes: Sequence[Named]) -> dict[str, Any]:
    """What routing accepted of the captions that no person has seen, and how much of it is wrong."""
    unseen = [one for one in boxes if not one.by_person]
    accepted = [one for one in unseen if one.accepted]
    wrong = sum(not one.right for one in accepted)
    return {
        "unreviewed": len(unseen),
        "accepted": len(accepted),
        "accepted_share": share(len(accepted), len(unseen)),
        "accepted_wrong": wrong,
        "accepted_error": share(wrong, len(accepted)),
    }


def asked_of_people(asked: Sequence[Named], changed: int) -> dict[str, Any]:
    """What people were asked, and in how many answers they had to change something."""
    names = Counter(one.gold for one in asked)
    return {"asked": len(asked), "changed": changed, "by_name": dict(sorted(names.items()))}


def needed(rounds: Sequence[dict[str, Any]], aim: float) -> int | None:
    """How many answers of people a run had got when its held-out naming first reached `aim`."""
    for one in rounds:
        right = one["held"]["naming"]["right"]
        if right is not None and right >= aim:
            return int(one["answers_so_far"])
    return None


def spread(values: Sequence[float | None]) -> dict[str, float] | None:
    """Mean, least and most of those that are known."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    return {"mean": round(statistics.mean(known), 4), "least": min(known), "most": max(known)}
