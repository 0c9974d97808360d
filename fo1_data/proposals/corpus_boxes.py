"""Boxes of the corpus, all of them and in its order; and the default, which falls back on a detector."""

import hashlib
from typing import Any

from PIL import Image

from fo1_data.boxes import as_boxes
from fo1_data.corpus.region_meta import with_region_metas
from fo1_data.proposals.proposer import Proposals, Proposer
from schemas.corpus import CorpusImage, CorpusRegion


def boxes_of_entry(entry: CorpusImage) -> Proposals:
    """The entry's own regions as proposals; none if it has no regions."""
    regions = list(entry.regions or [])
    return Proposals(as_boxes([region.box_xyxy for region in regions]), None, regions)


def with_other_boxes(entry: CorpusImage, regions: list[CorpusRegion], **update: Any) -> CorpusImage:
    """The entry with these regions, in pixels, in place of its own, and without what is said of its own.

    `update`: other fields to set.
    """
    of_image = {
        "phrases": [phrase.model_copy(update={"region_indices": None}) for phrase in entry.phrases],
        "answers": [answer for answer in entry.answers if answer.region_index is None],
        "examples": [],
        "meta": with_region_metas(entry.meta, None),
    }
    return entry.model_copy(update={"regions": regions, "box_unit": "pixel", **of_image, **update})


class CorpusBoxes:
    """`--proposals corpus`: the boxes of the corpus; an image without boxes gets none."""

    name = "corpus"
    sha256 = hashlib.sha256(b"corpus").hexdigest()
    licence: str | None = None
    detects = False

    def attach_boxes(self, entries: list[CorpusImage]) -> list[CorpusImage]:
        """The entries unchanged."""
        return entries

    def propose(self, images: list[Image.Image], entries: list[CorpusImage]) -> list[Proposals]:
        """The regions of each entry."""
        return [boxes_of_entry(entry) for entry in entries]


def auto_name(detector: str) -> str:
    """The name of `--proposals auto` with this detector behind it."""
    return f"auto ({detector})"


def proposer_of(name: str, entry: CorpusImage) -> str:
    """The name of what gave the boxes of one image, for a proposer of this name."""
    if not name.startswith("auto ("):
        return name
    return "corpus" if entry.regions is not None else name.removeprefix("auto (").removesuffix(")")


class AutoBoxes:
    """`--proposals auto`: the boxes of the corpus if an image's entry lists them, else the detector's.

    An empty list counts as listed: the image has no boxes.
    """

    detects = True

    def __init__(self, detector: Proposer) -> None:
        self._detector = detector
        self.name = auto_name(detector.name)
        self.sha256 = detector.sha256
        self.licence = detector.licence

    def attach_boxes(self, entries: list[CorpusImage]) -> list[CorpusImage]:
        """The entries unchanged."""
        return entries

    def propose(self, images: list[Image.Image], entries: list[CorpusImage]) -> list[Proposals]:
        """The boxes of each entry, and detections for the images whose entries list none."""
        unlisted = [index for index, entry in enumerate(entries) if entry.regions is None]
        detections = {}
        if unlisted:
            detected = self._detector.propose([images[i] for i in unlisted], [entries[i] for i in unlisted])
            detections = dict(zip(unlisted, detected, strict=True))
        return [
            detections[index] if index in detections else boxes_of_entry(entry)
            for index, entry in enumerate(entries)
        ]
