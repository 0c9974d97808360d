"""The simulated reviewer: which captions it is asked about, and its answers, taken from the gold.

A box of a dataset matches a gold box if their corners agree to within a pixel. The dataset is read as any
consumer reads it, from its Parquet files.
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
# A date for each round, so that corrections of a later round are later whatever the clock says.
_FIRST_ROUND = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class CaptionedBox:
    """The caption of a box, gold's name for the box, and the decision of routing.

    `by_person`: a person wrote or confirmed the caption. `log_probability`: the mean over its tokens.
    """

    image_id: str
    region_id: str
    caption: str
    gold_name: str
    decision: str | None
    reasons: tuple[str, ...]
    by_person: bool
    log_probability: float

    @property
    def right(self) -> bool:
        """Whether the caption is gold's name, without case."""
        return self.caption.strip().lower() == self.gold_name

    @property
    def accepted(self) -> bool:
        """Whether routing accepted the caption without a person."""
        return self.decision in ("accept", "audit") and not self.by_person


class Gold:
    """Gold's names by image file and box."""

    def __init__(self, folder: Path) -> None:
        lines = (folder / "annotations.jsonl").read_text("utf-8").splitlines()
        entries = [json.loads(line) for line in lines]
        self._regions = {Path(entry["image"]).name: entry["regions"] for entry in entries}

    def name(self, image: str, box_xyxy: Sequence[float]) -> str:
        """The name of a box of the image with that file name. Raises KeyError if gold has no such box."""
        for region in self._regions[image.rpartition("/")[2]]:
            if all(abs(a - b) < 1 for a, b in zip(region["box_xyxy"], box_xyxy, strict=True)):
                return str(region["caption"])
        raise KeyError(f"{image}: no box at {list(box_xyxy)}")


def captioned_boxes(dataset: Path, gold: Gold) -> list[CaptionedBox]:
    """Every captioned box of a dataset, ordered by region id."""
    boxes = [
        _captioned_box(row, region, label, gold)
        for row in _read_rows(dataset)
        for region in row["regions"]
        for label in region["labels"]
        if label["kind"] == KIND
    ]
    return sorted(boxes, key=lambda box: (box.region_id, box.image_id))


def _read_rows(dataset: Path) -> Iterator[dict[str, Any]]:
    for path in sorted((dataset / "data").glob("*.parquet")):
        yield from pq.read_table(path, columns=_COLUMNS).to_pylist()


def _captioned_box(
    row: dict[str, Any], region: dict[str, Any], label: dict[str, Any], gold: Gold
) -> CaptionedBox:
    signals = {signal["name"]: signal["value"] for signal in label["signals"] or []}
    return CaptionedBox(
        image_id=row["image_id"],
        region_id=region["region_id"],
        caption=region["brief_caption"] or "",
        gold_name=gold.name(row["uri"], region["box_xyxy"]),
        decision=label["decision"],
        reasons=tuple(label["reasons"] or ()),
        by_person=label["source"] == "human" or label["annotator"] is not None,
        log_probability=signals.get("logprob_mean", float("-inf")),
    )


def select(boxes: Sequence[CaptionedBox], selection: str, budget: int, seed: int) -> list[CaptionedBox]:
    """The captions to ask people about, without those that a person wrote or confirmed.

    `selection` is `routing` (those that `fo1 route --review-budget` chose), `random`, or `least-confident`
    (those with the lowest token probability).
    """
    unseen = [box for box in boxes if not box.by_person]
    if selection == "routing":
        return [box for box in unseen if box.decision == "review" and BEYOND_BUDGET not in box.reasons]
    if selection == "random":
        return random.Random(seed).sample(unseen, min(budget, len(unseen)))
    return sorted(unseen, key=lambda box: box.log_probability)[:budget]


def corrections(boxes: Sequence[CaptionedBox], round_: int) -> list[dict[str, Any]]:
    """The reviewer's answer for each box: a confirmation, or the right name."""
    at = (_FIRST_ROUND + timedelta(days=round_)).isoformat()
    entries = []
    for box in boxes:
        common = {
            "image_id": box.image_id,
            "region_id": box.region_id,
            "kind": KIND,
            "before": {"text": box.caption},
        }
        answer = {"action": "verdict", "right": True} if box.right else {
            "action": "recaptioned", "after": {"text": box.gold_name}}  # fmt: skip
        entries.append({**common, **answer, "annotator": REVIEWER, "at": at})
    return entries


def restated(entries: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Corrections that hold for the captions of any model: each confirmation becomes the confirmed name."""
    converted = []
    for entry in entries:
        if entry["action"] == "verdict":
            common = {key: value for key, value in entry.items() if key not in ("right", "before")}
            entry = {**common, "action": "recaptioned", "after": {"text": entry["before"]["text"]}}
        converted.append(entry)
    return converted


def write_lines(path: Path, entries: Sequence[dict[str, Any]]) -> None:
    """Write corrections as JSON Lines."""
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries), encoding="utf-8")


def load_lines(path: Path) -> list[dict[str, Any]]:
    """The corrections of a JSON Lines file."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.strip()]
