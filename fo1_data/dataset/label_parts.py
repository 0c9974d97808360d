"""The labels of a row, one at a time, each with the region or part it belongs to. Changes nothing.

The `key` of a label (image, kind, region, phrase or question) does not depend on the order of rows, shards
or regions, so a seeded draw always chooses the same labels.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from schemas.images import Answer, Count, Grounding, ImageRow
from schemas.labels import Label, LabelKind, Source
from schemas.regions import Region


@dataclass(frozen=True)
class LabelPart:
    """A label with its place: `region` for a label of a region, `part` for one of the row.

    `number` counts equal keys in a row: a phrase that a grounded caption names twice.
    """

    row: ImageRow
    label: Label
    region: Region | None = None
    part: Grounding | Count | Answer | None = None
    number: int = 0

    @property
    def kind(self) -> LabelKind:
        return self.label.kind

    @property
    def subject(self) -> str:
        """The phrase or question; empty for a region's own label."""
        if isinstance(self.part, Answer):
            return self.part.question
        return self.part.phrase if self.part is not None else ""

    @property
    def region_ids(self) -> list[str]:
        """The regions that the label names or is about."""
        if self.region is not None:
            return [self.region.region_id]
        if isinstance(self.part, Answer):
            return [self.part.region_id] if self.part.region_id else []
        return list(self.part.region_ids) if self.part is not None else []

    @cached_property
    def key(self) -> str:
        """Names the label among all labels of all images."""
        about = self.region.region_id if self.region is not None else self.subject
        if isinstance(self.part, Answer) and self.part.region_id:
            about = f"{about}|{self.part.region_id}"
        return f"{self.row.image_id}|{self.kind.value}|{about}|{self.number}"


def label_parts(row: ImageRow) -> Iterator[LabelPart]:
    """Every label of a model or a person, in the order of the row; corpus labels are left out."""
    seen: dict[str, int] = {}

    def numbered(part: LabelPart) -> LabelPart:
        number = seen.get(part.key, 0)
        seen[part.key] = number + 1
        return part if not number else LabelPart(part.row, part.label, part.region, part.part, number)

    for region in row.regions:
        for label in region.labels:
            if label.source is not Source.CORPUS:
                yield numbered(LabelPart(row, label, region=region))
    parts: list[Grounding | Count | Answer] = [*row.groundings, *row.counts, *row.answers]
    for part in parts:
        if part.label.source is not Source.CORPUS:
            yield numbered(LabelPart(row, part.label, part=part))


def draw(seed: int, what: str, key: str) -> float:
    """A random number in [0, 1) for `key`, always the same for the same seed and purpose `what`."""
    digest = hashlib.sha256(f"{seed}|{what}|{key}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
