"""Boxes that the corpus gives: all of them, in its order; and the default that falls back on a detector."""

import hashlib

from PIL import Image

from fo1_data.boxes import as_boxes
from fo1_data.proposals.proposer import Proposals, Proposer
from schemas.corpus import CorpusImage


def given_boxes(entry: CorpusImage) -> Proposals:
    """The entry's own regions as proposals; none where it has none."""
    regions = list(entry.regions or [])
    return Proposals(as_boxes([region.box_xyxy for region in regions]), None, regions)


class CorpusBoxes:
    """`--proposals corpus`: an image without boxes gets none."""

    name = "corpus"
    sha256 = hashlib.sha256(b"corpus").hexdigest()
    licence: str | None = None
    detects = False

    def give(self, entries: list[CorpusImage]) -> list[CorpusImage]:
        """The entries as they are."""
        return entries

    def propose(self, images: list[Image.Image], entries: list[CorpusImage]) -> list[Proposals]:
        """The regions of each entry."""
        return [given_boxes(entry) for entry in entries]


class AutoBoxes:
    """`--proposals auto`: the corpus' boxes where it has any word on them (an empty list is one: there
    are none), else the detector's."""

    detects = True

    def __init__(self, detector: Proposer) -> None:
        self._detector = detector
        self.name = f"auto ({detector.name})"
        self.sha256 = detector.sha256
        self.licence = detector.licence

    def give(self, entries: list[CorpusImage]) -> list[CorpusImage]:
        """The entries as they are."""
        return entries

    def propose(self, images: list[Image.Image], entries: list[CorpusImage]) -> list[Proposals]:
        """Given boxes, and detections for the images that have none given."""
        silent = [index for index, entry in enumerate(entries) if entry.regions is None]
        found = {}
        if silent:
            detected = self._detector.propose([images[i] for i in silent], [entries[i] for i in silent])
            found = dict(zip(silent, detected, strict=True))
        return [found[index] if index in found else given_boxes(entry) for index, entry in enumerate(entries)]
