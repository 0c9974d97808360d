"""What the simulated reviewer knows, and how it selects and answers: names of boxes, from the gold.

A box of a dataset is gold's where their corners are the same to a pixel. The dataset is read as any
consumer reads it, by its Parquet files.
"""

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

KIND = "brief_caption"
BEYOND_BUDGET = "beyond the review budget"
REVIEWER = "simulated reviewer"
_COLUMNS = ["image_id", "uri", "regions"]
# Corrections of a later round count as later, whatever the clock says.
_FIRST_ROUND = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Named:
    """The caption of one box: who said it, how surely, what routing decided, and what gold says."""

    image_id: str
    region_id: str
    said: str
    gold: str
    decision: str | None
    reasons: tuple[str, ...]
    by_person: bool
    log_probability: float

    @property
    def right(self) -> bool:
        """Whether the caption is gold's name."""
        return self.said.strip().lower() == self.gold

    @property
    def accepted(self) -> bool:
        """Whether routing accepted it, without a person."""
        return self.decision in ("accept", "audit") and not self.by_person


class Gold:
    """Names by image file and box."""

    def __init__(self, folder: Path) -> None:
        lines = (folder / "annotations.jsonl").read_text("utf-8").splitlines()
        entries = [json.loads(line) for line in lines]
        self._regions = {Path(entry["image"]).name: entry["regions"] for entry in entries}

    def name(self, image: str, box_xyxy: Sequence[float]) -> str:
        """The name of a box of the image of that file name. Raises KeyError where gold has none there."""
        for region in self._regions[image.rpartition("/")[2]]:
            if all(abs(a - b) < 1 for a, b in zip(region["box_xyxy"], box_xyxy, strict=True)):
                return str(region["caption"])
        raise KeyError(f"{image}: no box at {list(box_xyxy)}")


def named_boxes(dataset: Path, gold: Gold) -> list[Named]:
    """Every caption of a box, in an order that depends on names only."""
    found = [
        _named(row, region, label, gold)
        for row in _rows(dataset)
        for region in row["regions"]
        for label in region["labels"]
        if label["kind"] == KIND
    ]
    return sorted(found, key=lambda one: (one.region_id, one.image_id))


def _rows(dataset: Path) -> Iterator[dict[str, Any]]:
    for path in sorted((dataset / "data").glob("*.parquet")):
        yield from pq.read_table(path, columns=_COLUMNS).to_pylist()


def _named(row: dict[str, Any], region: dict[str, Any], label: dict[str, Any], gold: Gold) -> Named:
    signals = {one["name"]: one["value"] for one in label["signals"] or []}
    return Named(
        image_id=row["image_id"],
        region_id=region["region_id"],
        said=region["brief_caption"] or "",
        gold=gold.name(row["uri"], region["box_xyxy"]),
        decision=label["decision"],
        reasons=tuple(label["reasons"] or ()),
        by_person=label["source"] == "human" or label["annotator"] is not None,
        log_probability=signals.get("logprob_mean", float("-inf")),
    )


def select(boxes: Sequence[Named], selection: str, budget: int, seed: int) -> list[Named]:
    """Which captions people are asked about; none that a person has spoken of.

    `routing`: those that `fo1 route --review-budget` chose; `random`; `least-confident`: those whose tokens
    were the least likely.
    """
    unseen = [one for one in boxes if not one.by_person]
    if selection == "routing":
        return [one for one in unseen if one.decision == "review" and BEYOND_BUDGET not in one.reasons]
    if selection == "random":
        return random.Random(seed).sample(unseen, min(budget, len(unseen)))
    return sorted(unseen, key=lambda one: one.log_probability)[:budget]


def corrections(asked: Sequence[Named], round_: int) -> list[dict[str, Any]]:
    """What the reviewer says of each: that it is right, or what it is called instead."""
    at = (_FIRST_ROUND + timedelta(days=round_)).isoformat()
    told = []
    for one in asked:
        common = {
            "image_id": one.image_id,
            "region_id": one.region_id,
            "kind": KIND,
            "before": {"text": one.said},
        }
        answer = {"action": "verdict", "right": True} if one.right else {
            "action": "recaptioned", "after": {"text": one.gold}}  # fmt: skip
        told.append({**common, **answer, "annotator": REVIEWER, "at": at})
    return told


def restated(told: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Answers about another model's captions, said so that they hold for any: what the box is called."""
    found = []
    for one in told:
        if one["action"] == "verdict":
            kept = {key: value for key, value in one.items() if key not in ("right", "before")}
            one = {**kept, "action": "recaptioned", "after": {"text": one["before"]["text"]}}
        found.append(one)
    return found


def write_lines(path: Path, told: Sequence[dict[str, Any]]) -> None:
    """A file of corrections."""
    path.write_text("".join(json.dumps(one) + "\n" for one in told), encoding="utf-8")


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The corrections of a file."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.strip()]
